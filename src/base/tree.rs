//! A rooted binary tree in text: its edges, a goal leaf, the root, and the path between the two.
//!
//! As written by Brinkmann et al. 2024, *A Mechanistic Analysis of a Transformer Trained on a Symbolic Multi-Step
//! Reasoning Task*: `A>B,A>B,…,A>B|G:R>P>…>G`.

use crate::base::convert;
use crate::base::error::{Error, Result};
use crate::base::vocab::Vocab;

/// Fewest and most nodes of a tree: the first that has a leaf beside a path, and the published size.
pub const FEWEST: usize = 4;
pub const MOST: usize = 16;

/// Between two edges, after the path, and the padding.
pub const COMMA: u32 = 0;
/// Before the root.
pub const COLON: u32 = 1;
/// Ends the edges.
pub const BAR: u32 = 2;

/// Tokens and positions of the text of a tree with this many nodes.
///
/// ```
/// use mnemoscope::base::tree::Script;
/// let script = Script { nodes: 16 };
/// assert_eq!((script.goal(), script.root(), script.length()), (45, 47, 65));
/// assert_eq!(script.vocab().text(script.step(12)), ">12");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Script {
    pub nodes: usize,
}

/// What a token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    Comma,
    Colon,
    Bar,
    /// `>k`: the lower end of an edge, or a node of the path after the root.
    Step(usize),
    /// `k`: the upper end of an edge, the goal or the root.
    Number(usize),
    /// No token of this script.
    Other,
}

impl Word {
    /// The upper end of an edge, the goal or the root.
    pub fn number(self) -> Option<usize> {
        if let Self::Number(node) = self { Some(node) } else { None }
    }

    /// The lower end of an edge, or a node of the path.
    pub fn step(self) -> Option<usize> {
        if let Self::Step(node) = self { Some(node) } else { None }
    }
}

impl Script {
    /// All tokens: `,` `:` `|`, then `>k` and `k`, of both the two-digit ones first.
    pub fn vocab(self) -> Vocab {
        let mut texts = vec![",".to_owned(), ":".to_owned(), "|".to_owned()];
        texts.extend(self.by_id().map(|node| format!(">{node}")));
        texts.extend(self.by_id().map(|node| node.to_string()));
        Vocab::new(texts)
    }

    fn by_id(self) -> impl Iterator<Item = usize> {
        (10..self.nodes).chain(0..self.nodes.min(10))
    }

    /// Place of a node among the tokens of one kind, and back: the same map turned by the two-digit ones.
    fn place(self, node: usize) -> usize {
        let two_digits = self.nodes.saturating_sub(10);
        if node >= 10 { node - 10 } else { two_digits + node }
    }

    fn node_at(self, place: usize) -> usize {
        let two_digits = self.nodes.saturating_sub(10);
        if place < two_digits { place + 10 } else { place - two_digits }
    }

    /// The token `>k`.
    pub fn step(self, node: usize) -> u32 {
        convert::id(3 + self.place(node))
    }

    /// The token `k`.
    pub fn number(self, node: usize) -> u32 {
        convert::id(3 + self.nodes + self.place(node))
    }

    pub fn word(self, token: u32) -> Word {
        let id = token as usize;
        match token {
            COMMA => Word::Comma,
            COLON => Word::Colon,
            BAR => Word::Bar,
            _ if id < 3 + self.nodes => Word::Step(self.node_at(id - 3)),
            _ if id < 3 + 2 * self.nodes => Word::Number(self.node_at(id - 3 - self.nodes)),
            _ => Word::Other,
        }
    }

    /// Position of the upper end of edge `edge`; its lower end follows, then a comma or the bar.
    pub fn source(self, edge: usize) -> usize {
        3 * edge
    }

    /// Position of the goal.
    pub fn goal(self) -> usize {
        3 * (self.nodes - 1)
    }

    /// Position of the colon.
    pub fn colon(self) -> usize {
        self.goal() + 1
    }

    /// Position of the root, where the first step of the path is predicted.
    pub fn root(self) -> usize {
        self.goal() + 2
    }

    /// Positions that a network reads: all tokens but the last.
    pub fn length(self) -> usize {
        4 * self.nodes + 1
    }

    /// Positions before the goal at which the published network, of 16 nodes, kept sub-paths ("register tokens":
    /// 36, 38, 39, 41, 42, 44); for other sizes those as far from the goal. A network that is trained anew may use
    /// others.
    pub fn registers(self) -> [usize; 6] {
        [9, 7, 6, 4, 3, 1].map(|before| self.goal() - before)
    }
}

/// An edge and where its two ends are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    pub parent: usize,
    pub child: usize,
    /// Position of the parent's token.
    pub source: usize,
    /// Position of the child's token.
    pub target: usize,
}

/// A rooted tree whose nodes have at most two children, with a goal among its leaves. Nodes are `0..nodes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    pub nodes: usize,
    /// In the order in which they are written.
    pub edges: Vec<Edge>,
    pub root: usize,
    pub goal: usize,
    /// From the root to the goal, both included.
    pub path: Vec<usize>,
}

impl Tree {
    /// The tree of `(parent, child)` in the order in which they are to be written.
    ///
    /// # Errors
    /// When they do not make one rooted tree of `nodes` nodes with at most two children each, or the goal is no leaf.
    pub fn new(nodes: usize, pairs: &[(usize, usize)], goal: usize) -> Result<Self> {
        let parents = parents_of(nodes, pairs)?;
        let path = path_to(goal, &parents, pairs)?;
        let script = Script { nodes };
        let edges = pairs.iter().enumerate().map(|(i, &(parent, child))| {
            let source = script.source(i);
            Edge { parent, child, source, target: source + 1 }
        });
        Ok(Self { nodes, edges: edges.collect(), root: path[0], goal, path })
    }

    /// Reads the tree that tokens begin with, up to the root at least; what follows the root is not looked at.
    ///
    /// # Errors
    /// At the first position with another token than the text of a tree has there, or as [`Self::new`].
    pub fn parse(nodes: usize, tokens: &[u32]) -> Result<Self> {
        check_size(nodes)?;
        let script = Script { nodes };
        let reader = Reader { script, tokens };
        let pairs: Vec<(usize, usize)> = (0..nodes - 1)
            .map(|edge| {
                let at = script.source(edge);
                let pair = (reader.number(at)?, reader.step(at + 1)?);
                let last = edge + 2 == nodes;
                let ends = if last { Word::Bar } else { Word::Comma };
                let sign = if last { "|" } else { "," };
                reader.read(at + 2, sign, |word| (word == ends).then_some(pair))
            })
            .collect::<Result<_>>()?;
        let goal = reader.number(script.goal())?;
        reader.read(script.colon(), ":", |word| (word == Word::Colon).then_some(()))?;
        let root = reader.number(script.root())?;
        let tree = Self::new(nodes, &pairs, goal)?;
        if tree.root != root {
            return Err(Error::usage(format!(
                "{root} is written as the root, but the root of these edges is {}; write that",
                tree.root
            )));
        }
        Ok(tree)
    }

    pub fn script(&self) -> Script {
        Script { nodes: self.nodes }
    }

    /// `(parent, child)` of every edge in the order of the text.
    pub fn pairs(&self) -> Vec<(usize, usize)> {
        self.edges.iter().map(|edge| (edge.parent, edge.child)).collect()
    }

    /// The node above; `None` for the root.
    pub fn parent(&self, node: usize) -> Option<usize> {
        self.edge_to(node).map(|edge| edge.parent)
    }

    /// The edge whose lower end is this node.
    pub fn edge_to(&self, node: usize) -> Option<&Edge> {
        self.edges.iter().find(|edge| edge.child == node)
    }

    /// The nodes below, in ascending order.
    pub fn children(&self, node: usize) -> Vec<usize> {
        let mut children: Vec<usize> =
            self.edges.iter().filter(|e| e.parent == node).map(|e| e.child).collect();
        children.sort_unstable();
        children
    }

    pub fn is_leaf(&self, node: usize) -> bool {
        self.edges.iter().all(|edge| edge.parent != node)
    }

    /// Nodes without children, in ascending order.
    pub fn leaves(&self) -> Vec<usize> {
        (0..self.nodes).filter(|node| self.is_leaf(*node)).collect()
    }

    /// Edges between the root and a node.
    pub fn depth(&self, node: usize) -> usize {
        std::iter::successors(self.parent(node), |above| self.parent(*above)).count()
    }

    /// Edges between the root and the goal.
    pub fn path_length(&self) -> usize {
        self.path.len() - 1
    }

    /// The node `steps` edges above the goal, at most the root's child: what backward chaining holds after as many
    /// steps.
    pub fn climb(&self, steps: usize) -> usize {
        self.path[self.path_length().saturating_sub(steps).max(1)]
    }

    /// The node that a layer brings in by attending to a position: in the first layer the one that is named there, later
    /// the parent of the edge whose lower end is attended to. `None` where it is neither.
    pub fn brought_by(&self, layer: usize, attended: usize) -> Option<usize> {
        let script = self.script();
        if let Some(edge) = self.edges.iter().find(|edge| edge.target == attended) {
            return Some(if layer == 0 { edge.child } else { edge.parent });
        }
        if layer > 0 {
            return None;
        }
        let named = [(script.goal(), self.goal), (script.root(), self.root)];
        let sources = self.edges.iter().map(|edge| (edge.source, edge.parent));
        named.into_iter().chain(sources).find(|(place, _)| *place == attended).map(|(_, node)| node)
    }

    /// The climb of a position: the node that the first layer brings in and those of each next layer, as long as each is the
    /// parent of the one before, up to a child of the root.
    pub fn climbed(&self, brought: &[Option<usize>]) -> Vec<usize> {
        let mut nodes = Vec::new();
        for node in brought {
            let Some(node) = *node else { break };
            let follows = nodes.last().is_none_or(|below| self.parent(*below) == Some(node));
            if !follows || node == self.root {
                break;
            }
            nodes.push(node);
        }
        nodes
    }

    /// The same tree with another goal.
    ///
    /// # Errors
    /// When it is no leaf.
    pub fn with_goal(&self, goal: usize) -> Result<Self> {
        Self::new(self.nodes, &self.pairs(), goal)
    }

    /// The same tree with a node hung, with all that is below it, under another one.
    ///
    /// # Errors
    /// When that makes no such tree, the goal is no leaf any more, or the node is the root.
    pub fn rehung(&self, node: usize, under: usize) -> Result<Self> {
        let mut pairs = self.pairs();
        let Some(pair) = pairs.iter_mut().find(|(_, child)| *child == node) else {
            return Err(Error::usage(format!(
                "{node} is the root of the tree and hangs under nothing; move one of its children"
            )));
        };
        pair.0 = under;
        Self::new(self.nodes, &pairs, self.goal)
    }

    /// The tokens up to the root: the question.
    pub fn question(&self) -> Vec<u32> {
        let script = self.script();
        let mut tokens = Vec::with_capacity(script.length() + 1);
        for edge in &self.edges {
            tokens.extend([script.number(edge.parent), script.step(edge.child), COMMA]);
        }
        if let Some(last) = tokens.last_mut() {
            *last = BAR;
        }
        tokens.extend([script.number(self.goal), COLON, script.number(self.root)]);
        tokens
    }

    /// The whole text as tokens, padded with commas to one more than [`Script::length`].
    pub fn to_tokens(&self) -> Vec<u32> {
        let script = self.script();
        let mut tokens = self.question();
        tokens.extend(self.path[1..].iter().map(|node| script.step(*node)));
        tokens.resize(script.length() + 1, COMMA);
        tokens
    }

    /// The token that follows node number `at` of the path: the next node, or the comma after the goal.
    pub fn next_on_path(&self, at: usize) -> u32 {
        self.path.get(at + 1).map_or(COMMA, |node| self.script().step(*node))
    }
}

fn check_size(nodes: usize) -> Result<()> {
    if (FEWEST..=MOST).contains(&nodes) {
        return Ok(());
    }
    Err(Error::usage(format!(
        "a tree of {nodes} nodes is not written; choose from {FEWEST} to {MOST}"
    )))
}

/// The parent of each node.
fn parents_of(nodes: usize, pairs: &[(usize, usize)]) -> Result<Vec<Option<usize>>> {
    check_size(nodes)?;
    if pairs.len() != nodes - 1 {
        return Err(Error::usage(format!(
            "a tree of {nodes} nodes has {} edges, here are {}; write one for each node but the root",
            nodes - 1,
            pairs.len()
        )));
    }
    let mut parents = vec![None; nodes];
    let mut children = vec![0; nodes];
    for &(parent, child) in pairs {
        let large = parent.max(child);
        if large >= nodes {
            return Err(Error::usage(format!(
                "the edge {parent}>{child} names node {large}, the nodes are 0 to {}; name one of these",
                nodes - 1
            )));
        }
        if let Some(other) = parents[child].replace(parent) {
            return Err(Error::usage(format!(
                "{child} hangs under {other} and under {parent}; in a tree each node hangs under one"
            )));
        }
        children[parent] += 1;
        if children[parent] > 2 {
            return Err(Error::usage(format!(
                "{parent} has three children, a node of these trees has at most two; hang {child} elsewhere"
            )));
        }
    }
    Ok(parents)
}

/// From the root to the goal. The parents are those of as many nodes as there are edges, so one node has none.
fn path_to(goal: usize, parents: &[Option<usize>], pairs: &[(usize, usize)]) -> Result<Vec<usize>> {
    let nodes = parents.len();
    let above = |node: usize| {
        // A walk longer than there are nodes goes round.
        std::iter::successors(Some(node), |n| parents[*n]).take(nodes + 1).collect::<Vec<_>>()
    };
    if let Some(lost) = (0..nodes).find(|node| above(*node).len() > nodes) {
        return Err(Error::usage(format!(
            "from {lost} upwards the edges go round in a circle; hang one of its nodes elsewhere"
        )));
    }
    if goal >= nodes || pairs.iter().any(|(parent, _)| *parent == goal) {
        return Err(Error::usage(format!(
            "the goal {goal} is no leaf of this tree; choose a node without children"
        )));
    }
    let mut path = above(goal);
    path.reverse();
    Ok(path)
}

/// Tokens read by position.
struct Reader<'a> {
    script: Script,
    tokens: &'a [u32],
}

impl Reader<'_> {
    fn number(&self, at: usize) -> Result<usize> {
        self.read(at, "a node", Word::number)
    }

    fn step(&self, at: usize) -> Result<usize> {
        self.read(at, "> and a node", Word::step)
    }

    fn read<T>(&self, at: usize, wanted: &str, take: impl Fn(Word) -> Option<T>) -> Result<T> {
        let token = self.tokens.get(at).copied();
        token.map(|token| self.script.word(token)).and_then(take).ok_or_else(|| {
            let found = token.map_or("the end".to_owned(), |t| {
                format!("\"{}\"", self.script.vocab().glyph(t))
            });
            Error::usage(format!(
                "position {at} holds {found}, the text of a tree of {} nodes has {wanted} there; write that",
                self.script.nodes
            ))
        })
    }
}
