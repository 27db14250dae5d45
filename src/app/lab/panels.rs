//! Which panels a window has: those that draw a figure, and the forms.

use crate::panel::{self, PanelKind, Stack};

/// A panel that is a form and draws no figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Experiment,
    Surgery,
    Runs,
}

impl Form {
    pub const ALL: &'static [Self] = &[Self::Experiment, Self::Surgery, Self::Runs];

    /// Its name in layouts that are kept.
    pub fn name(self) -> &'static str {
        match self {
            Self::Experiment => "experiment",
            Self::Surgery => "surgery",
            Self::Runs => "runs",
        }
    }

    pub fn title(self) -> &'static str {
        match self {
            Self::Experiment => "Experiment",
            Self::Surgery => "Surgery",
            Self::Runs => "Runs",
        }
    }

    fn words(self) -> Words {
        match self {
            Self::Experiment => Words {
                about: "The experiment of the run in view: its task, its network, its training, and what happens when.",
                look_for: "Settings that say “needs a restart”: they wait for the next run. The others reach training at once.",
                click: "“Start with these settings” begins a new run; the runs that are here stay.",
            },
            Self::Surgery => Words {
                about: "What is changed in the network in view, and what that does to its answers.",
                look_for: "In-context accuracy with the change beside that without it: a part that matters makes it fall.",
                click: "A button brings a change into force: zero, cut, scale, patch, freeze. Undo takes it back; the weights of the step stay.",
            },
            Self::Runs => Words {
                about: "The runs that are recorded on this machine, and their trash.",
                look_for: "How much room the library takes, and which runs have a name of their own.",
                click: "A click opens a run beside those that are here. What is deleted goes to the trash and comes back by Undo.",
            },
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|form| form.name() == name)
    }
}

/// What is said of a panel to someone who sees it for the first time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Words {
    /// What it shows, in a sentence.
    pub about: &'static str,
    pub look_for: &'static str,
    /// What a click does.
    pub click: &'static str,
}

/// The panels of a window, the figures first: menu, palette, tabs, help and layouts walk it.
#[derive(Clone, Copy, Debug)]
pub struct Panels(pub &'static [PanelKind]);

impl Default for Panels {
    fn default() -> Self {
        Self(panel::ALL)
    }
}

impl Panels {
    /// The panel of a name that draws a figure, and so can be saved as one.
    pub fn figure(self, name: &str) -> Option<&'static PanelKind> {
        self.0.iter().find(|kind| kind.name == name)
    }

    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let forms = Form::ALL.iter().map(|form| form.name());
        self.0.iter().map(|kind| kind.name).chain(forms)
    }

    /// What stands on its tab.
    pub fn title(self, name: &str) -> &'static str {
        let form = || Form::named(name).map(Form::title);
        self.figure(name).map(|kind| kind.title).or_else(form).unwrap_or("Panel")
    }

    /// What is said of it on its tab.
    pub fn words(self, name: &str) -> Words {
        let form = || Form::named(name).map(Form::words);
        let figure = self.figure(name).map(|kind| Words {
            about: (kind.make)().about(),
            look_for: kind.look_for,
            click: kind.click,
        });
        figure.or_else(form).unwrap_or_default()
    }

    /// Names of the panels that lie in these stacks at first, as their tabs stand: in one stack as in the list, in
    /// several by their turn.
    pub fn in_stacks(self, stacks: &[Stack]) -> Vec<&'static str> {
        let forms = Form::ALL.iter().map(|form| (form.name(), Stack::LeftBelow, u8::MAX));
        let all = self.0.iter().map(|kind| (kind.name, kind.stack, kind.turn)).chain(forms);
        let mut found: Vec<_> = all.filter(|(_, stack, _)| stacks.contains(stack)).collect();
        if stacks.len() > 1 {
            found.sort_by_key(|(_, _, turn)| *turn);
        }
        found.into_iter().map(|(name, _, _)| name).collect()
    }
}
