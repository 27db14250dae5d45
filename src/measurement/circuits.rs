//! What a head does by its weights alone: whom each token looks at, and which logits each token raises where it is looked at.

mod composition;
mod copying;
mod head;

use candle_core::Tensor;

use super::read::{argmax, captured, values};
use super::{Answer, Mean, Measurement, Scene, Scope, Subject};
use crate::base::array::Array;
use crate::base::batch::Batch;
use crate::base::convert::{self, narrow};
use crate::base::error::{Error, Result};
use crate::base::intervention::{Point, Site};
use crate::model::readout::Readout;
use crate::model::reads::Embedding;
use crate::nn::linear::linear;
use crate::nn::norm::{HeldNorm, NormKind};
use crate::nn::params::Param;

use head::{Layer, Rows, silent};

crate::settings! {
    /// The circuits of one head (Elhage et al. 2021, *A Mathematical Framework for Transformer Circuits*). `E` and `P` are the embeddings of
    /// tokens and positions `[row, width]`, `U` the unembedding `[width, vocab]`, `scale` is 1/√dim in most networks. Weights and centring of norms are folded into the matrices that
    /// read them; what norms divide by is held at one number, the mean of its inverse over the sequence in view. Biases of queries and keys count with
    /// tokens. Where queries and keys are rotated, a key stands `distance` positions before its query. In layers above the first these are the direct paths: what
    /// earlier layers write is left out. Left out everywhere: caps of scores and logits, biases of values, outputs and unembedding, which are the same
    /// whatever is attended to.
    ///
    /// Arrays: `tokens` `[token]`, ids of the tokens of the maps: the whole vocabulary, or the different tokens of the sequence in view where that has
    /// more. `qk` `[query, key]` = `scale · E W_Q (E W_K)ᵀ`; `ov` `[source, output]` = `E W_V W_O U`, logits; `direct` `[token, output]` = `E U`. With
    /// a table of positions also `position_position` `[query, key]`, `token_position` `[query token, key position]` and `position_token` `[query position, key token]`: in the
    /// first layer of a network without norms `qk` and these three add up to the scores of attention. `eigenvalues` `[eigenvalue, part]`, real and imaginary part of those of
    /// the whole OV circuit that are not zero by its rank, the largest first. `copying` `[layer, head]`: the sum of these divided by the sum of their sizes, 1 where
    /// the head raises what it attends to, -1 where it lowers it; of all heads where these are asked for and the vocabulary is not too large, else of this one. `q_composition`, `k_composition` and `v_composition` `[layer, head]`: how much this head
    /// reads of what each head of an earlier layer writes, by way of its queries, keys and values, and how much those of later layers read of it: `‖R W_OV‖ / (‖R‖ ‖W_OV‖)` in Frobenius norms.
    /// What needs the output of the head is absent where heads do not just add to the stream.
    ///
    /// Numbers: `copying_of_head`; `own_largest`, the share of the tokens of the maps whose own logit is the one that `ov` raises most among them; `composition_at_random`, 1/√width: the root mean square
    /// of a composition over all rotations of one factor; `norm_scale` and `final_scale`, what norms are held at.
    pub struct Circuits = "The QK and OV circuits of a head as maps between tokens and positions, how much it copies, and what it reads of other heads." {
        /// Layer, from 0.
        layer: usize = 0, in 0..=1000;
        /// Head, from 0.
        head: usize = 0, in 0..=1000;
        /// Tokens of the maps at most: the whole vocabulary where it has no more, else the tokens of the sequence in view.
        tokens: usize = 128, in 2..=1024;
        /// Positions of the maps, from the first.
        positions: usize = 64, in 2..=1024;
        /// How many positions before its query a key stands, where queries and keys are rotated.
        distance: usize = 0, in 0..=1000000;
        /// Copying of all heads, and composition of this one with them, as well: of a large network that takes a while.
        heads: bool = true;
    }
}

impl Measurement for Circuits {
    fn scope(&self) -> Scope {
        Scope::Prompt
    }

    fn wants_logits(&self) -> bool {
        false
    }

    fn applies(&self, subject: Subject<'_>) -> Result<()> {
        let layout = subject.model.layout();
        if !layout.has_heads() {
            return Err(Error::usage("this network has no attention heads"));
        }
        let count = layout.heads.get(self.layer).copied().unwrap_or(0);
        if self.head >= count {
            return Err(Error::usage(format!(
                "head {} of layer {} was asked for; that layer has {count} heads",
                self.head, self.layer
            )));
        }
        if self.distance >= layout.length {
            return Err(Error::usage(format!(
                "distance is {}; this network reads {} positions, so a key stands at most {} before its query",
                self.distance,
                layout.length,
                layout.length.saturating_sub(1)
            )));
        }
        subject.model.embedding().map(|_| ()).ok_or_else(|| silent(subject))
    }

    /// What norms divide by.
    fn sites(&self, subject: Subject<'_>) -> Vec<Site> {
        let last = subject.model.layout().heads.len().saturating_sub(1);
        let site = |layer, point| Site { layer, point };
        vec![site(self.layer, Point::ResidPre), site(last, Point::ResidPost)]
    }

    fn measure(&self, scene: &Scene<'_>) -> Result<Answer> {
        Seen::new(self, scene)?.answer()
    }
}

/// What is needed of a network to look at one of its heads.
struct Seen<'a> {
    asked: &'a Circuits,
    subject: Subject<'a>,
    embedding: Embedding,
    layer: Layer,
    /// How the stream is read into logits; `None` where the network does not say.
    readout: Option<(Readout, HeldNorm)>,
    /// What the norm before the head and the last one multiply by.
    scales: [f32; 2],
    /// Of the maps.
    tokens: Vec<u32>,
}

impl<'a> Seen<'a> {
    fn new(asked: &'a Circuits, scene: &Scene<'a>) -> Result<Self> {
        let subject = scene.subject;
        let Subject { model, params, .. } = subject;
        let embedding = model.embedding().ok_or_else(|| silent(subject))?;
        let layer = Layer::new(subject, asked.layer)?;
        let readout = model.readout(params)?.map(|readout| (readout.norm(), readout));
        let readout = readout.map(|(norm, readout)| (readout, norm));
        let [here, last] = &asked.sites(subject)[..] else {
            return Err(Error::internal("two places are asked for"));
        };
        let norm = readout.as_ref().map(|(_, norm)| norm.clone()).unwrap_or_default();
        let scales = [held(scene, *here, &layer.reads.norm)?, held(scene, *last, &norm)?];
        let tokens = shown(params.dims(embedding.tokens)[0], asked.tokens, scene.batch);
        Ok(Self { asked, subject, embedding, layer, readout, scales, tokens })
    }

    fn answer(&self) -> Result<Answer> {
        let head = self.layer.head(self.asked.head)?;
        let tokens = self.rows(self.embedding.tokens, &self.tokens)?;
        let ids: Vec<f32> = self.tokens.iter().map(|id| *id as f32).collect();
        let mut answer = Answer { notes: self.notes(head.outputs.is_some()), ..Answer::default() };
        answer.arrays.push(Array::new("tokens", &["token"], &[ids.len()], ids)?);
        let as_tokens = Rows { rows: &tokens, scale: self.scales[0], with_bias: true };
        let distance = self.asked.distance;
        let scores = head.scores(as_tokens, as_tokens, distance)?;
        answer.arrays.push(map("qk", ["query", "key"], &scores)?);
        self.positions(&head, as_tokens, &mut answer)?;
        if let Some(written) = head.written(&tokens, self.scales[0])? {
            self.outputs(&tokens, &written, &mut answer)?;
            copying::measure(self, &head, &mut answer)?;
            if self.asked.heads {
                let found = composition::arrays(self.subject, self.asked.layer, &head)?;
                answer.arrays.extend(found);
            }
        }
        let width = self.subject.model.layout().width as f64;
        let [norm, last] = self.scales.map(f64::from);
        answer.means.push(one("composition_at_random", width.sqrt().recip()));
        answer.means.extend([one("norm_scale", norm), one("final_scale", last)]);
        Ok(answer)
    }

    /// Rows of a table of embeddings, `[row, width]`, as they stand in the stream.
    fn rows(&self, table: Param, rows: &[u32]) -> Result<Tensor> {
        let rows = self.subject.params.rows(table, rows)?;
        Ok((rows * f64::from(self.embedding.scale))?)
    }

    fn positions(&self, head: &head::Head, tokens: Rows<'_>, answer: &mut Answer) -> Result<()> {
        let Some(table) = self.embedding.positions else { return Ok(()) };
        let count = self.subject.params.dims(table)[0].min(self.asked.positions);
        let rows: Vec<u32> = (0..convert::id(count)).collect();
        let rows = self.rows(table, &rows)?;
        let positions = Rows { rows: &rows, with_bias: false, ..tokens };
        for (name, axes, queries, keys) in [
            ("position_position", ["query", "key"], positions, positions),
            ("token_position", ["query token", "key position"], tokens, positions),
            ("position_token", ["query position", "key token"], positions, tokens),
        ] {
            let scores = head.scores(queries, keys, self.asked.distance)?;
            answer.arrays.push(map(name, axes, &scores)?);
        }
        Ok(())
    }

    /// Logits of the tokens of the maps: of what the head writes, and of the tokens themselves.
    fn outputs(&self, tokens: &Tensor, written: &Tensor, answer: &mut Answer) -> Result<()> {
        let Some((readout, norm)) = &self.readout else { return Ok(()) };
        let unembed = norm.folded(&readout.rows(&self.tokens)?)?;
        let scale = f64::from(self.scales[1]) * readout.scale;
        let logits = |x: &Tensor| -> Result<Tensor> { Ok((linear(x, &unembed, None)? * scale)?) };
        let raised = logits(written)?;
        let own = values(&raised, |all| {
            let rows = all.chunks_exact(self.tokens.len().max(1)).enumerate();
            rows.filter(|(i, row)| argmax(row.iter().copied()) == *i).count()
        })?;
        let count = self.tokens.len() as f64;
        answer.means.push(Mean { name: "own_largest".to_owned(), sum: own as f64, count });
        answer.arrays.push(map("ov", ["source", "output"], &raised)?);
        answer.arrays.push(map("direct", ["token", "output"], &logits(tokens)?)?);
        Ok(())
    }

    /// What the maps leave out, in sentences.
    fn notes(&self, writes: bool) -> Vec<String> {
        let reads = &self.layer.reads;
        let last = self.readout.as_ref().map_or(NormKind::None, |(_, norm)| norm.kind);
        let layer = self.asked.layer;
        let told = [
            (layer > 0, format!(
                "Direct paths from the embeddings: what layers before layer {layer} write is left out."
            )),
            (reads.norm.kind != NormKind::None || last != NormKind::None, "Norms are folded in; what they divide by is held at its mean over the sequence in view.".to_owned()),
            (reads.rotary.is_some(), format!(
                "Keys stand {} positions before their queries.",
                self.asked.distance
            )),
            (reads.by_distance, "Scores have another part, which depends on the distance alone and is left out.".to_owned()),
            (reads.how.cap.is_some(), "Scores are those before the cap.".to_owned()),
            (!writes, "Behind a norm of their own, heads do not just add to the stream, so there is no OV circuit.".to_owned()),
        ];
        told.into_iter().filter_map(|(holds, text)| holds.then_some(text)).collect()
    }
}

/// A number that is no mean of several.
fn one(name: &str, value: f64) -> Mean {
    Mean { name: name.to_owned(), sum: value, count: 1.0 }
}

/// A matrix as an array.
fn map(name: &str, axes: [&str; 2], matrix: &Tensor) -> Result<Array> {
    let data = values(matrix, <[f32]>::to_vec)?;
    Array::new(name, &axes, matrix.dims(), data)
}

/// The mean over positions of what a norm multiplies by at a place; 1 where there is none.
fn held(scene: &Scene<'_>, site: Site, norm: &HeldNorm) -> Result<f32> {
    if norm.kind == NormKind::None {
        return Ok(1.0);
    }
    let scales = norm.scales(&captured(scene, site)?.flatten_to(1)?)?;
    let sum: f64 = scales.iter().map(|scale| f64::from(*scale)).sum();
    Ok(narrow(sum / scales.len().max(1) as f64))
}

/// All tokens, or, where these are more than so many, the different ones of a sequence in the order in which they come.
fn shown(vocab: usize, most: usize, batch: &Batch) -> Vec<u32> {
    if vocab <= most {
        return (0..convert::id(vocab)).collect();
    }
    let mut tokens = Vec::new();
    for token in &batch.tokens {
        if tokens.len() < most && !tokens.contains(token) {
            tokens.push(*token);
        }
    }
    tokens
}
