//! The words of this field, in two vocabularies: that of working memory and that of transformers.

/// A term: as those who study memory would say it, as those who study transformers do, and what it is in a sentence or two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term {
    pub memory: &'static str,
    pub transformer: &'static str,
    pub says: &'static str,
}

impl Term {
    /// Whether all words of a search stand somewhere in it; an empty search finds everything.
    pub fn is_found_by(&self, search: &str) -> bool {
        let all = format!("{} {} {}", self.memory, self.transformer, self.says).to_lowercase();
        search.to_lowercase().split_whitespace().all(|word| all.contains(word))
    }
}

/// In the order in which one explains the other.
pub const TERMS: &[Term] = &[
    Term {
        memory: "cue",
        transformer: "trigger",
        says: "A token that is followed by the same other token throughout one text. In the next text it is followed by another: it has to be remembered.",
    },
    Term {
        memory: "what was cued",
        transformer: "output",
        says: "The token that follows a trigger in this text. From its second time on, memory can tell it; the first time nobody can.",
    },
    Term {
        memory: "recall after one exposure",
        transformer: "in-context learning",
        says: "To answer from what stands earlier in the same text, without a change of weights. In-context accuracy counts it.",
    },
    Term {
        memory: "retrieval cue",
        transformer: "query",
        says: "The vector with which a position asks: it is compared with the keys of all positions before it. The token that asks is the query token.",
    },
    Term {
        memory: "address",
        transformer: "key",
        says: "The vector by which a position is found: where it suits a query, the query looks there. The token that is looked at is the key token.",
    },
    Term {
        memory: "content",
        transformer: "value",
        says: "What a position hands on to those that look at it.",
    },
    Term {
        memory: "focus",
        transformer: "attention",
        says: "How a position divides its look over those before it; the shares sum to 1. A map of it has a row for each query and a column for each key.",
    },
    Term {
        memory: "one way of looking",
        transformer: "head",
        says: "One of several attentions of a layer, with queries, keys and values of its own: L1 H0 is head 0 of layer 1. Layers count from 0.",
    },
    Term {
        memory: "association of neighbours",
        transformer: "previous-token head",
        says: "A head that looks at the token just before, so that each position knows what came before it. The first half of an induction head.",
    },
    Term {
        memory: "recall by similarity of context",
        transformer: "induction head",
        says: "A head that looks for an earlier copy of its token, at what followed there, and predicts that again. Its score is prefix matching.",
    },
    Term {
        memory: "learning from exposure to one sequence",
        transformer: "in-context errors",
        says: "The squared error of the next number, by how many numbers of the sequence were seen before it: where it falls, what they follow has been found out from them. A number is asked from the third on.",
    },
    Term {
        memory: "what a head is for",
        transformer: "head scores",
        says: "Of each head four numbers between 0 and 1: how much of its attention goes to what followed an earlier copy (prefix matching), to the token just before, to earlier copies (duplicate token), and how much of what it raises goes to what it attends to (copying).",
    },
    Term {
        memory: "trace of recall in the map",
        transformer: "induction stripe",
        says: "Dark cells of an attention map, each one step to the right of an earlier copy of the token that asks. Where a text repeats as a whole they stand in a slanted line.",
    },
    Term {
        memory: "repetition",
        transformer: "duplicate token",
        says: "A head that looks at earlier copies of its own token.",
    },
    Term {
        memory: "reproduction",
        transformer: "copying",
        says: "How much of what a head raises in the logits goes to the tokens that it looks at.",
    },
    Term {
        memory: "associative memory",
        transformer: "weight matrix",
        says: "A matrix that has stored pairs: for one of a pair it returns the other. The panel Memories shows each beside the perfect one; recall is the share that is stored.",
    },
    Term {
        memory: "comparison",
        transformer: "A, B, A − B",
        says: "A is what is in view: a step of a run, with what is in force. B is what it is compared with: another step, run or head, or the same without what is in force. Both answer the same questions about the same text, and A − B is subtracted number by number. The panel Differences lists what differs most.",
    },
    Term {
        memory: "long-term memory",
        transformer: "weights",
        says: "What training has put into the matrices: the same for every text. Global statistics live here.",
    },
    Term {
        memory: "general knowledge",
        transformer: "global statistics",
        says: "Which tokens are frequent and which follow each other in all texts: unigrams and bigrams.",
    },
    Term {
        memory: "working memory",
        transformer: "context and residual stream",
        says: "What the network holds of the text in view. Nothing of it stays when the text is gone.",
    },
    Term {
        memory: "global workspace",
        transformer: "residual stream",
        says: "The vector at each position that all layers read from and write to.",
    },
    Term {
        memory: "slot",
        transformer: "register",
        says: "A place that holds one symbol until another one is stored there.",
    },
    Term {
        memory: "item",
        transformer: "symbol",
        says: "What a register holds, and what a tuple asks about.",
    },
    Term {
        memory: "trial",
        transformer: "tuple",
        says: "Four tokens: Store or Ignore, a register, a symbol, and whether the register held that symbol before.",
    },
    Term {
        memory: "encode",
        transformer: "Store",
        says: "The instruction that puts the symbol of its tuple into the register. The role store marks its tokens.",
    },
    Term {
        memory: "reject",
        transformer: "Ignore",
        says: "The instruction that leaves the register as it is. The role ignore marks its tokens.",
    },
    Term {
        memory: "probe item",
        transformer: "asked",
        says: "A position at which an answer is predicted: the symbol of a tuple. What follows is the answer: same or different.",
    },
    Term {
        memory: "gate",
        transformer: "gating",
        says: "What decides whether something gets into a memory (input gate) or out of it (output gate).",
    },
    Term {
        memory: "input gate",
        transformer: "keys that gate",
        says: "An ignored tuple has keys that no later question finds. It is measured by taking keys from a sequence with the other instruction.",
    },
    Term {
        memory: "output gate",
        transformer: "queries that gate",
        says: "A question finds the register it names and no other. It is measured by taking the query from a question to another register.",
    },
    Term {
        memory: "critical lure",
        transformer: "discriminating",
        says: "An asked position where a shortcut answers wrongly: only a memory of the register is right there.",
    },
    Term {
        memory: "search tree",
        transformer: "tree",
        says: "The task of paths: edges in some order, each from its upper end (source) to its lower end (target), with separators between; then the goal, and the path from the root to it. A leaf has nothing below it; padding fills the end of a sequence.",
    },
    Term {
        memory: "planning backwards",
        transformer: "backward chaining",
        says: "From the goal up, edge by edge, to the root: how the trained network finds the path. A lower end looks at its upper end, layer by layer.",
    },
    Term {
        memory: "memory slot",
        transformer: "memory token",
        says: "A vector that stands beside the tokens of a segment: what is written into it is read in the next segment. The panel Working memory draws who writes and who reads.",
    },
    Term {
        memory: "chunk",
        transformer: "segment",
        says: "Positions that a network reads at a time. What it keeps between two segments is its memory: memory tokens, a cache, or the state of recurrent units.",
    },
    Term {
        memory: "span of memory",
        transformer: "length",
        says: "How many positions a sequence has. The panel Length asks about sequences longer than those of training, and about the last position of each.",
    },
    Term {
        memory: "distractor",
        transformer: "filler",
        says: "Tokens that say nothing between what is to be kept and the question.",
    },
    Term {
        memory: "go signal",
        transformer: "generate",
        says: "The sign after which the symbols of the source are to be written again.",
    },
    Term {
        memory: "one bit in mind",
        transformer: "flip-flop",
        says: "A cell that keeps its bit until another one is written. The roles write, read and ignore mark its instructions.",
    },
    Term {
        memory: "wiring of one way of looking",
        transformer: "circuits",
        says: "What a head does by its weights alone. Its QK circuit says which tokens look at which, its OV circuit which logits a token raises where it is looked at. The panel Circuits draws both.",
    },
    Term {
        memory: "relay from one to the next",
        transformer: "composition",
        says: "A head of a later layer reads what a head of an earlier one wrote, by way of its queries, keys or values. Scored by norms of products of their matrices.",
    },
    Term {
        memory: "carrying in one's head",
        transformer: "addition",
        says: "Sums, the largest digit first. The roles first and second mark the digits of both numbers, sign + and =. Where a digit of the sum is asked, base_add says that nothing is carried in, use_carry that one is, use_sum_9 that one is carried through a place that adds up to nine; leading is the largest digit.",
    },
    Term {
        memory: "best so far",
        transformer: "running maximum",
        says: "The largest number of a list, up to a position. The roles largest and smaller say whether a number is it.",
    },
    Term {
        memory: "comparison of species",
        transformer: "map of a sweep",
        says: "Networks down, tasks across, and in each cell how well they do at the length of training and beyond.",
    },
    Term {
        memory: "state of mind",
        transformer: "automaton",
        says: "A machine of states: each symbol leads from one state to the next. Where hidden vectors fall into groups that follow each other like these states, the network is that machine; the panel Automaton draws both.",
    },
    Term {
        memory: "lesion",
        transformer: "ablation",
        says: "A part is set to zero, or to its mean: what gets worse needed it. “Cut the head” (X) is one.",
    },
    Term {
        memory: "surgery",
        transformer: "intervention",
        says: "Any change of the forward pass or of what is trained: zero, cut, scale, patch, add, freeze. The panel Surgery lists them.",
    },
    Term {
        memory: "transplant",
        transformer: "activation patching",
        says: "A part of the network is taken from its run on another text: what then changes in the answer was carried there. The panel Patching maps it.",
    },
    Term {
        memory: "where a memory is looked up",
        transformer: "causal tracing",
        says: "The tokens of a subject are corrupted, so that the answer is lost; a state, an MLP or an attention that brings it back when it alone is restored lies on the way of the fact. The panel Tracing maps it.",
    },
    Term {
        memory: "semantic memory",
        transformer: "fact",
        says: "What is known by heart and not from the text: a subject and a relation lead to an object, or a subject to its attribute. That is recall. Where a sentence of the text states another attribute, recall and copying are in conflict.",
    },
    Term {
        memory: "changing one memory",
        transformer: "rank-one editing (ROME)",
        says: "The output matrix of an MLP is changed so that it has another value for one key, and as little else for others: one fact is rewritten.",
    },
    Term {
        memory: "tracing of a tract",
        transformer: "path patching",
        says: "Only what one part sends directly into another is taken from the run on another text: what then changes in the answer went along this path. The panel Path patching maps it.",
    },
    Term {
        memory: "matched control stimulus",
        transformer: "counterfactual",
        says: "A text that differs from the base text in one thing, so that what differs in the answers is due to that thing.",
    },
    Term {
        memory: "control by substitution",
        transformer: "causal scrubbing",
        says: "Parts are replaced by those of other texts that a hypothesis says are the same: what survives is explained. Tree scrubbing does it for paths.",
    },
    Term {
        memory: "decoding",
        transformer: "probing",
        says: "A small reader is fitted to what a place holds, to tell something from it. It counts only beside labels that were shuffled.",
    },
    Term {
        memory: "reading a thought early",
        transformer: "logit lens",
        says: "What the network would answer if it ended after this layer.",
    },
    Term {
        memory: "credit assignment",
        transformer: "attribution",
        says: "How much each part adds to the logit of one token: logit attribution.",
    },
    Term {
        memory: "similarity space",
        transformer: "query-key space",
        says: "Queries and keys of a head as points: a query lies near the keys that it looks at.",
    },
    Term {
        memory: "surprise",
        transformer: "loss",
        says: "Minus the logarithm of the probability of the right token (cross-entropy), in nats; 0 is certainty.",
    },
    Term {
        memory: "confidence",
        transformer: "predictions",
        says: "Probabilities of the next token; before they are made to sum to 1 they are logits.",
    },
    Term {
        memory: "proportion correct",
        transformer: "accuracy",
        says: "The share of positions whose likeliest token is the right one.",
    },
    Term { memory: "learning curve", transformer: "curves", says: "A metric against the step." },
    Term {
        memory: "insight",
        transformer: "emergence",
        says: "A capability that is there rather suddenly. Where a written rule holds three times in a row, its flag stands on the timeline.",
    },
    Term {
        memory: "age",
        transformer: "step",
        says: "Updates of the weights so far. At recorded steps the weights are kept (a checkpoint), and can be asked anything.",
    },
    Term {
        memory: "life history",
        transformer: "timeline",
        says: "All recorded steps of a run and what happened when.",
    },
    Term {
        memory: "portraits of a life",
        transformer: "series",
        says: "Checkpoints of one network of another program at several steps of its training, each in a folder of its own.",
    },
    Term {
        memory: "participant",
        transformer: "run",
        says: "One training from a seed. Another seed is another individual that learns the same task.",
    },
    Term {
        memory: "cohort",
        transformer: "sweep",
        says: "Many runs of one experiment, with other seeds or settings.",
    },
    Term {
        memory: "stimulus",
        transformer: "tokens",
        says: "The sequence in view, token by token. What the network never trained on is held out.",
    },
    Term {
        memory: "all ways of looking",
        transformer: "all heads",
        says: "Every head at a glance, layer by layer.",
    },
    Term {
        memory: "study",
        transformer: "experiment",
        says: "A task, a network, how it is trained, and what happens when, in one document.",
    },
    Term { memory: "archive", transformer: "runs", says: "What is recorded on this machine." },
    Term {
        memory: "freezing",
        transformer: "frozen",
        says: "A matrix that gets no gradient stays as it is while the others learn.",
    },
    Term {
        memory: "strength of a trace",
        transformer: "norm",
        says: "The length of a tensor as one vector; the gradient norm says how hard training pulls at it.",
    },
    Term {
        memory: "divergence of beliefs",
        transformer: "KL divergence",
        says: "How far one distribution over the next token is from another, in nats; 0 is the same.",
    },
];

/// The table of `docs/words.md`.
pub fn markdown() -> String {
    let mut text = String::from("| working memory | transformers | what it is |\n|---|---|---|\n");
    for term in TERMS {
        text += &format!("| {} | {} | {} |\n", term.memory, term.transformer, term.says);
    }
    text
}
