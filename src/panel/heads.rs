//! All heads at a glance: a small attention map for each, layers downwards.

use crate::figure::color::ColorMap;
use crate::figure::{Axis, Figure, Heat, HeatPick, Mark, Pick, Plot, Ticks};
use crate::record::question::{ProbeCall, Reading};

use super::answer::{Pattern, pattern, reading, sentence, step_text, tokens};
use super::{NetShape, Panel, Selection, View, ink};

crate::choices! {
    /// The share of attention written above a thumbnail.
    pub enum Score {
        Nothing = "nothing",
        Previous = "previous token",
        Induction = "induction",
    }
}

crate::knobs! {
    /// The panel `heads`.
    pub struct Heads = "All heads at a glance: layers downwards, heads side by side, each a small map of its attention on the sequence in view." {
        /// Colours of the maps.
        map: ColorMap = ColorMap::Viridis, @live;
        /// Each map has a scale of its own, from 0 to its largest value; off: all run from 0 to 1.
        own_scale: bool = true, @live;
        /// A number above each map, measured on the sequence in view: the mean share of attention on the token just before, or on tokens that follow an earlier copy of the query (where there is one).
        score: Score = Score::Nothing, @live;
    }
}

impl Panel for Heads {
    fn needs(&self, _net: &NetShape, _selection: &Selection) -> Vec<ProbeCall> {
        vec![ProbeCall::new("attention")]
    }

    fn figure(&self, view: &View<'_>) -> Figure {
        let columns = view.net.heads.iter().copied().max().unwrap_or(0);
        if columns == 0 {
            return sentence(
                "This network has no attention heads, so there is no attention to show.",
            );
        }
        let answer = match reading(view, &ProbeCall::new("attention")) {
            Ok(answer) => answer,
            Err(instead) => return instead,
        };
        Figure {
            title: format!("Attention of all heads, {}", step_text(view)),
            plots: self.grid(view, answer, columns),
            columns,
            caption: String::new(),
            empty: None,
        }
    }
}

impl Heads {
    /// Row by row; a layer with fewer heads is filled up with empty plots, one without heads left out.
    fn grid(&self, view: &View<'_>, answer: &Reading, columns: usize) -> Vec<Plot> {
        let layers = view.net.heads.iter().enumerate().filter(|(_, heads)| **heads > 0);
        let most_cells = thumbnail_cells(view, columns);
        layers
            .flat_map(|(layer, &heads)| {
                (0..columns).map(move |head| {
                    if head >= heads {
                        return blank();
                    }
                    self.thumbnail(view, answer, layer, head, most_cells)
                })
            })
            .collect()
    }

    fn thumbnail(
        &self,
        view: &View<'_>,
        answer: &Reading,
        layer: usize,
        head: usize,
        most_cells: usize,
    ) -> Plot {
        let Ok(full) = pattern(answer, layer, head) else { return blank() };
        let (side, values) = shrink(full, most_cells);
        let most = values.iter().copied().filter(|v| v.is_finite()).fold(0.0, f32::max);
        let top = if self.own_scale && most > 0.0 { most } else { 1.0 };
        let mut marks = vec![Mark::Heat(Heat {
            name: format!("layer {layer} head {head}"),
            rows: side,
            columns: side,
            values: values.into(),
            map: self.map,
            range: (0.0, top),
            log: false,
            causal: true,
            pick: HeatPick::Nothing,
        })];
        let side = side as f64;
        if (layer, head) == (view.selection.layer, view.selection.head) {
            marks.push(Mark::Rect {
                from: [0.0, 0.0],
                to: [side, side],
                fill: None,
                stroke: Some(ink::KEY),
                width: 3.0,
            });
        }
        let axis = |range| Axis { range, ticks: Ticks::Hidden, ..Axis::default() };
        Plot {
            title: self.title(view, full, layer, head),
            x: axis((0.0, side)),
            y: axis((side, 0.0)),
            equal: true,
            marks,
            pick: Pick::Head { layer, head },
            ..Plot::default()
        }
    }

    fn title(&self, view: &View<'_>, full: Pattern<'_>, layer: usize, head: usize) -> String {
        let score = match self.score {
            Score::Nothing => None,
            Score::Previous => previous_token_share(full),
            Score::Induction => induction_share(full, tokens(view)),
        };
        score.map_or_else(|| format!("L{layer} H{head}"), |s| format!("L{layer} H{head}  {s:.2}"))
    }
}

/// Mean attention to the token just before, over all queries that have one.
fn previous_token_share(pattern: Pattern<'_>) -> Option<f32> {
    mean((1..pattern.queries).map(|query| pattern.at(query, query - 1)))
}

/// Mean, over queries whose token stood in the sequence before, of the attention on all tokens that follow
/// an earlier copy of it.
fn induction_share(pattern: Pattern<'_>, tokens: &[u32]) -> Option<f32> {
    let queries = 0..pattern.queries.min(tokens.len());
    mean(queries.filter_map(|query| {
        let keys = super::attention::induction_keys(tokens, query);
        (!keys.is_empty()).then(|| keys.iter().map(|&key| pattern.at(query, key)).sum())
    }))
}

fn mean(values: impl Iterator<Item = f32>) -> Option<f32> {
    let (mut sum, mut count) = (0.0, 0.0);
    for value in values.filter(|v| v.is_finite()) {
        (sum, count) = (sum + value, count + 1.0);
    }
    (count > 0.0).then(|| sum / count)
}

/// Cells along the side of a thumbnail: no more than the points it has room for.
fn thumbnail_cells(view: &View<'_>, columns: usize) -> usize {
    let width = view.size[0] / columns.max(1) as f32;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
    let cells = width.clamp(16.0, 128.0) as usize;
    cells
}

/// A pattern in at most `most` cells a side. Each cell keeps the largest value it stands for, so that a
/// sharp diagonal stays sharp instead of fading into the mean.
fn shrink(pattern: Pattern<'_>, most: usize) -> (usize, Vec<f32>) {
    let length = pattern.queries.max(pattern.keys);
    let side = length.min(most).max(1);
    let mut values = vec![f32::NAN; side * side];
    for query in 0..pattern.queries {
        for (key, &value) in pattern.row(query).iter().enumerate().take(query + 1) {
            let cell = &mut values[(query * side / length) * side + key * side / length];
            *cell = cell.max(value);
        }
    }
    (side, values)
}

fn blank() -> Plot {
    let hidden = || Axis { ticks: Ticks::Hidden, ..Axis::default() };
    Plot { x: hidden(), y: hidden(), equal: true, ..Plot::default() }
}
