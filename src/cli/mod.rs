//! The command line: which command, with what words, and which exit code comes back.

mod analyze;
mod bar;
mod bench;
mod examine;
mod export;
mod figure;
mod fit;
mod gather;
mod generate;
mod list;
mod options;
mod run_at;
mod runs;
mod score;
mod study;
mod sweep;
mod train;

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::app::Look;
use crate::base::convert::narrow;
use crate::base::error::{Error, Kind, Result, did_you_mean, without_build_paths};
use crate::base::number;
use crate::base::quoting;
use crate::base::registry::find;
use crate::base::vocab::plain;
use crate::export::against::Other;
use crate::figure::fallback::Fallback;
use crate::panel;
use crate::panel::compare::Showing;
use crate::run::experiment::{BUILTIN, Experiment};
use analyze::Ask;

const AFTER_HELP: &str = "\
Examples:
  mnemoscope                               the window: watch an induction head being born
  mnemoscope birth-global                  the window, with another experiment
  mnemoscope my-run                        the window, on a recorded run
  mnemoscope train birth-joint --out a-run train without a window, recording into a-run
  mnemoscope train birth --set train.seed=3 --set task.triggers=3 --steps 400
  mnemoscope sweep birth --seeds 0..19 --set train.rate=0.1,0.3 --steps 400 --out a-sweep
  mnemoscope gather a-sweep -o runs.csv    one row a run
  mnemoscope figure a-run attention --step 120 --set layer=1 -o head.pdf --width 89mm

Exit codes: 0 done; 2 the words of the command; 3 a file could not be understood;
4 the system refused (disk, display, graphics); 5 training diverged; 6 not all runs
of a sweep are finished; 70 a fault of this program;
130 stopped by Ctrl-C (everything is saved).";

/// A microscope for working memory in transformers.
///
/// Without a command it opens the window and starts the experiment: train a small transformer and watch its attention,
/// its queries and keys and its associative memories while they form.
#[derive(Parser)]
#[command(name = "mnemoscope", version, after_help = AFTER_HELP, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    window: Window,
}

#[derive(Args)]
struct Window {
    /// An experiment (a name of `mnemoscope list experiments`, or a .toml file), a file of lessons, a run folder or the folder of a sweep. A name of the list wins:
    /// ./birth is the folder, birth the experiment
    #[arg(value_name = "EXPERIMENT | RUN_FOLDER")]
    what: Option<OsString>,
    /// Save what the window shows to this PNG file, then quit (needs --at-step)
    #[arg(long, value_name = "FILE", requires = "at_step")]
    screenshot: Option<PathBuf>,
    /// With --screenshot: replace the file if it exists
    #[arg(long, requires = "screenshot")]
    force: bool,
    /// With --screenshot: width and height of the window in points of the screen
    #[arg(long, value_name = "WIDTHxHEIGHT", requires = "screenshot", value_parser = window_size, default_value = "1600x1000")]
    size: [u16; 2],
    /// With --screenshot: all that is drawn so many times as large, from 0.6 to 2.5
    #[arg(long, value_name = "N", requires = "screenshot", value_parser = scale, default_value = "1")]
    scale: f32,
    /// With --screenshot: light on dark
    #[arg(long, requires = "screenshot")]
    dark: bool,
    /// With --screenshot: arranged for a hall
    #[arg(long, requires = "screenshot")]
    present: bool,
    /// With --screenshot: this panel alone (see `mnemoscope list panels`)
    #[arg(long, value_name = "PANEL", requires = "screenshot", conflicts_with = "present")]
    expand: Option<String>,
    /// With --screenshot: with this in force, as in `mnemoscope examine --intervene`
    #[arg(long, value_name = "WHAT", requires = "screenshot")]
    intervene: Vec<String>,
    /// With --screenshot: compared with this, as in `mnemoscope figure --against`
    #[arg(long, value_name = "RUN[@STEP]", requires = "screenshot")]
    against: Option<OsString>,
    /// With --against: this minus that, both side by side, or all three
    #[arg(long, requires = "against", default_value = Showing::WORDS[0], value_parser = PossibleValuesParser::new(Showing::WORDS))]
    show: String,
    /// Show this step; a running experiment trains up to it first
    #[arg(long, value_name = "N")]
    at_step: Option<u64>,
    /// Record into this folder instead of the library of runs
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// What a new run trains on: cpu, or cuda or metal in a program built with that feature
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
    /// A font file for characters that the program's own fonts lack, before those of the system (may be said several times)
    #[arg(long, value_name = "FILE")]
    font: Vec<PathBuf>,
    /// A drill for tests: lose the graphics device at this step
    #[arg(long, hide = true, value_name = "N")]
    lose_device_at_step: Option<u64>,
    /// For measurements: tell on standard output how far the window has come, and close it after so many seconds
    #[arg(long, hide = true, value_name = "S")]
    stopwatch: Option<u32>,
}

#[derive(Subcommand)]
enum Command {
    /// Train without a window and record the run
    Train(train::Train),
    /// Train many runs of an experiment: seeds and values of settings, a few runs at a time
    Sweep(sweep::Sweep),
    /// The runs of a sweep as one table, and whether two numbers of them go together
    Gather(gather::Gather),
    /// The runs of the library: how much they hold, what would make room, and what lies in the trash
    Runs(runs::Runs),
    /// List kinds of things, or one with every setting, default and range
    List(list::List),
    /// Ask a recorded run at a step: measurements, predictions, the effect of a cut
    Examine(examine::Examine),
    /// Continue a text as the network writes it, under what is cut or changed
    Generate(generate::Generate),
    /// Take parts of the network from a counterfactual run, part by part, and see what each does
    Patch(Ask<analyze::Patching>),
    /// Take only the direct paths from some parts to others from a counterfactual run
    Path(Ask<analyze::Path>),
    /// Ask how much of the behaviour the paths of a hypothesis explain
    Scrub(Ask<analyze::Scrubbing>),
    /// Corrupt the subject of prompts and ask which states, MLPs and attentions bring the answer back when they alone are restored
    Trace(Ask<analyze::Tracing>),
    /// Change the MLP that holds a fact so that another answer follows the prompt, and ask what becomes of it, of its neighbours and of all others
    Rewrite(Ask<analyze::Rewriting>),
    /// Ask how much of a tree's first step survives when one layer looks at another tree with the same node held
    TreeScrub(Ask<analyze::TreeScrubbing>),
    /// Find the positions that the first step in a tree reads directly in the last layers
    Registers(Ask<analyze::Registers>),
    /// Find the edges of the attention that the predictions on a sequence need
    KnockOut(Ask<analyze::KnockOut>),
    /// Score every step of a series of checkpoints: losses and all heads on random tokens that repeat; what is done is kept, and figures
    /// and films of the series draw it
    Score(score::Score),
    /// Run an experiment of the literature on a network, and say what was found there
    Study(study::Words),
    /// Draw panels of a recorded run into files that go straight into a paper
    Figure(figure::Figure),
    /// Draw a panel at many steps, one after the other: GIF, animated PNG, or frames
    Film(figure::Film),
    /// Write the weights or the metrics of a recorded run for other programs
    Export(export::Export),
    /// Fit readers place by place: what the network holds where, beside shuffled labels
    Readers(Ask<analyze::Readers>),
    /// Ask a network about longer sequences than it was trained on, or about another setting of its task: accuracy by length
    Length(Ask<analyze::Length>),
    /// Ask what each slot of a network's memory holds after each segment, as probes tell it
    Stored(Ask<analyze::Stored>),
    /// Find the machine in hidden states: its states and what follows each, beside the true one
    Automaton(Ask<analyze::Automaton>),
    /// Fit a probe or a lens to a recorded run: a linear probe, a lens, or the erasure of a concept
    Fit(fit::Fit),
    /// Measure how fast this program is on this machine
    Bench(bench::Bench),
}

/// Runs the program; the exit code is documented in `--help`.
pub fn main() -> ExitCode {
    std::panic::set_hook(Box::new(tell_fault));
    match Cli::try_parse() {
        Ok(cli) => carried_out(|| run(cli)),
        Err(e) => {
            let words: Vec<OsString> = std::env::args_os().skip(1).collect();
            // Help and version are no errors; clap knows where each belongs.
            let e =
                if e.use_stderr() { mistyped(&words).unwrap_or(with_hint(e, &words)) } else { e };
            let _ = e.print();
            ExitCode::from(u8::try_from(e.exit_code()).unwrap_or(2))
        }
    }
}

/// What is wrong with words whose first is neither an option nor anything that there is: most likely a command was meant.
fn mistyped(words: &[OsString]) -> Option<clap::Error> {
    let first = words.first()?;
    let name = first.to_str().filter(|name| !name.starts_with('-'))?;
    let is_command = Cli::command().find_subcommand(name).is_some() || name == "help";
    (!is_command && is_nothing(name.as_ref()))
        .then(|| Cli::command().error(ErrorKind::InvalidSubcommand, no_such_thing(name)))
}

/// Whether a word names neither an experiment nor a file or folder.
fn is_nothing(word: &OsStr) -> bool {
    !word.to_str().is_some_and(Experiment::is_builtin) && !Path::new(word).exists()
}

fn no_such_thing(name: &str) -> String {
    let command = Cli::command();
    let commands = command.get_subcommands().map(clap::Command::get_name);
    let known = commands.chain(BUILTIN.iter().map(|(name, _)| *name));
    format!(
        "there is no command, no experiment and no file or folder called \"{name}\".{}",
        did_you_mean(name, known)
    )
}

/// The same error; where a word with a hyphen in front was meant as a value, with how such a value is given.
fn with_hint(mut e: clap::Error, words: &[OsString]) -> clap::Error {
    let Some(ContextValue::String(unknown)) = e.get(ContextKind::InvalidArg) else { return e };
    let texts: Vec<&str> = words.iter().filter_map(|word| word.to_str()).collect();
    let hint = texts.iter().enumerate().find(|(_, text)| text.starts_with(unknown)).and_then(
        |(i, text)| match texts[..i].last() {
            Some(option) if takes_value(texts[0], option) => Some(format!(
                "a value that begins with a hyphen is joined to its option: {}",
                quoting::word(format!("{option}={text}"))
            )),
            _ if Path::new(text).exists() => {
                Some(format!("what lies in this folder is named {}", quoting::path(text)))
            }
            _ => None,
        },
    );
    if let Some(hint) = hint.filter(|_| e.kind() == ErrorKind::UnknownArgument) {
        e.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![hint.into()]));
    }
    e
}

/// Whether the word of a command is an option that a value follows.
fn takes_value(command: &str, option: &str) -> bool {
    let mut whole = Cli::command();
    whole.build();
    let command = whole.find_subcommand(command).unwrap_or(&whole);
    command.get_arguments().filter(|arg| arg.get_action().takes_values()).any(|arg| {
        arg.get_long().is_some_and(|long| option == format!("--{long}"))
            || arg.get_short().is_some_and(|short| option == format!("-{short}"))
    })
}

/// Carries out a command; the exit code of what comes of it, with a sentence for an error. A panic is a fault of this
/// program and gets the code of one.
pub fn carried_out(command: impl FnOnce() -> Result<ExitCode>) -> ExitCode {
    // Nothing of the command is looked at again.
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(command));
    let error = match outcome {
        Ok(Ok(code)) => return code,
        Ok(Err(e)) => e,
        Err(_) => Error::internal(
            "a fault of this program ended it; what was recorded before stays. Please report the lines above",
        ),
    };
    tell(&error.message);
    ExitCode::from(error.exit_code())
}

fn run(cli: Cli) -> Result<ExitCode> {
    match cli.command {
        Some(Command::Train(args)) => args.run(),
        Some(Command::Sweep(args)) => args.run(),
        Some(Command::Gather(args)) => args.run(),
        Some(Command::Runs(args)) => args.run(),
        Some(Command::List(args)) => args.run(),
        Some(Command::Examine(args)) => args.run(),
        Some(Command::Generate(args)) => args.run(),
        Some(Command::Patch(args)) => args.run(),
        Some(Command::Path(args)) => args.run(),
        Some(Command::Scrub(args)) => args.run(),
        Some(Command::Trace(args)) => args.run(),
        Some(Command::Rewrite(args)) => args.run(),
        Some(Command::TreeScrub(args)) => args.run(),
        Some(Command::Registers(args)) => args.run(),
        Some(Command::Readers(args)) => args.run(),
        Some(Command::Length(args)) => args.run(),
        Some(Command::Stored(args)) => args.run(),
        Some(Command::Automaton(args)) => args.run(),
        Some(Command::KnockOut(args)) => args.run(),
        Some(Command::Score(args)) => args.run(),
        Some(Command::Study(args)) => args.run(),
        Some(Command::Figure(args)) => args.run(),
        Some(Command::Film(args)) => args.run(),
        Some(Command::Export(args)) => args.run(),
        Some(Command::Fit(args)) => args.run(),
        Some(Command::Bench(args)) => args.run(),
        None => cli.window.run(),
    }
}

/// Width and height as in `1280x720`.
fn scale(text: &str) -> std::result::Result<f32, String> {
    let scale = text.parse().ok().filter(|scale: &f32| (0.6..=2.5).contains(scale));
    scale.ok_or_else(|| format!("read \"{text}\", expected a number from 0.6 to 2.5"))
}

fn window_size(text: &str) -> std::result::Result<[u16; 2], String> {
    let sides = text.split_once('x').and_then(|(w, h)| Some([w.parse().ok()?, h.parse().ok()?]));
    sides.filter(|[w, h]| (320..=8192).contains(w) && (240..=8192).contains(h)).ok_or_else(|| {
        format!("read \"{text}\", expected a width and a height as in 1280x720, from 320x240 to 8192x8192")
    })
}

impl Window {
    fn run(self) -> Result<ExitCode> {
        if let Some(what) = self.what.as_deref().filter(|what| is_nothing(what)) {
            return Err(Error::usage(no_such_thing(&what.to_string_lossy())));
        }
        crate::app::open(&crate::app::Launch {
            what: self.what,
            look: Look {
                size: self.size,
                scale: self.scale,
                dark: self.dark,
                present: self.present,
                expand: match &self.expand {
                    Some(name) => Some(find("panel", panel::ALL, name).map(|_| name.clone())?),
                    None => None,
                },
                intervene: self.intervene,
                against: self.against.as_deref().map(Other::read).transpose()?,
                showing: Showing::named(&self.show).unwrap_or_default(),
            },
            screenshot: self.screenshot,
            force: self.force,
            at_step: self.at_step,
            folder: self.out,
            device: self.device,
            lose_device_at: self.lose_device_at_step,
            stopwatch: self.stopwatch.map(|s| Duration::from_secs(s.into())),
            fallback: match self.font.as_slice() {
                [] => None,
                files => Some(Fallback::open(files)?),
            },
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The whole of `--help` and of every command's, as one text: what the documentation shows and a test compares.
pub fn help() -> String {
    let mut command = Cli::command().term_width(100);
    command.build();
    let mut text = command.render_long_help().to_string();
    for sub in command.get_subcommands_mut().filter(|c| c.get_name() != "help") {
        let name = sub.get_name().to_owned();
        text.push_str(&format!("\n---- {name} ----\n\n{}", sub.render_long_help()));
    }
    text
}

/// A sentence on standard error. What others put into a name in it does nothing to the terminal.
fn tell(text: &str) {
    let _ = writeln!(std::io::stderr(), "mnemoscope: {}", plain(text));
}

/// Where and how the program failed, and the way there where `RUST_BACKTRACE` asks for it, without the folders of the machine
/// that built it.
fn tell_fault(panic: &std::panic::PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("without a name").to_owned();
    let said = panic.to_string().replace('\n', " ");
    tell(&without_build_paths(&format!("in the thread {name}: {said}")));
    let way = std::backtrace::Backtrace::capture();
    if way.status() == std::backtrace::BacktraceStatus::Captured {
        let _ = writeln!(std::io::stderr(), "{}", without_build_paths(&way.to_string()));
    }
}

/// Writes a line to standard output, with a visible sign for each that a terminal would obey and not show. A reader that
/// has gone away ends the program quietly.
///
/// # Errors
/// When the output cannot be written, other than by a closed pipe.
fn say(line: impl AsRef<str>) -> Result<()> {
    say_as_is(&plain(line.as_ref()))
}

/// As [`say`], of text that a terminal obeys nothing of.
fn say_as_is(line: &str) -> Result<()> {
    match writeln!(std::io::stdout(), "{line}") {
        Ok(()) => Ok(()),
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(e) => Err(Error::from(e).context("writing to standard output")),
    }
}

/// The number of a flag, written as settings take theirs: `0,25` is 0.25.
///
/// # Errors
/// What was read, when it is no number or may be two.
fn decimal(text: &str) -> std::result::Result<f64, String> {
    number::read(text).map_err(|why| format!("read \"{text}\": {why}"))
}

/// As [`decimal`], of half the precision.
fn short_decimal(text: &str) -> std::result::Result<f32, String> {
    decimal(text).map(narrow)
}

/// Splits `a.b=c` into the setting and the text of its value.
///
/// # Errors
/// When there is no equals sign.
fn assignment(text: &str) -> Result<(&str, &str)> {
    let (name, value) = text.split_once('=').ok_or_else(|| {
        Error::new(
            Kind::Usage,
            format!("--set {text}: expected NAME=VALUE, for example --set train.seed=3"),
        )
    })?;
    Ok((name.trim(), value))
}
