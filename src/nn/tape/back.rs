//! The way back over a tape: from the loss to the gradients, operation by operation.

use super::numbers::Workspace;
use super::{
    Found, Op, Segment, Slot, Tape, Value, Weight, copy, cut, cut_mut, no_logits, rule, turn,
};
use crate::base::error::{Error, Result};
use crate::nn::attention::softmax_back;
use crate::nn::kernel::activation::swiglu_backward;
use crate::nn::kernel::attention::{self, Backward, Gradients};
use crate::nn::kernel::cross_entropy::cross_entropy;
use crate::nn::kernel::lanes::{add_to, product, scale};
use crate::nn::kernel::matrix::{Into, Matrix, multiply};
use crate::nn::kernel::normalize;
use crate::nn::kernel::slice::Floats;
use crate::nn::kernel::squared_error::squared_error;
use crate::nn::norm::Norm;
use crate::nn::params::Param;
use crate::nn::wire::Tables;

impl<'a> Tape<'a> {
    /// The loss of the logits of all that was read, and the way back from it. Where the batch has real numbers as targets, it is
    /// the squared error of predictions `[batch · pos, outputs]`. The gradients are of the buffers of the workspace, and may
    /// be given back to it.
    ///
    /// # Errors
    /// When there are no logits for each position, or a weighted target is none of the vocabulary.
    pub fn backward(mut self) -> Result<Found> {
        self.go_back()?;
        Ok(self.found)
    }

    /// The way back over what was read and not left yet, of which nothing is left then.
    pub(super) fn go_back(&mut self) -> Result<()> {
        for segment in 0..self.segments.len() {
            let Some(logits) = self.segments[segment].logits else { return Err(no_logits()) };
            let gradient = if self.batch.value_targets.is_empty() {
                self.cross_entropy(segment, logits)?
            } else {
                self.squared_error(segment, logits)?
            };
            self.add(logits, gradient);
        }
        for [x, wanted] in std::mem::take(&mut self.beside) {
            let gradient = self.apart(x, wanted);
            self.add(x, gradient);
        }
        while let Some(slot) = self.slots.pop() {
            match (slot.gradient, slot.op) {
                (Some(gradient), op) => self.undo(op, &slot.data, slot.width, gradient)?,
                // What was kept for a way back that nobody goes.
                (None, op) => op.into_kept().into_iter().for_each(|kept| self.work.give(kept)),
            }
            self.work.give(slot.data);
        }
        self.segments.clear();
        Ok(())
    }

    /// The gradient of the logits of a segment; the loss is kept.
    fn cross_entropy(&mut self, segment: usize, logits: Value) -> Result<Vec<f32>> {
        let (targets, weight) = self.segments[segment].in_loss();
        let vocab = self.slots[logits.0].width;
        let fits = |(target, weight): (&u32, &f32)| *weight == 0.0 || (*target as usize) < vocab;
        if self.rows(logits) != targets.len() || !targets.iter().zip(&weight).all(fits) {
            return Err(Error::internal(format!(
                "{} rows of {vocab} logits do not fit {} targets",
                self.rows(logits),
                targets.len()
            )));
        }
        let mut gradient = self.work.take(self.slots[logits.0].data.len());
        let logits_data = &self.slots[logits.0].data;
        self.found.loss += cross_entropy(logits_data, &targets, &weight, Some(&mut gradient));
        Ok(gradient)
    }

    /// The gradient of the mean squared difference of a value from one that is wanted, sequence by sequence; the loss is kept.
    fn apart(&mut self, x: Value, wanted: Value) -> Vec<f32> {
        let mut gradient = self.work.take(self.slots[x.0].data.len());
        let each = (gradient.len() / self.batch.rows.max(1)).max(1);
        let (x, wanted) = (&self.slots[x.0].data, &self.slots[wanted.0].data);
        let sequences = x.chunks_exact(each).zip(wanted.chunks_exact(each));
        let weights = self.weight.chunks_exact(self.batch.len.max(1));
        for ((to, (x, wanted)), weight) in
            gradient.chunks_exact_mut(each).zip(sequences).zip(weights)
        {
            let share = weight.iter().sum::<f32>() / each as f32;
            let mut sum = 0.0;
            for ((to, x), wanted) in to.iter_mut().zip(x).zip(wanted) {
                sum += f64::from(x - wanted).powi(2);
                *to = 2.0 * share * (x - wanted);
            }
            self.found.loss += f64::from(share) * sum;
        }
        gradient
    }

    /// The gradient of the predictions of a segment; the loss is kept.
    fn squared_error(&mut self, segment: usize, predictions: Value) -> Result<Vec<f32>> {
        let outputs = self.batch.value_targets.len() / self.weight.len().max(1);
        self.check_width(predictions, outputs)?;
        let segment = &self.segments[segment];
        let of = |row: usize| {
            let position = segment.place(row, self.batch.len);
            &self.batch.value_targets[position * outputs..][..outputs]
        };
        let targets: Vec<f32> = segment.rows().flat_map(of).copied().collect();
        let (_, weight) = segment.in_loss();
        let data = &self.slots[predictions.0].data;
        if data.len() != targets.len() {
            return Err(Error::internal(format!(
                "{} numbers are predicted, {} are the targets",
                data.len(),
                targets.len()
            )));
        }
        let mut gradient = self.work.take(data.len());
        self.found.loss += squared_error(data, &targets, &weight, &mut gradient);
        Ok(gradient)
    }

    /// Passes the gradient of a value, computed as `op` says, on to what it was computed from.
    fn undo(
        &mut self,
        op: Op<'a>,
        out: &[f32],
        width: usize,
        mut gradient: Vec<f32>,
    ) -> Result<()> {
        match op {
            Op::Embed(tables, segment) => {
                self.scatter_tokens(tables, segment, &gradient);
                self.work.give(gradient);
            }
            Op::Constant => self.work.give(gradient),
            Op::Folded(w, segment) => self.unfolded(w, segment, gradient),
            Op::Repeat(param) => self.unrepeated(param, gradient),
            Op::Linear { x, w, bias, residual } => {
                self.unmapped(x, &w, bias, (&gradient, width))?;
                match residual {
                    Some(residual) => self.add(residual, gradient),
                    None => self.work.give(gradient),
                }
            }
            Op::Sum(a, b) => self.unsummed(a, b, gradient),
            Op::Product(a, b) => self.unmultiplied(a, b, gradient),
            Op::Slice { x, block, from } => self.unsliced(x, block, from, gradient),
            Op::Concat(parts, blocks) => self.unconcatenated(&parts, blocks, gradient),
            Op::Rows(x) => self.add(x, gradient),
            Op::Softmax(x) => {
                softmax_back(out, &mut gradient, width);
                self.add(x, gradient);
            }
            Op::Scale(x, factor) => {
                scale(&mut gradient, factor);
                self.add(x, gradient);
            }
            Op::Normalize { x, norm, statistics } => {
                self.unnormalized(x, norm, &statistics, &mut gradient)?;
                self.work.give(statistics);
                self.add(x, gradient);
            }
            Op::Attend { shape, inputs, log_sums } => {
                self.unattended(shape, inputs, out, &log_sums, &gradient);
                self.work.give(log_sums);
                self.work.give(gradient);
            }
            Op::Rotate(x, rotary, runs) => {
                // A rotation is orthogonal: its gradient turns back.
                turn(&mut gradient, rotary, &runs, width, -1.0);
                self.add(x, gradient);
            }
            Op::Activate { x, activation, kept } => {
                activation.go_back(&kept, &mut gradient);
                self.work.give(kept);
                self.add(x, gradient);
            }
            Op::SwiGlu { gate, up } => {
                let mut to_gate = self.work.take(gradient.len());
                let (gate_data, up_data) = (&self.slots[gate.0].data, &self.slots[up.0].data);
                swiglu_backward(gate_data, up_data, &mut gradient, &mut to_gate);
                self.add(gate, to_gate);
                self.add(up, gradient);
            }
            Op::Recur { inputs, map, before, shape, kept } => {
                self.unrecurred(inputs, map, &before, (shape, &kept), &gradient);
                self.work.give(kept);
                self.work.give(gradient);
            }
            Op::Select(x, segment) => self.unselected(x, segment, gradient),
        }
        Ok(())
    }

    fn unsummed(&mut self, a: Value, b: Value, gradient: Vec<f32>) {
        if self.is_wanted(a) && self.is_wanted(b) {
            let mut copy = self.work.take(gradient.len());
            copy.copy_from_slice(&gradient);
            self.add(b, copy);
            self.add(a, gradient);
        } else {
            let one = if self.is_wanted(a) { a } else { b };
            self.add(one, gradient);
        }
    }

    fn unmultiplied(&mut self, a: Value, b: Value, gradient: Vec<f32>) {
        for (to, other) in [(a, b), (b, a)] {
            if self.is_wanted(to) {
                let mut found = self.work.take(gradient.len());
                product(&gradient, &self.slots[other.0].data, &mut found);
                self.add(to, found);
            }
        }
        self.work.give(gradient);
    }

    fn unrepeated(&mut self, rows: Param, gradient: Vec<f32>) {
        let length = self.numbers.slice(rows).len();
        let sum = self.gradient_of(rows, length);
        gradient.chunks_exact(length).for_each(|rows| add_to(sum, rows));
        self.work.give(gradient);
    }

    fn unselected(&mut self, x: Value, segment: usize, gradient: Vec<f32>) {
        let width = self.slots[x.0].width;
        let mut whole = self.work.take_zeros(self.slots[x.0].data.len());
        let rows = self.segments[segment].selected.iter().flatten();
        for (from, &to) in gradient.chunks_exact(width).zip(rows) {
            whole[to * width..][..width].copy_from_slice(from);
        }
        self.work.give(gradient);
        self.add(x, whole);
    }

    /// Adds the gradient of a part to that of the whole.
    fn unsliced(&mut self, x: Value, block: usize, from: usize, gradient: Vec<f32>) {
        let length = self.slots[x.0].data.len();
        let blocks = (length / block.max(1)).max(1);
        let mut whole =
            self.slots[x.0].gradient.take().unwrap_or_else(|| self.work.take_zeros(length));
        let count = gradient.len() / blocks;
        let into = cut_mut(&mut whole, block, from, count);
        into.zip(cut(&gradient, count, 0, count)).for_each(|(all, part)| add_to(all, part));
        self.work.give(gradient);
        self.slots[x.0].gradient = Some(whole);
    }

    fn unconcatenated(&mut self, parts: &[Value], blocks: usize, gradient: Vec<f32>) {
        let (whole, mut from) = (gradient.len() / blocks, 0);
        for &x in parts {
            let count = self.slots[x.0].data.len() / blocks;
            let mut found = self.work.take(count * blocks);
            copy(cut_mut(&mut found, count, 0, count), cut(&gradient, whole, from, count));
            self.add(x, found);
            from += count;
        }
        self.work.give(gradient);
    }

    fn unmapped(
        &mut self,
        x: Value,
        w: &Weight,
        bias: Option<Param>,
        (gradient, outputs): (&[f32], usize),
    ) -> Result<()> {
        let (numbers, rows, inputs) = (self.numbers, self.rows(x), self.slots[x.0].width);
        self.add_to_bias(bias, gradient, outputs);
        let dy = Matrix::new(gradient, rows, outputs);
        if let Weight::Param(w) = w
            && numbers.is_wanted(*w)
        {
            let x = Matrix::new(&self.slots[x.0].data, rows, inputs);
            let found = &mut self.found.grads[w.index()];
            add_product(found, self.work, (dy, outputs), (x, inputs));
        }
        if self.is_wanted(x) {
            let fixed;
            let data = match w {
                Weight::Param(w) => numbers.slice(*w),
                Weight::Fixed(w) => {
                    fixed = Floats::of(w)?;
                    &*fixed
                }
            };
            let before = self.slots[x.0].gradient.take();
            let into = if before.is_some() { Into::Add } else { Into::Overwrite };
            let mut dx = before.unwrap_or_else(|| self.work.take(rows * inputs));
            let w = Matrix::new(data, outputs, inputs);
            multiply(&mut dx, inputs, dy, w, 1.0, into);
            self.slots[x.0].gradient = Some(dx);
        }
        Ok(())
    }

    /// Adds the sum of the rows of a gradient to that of a bias, if there is one.
    pub(super) fn add_to_bias(&mut self, bias: Option<Param>, gradient: &[f32], width: usize) {
        if let Some(bias) = bias.filter(|bias| self.numbers.is_wanted(*bias)) {
            let to_bias = self.gradient_of(bias, width);
            gradient.chunks_exact(width).for_each(|row| add_to(to_bias, row));
        }
    }

    fn unnormalized(
        &mut self,
        x: Value,
        norm: &Norm,
        statistics: &[f32],
        gradient: &mut [f32],
    ) -> Result<()> {
        let width = self.slots[x.0].width;
        let rule = rule(self.numbers, norm, width)?;
        let (mut to_weight, mut to_bias) =
            (self.work.take_zeros(width), self.work.take_zeros(width));
        let data = &self.slots[x.0].data;
        normalize::backward(rule, data, statistics, gradient, &mut to_weight, &mut to_bias);
        for (param, found) in [(norm.weight, to_weight), (norm.bias, to_bias)] {
            if let Some(param) = param.filter(|p| self.numbers.is_wanted(*p)) {
                add_to(self.gradient_of(param, width), &found);
            }
            self.work.give(found);
        }
        Ok(())
    }

    fn unattended(
        &mut self,
        shape: attention::Shape,
        inputs: [Value; 3],
        z: &[f32],
        log_sums: &[f32],
        dz: &[f32],
    ) {
        let mut scratch = self.work.take(shape.scratch());
        let mut grads = inputs.map(|value| {
            let Slot { data, wanted, .. } = &self.slots[value.0];
            wanted.then(|| self.work.take(data.len()))
        });
        let of = Backward { inputs: self.attended(inputs), z, log_sums, dz };
        let [q, k, v] = &mut grads;
        let mut out = Gradients { q: q.as_deref_mut(), k: k.as_deref_mut(), v: v.as_deref_mut() };
        attention::backward(shape, of, &mut out, &mut scratch);
        self.work.give(scratch);
        for (value, gradient) in inputs.into_iter().zip(grads) {
            if let Some(gradient) = gradient {
                self.add(value, gradient);
            }
        }
    }

    fn scatter_tokens(&mut self, tables: Tables, segment: usize, gradient: &[f32]) {
        let numbers = self.numbers;
        let Segment { from, len, tokens, .. } = &self.segments[segment];
        let width = gradient.len() / tokens.len().max(1);
        let (grads, work) = (&mut self.found.grads, self.work);
        let length = |table: Param| numbers.slice(table).len();
        if numbers.is_wanted(tables.tokens) {
            let out = gradient_in(grads, work, tables.tokens, length(tables.tokens));
            scatter(out, gradient, width, tokens.iter().map(|&t| t as usize));
        }
        if let Some(positions) = tables.positions.filter(|p| numbers.is_wanted(*p)) {
            let out = gradient_in(grads, work, positions, length(positions));
            scatter(out, gradient, width, (0..tokens.len()).map(|i| from + i % len));
        }
    }

    /// Sums the rows of each token and of each position; [`Numbers::unfold`] does the rest.
    fn unfolded(&mut self, w: Param, segment: usize, gradient: Vec<f32>) {
        let numbers = self.numbers;
        let Segment { from, len, tokens: ids, .. } = &self.segments[segment];
        let width = gradient.len() / ids.len().max(1);
        if let Some(folded) = numbers.folded[w.index()].get() {
            let tokens = folded.tokens.len();
            let out = self.found.folds[w.index()]
                .get_or_insert_with(|| self.work.take_zeros(tokens + folded.positions.len()));
            let (of_tokens, of_positions) = out.split_at_mut(tokens);
            scatter(of_tokens, &gradient, width, ids.iter().map(|&t| t as usize));
            if !of_positions.is_empty() {
                let places = (0..ids.len()).map(|i| from + i % len);
                scatter(of_positions, &gradient, width, places);
            }
        }
        self.work.give(gradient);
    }

    /// The gradient of a parameter so far, to be added to.
    fn gradient_of(&mut self, param: Param, length: usize) -> &mut [f32] {
        gradient_in(&mut self.found.grads, self.work, param, length)
    }

    /// Adds to the gradient of a value.
    pub(super) fn add(&mut self, value: Value, gradient: Vec<f32>) {
        let slot = &mut self.slots[value.0];
        match &mut slot.gradient {
            _ if !slot.wanted => self.work.give(gradient),
            Some(sum) => {
                add_to(sum, &gradient);
                self.work.give(gradient);
            }
            none => *none = Some(gradient),
        }
    }
}

/// The gradient of a parameter among those of all, zeros if there was none.
fn gradient_in<'g>(
    grads: &'g mut [Option<Vec<f32>>],
    work: &Workspace,
    param: Param,
    length: usize,
) -> &'g mut Vec<f32> {
    grads[param.index()].get_or_insert_with(|| work.take_zeros(length))
}

/// Adds `dyᵀ · x` to the gradient of a matrix, `[outputs, inputs]`.
pub(super) fn add_product(
    found: &mut Option<Vec<f32>>,
    work: &Workspace,
    (dy, outputs): (Matrix<'_>, usize),
    (x, inputs): (Matrix<'_>, usize),
) {
    let into = if found.is_some() { Into::Add } else { Into::Overwrite };
    let dw = found.get_or_insert_with(|| work.take(outputs * inputs));
    multiply(dw, inputs, dy.transposed(), x, 1.0, into);
}

/// Adds each row of `x` to the row of `out` that `rows` names.
fn scatter(out: &mut [f32], x: &[f32], width: usize, rows: impl Iterator<Item = usize>) {
    for (from, row) in x.chunks_exact(width).zip(rows) {
        add_to(&mut out[row * width..][..width], from);
    }
}
