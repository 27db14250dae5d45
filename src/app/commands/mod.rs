//! Everything a hand can do, as data: carried out after the frame in which it was done.

mod keys;
mod table;

use std::path::PathBuf;

use crate::base::intervention::Intervention;
use crate::figure::Pick;
use crate::formats::tokenizer::Begin;
use crate::panel::compare::Showing;

use super::lab::compared::Subject;
use super::lab::tuple_edit::TupleEdit;

pub use keys::spell;
pub use table::{Entry, Menu, keys_markdown, table};

/// What was done in a frame; carried out after it, so that drawing changes nothing.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    Do(Command),
    /// Something in a picture was clicked; with Shift, it is the key position that is meant.
    Pick {
        pick: Pick,
        shift: bool,
    },
    /// Move the positions in view by so many.
    Scroll(i64),
    /// Begin the positions in view with this one.
    ScrollTo(usize),
    /// Look at this step; `None`: at the newest.
    View(Option<u64>),
    /// Let training go on, or hold it. What the button said when it was clicked counts.
    Go(bool),
    /// Show this run in all panels.
    Choose(usize),
    /// Choose the file that a setting of the task names.
    ChooseFile(&'static str),
    /// Bring a held-out sequence into view, by its number.
    Sequence(u64),
    Intervene(Intervention),
    Lift(Intervention),
    /// Bring these interventions into force, and no others.
    Operate(Vec<Intervention>),
    /// Compare what is in view with this, or with nothing.
    Compare(Option<Subject>),
    ShowCompared(Showing),
    /// Compare a run with another: bring the first into view, which may be the one that is.
    CompareRuns {
        a: Option<PathBuf>,
        b: PathBuf,
    },
    /// Keep what a panel shows beside it, or take that away.
    Pin(String),
    /// A live setting of training.
    Set {
        name: String,
        value: toml::Value,
    },
    Speed(Option<f64>),
    /// Steps per second of playing back.
    PlaybackSpeed(f64),
    /// Begin a run of the experiment in the form.
    Start,
    /// Ask about this text instead.
    Text(String),
    /// What begins a text (BOS).
    Begin(Begin),
    /// Say something else in the selected tuple.
    EditTuple(TupleEdit),
    OpenRun(PathBuf),
    OpenPrompts(PathBuf),
    /// A file or a folder was dropped on the window.
    OpenDropped(PathBuf),
    /// Read a sweep again: what its runs have recorded since.
    ReadSweep(PathBuf),
    /// Move these runs of the library to its trash.
    DiscardRuns(Vec<PathBuf>),
    /// Bring these back, which lie in the trash.
    RestoreRuns(Vec<PathBuf>),
    EmptyTrash,
    /// Take something off the list of what was opened lately.
    Forget(PathBuf),
    NameRun(PathBuf, String),
    SaveFigure(String),
    /// Choose the page of a panel's figure and what becomes of it.
    Export(String),
    /// Put a panel as it is now on the figure sheet.
    AddToSheet(String),
    /// Put a panel's figure on the clipboard.
    Copy(String, CopyAs),
    /// The chip of the first launch was put away.
    Greeted,
    Maximise(String),
    /// Show or hide the settings of a panel.
    Settings(String),
    Close(String),
    Dismiss(usize),
    DismissAll,
}

/// Actions without an object: rows of [`table()`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    RunPause,
    SingleStep,
    Restart,
    Branch,
    BranchAndGo,
    CloseRun,
    NextRun,
    PreviousRun,
    Faster,
    Slower,
    Live,
    PreviousStep,
    NextStep,
    FirstStep,
    Play,
    NextToken,
    PreviousToken,
    NextKey,
    PreviousKey,
    ClearSelection,
    NextHead,
    PreviousHead,
    Difference,
    SideBySide,
    BothAndDifference,
    CompareStep,
    CompareHead,
    CompareRun,
    Pin,
    StopComparing,
    DrawSequence,
    EditText,
    /// The network continues the text in view, or stops.
    Generate,
    AskAgain,
    CancelJob,
    KeepReaders,
    Undo,
    Redo,
    CutHead,
    UndoIntervention,
    LiftAll,
    OpenRun,
    OpenExperiment,
    SaveFigure,
    ExportFigure,
    AddToSheet,
    FigureSheet,
    ExportWeights,
    SaveExperiment,
    Palette,
    /// Cards of the experiments that come with the program.
    Gallery,
    Keys,
    OpenLesson,
    OpenPrompts,
    /// The tour of the experiment in view.
    TourOfRun,
    Theme,
    Larger,
    Smaller,
    NormalSize,
    Fonts,
    Present,
    Maximise,
    ClosePanel,
    NextPanel,
    PanelSettings,
    ResetLayout,
    Quit,
    /// Bring a panel to the front, by its name.
    Show(&'static str),
    /// Train an experiment that comes with the program, by its name.
    Start(&'static str),
    /// A tour that comes with the program, by its name.
    Tour(&'static str),
}

/// What is to be done with a figure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExportCommand {
    /// Ask for a path and write it there.
    Save,
    /// Put it on the clipboard.
    Copy(CopyAs),
    /// Write the sheet alone, as TOML.
    SaveSheet,
    /// Ask for a font for the signs that our own lack, or go back to those of the system.
    ChooseFont,
    SystemFonts,
    /// Put a sheet that comes with the program in place of this one.
    Builtin(&'static str),
    /// Put the sheet of a file in place of this one.
    OpenSheet,
}

/// As what a figure goes on the clipboard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyAs {
    Image,
    /// Text.
    Svg,
    /// The numbers drawn, as CSV.
    Numbers,
}
