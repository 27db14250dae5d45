//! Everything a hand can do: one table from which the menu, the palette, the shortcuts and the key list are made.

use egui::{Key, KeyboardShortcut, Modifiers};

use crate::figure::Pick;
use crate::record::intervention::Intervention;
use crate::run::experiment::BUILTIN;

use super::panes::gating::Change;
use super::panes::{Panels, readers};
use super::state::Lab;
use super::studio::Wish;

/// What was done in a frame; carried out after it, so that drawing changes nothing.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    Do(Command),
    /// Something in a picture was clicked; with Shift, it is the key position that is meant.
    Pick {
        pick: Pick,
        shift: bool,
    },
    /// Look at this step; `None`: at the newest.
    View(Option<u64>),
    /// Let training go on, or hold it. What the button said when it was clicked counts.
    Go(bool),
    /// Show this run in all panels.
    Choose(usize),
    /// Choose the file that a setting of the task names.
    ChooseFile(&'static str),
    Intervene(Intervention),
    Lift(Intervention),
    /// Bring these interventions into force, and no others.
    Operate(Vec<Intervention>),
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
    /// Say something else in the selected tuple.
    Retell(Change),
    OpenRun(std::path::PathBuf),
    /// Read a sweep again: what its runs have recorded since.
    ReadSweep(std::path::PathBuf),
    /// Move these runs of the library to its trash.
    DiscardRuns(Vec<std::path::PathBuf>),
    /// Bring these back, which lie in the trash.
    RestoreRuns(Vec<std::path::PathBuf>),
    EmptyTrash,
    NameRun(std::path::PathBuf, String),
    SaveFigure(String),
    /// Choose the page of a panel's figure and what becomes of it.
    Export(String),
    /// Put a panel as it is now on the figure sheet.
    AddToSheet(String),
    /// Put a panel's figure on the clipboard.
    Copy(String, Wish),
    Maximise(String),
    /// Show or hide the settings of a panel.
    Settings(String),
    Close(String),
    Dismiss(usize),
    DismissAll,
}

/// Actions without an object: rows of [`table`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    RunPause,
    SingleStep,
    Restart,
    Branch,
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
    DrawSequence,
    EditText,
    AskAgain,
    CancelJob,
    KeepReaders,
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
    Keys,
    Tour,
    Theme,
    Larger,
    Smaller,
    NormalSize,
    Fonts,
    Maximise,
    ClosePanel,
    NextPanel,
    PanelSettings,
    ResetLayout,
    UndoLayout,
    Quit,
    /// Bring a panel to the front, by its name.
    Show(&'static str),
    /// Train an experiment that comes with the program, by its name.
    Start(&'static str),
}

/// Where an action stands in the menu bar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Menu {
    File,
    Training,
    Experiments,
    Time,
    Look,
    Surgery,
    View,
    Panels,
    Help,
}

impl Menu {
    pub const ALL: &'static [(Self, &'static str)] = &[
        (Self::File, "File"),
        (Self::Training, "Training"),
        (Self::Experiments, "Experiments"),
        (Self::Time, "Time"),
        (Self::Look, "Selection"),
        (Self::Surgery, "Intervene"),
        (Self::View, "View"),
        (Self::Panels, "Panels"),
        (Self::Help, "Help"),
    ];
}

/// One row of the table.
#[derive(Clone, Copy)]
pub struct Entry {
    pub command: Command,
    pub menu: Menu,
    pub text: &'static str,
    pub help: &'static str,
    pub keys: Option<KeyboardShortcut>,
    pub enabled: fn(&Lab) -> bool,
}

/// The table. Panels of the registry and the experiments that come with the program follow the written rows.
pub fn table(panels: Panels) -> Vec<Entry> {
    let mut rows = ROWS.to_vec();
    for name in panels.names() {
        rows.push(Entry {
            command: Command::Show(name),
            menu: Menu::Panels,
            text: panels.title(name),
            help: "Bring this panel to the front, reopening it if it was closed.",
            keys: None,
            enabled: always,
        });
    }
    for (name, _) in BUILTIN {
        rows.push(Entry {
            command: Command::Start(name),
            menu: Menu::Experiments,
            text: name,
            help: "Train this experiment as a new run. The runs that are here stay.",
            keys: None,
            enabled: always,
        });
    }
    rows
}

const fn plain(key: Key) -> Option<KeyboardShortcut> {
    Some(KeyboardShortcut::new(Modifiers::NONE, key))
}

const fn ctrl(key: Key) -> Option<KeyboardShortcut> {
    Some(KeyboardShortcut::new(Modifiers::COMMAND, key))
}

const fn shift(key: Key) -> Option<KeyboardShortcut> {
    Some(KeyboardShortcut::new(Modifiers::SHIFT, key))
}

const fn ctrl_shift(key: Key) -> Option<KeyboardShortcut> {
    Some(KeyboardShortcut::new(Modifiers::COMMAND.plus(Modifiers::SHIFT), key))
}

fn always(_: &Lab) -> bool {
    true
}

fn trains(lab: &Lab) -> bool {
    lab.can_train()
}

fn has_past(lab: &Lab) -> bool {
    lab.run().is_some_and(|run| !run.recording.recorded.is_empty())
}

fn looks_back(lab: &Lab) -> bool {
    lab.step.is_some()
}

fn has_long_answer(lab: &Lab) -> bool {
    !lab.jobs.inquired.by_call.is_empty()
}

fn asks_long(lab: &Lab) -> bool {
    lab.jobs.is_busy()
}

fn has_readers(lab: &Lab) -> bool {
    lab.jobs.has_ended(readers::INQUIRY)
}

fn has_run(lab: &Lab) -> bool {
    lab.run().is_some()
}

fn something_in_force(lab: &Lab) -> bool {
    !lab.in_force().is_empty()
}

macro_rules! rows {
    ($($menu:ident { $($command:ident $text:literal, $help:literal, $keys:expr, $enabled:expr;)* })*) => {
        &[$($(Entry {
            command: Command::$command,
            menu: Menu::$menu,
            text: $text,
            help: $help,
            keys: $keys,
            enabled: $enabled,
        },)*)*]
    };
}

const ROWS: &[Entry] = rows! {
    File {
        OpenRun "Open run…", "Open the folder of a recorded run, or of a sweep, beside the runs already here.", ctrl(Key::O), always;
        OpenExperiment "Open experiment…", "Read an experiment file and train it.", shift(Key::O), always;
        SaveExperiment "Save experiment…", "Write the experiment of this run, as set in the form, to a file.", shift(Key::S), has_run;
        SaveFigure "Save figure…", "Save the picture of the panel last clicked as SVG, PDF, PNG or CSV.", ctrl(Key::S), has_run;
        ExportFigure "Export figure…", "Choose the page of the panel last clicked: size, venue, font, colours; then save or copy it.", ctrl(Key::E), has_run;
        AddToSheet "Add to figure sheet", "Put the panel last clicked, as it is now, on a page of several.", ctrl_shift(Key::A), has_run;
        FigureSheet "Figure sheet…", "The page of several panels: arrange, preview, save it.", None, has_run;
        ExportWeights "Export weights…", "Write the weights of the step in view for TransformerLens, for Hugging Face or as plain tensors.", ctrl_shift(Key::E), has_run;
        Quit "Quit", "Save everything and close the window.", ctrl(Key::Q), always;
    }
    Training {
        RunPause "Run or pause", "Let training go on, or hold it where it is.", plain(Key::Space), trains;
        SingleStep "One step", "Train exactly one step, then pause.", plain(Key::Period), trains;
        Restart "Restart", "Begin again from fresh weights, with the settings of the form. The run before stays.", ctrl(Key::R), has_run;
        Branch "Branch from here", "Continue training from the step in view as a new run, with the settings of the form. Both runs stay.", plain(Key::B), has_past;
        CloseRun "Close run", "Take the run in view out of the window. Its recording stays on the disk.", ctrl_shift(Key::W), has_run;
        NextRun "Next run", "Show the next run of this window in all panels.", ctrl(Key::PageDown), has_run;
        PreviousRun "Previous run", "Show the run before in all panels.", ctrl(Key::PageUp), has_run;
        Faster "Faster", "Let training take more steps a second.", None, has_run;
        Slower "Slower", "Let training take fewer steps a second.", None, has_run;
    }
    Time {
        Live "Back to live", "Show the newest weights again.", plain(Key::L), looks_back;
        PreviousStep "Previous recorded step", "Look one recorded step further back.", ctrl(Key::ArrowLeft), has_past;
        NextStep "Next recorded step", "Look one recorded step further on.", ctrl(Key::ArrowRight), looks_back;
        FirstStep "First recorded step", "Look at the beginning.", plain(Key::Home), has_past;
        Play "Play back", "Walk through the recorded steps from the one in view, or hold.", plain(Key::P), has_past;
    }
    Look {
        NextToken "Next token", "Select the position to the right as the query.", plain(Key::ArrowRight), has_run;
        PreviousToken "Previous token", "Select the position to the left as the query.", plain(Key::ArrowLeft), has_run;
        NextKey "Next key token", "Select the position to the right as the key.", shift(Key::ArrowRight), has_run;
        PreviousKey "Previous key token", "Select the position to the left as the key.", shift(Key::ArrowLeft), has_run;
        ClearSelection "Clear selection", "Select no position.", plain(Key::Escape), has_run;
        NextHead "Next head", "Put the next attention head into focus.", plain(Key::CloseBracket), has_run;
        PreviousHead "Previous head", "Put the attention head before into focus.", plain(Key::OpenBracket), has_run;
        DrawSequence "Draw another sequence", "Ask all panels about another held-out sequence.", plain(Key::N), has_run;
        AskAgain "Ask again", "Ask the long question of a panel again, of the weights in view.", plain(Key::A), has_long_answer;
        CancelJob "Cancel the long question", "End the long question of a panel with what there is.", None, asks_long;
        KeepReaders "Keep readers", "Keep the readers that were fitted in the Readers panel in the folder of the run.", None, has_readers;
        EditText "Edit the text", "Write the sequence yourself.", plain(Key::E), has_run;
    }
    Surgery {
        CutHead "Cut the head in focus", "Zero what the head in focus writes, or take that back.", plain(Key::X), has_run;
        UndoIntervention "Undo last intervention", "Take back the newest intervention in force.", ctrl(Key::Z), something_in_force;
        LiftAll "Lift all interventions", "Take back everything in force.", shift(Key::X), something_in_force;
    }
    View {
        Theme "Dark or light", "Switch between the two colour schemes.", plain(Key::D), always;
        Larger "Larger", "Scale everything up.", ctrl(Key::Plus), always;
        Smaller "Smaller", "Scale everything down.", ctrl(Key::Minus), always;
        NormalSize "Normal size", "Scale back to 100 %.", ctrl(Key::Num0), always;
        Fonts "Font for other scripts…", "Choose a font file for characters that the program's own fonts lack, in the window and in figures; the export window goes back to those of the system.", None, always;
        NextPanel "Next panel", "Move the panel focus on: it is the one that is maximised, closed or saved by keys.", plain(Key::F6), always;
        PanelSettings "Settings of the panel", "Show or hide what the panel in focus shows and how.", plain(Key::S), always;
        Maximise "Maximise panel", "Give the whole window to the panel in focus, or put it back.", plain(Key::M), always;
        ClosePanel "Close panel", "Close the panel in focus; it can be reopened from the Panels menu.", ctrl(Key::W), always;
        UndoLayout "Undo layout", "Take back the last change of the layout, a reset too.", ctrl_shift(Key::Z), always;
        ResetLayout "Reset layout", "Put all panels back where they were at first. No run is touched.", None, always;
    }
    Help {
        Palette "Command palette…", "Find any action by a few letters of its name.", ctrl(Key::P), always;
        Tour "Guided tour", "Five steps from what a register is to the memory that fails when its gate is cut.", None, always;
        Keys "Keys", "List all shortcuts.", plain(Key::F1), always;
    }
};

/// A shortcut as it is printed on keyboards: `Ctrl+P`.
pub fn spell(keys: &KeyboardShortcut) -> String {
    let m = keys.modifiers;
    let parts = [(m.command || m.ctrl, "Ctrl"), (m.shift, "Shift"), (m.alt, "Alt")];
    let mut text = String::new();
    for (_, name) in parts.iter().filter(|(held, _)| *held) {
        text.push_str(name);
        text.push('+');
    }
    text + match keys.logical_key {
        Key::ArrowLeft => "←",
        Key::ArrowRight => "→",
        Key::OpenBracket => "[",
        Key::CloseBracket => "]",
        Key::Period => ".",
        Key::Plus => "+",
        Key::Minus => "-",
        Key::Escape => "Esc",
        key => key.name(),
    }
}

/// The table of `docs/window.md`: every action with its key.
pub fn keys_markdown() -> String {
    let mut text = String::from("| action | key | what it does |\n|---|---|---|\n");
    for entry in ROWS {
        let keys = entry.keys.as_ref().map_or_else(String::new, |k| format!("`{}`", spell(k)));
        text += &format!("| {} | {keys} | {} |\n", entry.text.trim_end_matches('…'), entry.help);
    }
    text
}

/// The commands whose keys were pressed; takes those keys out of the input, but for Escape where something that is open
/// waits for it.
pub fn pressed(ctx: &egui::Context, lab: &Lab, escape_is_taken: bool) -> Vec<Command> {
    // While someone types, or a widget has the keyboard, only chords and function keys are commands. A focused
    // figure leaves the plain keys to us.
    let focused = ctx.memory(egui::Memory::focused);
    let figure = ctx.data(|d| d.get_temp::<egui::Id>(super::figure_focus()));
    let typing = ctx.text_edit_focused() || (focused.is_some() && focused != figure);
    let mut commands = Vec::new();
    for entry in table(lab.panels) {
        let Some(keys) = entry.keys else { continue };
        if escape_is_taken && keys.logical_key == Key::Escape {
            continue;
        }
        let function = matches!(keys.logical_key, Key::F1 | Key::F6);
        let chord = keys.modifiers.command || function;
        let free = !typing || (chord && !edits_text(keys.logical_key));
        if free && (entry.enabled)(lab) && ctx.input_mut(|input| take(input, &keys)) {
            commands.push(entry.command);
        }
    }
    commands
}

/// Whether exactly this chord was pressed: Shift+X is not X. Which keys need Shift for a plus differs.
fn take(input: &mut egui::InputState, keys: &KeyboardShortcut) -> bool {
    let mut found = false;
    input.events.retain(|event| {
        let egui::Event::Key { key, modifiers, pressed: true, .. } = event else { return true };
        let hit = *key == keys.logical_key
            && modifiers.matches_logically(keys.modifiers)
            && (modifiers.shift == keys.modifiers.shift || *key == Key::Plus)
            && modifiers.alt == keys.modifiers.alt;
        found |= hit;
        !hit
    });
    found
}

/// Keys that a text field needs together with Ctrl.
fn edits_text(key: Key) -> bool {
    matches!(key, Key::Z | Key::ArrowLeft | Key::ArrowRight)
}
