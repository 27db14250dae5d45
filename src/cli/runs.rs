//! `mnemoscope runs`: what the library holds, room in it for the asking, and the way back.

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::UNIX_EPOCH;

use chrono::{Datelike, Timelike};
use clap::Args;

use crate::base::error::{Error, Result, did_you_mean};
use crate::base::vocab::plain;
use crate::run_folder::library::{self, CAP_BYTES, Entry, Stock, counted, spell_bytes};
use crate::run_folder::recent;

use super::{say, tell};

#[derive(Args)]
pub struct Runs {
    /// Move the oldest runs without a title to the trash, until the library is no larger than 4 GB; says which, and asks
    #[arg(long, conflicts_with_all = ["restore", "empty_trash"])]
    prune: bool,
    /// Bring a run back from the trash, by the name of its folder
    #[arg(long, value_name = "NAME", conflicts_with = "empty_trash")]
    restore: Vec<OsString>,
    /// Remove what lies in the trash for good; says what, and asks
    #[arg(long)]
    empty_trash: bool,
    /// Take a model, a series or a set of prompts off the list of what was opened lately (mnemoscope list recent); its files stay
    #[arg(long, value_name = "PATH", conflicts_with_all = ["prune", "restore", "empty_trash", "dry_run"])]
    forget: Vec<PathBuf>,
    /// Say what would go, and leave it where it is
    #[arg(long, conflicts_with = "restore")]
    dry_run: bool,
    /// Go ahead without a question
    #[arg(long)]
    yes: bool,
}

impl Runs {
    pub fn run(self) -> Result<ExitCode> {
        let home = library::home()?;
        if !self.forget.is_empty() {
            self.forget.iter().try_for_each(|path| recent::forget(&home, path))?;
            return Ok(ExitCode::SUCCESS);
        }
        let stock = Stock::take(&home, CAP_BYTES, &[])?;
        if self.prune {
            self.prune(&stock)?;
        } else if self.empty_trash {
            self.empty_trash(&home, &stock)?;
        } else if self.restore.is_empty() {
            list(&home, &stock)?;
        } else {
            self.restore.iter().try_for_each(|name| restore(&home, name, &stock.trash))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn prune(&self, stock: &Stock) -> Result<()> {
        stock.passed_over.iter().for_each(|e| tell(&e.message));
        let Some(sentence) = stock.sentence(CAP_BYTES) else {
            return say(format!(
                "the library holds {}, no more than {}: none has to go",
                counted(&stock.runs),
                spell_bytes(CAP_BYTES)
            ));
        };
        say(sentence)?;
        table(&stock.surplus)?;
        let question = format!("Move {} to the trash?", counted(&stock.surplus));
        if stock.surplus.is_empty() || self.dry_run || !self.agrees(&question)? {
            return Ok(());
        }
        let mut moved = 0;
        for entry in &stock.surplus {
            match library::discard(&entry.folder) {
                Ok(_) => moved += 1,
                Err(e) => tell(&e.message),
            }
        }
        say(format!(
            "{moved} in the trash, where they take their room until it is emptied. Back: mnemoscope runs --restore NAME. For good: mnemoscope runs --empty-trash"
        ))
    }

    fn empty_trash(&self, home: &Path, stock: &Stock) -> Result<()> {
        if stock.trash.is_empty() {
            return say("The trash is empty.");
        }
        table(&stock.trash)?;
        let question = format!("Remove {} for good?", counted(&stock.trash));
        if self.dry_run || !self.agrees(&question)? {
            return Ok(());
        }
        let left = library::empty_trash(home)?;
        left.iter().for_each(|e| tell(&e.message));
        say(format!("{} removed", stock.trash.len().saturating_sub(left.len())))
    }

    /// Asks, unless that was answered by `--yes`.
    ///
    /// # Errors
    /// When nobody answers.
    fn agrees(&self, question: &str) -> Result<bool> {
        if self.yes {
            return Ok(true);
        }
        let mut out = std::io::stdout();
        // A reader of the output that has gone away cannot have read the question.
        write!(out, "{} [y/N] ", plain(question)).and_then(|()| out.flush())?;
        let mut answer = String::new();
        if std::io::stdin().read_line(&mut answer)? == 0 {
            say("")?;
            return Err(Error::usage(
                "nobody answered, and nothing was touched; --yes goes ahead without a question, --dry-run only says what would go",
            ));
        }
        Ok(["y", "yes"].contains(&answer.trim().to_lowercase().as_str()))
    }
}

fn list(home: &Path, stock: &Stock) -> Result<()> {
    table(&stock.runs)?;
    say(format!("{} in {}", counted(&stock.runs), home.display()))?;
    if let Some(sentence) = stock.sentence(CAP_BYTES) {
        say(sentence)?;
    }
    if !stock.surplus.is_empty() {
        say("To make room: mnemoscope runs --prune")?;
    }
    if stock.trash.is_empty() {
        return Ok(());
    }
    say("")?;
    table(&stock.trash)?;
    say(format!(
        "{} in the trash. Back: mnemoscope runs --restore NAME. For good: mnemoscope runs --empty-trash",
        counted(&stock.trash)
    ))
}

fn restore(home: &Path, name: &OsString, discarded: &[Entry]) -> Result<()> {
    let named = |entry: &&Entry| entry.folder.file_name() == Some(name.as_os_str());
    let Some(entry) = discarded.iter().find(named) else {
        let names: Vec<String> = discarded.iter().map(Entry::name).collect();
        let name = name.to_string_lossy();
        return Err(Error::usage(format!(
            "no run called {name} lies in the trash of {}.{}",
            home.display(),
            did_you_mean(&name, names.iter().map(String::as_str))
        )));
    };
    say(library::restore(&entry.folder)?.display().to_string())
}

/// A line a run: the name of its folder, its size, when it was last written, its title.
fn table(entries: &[Entry]) -> Result<()> {
    let names: Vec<String> = entries.iter().map(Entry::name).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    for (name, entry) in names.iter().zip(entries) {
        let size = spell_bytes(entry.bytes);
        let title = entry.about.title.as_deref().unwrap_or_default();
        let line = format!("{name:width$}  {size:>9}  {}  {title}", date(entry));
        say(line.trim_end())?;
    }
    Ok(())
}

/// When a run was last written, in UTC.
fn date(entry: &Entry) -> String {
    let seconds = entry.changed.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let date = i64::try_from(seconds).ok();
    let date = date.and_then(|seconds| chrono::DateTime::from_timestamp(seconds, 0));
    date.map_or_else(String::new, |date| {
        let (year, month, day) = (date.year(), date.month(), date.day());
        format!("{year}-{month:02}-{day:02} {:02}:{:02} UTC", date.hour(), date.minute())
    })
}
