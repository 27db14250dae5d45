//! The machine that was found in hidden states, beside the true one.

mod answer;
mod drawing;
mod graph;
mod placed;
mod words;

use crate::base::analysis::{Automata, Grouping};
use crate::base::convert::narrow;
use crate::base::question::{Found, MeasurementCall};
use crate::figure::color::Color;
use crate::figure::{Along, Axis, Cell, Figure, Mark, Pick, Plot, Ticks};

use super::outputs::{array, long_answer, place, sentence, tokens};
use super::positions::{self, Window};
use super::{Memory, NetShape, Panel, PanelKind, Selection, Stack, View, colors};
use answer::{Answer, Machine, numbers};
use graph::{Edge, Graph, Node};
use placed::Placed;
use words::{grouped, in_words, labels, named, percent};

/// What is known of it before one is made.
pub const KIND: PanelKind = PanelKind {
    title: "Automaton",
    look_for: "The same picture twice: where the machine that was found in the hidden states has the states and arrows of the true one, the network is that machine. Pale arrows are unsure, orange ones were not found.",
    click: "A click on a state selects the next position of the sequence in view at which the network is in it; one on what stands beside an arrow the next at which it is taken (as the query, with the position before as the key).",
    stack: Stack::RightBelow,
    turn: 5,
    aspect: 0.95,
    example: "parity-gru",
    controls: &[("method", "Group by"), ("clusters", "Clusters"), ("place", "Read from")],
    ..PanelKind::new("automaton", || Box::<Automaton>::default())
};

crate::settings! {
    /// The panel `automaton`: machines of the analysis of the same name.
    pub struct Automaton = "The machine that was found in the hidden states of the network, beside the true one, and the hidden states themselves: which symbol leads from which state to which, and how surely." {
        /// The question.
        asked: Automata = Automata::default();
        /// The hidden states on their two principal axes, coloured by the state that was found.
        vectors: bool = true, @live;
        /// The sequence in view, coloured by the state after each symbol.
        sequence: bool = true, @live;
    }
}

/// More states are not drawn: nothing could be read.
const MOST_STATES: usize = 32;
/// Of them those that are none of the true ones, which stand inside the circle.
const MOST_INSIDE: usize = 12;
/// What is said before the first strings are read.
const WAITING: &str = "Where this panel is in view the machine in the network is looked for: its strings are being read.";

impl Panel for Automaton {
    fn needs(&self, _net: &NetShape, _selection: &Selection) -> Vec<MeasurementCall> {
        Vec::new()
    }

    fn analyses(&self, _net: &NetShape, _selection: &Selection) -> Vec<MeasurementCall> {
        vec![self.call()]
    }

    fn figure(&self, view: &View<'_>) -> Figure {
        self.next_figure(view, &mut Memory::default())
    }

    fn next_figure(&self, view: &View<'_>, memory: &mut Memory) -> Figure {
        self.draw(view, memory).unwrap_or_else(|instead| instead)
    }
}

impl Automaton {
    /// The analysis with these settings; those that say nothing are left out.
    fn call(&self) -> MeasurementCall {
        let whole = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        let Automata { method, clusters, components, bins, place, strings, length } = &self.asked;
        let mut call = MeasurementCall::new("automaton").with("strings", whole(*strings));
        call = match method {
            Grouping::Clusters => call.with("clusters", whole(*clusters)),
            Grouping::Grid => call
                .with("method", method.name())
                .with("components", whole(*components))
                .with("bins", whole(*bins)),
        };
        if !place.trim().is_empty() {
            call = call.with("place", place.trim());
        }
        if *length > 0 {
            call = call.with("length", whole(*length));
        }
        call
    }

    fn draw(&self, view: &View<'_>, memory: &mut Memory) -> Result<Figure, Figure> {
        let (reading, found) = long_answer(view, &self.call(), WAITING)?;
        if reading.arrays.is_empty() {
            return Err(sentence(WAITING));
        }
        let answer = Answer::new(reading)?;
        let placed = Placed::new(&answer, memory)?;
        memory.keep(placed.clone());
        let sheet = Sheet { view, answer: &answer, placed: &placed };
        let caption = sheet.caption();
        let room = self.room(view, &caption);
        let mut plots = vec![sheet.found(room), sheet.truth(room)];
        if room.has_more && self.vectors {
            let weight = if room.columns == 3 { 1.0 } else { SIDE };
            plots.push(Plot { wide: room.columns == 2, weight, ..sheet.vectors()? });
        }
        if room.has_more && self.sequence && !answer.here.is_empty() {
            plots.push(sheet.sequence());
        }
        Ok(Figure {
            title: title(&answer, found),
            plots,
            columns: room.columns,
            caption,
            ..Figure::default()
        })
    }

    /// How the page is divided, if this stands at its foot.
    fn room(&self, view: &View<'_>, caption: &str) -> Room {
        let [width, height] = view.size;
        let has_more = height > LEAST;
        let (vectors, sequence) = (has_more && self.vectors, has_more && self.sequence);
        let columns = match width / height.max(1.0) {
            wide if wide > 1.7 && vectors => 3,
            wide if wide > 0.6 => 2,
            _ => 1,
        };
        let beside = if columns == 3 || !vectors { 0.0 } else { SIDE };
        let below = if sequence { LOW } else { 0.0 };
        let rows = 2usize.div_ceil(columns) as f32 + beside + below;
        let lines = (caption.chars().count() as f32 * LETTER / width.max(1.0)).ceil();
        let taken = LINE * (lines + 2.0);
        let of_graph = [width / columns as f32 - LINE, (height - taken) / rows - 2.0 * LINE];
        Room { columns, has_more, of_graph: of_graph.map(|side| side.clamp(20.0, 4000.0)) }
    }
}

/// Arrows at least as sure say nothing of it.
const SURE: f64 = 0.995;
/// In larger machines there is no room for that.
const MOST_WITH_SHARES: usize = 8;
/// Symbols that stand beside an arrow.
const MOST_SYMBOLS: usize = 4;

/// How high the sequence in view is drawn, in heights of a graph, and the vectors where they stand below.
const LOW: f32 = 0.14;
const SIDE: f32 = 0.5;
/// In less than so many points of height the two machines need all of it.
const LEAST: f32 = 180.0;
/// Width of a letter of the caption and height of a line, in points, about.
const LETTER: f32 = 3.3;
const LINE: f32 = 10.0;

/// How a figure is divided.
#[derive(Clone, Copy)]
struct Room {
    columns: usize,
    /// Whether there is room for more than the two machines.
    has_more: bool,
    /// Points across and down.
    of_graph: [f32; 2],
}

/// The first sentence: is it the true machine?
fn title(answer: &Answer<'_>, found: &Found) -> String {
    let (states, truth) = (answer.found.next.len(), answer.truth.next.len());
    let step = found.step;
    if answer.reading.number("is_same") == Some(1.0) {
        return format!("The true machine, found in the network: {states} states, step {step}");
    }
    match states {
        same if same == truth => {
            format!("Not the true machine: {states} states too, but other arrows, step {step}")
        }
        _ => {
            format!("Not the true machine: {states} states found where it has {truth}, step {step}")
        }
    }
}

/// What is drawn, of what.
struct Sheet<'a> {
    view: &'a View<'a>,
    answer: &'a Answer<'a>,
    placed: &'a Placed,
}

impl Sheet<'_> {
    fn glyph(&self, token: Option<u32>) -> String {
        token.map_or_else(|| "?".to_owned(), |token| self.view.vocab.glyph(token))
    }

    /// States that tell the same have one colour, the later ones paler.
    fn color(&self, slot: usize, label: Option<u32>) -> Color {
        let palette = self.view.palette;
        let truth = &self.answer.truth.label;
        let Some(family) = labels(truth).iter().position(|other| Some(*other) == label) else {
            return colors::quiet(palette);
        };
        let alike = (0..slot).filter(|other| truth.get(*other) == Some(&label)).count();
        let full = colors::line(palette, family);
        colors::mix(full, palette.paper, (0.22 * alike as f32).min(0.66))
    }

    fn color_of_state(&self, state: usize) -> Color {
        self.color(self.placed.slot[state], self.answer.found.label[state])
    }

    /// What a found state is called: what it tells, and a number where several tell it.
    fn name(&self, state: usize) -> String {
        named(&self.answer.found, state, |token| self.glyph(token))
    }

    /// The true machine decides where states stand: those that lead to each other side by side.
    fn places(&self) -> Vec<drawing::At> {
        let truth = &self.answer.truth.next;
        let places = drawing::places(&drawing::around(truth));
        let last = self.placed.slot.iter().max().map_or(0, |slot| slot + 1);
        let inside = drawing::inside(last.saturating_sub(truth.len()));
        places.into_iter().chain(inside).collect()
    }

    fn found(&self, room: Room) -> Plot {
        let Answer { found, partner, .. } = self.answer;
        let title = format!("Found: {} states", found.next.len());
        let inside = partner.iter().filter(|partner| partner.is_none()).count();
        if found.next.len() > MOST_STATES || inside > MOST_INSIDE {
            return too_many(title, self.view, found.next.len());
        }
        let places = self.places();
        let nodes = (0..found.next.len()).map(|state| self.node(state, &places)).collect();
        let edges = grouped(&found.next).into_iter();
        let edges = edges.map(|(ends, actions)| self.edge(ends, &actions)).collect();
        Graph { nodes, edges }.plot(title, self.view.palette, room.of_graph)
    }

    fn node(&self, state: usize, places: &[drawing::At]) -> Node {
        let Answer { found, reading, .. } = self.answer;
        let at = self.visits(|_, after| after == Some(state));
        let share =
            |name: &str| Some(*reading.array(name)?.data.get(state)?).filter(|x| x.is_finite());
        let told = self.glyph(found.label[state]);
        let pure = share("purity").map(|share| {
            format!("\nthe network tells “{told}” at {} of its vectors", percent(share))
        });
        let partner =
            self.answer.partner[state].is_none().then_some("\nno state of the true machine");
        Node {
            at: places.get(self.placed.slot[state]).copied().unwrap_or_default(),
            text: told,
            fill: self.color_of_state(state),
            is_start: found.start == Some(state),
            is_selected: self.selected_state() == Some(state),
            hover: format!(
                "state {}{}{}{}",
                self.name(state),
                pure.unwrap_or_default(),
                partner.unwrap_or_default(),
                in_words(at.iter().map(|visit| visit.at))
            ),
            pick: self.next_of(&at, false),
            value: share("purity").map(|share| ("purity", f64::from(share))),
        }
    }

    fn edge(&self, [from, to]: [usize; 2], actions: &[usize]) -> Edge {
        let moves = &self.answer.moves[from];
        let seen: f32 = actions.iter().map(|action| moves[*action].0).sum();
        let sure: f32 = actions.iter().map(|action| moves[*action].0 * moves[*action].1).sum();
        let share = if seen > 0.0 { f64::from(sure / seen) } else { 0.0 };
        let taken = |before: Option<usize>, after| before == Some(from) && after == Some(to);
        let at = self.visits(taken);
        let each = actions.iter().map(|action| {
            let (seen, share) = moves[*action];
            let symbol = self.glyph(self.answer.actions.get(*action).copied());
            format!("\n{symbol}: {} of {seen:.0} times", percent(share))
        });
        let symbols = self.symbols(actions);
        let unsure = share < SURE && self.answer.found.next.len() <= MOST_WITH_SHARES;
        let text = match unsure {
            true => format!("{symbols} {:.0}%", (100.0 * share).floor()),
            false => symbols,
        };
        Edge {
            ends: [from, to],
            text,
            share,
            color: self.view.palette.ink,
            hover: format!(
                "from {} to {}{}{}",
                self.name(from),
                self.name(to),
                each.collect::<String>(),
                in_words(at.iter().map(|visit| visit.at))
            ),
            pick: self.next_of(&at, true),
        }
    }

    /// The actions of an arrow, the first few of many.
    fn symbols(&self, actions: &[usize]) -> String {
        let name = |action: &usize| self.glyph(self.answer.actions.get(*action).copied());
        let names: Vec<String> = actions.iter().take(MOST_SYMBOLS).map(name).collect();
        let more = if actions.len() > MOST_SYMBOLS { " …" } else { "" };
        format!("{}{more}", names.join(" "))
    }

    /// The true machine, with what was not found of it in orange.
    fn truth(&self, room: Room) -> Plot {
        let Answer { truth, .. } = self.answer;
        let title = format!("True: {} states", truth.next.len());
        if truth.next.len() > MOST_STATES {
            return too_many(title, self.view, truth.next.len());
        }
        let places = self.places();
        let node = |state: usize| Node {
            at: places[state],
            text: self.glyph(truth.label[state]),
            fill: self.color(state, truth.label[state]),
            is_start: truth.start == Some(state),
            is_selected: false,
            hover: format!("true state {}", named(truth, state, |token| self.glyph(token))),
            pick: Pick::Nothing,
            value: None,
        };
        let nodes = (0..truth.next.len()).map(node).collect();
        let edges = grouped(&truth.next).into_iter().flat_map(|(ends, actions)| {
            let (found, missed): (Vec<usize>, Vec<usize>) =
                actions.into_iter().partition(|action| self.is_found(ends, *action));
            let ink = self.view.palette.ink;
            [(found, ink, ""), (missed, colors::TARGET, " (not found)")]
                .into_iter()
                .filter(|(actions, ..)| !actions.is_empty())
                .map(|(actions, color, note)| self.true_edge(ends, &actions, color, note))
                .collect::<Vec<Edge>>()
        });
        let edges = edges.collect();
        Graph { nodes, edges }.plot(title, self.view.palette, room.of_graph)
    }

    fn true_edge(&self, ends: [usize; 2], actions: &[usize], color: Color, note: &str) -> Edge {
        let [from, to] = ends.map(|state| named(&self.answer.truth, state, |t| self.glyph(t)));
        let text = self.symbols(actions);
        let hover = format!("from {from} to {to} by {text}{note}");
        Edge { ends, text, share: 1.0, color, hover, pick: Pick::Nothing }
    }

    /// Whether the found state that stands for a true one leads where that one leads.
    fn is_found(&self, [from, to]: [usize; 2], action: usize) -> bool {
        let Answer { partner, found, .. } = self.answer;
        let found_from = partner.iter().position(|partner| *partner == Some(from));
        let next = found_from.and_then(|state| found.next[state][action]);
        next.is_some_and(|next| partner[next] == Some(to))
    }

    /// The hidden states on two axes.
    fn vectors(&self) -> Result<Plot, Figure> {
        let points = array(self.answer.reading, "points", 2)?;
        let states = numbers(self.answer.reading, "point_state")?;
        let along = points.data.chunks_exact(points.shape[1]);
        let places: Vec<[f64; 2]> = along.map(|point| self.on_page(point)).collect();
        let quiet = colors::quiet(self.view.palette);
        let known = |state: &Option<usize>| state.filter(|state| *state < self.placed.slot.len());
        let color = |state| known(state).map_or(quiet, |state| self.color_of_state(state));
        Ok(Plot {
            title: "Hidden states on the axes of most variance".to_owned(),
            x: self.axis(0, &places),
            y: self.axis(1, &places),
            marks: vec![Mark::Points {
                name: "hidden states".to_owned(),
                colors: states.iter().map(color).collect(),
                points: places.into(),
                diameter: 2.6,
                picks: [].into(),
            }],
            ..Plot::default()
        })
    }

    fn axis(&self, i: usize, places: &[[f64; 2]]) -> Axis {
        let share = self.placed.basis.explained.get(i).copied().unwrap_or(0.0);
        Axis {
            label: format!("axis {}, {:.0} %", i + 1, 100.0 * share),
            range: range(places.iter().map(|place| place[i])),
            along: Along::Values,
            ticks: Ticks::Hidden,
        }
    }

    fn on_page(&self, point: &[f32]) -> [f64; 2] {
        let along = self.placed.basis.along(point);
        [0, 1].map(|i| along.get(i).copied().map_or(0.0, f64::from))
    }

    /// The symbols of the sequence in view, coloured by the states after them.
    fn sequence(&self) -> Plot {
        let length = self.answer.here.len();
        let (from, to) = Window::Near.of(self.view.selection, length);
        let axis = |range| Axis { range, ticks: Ticks::Hidden, ..Axis::default() };
        Plot {
            title: format!(
                "The sequence in view, by the state after each symbol.{}",
                positions::about((from, to), length)
            ),
            x: axis((from as f64, (to as f64).max(from as f64 + 1.0))),
            y: axis((0.0, 1.0)),
            marks: vec![Mark::Cells((from..to).map(|at| self.symbol(at)).collect())],
            weight: LOW,
            wide: true,
            ..Plot::default()
        }
    }

    fn symbol(&self, at: usize) -> Cell {
        let (state, _) = self.answer.here[at];
        let token = tokens(self.view).get(at).copied();
        let fill = state.map_or(colors::unseen(self.view.palette), |s| self.color_of_state(s));
        let then = state.map_or("no state was found here".to_owned(), |s| self.name(s));
        let is_selected = self.view.selection.query == Some(at);
        Cell {
            from: [at as f64, 0.0],
            to: [at as f64 + 1.0, 1.0],
            text: token.map(|token| self.view.vocab.glyph(token)).unwrap_or_default(),
            fill: Some(fill),
            stroke: is_selected.then_some(self.view.palette.ink),
            ink: colors::text_on(fill),
            pick: Pick::Query(at),
            hover: format!("{}: then {then}", place(self.view, at)),
            value: state.map(|state| ("state", state as f64)),
        }
    }

    /// The state before each symbol of the sequence in view, and the positions at which `holds` is true of it and of the state after.
    fn visits(&self, holds: impl Fn(Option<usize>, Option<usize>) -> bool) -> Vec<Visit> {
        let mut before = (self.answer.found.start, None);
        let mut visits = Vec::new();
        for (at, (state, action)) in self.answer.here.iter().enumerate() {
            if action.is_none() {
                continue;
            }
            if holds(before.0, *state) {
                visits.push(Visit { at, before: before.1 });
            }
            before = (*state, Some(at));
        }
        visits
    }

    /// Selects the first of these positions after the one that is selected, or the first of all.
    fn next_of(&self, visits: &[Visit], with_before: bool) -> Pick {
        let after = |visit: &&Visit| self.view.selection.query.is_none_or(|at| visit.at > at);
        let Some(Visit { at, before }) = visits.iter().find(after).or(visits.first()) else {
            return Pick::Nothing;
        };
        match before.filter(|_| with_before) {
            Some(key) => Pick::QueryKey { query: *at, key },
            None => Pick::Query(*at),
        }
    }

    fn selected_state(&self) -> Option<usize> {
        self.answer.here.get(self.view.selection.query?)?.0
    }

    fn caption(&self) -> String {
        let number = |name: &str| self.answer.reading.number(name).filter(|x| x.is_finite());
        let (states, truth) = (self.answer.found.next.len(), self.answer.truth.next.len());
        let groups = number("groups").unwrap_or(0.0);
        let mut text = format!(
            "{states} states after minimising {groups:.0} groups; the true machine has {truth}{}.",
            match number("machine_states").filter(|all| *all > truth as f64) {
                Some(all) => format!(" that these strings reach, of {all:.0}"),
                None => String::new(),
            }
        );
        let judged = number("agreement").zip(number("accuracy")).zip(number("network_accuracy"));
        if let Some(((agreement, accuracy), network)) = judged {
            let [agreement, accuracy, network] =
                [agreement, accuracy, network].map(|x| percent(narrow(x)));
            let [strings, length, trained] =
                ["strings", "length", "trained_length"].map(|name| number(name).unwrap_or(0.0));
            text += &format!(
                " On {strings:.0} strings of {length:.0} symbols (training: {trained:.0}) it tells what the network tells at {agreement} of them and what is right at {accuracy}; the network is right at {network}."
            );
        }
        text += &self.apart();
        self.answer.reading.notes.iter().for_each(|note| text += &format!(" {note}"));
        text
    }

    /// The shortest string after which the two machines differ.
    fn apart(&self) -> String {
        let Ok(word) = numbers(self.answer.reading, "apart") else { return String::new() };
        let symbol = |action: &usize| self.glyph(self.answer.actions.get(*action).copied());
        let symbols: Vec<String> = word.iter().flatten().map(symbol).collect();
        let told = |machine: &Machine| {
            let step = |state: usize, action: &Option<usize>| {
                machine.next[state].get((*action)?).copied()?
            };
            let state = word.iter().try_fold(machine.start?, step)?;
            Some(self.glyph(machine.label[state]))
        };
        match told(&self.answer.found).zip(told(&self.answer.truth)) {
            Some((found, truth)) => {
                format!(" After {} it tells “{found}” where “{truth}” is right.", symbols.join(" "))
            }
            None => String::new(),
        }
    }
}

/// A position of the sequence in view, and that of the symbol before.
struct Visit {
    at: usize,
    before: Option<usize>,
}

/// From the least to the largest, with some room beside.
fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let ends = |(low, high): (f64, f64), x: f64| (low.min(x), high.max(x));
    let (low, high) = values.filter(|x| x.is_finite()).fold((0.0, 0.0), ends);
    let room = (0.06 * (high - low)).max(1e-6);
    (low - room, high + room)
}

/// In the place of a machine of which nothing could be read.
fn too_many(title: String, view: &View<'_>, states: usize) -> Plot {
    let text = format!("{states} states: too many to draw");
    let word = graph::word([-1.0, -0.2], [1.0, 0.2], text, view.palette.faint);
    let axis = || Axis { range: (-1.0, 1.0), ticks: Ticks::Hidden, ..Axis::default() };
    Plot { title, x: axis(), y: axis(), marks: vec![Mark::Cells(vec![word])], ..Plot::default() }
}
