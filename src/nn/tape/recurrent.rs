//! Layers of recurrent units on the tape: all positions of a segment in one operation.

use super::back::add_product;
use super::{Op, Tape, Value, copy, cut, cut_mut, slot};
use crate::base::error::{Error, Result};
use crate::nn::kernel::matrix::Matrix;
use crate::nn::kernel::recurrent::{Gradients, Recurrent, Shape, backward, forward};
use crate::nn::wire::{Map, Units};

impl Tape<'_> {
    /// # Errors
    /// When the shapes do not fit.
    pub(super) fn recurred(&mut self, units: Units<'_, Value>) -> Result<Value> {
        let Units { cell, inputs, recurrent: map, before, .. } = units;
        let (outputs, width) = self.numbers.sizes(map.weight)?;
        let positions = self.positions_of(*inputs);
        let shape = Shape { cell, batch: self.batch.rows, positions, width };
        self.check_width(*inputs, shape.outputs())?;
        self.check_units(shape, outputs, before)?;
        let mut kept = self.work.take(shape.kept_len());
        self.begin(shape, before, &mut kept);
        let mut out = self.work.take(shape.batch * positions * shape.state());
        let mut scratch = self.work.take(shape.batch * outputs);
        let weight = self.numbers.transposed(map.weight, outputs, width);
        let bias = map.bias.map_or(&[][..], |bias| self.numbers.slice(bias));
        let of = (&*self.slots[inputs.0].data, Recurrent { weight, bias });
        forward(shape, of, &mut kept, &mut out, &mut scratch);
        self.work.give(scratch);
        let params = [Some(map.weight), map.bias];
        let wanted = params.iter().flatten().any(|param| self.numbers.is_wanted(*param))
            || before.iter().chain([inputs]).any(|value| self.is_wanted(*value));
        let op = Op::Recur { inputs: *inputs, map, before: before.to_vec(), shape, kept };
        Ok(self.push(slot(op, out, shape.state(), wanted)))
    }

    fn check_units(&self, shape: Shape, outputs: usize, before: &[Value]) -> Result<()> {
        for value in before {
            self.check_width(*value, shape.width)?;
        }
        let is_one = |value: &Value| self.positions_of(*value) == 1;
        let most = shape.cell.vectors();
        if outputs == shape.outputs() && before.len() <= most && before.iter().all(is_one) {
            return Ok(());
        }
        Err(Error::internal(format!(
            "a matrix of {outputs} rows and {} vectors before do not fit {} units with {most} vectors",
            before.len(),
            shape.width
        )))
    }

    /// The state before all positions; zeros where there is none.
    fn begin(&self, shape: Shape, before: &[Value], kept: &mut [f32]) {
        let (state, width) = (shape.state(), shape.width);
        let first = &mut kept[..shape.batch * state];
        first.fill(0.0);
        for (i, value) in before.iter().enumerate() {
            let from = cut(&self.slots[value.0].data, width, 0, width);
            copy(cut_mut(first, state, i * width, width), from);
        }
    }

    /// The way back over [`Self::recurred`].
    pub(super) fn unrecurred(
        &mut self,
        inputs: Value,
        map: Map,
        before: &[Value],
        (shape, kept): (Shape, &[f32]),
        gradient: &[f32],
    ) {
        let (numbers, outputs, rows) =
            (self.numbers, shape.outputs(), shape.positions * shape.batch);
        let mut d_inputs = self.work.take(rows * outputs);
        let mut d_recurrent = self.work.take(rows * outputs);
        let mut d_before = self.work.take(shape.batch * shape.state());
        let by = Recurrent { weight: numbers.slice(map.weight), bias: &[] };
        let mut to =
            Gradients { inputs: &mut d_inputs, recurrent: &mut d_recurrent, before: &mut d_before };
        backward(shape, by, kept, gradient, &mut to);
        self.add_to_bias(map.bias, &d_recurrent, outputs);
        if numbers.is_wanted(map.weight) {
            let dy = (Matrix::new(&d_recurrent, rows, outputs), outputs);
            let found = &mut self.found.grads[map.weight.index()];
            add_product(found, self.work, dy, (shape.hidden(kept), shape.width));
        }
        for (i, value) in before.iter().enumerate() {
            let mut found = self.work.take(shape.batch * shape.width);
            let from = cut(&d_before, shape.state(), i * shape.width, shape.width);
            copy(cut_mut(&mut found, shape.width, 0, shape.width), from);
            self.add(*value, found);
        }
        self.add(inputs, d_inputs);
        self.work.give(d_recurrent);
        self.work.give(d_before);
    }
}
