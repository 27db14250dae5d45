//! Settings as options of a command, made from their declaration.

use std::marker::PhantomData;

use clap::builder::{PossibleValuesParser, StyledStr};
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};

use crate::base::error::Result;
use crate::base::settings::{self, Settings, Slot, Spec};

/// Whose settings are options.
pub trait Asked: Clone + Send + Sync + 'static {
    /// These settings are options; none: all are.
    const ONLY: &'static [&'static str] = &[];
    /// With the values that hold where an option is not given.
    fn usual() -> Box<dyn Settings>;
}

/// What was given, setting by setting, in the order of the declaration.
#[derive(Clone)]
pub struct Options<A> {
    pub given: Vec<(&'static str, toml::Value)>,
    of: PhantomData<A>,
}

impl<A: Asked> Options<A> {
    /// Gives settings the values of the options.
    ///
    /// # Errors
    /// When a value does not suit its setting.
    pub fn set(&self, settings: &mut dyn Settings) -> Result<()> {
        self.given.iter().try_for_each(|(name, value)| settings::set(settings, "--", name, value))
    }
}

fn is_option<A: Asked>(name: &str) -> bool {
    A::ONLY.is_empty() || A::ONLY.contains(&name)
}

impl<A: Asked> Args for Options<A> {
    fn augment_args(command: Command) -> Command {
        let mut usual = A::usual();
        let all = settings::names(&mut *usual);
        let mut options = Vec::new();
        usual.each(&mut |spec, slot| {
            if is_option::<A>(spec.name) {
                options.push(related(option(spec, slot), spec.name, &all));
            }
        });
        command.args(options)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<A: Asked> FromArgMatches for Options<A> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut usual = A::usual();
        let names = settings::names(&mut *usual);
        let given = names.into_iter().filter(|name| is_option::<A>(name)).filter_map(|name| {
            let is_given = matches.value_source(name) == Some(ValueSource::CommandLine);
            let text = matches.get_one::<String>(name).filter(|_| is_given)?;
            Some((name, value(&mut *usual, name, text)))
        });
        Ok(Self { given: given.collect(), of: PhantomData })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// What the words of an option mean for a setting, as the setting has it; what does not suit is refused where it is used. A text is
/// taken as it stands, blanks at its ends too.
fn value(settings: &mut dyn Settings, name: &str, text: &str) -> toml::Value {
    let mut is_text = false;
    settings.each(&mut |spec, slot| {
        is_text |= spec.name == name && matches!(slot, Slot::Text(_));
    });
    if is_text {
        return text.into();
    }
    let read = settings::read(settings, name, text);
    let taken = settings::set(settings, "", name, &read).is_ok();
    settings::to_table(settings).remove(name).filter(|_| taken).unwrap_or(read)
}

/// `--all-pairs` of the setting `all_pairs`, also under its other names.
fn option(spec: &Spec, slot: Slot<'_>) -> Arg {
    let (value, usual) = match &slot {
        Slot::Bool(on) => ("true|false", on.to_string()),
        Slot::Int(n) => ("N", n.to_string()),
        Slot::Float(x) => ("X", x.to_string()),
        Slot::Choice(choice) => ("NAME", choice.names()[choice.index()].to_owned()),
        Slot::Text(text) => ("TEXT", (**text).clone()),
    };
    let arg = Arg::new(spec.name)
        .long(dashed(spec.name))
        .visible_aliases(spec.also.iter().map(|name| dashed(name)))
        .value_name(value)
        .help(help(spec, &usual));
    match slot {
        Slot::Bool(_) => arg.num_args(0..=1).require_equals(true).default_missing_value("true"),
        Slot::Int(_) | Slot::Float(_) => arg.allow_negative_numbers(true),
        Slot::Choice(choice) => arg.value_parser(PossibleValuesParser::new(choice.names())),
        Slot::Text(_) => arg,
    }
}

fn dashed(name: &str) -> String {
    name.replace('_', "-")
}

fn help(spec: &Spec, usual: &str) -> StyledStr {
    let usual = match usual {
        "" | "false" => String::new(),
        usual => format!(" [default: {usual}]"),
    };
    format!("{}{usual}", spec.help.trim_end_matches('.')).into()
}

/// What is said of a text of one's own goes with it, and pairs of the task do not.
fn related(arg: Arg, name: &str, all: &[&str]) -> Arg {
    const OWN: &str = "other";
    match name {
        _ if !all.contains(&OWN) => arg,
        "pair" | "pairs" => arg.conflicts_with(OWN),
        "at" | "answers" | "base" => arg.requires(OWN),
        _ => arg,
    }
}
