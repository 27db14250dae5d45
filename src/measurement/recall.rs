//! What the weight matrices of the simplified model remember.

use candle_core::Tensor;

use super::read::{Tally, argmax, cross_entropy, values};
use super::{Answer, Measurement, Scene, Scope, Subject};
use crate::base::convert;
use crate::base::error::{Error, Result};
use crate::base::intervention::Site;
use crate::model::memories::{GlobalMemory, Memories as Matrices};
use crate::nn::params::Param;
use crate::task::bigram::{GlobalLaw, Triggers};

/// Positions that count as early (the original code's `wk0_64_acc`).
pub const EARLY_POSITIONS: usize = 64;

crate::settings! {
    /// For the model `birth`. The recall of a memory that should hold the associations `(i, j)` is the share
    /// of them for which the right `i` has the largest score of all candidates, given `j`: raw scores, no
    /// mask, token embeddings without positions and positions without tokens. Bietti et al. 2023, section
    /// 4; names of the original code in brackets.
    ///
    /// Numbers: `recall_wk1` (`wk0_acc`): position t finds t-1 among all but the last. `recall_wk1_early`
    /// (`wk0_64_acc`): the same among the first 64 positions. `recall_wk2` (`wk1_acc`): a trigger's query
    /// finds its remapped token, among the fixed triggers or, where triggers are random, all tokens.
    /// `recall_wo2` (`wo1_acc`): the value of a token raises that token's logit most. `kl_wf` (`ff1_loss`):
    /// mean over tokens that are no fixed trigger of `KL(global law ‖ softmax(W_U W_F E))`, in nats. NaN where
    /// the model lacks the matrix (no `W_F`; no position vectors under rotary positions) or the task the law.
    pub struct Recall = "Share of the associations of an induction head that each weight matrix of the model birth has stored." {
    }
}

impl Measurement for Recall {
    fn scope(&self) -> Scope {
        Scope::Weights
    }

    fn applies(&self, subject: Subject<'_>) -> Result<()> {
        matrices(subject).map(|_| ())
    }

    fn sites(&self, _subject: Subject<'_>) -> Vec<Site> {
        Vec::new()
    }

    fn columns(&self, _subject: Subject<'_>) -> Vec<String> {
        ["recall_wo2", "recall_wk2", "recall_wk1", "recall_wk1_early", "kl_wf"]
            .map(str::to_owned)
            .to_vec()
    }

    fn measure(&self, scene: &Scene<'_>) -> Result<Answer> {
        let memories = Memories::new(scene.subject)?;
        Ok(Answer { means: memories.means(), ..Answer::default() })
    }
}

/// The matrices that are read.
///
/// # Errors
/// When those of the network are no memories.
pub fn matrices(subject: Subject<'_>) -> Result<Matrices> {
    subject.model.memories().ok_or_else(|| {
        let layout = subject.model.layout();
        let instead = match layout.has_heads() {
            true => "All heads and Attention show what its heads look at.",
            false => "Working memory shows what its units keep.",
        };
        Error::usage(format!(
            "The matrices of a network of the kind \"{}\" are no memories that can be read one by one; those of the experiment \"birth\" are. {instead}",
            layout.kind
        ))
    })
}

/// The trained matrices as scores between tokens and between positions, row-major.
pub struct Memories {
    /// `[candidate output, token]`: `W_U W_O2 W_V2 Eᵀ`.
    pub wo2: Vec<f32>,
    /// `[query token, key token]`: `E W_K2 (W_O1 W_V1 Eᵀ)`.
    pub wk2: Vec<f32>,
    /// `[query position, key position]`: `P W_K1 Pᵀ`; empty without position vectors.
    pub wk1: Vec<f32>,
    /// `[current token, next token]`: logits `E (W_U W_F)ᵀ`; empty without `W_F`.
    pub wf: Vec<f32>,
    pub vocab: usize,
    pub positions: usize,
    /// The tokens that `W_K2` should remember.
    pub triggers: Vec<u32>,
    /// KL of each token that counts, in nats.
    pub kl_wf: Vec<f64>,
}

impl Memories {
    /// # Errors
    /// When the network has no memories, or a tensor has another shape.
    pub fn new(subject: Subject<'_>) -> Result<Self> {
        let matrices = matrices(subject)?;
        let [first, second] = matrices.layers;
        let get = |param: Param| Ok::<Tensor, Error>(subject.params.get(param)?.detach());
        let embed = get(matrices.embed)?;
        let unembed = match matrices.unembed {
            Some(unembed) => get(unembed)?,
            // Tied: E / √width as W_U, and logits divided by √width once more.
            None => (&embed / embed.dim(1)? as f64)?,
        };
        let linear = |x: &Tensor, w: Param| -> Result<Tensor> { Ok(x.matmul(&get(w)?.t()?)?) };
        let values2 = linear(&linear(&embed, second.wv)?, second.wo)?;
        let remapped = linear(&linear(&embed, first.wv)?, first.wo)?;
        let keys2 = linear(&remapped, second.wk)?;
        let wk1 = match matrices.positions.map(get).transpose()? {
            Some(pos) => numbers(&pos.matmul(&linear(&pos, first.wk)?.t()?)?)?,
            None => Vec::new(),
        };
        let vocab = embed.dim(0)?;
        // What W_F writes for every token, `[token, dim]`.
        let predicted = match matrices.global {
            GlobalMemory::None => None,
            GlobalMemory::Linear(wf) => Some(linear(&embed, wf)?),
            GlobalMemory::Mlp(wf1, wf2) => Some(linear(&linear(&embed, wf1)?.relu()?, wf2)?),
        };
        let wf = match predicted {
            Some(written) => numbers(&written.matmul(&unembed.t()?)?)?,
            None => Vec::new(),
        };
        let fixed = subject.source.facet::<Triggers>().and_then(|t| t.fixed.as_deref());
        let mut memories = Self {
            wo2: numbers(&unembed.matmul(&values2.t()?)?)?,
            wk2: numbers(&embed.matmul(&keys2.t()?)?)?,
            positions: wk1.len().isqrt(),
            wk1,
            wf,
            vocab,
            triggers: fixed.map_or_else(|| (0..convert::id(vocab)).collect(), <[u32]>::to_vec),
            kl_wf: Vec::new(),
        };
        if let Some(law) = subject.source.facet::<GlobalLaw>() {
            memories.kl_wf = memories.divergences(&law.next, fixed.unwrap_or(&[]));
        }
        Ok(memories)
    }

    /// For every token: whether its own logit is the one that its value raises most.
    pub fn recalled_wo2(&self) -> Vec<bool> {
        let n = self.vocab;
        (0..n).map(|token| argmax((0..n).map(|out| self.wo2[out * n + token])) == token).collect()
    }

    /// For every trigger, in order: whether its query finds its own remapped token among theirs.
    pub fn recalled_wk2(&self) -> Vec<bool> {
        let scores = |query: u32| {
            let row = query as usize * self.vocab;
            self.triggers.iter().map(move |&key| self.wk2[row + key as usize])
        };
        self.triggers.iter().enumerate().map(|(i, &query)| argmax(scores(query)) == i).collect()
    }

    /// For positions 1 to `among` - 1: whether each finds the one before it among the first `among` - 1.
    pub fn recalled_wk1(&self, among: usize) -> Vec<bool> {
        let n = self.positions;
        let keys = among.min(n).saturating_sub(1);
        (1..=keys).map(|t| argmax(self.wk1[t * n..t * n + keys].iter().copied()) == t - 1).collect()
    }

    /// The means of [`Recall`].
    pub fn means(&self) -> Vec<super::Mean> {
        let kl = Tally { sum: self.kl_wf.iter().sum(), count: self.kl_wf.len() as f64 };
        vec![
            Tally::of_hits(self.recalled_wo2()).named("recall_wo2"),
            Tally::of_hits(self.recalled_wk2()).named("recall_wk2"),
            Tally::of_hits(self.recalled_wk1(self.positions)).named("recall_wk1"),
            Tally::of_hits(self.recalled_wk1(EARLY_POSITIONS)).named("recall_wk1_early"),
            kl.named("kl_wf"),
        ]
    }

    /// KL(law ‖ softmax) of every token that is not left out and has a law.
    fn divergences(&self, law: &[f32], left_out: &[u32]) -> Vec<f64> {
        let rows = self.wf.chunks_exact(self.vocab).zip(law.chunks_exact(self.vocab));
        rows.enumerate()
            .filter(|(token, (_, law))| {
                !left_out.contains(&convert::id(*token)) && law.iter().any(|&p| p > 0.0)
            })
            .map(|(_, (logits, law))| divergence(law, logits))
            .collect()
    }
}

/// KL(`law` ‖ softmax(`logits`)) in nats.
fn divergence(law: &[f32], logits: &[f32]) -> f64 {
    let possible = law.iter().enumerate().filter(|(_, p)| **p > 0.0);
    possible
        .map(|(next, &p)| f64::from(p) * (f64::from(p).ln() + cross_entropy(logits, next)))
        .sum()
}

fn numbers(tensor: &Tensor) -> Result<Vec<f32>> {
    values(tensor, <[f32]>::to_vec)
}
