//! One table of all commands, from which the menu, the palette, the shortcuts and the key list are made.

use egui::{Key, KeyboardShortcut};

use super::Command;
use super::keys::{ctrl, ctrl_shift, plain, shift, spell};
use crate::app::lab::Lab;
use crate::app::lab::analyses::READERS;
use crate::app::lab::panels::Panels;
use crate::run::experiment::{self, BUILTIN};
use crate::run::tour;

/// Where an action stands in the menu bar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Menu {
    File,
    Training,
    Experiments,
    Time,
    Look,
    Surgery,
    Compare,
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
        (Self::Compare, "Compare"),
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
    /// Another name that it is found by.
    pub also: &'static str,
    pub keys: Option<KeyboardShortcut>,
    pub enabled: fn(&Lab) -> bool,
}

/// The table. Panels of the registry and the experiments that come with the program follow the written rows.
pub fn table(panels: Panels) -> Vec<Entry> {
    let mut rows = ROWS.to_vec();
    for name in panels.names() {
        let (text, help) = (panels.title(name), panels.words(name).about);
        rows.push(row(Command::Show(name), Menu::Panels, text, help, name));
    }
    for (name, _) in BUILTIN {
        let [text, help] = experiment::heading(name);
        rows.push(row(Command::Start(name), Menu::Experiments, text, help, name));
    }
    for tour in tour::BUILTIN {
        rows.push(row(Command::Tour(tour.name), Menu::Help, tour.title, tour.about, tour.name));
    }
    rows
}

/// A row that can always be had, without a key.
fn row(
    command: Command,
    menu: Menu,
    text: &'static str,
    help: &'static str,
    also: &'static str,
) -> Entry {
    Entry { command, menu, text, help, also, keys: None, enabled: always }
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

fn begins(lab: &Lab) -> bool {
    lab.can_begin()
}

fn branches(lab: &Lab) -> bool {
    has_past(lab) && lab.can_begin()
}

fn looks_back(lab: &Lab) -> bool {
    lab.step.is_some()
}

fn has_long_answer(lab: &Lab) -> bool {
    !lab.analyses.analyzed.by_call.is_empty()
}

fn asks_long(lab: &Lab) -> bool {
    lab.analyses.is_busy()
}

fn has_readers(lab: &Lab) -> bool {
    lab.analyses.has_ended(READERS)
}

fn has_lessons(lab: &Lab) -> bool {
    lab.run().is_some_and(|run| !run.experiment.lessons.is_empty())
}

fn has_run(lab: &Lab) -> bool {
    lab.run().is_some()
}

fn reads_prompts(lab: &Lab) -> bool {
    lab.reads_prompts()
}

fn has_two_runs(lab: &Lab) -> bool {
    lab.runs.len() > 1
}

fn compares(lab: &Lab) -> bool {
    lab.comparison.is_on()
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
            also: "",
            keys: $keys,
            enabled: $enabled,
        },)*)*]
    };
}

const ROWS: &[Entry] = rows! {
    File {
        OpenRun "Open run or model…", "Open the folder of a recorded run, of a sweep, or of a network of another program (config.json and model.safetensors), beside the runs already here.", ctrl(Key::O), always;
        OpenExperiment "Open experiment…", "Read an experiment file and train it.", shift(Key::O), always;
        OpenLesson "Open lesson…", "Read a file of lessons, or an experiment with lessons, and show them as a tour.", None, always;
        OpenPrompts "Open prompts…", "Read a set of prompts for the network of another program in view: a text a line, or lines of JSON with answers and counterparts, which are the pairs of Patching.", None, reads_prompts;
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
        Restart "Restart", "Begin again from fresh weights, with the settings of the form. The run before stays.", ctrl(Key::R), begins;
        Branch "Branch from here", "A new run from the step in view, with the settings of the form. It begins paused, so that something can be frozen or cut first: Space trains it. Both runs stay.", plain(Key::B), branches;
        BranchAndGo "Branch and train", "The same, and it trains at once.", shift(Key::B), branches;
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
        Generate "Continue the text", "The network continues the sequence in view, token by token; once more: it stops.", plain(Key::G), has_run;
        AskAgain "Refresh the answer", "Ask the long question of a panel again, of the weights in view.", plain(Key::A), has_long_answer;
        CancelJob "Cancel the long question", "End the long question of a panel with what there is.", None, asks_long;
        KeepReaders "Keep probes", "Keep the probes and lenses that were fitted in the panel Probing in the folder of the run, or beside your own runs while another program writes it.", None, has_readers;
        Undo "Undo", "Take back what a hand did last: a text or a flip, a selection, an intervention, a setting of a panel or of the experiment, the layout.", ctrl(Key::Z), always;
        Redo "Redo", "Do again what was undone.", ctrl_shift(Key::Z), always;
        EditText "Edit the text", "Write the sequence yourself.", plain(Key::E), has_run;
    }
    Surgery {
        CutHead "Cut the head in focus", "Zero what the head in focus writes, or take that back: in training while it is live, at a step of the past in the view alone.", plain(Key::X), has_run;
        UndoIntervention "Undo last intervention", "Take back the newest intervention in force, whoever brought it there.", None, something_in_force;
        LiftAll "Lift all interventions", "Take back everything in force.", shift(Key::X), something_in_force;
    }
    Compare {
        Difference "Difference", "Show in all panels A minus B: what is in view minus what it is compared with. Where nobody chose that, it is the same step without what is in force, or the beginning of the run. Once more ends it.", plain(Key::V), has_past;
        SideBySide "Side by side", "Show A, what is in view, and B, what it is compared with, beside each other on the same scales. Once more ends it.", shift(Key::V), has_past;
        BothAndDifference "Both and the difference", "Show A, B and A minus B in each panel. Once more ends it.", None, has_past;
        CompareStep "Compare with this step", "Keep the step in view, as it is now, as B, and go on to another.", plain(Key::C), has_past;
        CompareHead "Compare with this head", "Keep the head in focus as B, and put another into focus.", None, has_past;
        CompareRun "Compare with the next run", "Take the next run of this window as B, at the same step. A run of the list can also be dragged onto another, or onto a panel.", None, has_two_runs;
        Pin "Pin the panel", "Keep what the panel in focus shows now beside it, while the rest moves on; once more takes it away.", shift(Key::P), has_past;
        StopComparing "Stop comparing", "Compare nothing any more, and take away all pins.", None, compares;
    }
    View {
        Theme "Dark or light", "Switch between the two colour schemes.", plain(Key::D), always;
        Larger "Larger", "Scale everything up.", ctrl(Key::Plus), always;
        Smaller "Smaller", "Scale everything down.", ctrl(Key::Minus), always;
        NormalSize "Normal size", "Scale back to 100 %.", ctrl(Key::Num0), always;
        Fonts "Font for other scripts…", "Choose a font file for characters that the program's own fonts lack, in the window and in figures; the export window goes back to those of the system.", None, always;
        Present "Present", "Show the text with its arcs, one picture, the accuracy and the timeline, large, for a hall; once more, or Escape, and all is as it was.", plain(Key::F11), always;
        NextPanel "Next panel", "Move the panel focus on: it is the one that is maximised, closed or saved by keys.", plain(Key::F6), always;
        PanelSettings "Settings of the panel", "Show or hide what the panel in focus shows and how.", plain(Key::S), always;
        Maximise "Maximise panel", "Give the whole window to the panel in focus, or put it back.", plain(Key::M), always;
        ClosePanel "Close panel", "Close the panel in focus; it can be reopened from the Panels menu.", ctrl(Key::W), always;
        ResetLayout "Reset layout", "Put all panels back where they were at first. No run is touched.", None, always;
    }
    Experiments {
        Gallery "Gallery of experiments…", "All experiments that come with the program, as cards: what each shows, its source, and how long it takes.", plain(Key::F2), always;
    }
    Help {
        Palette "Command palette…", "Find any action by a few letters of its name.", ctrl(Key::P), always;
        Keys "Keys and words", "All shortcuts, and a glossary in two vocabularies: working memory and transformers.", plain(Key::F1), always;
        TourOfRun "Tour of this experiment", "Show the lessons of the experiment in view.", None, has_lessons;
    }
};

/// The table of `docs/window.md`: every action with its key.
pub fn keys_markdown() -> String {
    let mut text = String::from("| action | key | what it does |\n|---|---|---|\n");
    for entry in ROWS {
        let keys = entry.keys.as_ref().map_or_else(String::new, |k| format!("`{}`", spell(k)));
        text += &format!("| {} | {keys} | {} |\n", entry.text.trim_end_matches('…'), entry.help);
    }
    text
}
