//! Networks with a memory beside independent twins: the equations of their papers in plain loops and double precision, read off
//! the tensors that a run records. Logits, and gradients against differences of the twin's loss.

use std::collections::BTreeMap;

use mnemoscope::base::intervention::{Intervention, Point, Site};
use mnemoscope::model::compression::Function;
use mnemoscope::model::compressive::Compressive;
use mnemoscope::model::feedback::Feedback;
use mnemoscope::model::hierarchical::Hierarchical;
use mnemoscope::model::mechanisms::{COMPETITION, Mechanisms};
use mnemoscope::model::memory_tokens::MemoryTokens;
use mnemoscope::model::recurrent::{Cell, Recurrent};
use mnemoscope::model::stack::Stack;
use mnemoscope::model::transformer_xl::TransformerXl;
use mnemoscope::model::{Architecture, Input, Keeps, Sequences};
use mnemoscope::nn::edit::Edit;
use mnemoscope::nn::loss::{beside, cross_entropy};
use mnemoscope::nn::params::{Init, Params, draw};
use mnemoscope::nn::tap::{EditAndCapture, Untapped};

use super::models::{
    Variation, assert_gradients_are_slopes, assert_tape_agrees, assert_tape_keeps, gradients, ids,
    logits, loss_over, tokens,
};
use super::wire::{in_segments, of};

const LENGTH: usize = 14;
const SEGMENT: usize = 5;
const VOCAB: usize = 11;
const WIDTH: usize = 8;
const HEADS: usize = 2;
const HEAD: usize = WIDTH / HEADS;

/// Rows of one width.
type Rows = Vec<Vec<f64>>;

// ── the pieces of a twin ─────────────────────────────────────────────────────────────────────────────

/// The tensors of a network in double precision: columns, and numbers row by row.
#[derive(Clone)]
struct Numbers(BTreeMap<String, (usize, Vec<f64>)>);

impl Numbers {
    fn of(params: &Params) -> Self {
        let weights = params.weights(0).unwrap();
        let each = weights.tensors.iter().map(|tensor| {
            let columns = *tensor.shape.last().unwrap();
            (
                tensor.name.to_string(),
                (columns, tensor.data.iter().map(|x| f64::from(*x)).collect()),
            )
        });
        Self(each.collect())
    }

    fn rows(&self, name: &str) -> Rows {
        let (columns, data) = &self.0[name];
        data.chunks(*columns).map(<[f64]>::to_vec).collect()
    }

    fn vector(&self, name: &str) -> Option<Vec<f64>> {
        self.0.get(name).map(|(_, data)| data.clone())
    }

    /// `x · wᵀ + b`
    fn map(&self, weight: &str, bias: &str, x: &[f64]) -> Vec<f64> {
        let w = self.rows(weight);
        let bias = self.vector(bias).unwrap_or_else(|| vec![0.0; w.len()]);
        w.iter().zip(bias).map(|(row, bias)| dot(row, x) + bias).collect()
    }

    fn map_all(&self, weight: &str, bias: &str, x: &Rows) -> Rows {
        x.iter().map(|x| self.map(weight, bias, x)).collect()
    }

    fn norm(&self, name: &str, x: &Rows) -> Rows {
        let weight = self.vector(&format!("{name}.weight")).unwrap();
        let bias = self.vector(&format!("{name}.bias")).unwrap();
        let each = x.iter().map(|x| {
            let mean = x.iter().sum::<f64>() / x.len() as f64;
            let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / x.len() as f64;
            let scaled = x.iter().map(|x| (x - mean) / (variance + 1e-5).sqrt());
            scaled.zip(&weight).zip(&bias).map(|((x, w), b)| x * w + b).collect()
        });
        each.collect()
    }

    /// `x + mlp(norm(x))` of a layer.
    fn fed_forward(&self, layer: usize, x: &Rows) -> Rows {
        let name = |part: &str| format!("layer{layer}.mlp.{part}");
        let read = self.norm(&format!("layer{layer}.norm2"), x);
        let hidden = self.map_all(&name("in"), &name("in_bias"), &read);
        let hidden = hidden.into_iter().map(|row| row.into_iter().map(gelu).collect()).collect();
        sum(x, &self.map_all(&name("out"), &name("out_bias"), &hidden))
    }

    fn heads(&self, layer: usize, part: &str, x: &Rows) -> Rows {
        self.map_all(&format!("layer{layer}.w{part}"), &format!("layer{layer}.b{part}"), x)
    }

    fn logits(&self, x: &Rows) -> Rows {
        self.map_all("unembed", "unembed_bias", &self.norm("norm", x))
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn sum(a: &Rows, b: &Rows) -> Rows {
    a.iter().zip(b).map(|(a, b)| a.iter().zip(b).map(|(a, b)| a + b).collect()).collect()
}

fn gelu(x: f64) -> f64 {
    let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3));
    0.5 * x * (1.0 + inner.tanh())
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// What each query attends to, heads side by side; `score` of a head, a query and a key is `None` where it is hidden.
fn attend(
    queries: usize,
    values: &Rows,
    score: impl Fn(usize, usize, usize) -> Option<f64>,
) -> Rows {
    let row = |query: usize| {
        let mut out = Vec::new();
        for head in 0..HEADS {
            let scores: Vec<Option<f64>> =
                (0..values.len()).map(|key| score(head, query, key)).collect();
            let weights: Vec<f64> =
                scores.iter().map(|score| score.map_or(0.0, f64::exp)).collect();
            let all: f64 = weights.iter().sum();
            for column in head * HEAD..(head + 1) * HEAD {
                let mixed = weights.iter().zip(values).map(|(w, v)| w * v[column]);
                out.push(mixed.sum::<f64>() / all);
            }
        }
        out
    };
    (0..queries).map(row).collect()
}

fn of_head(row: &[f64], head: usize) -> &[f64] {
    &row[head * HEAD..(head + 1) * HEAD]
}

/// Pairs of neighbouring numbers of each head, rotated by `place · 10000^(-2i/dim)`.
fn rotated(rows: &Rows, place: impl Fn(usize) -> f64) -> Rows {
    let turn = |(row, x): (usize, &Vec<f64>)| {
        let mut out = x.clone();
        for (i, pair) in out.chunks_mut(2).enumerate() {
            let angle = place(row) * 10_000f64.powf(-2.0 * (i % (HEAD / 2)) as f64 / HEAD as f64);
            let (sine, cosine) = angle.sin_cos();
            let [a, b] = [pair[0], pair[1]];
            pair.copy_from_slice(&[a * cosine - b * sine, a * sine + b * cosine]);
        }
        out
    };
    rows.iter().enumerate().map(turn).collect()
}

// ── the twins: logits of one sequence ────────────────────────────────────────────────────────────────

fn recurrent(cell: Cell, layers: usize, of: &Numbers, ids: &[u32]) -> Rows {
    let embed = of.rows("embed");
    let mut xs: Rows = ids.iter().map(|id| embed[*id as usize].clone()).collect();
    for layer in 0..layers {
        let (mut h, mut c) = (vec![0.0; WIDTH], vec![0.0; WIDTH]);
        for x in &mut xs {
            let name = |part: &str| format!("layer{layer}.{part}");
            let i = of.map(&name("wi"), &name("wi_bias"), x);
            let r = of.map(&name("wh"), &name("wh_bias"), &h);
            let before = h.clone();
            for unit in 0..WIDTH {
                let [a, b] = [&i, &r].map(|v| move |block: usize| v[block * WIDTH + unit]);
                h[unit] = match cell {
                    Cell::Tanh => (a(0) + b(0)).tanh(),
                    Cell::Gru => {
                        let (reset, update) = (sigmoid(a(0) + b(0)), sigmoid(a(1) + b(1)));
                        (1.0 - update) * (a(2) + reset * b(2)).tanh() + update * before[unit]
                    }
                    Cell::Lstm => {
                        let gate = |block| sigmoid(a(block) + b(block));
                        c[unit] = gate(1) * c[unit] + gate(0) * (a(2) + b(2)).tanh();
                        gate(3) * c[unit].tanh()
                    }
                };
            }
            x.clone_from(&h);
        }
    }
    of.map_all("unembed", "unembed_bias", &xs)
}

fn memory_tokens(settings: &MemoryTokens, of: &Numbers, ids: &[u32]) -> Rows {
    let (embed, pos) = (of.rows("embed"), of.rows("pos"));
    let slots = settings.memory;
    let mut memory = of.rows("memory");
    let mut all = Rows::new();
    for ids in ids.chunks(SEGMENT) {
        let tokens = ids.iter().zip(&pos).map(|(id, place)| add(&embed[*id as usize], place));
        let with = |name: &str| sum(&memory, &of.rows(name));
        let mut x = with("memory_read");
        x.extend(tokens);
        if settings.write {
            x.extend(with("memory_write"));
        }
        let end = slots + ids.len();
        for layer in 0..2 {
            let read = of.norm(&format!("layer{layer}.norm1"), &x);
            let [q, k, v] = ["q", "k", "v"].map(|part| of.heads(layer, part, &read));
            let z = attend(x.len(), &v, |head, i, j| {
                let seen = j < slots || i >= end || (i >= slots && j <= i);
                seen.then(|| dot(of_head(&q[i], head), of_head(&k[j], head)) / 2.0)
            });
            x = of.fed_forward(layer, &sum(&x, &of.heads(layer, "o", &z)));
        }
        all.extend(of.logits(&x[slots..end].to_vec()));
        let kept = if settings.write { x[end..].to_vec() } else { x[..slots].to_vec() };
        memory = of.norm("norm", &kept);
    }
    all
}

fn add(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

/// What of the positions that a layer has is kept, and what is made of the others.
struct Kept {
    cache: usize,
    /// How many rows, and of how many positions each.
    compressed: [usize; 2],
    by: Function,
}

impl Kept {
    fn cache(cache: usize) -> Self {
        Self { cache, compressed: [0, 1], by: Function::Mean }
    }

    /// A row of several, by what the layer compresses with.
    fn row(&self, of: &Numbers, layer: usize, rows: &Rows) -> Vec<f64> {
        let column = |i: usize| rows.iter().map(move |row| row[i]);
        match self.by {
            Function::Mean => {
                (0..WIDTH).map(|i| column(i).sum::<f64>() / rows.len() as f64).collect()
            }
            Function::Max => (0..WIDTH).map(|i| column(i).fold(f64::MIN, f64::max)).collect(),
            Function::Conv => {
                let name = format!("layer{layer}.compress");
                of.map(&name, &format!("{name}_bias"), &rows.concat())
            }
        }
    }
}

/// A row that a layer sees, and the place of it, counted through the whole sequence.
type Placed = (Vec<f64>, f64);

/// What the layers read and keep on the way.
struct Told<'t> {
    /// A layer, what it reads of a segment, positions that leave its cache, and what they become.
    leaving: &'t mut dyn FnMut(usize, &Rows, &Rows, &Rows),
}

fn transformer_xl(kept: &Kept, of: &Numbers, ids: &[u32]) -> Rows {
    told(kept, of, ids, &mut Told { leaving: &mut |_, _, _, _| {} })
}

fn told(kept: &Kept, of: &Numbers, ids: &[u32], tell: &mut Told<'_>) -> Rows {
    let embed = of.rows("embed");
    let (u, v) = (of.vector("u").unwrap(), of.vector("v").unwrap());
    let (mut caches, mut compressed) =
        (vec![Vec::<Placed>::new(); 2], vec![Vec::<Placed>::new(); 2]);
    let mut all = Rows::new();
    for (number, ids) in ids.chunks(SEGMENT).enumerate() {
        let mut x: Rows = ids.iter().map(|id| embed[*id as usize].clone()).collect();
        for (layer, cached) in caches.iter_mut().enumerate() {
            let read = of.norm(&format!("layer{layer}.norm1"), &x);
            let place = |i: usize| (number * SEGMENT + i) as f64;
            cached.extend(read.iter().enumerate().map(|(i, row)| (row.clone(), place(i))));
            let (seen, places): (Rows, Vec<f64>) =
                compressed[layer].iter().chain(&*cached).cloned().unzip();
            let q = of.heads(layer, "q", &read);
            let [k, values] = ["k", "v"].map(|part| of.heads(layer, part, &seen));
            let z = attend(x.len(), &values, |head, i, j| {
                let distance = place(i) - places[j];
                if distance < 0.0 {
                    return None;
                }
                let wr = of.rows(&format!("layer{layer}.wr.head{head}"));
                let sinusoid = |column: usize| {
                    let angle =
                        distance * 10_000f64.powf(-2.0 * (column / 2) as f64 / WIDTH as f64);
                    if column.is_multiple_of(2) { angle.sin() } else { angle.cos() }
                };
                let far = |dim: usize| -> f64 {
                    (0..WIDTH).map(|column| wr[column][dim] * sinusoid(column)).sum()
                };
                let far: Vec<f64> = (0..HEAD).map(far).collect();
                let [by_content, by_place] =
                    [&u, &v].map(|bias| add(of_head(&q[i], head), of_head(bias, head)));
                Some((dot(&by_content, of_head(&k[j], head)) + dot(&by_place, &far)) / 2.0)
            });
            x = of.fed_forward(layer, &sum(&x, &of.heads(layer, "o", &z)));
            let [rows, rate] = kept.compressed;
            let leaves = cached.len().saturating_sub(kept.cache) / rate * rate;
            let groups: Vec<Placed> = cached.drain(..leaves).collect();
            let made = groups.chunks(rate).map(|group| {
                let (group, places): (Rows, Vec<f64>) = group.iter().cloned().unzip();
                (kept.row(of, layer, &group), places.iter().sum::<f64>() / rate as f64)
            });
            let made: Vec<Placed> = if rows > 0 { made.collect() } else { Vec::new() };
            let alone = |rows: &[Placed]| rows.iter().map(|(row, _)| row.clone()).collect::<Rows>();
            (tell.leaving)(layer, &read, &alone(&groups), &alone(&made));
            compressed[layer].extend(made);
            let gone = compressed[layer].len().saturating_sub(rows);
            compressed[layer].drain(..gone);
        }
        all.extend(of.logits(&x));
    }
    all
}

fn feedback(settings: &Feedback, of: &Numbers, ids: &[u32]) -> Rows {
    let (embed, slots) = (of.rows("embed"), settings.memory);
    let (mut keys, mut values) = (vec![Rows::new(); 2], vec![Rows::new(); 2]);
    let mut memories = vec![Rows::new(); 2];
    let mut all = Rows::new();
    for (block, ids) in ids.chunks(SEGMENT).enumerate() {
        let begin = (block * SEGMENT) as f64;
        let mut x: Rows = ids.iter().map(|id| embed[*id as usize].clone()).collect();
        let mut flowing = if slots > 0 { of.rows("memory") } else { Rows::new() };
        for layer in 0..2 {
            let memory = if block == 0 { flowing.clone() } else { memories[layer].clone() };
            let both = |f: &dyn Fn(&Rows) -> Rows| [f(&x), f(&memory)];
            let part = |part: &'static str| {
                both(&|rows| of.heads(layer, part, &of.norm(&format!("layer{layer}.norm1"), rows)))
            };
            let [[q, q_memory], [k, k_memory], [v, v_memory]] = ["q", "k", "v"].map(part);
            let place = |row: usize| begin + row as f64;
            let memory_place = |row: usize| begin - slots as f64 + row as f64;
            let (q, k) = (rotated(&q, place), rotated(&k, place));
            let [q_memory, k_memory] = [q_memory, k_memory].map(|x| rotated(&x, memory_place));
            let score = |q: &[f64], k: &[f64], head| dot(of_head(q, head), of_head(k, head)) / 2.0;
            // Tokens: cached blocks, the memory (but before the first block), and the tokens before them.
            let (cached, shown) = (keys[layer].len(), if block == 0 { 0 } else { slots });
            let seen = [keys[layer].clone(), k_memory[..shown].to_vec(), k.clone()].concat();
            let read = [values[layer].clone(), v_memory[..shown].to_vec(), v.clone()].concat();
            let z = attend(x.len(), &read, |head, i, j| {
                (j <= cached + shown + i).then(|| score(&q[i], &seen[j], head))
            });
            // The memory: itself and the whole block.
            let own = [k_memory.clone(), k.clone()].concat();
            let own_values = [v_memory.clone(), v.clone()].concat();
            let z_memory =
                attend(slots, &own_values, |head, i, j| Some(score(&q_memory[i], &own[j], head)));
            x = of.fed_forward(layer, &sum(&x, &of.heads(layer, "o", &z)));
            let written = of.heads(layer, "o", &z_memory);
            let written = if block == 0 { written } else { sum(&memory, &written) };
            memories[layer] = of.fed_forward(layer, &written);
            flowing.clone_from(&memories[layer]);
            for (cache, new) in [(&mut keys[layer], k), (&mut values[layer], v)] {
                cache.extend(new);
                let count = cache.len().min(settings.blocks * SEGMENT);
                cache.drain(..cache.len() - count);
            }
        }
        all.extend(of.logits(&x));
    }
    all
}

fn hierarchical(settings: &Hierarchical, of: &Numbers, ids: &[u32]) -> Rows {
    let (embed, pos) = (of.rows("embed"), of.rows("pos"));
    let layers = |mut x: Rows| {
        for layer in 0..2 {
            let read = of.norm(&format!("layer{layer}.norm1"), &x);
            let [q, k, v] = ["q", "k", "v"].map(|part| of.heads(layer, part, &read));
            let z = attend(x.len(), &v, |head, i, j| {
                (j <= i).then(|| dot(of_head(&q[i], head), of_head(&k[j], head)) / 2.0)
            });
            x = of.fed_forward(layer, &sum(&x, &of.heads(layer, "o", &z)));
        }
        x
    };
    let around = |memory: &[f64], tokens: &[Vec<f64>]| {
        let [read, write] =
            ["memory_read", "memory_write"].map(|name| add(memory, &of.rows(name)[0]));
        [vec![read], tokens.to_vec(), vec![write]].concat()
    };
    let last = |x: &Rows| of.norm("norm", &x[x.len() - 1..].to_vec()).remove(0);
    let mut beginning = Rows::new();
    let first = of.rows("memory").remove(0);
    let (mut kept, mut all) = (Rows::new(), Rows::new());
    for ids in ids.chunks(SEGMENT) {
        let tokens: Rows =
            ids.iter().zip(&pos).map(|(id, place)| add(&embed[*id as usize], place)).collect();
        let prompt = match kept.last() {
            None => first.clone(),
            Some(latest) if !settings.retrieval => latest.clone(),
            Some(_) => {
                let count = (settings.summary * SEGMENT as f64).round() as usize;
                let count = count.min(ids.len());
                let summary = layers(around(&first, &tokens[..count]));
                if settings.causal {
                    beginning = summary[1..=count].to_vec();
                }
                let summary = last(&summary);
                let query = of.map("retrieval.wq", "", &summary);
                let keys = of.map_all("retrieval.wk", "", &kept);
                let score = |key: &Vec<f64>| (dot(&query, key) / (WIDTH as f64).sqrt()).exp();
                let weights: Vec<f64> = keys.iter().map(score).collect();
                let whole: f64 = weights.iter().sum();
                let column = |i: usize| -> f64 {
                    weights.iter().zip(&kept).map(|(w, m)| w / whole * m[i]).sum()
                };
                (0..WIDTH).map(column).collect()
            }
        };
        let x = layers(around(&prompt, &tokens));
        let after = x[1 + beginning.len()..=ids.len()].to_vec();
        all.extend(of.logits(&[std::mem::take(&mut beginning), after].concat()));
        kept.push(last(&x));
        let most = if settings.recall == 0 { kept.len() } else { settings.recall };
        kept.drain(..kept.len().saturating_sub(most));
    }
    all
}

/// A slice of each row, or all of it where there is one.
fn slices(x: &Rows, count: usize) -> Vec<Rows> {
    let width = x[0].len() / count;
    (0..count).map(|i| x.iter().map(|row| row[i * width..][..width].to_vec()).collect()).collect()
}

fn joined(parts: &[Rows]) -> Rows {
    (0..parts[0].len()).map(|i| parts.iter().flat_map(|part| part[i].clone()).collect()).collect()
}

fn mechanisms(count: usize, of: &Numbers, ids: &[u32]) -> Rows {
    let (embed, pos) = (of.rows("embed"), of.rows("pos"));
    let mut x: Rows =
        ids.iter().zip(&pos).map(|(id, place)| add(&embed[*id as usize], place)).collect();
    for layer in 0..3 {
        let count = if layer == 1 { count } else { 1 };
        let called = |part: &str, i: usize| match count {
            1 => format!("layer{layer}.{part}"),
            _ => format!("layer{layer}.{part}.mechanism{i}"),
        };
        let each = |x: &Rows, f: &dyn Fn(&Rows, usize) -> Rows| {
            let parts = slices(x, count);
            joined(&parts.iter().enumerate().map(|(i, x)| f(x, i)).collect::<Vec<Rows>>())
        };
        let mapped = |part: &'static str, x: &Rows| {
            each(x, &|x, i| {
                let name = called(part, i);
                of.map_all(&name, &format!("{name}_bias"), x)
            })
        };
        let normed = |part: &'static str, x: &Rows| each(x, &|x, i| of.norm(&called(part, i), x));
        let [q, k, v] = ["wq", "wk", "wv"].map(|part| mapped(part, &x));
        let z = attend(x.len(), &v, |head, i, j| {
            (j <= i).then(|| dot(of_head(&q[i], head), of_head(&k[j], head)) / (HEAD as f64).sqrt())
        });
        let mut written = mapped("wo", &z);
        if count > 1 {
            let scores = mapped("competition", &x);
            for (row, scores) in written.iter_mut().zip(&scores) {
                let whole: f64 = scores.iter().map(|s| s.exp()).sum();
                let width = row.len() / count;
                row.iter_mut().enumerate().for_each(|(i, x)| *x *= scores[i / width].exp() / whole);
            }
        }
        x = normed("norm1", &sum(&x, &written));
        let hidden: Rows = mapped("mlp.in", &x)
            .into_iter()
            .map(|row| row.into_iter().map(gelu).collect())
            .collect();
        x = normed("norm2", &sum(&x, &mapped("mlp.out", &hidden)));
        if count > 1 {
            // At each position the slices look at each other, by one head.
            let parts = ["communication.wq", "communication.wk", "communication.wv"];
            let [q, k, v] = parts.map(|part| slices(&mapped(part, &x), count));
            let width = WIDTH / count;
            let look = |i: usize, at: usize| -> Vec<f64> {
                let score = |j: usize| (dot(&q[i][at], &k[j][at]) / (width as f64).sqrt()).exp();
                let whole: f64 = (0..count).map(score).sum();
                let column = |c: usize| (0..count).map(|j| score(j) / whole * v[j][at][c]).sum();
                (0..width).map(column).collect()
            };
            let z: Rows =
                (0..x.len()).map(|at| (0..count).flat_map(|i| look(i, at)).collect()).collect();
            x = normed("norm3", &sum(&x, &mapped("communication.wo", &z)));
        }
    }
    of.map_all("unembed", "unembed_bias", &x)
}

// ── comparing ────────────────────────────────────────────────────────────────────────────────────────

type Twin = Box<dyn Fn(&Numbers, &[u32]) -> Rows>;

fn stack() -> Stack {
    Stack { layers: 2, heads: HEADS, width: WIDTH, ..Stack::default() }
}

/// Networks that read segments, and their twins.
fn twins() -> Vec<(Variation, Twin)> {
    let mut all: Vec<(Variation, Twin)> = Vec::new();
    for (cell, layers) in [(Cell::Tanh, 1), (Cell::Gru, 1), (Cell::Gru, 2), (Cell::Lstm, 2)] {
        let settings = Recurrent { cell, layers, width: WIDTH, ..Recurrent::default() };
        let twin: Twin = Box::new(move |of, ids| recurrent(cell, layers, of, ids));
        all.push((named(&format!("{cell:?} {layers}"), Box::new(settings)), twin));
    }
    for (memory, write) in [(1, true), (3, true), (2, false)] {
        let settings = MemoryTokens { stack: stack(), memory, write, stop_gradient: false };
        let name = format!("memory tokens {memory}, written {write}");
        let variation = named(&name, Box::new(settings.clone()));
        all.push((variation, Box::new(move |of, ids| memory_tokens(&settings, of, ids))));
    }
    for cache in [2, 5, 8] {
        let settings = TransformerXl { stack: stack(), cache, stop_gradient: false };
        let variation = named(&format!("cache of {cache}"), Box::new(settings));
        all.push((
            variation,
            Box::new(move |of, ids| transformer_xl(&Kept::cache(cache), of, ids)),
        ));
    }
    for (by, cache, compressed, rate) in [
        (Function::Mean, 3, 2, 2),
        (Function::Max, 3, 2, 2),
        (Function::Conv, 3, 2, 2),
        // Not whole segments, and fewer rows than leave at once.
        (Function::Conv, 2, 1, 3),
        (Function::Mean, 4, 3, 4),
    ] {
        let settings = compressive(by, cache, [compressed, rate], false);
        let kept = Kept { cache, compressed: [compressed, rate], by };
        let name = format!("compressive {by:?}, {cache}, {compressed}, {rate}");
        let variation = named(&name, Box::new(settings));
        all.push((variation, Box::new(move |of, ids| transformer_xl(&kept, of, ids))));
    }
    all.push(named_hierarchical((0.5, true), 0, true));
    all.push(named_hierarchical((1.0, false), 1, true));
    all.push(named_hierarchical((0.5, true), 0, false));
    for count in [1, 2] {
        let settings = Mechanisms {
            heads: HEADS,
            width: WIDTH,
            mechanisms: count,
            communication: 1,
            ..Mechanisms::default()
        };
        let variation = of(&format!("mechanisms {count}"), Box::new(settings));
        all.push((variation, Box::new(move |of, ids| mechanisms(count, of, ids))));
    }
    for (memory, blocks) in [(2, 0), (3, 1), (0, 1), (0, 2), (1, 2)] {
        let settings = Feedback { stack: stack(), memory, blocks, stop_gradient: false };
        let name = format!("feedback memory {memory}, blocks {blocks}");
        let variation = named(&name, Box::new(settings.clone()));
        all.push((variation, Box::new(move |of, ids| feedback(&settings, of, ids))));
    }
    all
}

fn named_hierarchical(
    (summary, causal): (f64, bool),
    recall: usize,
    retrieval: bool,
) -> (Variation, Twin) {
    let settings = Hierarchical { stack: stack(), summary, causal, recall, retrieval };
    let name = format!("hierarchical {summary}, {recall}, retrieval {retrieval}, causal {causal}");
    let variation = named(&name, Box::new(settings.clone()));
    (variation, Box::new(move |of, ids| hierarchical(&settings, of, ids)))
}

fn compressive(
    function: Function,
    cache: usize,
    [compressed, rate]: [usize; 2],
    stop_gradient: bool,
) -> Compressive {
    Compressive { stack: stack(), cache, compressed, rate, function, stop_gradient }
}

fn named(name: &str, settings: Box<dyn Architecture>) -> Variation {
    let segmented = in_segments(settings, SEGMENT, 65536);
    of(name, segmented.settings)
}

/// The loss over two sequences that the tests of all models have.
fn loss(twin: &Twin, of: &Numbers, ids: &[u32]) -> f64 {
    let (targets, weights) = loss_over(ids);
    let rows = ids.chunks(LENGTH).flat_map(|ids| twin(of, ids));
    let each = rows.zip(targets).zip(weights).map(|((row, target), weight)| {
        let all: f64 = row.iter().map(|x| x.exp()).sum();
        f64::from(weight) * (all.ln() - row[target as usize])
    });
    each.sum()
}

#[test]
fn networks_with_a_memory_give_the_logits_of_their_equations() {
    for (variation, twin) in twins() {
        let (model, params) = variation.build(LENGTH);
        let ids = ids(2, LENGTH);
        let found = logits(&*model, &params, &tokens(&ids, 2));
        let of = Numbers::of(&params);
        let expected = ids.chunks(LENGTH).flat_map(|ids| twin(&of, ids)).flatten();
        let scale = found.iter().fold(1.0, |most: f32, x| most.max(x.abs()));
        for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
            let apart = (f64::from(*found) - expected).abs() / f64::from(scale);
            assert!(apart < 1e-5, "{}, number {i}: {found} and {expected}", variation.name);
        }
    }
}

#[test]
fn gradients_of_networks_with_a_memory_are_slopes_of_their_equations() {
    for (variation, twin) in twins() {
        let (model, params) = variation.build(LENGTH);
        let ids = ids(2, LENGTH);
        let of = Numbers::of(&params);
        let grads = gradients(&*model, &params, &ids, &mut Untapped);
        let whole: f64 = grads.iter().flatten().flatten().map(|g| f64::from(g * g)).sum();
        for (param, grad) in params.all().zip(grads) {
            let name = params.name(param);
            let Some(grad) = grad else {
                assert!(!params.is_trained(param), "{}: {name} has no gradient", variation.name);
                continue;
            };
            let direction = draw(1, name, grad.len(), Init::Normal(1.0));
            let moved = |by: f64| {
                let mut moved = of.clone();
                let (_, data) = moved.0.get_mut(name).unwrap();
                data.iter_mut().zip(&direction).for_each(|(x, d)| *x += by * f64::from(*d));
                loss(&twin, &moved, &ids)
            };
            let slope = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            let found: f64 =
                grad.iter().zip(&direction).map(|(g, d)| f64::from(*g) * f64::from(*d)).sum();
            let scale = whole.sqrt().max(slope.abs());
            assert!(
                (found - slope).abs() < 1e-4 * scale,
                "{}: {name}: {found} and {slope}",
                variation.name
            );
        }
    }
}

#[test]
fn networks_with_a_memory_pass_on_the_tape_what_they_pass_over_tensors() {
    for (variation, _) in twins() {
        assert_tape_agrees(&variation, None, false, 2 * 70);
        assert_tape_agrees(&variation, Some("embed"), true, 100 * 70);
        assert_tape_keeps(&variation, LENGTH);
    }
}

#[test]
fn gradients_pass_through_the_memory_of_all_segments() {
    for (variation, _) in twins() {
        assert_gradients_are_slopes(&variation, LENGTH, 1);
    }
}

#[test]
fn no_position_of_a_network_with_a_memory_sees_a_later_token() {
    for (variation, _) in twins() {
        // That one is not meant to keep this law.
        if variation.name.ends_with("causal false") {
            continue;
        }
        let (model, params) = variation.build(LENGTH);
        for early in [3, 4, 7, 12] {
            let whole = ids(1, LENGTH);
            let mut changed = whole.clone();
            changed[early] = (changed[early] + 1) % 11;
            let [before, after] =
                [whole, changed].map(|ids| logits(&*model, &params, &tokens(&ids, 1)));
            let split = early * VOCAB;
            let apart = before[..split].iter().zip(&after[..split]);
            let apart = apart.fold(0.0, |most: f32, (a, b)| most.max((a - b).abs()));
            assert!(apart < 1e-5, "{}, {early}: {apart}", variation.name);
            assert_ne!(before[split..], after[split..]);
        }
    }
}

/// The loss that trains what compresses, from the equations: attention by content, without a mask, sequence by sequence of weight 1/2.
fn reconstruction(kept: &Kept, of: &Numbers, held: &Numbers, ids: &[u32]) -> f64 {
    let mut sum = 0.0;
    let (_, weights) = loss_over(ids);
    for (ids, weights) in ids.chunks(LENGTH).zip(weights.chunks(LENGTH)) {
        let share: f32 = weights.iter().sum();
        let leaving = &mut |layer: usize, read: &Rows, old: &Rows, _: &Rows| {
            if old.is_empty() {
                return;
            }
            let rows: Rows =
                old.chunks(kept.compressed[1]).map(|g| kept.row(of, layer, &g.to_vec())).collect();
            let q = held.heads(layer, "q", read);
            let [wanted, found] = [old, &rows].map(|rows| {
                let [k, v] = ["k", "v"].map(|part| held.heads(layer, part, rows));
                attend(q.len(), &v, |head, i, j| {
                    Some(dot(of_head(&q[i], head), of_head(&k[j], head)) / 2.0)
                })
            });
            let apart = wanted.iter().flatten().zip(found.iter().flatten());
            let apart: f64 = apart.map(|(a, b)| (a - b).powi(2)).sum();
            sum += f64::from(share) * apart / (q.len() * WIDTH) as f64;
        };
        told(kept, held, ids, &mut Told { leaving });
    }
    sum
}

#[test]
fn what_compresses_learns_to_keep_what_attention_finds_and_nothing_else_learns_of_it() {
    let kept = Kept { cache: 3, compressed: [2, 2], by: Function::Conv };
    let settings = |by| named("compressive", Box::new(compressive(by, 3, [2, 2], true)));
    let (model, params) = settings(Function::Conv).build(LENGTH);
    let (ids, held) = (ids(2, LENGTH), Numbers::of(&params));
    let input = tokens(&ids, 2);
    let output = model.forward(&params, &Input::new(&input), &mut Untapped).unwrap();
    let (targets, weights) = loss_over(&ids);
    let added = beside(output.beside.as_ref().unwrap(), &weights).unwrap();
    let found = f64::from(added.to_scalar::<f32>().unwrap());
    let expected = reconstruction(&kept, &held, &held, &ids);
    assert!(expected > 1e-3 && (found - expected).abs() < 1e-5 * expected, "{found} {expected}");
    // The gradient of the whole loss: of what compresses the slope of this one, of all else that of the logits' alone.
    let grads = gradients(&*model, &params, &ids, &mut Untapped);
    let of_logits = cross_entropy(&output.logits, &targets, &weights).unwrap().backward().unwrap();
    for (param, grad) in params.all().zip(&grads) {
        let (name, alone) =
            (params.name(param), of_logits.get(params.var(param).unwrap().as_tensor()));
        if !name.contains("compress") || name.starts_with("relative") {
            let alone = alone.map(|g| g.flatten_all().unwrap().to_vec1::<f32>().unwrap());
            assert_eq!(*grad, alone, "{name}");
            continue;
        }
        assert!(alone.is_none(), "{name} learns of the task");
        let grad = grad.as_ref().unwrap();
        let direction = draw(1, name, grad.len(), Init::Normal(1.0));
        let moved = |by: f64| {
            let mut moved = held.clone();
            let (_, data) = moved.0.get_mut(name).unwrap();
            data.iter_mut().zip(&direction).for_each(|(x, d)| *x += by * f64::from(*d));
            reconstruction(&kept, &moved, &held, &ids)
        };
        let slope = (moved(1e-5) - moved(-1e-5)) / 2e-5;
        let found: f64 =
            grad.iter().zip(&direction).map(|(g, d)| f64::from(*g) * f64::from(*d)).sum();
        assert!((found - slope).abs() < 1e-4 * slope.abs(), "{name}: {found} and {slope}");
    }
    for by in [Function::Mean, Function::Max, Function::Conv] {
        assert_tape_agrees(&settings(by), None, true, 2 * 70);
        assert_tape_agrees(&settings(by), Some("embed"), false, 100 * 70);
        assert_tape_keeps(&settings(by), LENGTH);
    }
}

#[test]
fn compressed_rows_cover_what_left_the_cache_and_stand_where_they_are_counted() {
    // Segments of 3, a cache of 4, two rows of two positions each: row i covers the positions 2i and 2i + 1.
    let settings = Compressive { stack: stack(), ..compressive(Function::Mean, 4, [2, 2], true) };
    let variation = in_segments(Box::new(settings), 3, 65536);
    let (model, params) = variation.build(15);
    assert_eq!(model.keeps(), Some(Keeps::Compressed { rate: 2 }));
    let pattern = Site { layer: 0, point: Point::Pattern };
    let mut bench = EditAndCapture::new(Vec::new(), vec![pattern]);
    let tokens = tokens(&ids(1, 15), 1);
    model.forward(&params, &Input::new(&tokens), &mut bench).unwrap();
    let (whole, rows) = bench.captured.whole(pattern).unwrap().unwrap();
    let whole = whole.get(0).unwrap().get(0).unwrap().to_vec2::<f32>().unwrap();
    for (query, weights) in whole.iter().enumerate() {
        let (to_rows, to_positions) = weights.split_at(rows);
        let before = query / 3 * 3;
        // Whole groups have left the cache of what was read before.
        let left = before.saturating_sub(4) / 2;
        let seen = |all: &[f32]| (0..all.len()).filter(|i| all[*i] > 0.0).collect::<Vec<usize>>();
        assert_eq!(seen(to_rows), (left.saturating_sub(2)..left).collect::<Vec<_>>(), "{query}");
        assert_eq!(seen(to_positions), (2 * left..=query).collect::<Vec<_>>(), "{query}");
        assert!((weights.iter().sum::<f32>() - 1.0).abs() < 1e-5);
    }
    assert_eq!(rows, 4);
    // An edge to a row is cut by its number, whatever segment looks at it.
    let cut: Intervention = "cut layer0.head0@14<-cm2".parse().unwrap();
    let edits = Edit::of_all(&[cut], &params).unwrap();
    let mut bench = EditAndCapture::new(edits, vec![pattern]);
    model.forward(&params, &Input::new(&tokens), &mut bench).unwrap();
    let (after, _) = bench.captured.whole(pattern).unwrap().unwrap();
    let after = after.get(0).unwrap().get(0).unwrap().to_vec2::<f32>().unwrap();
    let changed = |(i, (a, b)): (usize, (&Vec<f32>, &Vec<f32>))| {
        let columns = (0..a.len()).filter(|j| a[*j] != b[*j]).map(move |j| (i, j));
        columns.collect::<Vec<_>>()
    };
    let changed: Vec<_> = whole.iter().zip(&after).enumerate().flat_map(changed).collect();
    assert_eq!(changed, [(14, 2)]);
}

#[test]
fn what_is_retrieved_is_shared_among_the_segments_before_and_can_be_changed_there() {
    let settings =
        Hierarchical { stack: stack(), summary: 0.5, recall: 2, ..Hierarchical::default() };
    let (model, params) = in_segments(Box::new(settings), 3, 65536).build(15);
    assert_eq!(model.keeps(), Some(Keeps::Retrieved));
    let retrieval = Site { layer: 0, point: Point::own("retrieval") };
    let tokens = tokens(&ids(1, 15), 1);
    let under = |what: &[&str]| {
        let what: Vec<Intervention> = what.iter().map(|text| text.parse().unwrap()).collect();
        let edits = Edit::of_all(&what, &params).unwrap();
        let mut bench = EditAndCapture::new(edits, vec![retrieval]);
        let output = model.forward(&params, &Input::new(&tokens), &mut bench).unwrap();
        let shares = bench.captured[&retrieval].get(0).unwrap().to_vec2::<f32>().unwrap();
        (shares, output.logits.get(0).unwrap().to_vec2::<f32>().unwrap())
    };
    let refused = |settings: Hierarchical| {
        let on = Sequences { segment: 2, ..Sequences::of_tokens(5, 4) };
        settings.build(on, &mut Params::new(0)).err().map(|e| e.message)
    };
    let whole = Hierarchical { stack: stack(), summary: 0.9, ..Hierarchical::default() };
    assert!(refused(whole.clone()).unwrap().contains("model.summary is 0.9"));
    assert_eq!(refused(Hierarchical { causal: false, ..whole }), None);
    let (shares, before) = under(&[]);
    assert_eq!((shares.len(), shares[0].len()), (5, 5));
    for (segment, shares) in shares.iter().enumerate() {
        // Of the last two segments before it alone.
        let seen = |i: &usize| shares[*i] > 0.0;
        let expected: Vec<usize> = (segment.saturating_sub(2)..segment).collect();
        assert_eq!((0..5).filter(seen).collect::<Vec<usize>>(), expected);
        let sum: f32 = shares.iter().sum();
        assert!(segment == 0 || (sum - 1.0).abs() < 1e-5, "{shares:?}");
    }
    let (_, after) = under(&["zero layer0.retrieval@m0:3"]);
    // The first two positions of the segment are what the summary is made of.
    assert_eq!(before[..11], after[..11]);
    assert_ne!(before[11], after[11]);
}

#[test]
fn mechanisms_share_what_may_be_written_at_each_position() {
    let settings = Mechanisms { heads: 4, width: 16, mechanisms: 4, ..Mechanisms::default() };
    let (model, params) = of("four mechanisms", Box::new(settings)).build(LENGTH);
    assert_eq!(model.keeps(), Some(Keeps::Mechanisms));
    let [first, middle, last] = [0, 1, 2].map(|layer| Site { layer, point: COMPETITION });
    let mut bench = EditAndCapture::new(Vec::new(), vec![first, middle, last]);
    let tokens = tokens(&ids(2, LENGTH), 2);
    model.forward(&params, &Input::new(&tokens), &mut bench).unwrap();
    assert!(!bench.captured.contains_key(&first) && !bench.captured.contains_key(&last));
    let shares = bench.captured[&middle].flatten_to(1).unwrap().to_vec2::<f32>().unwrap();
    assert_eq!((shares.len(), shares[0].len()), (2 * LENGTH, 4));
    for row in shares {
        assert!(row.iter().all(|x| *x > 0.0) && (row.iter().sum::<f32>() - 1.0).abs() < 1e-6);
    }
    for (changed, said) in [
        (Mechanisms { mechanisms: 3, ..Mechanisms::default() }, "model.mechanisms 3"),
        (Mechanisms { communication: 3, ..Mechanisms::default() }, "model.communication 3"),
        (Mechanisms { heads: 6, ..Mechanisms::default() }, "model.width 32"),
    ] {
        let refused = changed.build(Sequences::of_tokens(5, 4), &mut Params::new(0)).err().unwrap();
        assert!(refused.message.contains(said), "{}", refused.message);
    }
}

/// Which keys the queries of a segment see, from the weights of attention: rows of 1 and 0 as in the descriptions of the models.
fn visible(
    settings: Box<dyn Architecture>,
    segment: usize,
    length: usize,
    piece: usize,
) -> Vec<String> {
    let variation = in_segments(settings, segment, 65536);
    let (model, params) = variation.build(length);
    let pattern = Site { layer: 0, point: Point::Pattern };
    let mut bench = EditAndCapture::new(Vec::new(), vec![pattern]);
    let tokens = tokens(&ids(1, length), 1);
    model.forward(&params, &Input::new(&tokens), &mut bench).unwrap();
    let (_, seen) = &bench.captured.pieces(pattern)[piece];
    let rows = seen.get(0).unwrap().get(0).unwrap().to_vec2::<f32>().unwrap();
    let row = |row: &Vec<f32>| row.iter().map(|w| if *w > 0.0 { '1' } else { '0' }).collect();
    rows.iter().map(row).collect()
}

#[test]
fn attention_sees_what_the_masks_of_the_papers_show() {
    // Columns: 2 tokens of memory that are read, 3 positions, 2 tokens of memory that are written.
    let memory = MemoryTokens { stack: stack(), memory: 2, ..MemoryTokens::default() };
    let expected = ["1100000", "1100000", "1110000", "1111000", "1111100", "1111111", "1111111"];
    assert_eq!(visible(Box::new(memory), 3, 6, 1), expected);
    // Columns: 4 cached positions, 4 of the block, 2 of memory; the rows are positions, and then memory.
    let fam = Feedback { stack: stack(), memory: 2, blocks: 1, stop_gradient: false };
    let expected =
        ["1111100011", "1111110011", "1111111011", "1111111111", "0000111111", "0000111111"];
    assert_eq!(visible(Box::new(fam), 4, 12, 1), expected);
}

/// Which positions see which, over the whole sequence.
fn pattern_of(settings: Box<dyn Architecture>, segment: usize, length: usize) -> Vec<String> {
    let (model, params) = in_segments(settings, segment, 65536).build(length);
    let pattern = Site { layer: 0, point: Point::Pattern };
    let mut bench = EditAndCapture::new(Vec::new(), vec![pattern]);
    let tokens = tokens(&ids(1, length), 1);
    model.forward(&params, &Input::new(&tokens), &mut bench).unwrap();
    let rows = bench.captured[&pattern].get(0).unwrap().get(0).unwrap().to_vec2::<f32>().unwrap();
    let row = |row: &Vec<f32>| row.iter().map(|w| if *w > 0.0 { '1' } else { '0' }).collect();
    rows.iter().map(row).collect()
}

#[test]
fn cached_positions_stand_where_they_are_in_the_sequence() {
    let window = |blocks| Feedback { stack: stack(), memory: 0, blocks, stop_gradient: false };
    let one = ["100000", "110000", "111000", "111100", "001110", "001111"];
    assert_eq!(pattern_of(Box::new(window(1)), 2, 6), one);
    let two = ["100000", "110000", "111000", "111100", "111110", "111111"];
    assert_eq!(pattern_of(Box::new(window(2)), 2, 6), two);
    // A cache of 4 positions and segments of 3: the third sees the positions 3 to 6 (of 1 to 9) before its own.
    let cached = TransformerXl { stack: stack(), cache: 4, stop_gradient: true };
    let seen = pattern_of(Box::new(cached), 3, 9);
    assert_eq!(seen[3..6], ["111100000", "111110000", "111111000"]);
    assert_eq!(seen[6..], ["001111100", "001111110", "001111111"]);
}
