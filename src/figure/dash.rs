//! Broken lines as their pieces. Whoever draws a dash array counts along the way of a line: a line that is rough from point to
//! point would come apart into dots. Here the way across counts, so that a dash of it is a stretch of the axis.

/// A line that goes up and down more than so many times the height that it takes is rough.
const ROUGH: f64 = 3.0;
/// Of a way up or down, this share counts along a rough line: a jump still takes more than a gap.
const UPWARD: f64 = 0.15;

/// Whether a line, in units of the page, goes up and down so much that dashes along its way would be dots.
pub fn is_rough(points: &[[f64; 2]]) -> bool {
    let (mut across, mut upward) = (0.0, 0.0);
    for ends in points.windows(2) {
        across += (ends[1][0] - ends[0][0]).abs();
        upward += (ends[1][1] - ends[0][1]).abs();
    }
    let heights = || points.iter().map(|p| p[1]);
    let height = heights().fold(f64::MIN, f64::max) - heights().fold(f64::MAX, f64::min);
    upward > ROUGH * height && upward > across
}

/// The pieces that are drawn of a line in units of the page: `on` of its way drawn, `off` of it not, from its beginning on.
pub fn pieces(points: &[[f64; 2]], [on, off]: [f64; 2]) -> Vec<Vec<[f64; 2]>> {
    let upward = if is_rough(points) { UPWARD } else { 1.0 };
    let mut broken = Broken {
        lengths: [on.max(0.1), off.max(0.1)],
        left: on.max(0.1),
        off: false,
        pieces: Vec::new(),
    };
    broken.pieces.extend(points.first().map(|first| vec![*first]));
    for ends in points.windows(2) {
        broken.go(ends[0], ends[1], upward);
    }
    broken.pieces.retain(|piece| piece.len() > 1);
    broken.pieces
}

/// A line as far as it was followed.
struct Broken {
    lengths: [f64; 2],
    /// What is left of the dash or the gap.
    left: f64,
    /// It is a gap.
    off: bool,
    pieces: Vec<Vec<[f64; 2]>>,
}

impl Broken {
    fn go(&mut self, from: [f64; 2], to: [f64; 2], upward: f64) {
        let way = [to[0] - from[0], to[1] - from[1]];
        let length = way[0].hypot(upward * way[1]);
        let mut done = 0.0;
        while length - done > self.left {
            done += self.left;
            let share = done / length;
            self.turn([from[0] + share * way[0], from[1] + share * way[1]]);
        }
        self.left -= length - done;
        self.draw_to(to);
    }

    fn draw_to(&mut self, point: [f64; 2]) {
        if let (false, Some(piece)) = (self.off, self.pieces.last_mut()) {
            piece.push(point);
        }
    }

    /// Where a dash ends or the next one begins.
    fn turn(&mut self, at: [f64; 2]) {
        self.draw_to(at);
        self.off = !self.off;
        self.left = self.lengths[usize::from(self.off)];
        if !self.off {
            self.pieces.push(vec![at]);
        }
    }
}
