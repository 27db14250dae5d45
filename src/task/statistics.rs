//! How often characters occur and follow each other: tiny Shakespeare's counts, or those of any text file.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::Path;

use crate::base::convert::{self, narrow};
use crate::base::documents::{BIGRAMS, Documents, UNIGRAMS};
use crate::base::error::{Error, Result, reason};
use crate::base::vocab::Vocab;
use crate::formats::file::meant;

/// Counts over the whole of tiny Shakespeare (1,115,394 characters, 65 of them distinct).
const SHAKESPEARE_UNIGRAMS: &str = include_str!("../../assets/shakespeare_unigrams.csv");
const SHAKESPEARE_BIGRAMS: &str = include_str!("../../assets/shakespeare_bigrams.csv");

/// Bigram tables grow with the square of the alphabet: 1,024 characters make 4 MB of them.
const MOST_TOKENS: usize = 1024;
/// More text changes no law visibly, and counts stay within 32 bits.
const MOST_BYTES: u64 = 256 << 20;

/// The counts of a text: every character and every adjacent pair, overlapping ones included.
#[derive(Clone, Debug, PartialEq)]
pub struct Statistics {
    vocab: Vocab,
    /// `[vocab]`
    unigrams: Vec<u32>,
    /// `[previous, next]`
    bigrams: Vec<u32>,
}

impl Statistics {
    /// Counts of a UTF-8 text file, or of tiny Shakespeare when `path` is empty.
    ///
    /// # Errors
    /// When the file cannot be read or counted; see [`Self::read`].
    pub fn open(path: &str, carriage_returns: bool) -> Result<Self> {
        if path.is_empty() {
            Self::shakespeare()
        } else {
            Self::read(&meant(path), carriage_returns)
        }
    }

    /// Tiny Shakespeare, from the two tables in `assets/`.
    ///
    /// # Errors
    /// When the tables disagree: a fault of this program.
    pub fn shakespeare() -> Result<Self> {
        Self::of_tables(SHAKESPEARE_UNIGRAMS, SHAKESPEARE_BIGRAMS).map_err(|e| {
            Error::internal(format!("tiny Shakespeare, which comes with the program: {e}"))
        })
    }

    /// The counts that [`Self::documents`] gave.
    ///
    /// # Errors
    /// When a table is missing or damaged, or the two disagree.
    pub fn from_documents(documents: &Documents) -> Result<Self> {
        let table = |name: &str| {
            documents.get(name).ok_or_else(|| damaged(format!("the table {name} is missing")))
        };
        Self::of_tables(table(UNIGRAMS)?, table(BIGRAMS)?)
    }

    /// Both tables, in the format of those in `assets/`.
    ///
    /// # Errors
    /// When they cannot be written: a fault of this program.
    pub fn documents(&self) -> Result<Documents> {
        let characters: Vec<String> = (0..convert::id(self.vocab.len()))
            .map(|id| serde_json::Value::from(self.vocab.text(id)).to_string())
            .collect();
        Ok(Documents::from([
            (UNIGRAMS.to_owned(), write_unigrams(&characters, &self.unigrams)?),
            (BIGRAMS.to_owned(), write_bigrams(&characters, &self.bigrams)?),
        ]))
    }

    fn of_tables(unigrams: &str, bigrams: &str) -> Result<Self> {
        let (characters, unigrams) = unigram_table(unigrams)?;
        let distinct: BTreeSet<&String> = characters.iter().collect();
        if !(2..=MOST_TOKENS).contains(&characters.len())
            || distinct.len() < characters.len()
            || distinct.iter().any(|c| c.is_empty())
        {
            return Err(damaged(format!("expected 2 to {MOST_TOKENS} different characters")));
        }
        let bigrams = bigram_table(bigrams, &characters)?;
        // A character that never occurs has no law to be drawn by, and sums are kept in 32 bits.
        let drawable = |counts: &[u32]| total(counts) <= f64::from(u32::MAX);
        if unigrams.contains(&0)
            || !drawable(&unigrams)
            || !bigrams.chunks(characters.len()).all(drawable)
        {
            return Err(damaged("expected every character at least once, and at most 2^32 in all"));
        }
        Ok(Self { vocab: Vocab::new(characters), unigrams, bigrams })
    }

    /// Counts of a UTF-8 text file. Its tokens are its distinct characters, sorted by code point; a
    /// byte-order mark at the start is not one of them, and where `carriage_returns` does not keep it, neither is that
    /// before the line end of a text from Windows.
    ///
    /// # Errors
    /// When the file cannot be read, is too large, is not UTF-8, is empty, or has too few or too many
    /// distinct characters.
    pub fn read(path: &Path, carriage_returns: bool) -> Result<Self> {
        let about = |e: Error| e.context(format!("text file {}", path.display()));
        let text = read_text(path).map_err(about)?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let read = if carriage_returns { text.into() } else { one_line_end(text) };
        Self::of_text(&read).map_err(about)
    }

    /// Counts of a text.
    ///
    /// # Errors
    /// When it has fewer than 2 or more than 1,024 distinct characters.
    pub fn of_text(text: &str) -> Result<Self> {
        let characters: Vec<char> = text.chars().collect::<BTreeSet<_>>().into_iter().collect();
        let count = characters.len();
        if !(2..=MOST_TOKENS).contains(&count) {
            return Err(Error::input(alphabet_trouble(&characters)));
        }
        let mut id_of = vec![0usize; characters.last().map_or(0, |c| *c as usize + 1)];
        for (id, c) in characters.iter().enumerate() {
            id_of[*c as usize] = id;
        }
        let (mut unigrams, mut bigrams) = (vec![0u32; count], vec![0u32; count * count]);
        let mut previous = None;
        for c in text.chars() {
            let id = id_of[c as usize];
            unigrams[id] += 1;
            if let Some(previous) = previous.replace(id) {
                bigrams[previous * count + id] += 1;
            }
        }
        let vocab = Vocab::new(characters.into_iter().map(String::from).collect());
        Ok(Self { vocab, unigrams, bigrams })
    }

    pub fn vocab(&self) -> &Vocab {
        &self.vocab
    }

    /// Occurrences of each token, `[vocab]`.
    pub fn unigrams(&self) -> &[u32] {
        &self.unigrams
    }

    /// Occurrences of each pair, `[previous, next]`; a character that stands only at the very end of the
    /// text has an empty row.
    pub fn bigrams(&self) -> &[u32] {
        &self.bigrams
    }

    /// The counts that tokens are drawn by after `token`: its row of the bigrams, or the unigrams when that
    /// row is empty.
    pub fn successors(&self, token: usize) -> &[u32] {
        let count = self.vocab.len();
        let row = &self.bigrams[token * count..(token + 1) * count];
        if row.iter().all(|&n| n == 0) { &self.unigrams } else { row }
    }

    /// `pi_b`, the law of the next token, `[previous, next]`; every row sums to 1.
    pub fn bigram_law(&self) -> Vec<f32> {
        let rows = (0..self.vocab.len()).map(|token| self.successors(token));
        rows.flat_map(|row| {
            let total = total(row);
            row.iter().map(move |&n| narrow(f64::from(n) / total))
        })
        .collect()
    }

    /// Tokens from the rarest to the most frequent; equally frequent ones by id.
    pub fn by_frequency(&self) -> Vec<u32> {
        let mut tokens: Vec<u32> = (0..convert::id(self.vocab.len())).collect();
        tokens.sort_by_key(|&t| (self.unigrams[t as usize], t));
        tokens
    }

    /// Entropy of the unigram law in nats.
    pub fn unigram_entropy(&self) -> f64 {
        entropy(&self.unigrams)
    }

    /// Entropy of the next token given the current one, in nats, rows weighed by how often they occur as the
    /// first of a pair.
    pub fn conditional_entropy(&self) -> f64 {
        let rows = self.bigrams.chunks(self.vocab.len());
        let weighed: f64 = rows.map(|row| total(row) * entropy(row)).sum();
        weighed / total(&self.bigrams)
    }
}

fn total(counts: &[u32]) -> f64 {
    counts.iter().map(|&n| f64::from(n)).sum()
}

/// In nats; 0 for counts that are all 0.
fn entropy(counts: &[u32]) -> f64 {
    let total = total(counts);
    let shares = counts.iter().filter(|&&n| n > 0).map(|&n| f64::from(n) / total);
    shares.map(|p| -p * p.ln()).sum()
}

/// The text with the line ends of everywhere else.
fn one_line_end(text: &str) -> Cow<'_, str> {
    if text.contains("\r\n") { text.replace("\r\n", "\n").into() } else { text.into() }
}

fn read_text(path: &Path) -> Result<String> {
    let unreadable = |e: std::io::Error| {
        Error::input(format!(
            "it cannot be read ({}); name a UTF-8 text file that exists",
            reason(&e)
        ))
        .caused_by(e)
    };
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(Error::input("it is no regular file; name a UTF-8 text file"));
    }
    if metadata.len() > MOST_BYTES {
        return Err(Error::input(format!(
            "it has {} bytes, at most {MOST_BYTES} are read; take a part of it",
            metadata.len()
        )));
    }
    let bytes = std::fs::read(path).map_err(unreadable)?;
    String::from_utf8(bytes).map_err(|e| {
        Error::input(format!(
            "byte {} does not continue a UTF-8 text; save the file as UTF-8",
            e.utf8_error().valid_up_to()
        ))
        .caused_by(e)
    })
}

/// Why an alphabet cannot be used.
fn alphabet_trouble(characters: &[char]) -> String {
    match characters {
        [] => "it is empty; name a text with at least two distinct characters".to_owned(),
        [one] => format!(
            "its only character is {one:?}, over and over; name a text with at least two distinct characters"
        ),
        _ => format!(
            "it has {} distinct characters, at most {MOST_TOKENS} are supported; name a text in an alphabetic script",
            characters.len()
        ),
    }
}

/// Rows `index,character as JSON,count`, and a last row with the total.
fn unigram_table(table: &str) -> Result<(Vec<String>, Vec<u32>)> {
    let (mut characters, mut counts) = (Vec::new(), Vec::new());
    let mut reader = csv::Reader::from_reader(table.as_bytes());
    for record in reader.records() {
        let record = record.map_err(damaged_by)?;
        let [first, character, count] = [0, 1, 2].map(|i| record.get(i).unwrap_or_default());
        if first == "total" {
            return checked_total(count, &counts).map(|()| (characters, counts));
        }
        characters.push(serde_json::from_str(character).map_err(damaged_by)?);
        counts.push(count.parse().map_err(damaged_by)?);
    }
    Err(damaged("no total"))
}

/// One row per previous character, one column per next character (both as JSON), with a column and a row of
/// totals at the end.
fn bigram_table(table: &str, characters: &[String]) -> Result<Vec<u32>> {
    let mut reader = csv::Reader::from_reader(table.as_bytes());
    let header: Vec<String> = reader
        .headers()
        .map_err(damaged_by)?
        .iter()
        .filter_map(|h| serde_json::from_str(h).ok())
        .collect();
    let mut counts = Vec::new();
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(damaged_by)?;
        let Ok(character) = serde_json::from_str::<String>(&record[0]) else { continue };
        let cells = record.iter().skip(1).take(characters.len());
        let row: Vec<u32> = cells.map(str::parse).collect::<Result<_, _>>().map_err(damaged_by)?;
        checked_total(record.get(characters.len() + 1).unwrap_or_default(), &row)?;
        counts.extend(row);
        rows.push(character);
    }
    if header != characters || rows != characters {
        return Err(damaged("its characters are not those of the unigrams"));
    }
    Ok(counts)
}

fn checked_total(written: &str, counts: &[u32]) -> Result<()> {
    let written: f64 = written.parse().map_err(damaged_by)?;
    if written == total(counts) { Ok(()) } else { Err(damaged("a total is wrong")) }
}

/// As [`unigram_table`] reads it.
fn write_unigrams(characters: &[String], counts: &[u32]) -> Result<String> {
    let rows = characters.iter().zip(counts).enumerate();
    let rows = rows.map(|(i, (c, n))| vec![i.to_string(), c.clone(), n.to_string()]);
    let end = vec!["total".to_owned(), String::new(), total(counts).to_string()];
    let header = ["index", "char_json", "count"].map(str::to_owned).to_vec();
    write_csv(std::iter::once(header).chain(rows).chain([end]))
}

/// As [`bigram_table`] reads it.
fn write_bigrams(characters: &[String], counts: &[u32]) -> Result<String> {
    let line = |name: &str, cells: Vec<String>, end: String| {
        let mut line = vec![name.to_owned()];
        line.extend(cells);
        line.push(end);
        line
    };
    let header = line("prev\\next", characters.to_vec(), "row_total".to_owned());
    let rows = characters.iter().zip(counts.chunks(characters.len())).map(|(name, row)| {
        line(name, row.iter().map(u32::to_string).collect(), total(row).to_string())
    });
    let columns = (0..characters.len()).map(|column| {
        let cells = counts.iter().skip(column).step_by(characters.len());
        cells.map(|&n| u64::from(n)).sum::<u64>().to_string()
    });
    let end = line("col_total", columns.collect(), total(counts).to_string());
    write_csv(std::iter::once(header).chain(rows).chain([end]))
}

fn write_csv(lines: impl Iterator<Item = Vec<String>>) -> Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for line in lines {
        writer.write_record(line).map_err(unwritten)?;
    }
    let bytes = writer.into_inner().map_err(unwritten)?;
    String::from_utf8(bytes).map_err(unwritten)
}

fn unwritten(e: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::internal(format!("the counts cannot be written: {e}")).caused_by(e)
}

fn damaged(why: impl std::fmt::Display) -> Error {
    Error::input(format!("the counts are damaged: {why}"))
}

fn damaged_by(e: impl std::error::Error + Send + Sync + 'static) -> Error {
    damaged(&e).caused_by(e)
}
