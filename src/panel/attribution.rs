//! What each part of the network adds to a logit at the selected position, and from where the heads fetch it.

use crate::base::question::{MeasurementCall, Reading};
use crate::figure::color::{Color, ColorMap, Scaling};
use crate::figure::difference;
use crate::figure::{
    Along, Anchor, Axis, Cell, ColorBar, Figure, Heat, HeatPick, LegendEntry, Mark, Pick, Plot,
    Ticks,
};

use super::outputs::{array, nothing_after, number, place, reading, sentence, step_text};
use super::tokens::as_id;
use super::{NetShape, Panel, PanelKind, Selection, Stack, View, colors, compare, span};

/// What is known of it before one is made.
pub const KIND: PanelKind = PanelKind {
    title: "Attribution",
    look_for: "The longest bars: the heads and MLPs that speak for a token (its logit) or against it. Below, from which positions the heads fetch what they write.",
    click: "A click on the bar of a head puts it into focus.",
    stack: Stack::MiddleBelow,
    ..PanelKind::new("attribution", || Box::<Attribution>::default())
};

crate::choices! {
    /// Whose logit is taken apart.
    pub enum Of {
        /// That of the right next token.
        Target = "target",
        Likeliest = "likeliest",
        /// The first of them that is known.
        Expected = "right or likeliest",
    }
}

crate::choices! {
    /// What is subtracted from it.
    pub enum Against {
        Nothing = "nothing",
        RunnerUp = "runner-up",
        Mean = "mean",
    }
}

crate::settings! {
    /// The panel `attribution`.
    pub struct Attribution = "What the embedding, each head and each MLP add to the logit of a token at the selected query, and from which positions the heads fetch it." {
        /// Whose logit: that of the right next token, of the likeliest, or of the likeliest where no right one is known.
        of: Of = Of::Expected, @live;
        /// What is subtracted from it: nothing, the logit of the likeliest other token, or the mean of all logits.
        against: Against = Against::RunnerUp, @live;
        /// So many parts, the strongest and the head in focus; where there are more, all others together have one bar.
        parts: usize = 32, in 4..=4096, @live;
        /// Show, below, what each head adds by way of each position that it attends to.
        sources: bool = true, @live;
    }
}

/// With more bars than this, numbers over them would cover each other.
const MOST_NUMBERS: usize = 16;

impl Panel for Attribution {
    fn needs(&self, _net: &NetShape, selection: &Selection) -> Vec<MeasurementCall> {
        selection.query.map(|query| self.call(query)).into_iter().collect()
    }

    fn figure(&self, view: &View<'_>) -> Figure {
        self.draw(view).unwrap_or_else(|instead| instead)
    }

    fn difference(&self, [a, b]: [&View<'_>; 2], drawn: [&Figure; 2]) -> Figure {
        let mut figure = compare::subtracted(drawn, a.palette.dark);
        let (Some(first), Some(query)) = (figure.plots.first_mut(), a.selection.query) else {
            return figure;
        };
        // A part that adds in A and takes away in B has a bar of either colour.
        let of = |view| reading(view, &self.call(query)).map(|answer| parts(view, answer, query));
        if let (Ok(of_a), Ok(of_b)) = (of(a), of(b)) {
            let focus = (a.selection.layer, a.selection.head);
            let plot = bars(a, &strongest(&less(of_a, &of_b), self.parts, focus));
            let label = format!("{}: {}", difference::NAME, plot.y.label);
            *first = Plot { y: Axis { label, ..plot.y }, ..plot };
        }
        figure
    }
}

/// Parts of A, with what they add less what those of B add.
fn less(of_a: Vec<Part>, of_b: &[Part]) -> Vec<Part> {
    let value = |part: &Part| {
        let other = of_b.iter().find(|other| other.name == part.name);
        other.map_or(f32::NAN, |other| part.value - other.value)
    };
    of_a.into_iter().map(|part| Part { value: value(&part), ..part }).collect()
}

/// One part of the network and what it adds.
#[derive(Clone)]
struct Part {
    name: String,
    value: f32,
    head: Option<(usize, usize)>,
}

impl Attribution {
    fn call(&self, query: usize) -> MeasurementCall {
        MeasurementCall::new("attribution")
            .with("position", i64::try_from(query).unwrap_or(0))
            .with("of", self.of.name())
            .with("against", self.against.name())
    }

    fn draw(&self, view: &View<'_>) -> Result<Figure, Figure> {
        if let (None, Some(why)) = (view.readings, view.failure) {
            return Err(sentence(why));
        }
        let Some(query) = view.selection.query else {
            return Err(sentence(
                "Select a query (click a token; for a file: --query N) to see whose doing the prediction after it is.",
            ));
        };
        let answer = reading(view, &self.call(query))?;
        let at = |name: &str| -> Result<f32, Figure> {
            let values = array(answer, name, 1)?;
            values.data.get(query).copied().ok_or_else(|| {
                sentence(format!(
                    "Position {query} is past the end of this sequence: click one of its tokens."
                ))
            })
        };
        let (logit, token, against) = (at("logit")?, at("token")?, at("against")?);
        if token.is_nan() {
            return Err(sentence(format!(
                "After {} {}; choose another position, or set “of” to likeliest.",
                place(view, query),
                nothing_after(view, query)
            )));
        }
        let parts = parts(view, answer, query);
        let shown = strongest(&parts, self.parts, (view.selection.layer, view.selection.head));
        let mut plots = vec![bars(view, &shown)];
        if self.sources {
            plots.extend(sources(view, answer, query, &shown));
        }
        let glyph = |id: f32| format!("“{}”", view.vocab.glyph(as_id(id)));
        let minus = match self.against {
            Against::Nothing => String::new(),
            Against::Mean => " less the mean".to_owned(),
            Against::RunnerUp => format!(" less that of {}", glyph(against)),
        };
        Ok(Figure {
            title: format!(
                "After {}: logit of {}{minus}: {}, {}",
                place(view, query),
                glyph(token),
                signed(logit),
                step_text(view)
            ),
            columns: 1,
            caption: span::sentences([
                caption(&parts, at("rest").unwrap_or(0.0)),
                span::past_maps(&plots),
            ]),
            plots,
            ..Figure::default()
        })
    }
}

/// Says how it is taken apart, and whether anything is missing.
fn caption(parts: &[Part], rest: f32) -> String {
    let mut text =
        "Along the unembedding, with the scale of any final norm held; what a part does through later ones is counted as theirs.".to_owned();
    let size: f32 = parts.iter().map(|part| part.value.abs()).sum();
    if rest.is_finite() && rest.abs() > 1e-3 * size.max(1e-3) {
        text += &format!(
            " {} comes of none of these: an intervention changed the stream in between.",
            signed(rest)
        );
    }
    text
}

/// In the order in which they are computed.
fn parts(view: &View<'_>, answer: &Reading, query: usize) -> Vec<Part> {
    let one = |name: &str, label: String| {
        let value = answer.array(name)?.data.get(query).copied()?;
        Some(Part { name: label, value, head: None })
    };
    let mut parts: Vec<Part> = one("embedding", "embedding".to_owned()).into_iter().collect();
    for layer in 0..view.net.heads.len() {
        parts.extend(one(&format!("attention.layer{layer}"), format!("L{layer} attention")));
        if let Some(heads) = answer.array(&format!("heads.layer{layer}")) {
            let each = 0..heads.shape.first().copied().unwrap_or(0);
            parts.extend(each.filter_map(|head| {
                let value = heads.outer(head).get(query).copied()?;
                Some(Part { name: format!("L{layer} H{head}"), value, head: Some((layer, head)) })
            }));
        }
        parts.extend(one(&format!("bias.layer{layer}"), format!("L{layer} bias")));
        parts.extend(one(&format!("mlp.layer{layer}"), format!("L{layer} MLP")));
    }
    parts.extend(one("constant", "constant".to_owned()).filter(|part| part.value != 0.0));
    parts
}

/// What all but the strongest parts add together, then these and the head in focus in the order in which they are computed.
fn strongest(parts: &[Part], most: usize, focus: (usize, usize)) -> Vec<Part> {
    if parts.len() <= most {
        return parts.to_vec();
    }
    let strength = |part: &Part| match part.head == Some(focus) {
        true => f32::INFINITY,
        false => part.value.abs(),
    };
    let mut order: Vec<usize> = (0..parts.len()).collect();
    order.sort_by(|a, b| strength(&parts[*b]).total_cmp(&strength(&parts[*a])));
    let (shown, others) = order.split_at(most - 1);
    let mut shown = shown.to_vec();
    shown.sort_unstable();
    let value = others.iter().map(|part| parts[*part].value).sum();
    let rest = Part { name: format!("{} others", others.len()), value, head: None };
    std::iter::once(rest).chain(shown.into_iter().map(|part| parts[part].clone())).collect()
}

fn bars(view: &View<'_>, parts: &[Part]) -> Plot {
    let all = || parts.iter().map(|part| f64::from(part.value));
    let limit = span::limit(all());
    let (low, high) = all()
        .filter(|v| v.abs() <= limit)
        .fold((0.0, 0.0), |(a, b): (f64, f64), v| (a.min(v), b.max(v)));
    let room = 0.14 * if high > low { high - low } else { 1.0 };
    let (low, high) = (if low < 0.0 { low - room } else { 0.0 }, high + room);
    let bar = |name: &str, color: Color, wanted: &dyn Fn(f32) -> bool| {
        let (at, values) = parts
            .iter()
            .enumerate()
            .filter(|(_, part)| wanted(part.value))
            .map(|(i, part)| (i as f64 + 0.5, f64::from(part.value)))
            .unzip();
        Mark::Bars { name: name.to_owned(), at, values, base: 0.0, width: 0.7, color }
    };
    // The colours of the map below.
    let map = signed_map(view);
    let (adds, takes) = (map.at(0.82), map.at(0.18));
    let mut marks = vec![
        bar("adds", adds, &|v| v.is_finite() && v >= 0.0),
        bar("takes away", takes, &|v| v.is_finite() && v < 0.0),
        Mark::Line {
            name: String::new(),
            points: [[0.0, 0.0], [parts.len().max(1) as f64, 0.0]].into(),
            color: view.palette.faint,
            width: 0.6,
            dash: crate::figure::Dash::Solid,
        },
    ];
    if parts.len() <= MOST_NUMBERS {
        marks.extend(parts.iter().enumerate().filter(|(_, p)| p.value.is_finite()).map(
            |(i, part)| {
                let beside = if part.value < 0.0 { -0.4 * room } else { 0.4 * room };
                Mark::Text {
                    at: [i as f64 + 0.5, f64::from(part.value) + beside],
                    text: signed(part.value),
                    color: view.palette.ink,
                    anchor: Anchor::Center,
                    size: 8.0,
                }
            },
        ));
    }
    marks.push(Mark::Cells(
        parts
            .iter()
            .enumerate()
            .map(|(i, part)| whole_column(view, i, part, (low, high)))
            .collect(),
    ));
    let names = parts.iter().enumerate().map(|(i, part)| (i as f64 + 0.5, part.name.clone()));
    Plot {
        x: Axis {
            range: (0.0, parts.len().max(1) as f64),
            ticks: Ticks::At(names.collect()),
            ..Axis::default()
        },
        y: Axis { label: "added to the logit".to_owned(), range: (low, high), ..Axis::default() },
        marks,
        legend: vec![LegendEntry::square("adds", adds), LegendEntry::square("takes away", takes)],
        weight: 1.6,
        ..Plot::default()
    }
}

/// Over a bar: what a click picks and a hover says; the selected head has a frame.
fn whole_column(view: &View<'_>, i: usize, part: &Part, (low, high): (f64, f64)) -> Cell {
    let selected = part.head == Some((view.selection.layer, view.selection.head));
    let pick = part.head.map_or(Pick::Nothing, |(layer, head)| Pick::Head { layer, head });
    Cell {
        from: [i as f64 + 0.06, low],
        to: [i as f64 + 0.94, high],
        text: String::new(),
        fill: None,
        stroke: selected.then_some(view.palette.accent),
        ink: view.palette.ink,
        pick,
        hover: format!("{}: {}", part.name, signed(part.value)),
        value: None,
    }
}

/// A row for each head that has a bar, a column for each position up to the query.
fn sources(view: &View<'_>, answer: &Reading, query: usize, shown: &[Part]) -> Option<Plot> {
    let columns = query + 1;
    let (mut names, mut values, mut selected) = (Vec::new(), Vec::new(), None);
    for (layer, head) in shown.iter().filter_map(|part| part.head) {
        let Some(array) = answer.array(&format!("sources.layer{layer}")) else { continue };
        let row = array.outer(head).get(..columns)?;
        if (view.selection.layer, view.selection.head) == (layer, head) {
            selected = Some(names.len());
        }
        names.push(format!("L{layer} H{head}"));
        values.extend_from_slice(row);
    }
    let rows = names.len();
    let most = span::most(&values);
    let most = if most > 0.0 { most } else { 1.0 };
    let places: Vec<String> = (0..columns).map(|position| place(view, position)).collect();
    let ticks = super::outputs::tokens(view).iter().map(|&id| view.vocab.glyph(id)).collect();
    let mut marks = vec![Mark::Heat(Heat {
        name: "sources".to_owned(),
        rows,
        columns,
        values: values.into(),
        map: signed_map(view),
        range: (-most, most),
        pick: HeatPick::Named { rows: names.clone().into(), columns: places.into() },
        ..Heat::default()
    })];
    let frame = |from: [f64; 2], to: [f64; 2], color| Mark::Rect {
        from,
        to,
        fill: None,
        stroke: Some(color),
        width: 1.5,
    };
    if let Some(row) = selected {
        let row = row as f64;
        marks.push(frame([0.0, row], [columns as f64, row + 1.0], view.palette.accent));
    }
    if let Some(key) = view.selection.key.filter(|key| *key < columns) {
        let key = key as f64;
        marks.push(frame([key, 0.0], [key + 1.0, rows as f64], colors::KEY));
    }
    let named = names.into_iter().enumerate().map(|(i, name)| (i as f64 + 0.5, name));
    (rows > 0).then(|| Plot {
        title: "from which position".to_owned(),
        x: Axis {
            label: "position attended to".to_owned(),
            range: (0.0, columns as f64),
            along: Along::Values,
            ticks: Ticks::Each(ticks),
        },
        y: Axis { range: (rows as f64, 0.0), ticks: Ticks::At(named.collect()), ..Axis::default() },
        marks,
        color_bar: Some(ColorBar {
            label: "added".to_owned(),
            map: signed_map(view),
            range: (-most, most),
            scaling: Scaling::Linear,
        }),
        ..Plot::default()
    })
}

/// Colours of what is added and taken away.
fn signed_map(view: &View<'_>) -> ColorMap {
    ColorMap::Vik.on(view.palette.dark)
}

/// With a sign, and a minus as long as a plus.
fn signed(value: f32) -> String {
    if value.is_nan() {
        return number(value);
    }
    let small = value != 0.0 && value.abs() < 0.005;
    let text = if small { format!("{value:+.0e}") } else { format!("{value:+.2}") };
    text.replace('-', "−")
}
