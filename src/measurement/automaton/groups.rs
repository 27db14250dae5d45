//! Vectors in groups, by one of two ways, and the group of another vector.

use std::collections::BTreeMap;

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use crate::numeric::clusters::{Clusters, k_means};
use crate::numeric::geometry::{Basis, pca};
use crate::numeric::grid::Grid;

/// Vectors in groups.
#[derive(Clone, Debug)]
pub struct Groups {
    /// The group of each vector.
    pub of: Vec<usize>,
    /// How many there are.
    pub count: usize,
    way: Way,
}

#[derive(Clone, Debug)]
enum Way {
    Clusters(Clusters),
    /// A box of a grid over principal components is a group if some vector lies in it.
    Boxes {
        basis: Basis,
        grid: Grid,
        number: BTreeMap<Vec<usize>, usize>,
    },
}

impl Groups {
    /// Vectors `[vector, dims]` in so many clusters.
    pub fn clusters(vectors: &[f32], dims: usize, count: usize, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        // 53 bits, as many as a float has.
        let mut chance = || (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        let clusters = k_means(vectors, dims, count, &mut chance);
        let count = clusters.centres.len() / dims;
        Self { of: clusters.of.clone(), count, way: Way::Clusters(clusters) }
    }

    /// Vectors `[vector, dims]` by the box that they lie in: `bins` intervals of each of the first principal components. Boxes are
    /// numbered in the order in which they are entered.
    pub fn boxes(vectors: &[f32], dims: usize, components: usize, bins: usize) -> Self {
        let basis = pca(vectors, dims, components);
        let kept = basis.explained.len().max(1);
        let along: Vec<f32> = vectors.chunks_exact(dims).flat_map(|v| basis.along(v)).collect();
        let grid = Grid::around(&along, kept, bins);
        let mut number = BTreeMap::new();
        let mut numbered = |place: &[f32]| {
            let next = number.len();
            *number.entry(grid.cell(place)).or_insert(next)
        };
        let of = along.chunks_exact(kept).map(&mut numbered).collect();
        Self { of, count: number.len(), way: Way::Boxes { basis, grid, number } }
    }

    /// The group of another vector; `None` where it lies in a box that no vector was in.
    pub fn group(&self, vector: &[f32]) -> Option<usize> {
        match &self.way {
            Way::Clusters(clusters) => clusters.nearest(vector),
            Way::Boxes { basis, grid, number } => {
                number.get(&grid.cell(&basis.along(vector))).copied()
            }
        }
    }
}
