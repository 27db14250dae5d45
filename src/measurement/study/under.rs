//! A network with interventions in force: to whoever asks it, a network like any other.

use crate::base::error::Result;
use crate::base::intervention::Site;
use crate::model::readout::{Readout, Writes};
use crate::model::segments::Segments;
use crate::model::{Input, Keeps, Layout, Model, Output};
use crate::nn::edit::Edit;
use crate::nn::params::{Param, Params};
use crate::nn::tap::{EditAndCapture, Part, Tap};

use candle_core::Tensor;

/// A network whose every pass is changed first, and then watched.
pub struct Under<'a> {
    pub model: &'a dyn Model,
    pub edits: &'a [Edit],
}

impl Model for Under<'_> {
    fn layout(&self) -> &Layout {
        self.model.layout()
    }

    fn forward(&self, params: &Params, input: &Input<'_>, tap: &mut dyn Tap) -> Result<Output> {
        let first = EditAndCapture::new(self.edits.to_vec(), Vec::new());
        self.model.forward(params, input, &mut Both { first, then: tap })
    }

    fn has_tape(&self) -> bool {
        false
    }

    fn readout(&self, params: &Params) -> Result<Option<Readout>> {
        self.model.readout(params)
    }

    fn keeps(&self) -> Option<Keeps> {
        self.model.keeps()
    }

    fn segments(&self) -> Option<Segments> {
        self.model.segments()
    }

    fn mlp_output(&self, layer: usize) -> Option<Param> {
        self.model.mlp_output(layer)
    }

    fn writes(&self, params: &Params, layer: usize) -> Result<Option<Writes>> {
        self.model.writes(params, layer)
    }
}

/// One tap after the other.
struct Both<'a> {
    first: EditAndCapture,
    then: &'a mut dyn Tap,
}

impl Tap for Both<'_> {
    fn wants(&self, site: Site) -> bool {
        self.first.wants(site) || self.then.wants(site)
    }

    fn at(&mut self, site: Site, x: Tensor) -> Result<Tensor> {
        self.at_part(site, Part::whole(site, &x), x)
    }

    fn at_part(&mut self, site: Site, part: Part, x: Tensor) -> Result<Tensor> {
        let x = if self.first.wants(site) { self.first.at_part(site, part, x)? } else { x };
        if self.then.wants(site) { self.then.at_part(site, part, x) } else { Ok(x) }
    }
}
