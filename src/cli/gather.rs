//! `mnemoscope gather`: the runs of a sweep as one table, and whether two numbers of them go together.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use crate::base::error::{Error, Result};
use crate::base::plain::Plain;
use crate::base::vocab::plain;
use crate::figure::file::save;
use crate::formats::columns::Columns;
use crate::formats::file::check_free;
use crate::formats::parquet::parquet;
use crate::numeric::correlation::median;
use crate::sweep::table::{self, Relation, Table};

use super::run_at::note;
use super::say;

#[derive(Args)]
pub struct Gather {
    /// Folder of a sweep
    #[arg(value_name = "SWEEP_FOLDER")]
    folder: PathBuf,
    /// A row a run and evaluation instead of a row a run
    #[arg(long)]
    curves: bool,
    /// File to write: its ending says the format (default: CSV to standard output)
    #[arg(short, long, value_name = "FILE.(csv|parquet)")]
    out: Option<PathBuf>,
    /// Whether two columns go together over the finished runs, at the end of training: Pearson's r and Spearman's ρ with
    /// their 95 % intervals, e.g. `--correlate previous_token_score,accuracy_in_context`
    #[arg(long, value_name = "X,Y", conflicts_with_all = ["curves", "out"])]
    correlate: Option<String>,
    /// The same within each run, over its evaluations
    #[arg(long, requires = "correlate")]
    within: bool,
    /// Replace the file if it exists
    #[arg(long)]
    force: bool,
}

#[derive(Clone, Copy)]
enum Format {
    Csv,
    Parquet,
}

impl Gather {
    pub fn run(self) -> Result<ExitCode> {
        if let Some(text) = &self.correlate {
            let (x, y) = text.split_once(',').ok_or_else(|| {
                Error::usage(format!(
                    "--correlate {text}: expected two columns, as in loss,accuracy"
                ))
            })?;
            return self.correlate(x.trim(), y.trim()).map(|()| ExitCode::SUCCESS);
        }
        // What is wrong with the name of the file is said before anything is read.
        let out = self.out.as_deref().map(|path| self.target(path)).transpose()?;
        let columns = self.table(self.curves)?;
        match out {
            None => print(&columns.csv()?)?,
            Some((path, format)) => {
                save(path, &self.bytes(&columns, format)?, self.force)?;
                say(path.display().to_string())?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    /// The table; why a run has no numbers in it is said beside it.
    fn table(&self, curves: bool) -> Result<Columns> {
        let read = if curves { table::curves } else { table::runs };
        let Table { columns, problems } = read(&self.folder)?;
        problems.iter().for_each(|e| note(&e.message));
        Ok(columns)
    }

    fn target<'a>(&self, path: &'a Path) -> Result<(&'a Path, Format)> {
        let ending = path.extension().map(|e| e.to_string_lossy().to_lowercase());
        let format = match ending.as_deref() {
            Some("csv") => Format::Csv,
            Some("parquet") => Format::Parquet,
            _ => {
                return Err(Error::usage(format!(
                    "-o {}: expected a name that ends in .csv or .parquet",
                    path.display()
                )));
            }
        };
        check_free(path, self.force)?;
        Ok((path, format))
    }

    fn bytes(&self, columns: &Columns, format: Format) -> Result<Vec<u8>> {
        match format {
            Format::Csv => columns.csv(),
            Format::Parquet => {
                let name = self.folder.file_name().unwrap_or_default().to_string_lossy();
                let notes = [
                    ("mnemoscope.version", env!("CARGO_PKG_VERSION").to_owned()),
                    ("mnemoscope.sweep", name.into_owned()),
                ];
                parquet(columns, &notes)
            }
        }
    }

    fn correlate(&self, x: &str, y: &str) -> Result<()> {
        if self.within {
            return within(&table::within_runs(&self.table(true)?, x, y)?, x, y);
        }
        let runs = self.table(false)?;
        let relation = table::over_runs(&runs, x, y)?;
        let left_out = runs.rows() - relation.pairs;
        say(format!("{x} and {y} over {} finished runs, at the end of training", relation.pairs))?;
        said(&relation, "")?;
        if left_out > 0 {
            say(format!(
                "{left_out} of {} runs are left out: not finished, damaged, or one of the two is undefined",
                runs.rows()
            ))?;
        }
        Ok(())
    }
}

fn within(relations: &[(String, Relation)], x: &str, y: &str) -> Result<()> {
    say(format!("{x} and {y} over the evaluations of each run"))?;
    for (name, relation) in relations {
        say(format!("{name}, n = {}", relation.pairs))?;
        said(relation, "  ")?;
    }
    let of = |value: fn(&Relation) -> Option<f64>| {
        median(relations.iter().filter_map(|(_, relation)| value(relation)).collect())
    };
    let r = of(|relation| relation.pearson.ok().map(|c| c.value));
    let rho = of(|relation| relation.spearman.ok().map(|c| c.value));
    if let (Some(r), Some(rho)) = (r, rho) {
        say(format!(
            "medians over the runs: Pearson's r {:.3}, Spearman's ρ {:.3}",
            Plain(r),
            Plain(rho)
        ))?;
    }
    say(
        "The evaluations of a run follow from one another: these intervals are narrower than the truth.",
    )
}

/// The coefficients with their intervals, or why there are none.
fn said(relation: &Relation, indent: &str) -> Result<()> {
    for (name, outcome) in
        [("Pearson's r", &relation.pearson), ("Spearman's ρ", &relation.spearman)]
    {
        let words = outcome.as_ref().map_or_else(ToString::to_string, ToString::to_string);
        say(format!("{indent}{name:12}  {words}"))?;
    }
    Ok(())
}

/// Writes to standard output. A reader that has gone away is no error.
pub(super) fn print(bytes: &[u8]) -> Result<()> {
    let mut out = std::io::stdout();
    // A program that reads gets the table as it is, a terminal what can be seen of it.
    let written = if out.is_terminal() {
        out.write_all(plain(&String::from_utf8_lossy(bytes)).as_bytes())
    } else {
        out.write_all(bytes)
    };
    match written {
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|e| Error::from(e).context("writing to standard output")),
    }
}
