//! Activation patching: the base run with one part of it taken from the counterfactual run, part by part.
//!
//! With base and counterfactual exchanged this is what TransformerLens calls patching: there the corrupted run gets
//! a part of the clean one.

use std::collections::BTreeMap;

use candle_core::Tensor;

use super::{Progress, Seen, Side, Stage, in_turn};
use crate::base::error::{Error, Result};
use crate::base::intervention::{Point, Site};
use crate::measurement::read::values;
use crate::nn::edit::{At, Edit, With};
use crate::nn::kernel::pool::Pool;
use crate::nn::tap::Captured;

/// What one cell of a map takes from the counterfactual run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum By {
    /// One position of the residual stream, or of what is written into it.
    Position,
    /// One head at all positions.
    Head,
    /// One head at one position.
    HeadPosition,
    /// One row of the pattern of one head.
    HeadQuery,
    /// One weight of the pattern of one head.
    HeadCell,
}

/// A kind of map: which point, in which parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Family {
    pub point: Point,
    pub by: By,
}

/// All families, by name.
pub const FAMILIES: &[(&str, Family)] = &[
    ("resid_pre", family(Point::ResidPre, By::Position)),
    ("resid_mid", family(Point::ResidMid, By::Position)),
    ("attn_out", family(Point::AttnOut, By::Position)),
    ("mlp_out", family(Point::MlpOut, By::Position)),
    ("z", family(Point::Z, By::Head)),
    ("q", family(Point::Q, By::Head)),
    ("k", family(Point::K, By::Head)),
    ("v", family(Point::V, By::Head)),
    ("pattern", family(Point::Pattern, By::Head)),
    ("z_by_position", family(Point::Z, By::HeadPosition)),
    ("q_by_position", family(Point::Q, By::HeadPosition)),
    ("k_by_position", family(Point::K, By::HeadPosition)),
    ("v_by_position", family(Point::V, By::HeadPosition)),
    ("pattern_by_query", family(Point::Pattern, By::HeadQuery)),
    ("pattern_by_cell", family(Point::Pattern, By::HeadCell)),
];

/// Families that are shown together.
pub const STACKS: &[(&str, &[&str])] = &[
    ("heads", &["z", "q", "k", "v", "pattern"]),
    (
        "heads_by_position",
        &["z_by_position", "q_by_position", "k_by_position", "v_by_position", "pattern_by_query"],
    ),
    ("blocks", &["resid_pre", "attn_out", "mlp_out"]),
];

const fn family(point: Point, by: By) -> Family {
    Family { point, by }
}

impl Family {
    /// The families of a name: one, or those of a stack.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn named(name: &str) -> Result<Vec<(&'static str, Self)>> {
        let one = |name: &str| FAMILIES.iter().find(|(n, _)| *n == name).copied();
        if let Some(found) = one(name) {
            return Ok(vec![found]);
        }
        let stack = STACKS.iter().find(|(n, _)| *n == name);
        stack.map(|(_, names)| names.iter().filter_map(|n| one(n)).collect()).ok_or_else(|| {
            let names = FAMILIES.iter().map(|(n, _)| *n).chain(STACKS.iter().map(|(n, _)| *n));
            let names: Vec<&str> = names.collect();
            Error::usage(format!("there is no map \"{name}\"; there are {}", names.join(", ")))
        })
    }

    /// Axes of a map, outermost first.
    pub fn axes(self) -> &'static [&'static str] {
        match self.by {
            By::Position => &["layer", "position"],
            By::Head => &["layer", "head"],
            By::HeadPosition => &["layer", "head", "position"],
            By::HeadQuery => &["layer", "head", "query"],
            By::HeadCell => &["layer", "head", "query", "key"],
        }
    }
}

/// One part of the network: an entry of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cell {
    pub layer: usize,
    pub head: Option<usize>,
    pub position: Option<usize>,
    pub key: Option<usize>,
}

impl Cell {
    /// Place in a map of this shape, row-major.
    pub fn index(self, shape: &[usize]) -> usize {
        let coordinates = [Some(self.layer), self.head, self.position, self.key];
        let coordinates = coordinates.into_iter().flatten();
        coordinates.zip(shape).fold(0, |at, (c, &n)| at * n + c)
    }
}

/// What became of one cell: `seen[pair]` of the patched runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Patched {
    pub cell: Cell,
    pub seen: Vec<Seen>,
}

/// A map to be filled: its cells, those with the largest change of their activations first.
pub struct Plan<'a> {
    stage: &'a Stage<'a>,
    pub family: Family,
    /// Of each part of the pairs: what the counterfactual run has at the sites.
    others: Vec<Captured>,
    cells: Vec<Cell>,
    /// Cells that are the same in both runs, or that no prediction can see: their effect is exactly 0.
    still: Vec<Cell>,
}

impl<'a> Plan<'a> {
    /// # Errors
    /// When a forward pass fails, or the network has no such point.
    pub fn new(stage: &'a Stage<'a>, family: Family) -> Result<Self> {
        let layers = stage.subject.model.layout().heads.len();
        let sites: Vec<Site> =
            (0..layers).map(|layer| Site { layer, point: family.point }).collect();
        let mut others = Vec::new();
        let mut change: BTreeMap<Cell, f64> = BTreeMap::new();
        let last = stage.pairs.all().iter().map(|pair| pair.at).max().unwrap_or(0);
        for part in stage.pairs.parts() {
            let base = part.capture(stage.subject, Side::Base, &[], &sites)?;
            let other = part.capture(stage.subject, Side::Other, &[], &sites)?;
            for site in other.keys() {
                let squares =
                    family.compared(&other, *site)?.sub(&family.compared(&base, *site)?)?.sqr()?;
                for (cell, square) in family.changes(site.layer, &squares, last)? {
                    *change.entry(cell).or_default() += square;
                }
            }
            others.push(other);
        }
        if change.is_empty() {
            return Err(Error::usage(format!(
                "this network has no point {} to patch",
                family.point.name()
            )));
        }
        let mut cells: Vec<(Cell, f64)> = change.into_iter().collect();
        cells.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        let (moving, still): (Vec<_>, Vec<_>) = cells.into_iter().partition(|(_, c)| *c > 0.0);
        let only = |cells: Vec<(Cell, f64)>| cells.into_iter().map(|(cell, _)| cell).collect();
        Ok(Self { stage, family, others, cells: only(moving), still: only(still) })
    }

    /// Lengths of the axes. Keys and values that several heads share (grouped-query attention) count once.
    pub fn shape(&self) -> Vec<usize> {
        let layers = self.stage.subject.model.layout().heads.len();
        let length = self.stage.pairs.length();
        let all = self.cells.iter().chain(&self.still);
        let heads = all.filter_map(|cell| cell.head).max().map_or(0, |last| last + 1);
        match self.family.by {
            By::Position => vec![layers, length],
            By::Head => vec![layers, heads],
            By::HeadPosition | By::HeadQuery => vec![layers, heads, length],
            By::HeadCell => vec![layers, heads, length, length],
        }
    }

    /// Cells that take a forward pass, in the order in which they are done.
    pub fn cells(&self) -> &[Cell] {
        &self.cells
    }

    /// Cells whose effect is exactly none.
    pub fn still(&self) -> &[Cell] {
        &self.still
    }

    /// Does all cells; `take` gets each as it comes.
    pub fn run(
        &self,
        pool: &Pool,
        mut take: impl FnMut(Patched),
        progress: Progress<'_>,
    ) -> Result<()> {
        for &cell in &self.still {
            take(Patched { cell, seen: self.stage.base.clone() });
        }
        in_turn(pool, &self.cells, |cell| self.patched(*cell), take, progress)
    }

    /// One cell.
    pub fn patched(&self, cell: Cell) -> Result<Patched> {
        let mut seen = Vec::with_capacity(self.stage.pairs.len());
        for (part, other) in self.stage.pairs.parts().iter().zip(&self.others) {
            seen.extend(self.stage.run(part, &[self.edit(other, cell)?])?);
        }
        Ok(Patched { cell, seen })
    }

    /// What a cell takes from what the counterfactual run of a part has.
    fn edit(&self, others: &Captured, cell: Cell) -> Result<Edit> {
        let site = Site { layer: cell.layer, point: self.family.point };
        let other = others.whole(site)?;
        let (other, _) =
            other.ok_or_else(|| Error::internal("a cell of a layer without the point"))?;
        let at = |position: Option<usize>| position.map_or(At::All, |p| At::Same(vec![p]));
        Ok(Edit {
            site,
            head: cell.head,
            positions: at(cell.position),
            keys: at(cell.key),
            with: With::Replace(other),
        })
    }
}

impl Family {
    /// What a run has at a site: a cell of a query and a key is one of positions, all others count what goes to memory tokens too.
    fn compared(self, run: &Captured, site: Site) -> Result<Tensor> {
        let found = match self.by {
            By::HeadCell => run.get(&site).cloned(),
            By::Position | By::Head | By::HeadPosition | By::HeadQuery => {
                run.whole(site)?.map(|(all, _)| all)
            }
        };
        found.ok_or_else(|| Error::internal("a site came and went"))
    }

    /// The cells of a layer, each with the squares of its change summed up; `squares` is `[batch, head, pos, …]` or
    /// `[batch, pos, …]`. Positions after `last` are seen by no prediction.
    fn changes(self, layer: usize, squares: &Tensor, last: usize) -> Result<Vec<(Cell, f64)>> {
        let by_head = self.point.by_head();
        // To `[head, pos, key]`, `[head, pos]` or `[pos]`.
        let summed = match self.by {
            By::HeadCell => squares.sum(0)?,
            By::Position | By::Head | By::HeadPosition | By::HeadQuery => {
                squares.sum(candle_core::D::Minus1)?.sum(0)?
            }
        };
        let dims = summed.dims().to_vec();
        let (heads, positions) = if by_head { (dims[0], dims[1]) } else { (1, dims[0]) };
        let keys = if self.by == By::HeadCell { dims[2] } else { 1 };
        values(&summed, |all| {
            let square = |head: usize, position: usize, key: usize| {
                if position > last {
                    0.0
                } else {
                    f64::from(all[(head * positions + position) * keys + key])
                }
            };
            let cell = |head, position, key| Cell { layer, head, position, key };
            let mut cells = Vec::new();
            for h in 0..heads {
                match self.by {
                    By::Head => {
                        let sum = (0..positions).map(|p| square(h, p, 0)).sum();
                        cells.push((cell(Some(h), None, None), sum));
                    }
                    By::Position => cells.extend(
                        (0..positions).map(|p| (cell(None, Some(p), None), square(0, p, 0))),
                    ),
                    By::HeadPosition | By::HeadQuery => cells.extend(
                        (0..positions).map(|p| (cell(Some(h), Some(p), None), square(h, p, 0))),
                    ),
                    By::HeadCell => cells.extend((0..positions).flat_map(|p| {
                        (0..keys).map(move |k| (cell(Some(h), Some(p), Some(k)), square(h, p, k)))
                    })),
                }
            }
            cells
        })
    }
}
