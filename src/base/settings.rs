//! Settings, declared once: the declaration drives the form, the command line, the experiment file and the help.

use crate::base::convert;
use crate::base::error::{Error, Result, did_you_mean, did_you_mean_in};
use crate::base::number::Bounds;

/// One setting as the form, the command line and the file see it.
pub enum Slot<'a> {
    Bool(&'a mut bool),
    Int(&'a mut usize),
    Float(&'a mut f64),
    Choice(&'a mut dyn Choice),
    Text(&'a mut String),
}

/// An enumeration whose variants have names.
pub trait Choice {
    fn names(&self) -> &'static [&'static str];
    fn index(&self) -> usize;
    fn choose(&mut self, index: usize);
}

/// What is known of a setting besides its value.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    pub name: &'static str,
    /// Other names that it is known by.
    pub also: &'static [&'static str],
    /// What a form calls it; empty: its name.
    pub label: &'static str,
    /// One or two sentences for a person.
    pub help: &'static str,
    /// Smallest and largest value of a number (both allowed).
    pub range: Option<(f64, f64)>,
    /// A slider over this number moves on a logarithmic scale.
    pub log: bool,
    /// A change takes effect while the run goes on; others need a restart.
    pub live: bool,
}

impl Spec {
    pub fn is_called(&self, name: &str) -> bool {
        self.name == name || self.also.contains(&name)
    }

    /// What its number may be.
    pub fn bounds(&self, whole: bool) -> Bounds {
        let any = if whole { (0.0, f64::from(u32::MAX)) } else { (f64::MIN, f64::MAX) };
        let (low, high) = self.range.unwrap_or(any);
        Bounds { low, high, whole }
    }
}

/// Anything with settings.
pub trait Settings {
    /// One sentence: what this kind of thing is.
    fn about(&self) -> &'static str;
    /// Visits every setting in the order of its declaration.
    fn each(&mut self, visit: &mut dyn FnMut(&Spec, Slot<'_>));
}

/// A type that can be a setting, or holds several: settings that more than one thing has are declared as a struct of their own,
/// which is a field of each.
pub trait Setting {
    /// Visits it under what is known of it; one that holds several knows that of each itself.
    fn visit(&mut self, spec: &Spec, visit: &mut dyn FnMut(&Spec, Slot<'_>));
}

impl Setting for bool {
    fn visit(&mut self, spec: &Spec, visit: &mut dyn FnMut(&Spec, Slot<'_>)) {
        visit(spec, Slot::Bool(self));
    }
}

impl Setting for usize {
    fn visit(&mut self, spec: &Spec, visit: &mut dyn FnMut(&Spec, Slot<'_>)) {
        visit(spec, Slot::Int(self));
    }
}

impl Setting for f64 {
    fn visit(&mut self, spec: &Spec, visit: &mut dyn FnMut(&Spec, Slot<'_>)) {
        visit(spec, Slot::Float(self));
    }
}

impl Setting for String {
    fn visit(&mut self, spec: &Spec, visit: &mut dyn FnMut(&Spec, Slot<'_>)) {
        visit(spec, Slot::Text(self));
    }
}

/// Declares a struct of settings: its fields, their defaults, ranges and help, its `Default` and its [`Settings`].
///
/// ```
/// mnemoscope::settings! {
///     /// Rust documentation of the struct.
///     pub struct Example = "One sentence that says what it is." {
///         /// How many of them.
///         count: usize = 3, in 1..=10;
///         /// How far; `@log` gives a logarithmic slider, `@live` takes effect without a restart.
///         rate: f64 = 0.1, in 1e-6..=1.0, @log, @live;
///         /// Whether at all; what was written for `enabled` is meant for it, too, and a form calls it "is it on".
///         on: bool = true, also enabled, called "is it on";
///     }
/// }
/// ```
#[macro_export]
macro_rules! settings {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident = $about:literal {
            $(
                $(#[doc = $help:literal])+
                $field:ident : $type:ty = $default:expr $(, in $low:literal ..= $high:literal)? $(, also $also:ident)* $(, called $label:literal)? $(, @ $flag:ident)* ;
            )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        $vis struct $name {
            $( $(#[doc = $help])+ pub $field: $type, )*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: $default, )* }
            }
        }

        impl $crate::base::settings::Settings for $name {
            fn about(&self) -> &'static str {
                $about
            }

            fn each(
                &mut self,
                visit: &mut dyn FnMut(&$crate::base::settings::Spec, $crate::base::settings::Slot<'_>),
            ) {
                $(
                    $crate::base::settings::Setting::visit(
                        &mut self.$field,
                        &$crate::base::settings::Spec {
                            name: stringify!($field),
                            also: &[$(stringify!($also)),*],
                            label: concat!($($label)?),
                            help: concat!($($help),+).trim_ascii(),
                            range: $crate::settings!(@range $($low, $high)?),
                            log: false $(|| $crate::settings!(@log $flag))*,
                            live: false $(|| $crate::settings!(@live $flag))*,
                        },
                        visit,
                    );
                )*
                let _ = visit;
            }
        }

        impl $crate::base::settings::Setting for $name {
            fn visit(
                &mut self,
                _: &$crate::base::settings::Spec,
                visit: &mut dyn FnMut(&$crate::base::settings::Spec, $crate::base::settings::Slot<'_>),
            ) {
                $crate::base::settings::Settings::each(self, visit);
            }
        }
    };
    (@range) => { None };
    (@range $low:literal, $high:literal) => { Some((f64::from($low), f64::from($high))) };
    (@log log) => { true };
    (@log live) => { false };
    (@live live) => { true };
    (@live log) => { false };
}

/// Declares an enumeration of named choices that can be a setting.
///
/// ```
/// mnemoscope::choices! {
///     /// Rust documentation.
///     pub enum Shape { Round = "round", Square = "square" }
/// }
/// ```
#[macro_export]
macro_rules! choices {
    (
        $(#[$meta:meta])*
        $vis:vis enum $name:ident { $( $(#[$vmeta:meta])* $variant:ident = $text:literal ),+ $(,)? }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        $vis enum $name { $( $(#[$vmeta])* $variant ),+ }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];
            pub const NAMES: &'static [&'static str] = &[$($text),+];

            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl $crate::base::settings::Choice for $name {
            fn names(&self) -> &'static [&'static str] {
                Self::NAMES
            }

            fn index(&self) -> usize {
                Self::ALL.iter().position(|v| v == self).unwrap_or(0)
            }

            fn choose(&mut self, index: usize) {
                if let Some(v) = Self::ALL.get(index) {
                    *self = *v;
                }
            }
        }

        impl $crate::base::settings::Setting for $name {
            fn visit(
                &mut self,
                spec: &$crate::base::settings::Spec,
                visit: &mut dyn FnMut(&$crate::base::settings::Spec, $crate::base::settings::Slot<'_>),
            ) {
                visit(spec, $crate::base::settings::Slot::Choice(self));
            }
        }
    };
}

/// Names of all settings, in order.
pub fn names(settings: &mut dyn Settings) -> Vec<&'static str> {
    let mut names = Vec::new();
    settings.each(&mut |spec, _| names.push(spec.name));
    names
}

/// The value of every setting as TOML, in order.
pub fn to_table(settings: &mut dyn Settings) -> toml::Table {
    let mut table = toml::Table::new();
    settings.each(&mut |spec, slot| {
        let value = match slot {
            Slot::Bool(v) => toml::Value::Boolean(*v),
            Slot::Int(v) => toml::Value::Integer(i64::try_from(*v).unwrap_or(i64::MAX)),
            Slot::Float(v) => toml::Value::Float(*v),
            Slot::Choice(v) => toml::Value::String(v.names()[v.index()].to_owned()),
            Slot::Text(v) => toml::Value::String(v.clone()),
        };
        table.insert(spec.name.to_owned(), value);
    });
    table
}

/// Gives one setting a value. `path` is what stands before the name in messages, e.g. `task.`.
///
/// # Errors
/// When there is no such setting (with the nearest names), or the value has the wrong type or is out of
/// range. Nothing has changed then.
pub fn set(settings: &mut dyn Settings, path: &str, name: &str, value: &toml::Value) -> Result<()> {
    let mut is_known = false;
    settings.each(&mut |spec, _| is_known |= spec.is_called(name));
    if !is_known {
        let known = names(settings);
        return Err(Error::usage(format!(
            "there is no setting \"{path}{name}\".{} Known: {}.",
            did_you_mean_in(path, name, known.iter().copied()),
            known.iter().map(|k| format!("{path}{k}")).collect::<Vec<_>>().join(", ")
        )));
    }
    let mut outcome = Ok(());
    settings.each(&mut |spec, slot| {
        if spec.is_called(name) {
            outcome = assign(spec, slot, value)
                .map_err(|e| Error::usage(format!("setting {path}{name}: {e}")));
        }
    });
    outcome
}

/// A number, or text that a person meant as one.
fn number(bounds: Bounds, value: &toml::Value) -> Result<f64, String> {
    if let toml::Value::String(text) = value {
        return bounds.read(text);
    }
    let number = value.as_float().or_else(|| value.as_integer().map(|i| i as f64));
    let within = number.filter(|x| bounds.takes(*x));
    within.ok_or_else(|| format!("read {value}, expected {bounds}"))
}

fn assign(spec: &Spec, slot: Slot<'_>, value: &toml::Value) -> Result<(), String> {
    let expected = |what: &str| Err(format!("read {value}, expected {what}"));
    match slot {
        Slot::Bool(v) => match value.as_bool() {
            Some(new) => *v = new,
            None => return expected("true or false"),
        },
        Slot::Int(v) => *v = convert::index(number(spec.bounds(true), value)?),
        Slot::Float(v) => *v = number(spec.bounds(false), value)?,
        Slot::Choice(v) => {
            let names = v.names();
            match value.as_str().and_then(|s| names.iter().position(|n| *n == s)) {
                Some(index) => v.choose(index),
                None => {
                    let near = did_you_mean(value.as_str().unwrap_or(""), names.iter().copied());
                    return expected(&format!("one of {}.{near}", names.join(", ")));
                }
            }
        }
        Slot::Text(v) => match value.as_str() {
            Some(new) => new.clone_into(v),
            None => return expected("text in quotes"),
        },
    }
    Ok(())
}

/// A whole number, however it is written: `10`, `10.0` and `1e1` are the same one.
fn as_whole(value: &toml::Value) -> Option<i64> {
    /// From here on a float stands for several whole numbers.
    const MOST: f64 = 9_007_199_254_740_992.0;
    let whole = |x: &f64| x.fract() == 0.0 && x.abs() < MOST;
    let of_float = || value.as_float().filter(whole).map(convert::whole);
    value.as_integer().or_else(of_float)
}

/// Whether two values mean the same: a number may be written with a point or without.
pub fn same(a: &toml::Value, b: &toml::Value) -> bool {
    let number = |v: &toml::Value| v.as_float().or_else(|| v.as_integer().map(|i| i as f64));
    match (number(a), number(b)) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}

/// What the text after a `--set name=` means for the setting of that name: text is text, also where it looks like a number
/// (a file may be called `123`), and everything else is what [`parse_value`] reads.
pub fn read(settings: &mut dyn Settings, name: &str, text: &str) -> toml::Value {
    let mut value = parse_value(text);
    settings.each(&mut |spec, slot| match slot {
        Slot::Text(_) if spec.is_called(name) => value = unquoted(text).into(),
        Slot::Int(_) if spec.is_called(name) => {
            if let Some(whole) = as_whole(&value) {
                value = whole.into();
            }
        }
        Slot::Bool(_) | Slot::Int(_) | Slot::Float(_) | Slot::Choice(_) | Slot::Text(_) => {}
    });
    value
}

/// Text without the blanks and the quotes around it.
pub fn unquoted(text: &str) -> &str {
    let text = text.trim();
    text.strip_prefix('"').and_then(|t| t.strip_suffix('"')).unwrap_or(text)
}

/// Reads the value of a `--set name=value` as TOML; what is no number, truth value or quoted text is text.
pub fn parse_value(text: &str) -> toml::Value {
    let text = text.trim();
    match text {
        "true" => return toml::Value::Boolean(true),
        "false" => return toml::Value::Boolean(false),
        _ => {}
    }
    if let Ok(i) = text.parse::<i64>() {
        return toml::Value::Integer(i);
    }
    if let Ok(f) = text.parse::<f64>() {
        return toml::Value::Float(f);
    }
    toml::Value::String(unquoted(text).to_owned())
}

/// Gives settings the values of a table; the others keep theirs.
///
/// # Errors
/// The first that [`set`] refuses.
pub fn set_all(settings: &mut dyn Settings, path: &str, table: &toml::Table) -> Result<()> {
    for (name, value) in table {
        set(settings, path, name, value)?;
    }
    Ok(())
}

/// `whole number from 1 to 10`, for help and messages.
pub fn range_text(spec: &Spec, what: &str) -> String {
    spec.range.map_or_else(|| what.to_owned(), |(low, high)| format!("{what} from {low} to {high}"))
}
