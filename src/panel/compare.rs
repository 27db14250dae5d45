//! Two subjects in one panel: A and B beside each other on the same scales, and A − B with colours around zero.

use crate::base::question::{MeasurementCall, Reading};
use crate::figure::Figure;
use crate::figure::difference::{self, difference};

use super::outputs::{Pattern, overview_call, reading, sentence};
use super::tokens::as_id;
use super::{Panel, PanelKind, View, scales};

crate::choices! {
    /// What of a comparison is drawn.
    #[derive(Default)]
    pub enum Showing {
        #[default]
        Difference = "A − B",
        Beside = "A | B",
        All = "A | B | A − B",
    }
}

impl Showing {
    /// What can be typed for [`Self::NAMES`] on any keyboard, in the same order.
    pub const WORDS: &'static [&'static str] = &["difference", "beside", "all"];

    /// The one of a name, or of what can be typed for it.
    pub fn named(name: &str) -> Option<Self> {
        let index = |names: &[&str]| names.iter().position(|known| *known == name);
        index(Self::NAMES).or_else(|| index(Self::WORDS)).map(|index| Self::ALL[index])
    }

    /// How many pictures of a panel that is.
    pub fn count(self, kind: &PanelKind) -> usize {
        match self {
            _ if kind.compares != Compares::Parts => 1,
            Self::Difference => 1,
            Self::Beside => 2,
            Self::All => 3,
        }
    }
}

/// How a panel is compared with another subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compares {
    /// It draws one subject: two are drawn beside each other, or subtracted.
    Parts,
    /// It draws one subject, or two in one picture.
    Together,
    /// It draws what differs, and nothing else.
    Itself,
    /// Not at all: it draws several runs as they are, or a course of time.
    Never,
}

/// Rows and columns of so many pictures of a panel in a room, so that each is as large as it can be.
pub fn grid(kind: &PanelKind, count: usize, [width, height]: [f32; 2]) -> [usize; 2] {
    let n = count.max(1) as f32;
    let fitting = |width: f32, height: f32| width.min(height / kind.aspect);
    match fitting(width / n, height) >= fitting(width, height / n) {
        true => [1, count],
        false => [count, 1],
    }
}

/// The figures of a comparison, in order; `a` and `b` have the room of one of them.
pub fn figures(
    kind: &PanelKind,
    panel: &dyn Panel,
    [a, b]: [&View<'_>; 2],
    showing: Showing,
) -> Vec<Figure> {
    let said = said(a, b, kind.is_of_head);
    match showing {
        _ if matches!(kind.compares, Compares::Itself | Compares::Together) => {
            vec![panel.figure(&View { against: Some(b), beside: &[], ..*a })]
        }
        Showing::Difference => {
            let [of_a, of_b] = both(panel, a, b);
            let title = minus(&said);
            vec![Figure { title, ..panel.difference([a, b], [&of_a, &of_b]) }]
        }
        Showing::Beside => beside(panel, [a, b], said).into(),
        Showing::All => {
            let [a_drawn, b_drawn] = beside(panel, [a, b], said);
            let less = panel.difference([a, b], [&a_drawn, &b_drawn]);
            // The other two say what A and B are.
            let title = difference::NAME.to_owned();
            vec![a_drawn, b_drawn, Figure { title, ..less }]
        }
    }
}

/// The figures of both, each of which may look at the other.
fn both(panel: &dyn Panel, a: &View<'_>, b: &View<'_>) -> [Figure; 2] {
    let of =
        |one: &View<'_>, other: &View<'_>| panel.figure(&View { against: Some(other), ..*one });
    [of(a, b), of(b, a)]
}

fn beside(panel: &dyn Panel, [a, b]: [&View<'_>; 2], [said_a, said_b]: [String; 2]) -> [Figure; 2] {
    let [mut first, mut second] = both(panel, a, b);
    if first.plots.len() == second.plots.len() {
        for (a, b) in first.plots.iter_mut().zip(&mut second.plots) {
            scales::share(&mut [a, b]);
        }
    }
    first.title = format!("A: {said_a}");
    second.title = format!("B: {said_b}");
    [first, second]
}

/// The title of a difference of two subjects, each in its words.
pub fn minus([said_a, said_b]: &[String; 2]) -> String {
    format!("{}: {said_a} minus {said_b}", difference::NAME)
}

/// One figure minus another, or the sentence that says why there is no difference.
pub fn subtracted([a, b]: [&Figure; 2], dark: bool) -> Figure {
    difference(a, b, dark).unwrap_or_else(sentence)
}

/// What each of two subjects is, in as few words as tell them apart: its step, and its run, its head (where that is looked at) and
/// what is in force where these are not those of the other.
pub fn said(a: &View<'_>, b: &View<'_>, is_of_head: bool) -> [String; 2] {
    [words(a, b, is_of_head), words(b, a, is_of_head)]
}

fn words(one: &View<'_>, other: &View<'_>, is_of_head: bool) -> String {
    let run = |view: &View<'_>| view.runs.first().map(|(name, _)| name.clone());
    let head = |view: &View<'_>| (view.selection.layer, view.selection.head);
    let step = one.readings.map(|readings| readings.step).or(one.step);
    let mut words = vec![step.map_or_else(String::new, |step| format!("step {step}"))];
    if run(one) != run(other) {
        words.push(run(one).unwrap_or_default());
    }
    if is_of_head && head(one) != head(other) {
        let (layer, head) = head(one);
        words.push(format!("L{layer} H{head}"));
    }
    if in_force(one) != in_force(other) {
        words.push(in_force(one));
    }
    words.retain(|word| !word.is_empty());
    words.join(", ")
}

/// What is in force, in words.
fn in_force(view: &View<'_>) -> String {
    let Some(readings) = view.readings else { return String::new() };
    match &readings.interventions[..] {
        [] => "nothing in force".to_owned(),
        [one] => one.in_words(),
        several => format!("{} changes in force", several.len()),
    }
}

/// The positions after which the likeliest token of A is not that of B.
pub fn differing_predictions(a: &View<'_>, b: &View<'_>) -> Vec<usize> {
    let call = MeasurementCall::new("predictions");
    let likeliest = |view: &View<'_>| -> Vec<String> {
        let answer = reading(view, &call).ok();
        let Some(tokens) = answer.and_then(|answer| answer.array("token")) else {
            return Vec::new();
        };
        let first = (0..tokens.shape.first().copied().unwrap_or(0)).map(|at| tokens.outer(at)[0]);
        first.map(|id| view.vocab.glyph(as_id(id))).collect()
    };
    let (a, b) = (likeliest(a), likeliest(b));
    (0..a.len().min(b.len())).filter(|at| a[*at] != b[*at]).collect()
}

/// The attention patterns of all heads, A minus B, as an answer of `attention` has them.
///
/// # Errors
/// The figure to show in their place: they are not known, or of other shapes.
pub fn patterns(a: &View<'_>, b: &View<'_>) -> Result<Reading, Figure> {
    let call = overview_call(a.net);
    let (of_a, of_b) = (reading(a, &call)?, reading(b, &call)?);
    if a.net.is_large() {
        return Err(sentence(
            "The patterns of all heads of a large network are not kept whole, so that they are not subtracted: side by side shows both, and the panel Attention subtracts those of the head in focus.",
        ));
    }
    let mut less = of_a.minus(of_b);
    // What is drawn small is made of the whole: the largest of two differences is not the difference of the largest.
    less.arrays.retain(|array| array.name.starts_with(PATTERN));
    let whole = of_a.arrays.iter().filter(|array| array.name.starts_with(PATTERN));
    match whole.clone().find(|array| less.array(&array.name).is_none()) {
        None => Ok(less),
        Some(array) => Err(sentence(format!(
            "Nothing to subtract: \"{}\" of A has the shape {:?}, and B has none like it. Side by side shows both.",
            array.name, array.shape
        ))),
    }
}

/// What the names of whole patterns begin with.
const PATTERN: &str = "pattern.";

/// How much of the attention goes elsewhere, on average over queries: half the sum of the sizes of a difference of patterns (total
/// variation distance), 0 to 1.
pub fn moved(difference: Pattern<'_>) -> f32 {
    let sum: f32 = difference.values.iter().filter(|v| v.is_finite()).map(|v| v.abs()).sum();
    sum / (2.0 * difference.queries.max(1) as f32)
}
