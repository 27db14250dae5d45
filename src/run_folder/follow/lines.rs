//! A text that grows elsewhere, read up to its last whole line, each line once.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;

use crate::base::error::{Error, Result};
use crate::run_folder::disk::{Version, open_file, plain_line, refused};

use super::PATIENCE;

/// Read at once: more than a run writes between two polls, and little beside the memory of a window.
const MOST_AT_ONCE: u64 = 4 << 20;
/// As for any reader of a run.
const MOST_LINE_BYTES: usize = 1 << 20;

/// How far a file was read, and what tells that it is still the same.
#[derive(Clone)]
pub(super) struct Lines {
    path: PathBuf,
    /// More than this is not what it seems: lines that are kept in memory take some of it, however short.
    most_bytes: u64,
    /// Bytes of whole lines that were taken, how many lines, and the checksum of them all.
    read: u64,
    count: usize,
    sum: crc32fast::Hasher,
    /// The last of them, with its end.
    last: Vec<u8>,
    was_there: bool,
    /// The file at the last look; `None` where all that was read is to be compared.
    version: Option<Version>,
    /// Looks in a row at which what was read was not there.
    odd: u32,
}

/// What a look found besides whole lines.
pub(super) enum Seen {
    /// Everything was read that is whole.
    All,
    /// There is more than is read at once.
    More,
    /// A line that is none: what follows waits until it is one.
    Damaged(Error),
    /// What was read is no longer there.
    Other(Error),
}

impl Lines {
    pub fn new(path: PathBuf, most_bytes: u64) -> Self {
        let sum = crc32fast::Hasher::new();
        let (was_there, last) = (false, Vec::new());
        Self { path, most_bytes, read: 0, count: 0, sum, last, was_there, version: None, odd: 0 }
    }

    /// Whether what was read has been gone for too long to wait for it.
    pub fn is_given_up(&self) -> bool {
        self.odd >= PATIENCE
    }

    pub fn has_begun(&self) -> bool {
        self.count > 0
    }

    /// Opens the file, which has network file systems look what there is now, and gives every line that is new and whole to `take`,
    /// with its number from 1, until that says of one that it is none.
    ///
    /// # Errors
    /// When the file was there and cannot be read now.
    pub fn poll(&mut self, take: impl FnMut(usize, &str) -> bool) -> Result<Seen> {
        if !self.was_there && !self.path.exists() {
            return Ok(Seen::All);
        }
        self.was_there = true;
        let (mut file, _) = open_file(&self.path)?;
        let seen = self.look(&mut file, take);
        seen.map_err(|e| refused("reading", &self.path, e))
    }

    fn look(&mut self, file: &mut File, take: impl FnMut(usize, &str) -> bool) -> io::Result<Seen> {
        let version = Version::of(file)?;
        if let Some(why) = self.what_is_odd(file, version)? {
            self.odd += 1;
            self.version = None;
            return Ok(Seen::Other(Error::input(format!("{}: {why}", self.path.display()))));
        }
        self.odd = 0;
        self.version = Some(version);
        file.seek(SeekFrom::Start(self.read))?;
        let mut bytes = Vec::new();
        file.take(MOST_AT_ONCE).read_to_end(&mut bytes)?;
        Ok(self.take_lines(&bytes, take))
    }

    /// What tells that the file does not go on from what was read.
    fn what_is_odd(&self, file: &mut File, version: Version) -> io::Result<Option<&'static str>> {
        if version.length < self.read {
            return Ok(Some("it is shorter than it was"));
        }
        // A copy in place of it may have all that was read; of the same file it is enough that the end of that is there.
        let is_same_file = self.version.is_some_and(|known| known.identity == version.identity);
        let there = match is_same_file {
            true => self.ends_alike(file)?,
            false => self.begins_alike(file)?,
        };
        Ok((!there).then_some("it does not go on from what was read"))
    }

    fn ends_alike(&self, file: &mut File) -> io::Result<bool> {
        file.seek(SeekFrom::Start(self.read - self.last.len() as u64))?;
        let mut there = Vec::new();
        file.take(self.last.len() as u64).read_to_end(&mut there)?;
        Ok(there == self.last)
    }

    fn begins_alike(&self, file: &mut File) -> io::Result<bool> {
        file.seek(SeekFrom::Start(0))?;
        let (mut sum, mut left) = (crc32fast::Hasher::new(), self.read);
        let mut piece = vec![0; 1 << 16];
        while left > 0 {
            let most = piece.len().min(usize::try_from(left).unwrap_or(piece.len()));
            let read = file.read(&mut piece[..most])?;
            if read == 0 {
                return Ok(false);
            }
            sum.update(&piece[..read]);
            left -= read as u64;
        }
        Ok(sum.finalize() == self.sum.clone().finalize())
    }

    fn take_lines(&mut self, bytes: &[u8], mut take: impl FnMut(usize, &str) -> bool) -> Seen {
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, after) = rest.split_at(end + 1);
            let number = self.count + 1;
            let text = std::str::from_utf8(plain_line(&line[..end], number == 1)).ok();
            if end >= MOST_LINE_BYTES
                || self.is_full()
                || !text.is_some_and(|text| take(number, text))
            {
                return Seen::Damaged(self.damaged(number));
            }
            self.sum.update(line);
            self.last = line.to_vec();
            self.read += line.len() as u64;
            self.count = number;
            rest = after;
        }
        match rest.len() {
            MOST_LINE_BYTES.. => Seen::Damaged(self.damaged(self.count + 1)),
            _ if bytes.len() as u64 == MOST_AT_ONCE => Seen::More,
            _ => Seen::All,
        }
    }

    fn is_full(&self) -> bool {
        let shortest = 64 * self.count as u64;
        self.read.max(shortest) > self.most_bytes
    }

    fn damaged(&self, number: usize) -> Error {
        Error::input(format!(
            "{}: line {number} is damaged or not wholly there; what stands before it is shown",
            self.path.display()
        ))
    }
}
