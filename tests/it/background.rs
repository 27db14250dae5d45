//! What of the window is painted around the paper.

use egui::{Rect, pos2, vec2};

use mnemoscope::app::canvas::background::around;

fn rect(x: f32, y: f32, width: f32, height: f32) -> Rect {
    Rect::from_min_size(pos2(x, y), vec2(width, height))
}

#[test]
fn what_surrounds_holes_covers_all_but_the_holes_once() {
    let whole = rect(0.0, 0.0, 20.0, 12.0);
    // Side by side, one over the other, across the edge, and two that overlap.
    let holes = [
        rect(1.0, 1.0, 4.0, 5.0),
        rect(6.0, 2.0, 4.0, 3.0),
        rect(1.0, 7.0, 9.0, 3.0),
        rect(15.0, 8.0, 9.0, 9.0),
        rect(14.0, 6.0, 3.0, 4.0),
    ];
    let parts = around(whole, &holes);
    for x in 0..20 {
        for y in 0..12 {
            let at = pos2(x as f32 + 0.5, y as f32 + 0.5);
            let covered = parts.iter().filter(|part| part.contains(at)).count();
            let expected = usize::from(!holes.iter().any(|hole| hole.contains(at)));
            assert_eq!(covered, expected, "at {at:?}");
        }
    }
    assert_eq!(around(whole, &[]), [whole]);
    assert!(around(whole, &[whole]).is_empty());
}
