//! Whose doing a logit is: what the embedding, each head and each MLP add to it.

use std::collections::BTreeSet;

use candle_core::Tensor;

use super::read::{argmax, captured, values};
use super::{Answer, Measurement, Scene, Scope, Subject};
use crate::base::array::Array;
use crate::base::batch::NO_TARGET;
use crate::base::convert::{self, narrow};
use crate::base::error::{Error, Result};
use crate::base::intervention::{Point, Site};
use crate::model::readout::{Readout, Writes};
use crate::nn::linear::linear;
use crate::nn::norm::NormKind;

crate::choices! {
    /// Whose logit is taken apart.
    pub enum Of {
        /// That of the right next token.
        Target = "target",
        Likeliest = "likeliest",
        /// That of the right next token, or of the likeliest where none is known.
        Expected = "right or likeliest",
        /// That of the token `id`.
        Given = "given",
    }
}

crate::choices! {
    /// What is subtracted from the logit.
    pub enum Against {
        Nothing = "nothing",
        /// The logit of the likeliest other token.
        RunnerUp = "runner-up",
        /// The mean of all logits.
        Mean = "mean",
    }
}

crate::settings! {
    /// Direct logit attribution. The stream before the unembedding is a sum, and the logit is linear in it once the
    /// scale of the final norm is held at the value that it has at that position: so the logit is the sum of what each
    /// part of the network has added, and a constant (biases of the final norm and of the unembedding). What a part does
    /// by way of later parts is counted as theirs, and so is what it does to the scale.
    ///
    /// Arrays, in logits: `embedding` `[pos]`; `heads.layer0` `[head, pos]`, `bias.layer0` `[pos]` (of the attention's
    /// output, where there is one), `attention.layer0` `[pos]` (of a layer that attends without heads), `mlp.layer0` `[pos]` and so on; `constant` `[pos]`; `logit` `[pos]`, the logit or the
    /// difference itself; `rest` `[pos]`, the logit less all of these: rounding, or what an intervention
    /// changed in between. `token` and `against` `[pos]` (ids): whose logit, and whose is subtracted (NaN where it
    /// is no token). NaN everywhere at a position without a target, where that is asked for.
    ///
    /// `sources.layer0` `[head, key]` and so on: what each head adds at `position` by way of each position that it attends to.
    pub struct Attribution = "What the embedding, each head and each MLP add to a logit (or to the difference of two), and from which positions each head fetches it." {
        /// Position, from 0, at which the heads are taken apart by the positions that they attend to.
        position: usize = 0, in 0..=1000000;
        /// Whose logit: that of the right next token, of the likeliest, or of the token id.
        of: Of = Of::Target;
        /// The token (a number of the vocabulary) whose logit is taken apart where of is given.
        id: usize = 0, in 0..=1000000;
        /// What is subtracted from it: nothing, the logit of the likeliest other token, or the mean of all logits.
        against: Against = Against::RunnerUp;
    }
}

impl Measurement for Attribution {
    fn scope(&self) -> Scope {
        Scope::Prompt
    }

    fn applies(&self, subject: Subject<'_>) -> Result<()> {
        let Subject { model, params, .. } = subject;
        let layout = model.layout();
        let silent = |what: &str| {
            Err(Error::usage(format!(
                "the network {} does not say {what}, so its logits cannot be taken apart",
                layout.kind
            )))
        };
        if self.of == Of::Given && self.id >= layout.vocab {
            return Err(Error::usage(format!(
                "token {} was asked for; this network has tokens 0 to {}",
                self.id,
                layout.vocab.saturating_sub(1)
            )));
        }
        if layout.heads.is_empty() || model.readout(params)?.is_none() {
            return silent("how its residual stream is read into logits");
        }
        for (layer, &heads) in layout.heads.iter().enumerate() {
            if heads > 0 && model.writes(params, layer)?.is_none() {
                return silent("how its heads write into the residual stream");
            }
        }
        Ok(())
    }

    fn sites(&self, subject: Subject<'_>) -> Vec<Site> {
        let heads = &subject.model.layout().heads;
        let mut sites = vec![Site { layer: 0, point: Point::Embed }];
        // Before the first layer the stream is the embedding, also where that is no place of its own.
        sites.push(Site { layer: 0, point: Point::ResidPre });
        sites.push(Site { layer: heads.len().saturating_sub(1), point: Point::ResidPost });
        for (layer, &heads) in heads.iter().enumerate() {
            let points: &[Point] =
                if heads > 0 { &[Point::Pattern, Point::V, Point::Z] } else { &[Point::AttnOut] };
            sites.extend(points.iter().map(|&point| Site { layer, point }));
            sites.push(Site { layer, point: Point::MlpOut });
        }
        sites
    }

    fn measure(&self, scene: &Scene<'_>) -> Result<Answer> {
        let Subject { model, params, .. } = scene.subject;
        let positions = scene.batch.targets.len();
        if self.position >= positions {
            return Err(Error::usage(format!(
                "position {} was asked for; the sequence has positions 0 to {}",
                self.position,
                positions.saturating_sub(1)
            )));
        }
        let readout = model.readout(params)?.ok_or_else(|| {
            Error::internal("the measurement attribution needs to know how a logit is read")
        })?;
        let chosen = self.choose(scene)?;
        let last = model.layout().heads.len().saturating_sub(1);
        let stream = captured(scene, Site { layer: last, point: Point::ResidPost })?.get(0)?;
        let read = Directions::new(&readout, &stream, &chosen)?;
        let mut parts = Parts { read: &read, sum: read.constant.clone(), arrays: Vec::new() };
        let embedding = Site { layer: 0, point: Point::Embed };
        let embedding = scene
            .captured
            .get(&embedding)
            .map_or_else(|| captured(scene, Site { layer: 0, point: Point::ResidPre }), Ok)?;
        parts.add("embedding".to_owned(), embedding)?;
        for layer in 0..=last {
            self.layer(scene, layer, &mut parts)?;
        }
        parts.finish(&chosen).map(|arrays| Answer { arrays, ..Answer::default() })
    }
}

/// Of one position: whose logit, and whose is subtracted.
#[derive(Clone, Copy)]
struct Chosen {
    /// None where the position has no target.
    token: Option<usize>,
    /// None where it is no token.
    against: Option<usize>,
    minus_mean: bool,
    /// The logit, or the difference.
    logit: f64,
}

impl Attribution {
    fn choose(&self, scene: &Scene<'_>) -> Result<Vec<Chosen>> {
        let logits = scene
            .logits
            .ok_or_else(|| Error::internal("the measurement attribution needs the logits"))?
            .get(0)?;
        let vocab = logits.dim(1)?;
        values(&logits, |all| {
            let rows = all.chunks_exact(vocab).zip(&scene.batch.targets);
            rows.map(|(logits, &target)| self.choice(logits, target)).collect()
        })
    }

    fn choice(&self, logits: &[f32], target: u32) -> Chosen {
        let right = (target != NO_TARGET).then_some(target as usize);
        let likeliest = || argmax(logits.iter().copied());
        let token = match self.of {
            Of::Target => right,
            Of::Likeliest => Some(likeliest()),
            Of::Expected => Some(right.unwrap_or_else(likeliest)),
            Of::Given => Some(self.id),
        };
        let token = token.filter(|&token| token < logits.len());
        let others = |token: usize| {
            let of_others = |(i, l): (usize, &f32)| if i == token { f32::NAN } else { *l };
            argmax(logits.iter().enumerate().map(of_others))
        };
        let against = token.filter(|_| self.against == Against::RunnerUp).map(others);
        let minus_mean = self.against == Against::Mean;
        let at = |token: usize| f64::from(logits[token]);
        let mean = || logits.iter().map(|l| f64::from(*l)).sum::<f64>() / logits.len() as f64;
        let minus = against.map_or_else(|| if minus_mean { mean() } else { 0.0 }, at);
        let logit = token.map_or(f64::NAN, |token| at(token) - minus);
        Chosen { token, against, minus_mean, logit }
    }

    /// What the heads and the MLP of a layer add.
    fn layer(&self, scene: &Scene<'_>, layer: usize, parts: &mut Parts<'_>) -> Result<()> {
        let Subject { model, params, .. } = scene.subject;
        if model.layout().heads[layer] == 0 {
            if let Some(written) = scene.captured.get(&Site { layer, point: Point::AttnOut }) {
                parts.add(format!("attention.layer{layer}"), written)?;
            }
        } else {
            let writes = model.writes(params, layer)?.ok_or_else(|| {
                Error::internal("the measurement attribution needs to know how heads write")
            })?;
            let at = |point| captured(scene, Site { layer, point });
            let z = at(Point::Z)?.get(0)?;
            let wanted = parts.read.through(&writes)?;
            parts.heads(layer, &wanted, &z)?;
            let (pattern, v) = (at(Point::Pattern)?.get(0)?, at(Point::V)?.get(0)?);
            parts.sources(layer, &wanted, self.position, &pattern, &v)?;
            if let Some(bias) = &writes.bias {
                parts.add(format!("bias.layer{layer}"), &bias.broadcast_as(parts.read.shape())?)?;
            }
        }
        match scene.captured.get(&Site { layer, point: Point::MlpOut }) {
            Some(written) => parts.add(format!("mlp.layer{layer}"), written),
            None => Ok(()),
        }
    }
}

/// At each position, the direction of the stream along which the chosen logit grows, with the scale of the final
/// norm as it is there.
struct Directions {
    /// `[pos, width]`
    rows: Tensor,
    /// What the logit is where the stream is 0; NaN where nothing is chosen.
    constant: Vec<f64>,
}

impl Directions {
    /// `stream` is what the final norm reads, `[pos, width]`.
    fn new(readout: &Readout, stream: &Tensor, chosen: &[Chosen]) -> Result<Self> {
        let (positions, width) = stream.dims2()?;
        let numbers = |tensor: &Option<Tensor>| {
            tensor.as_ref().map(|t| values(t, <[f32]>::to_vec)).transpose()
        };
        let named = chosen.iter().flat_map(|c| [c.token, c.against]).flatten();
        let named: Vec<usize> = named.collect::<BTreeSet<usize>>().into_iter().collect();
        let ids: Vec<u32> = named.iter().map(|token| convert::id(*token)).collect();
        let unembed = values(&readout.rows(&ids)?, <[f32]>::to_vec)?;
        let bias = numbers(&readout.bias)?;
        let vocab = readout.unembed.dim(0)?;
        let mean = if chosen.iter().any(|c| c.minus_mean) {
            values(&readout.mean()?, |mean| mean.iter().map(|x| f64::from(*x)).collect())?
        } else {
            vec![0.0; width]
        };
        let mean_bias = bias
            .as_ref()
            .map_or(0.0, |b| b.iter().map(|b| f64::from(*b)).sum::<f64>() / vocab as f64);
        let (norm_weight, norm_bias) =
            (numbers(&readout.norm_weight)?, numbers(&readout.norm_bias)?);
        let (mut rows, mut constant) = (Vec::with_capacity(positions * width), Vec::new());
        let stream = values(stream, <[f32]>::to_vec)?;
        for (x, chosen) in stream.chunks_exact(width).zip(chosen) {
            let Some(token) = chosen.token else {
                rows.extend(std::iter::repeat_n(f32::NAN, width));
                constant.push(f64::NAN);
                continue;
            };
            let row = |token: usize| {
                let at = named.partition_point(|other| *other < token);
                &unembed[at * width..(at + 1) * width]
            };
            let mut d: Vec<f64> = row(token).iter().map(|u| f64::from(*u)).collect();
            let bias_of = |token: usize| bias.as_ref().map_or(0.0, |b| f64::from(b[token]));
            let mut fixed = bias_of(token);
            if let Some(against) = chosen.against {
                d.iter_mut().zip(row(against)).for_each(|(d, u)| *d -= f64::from(*u));
                fixed -= bias_of(against);
            }
            if chosen.minus_mean {
                d.iter_mut().zip(&mean).for_each(|(d, m)| *d -= m);
                fixed -= mean_bias;
            }
            if let Some(norm_bias) = &norm_bias {
                fixed += d.iter().zip(norm_bias).map(|(d, b)| d * f64::from(*b)).sum::<f64>();
            }
            if let Some(weight) = &norm_weight {
                d.iter_mut().zip(weight).for_each(|(d, w)| *d *= f64::from(*w));
            }
            let scale = readout.scale * frozen_scale((readout.norm, readout.epsilon), x, &mut d);
            rows.extend(d.iter().map(|d| narrow(d * scale)));
            constant.push(readout.scale * fixed);
        }
        let rows = Tensor::from_vec(rows, (positions, width), readout.unembed.device())?;
        Ok(Self { rows, constant })
    }

    fn shape(&self) -> &[usize] {
        self.rows.dims()
    }

    /// What each head should hold in `z` to raise the logit: `[pos, head · dim]`.
    fn through(&self, writes: &Writes) -> Result<Tensor> {
        let (heads, dim, width) = writes.matrix.dims3()?;
        linear(&self.rows, &writes.matrix.reshape((heads * dim, width))?, None)
    }
}

/// What the norm divides by, as a factor; where it takes off the mean, the direction loses its own instead.
pub fn frozen_scale((norm, epsilon): (NormKind, f32), x: &[f32], direction: &mut [f64]) -> f64 {
    let n = x.len() as f64;
    let mean = |values: &mut dyn Iterator<Item = f64>| values.sum::<f64>() / n;
    let centre = match norm {
        NormKind::None => return 1.0,
        NormKind::Rms => 0.0,
        NormKind::Layer => {
            let along = mean(&mut direction.iter().copied());
            direction.iter_mut().for_each(|d| *d -= along);
            mean(&mut x.iter().map(|x| f64::from(*x)))
        }
    };
    let square = mean(&mut x.iter().map(|x| (f64::from(*x) - centre).powi(2)));
    1.0 / (square + f64::from(epsilon)).sqrt()
}

/// What was found so far.
struct Parts<'a> {
    read: &'a Directions,
    /// Of the constant and all parts, by position.
    sum: Vec<f64>,
    arrays: Vec<Array>,
}

impl Parts<'_> {
    /// What is written at each position, `[.., pos, width]`, along the direction there.
    fn add(&mut self, name: String, written: &Tensor) -> Result<()> {
        let width = self.read.shape()[1];
        let along = values(&self.read.rows, |read| {
            values(written, |written| {
                let rows = written.chunks_exact(width).zip(read.chunks_exact(width));
                rows.map(|(a, b)| dot(a, b)).collect::<Vec<f64>>()
            })
        })??;
        self.keep(name, &["pos"], &along)
    }

    /// `wanted` is `[pos, head · dim]`, `z` is `[head, pos, dim]`.
    fn heads(&mut self, layer: usize, wanted: &Tensor, z: &Tensor) -> Result<()> {
        let (heads, positions, dim) = z.dims3()?;
        let along = values(wanted, |wanted| {
            values(z, |z| {
                let at = |head: usize, pos: usize| {
                    let z = &z[(head * positions + pos) * dim..][..dim];
                    dot(z, &wanted[(pos * heads + head) * dim..][..dim])
                };
                (0..heads * positions).map(|i| at(i / positions, i % positions)).collect::<Vec<_>>()
            })
        })??;
        self.keep(format!("heads.layer{layer}"), &["head", "pos"], &along)
    }

    /// At one query: `pattern` is `[head, query, key]`, `v` is `[kv head, pos, dim]`, each of which serves as many heads.
    fn sources(
        &mut self,
        layer: usize,
        wanted: &Tensor,
        query: usize,
        pattern: &Tensor,
        v: &Tensor,
    ) -> Result<()> {
        let ((kept, positions, dim), heads) = (v.dims3()?, pattern.dim(0)?);
        let shared = heads / kept.max(1);
        let pattern = pattern.narrow(1, query, 1)?.squeeze(1)?;
        let wanted = wanted.get(query)?;
        let along = values(&pattern, |pattern| {
            values(&wanted, |wanted| {
                values(v, |v| {
                    let at = |i: usize| {
                        let (head, key) = (i / positions, i % positions);
                        let v = &v[(head / shared.max(1) * positions + key) * dim..][..dim];
                        f64::from(pattern[i]) * dot(v, &wanted[head * dim..][..dim])
                    };
                    (0..heads * positions).map(at).map(narrow).collect::<Vec<_>>()
                })
            })
        })???;
        let name = format!("sources.layer{layer}");
        self.arrays.push(Array::new(name, &["head", "key"], &[heads, positions], along)?);
        Ok(())
    }

    fn keep(&mut self, name: String, axes: &[&str], along: &[f64]) -> Result<()> {
        let positions = self.sum.len();
        for (i, x) in along.iter().enumerate() {
            self.sum[i % positions] += x;
        }
        let shape = [along.len() / positions.max(1), positions];
        let shape = if axes.len() == 1 { &shape[1..] } else { &shape[..] };
        self.arrays.push(Array::new(name, axes, shape, singles(along))?);
        Ok(())
    }

    fn finish(mut self, chosen: &[Chosen]) -> Result<Vec<Array>> {
        let id = |id: Option<usize>| id.map_or(f64::NAN, |id| id as f64);
        let logit: Vec<f64> = chosen.iter().map(|c| c.logit).collect();
        let rest: Vec<f64> = logit.iter().zip(&self.sum).map(|(l, s)| l - s).collect();
        for (name, data) in [
            ("constant", self.read.constant.clone()),
            ("logit", logit),
            ("rest", rest),
            ("token", chosen.iter().map(|c| id(c.token)).collect()),
            ("against", chosen.iter().map(|c| id(c.against)).collect()),
        ] {
            self.arrays.push(Array::new(name, &["pos"], &[data.len()], singles(&data))?);
        }
        Ok(self.arrays)
    }
}

fn singles(values: &[f64]) -> Vec<f32> {
    values.iter().map(|x| narrow(*x)).collect()
}

pub fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
}
