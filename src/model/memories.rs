//! Matrices that are read as associative memories between tokens and positions (Bietti et al. 2023, section 4).

use crate::nn::params::Param;

/// The matrices of a network of two attention layers with one head each, whose queries are the residual stream itself and
/// whose stream is a sum without norms: what each of them stores can be read off it alone. By handles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memories {
    /// `E`, `[vocab, width]`
    pub embed: Param,
    /// `P`, `[length, width]`; `None` where no vector stands for a position.
    pub positions: Option<Param>,
    pub layers: [Layer; 2],
    pub global: GlobalMemory,
    /// `W_U`, `[vocab, width]`; `None`: it is `E` divided by the width.
    pub unembed: Option<Param>,
}

/// The matrices of an attention layer, `[width, width]` each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layer {
    pub wk: Param,
    pub wv: Param,
    pub wo: Param,
}

/// What leads from a token to the law of the next one, `W_F`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GlobalMemory {
    None,
    /// `[width, width]`
    Linear(Param),
    /// `W_2 relu(W_1 x)`: `[hidden, width]` and `[width, hidden]`.
    Mlp(Param, Param),
}

impl Memories {
    /// What the law of the next token can be written into.
    pub fn of_global_law(&self) -> Vec<Param> {
        let last = match self.global {
            GlobalMemory::None => None,
            GlobalMemory::Linear(wf) | GlobalMemory::Mlp(_, wf) => Some(wf),
        };
        last.into_iter().chain(self.tokens()).collect()
    }

    /// What can make an attended token raise its own logit.
    pub fn of_outputs(&self) -> Vec<Param> {
        [self.layers[1].wo].into_iter().chain(self.tokens()).collect()
    }

    /// What can tell the first or the second layer where to attend.
    pub fn of_keys(&self, layer: &Layer) -> Vec<Param> {
        vec![layer.wk, self.embed]
    }

    fn tokens(&self) -> impl Iterator<Item = Param> {
        self.unembed.into_iter().chain([self.embed])
    }
}
