//! Groups of positions whose losses are followed by themselves: a facet of tasks that have such.

use std::sync::Arc;

/// The groups of each position of a text: pairs of a position and the number of a group.
pub type GroupsOf = Arc<dyn Fn(&[u32]) -> Vec<(usize, usize)> + Send + Sync>;

/// Groups of the positions that have a target. A position may be in several, or in none.
#[derive(Clone)]
pub struct Groups {
    /// Of each group the column of `metrics.csv` for its mean loss, which begins with `loss_by_`.
    pub columns: Vec<String>,
    pub of: GroupsOf,
}
