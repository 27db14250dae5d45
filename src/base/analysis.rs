//! Settings of long questions that panels, commands and the questions themselves share: each is declared here and nowhere else.
#![expect(clippy::doc_markdown, reason = "help is shown as it stands, and backticks with it")]

use crate::base::label::{Kind, Places};
use crate::base::pair::Metric;

crate::choices! {
    /// Which parts are patched: one point of all heads or layers, or several points together.
    pub enum Map {
        Heads = "heads",
        HeadsByPosition = "heads_by_position",
        Blocks = "blocks",
        ResidPre = "resid_pre",
        ResidMid = "resid_mid",
        AttnOut = "attn_out",
        MlpOut = "mlp_out",
        Z = "z",
        Q = "q",
        K = "k",
        V = "v",
        Pattern = "pattern",
        ZByPosition = "z_by_position",
        QByPosition = "q_by_position",
        KByPosition = "k_by_position",
        VByPosition = "v_by_position",
        PatternByQuery = "pattern_by_query",
        PatternByCell = "pattern_by_cell",
    }
}

impl Map {
    /// Whether its cells stand for positions of the sequences.
    pub fn is_over_positions(self) -> bool {
        let heads = [Self::Heads, Self::Z, Self::Q, Self::K, Self::V, Self::Pattern];
        !heads.contains(&self)
    }
}

crate::settings! {
    /// Two sequences that are compared: pairs of the task, or the sequence in view and one of a person's own.
    pub struct Compared = "Which sequences are compared." {
        /// Kind of pairs that the task makes (empty: its first kind).
        pair: String = String::new(), @live;
        /// Pairs to compare: more of them give narrower intervals and take longer.
        pairs: usize = 32, in 1..=4096, @live;
        /// A counterfactual sequence of your own, as long as the base (the sequence in view), which is compared with it; empty: the pairs of the task.
        other: String = String::new(), @live;
        /// With a sequence of your own: position of the prediction (empty: the last).
        at: String = String::new(), also prediction, @live;
        /// With a sequence of your own: the two answers to compare, as text (empty: what the two runs predict).
        answers: String = String::new(), @live;
    }
}

crate::settings! {
    /// Which pairs count.
    pub struct Counted = "Which pairs count." {
        /// Count pairs that the network gets wrong, too.
        all_pairs: bool = false, @live;
    }
}

crate::settings! {
    /// How an effect is counted.
    pub struct Measured = "How an effect is counted." {
        /// How an effect is counted. Normalised: 0 is none, 1 moves the prediction all the way to the counterfactual one.
        metric: Metric = Metric::Normalised, @live;
    }
}

crate::settings! {
    /// Of maps of activation patching.
    pub struct Patching = "What is patched, between which sequences, and how the effect is counted." {
        /// What is patched: whole heads, heads at each position, blocks of the residual stream, or one point alone.
        map: Map = Map::Heads, @live;
        /// How.
        measured: Measured = Measured::default();
        /// Which sequences.
        compared: Compared = Compared::default();
        /// Which pairs.
        counted: Counted = Counted::default();
        /// Compare one pair alone, the first that counts: in other pairs something else stands at a position. A panel does so in maps over positions, and only there.
        one_pair: bool = false, also one, @live;
    }
}

crate::choices! {
    /// What becomes of the tokens of a subject.
    pub enum Corrupted {
        /// Noise is added to their embeddings.
        Noise = "noise",
        /// They are those of the counterpart.
        Resample = "resample",
        /// Their embeddings are zero.
        Zero = "zero",
    }
}

crate::choices! {
    /// What is restored in a corrupted run.
    pub enum Restoring {
        /// States, MLPs and attentions, a map of each.
        All = "all",
        /// The residual stream behind a layer.
        State = "state",
        /// What MLPs write, in a window of layers.
        Mlp = "mlp",
        /// What attention writes, in a window of layers.
        Attention = "attention",
    }
}

crate::settings! {
    /// Of causal tracing.
    pub struct Tracing = "What is corrupted, and what is restored." {
        /// What is restored: states, MLPs and attentions, each in a map of its own; or one of them.
        restored: Restoring = Restoring::All, @live;
        /// Also maps of states behind which MLPs, or attention, stay as they are in the corrupted run at the same position.
        severed: bool = false, @live;
        /// How the subject is corrupted: noise on its embeddings, the tokens of the counterpart, or zeros.
        corrupted: Corrupted = Corrupted::Noise, @live;
        /// Which tokens are corrupted: a role, or positions such as 0-3 (empty: the role subject; where prompts have none, those that differ from the counterpart).
        positions: String = String::new(), @live;
        /// Layers of a window of MLPs or attentions. 0: as many as 10 are of 48, one at least.
        window: usize = 0, in 0..=100, @live;
        /// Noise, in standard deviations of the embeddings of the subjects.
        noise: f64 = 3.0, in 0.0..=100.0, @live;
        /// Samples of the noise; probabilities are means over them.
        samples: usize = 10, in 1..=100, @live;
        /// What the noise is drawn with.
        seed: usize = 1, in 0..=2_147_483_647, @live;
        /// Prompts that the means are over, the one in focus among them; more take longer.
        mean_over: usize = 32, in 1..=4096, @live;
        /// Ask also prompts whose answer is not the likeliest token: the others say what the network knows.
        all_prompts: bool = false, @live;
    }
}

crate::settings! {
    /// Of text that a network writes.
    pub struct Generating = "How many tokens, and how they are drawn." {
        /// Tokens to write; fewer where the context ends.
        count: usize = 32, in 1..=4096, @live;
        /// 0: always the likeliest token; 1: drawn by the network's own probabilities; between them, likely tokens more often than that.
        temperature: f64 = 0.0, in 0.0..=10.0, @live;
        /// Seed of the draws: the same one writes the same.
        seed: usize = 0, in 0..=2_147_483_647, @live;
    }
}

crate::settings! {
    /// Of path patching.
    pub struct Paths = "From where to where." {
        /// Senders: embed, layer0 (all its heads), layer0.head1, layer0.mlp; several with commas are taken together. each: the embedding and every head and MLP before the receivers, one after the other.
        from: String = "layer0".to_owned(), @live;
        /// Receivers: logits, layer1.q, layer1.k.head0, layer1.v, layer1.resid_post; several with commas.
        to: String = "layer1.k".to_owned(), @live;
        /// Positions of the senders: all, prediction, different, a place that the pairs name, or numbers.
        from_at: String = "all".to_owned(), @live;
        /// Positions of the receivers, likewise.
        to_at: String = "all".to_owned(), @live;
        /// Keep MLPs between senders and receivers as they are in the base run.
        freeze_mlps: bool = false, @live;
    }
}

impl Paths {
    /// What `from` says of senders that are tried one after the other.
    pub const EACH: &'static str = "each";
}

crate::settings! {
    /// What is read out of a network, and where.
    pub struct Told = "What is fitted, which label it tells, and where it reads." {
        /// What is fitted: a linear probe, a probe with one hidden layer, the tuned lens, a lens that leads straight to tokens, or the erasure of a label.
        kind: Kind = Kind::LinearProbe;
        /// What is told of a position: token, token-1, token+2, target, position, seen, sub_path, or what the task offers (empty: its first, or target). The lens tells the target.
        label: String = String::new();
        /// Positions that give an example: all, a role, other, repeated, registers, important, or numbers such as 36,38-42. Those without the label give none.
        positions: String = "all".to_owned(), also role;
        /// Where vectors are read: the stream before and after attention, the stream between layers, or one point of every layer. The lens reads between layers.
        places: Places = Places::Stream;
    }
}

crate::settings! {
    /// How much is fitted to how many examples.
    pub struct Examples = "Examples, the size of what is fitted to them, and the forward pass that they come from." {
        /// Examples to fit to.
        train: usize = 2048, in 16..=1000000, @log;
        /// Examples to judge by, of other sequences.
        test: usize = 1024, in 16..=1000000, @log;
        /// Hidden units of a probe that has a hidden layer.
        hidden: usize = 64, in 1..=4096, @log;
        /// Interventions under which vectors are read, with semicolons between (empty: none).
        under: String = String::new();
    }
}

crate::settings! {
    /// Other sequences of the same task.
    pub struct Varied = "Which setting of the task is varied, and how." {
        /// The setting of the task that is varied (empty: the one that says how long sequences are).
        over: String = String::new();
        /// Its values, with commas between (empty: from half the length of training to as many times of it as the network reads).
        values: String = String::new();
        /// Sequences of each.
        sequences: usize = 64, in 1..=4096, @log;
        /// Of a transformer: also measure three causes of failure, and take each out of the way in turn: positions that were never trained, attention that is spread over more keys, and hidden units of MLPs outside of their range.
        causes: bool = false;
    }
}

crate::settings! {
    /// Of causal scrubbing of trees.
    pub struct TreeScrubbing = "What is kept of a tree, and how many trees are compared." {
        /// What is kept of the first tree: H1 nothing; H2 what registers and the goal give; H3 that and what the lower ends of edges give; targets the lower ends alone; everything. Several with commas, or all.
        hypothesis: String = "H1".to_owned();
        /// Trees of each length.
        trees: usize = 50, in 1..=4096;
        /// Count trees whose first step the network gets wrong, too.
        all_pairs: bool = false;
    }
}

crate::choices! {
    /// How hidden vectors are put in groups.
    pub enum Grouping {
        /// By k-means.
        Clusters = "clusters",
        /// By the boxes of a grid over their principal components.
        Grid = "grid",
    }
}

crate::settings! {
    /// Of machines that are looked for in hidden vectors.
    pub struct Automata = "Which vectors are looked at, and how they are put in groups." {
        /// How vectors are put in groups before the machine is made as small as it can be: clusters (k-means), or the boxes of a grid over their principal components.
        method: Grouping = Grouping::Clusters, @live;
        /// Clusters. 0: three times as many as the machine of the task has states; fewer often fail, for vectors also tell the last symbol.
        clusters: usize = 0, in 0..=1024, @live;
        /// Principal components that the grid cuts.
        components: usize = 3, in 1..=8, @live;
        /// Intervals of each of these components.
        bins: usize = 10, in 2..=64, @live;
        /// Where vectors are read, as layer0.hidden or layer1.resid_post (empty: the hidden state of the last layer; in a network that has none, its residual stream).
        place: String = String::new(), @live;
        /// Held-out sequences that the machine is looked for in, and as many others that it is judged by.
        strings: usize = 256, in 1..=4096, @log, @live;
        /// Symbols of the sequences that the machine is judged by. 0: twice as many as in training, or as many as the network reads.
        length: usize = 0, in 0..=2048, @live;
    }
}

crate::settings! {
    /// Of the scores of all heads.
    pub struct HeadScoring = "On how much text heads are scored." {
        /// Sequences of each kind that a score averages over.
        examples: usize = 10, in 1..=100, @live;
        /// Different tokens in a repeated sequence; less where vocabulary or context are smaller.
        tokens: usize = 25, in 2..=512, @live;
        /// How often they are repeated.
        repeats: usize = 4, in 2..=16, @live;
        /// Score heads on sequences of the task too, not only on random tokens.
        task: bool = true;
        /// A text whose loss is told too (empty: none).
        text: String = String::new();
    }
}
