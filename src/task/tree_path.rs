//! Backward chaining: the edges of a tree in some order, a goal leaf and the root; the path between the two is to be written.

use std::any::Any;
use std::sync::Arc;

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use crate::base::batch::Row;
use crate::base::error::{Error, Result};
use crate::base::label::LabelKind;
use crate::base::pair::{Pair, PairKind};
use crate::base::tree::{MOST, Script, Tree, Word};
use crate::base::vocab::Vocab;

use super::numpy::Numpy;
use super::{Source, Task, unlabelled};

crate::choices! {
    /// How a tree is grown.
    pub enum Growth {
        /// A second branch hangs off the root, as in the published training file.
        SecondaryPath = "secondary_path",
        /// No second branch on purpose, shorter paths, as in the published evaluation.
        Plain = "plain",
    }
}

crate::choices! {
    /// How edges are ordered.
    pub enum Order {
        /// Backward for even seeds, random for odd ones: the published training file.
        File = "file",
        /// Breadth-first order, reversed: lower edges first.
        Backward = "backward",
        /// Breadth-first order from the root on.
        Forward = "forward",
        Random = "random",
    }
}

crate::settings! {
    /// Settings of the task of Brinkmann et al. 2024.
    pub struct TreePath = "The edges of a tree, a goal leaf and the root; the path from the root to the goal is to be written. Its first step takes a climb from the goal upwards, edge by edge." {
        /// Nodes of a tree.
        nodes: usize = 16, in 4..=16;
        /// How trees grow: with a second branch off the root (the published training file), or without, on shorter paths (the published evaluation).
        growth: Growth = Growth::SecondaryPath;
        /// Order of the edges: as in the published file (half of the trees backward, half random), lower edges first, upper edges first, or random.
        order: Order = Order::File;
        /// Edges from the root to the goal; 0: drawn for each tree.
        path_length: usize = 0, in 0..=15;
        /// Distinct trees to train on, gone through in a new order each time; 0: every tree is new.
        pool: usize = 0, in 0..=1000000000;
        /// Count the commas after the path in loss and accuracy, as published. Without them, the comma that ends the path still counts.
        padding: bool = true;
    }
}

impl Task for TreePath {
    fn open(&self) -> Result<Arc<dyn Source>> {
        if self.path_length >= self.nodes {
            return Err(Error::usage(format!(
                "task.path_length is {}, but a path through task.nodes = {} nodes has at most {} edges; lower it or use more nodes",
                self.path_length,
                self.nodes,
                self.nodes - 1
            )));
        }
        let vocab = Script { nodes: self.nodes }.vocab();
        Ok(Arc::new(TreeSource { trees: Trees { settings: self.clone() }, vocab }))
    }

    fn boxed(&self) -> Box<dyn Task> {
        Box::new(self.clone())
    }
}

impl TreePath {
    /// The tree that the published generator gives for a seed: line `seed` of the training file under the default
    /// settings.
    ///
    /// # Errors
    /// When `path_length` does not suit `nodes`.
    pub fn published(&self, seed: u128) -> Result<Tree> {
        let (drawn, mut rng) = self.grow(seed, self.path_length);
        drawn.written(self.order_of(seed), &mut rng)
    }

    /// A tree of numpy's seed, whose path has `length` edges or a drawn number (0), and the generator afterwards.
    fn grow(&self, seed: u128, length: usize) -> (Grown, Numpy) {
        let mut rng = Numpy::new(seed);
        (Grown::draw(self, length, &mut rng), rng)
    }

    /// A tree of numpy's seed with a path of `length` edges and a second branch of [`BRANCH`] nodes, or of what is left.
    fn grow_to_scrub(&self, seed: u128, length: usize) -> (Grown, Numpy) {
        let mut rng = Numpy::new(seed);
        let branch = (self.nodes - 1 - length).min(BRANCH);
        (Grown::with_branch(self.nodes, length, branch, &mut rng), rng)
    }

    fn order_of(&self, seed: u128) -> Order {
        match self.order {
            Order::File if seed.is_multiple_of(2) => Order::Backward,
            Order::File => Order::Random,
            Order::Backward | Order::Forward | Order::Random => self.order,
        }
    }

    /// One more than the longest path that is drawn.
    fn lengths_end(&self) -> usize {
        match self.growth {
            Growth::SecondaryPath => self.nodes,
            Growth::Plain => self.nodes / 3 * 2,
        }
    }
}

/// A tree before its edges are put in an order.
struct Grown {
    parents: Vec<Option<usize>>,
    /// From the root to the goal.
    path: Vec<usize>,
}

impl Grown {
    /// Draws in the order of the published generators, so that the same numbers make the same tree.
    fn draw(settings: &TreePath, length: usize, rng: &mut Numpy) -> Self {
        let nodes = settings.nodes;
        let length = if length == 0 { rng.between(1, settings.lengths_end()) } else { length };
        let branches = settings.growth == Growth::SecondaryPath && length + 1 < nodes;
        let branch = if branches { rng.between(1, nodes - length) } else { 0 };
        Self::with_branch(nodes, length, branch, rng)
    }

    /// With a path of `length` edges and a second branch of `branch` nodes off the root.
    fn with_branch(nodes: usize, length: usize, branch: usize, rng: &mut Numpy) -> Self {
        let mut left: Vec<usize> = (0..nodes).collect();
        let path: Vec<usize> = (0..=length).filter_map(|_| rng.take(&mut left)).collect();
        let mut grown = Self { parents: vec![None; nodes], path };
        for ends in grown.path.windows(2) {
            grown.parents[ends[1]] = Some(ends[0]);
        }
        // The goal is left out: it stays a leaf.
        let mut hooks = grown.path[..length].to_vec();
        let mut above = grown.path[0];
        for _ in 0..branch {
            let Some(node) = rng.take(&mut left) else { break };
            grown.parents[node] = Some(above);
            hooks.push(node);
            above = node;
        }
        for node in left {
            let free: Vec<usize> =
                hooks.iter().copied().filter(|hook| grown.children(*hook).count() < 2).collect();
            grown.parents[node] = Some(free[rng.between(0, free.len())]);
            hooks.push(node);
        }
        grown
    }

    /// In ascending order.
    fn children(&self, node: usize) -> impl Iterator<Item = usize> {
        (0..self.parents.len()).filter(move |child| self.parents[*child] == Some(node))
    }

    /// The same tree with other names: `names[node]` for `node`.
    fn renamed(&self, names: &[usize]) -> Self {
        let mut parents = vec![None; names.len()];
        for (node, parent) in self.parents.iter().enumerate() {
            parents[names[node]] = parent.map(|parent| names[parent]);
        }
        Self { parents, path: self.path.iter().map(|node| names[*node]).collect() }
    }

    fn written(&self, order: Order, rng: &mut Numpy) -> Result<Tree> {
        let mut pairs = Vec::with_capacity(self.parents.len() - 1);
        let mut level = std::collections::VecDeque::from([self.path[0]]);
        while let Some(node) = level.pop_front() {
            pairs.extend(self.children(node).map(|child| (node, child)));
            level.extend(self.children(node));
        }
        match order {
            Order::Forward => (),
            Order::Backward => pairs.reverse(),
            Order::File | Order::Random => rng.shuffle(&mut pairs),
        }
        Tree::new(self.parents.len(), &pairs, self.path[self.path.len() - 1])
    }

    /// Whether this tree with this goal is never trained on, in whatever order its edges stand: one in [`SHARE`].
    fn is_set_aside(&self) -> bool {
        let ends = self.parents.iter().map(|parent| parent.map_or(u64::MAX, |p| p as u64));
        let goal = self.path[self.path.len() - 1] as u64;
        ends.chain([goal]).fold(0, |hash, word| scrambled(hash ^ word)).is_multiple_of(SHARE)
    }
}

/// Of the trees with fewer than 16 nodes, one in so many is held out, as in the published split.
const SHARE: u64 = 10;

/// Trees that are drawn until one is, or is not, held out, or allows a pair. Of the smallest trees of one path
/// length some percent are held out.
const TRIES: u64 = 1024;

/// Nodes of the second branch of the trees that the published scrubbing begins with.
const BRANCH: usize = 2;

/// Bits of [`Row::roles`]; where several hold, the first gives the colour.
const GOAL: u8 = 1;
const PATH: u8 = 2;
const ON_PATH: u8 = 4;
const LEAF: u8 = 8;
const SOURCE: u8 = 16;
const TARGET: u8 = 32;
const SEPARATOR: u8 = 64;
const PADDING: u8 = 128;

/// In the order of the bits.
const ROLES: [&str; 8] =
    ["goal", "path", "on_path", "leaf", "source", "target", "separator", "padding"];

/// Layers of the published network, each with its resampling.
const SAME_ANCESTOR: [PairKind; 6] = [
    same_ancestor("same_ancestor_0"),
    same_ancestor("same_ancestor_1"),
    same_ancestor("same_ancestor_2"),
    same_ancestor("same_ancestor_3"),
    same_ancestor("same_ancestor_4"),
    same_ancestor("same_ancestor_5"),
];

const fn same_ancestor(name: &'static str) -> PairKind {
    PairKind {
        name,
        about: "Another tree with the same node so many edges above its goal: what a layer that has climbed as far holds stays the same, and replacing its output by that of the other tree should change nothing. The two answers may agree.",
    }
}

const GOAL_PAIR: PairKind = PairKind {
    name: "goal",
    about: "The same tree with another goal leaf, in the other branch of the root: the first step of the path differs.",
};

const TREE_PAIR: PairKind = PairKind {
    name: "tree",
    about: "Another tree with the same root, the same goal and a path of the same length, whose first step differs.",
};

const fn label(name: &'static str, about: &'static str, many: bool) -> LabelKind {
    LabelKind { name, about, many }
}

/// What Brinkmann et al. 2024 read out of their network, and what their mechanisms speak of.
const LABELS: [LabelKind; 8] = [
    label("edge_source", "At both ends of an edge: its upper node.", false),
    label("edge_target", "At both ends of an edge: its lower node.", false),
    label("goal", "From the goal on: the goal.", false),
    label("next_step", "On the path before the goal: the next node.", false),
    label("children", "On the path: which nodes hang under the node there.", true),
    label(
        "inner_children",
        "On the path: which nodes hang under the node there and are no leaves.",
        true,
    ),
    label("path_nodes", "From the goal on: which nodes are on the path.", true),
    label("leaves", "From the goal on: which nodes are leaves.", true),
];

/// What a kind of label says of a position of a whole tree.
fn told(kind: &str, tree: &Tree, position: usize) -> Option<Vec<usize>> {
    let script = tree.script();
    let edge = tree.edges.get(position / 3).filter(|_| position % 3 < 2);
    let asked = position >= script.goal();
    let on_path = position.checked_sub(script.root()).and_then(|at| tree.path.get(at).copied());
    match kind {
        "edge_source" => edge.map(|edge| vec![edge.parent]),
        "edge_target" => edge.map(|edge| vec![edge.child]),
        "goal" => asked.then(|| vec![tree.goal]),
        "next_step" => {
            let next = (position + 1).checked_sub(script.root())?;
            on_path.and(tree.path.get(next)).map(|node| vec![*node])
        }
        "children" => on_path.map(|node| tree.children(node)),
        "inner_children" => on_path.map(|node| {
            tree.children(node).into_iter().filter(|child| !tree.is_leaf(*child)).collect()
        }),
        "path_nodes" => asked.then(|| tree.path.clone()),
        "leaves" => asked.then(|| tree.leaves()),
        _ => None,
    }
}

struct TreeSource {
    trees: Trees,
    vocab: Vocab,
}

/// A facet: sequences that write down trees.
#[derive(Clone)]
pub struct Trees {
    settings: TreePath,
}

impl Source for TreeSource {
    fn vocab(&self) -> &Vocab {
        &self.vocab
    }

    fn settings(&self) -> Option<Box<dyn Task>> {
        Some(self.trees.settings.boxed())
    }

    fn roles(&self) -> &'static [&'static str] {
        &ROLES
    }

    /// Every node, and the comma that ends a path.
    fn possible_answers(&self) -> usize {
        self.trees.nodes() + 1
    }

    fn length(&self) -> usize {
        self.trees.script().length()
    }

    fn sequence(&self, seed: u64, index: u64) -> Row {
        // A generated tree is always one; a fault of this program would give a row without labels.
        let drawn = self.trees.tree_at(seed, index);
        drawn.map_or_else(|_| Row::default(), |drawn| self.trees.row(&drawn.tree))
    }

    fn label(&self, tokens: &[u32], _like: &Row) -> Row {
        self.trees.labelled(tokens.to_vec(), self.trees.tree(tokens).as_ref())
    }

    fn solved_by(&self) -> Option<&'static str> {
        Some("path")
    }

    fn scored_roles(&self) -> &'static [&'static str] {
        &["path"]
    }

    fn pair_kinds(&self) -> &'static [PairKind] {
        const {
            &[
                GOAL_PAIR,
                TREE_PAIR,
                SAME_ANCESTOR[0],
                SAME_ANCESTOR[1],
                SAME_ANCESTOR[2],
                SAME_ANCESTOR[3],
                SAME_ANCESTOR[4],
                SAME_ANCESTOR[5],
            ]
        }
    }

    fn pair(&self, kind: &str, seed: u64, index: u64) -> Option<Pair> {
        (0..TRIES).find_map(|attempt| {
            let (trees, settings) = (&self.trees, &self.trees.settings);
            let index = index.wrapping_mul(TRIES).wrapping_add(attempt);
            let mut base = trees.tree_at(seed, index).ok()?;
            let other = match kind {
                "goal" => base.with_goal_elsewhere(),
                "tree" => base.same_ends(settings),
                _ => base.same_ancestor(
                    Some(kind.strip_prefix("same_ancestor_")?.parse().ok()?),
                    settings,
                ),
            }?;
            Some(trees.pair_of(&base.tree, &other))
        })
    }

    fn label_kinds(&self) -> &'static [LabelKind] {
        &LABELS
    }

    fn label_classes(&self, _kind: &str) -> usize {
        self.trees.nodes()
    }

    fn labels(&self, kind: &str, row: &Row) -> Vec<Option<Vec<usize>>> {
        let Some(tree) = self.trees.tree(&row.tokens) else { return Vec::new() };
        // A path that is written wrongly has no node to tell of from there on.
        let mut sound = row.len();
        let script = self.trees.script();
        let root = script.root();
        for (at, node) in tree.path.iter().enumerate().skip(1) {
            if row.tokens.get(root + at).is_some_and(|token| *token != script.step(*node)) {
                sound = root + at;
                break;
            }
        }
        (0..row.len()).map(|at| told(kind, &tree, at).filter(|_| at < sound)).collect()
    }

    fn facets(&self) -> Vec<&dyn Any> {
        vec![&self.trees]
    }
}

/// A tree in an order, and what drew it.
struct Drawn {
    tree: Tree,
    order: Order,
    /// The generator afterwards: what depends on this tree alone is drawn on with it.
    rng: Numpy,
}

impl Drawn {
    /// With a goal whose path begins with another step; `None` where there is none.
    fn with_goal_elsewhere(&mut self) -> Option<Tree> {
        let first = self.tree.path[1];
        let goals =
            self.tree.leaves().into_iter().filter_map(|goal| self.tree.with_goal(goal).ok());
        let mut others: Vec<Tree> = goals.filter(|other| other.path[1] != first).collect();
        self.rng.take(&mut others)
    }

    /// Another tree with the same root, goal and length of the path, and another first step; `None` where the goal
    /// hangs off the root.
    fn same_ends(&mut self, settings: &TreePath) -> Option<Tree> {
        let length = self.tree.path_length();
        if length < 2 {
            return None;
        }
        let grown = Grown::draw(settings, length, &mut self.rng);
        let mut names: Vec<usize> = (0..settings.nodes).collect();
        name(&mut names, grown.path[0], self.tree.root);
        name(&mut names, grown.path[length], self.tree.goal);
        let first = grown.path[1];
        if names[first] == self.tree.path[1] {
            let bound = [grown.path[0], first, grown.path[length]];
            let mut free: Vec<usize> =
                (0..settings.nodes).filter(|node| !bound.contains(node)).collect();
            let other = self.rng.take(&mut free)?;
            names.swap(first, other);
        }
        grown.renamed(&names).written(self.order, &mut self.rng).ok()
    }

    /// A tree with the same node `steps` edges above the goal, on a path at least one edge longer than that; with `None`,
    /// a tree as it comes.
    fn same_ancestor(&mut self, steps: Option<usize>, settings: &TreePath) -> Option<Tree> {
        let longest = settings.nodes - 2;
        let least = steps.unwrap_or(0);
        if least >= longest {
            return None;
        }
        let length = self.rng.between(least + 1, longest + 1);
        let grown = Grown::draw(settings, length, &mut self.rng);
        let mut names: Vec<usize> = (0..settings.nodes).collect();
        if let Some(steps) = steps {
            name(&mut names, grown.path[length - steps], self.tree.climb(steps));
        }
        grown.renamed(&names).written(self.order, &mut self.rng).ok()
    }
}

/// Gives `node` the name `to`; who had it gets the node's.
fn name(names: &mut [usize], node: usize, to: usize) {
    if let Some(holder) = names.iter().position(|name| *name == to) {
        names.swap(node, holder);
    }
}

impl Trees {
    /// Nodes of every tree.
    pub fn nodes(&self) -> usize {
        self.settings.nodes
    }

    /// The tree that tokens write down; `None` where they are not those of a whole one.
    pub fn tree(&self, tokens: &[u32]) -> Option<Tree> {
        Tree::parse(self.settings.nodes, tokens).ok()
    }

    /// Two trees to scrub with, the same for the same numbers: the first has a path of `length` edges, a second branch of two
    /// nodes off its root, as far as there are nodes for it, and lower edges first. The second has the same node `steps`
    /// edges above its goal (with `None`, no node in common on purpose) and is otherwise drawn for itself, with a path that is at
    /// least an edge longer than that. `None` where no such trees exist.
    pub fn scrubbing_pair(
        &self,
        length: usize,
        steps: Option<usize>,
        seed: u64,
        index: u64,
    ) -> Option<Pair> {
        if length == 0 || length >= self.settings.nodes {
            return None;
        }
        let grow = |entropy| self.settings.grow_to_scrub(entropy, length);
        let order = |_| Order::Backward;
        let mut base = self.drawn_by(seed, index, grow, order).ok()?;
        let other = base.same_ancestor(steps, &self.settings)?;
        Some(self.pair_of(&base.tree, &other))
    }

    /// How every tree is written.
    pub fn script(&self) -> Script {
        Script { nodes: self.settings.nodes }
    }

    fn row(&self, tree: &Tree) -> Row {
        let mut tokens = tree.to_tokens();
        tokens.pop();
        self.labelled(tokens, Some(tree))
    }

    fn pair_of(&self, base: &Tree, other: &Tree) -> Pair {
        let script = self.script();
        let climbed = base.edge_to(base.goal).map(|edge| ("goal_edge", edge.target));
        Pair {
            base: self.row(base),
            other: self.row(other),
            at: script.root(),
            answers: [base, other].map(|tree| tree.next_on_path(0)),
            places: [("goal", script.goal())].into_iter().chain(climbed).collect(),
        }
    }

    /// Tree `index` of a seed. Seeds of runs (below 2³²) give trees to train on, others give held-out ones.
    fn tree_at(&self, seed: u64, index: u64) -> Result<Drawn> {
        let grow = |entropy| self.settings.grow(entropy, self.settings.path_length);
        self.drawn_by(seed, index, grow, |entropy| self.settings.order_of(entropy))
    }

    /// The same by another way to grow and to order, given numpy's seed.
    fn drawn_by(
        &self,
        seed: u64,
        index: u64,
        grow: impl Fn(u128) -> (Grown, Numpy),
        order: impl Fn(u128) -> Order,
    ) -> Result<Drawn> {
        let trains = seed <= u64::from(u32::MAX);
        let splits = self.settings.nodes < MOST;
        let mut attempt = 0;
        loop {
            let entropy = self.entropy(seed, index, attempt);
            let (grown, mut rng) = grow(entropy);
            attempt += 1;
            if splits && attempt < TRIES && grown.is_set_aside() == trains {
                continue;
            }
            let order = order(entropy);
            let tree = grown.written(order, &mut rng)?;
            return Ok(Drawn { tree, order, rng });
        }
    }

    /// Numpy's seed for a sequence: a line of the file where a pool is trained on, otherwise made of the run's seed
    /// and the index; run 0 without a pool reads the file from its first line on.
    fn entropy(&self, seed: u64, index: u64, attempt: u64) -> u128 {
        let pool = self.settings.pool as u64;
        let entropy = if seed <= u64::from(u32::MAX) && pool > 0 {
            u128::from(shuffled(seed, index / pool, index % pool, pool))
        } else {
            u128::from(seed) << 64 | u128::from(index)
        };
        // Bits that are the same for all runs, and for all held-out sequences.
        entropy ^ u128::from(attempt) << 96
    }

    /// Roles by what stands where, so that unfinished text has them too; targets only where the text is that of a tree.
    fn labelled(&self, tokens: Vec<u32>, tree: Option<&Tree>) -> Row {
        let mut row = Row { roles: self.roles_of(&tokens), ..unlabelled(tokens) };
        if let Some(tree) = tree {
            for edge in tree.edges.iter().filter(|edge| tree.path.contains(&edge.child)) {
                row.roles[edge.source] |= ON_PATH;
                row.roles[edge.target] |= ON_PATH;
            }
            self.set_targets(&mut row, tree);
        }
        row
    }

    /// What comes next on the path, as long as what is written keeps to it.
    fn set_targets(&self, row: &mut Row, tree: &Tree) {
        let root = self.script().root();
        for step in 0..row.len() - root {
            if step > 0 && row.tokens[root + step] != tree.next_on_path(step - 1) {
                break;
            }
            if step < tree.path.len() || self.settings.padding {
                row.targets[root + step] = tree.next_on_path(step);
            }
        }
    }

    fn roles_of(&self, tokens: &[u32]) -> Vec<u8> {
        let words: Vec<Word> = tokens.iter().map(|token| self.script().word(*token)).collect();
        let mut part = Part::Edges;
        let edges = words.iter().take_while(|word| !matches!(word, Word::Bar | Word::Colon));
        let parents: Vec<Word> = edges.copied().filter(|w| matches!(w, Word::Number(_))).collect();
        let role = |word: &Word| {
            let (role, next) = part.read(*word);
            part = next;
            let is_leaf = |node| !parents.contains(&Word::Number(node));
            let ends = role == TARGET && word.step().is_some_and(is_leaf);
            if ends { role | LEAF } else { role }
        };
        words.iter().map(role).collect()
    }
}

/// A part of the text.
#[derive(Clone, Copy)]
enum Part {
    Edges,
    Goal,
    Path,
    After,
}

impl Part {
    /// The role of a word here, and the part that the next word is in.
    fn read(self, word: Word) -> (u8, Self) {
        match (self, word) {
            (Self::Edges, Word::Number(_)) => (SOURCE, self),
            (Self::Edges, Word::Step(_)) => (TARGET, self),
            (Self::Edges, Word::Comma) => (SEPARATOR, self),
            (Self::Edges, Word::Bar) => (SEPARATOR, Self::Goal),
            (Self::Edges | Self::Goal, Word::Colon) => (SEPARATOR, Self::Path),
            (Self::Goal, Word::Number(_)) => (GOAL, self),
            (Self::Path, Word::Number(_) | Word::Step(_)) => (PATH, self),
            (Self::Path | Self::After, Word::Comma) => (PADDING, Self::After),
            _ => (0, self),
        }
    }
}

/// Rounds of the network below: with ten, small pools are in orders without a pattern too.
const ROUNDS: usize = 10;

/// What stands at `at` when `0..size` is put in the order of an epoch of a seed: a permutation that needs no table, by a
/// Feistel network on a power of four that is walked until it is back among the first `size`.
fn shuffled(seed: u64, epoch: u64, at: u64, size: u64) -> u64 {
    let mut key = *b"................tree path epochs";
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&epoch.to_le_bytes());
    let mut rng = ChaCha8Rng::from_seed(key);
    let keys: [u64; ROUNDS] = std::array::from_fn(|_| rng.next_u64());
    let half = (64 - (size - 1).leading_zeros()).div_ceil(2).max(1);
    let mask = (1 << half) - 1;
    let mut at = at;
    loop {
        let (mut left, mut right) = (at >> half, at & mask);
        for key in keys {
            (left, right) = (right, left ^ (scrambled(right ^ key) & mask));
        }
        at = left << half | right;
        if at < size {
            return at;
        }
    }
}

/// The finaliser of `SplitMix64` (Steele et al. 2014): every bit of the input reaches every bit of the output.
fn scrambled(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}
