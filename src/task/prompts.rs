//! What a network of another program is asked about: prompts that a person writes, and random tokens of which a block comes twice.

use std::any::Any;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::batch::{NO_TARGET, Row};
use crate::base::convert::id;
use crate::base::error::{Error, Result};
use crate::base::pair::{Pair, PairKind};
use crate::base::prompt::{self, Encoded};
use crate::base::settings::{Settings, Slot, Spec};
use crate::base::vocab::{Tokenizer, Vocab};
use crate::formats::file::meant;
use crate::formats::prompts;
use crate::formats::tokenizer::{Begin, Codec};

use super::chance::{below, stream};
use super::prompted::Prompted;
use super::{Source, Task, unlabelled};

crate::settings! {
    /// Settings of prompts for a network that was trained elsewhere.
    pub struct Prompts = "Prompts for a network that was trained elsewhere; its own sequences are random tokens of which a block comes twice." {
        /// Tokens of the network.
        tokens: usize = 50257, in 1..=524288;
        /// Random tokens of a block.
        block: usize = 25, in 1..=2048;
        /// Positions of the longest prompt.
        longest: usize = 1024, in 1..=4096;
        /// A set of prompts: a text a line, or lines of JSON (.jsonl) with prompt, answer, wrong, counterpart, roles and fillers. They are shown in the place of random tokens, and make the pairs that causal tools compare. Empty: none.
        prompts: String = String::new();
        /// The token that begins a prompt (BOS): the one that the tokenizer puts there, the one that TransformerLens does, or none.
        begin: Begin = Begin::Tokenizer;
    }
}

/// Prompts of a network and the tokenizer that goes with it.
#[derive(Clone)]
pub struct PromptTask {
    settings: Prompts,
    codec: Option<Arc<Codec>>,
    unread: Option<UnreadTokenizer>,
    beginnings: Beginnings,
}

/// A facet: why the tokenizer that lies beside a network is not read. Its prompts are written as the numbers of their tokens.
#[derive(Clone)]
pub struct UnreadTokenizer(pub Error);

impl UnreadTokenizer {
    fn new(why: Error) -> Self {
        Self(why.context("the tokenizer is not read, so that prompts are written as the numbers of their tokens (--ids 5,9,17)"))
    }
}

impl PromptTask {
    /// In the folder of a network `model_type`, its tokenizer; where there is none that can be read, prompts are written as the numbers
    /// of their tokens.
    pub fn new(settings: Prompts, folder: &Path, model_type: &str) -> Self {
        let (codec, unread) = match Codec::in_folder(folder) {
            Ok(codec) => (codec.map(Arc::new), None),
            Err(why) => (None, Some(UnreadTokenizer::new(why))),
        };
        let begins = |how| {
            let known = |id: &u32| (*id as usize) < settings.tokens;
            codec.as_ref()?.begins(how, model_type).filter(known)
        };
        let beginnings = Beginnings {
            tokenizer: begins(Begin::Tokenizer),
            transformer_lens: begins(Begin::TransformerLens),
        };
        Self { settings, codec, unread, beginnings }
    }

    fn vocab(&self) -> Vocab {
        let Self { settings: Prompts { tokens, begin, .. }, codec, beginnings, .. } = self;
        let Some(codec) = codec else {
            return Vocab::of_numbers(*tokens);
        };
        let reader = Reader {
            codec: codec.clone(),
            first: beginnings.of(*begin),
            beginnings: *beginnings,
            tokens: *tokens,
        };
        Vocab::of_tokenizer(*tokens, Arc::new(reader))
    }

    /// The prompts of a file.
    fn set(&self, path: &Path) -> Result<PromptSet> {
        let Prompts { tokens, longest, begin, .. } = self.settings;
        let first = self.beginnings.of(begin);
        let read = || {
            let read = prompts::read(path)?;
            let read = read.iter().map(|prompt| prompt.encode(self.codec.as_deref()));
            let read: Vec<Encoded> = read.collect::<Result<_>>()?;
            let all: Vec<Encoded> = read.into_iter().map(|prompt| prompt.begun(first)).collect();
            prompt::check(&all, tokens, longest).map(|()| all)
        };
        let all = read().map_err(|e| e.context(path.display().to_string()))?;
        Ok(PromptSet::new(path, &all))
    }
}

impl Settings for PromptTask {
    fn about(&self) -> &'static str {
        self.settings.about()
    }

    fn each(&mut self, visit: &mut dyn FnMut(&Spec, Slot<'_>)) {
        self.settings.each(visit);
    }
}

impl Task for PromptTask {
    fn open(&self) -> Result<Arc<dyn Source>> {
        let set = match self.settings.prompts.as_str() {
            "" => None,
            path => Some(self.set(Path::new(path))?),
        };
        Ok(Arc::new(PromptSource { task: self.clone(), vocab: self.vocab(), set }))
    }

    fn boxed(&self) -> Box<dyn Task> {
        Box::new(self.clone())
    }

    fn resolve(&mut self, folder: &Path) {
        if !self.settings.prompts.is_empty() {
            // An absolute path stays as it is.
            let path = folder.join(meant(&self.settings.prompts));
            self.settings.prompts = path.to_string_lossy().into_owned();
        }
    }
}

/// A facet: a set of prompts that a person wrote.
pub struct PromptSet {
    pub file: PathBuf,
    prompts: Vec<Row>,
    pairs: Vec<Pair>,
    prompted: Prompted,
}

impl PromptSet {
    fn new(file: &Path, all: &[Encoded]) -> Self {
        let pairs: Vec<Pair> = all.iter().filter_map(pair_of).collect();
        // Pairs are compared in one pass: those of the length that most have, of two such the shorter.
        let count = |length: usize| pairs.iter().filter(|pair| pair.base.len() == length).count();
        let lengths = pairs.iter().map(|pair| pair.base.len());
        let length = lengths.max_by_key(|length| (count(*length), std::cmp::Reverse(*length)));
        let pairs: Vec<Pair> =
            pairs.iter().filter(|pair| Some(pair.base.len()) == length).cloned().collect();
        let row = |prompt: &Encoded| answered(&prompt.tokens, prompt.answer());
        let (file, prompts) = (file.to_owned(), all.iter().map(row).collect());
        let numbered =
            |all: &Vec<Encoded>, _, index| all.get(usize::try_from(index).ok()?).cloned();
        let of_text = |all: &Vec<Encoded>, tokens: &[u32]| {
            all.iter().find(|prompt| prompt.tokens == tokens).cloned()
        };
        let prompted = Prompted::new(Arc::new(all.to_vec()), numbered, of_text);
        Self { file, prompts, pairs, prompted }
    }

    /// How many prompts there are.
    pub fn len(&self) -> usize {
        self.prompts.len()
    }

    pub fn is_empty(&self) -> bool {
        self.prompts.is_empty()
    }

    /// After the last one the first comes again.
    fn prompt(&self, index: u64) -> Option<&Row> {
        let count = self.prompts.len() as u64;
        self.prompts.get(usize::try_from(index.checked_rem(count)?).ok()?)
    }
}

/// A prompt and what should follow it.
fn answered(tokens: &[u32], answer: Option<u32>) -> Row {
    let mut row = labelled(tokens.to_vec());
    if let (Some(last), Some(answer)) = (row.targets.last_mut(), answer) {
        *last = answer;
    }
    row
}

/// A prompt and its counterpart, where one is written, with one answer of each.
fn pair_of(prompt: &Encoded) -> Option<Pair> {
    let (answer, wrong) = (prompt.answer()?, prompt.wrong()?);
    let other = answered(prompt.counterpart.as_ref()?, Some(wrong));
    let base = answered(&prompt.tokens, Some(answer));
    (answer != wrong).then(|| Pair {
        base,
        other,
        at: prompt.end(),
        answers: [answer, wrong],
        places: Vec::new(),
    })
}

/// The one kind of pairs that a set has.
const PAIRS: [PairKind; 1] = [PairKind {
    name: "counterpart",
    about: "The prompts of the set with a counterpart, an answer and a wrong one: the counterpart should be followed by the latter. Those of the length that most of them have.",
}];

/// A facet: tokens that may begin a prompt (BOS), by who puts them there. They are no part of a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Beginnings {
    pub tokenizer: Option<u32>,
    pub transformer_lens: Option<u32>,
}

impl Beginnings {
    pub fn of(self, how: Begin) -> Option<u32> {
        match how {
            Begin::Tokenizer => self.tokenizer,
            Begin::TransformerLens => self.transformer_lens,
            Begin::Nothing => None,
        }
    }

    /// The tokens without one that begins them.
    pub fn without(self, ids: &[u32]) -> &[u32] {
        match ids.split_first() {
            Some((id, rest)) if [self.tokenizer, self.transformer_lens].contains(&Some(*id)) => {
                rest
            }
            _ => ids,
        }
    }

    /// The tokens begun in that way, whatever began them before.
    pub fn begun(self, how: Begin, ids: &[u32]) -> Vec<u32> {
        self.of(how).into_iter().chain(self.without(ids).iter().copied()).collect()
    }
}

/// Reads text as a network does, with the token that begins it in front: that one is no part of the text.
struct Reader {
    codec: Arc<Codec>,
    first: Option<u32>,
    beginnings: Beginnings,
    /// Of the network; the tokenizer may know others.
    tokens: usize,
}

impl Tokenizer for Reader {
    fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let mut ids: Vec<u32> = self.first.into_iter().collect();
        ids.extend(self.codec.encode(text)?);
        match ids.iter().find(|id| **id as usize >= self.tokens) {
            None => Ok(ids),
            Some(id) => Err(Error::input(format!(
                "the tokenizer reads token {id} there, and the network has {} tokens: they do not belong together",
                self.tokens
            ))),
        }
    }

    fn decode(&self, ids: &[u32]) -> String {
        self.codec.decode(self.beginnings.without(ids))
    }

    fn text(&self, id: u32) -> String {
        String::from_utf8_lossy(self.codec.bytes(id)).into_owned()
    }

    fn glyph(&self, id: u32) -> String {
        self.codec.glyph(id)
    }

    fn is_special(&self, id: u32) -> bool {
        self.codec.is_special(id)
    }

    fn groups(&self, ids: &[u32]) -> Vec<(Range<usize>, String)> {
        let groups = self.codec.groups(ids).into_iter();
        groups.map(|group| (group.positions, group.text)).collect()
    }
}

/// A facet: the text that a person meets first, where there is a tokenizer for it.
pub struct FirstText(pub &'static str);

/// Names that come again after what they came after before, and a question at the end that they answer.
const FIRST_TEXT: FirstText = FirstText(
    "When Mary and John went to the store, John gave a drink to Mary. When Mary and John went to the park, John gave a book to",
);

struct PromptSource {
    task: PromptTask,
    vocab: Vocab,
    set: Option<PromptSet>,
}

/// Bit of [`Row::roles`]: the token stood before.
const AGAIN: u8 = 1;

impl Source for PromptSource {
    fn vocab(&self) -> &Vocab {
        &self.vocab
    }

    fn settings(&self) -> Option<Box<dyn Task>> {
        Some(self.task.boxed())
    }

    fn facets(&self) -> Vec<&dyn Any> {
        let mut facets: Vec<&dyn Any> = vec![&self.task.beginnings];
        facets.extend(self.task.unread.as_ref().map(|unread| unread as &dyn Any));
        match &self.set {
            Some(set) => facets.extend([set as &dyn Any, &set.prompted]),
            None if self.task.codec.is_some() => facets.push(&FIRST_TEXT),
            None => {}
        }
        facets
    }

    fn shown(&self, seed: u64, index: u64) -> Row {
        let prompt = self.set.as_ref().and_then(|set| set.prompt(index)).cloned();
        prompt.unwrap_or_else(|| self.sequence(seed, index))
    }

    fn pair_kinds(&self) -> &'static [PairKind] {
        if self.set.as_ref().is_some_and(|set| !set.pairs.is_empty()) { &PAIRS } else { &[] }
    }

    fn pair(&self, kind: &str, _seed: u64, index: u64) -> Option<Pair> {
        PAIRS.iter().find(|pair| pair.name == kind)?;
        self.set.as_ref()?.pairs.get(usize::try_from(index).ok()?).cloned()
    }

    fn roles(&self) -> &'static [&'static str] {
        &["again"]
    }

    fn length(&self) -> usize {
        (2 * self.task.settings.block).min(self.task.settings.longest)
    }

    fn longest(&self) -> usize {
        self.task.settings.longest
    }

    fn sequence(&self, seed: u64, index: u64) -> Row {
        let mut rng = stream("prompts", seed, index);
        let draw = |_| id(below(self.task.settings.tokens, &mut rng));
        let block: Vec<u32> = (0..self.task.settings.block).map(draw).collect();
        labelled([&block[..], &block].concat()[..self.length()].to_vec())
    }

    fn label(&self, tokens: &[u32], _like: &Row) -> Row {
        labelled(tokens.to_vec())
    }
}

/// Each token is to be followed by the next one.
fn labelled(tokens: Vec<u32>) -> Row {
    let mut row = unlabelled(tokens);
    for (i, token) in row.tokens.iter().enumerate() {
        row.targets[i] = row.tokens.get(i + 1).copied().unwrap_or(NO_TARGET);
        let before = row.tokens[..i].iter().filter(|other| *other == token).count();
        row.occurrence[i] = u16::try_from(before + 1).unwrap_or(u16::MAX);
        row.roles[i] = if before > 0 { AGAIN } else { 0 };
    }
    row
}
