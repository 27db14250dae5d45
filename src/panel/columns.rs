//! The columns of a run's metrics in plain words.

/// A column: its name in the file, its name for a person, and what it says.
struct Column {
    name: &'static str,
    readable: &'static str,
    help: &'static str,
}

/// What is drawn on one pair of axes, because it has one unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    Loss,
    /// Losses of digits, or whatever a task follows by themselves.
    LossByGroup,
    /// Losses of their parts.
    LossByPart,
    Accuracy,
    Memory,
    Divergence,
    /// Squared errors of predicted numbers.
    SquaredError,
    /// Shares of squares that are explained.
    Explained,
    /// Trained numbers.
    Value,
    Head,
    /// Scores of heads on sequences of the task, where there are others on random tokens.
    HeadOnTask,
    /// The best of all heads in a score.
    BestHead,
    Norm,
    Gradient,
    Other,
}

impl Family {
    pub const ALL: &'static [Self] = &[
        Self::Loss,
        Self::SquaredError,
        Self::Value,
        Self::Explained,
        Self::Accuracy,
        Self::LossByGroup,
        Self::LossByPart,
        Self::BestHead,
        Self::Memory,
        Self::Divergence,
        Self::Head,
        Self::HeadOnTask,
        Self::Norm,
        Self::Gradient,
        Self::Other,
    ];

    pub fn of(column: &str) -> Self {
        // First match wins; anything a new measurement records lands in the last.
        const PREFIXES: &[(&str, Family)] = &[
            ("squared_error_", Family::SquaredError),
            ("explained_", Family::Explained),
            ("value_", Family::Value),
            ("loss_by_digit_", Family::LossByGroup),
            ("loss_by_", Family::LossByPart),
            ("loss", Family::Loss),
            ("accuracy", Family::Accuracy),
            ("repeat_share", Family::Accuracy),
            ("memory_use", Family::Accuracy),
            ("retrieval_right", Family::Accuracy),
            ("recall", Family::Memory),
            ("kl_", Family::Divergence),
            ("norm_", Family::Norm),
            ("grad_norm_", Family::Gradient),
            ("grad_memory_", Family::Gradient),
            ("prefix_matching_task", Family::HeadOnTask),
            ("copying_task", Family::HeadOnTask),
            ("duplicate_token_task", Family::HeadOnTask),
            ("prefix_matching", Family::Head),
            ("copying", Family::Head),
            ("previous_token", Family::Head),
            ("duplicate_token", Family::Head),
            ("edge_concatenation", Family::Head),
            ("goal_copy", Family::Head),
            ("deduction", Family::Head),
            ("induction_score", Family::Head),
            ("predicted_attended", Family::Head),
        ];
        if column.ends_with("_best") && COLUMNS.iter().any(|known| known.name == column) {
            return Self::BestHead;
        }
        let found = PREFIXES.iter().find(|(prefix, _)| column.starts_with(prefix));
        found.map_or(Self::Other, |(_, family)| *family)
    }

    /// Label of the axis, with its unit.
    pub fn axis(self) -> &'static str {
        match self {
            Self::Loss => "loss (nats)",
            Self::LossByGroup | Self::LossByPart => "loss by group (nats)",
            Self::Accuracy => "accuracy",
            Self::Memory => "share stored",
            Self::Divergence => "divergence (nats)",
            Self::SquaredError => "squared error",
            Self::Explained => "share explained",
            Self::Value => "trained number",
            Self::Head => "head score",
            Self::HeadOnTask => "head score on the task",
            Self::BestHead => "best head",
            Self::Norm => "norm",
            Self::Gradient => "gradient norm",
            Self::Other => "value",
        }
    }

    /// Whether its values are shares of 1.
    pub fn is_share(self) -> bool {
        matches!(
            self,
            Self::Accuracy | Self::Memory | Self::Head | Self::HeadOnTask | Self::BestHead
        )
    }
}

const COLUMNS: &[Column] = &[
    Column { name: "step", readable: "step", help: "Updates of the weights done so far." },
    Column {
        name: "loss",
        readable: "loss, all tokens",
        help: "Mean cross-entropy in nats of the next token, over all positions of the held-out sequences.",
    },
    Column {
        name: "loss_global",
        readable: "loss, global tokens",
        help: "Cross-entropy in nats where only the global statistics say what follows.",
    },
    Column {
        name: "loss_in_context",
        readable: "loss, in-context tokens",
        help: "Cross-entropy in nats where the answer was seen before in the same sequence.",
    },
    Column {
        name: "loss_text",
        readable: "loss, a text",
        help: "Mean cross-entropy in nats of the next token of a short English text, the same at every step.",
    },
    Column {
        name: "loss_repeats_first",
        readable: "loss, random tokens",
        help: "Mean cross-entropy in nats on random tokens when they come for the first time: nobody can know them.",
    },
    Column {
        name: "loss_repeats_again",
        readable: "loss, random tokens again",
        help: "Mean cross-entropy in nats on the same random tokens when they come again: it falls once the network looks up what followed.",
    },
    Column {
        name: "prefix_matching_best",
        readable: "best induction head",
        help: "The largest score of all heads in prefix matching: attention on the tokens that followed earlier copies of the query's token, in repeated random sequences.",
    },
    Column {
        name: "copying_best",
        readable: "best copying head",
        help: "The largest score of all heads in copying: the share of what a head raises in the logits that goes to the tokens it attends to.",
    },
    Column {
        name: "previous_token_random_best",
        readable: "best previous-token head",
        help: "The largest mean attention of any head on the token just before, in repeated random sequences.",
    },
    Column {
        name: "duplicate_token_best",
        readable: "best duplicate-token head",
        help: "The largest mean attention of any head on earlier copies of the query's token, in repeated random sequences.",
    },
    Column {
        name: "accuracy",
        readable: "accuracy, all tokens",
        help: "Share of all positions whose likeliest token is the right one.",
    },
    Column {
        name: "accuracy_in_context",
        readable: "in-context accuracy",
        help: "Share of right answers where the answer was seen before in the same sequence.",
    },
    Column {
        name: "accuracy_other_outputs",
        readable: "in-context accuracy, other outputs",
        help: "In-context accuracy on sequences whose outputs follow a law that training does not use.",
    },
    Column {
        name: "accuracy_triggered",
        readable: "accuracy after triggers",
        help: "Share of right answers after every trigger, its first occurrence included, where nobody can know.",
    },
    Column {
        name: "accuracy_triggered_start",
        readable: "accuracy after triggers, first 10 positions",
        help: "Share of right answers after triggers among the first ten positions of a sequence, where there is hardly anything to remember.",
    },
    Column {
        name: "repeat_share",
        readable: "triggers that follow themselves",
        help: "Share of triggers whose right answer is the trigger itself: what repeating the token would get right.",
    },
    Column {
        name: "accuracy_first_step",
        readable: "accuracy, first step",
        help: "Share of trees whose first step from the root is right: the one that takes a climb from the goal.",
    },
    Column {
        name: "chain_depth",
        readable: "layers that climb",
        help: "Layers in a row whose most attended edge is the one that backward chaining needs, on paths long enough for all layers.",
    },
    Column {
        name: "recall_wo2",
        readable: "output W_O2",
        help: "Share of tokens whose value in the second layer raises their own logit most.",
    },
    Column {
        name: "recall_wk2",
        readable: "induction W_K2",
        help: "Share of triggers whose query in the second layer finds the tokens that followed them.",
    },
    Column {
        name: "recall_wk1",
        readable: "previous W_K1",
        help: "Share of positions whose query in the first layer finds the position just before.",
    },
    Column {
        name: "recall_wk1_early",
        readable: "early W_K1",
        help: "Share of the first 64 positions whose query in the first layer finds the position just before; they are learned first.",
    },
    Column {
        name: "kl_wf",
        readable: "global law W_F",
        help: "Divergence in nats of what W_F predicts from the law of the next token; 0 is perfect.",
    },
    Column {
        name: "previous_token_score",
        readable: "looks at the previous token (layer 0)",
        help: "Share of first outputs of a trigger where the first layer's largest attention is on the token just before.",
    },
    Column {
        name: "previous_token_score_all",
        readable: "looks at the previous token, all outputs",
        help: "The same over the outputs of all occurrences.",
    },
    Column {
        name: "previous_token_score_attended",
        readable: "looks at the previous token, where attended",
        help: "The same at the positions that the second layer attends to most.",
    },
    Column {
        name: "induction_score",
        readable: "looks after an earlier copy (layer 1)",
        help: "Share of repeated triggers where the second layer's largest attention is on a token that follows an earlier copy.",
    },
    Column {
        name: "predicted_attended",
        readable: "predicts the token it attends to",
        help: "Share of repeated triggers where the likeliest token is the one that the second layer attends to most.",
    },
    Column {
        name: "excess_global",
        readable: "excess loss, global tokens",
        help: "What the loss on global tokens is above that of the true law: 0 is as good as anyone can be.",
    },
    Column {
        name: "accuracy_last",
        readable: "accuracy, last position",
        help: "Share of right answers at the last position of sequences, which takes all that came before.",
    },
    Column {
        name: "accuracy_longer",
        readable: "accuracy, four times as long",
        help: "Share of right answers in the last quarter of sequences that are four times as long as those of training: 1 where a rule was learned that goes on, that of guessing where it was a shortcut.",
    },
    Column {
        name: "accuracy_dense",
        readable: "accuracy, many writes",
        help: "Share of right answers on sequences in which few instructions are ignored: many writes stand close together.",
    },
    Column {
        name: "accuracy_sparse",
        readable: "accuracy, long gaps",
        help: "Share of right answers on sequences in which nearly all instructions are ignored: what is read was written long before.",
    },
    Column {
        name: "memory_use",
        readable: "what the memory is worth",
        help: "Accuracy minus that of the same network when each segment is read as if it were the first: 0 where nothing that is carried is needed.",
    },
    Column {
        name: "retrieval_right",
        readable: "right segment retrieved",
        help: "Share of sequences whose last segment retrieves most from the memory of the segment that it asks for.",
    },
    Column {
        name: "accuracy_first",
        readable: "accuracy, first machine",
        help: "Share of right answers at symbols of the first of two machines.",
    },
    Column {
        name: "accuracy_second",
        readable: "accuracy, second machine",
        help: "Share of right answers at symbols of the second of two machines.",
    },
    Column {
        name: "accuracy_sequence",
        readable: "whole sequences right",
        help: "Share of held-out sequences in which every answer is right. Single answers get right by shortcuts; all of them, only by a memory.",
    },
    Column {
        name: "accuracy_discriminating",
        readable: "accuracy, where shortcuts fail",
        help: "Share of right answers where at least one shortcut that minds the register would answer wrongly.",
    },
    Column {
        name: "accuracy_base_add",
        readable: "accuracy, nothing carried in",
        help: "Share of right digits of sums into which nothing is carried (BA).",
    },
    Column {
        name: "accuracy_use_carry",
        readable: "accuracy, one carried in",
        help: "Share of right digits of sums into which one is carried, of places that do not add up to nine (UC1).",
    },
    Column {
        name: "accuracy_use_sum_9",
        readable: "accuracy, one carried through",
        help: "Share of right digits of sums into which one is carried, of places that add up to nine and carry it on (US9): it takes two places or more to know it.",
    },
    Column {
        name: "accuracy_recall",
        readable: "accuracy, what is known",
        help: "Share of right answers where no sentence contradicts what is known of the subject.",
    },
    Column {
        name: "accuracy_copied",
        readable: "accuracy, copied",
        help: "Of sequences in which a sentence contradicts a fact: the share in which what it says is told.",
    },
    Column {
        name: "accuracy_recalled",
        readable: "accuracy, recalled",
        help: "Of sequences in which a sentence contradicts a fact: the share in which the fact is told.",
    },
    Column {
        name: "accuracy_more_digits",
        readable: "whole sums right, a digit more",
        help: "Share of sums whose digits are all right, of numbers with one digit more than those of training: who learned a rule is right, who learned by rote is not.",
    },
    Column {
        name: "accuracy_smaller",
        readable: "accuracy, larger number before",
        help: "Share of right answers where a larger number came before: the number itself is not the answer.",
    },
    Column {
        name: "accuracy_path",
        readable: "accuracy, steps of paths",
        help: "Share of right next nodes over all positions of the paths.",
    },
    Column {
        name: "input_gate",
        readable: "input gate (keys)",
        help: "What happens to later answers when the keys of a tuple are taken from a sequence with the other instruction: 1 is the whole effect of the instruction, 0 none.",
    },
    Column {
        name: "input_gate_tuple",
        readable: "input gate (keys of the whole tuple)",
        help: "The same of the keys at all positions of the tuple: a network may keep the address elsewhere.",
    },
    Column {
        name: "output_gate",
        readable: "output gate (queries)",
        help: "What happens to an answer when its query is taken from a question to another register: 1 is the whole effect of the register, 0 none.",
    },
    Column {
        name: "role_addressability",
        readable: "addresses of registers",
        help: "Effect of the keys of a Store whose register is another one, over the reads of both registers, less the effect on reads that it should not touch.",
    },
    Column {
        name: "gate_dissociation_input",
        readable: "input gate less queries",
        help: "The input gate less the effect of the queries on the same pairs: 1 where keys alone gate.",
    },
    Column {
        name: "gate_dissociation_output",
        readable: "output gate less keys",
        help: "The output gate less the effect of the keys on the same pairs: 1 where queries alone gate.",
    },
    Column {
        name: "content_values",
        readable: "content in values",
        help: "Effect of the values of a Store whose symbol is another one: 1 where values carry what is stored.",
    },
    Column {
        name: "content_keys_queries",
        readable: "content in keys and queries",
        help: "Effect of its keys and of the query of the read together: 0 where they carry the address alone.",
    },
    Column {
        name: "gate_null",
        readable: "gate control",
        help: "Size of the effects of query and values where a Store is denied: 0 where keys do all.",
    },
    Column {
        name: "gate_specificity",
        readable: "gate spill",
        help: "What the keys of a denied Store do to reads of another register, over the whole effect: 0 is none.",
    },
    Column {
        name: "gate_pairs",
        readable: "gate pairs that count",
        help: "Share of the pairs of sequences that both runs get right, over which the gates are measured.",
    },
];

/// Columns of which there is one per head or per tensor: what stands before the head or the tensor.
const SERIES: &[Column] = &[
    Column {
        name: "prefix_matching_task_",
        readable: "prefix matching, task",
        help: "Attention on tokens that follow earlier copies of the query's token, in sequences of the task where the answer was seen before.",
    },
    Column {
        name: "copying_task_",
        readable: "copying, task",
        help: "Share of what the head raises in the logits that goes to the tokens it attends to, in sequences of the task where the answer was seen before.",
    },
    Column {
        name: "duplicate_token_task_",
        readable: "duplicate token, task",
        help: "Attention on earlier copies of the query's token, in sequences of the task where the answer was seen before.",
    },
    Column {
        name: "previous_token_random_",
        readable: "previous token, random",
        help: "Mean attention on the token just before, in repeated random sequences.",
    },
    Column {
        name: "prefix_matching_",
        readable: "prefix matching",
        help: "Attention on tokens that follow earlier copies of the query's token, in repeated random sequences.",
    },
    Column {
        name: "copying_",
        readable: "copying",
        help: "Share of what the head raises in the logits that goes to the tokens it attends to.",
    },
    Column {
        name: "previous_token_",
        readable: "previous token",
        help: "Mean attention on the token just before.",
    },
    Column {
        name: "duplicate_token_",
        readable: "duplicate token",
        help: "Attention on earlier copies of the query's token, in repeated random sequences.",
    },
    Column {
        name: "edge_concatenation_",
        readable: "lower end looks at upper end",
        help: "Mean attention from the lower end of an edge to its upper end, the position before.",
    },
    Column {
        name: "goal_copy_",
        readable: "path looks at the goal",
        help: "Mean attention from the positions of the path to the goal.",
    },
    Column {
        name: "deduction_",
        readable: "climbs an edge",
        help: "Mean attention from the root to the edge that leads down to the node held, if each layer before has climbed an edge.",
    },
    Column {
        name: "accuracy_path_",
        readable: "accuracy, paths of length",
        help: "Share of the paths with so many edges that are right from the first step to the last.",
    },
    Column {
        name: "loss_by_digit_",
        readable: "loss, digit",
        help: "Loss of this digit of the sum in nats; digit 0 are the ones.",
    },
    Column {
        name: "loss_by_case_",
        readable: "loss, case",
        help: "Loss of the digits of sums of this case in nats: base_add, nothing is carried in; use_carry, one is; use_sum_9, one is, and carried on because the digits add up to nine.",
    },
    Column {
        name: "loss_by_both_",
        readable: "loss, digit and case",
        help: "Loss of this digit of the sum in nats, in sums where it is of this case.",
    },
    Column {
        name: "squared_error_of_",
        readable: "reference",
        help: "Mean squared error of a predictor without a network on the held-out sequences, the same at every step.",
    },
    Column {
        name: "squared_error_",
        readable: "squared error",
        help: "Mean squared error of this predicted number on the held-out sequences.",
    },
    Column {
        name: "explained_beyond_",
        readable: "explained beyond",
        help: "1 less the squared error over that of this reference: 0 is as good as the reference, 1 leaves no error.",
    },
    Column {
        name: "explained_",
        readable: "explained",
        help: "1 less the squared error of this predicted number over the square of its target: 0 is as good as predicting 0, 1 leaves no error.",
    },
    Column { name: "value_", readable: "value", help: "The trained number itself, with its sign." },
    Column {
        name: "norm_",
        readable: "norm",
        help: "Frobenius norm of the tensor: the root of the sum of all its squared values.",
    },
    Column {
        name: "competition_information_",
        readable: "what the winner tells (bits)",
        help: "Mutual information, in bits, between the mechanism with the largest share at a position and what the task says of the position: 0 where the one tells nothing of the other.",
    },
    Column {
        name: "grad_memory_back",
        readable: "gradient norm, memory",
        help: "Norm of the gradient of a sequence's loss with respect to the memory at the border between two segments so many before the last: where none comes, nothing teaches what to keep.",
    },
    Column {
        name: "grad_norm_",
        readable: "gradient norm",
        help: "Frobenius norm of the tensor's gradient in the last update, before clipping.",
    },
];

/// A column's name for a person and what it says; a column nobody described goes by its own kind.
pub fn describe(column: &str) -> (&'static str, &'static str) {
    let exact = COLUMNS.iter().find(|c| c.name == column);
    let series = || SERIES.iter().find(|c| column.starts_with(c.name));
    exact.or_else(series).map_or(("recorded number", ""), |c| (c.readable, c.help))
}

/// Whether any run may have such a column.
pub fn is_known(column: &str) -> bool {
    !describe(column).1.is_empty()
}

/// The text of a legend: the readable name, with head or tensor where there is one per head or tensor.
pub fn label(column: &str) -> String {
    if let Some(known) = COLUMNS.iter().find(|c| c.name == column) {
        return known.readable.to_owned();
    }
    match SERIES.iter().find_map(|c| Some((c.readable, column.strip_prefix(c.name)?))) {
        Some((readable, rest))
            if readable.starts_with("squared") || readable.starts_with("ref") =>
        {
            format!("{readable}, {}", rest.replace('_', " "))
        }
        Some((readable, rest)) => format!("{readable}, {}", head_name(rest)),
        None => column.replace('_', " "),
    }
}

/// Names beside an axis that already says what is measured: short enough for the room beside a plot.
const BESIDE_AXIS: &[(&str, &str)] = &[
    ("accuracy_in_context", "in-context"),
    ("accuracy_other_outputs", "in-context, other outputs"),
    ("accuracy_triggered", "after triggers"),
    ("accuracy_triggered_start", "after triggers, first 10"),
    ("repeat_share", "triggers repeated"),
    ("kl_wf", "W_F from the law"),
    ("previous_token_score", "previous (layer 0)"),
    ("previous_token_score_all", "previous, all outputs"),
    ("previous_token_score_attended", "previous, attended"),
    ("induction_score", "induction (layer 1)"),
    ("predicted_attended", "predicts the attended"),
    ("prefix_matching_best", "induction"),
    ("copying_best", "copying"),
    ("previous_token_random_best", "previous token"),
    ("duplicate_token_best", "duplicate token"),
];

/// The same beside an axis that already says what is measured.
pub fn legend(column: &str) -> String {
    if let Some((_, short)) = BESIDE_AXIS.iter().find(|(name, _)| *name == column) {
        return (*short).to_owned();
    }
    let label = label(column);
    let short = ["loss, ", "accuracy, ", "norm, ", "gradient norm, ", "squared error, ", "value, "]
        .iter()
        .find_map(|p| label.strip_prefix(p));
    short.map(str::to_owned).unwrap_or(label)
}

/// `l1h0` as `L1 H0`; anything else as it is.
fn head_name(text: &str) -> String {
    let parts = text.strip_prefix('l').and_then(|rest| rest.split_once('h'));
    match parts {
        Some((layer, head)) if layer.parse::<u32>().is_ok() && head.parse::<u32>().is_ok() => {
            format!("L{layer} H{head}")
        }
        _ => text.to_owned(),
    }
}
