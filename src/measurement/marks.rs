//! Emergence marks: written rules over the recorded metrics that say when a capability has formed.

use serde::{Deserialize, Serialize};

use super::Subject;
use crate::base::event::{Mark, MarkKind, MetricsRow};
use crate::model::memories::Memories;
use crate::nn::params::Param;
use crate::task::automaton::Machine;
use crate::task::has_occurrences;

/// Evaluations in a row for which a rule must hold before its mark is set; the mark bears the step of the
/// first of them. One lucky evaluation is not a capability.
pub const IN_A_ROW: u32 = 3;

/// The rules that apply to one run, and how far each has come. A mark is set once and stays.
pub struct Marks {
    rules: Vec<&'static Rule>,
    columns: Vec<String>,
    facts: Facts,
    progress: Vec<Progress>,
}

impl Marks {
    /// Takes the rules whose columns the run records and that can occur in it.
    pub fn new(columns: &[String], facts: Facts) -> Self {
        let mut rules: Vec<&'static Rule> = Vec::new();
        for rule in &RULES {
            let listed = rules.iter().any(|r| r.id == rule.id);
            let recorded = rule.conditions.iter().all(|c| c.quantity.recorded(columns));
            if !listed && recorded && (rule.can_occur)(facts) {
                rules.push(rule);
            }
        }
        let progress = rules.iter().map(|rule| Progress::new(rule.id)).collect();
        Self { rules, columns: columns.to_vec(), facts, progress }
    }

    /// The same rules over rows of other columns; what a row does not hold is undefined.
    pub fn over(&mut self, columns: &[String]) {
        self.columns = columns.to_vec();
    }

    /// Looks at the next evaluation; the marks that it sets, in the order of the rules.
    pub fn observe(&mut self, row: &MetricsRow) -> Vec<Mark> {
        let mut set = Vec::new();
        for (rule, progress) in self.rules.iter().zip(&mut self.progress) {
            let holds = rule
                .conditions
                .iter()
                .all(|c| c.quantity.value(&self.columns, row, self.facts) >= c.at_least);
            if progress.observe(holds, row.step) {
                set.push(Mark {
                    step: progress.since.unwrap_or(row.step),
                    kind: MarkKind::Emergence,
                    id: rule.id.to_owned(),
                    text: rule.name.to_owned(),
                });
            }
        }
        set
    }

    /// Name and meaning of every rule of this run.
    pub fn rules(&self) -> Vec<(&'static str, &'static str)> {
        self.rules.iter().map(|rule| (rule.name, rule.sentence)).collect()
    }

    /// The ids of the marks that it may set.
    pub fn ids(&self) -> Vec<&'static str> {
        self.rules.iter().map(|rule| rule.id).collect()
    }

    /// What training is at: the first thing that has not formed yet and can with what is trained `now`, or what formed
    /// last of all.
    pub fn state_in_words(&self, now: Facts) -> String {
        let all = self.rules.iter().zip(&self.progress);
        if let Some((rule, goal)) = all.clone().next_back().filter(|(_, p)| p.set) {
            return format!("{} at step {}", rule.name, goal.since.unwrap_or(0));
        }
        let ahead: Vec<&Rule> = all.filter(|(_, p)| !p.set).map(|(rule, _)| *rule).collect();
        match (ahead.iter().find(|rule| (rule.can_occur)(now)), ahead.first()) {
            (Some(next), _) => next.before.to_owned(),
            (None, Some(held)) => format!("{} waits: what it needs is frozen", held.before),
            (None, None) => "training".to_owned(),
        }
    }

    /// Takes a mark as set that another run has set, which this one goes on from.
    pub fn carry_over(&mut self, mark: &Mark) {
        for progress in self.progress.iter_mut().filter(|p| p.rule == mark.id) {
            (progress.since, progress.in_a_row, progress.set) = (Some(mark.step), IN_A_ROW, true);
        }
    }

    /// All that a run needs to set the same marks after an interruption.
    pub fn state(&self) -> State {
        State(self.progress.clone())
    }

    /// Takes up where `state` was; rules that it does not know stay as they are.
    pub fn restore(&mut self, state: &State) {
        for (rule, progress) in self.rules.iter().zip(&mut self.progress) {
            // Checkpoints of before rules had ids call them by their names.
            let is = |saved: &&Progress| saved.rule == rule.id || saved.rule == rule.name;
            if let Some(saved) = state.0.iter().find(is) {
                *progress = Progress { rule: rule.id.to_owned(), ..saved.clone() };
            }
        }
    }
}

/// The state of the rules of a run, to be kept with its checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State(Vec<Progress>);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Progress {
    /// Its id.
    rule: String,
    /// First evaluation of those in a row for which the rule holds.
    since: Option<u64>,
    in_a_row: u32,
    set: bool,
}

impl Progress {
    fn new(rule: &str) -> Self {
        Self { rule: rule.to_owned(), since: None, in_a_row: 0, set: false }
    }

    /// Whether this evaluation sets the mark.
    fn observe(&mut self, holds: bool, step: u64) -> bool {
        if self.set {
            return false;
        }
        if !holds {
            (self.since, self.in_a_row) = (None, 0);
            return false;
        }
        self.since.get_or_insert(step);
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.set = self.in_a_row >= IN_A_ROW;
        self.set
    }
}

/// What must be known of an experiment to say which marks can occur in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Tokens of the vocabulary.
    pub vocab: usize,
    /// The loss counts positions whose target only the global law determines.
    pub global_in_loss: bool,
    /// Something that is trained leads from a token to the law of the next one without attention.
    pub global_memory: bool,
    /// Layers that attend.
    pub attention_layers: usize,
    /// Answers stand in the context: nothing else asks for an output memory or for heads.
    pub triggers: bool,
    /// Something that the output memory is made of is trained.
    pub output_memory: bool,
    /// Something that tells the first layer where to attend is trained.
    pub first_keys: bool,
    /// The same of the second layer.
    pub second_keys: bool,
    /// What is to be learned is a machine.
    pub machine: bool,
}

impl Facts {
    /// `global_in_loss`: the loss covers all positions, not only repeated outputs. `frozen` are tensors that the model
    /// trains and this run never does.
    pub fn new(subject: Subject<'_>, global_in_loss: bool, frozen: &[String]) -> Self {
        let layout = subject.model.layout();
        let params = subject.params;
        let is_trained =
            |p: &Param| params.is_trained(*p) && !frozen.iter().any(|name| name == params.name(*p));
        let memories = subject.model.memories();
        // A network whose matrices are no memories always trains something on these ways.
        let any = |of: fn(&Memories) -> Vec<Param>| {
            memories.as_ref().is_none_or(|memories| of(memories).iter().any(is_trained))
        };
        Self {
            vocab: layout.vocab,
            global_in_loss,
            global_memory: any(Memories::of_global_law),
            output_memory: any(Memories::of_outputs),
            first_keys: any(|m| m.of_keys(&m.layers[0])),
            second_keys: any(|m| m.of_keys(&m.layers[1])),
            triggers: has_occurrences(subject.source),
            machine: subject.source.facet::<Machine>().is_some(),
            attention_layers: layout.heads.iter().filter(|&&n| n > 0).count(),
        }
    }
}

struct Rule {
    /// For programs: that of its mark.
    id: &'static str,
    name: &'static str,
    /// What goes on until the rule holds.
    before: &'static str,
    sentence: &'static str,
    can_occur: fn(Facts) -> bool,
    /// All must hold of an evaluation.
    conditions: &'static [Condition],
}

struct Condition {
    quantity: Quantity,
    at_least: f64,
}

/// A number out of a row of metrics.
enum Quantity {
    Column(&'static str),
    /// The largest of the columns whose names begin so.
    Largest(&'static str),
    /// How far the loss on global tokens has come from that of uniform guesses (0) to that of the true law (1).
    GlobalLearned,
}

/// What a network does on the few pairs that it happens to get right is no gate.
const MOST_PAIRS: Condition = Condition { quantity: Quantity::Column("gate_pairs"), at_least: 0.5 };

/// In the order in which they are expected; of two with one id, the first whose columns are recorded. A
/// table in `docs/metrics.md` gives the reasons for the thresholds.
const RULES: [Rule; 18] = [
    Rule {
        id: "global_statistics_learned",
        name: "global statistics learned",
        before: "learning global statistics",
        sentence: "the loss on global tokens has come seven tenths of the way from uniform guesses to the true law",
        can_occur: |facts| facts.global_in_loss && facts.global_memory,
        conditions: &[Condition { quantity: Quantity::GlobalLearned, at_least: 0.7 }],
    },
    Rule {
        id: "output_memory",
        name: "output memory formed",
        before: "forming the output memory",
        sentence: "W_O2 recalls at least half of all tokens",
        can_occur: |facts| facts.triggers && facts.output_memory,
        conditions: &[Condition { quantity: Quantity::Column("recall_wo2"), at_least: 0.5 }],
    },
    Rule {
        id: "previous_token_head",
        name: "previous-token head formed",
        before: "forming the previous-token head",
        sentence: "after at least half of all first triggers the first layer attends to the previous token",
        can_occur: |facts| facts.triggers && facts.first_keys,
        conditions: &[Condition {
            quantity: Quantity::Column("previous_token_score"),
            at_least: 0.5,
        }],
    },
    Rule {
        id: "previous_token_head",
        name: "previous-token head formed",
        before: "forming the previous-token head",
        sentence: "one head gives at least half of its attention to the previous token",
        can_occur: |facts| facts.triggers && facts.first_keys,
        conditions: &[Condition { quantity: Quantity::Largest("previous_token_l"), at_least: 0.5 }],
    },
    Rule {
        id: "previous_token_head",
        name: "previous-token head formed",
        before: "forming the previous-token head",
        sentence: "one head gives at least half of its attention to the previous token, on random tokens",
        can_occur: |_| true,
        conditions: &[Condition {
            quantity: Quantity::Column("previous_token_random_best"),
            at_least: 0.5,
        }],
    },
    Rule {
        id: "four_gram_learned",
        name: "4-gram learned",
        before: "learning the 4-gram",
        sentence: "ninety-nine hundredths of the squares of the 4-gram target are explained",
        can_occur: |_| true,
        conditions: &[Condition {
            quantity: Quantity::Column("explained_four_gram"),
            at_least: 0.99,
        }],
    },
    Rule {
        id: "plateau_left",
        name: "plateau left",
        before: "waiting on a plateau",
        sentence: "the error of the in-context 2-gram is a tenth below that of a uniform mean",
        can_occur: |_| true,
        conditions: &[Condition {
            quantity: Quantity::Column("explained_beyond_uniform"),
            at_least: 0.1,
        }],
    },
    Rule {
        id: "induction_head",
        name: "induction head formed",
        before: "forming the induction head",
        sentence: "the error of the in-context 2-gram is a quarter of that of a uniform mean: the product of the weights is about half of the target's",
        can_occur: |_| true,
        conditions: &[Condition {
            quantity: Quantity::Column("explained_beyond_uniform"),
            at_least: 0.75,
        }],
    },
    Rule {
        id: "in_context_learned",
        name: "in-context 2-gram learned",
        before: "learning the in-context 2-gram",
        sentence: "ninety-nine hundredths of the squares of the in-context 2-gram target are explained",
        can_occur: |_| true,
        conditions: &[Condition {
            quantity: Quantity::Column("explained_induction"),
            at_least: 0.99,
        }],
    },
    Rule {
        id: "induction_head",
        name: "induction head formed",
        before: "forming the induction head",
        sentence: "nine in ten repeated outputs are predicted, and for three in four of them the second layer attends to what followed the trigger before",
        can_occur: induction_can_form,
        conditions: &[
            Condition { quantity: Quantity::Column("accuracy_in_context"), at_least: 0.9 },
            Condition { quantity: Quantity::Column("induction_score"), at_least: 0.75 },
        ],
    },
    Rule {
        id: "induction_head",
        name: "induction head formed",
        before: "forming the induction head",
        sentence: "nine in ten repeated outputs are predicted",
        can_occur: induction_can_form,
        conditions: &[Condition {
            quantity: Quantity::Column("accuracy_in_context"),
            at_least: 0.9,
        }],
    },
    Rule {
        id: "induction_head",
        name: "induction head formed",
        before: "forming the induction head",
        sentence: "on repeated random tokens one head gives at least half of its attention to what followed the token before",
        can_occur: |_| true,
        conditions: &[Condition {
            quantity: Quantity::Column("prefix_matching_best"),
            at_least: 0.5,
        }],
    },
    Rule {
        id: "output_gate",
        name: "output gate formed",
        before: "forming the output gate",
        sentence: "most pairs are answered rightly, and in those taking the query of a read from one of another register does at least half of what that register would",
        can_occur: |_| true,
        conditions: &[
            MOST_PAIRS,
            Condition { quantity: Quantity::Column("output_gate"), at_least: 0.5 },
        ],
    },
    Rule {
        id: "input_gate",
        name: "input gate formed",
        before: "forming the input gate",
        sentence: "most pairs are answered rightly, and in those taking the keys of a tuple from one with the other instruction does at least half of what the instruction does",
        can_occur: |_| true,
        conditions: &[
            MOST_PAIRS,
            Condition { quantity: Quantity::Column("input_gate"), at_least: 0.5 },
        ],
    },
    Rule {
        id: "memory_carries",
        name: "memory carries",
        before: "learning to carry a memory",
        sentence: "nine in ten answers are right, and at least three in ten of all are wrong when each segment is read as if it were the first",
        can_occur: |_| true,
        conditions: &[
            Condition { quantity: Quantity::Column("accuracy"), at_least: 0.9 },
            Condition { quantity: Quantity::Column("memory_use"), at_least: 0.3 },
        ],
    },
    Rule {
        id: "machine_learned",
        name: "machine learned",
        before: "learning the machine",
        sentence: "in nineteen of twenty held-out sequences the state is told rightly after every symbol",
        can_occur: |facts| facts.machine,
        conditions: &[Condition {
            quantity: Quantity::Column("accuracy_sequence"),
            at_least: 0.95,
        }],
    },
    Rule {
        id: "extrapolates",
        name: "extrapolates",
        before: "learning to go on",
        sentence: "nineteen in twenty answers are right in the last quarter of sequences four times as long as those of training",
        can_occur: |_| true,
        conditions: &[Condition { quantity: Quantity::Column("accuracy_longer"), at_least: 0.95 }],
    },
    Rule {
        id: "solved",
        name: "solved",
        before: "learning to get whole sequences right",
        sentence: "in ninety-nine of a hundred held-out sequences every answer is right",
        can_occur: |_| true,
        conditions: &[Condition {
            quantity: Quantity::Column("accuracy_sequence"),
            at_least: 0.99,
        }],
    },
];

/// Both layers must find their way, and what they find must be put out.
fn induction_can_form(facts: Facts) -> bool {
    facts.attention_layers >= 2
        && facts.triggers
        && facts.output_memory
        && facts.first_keys
        && facts.second_keys
}

impl Quantity {
    fn recorded(&self, columns: &[String]) -> bool {
        match self {
            Self::Column(name) => columns.iter().any(|c| c == name),
            Self::Largest(prefix) => columns.iter().any(|c| c.starts_with(prefix)),
            Self::GlobalLearned => {
                ["loss_global", "excess_global"].iter().all(|n| columns.iter().any(|c| c == n))
            }
        }
    }

    /// NaN where undefined.
    fn value(&self, columns: &[String], row: &MetricsRow, facts: Facts) -> f64 {
        let pairs = || columns.iter().zip(&row.values);
        let column =
            |name: &str| pairs().find(|(c, _)| *c == name).map_or(f64::NAN, |(_, value)| *value);
        match self {
            Self::Column(name) => column(name),
            Self::Largest(prefix) => pairs()
                .filter(|(c, _)| c.starts_with(prefix))
                .map(|(_, value)| *value)
                .fold(f64::NAN, f64::max),
            Self::GlobalLearned => {
                let excess = column("excess_global");
                let of_uniform = (facts.vocab as f64).ln() - (column("loss_global") - excess);
                1.0 - excess / of_uniform
            }
        }
    }
}
