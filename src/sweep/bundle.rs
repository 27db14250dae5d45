//! Several settings under one name, so that a sweep can try whole networks and whole tasks.

use toml::{Table, Value};

use crate::base::convert::whole;
use crate::base::error::{Error, Result};

/// A setting of a sweep that is no path: what each of its values stands for.
#[derive(Clone, Debug, PartialEq)]
pub struct Bundle {
    pub name: String,
    /// Names, and the settings (`model.kind`) that each gives values to.
    pub choices: Vec<(String, Table)>,
}

impl Bundle {
    /// All of a section `[bundles]`.
    ///
    /// # Errors
    /// When it is something else: a sentence.
    pub fn all(section: Option<&Value>) -> Result<Vec<Self>, String> {
        let Some(section) = section else { return Ok(Vec::new()) };
        let expected = "expected [bundles.NAME.CHOICE] with settings, as in [bundles.model.gru.model] kind = \"recurrent\"";
        let bundles = section.as_table().ok_or(expected)?;
        let bundle = |(name, choices): (&String, &Value)| {
            let choices = choices.as_table().ok_or(expected)?;
            let choice = |(name, settings): (&String, &Value)| {
                let settings = settings.as_table().ok_or(expected)?;
                Ok((name.clone(), flat(settings)))
            };
            let choices = choices.iter().map(choice).collect::<Result<_, String>>()?;
            Ok(Self { name: name.clone(), choices })
        };
        bundles.iter().map(bundle).collect()
    }

    /// The settings of a choice.
    pub fn settings(&self, choice: &Value) -> Option<&Table> {
        let found = self.choices.iter().find(|(name, _)| Some(name.as_str()) == choice.as_str());
        found.map(|(_, settings)| settings)
    }

    /// Names of the choices, as values of a setting.
    pub fn names(&self) -> Vec<Value> {
        self.choices.iter().map(|(name, _)| Value::from(name.as_str())).collect()
    }

    /// The section of one bundle.
    pub fn to_table(&self) -> Table {
        let choice =
            |(name, settings): &(String, Table)| (name.clone(), Value::Table(settings.clone()));
        self.choices.iter().map(choice).collect()
    }

    /// The same with each number of steps at a share of it.
    pub fn quicker(&self, share: f64) -> Self {
        let choice = |(name, settings): &(String, Table)| {
            let mut settings = settings.clone();
            settings.get_mut("train.steps").into_iter().for_each(|steps| shorten(steps, share));
            (name.clone(), settings)
        };
        Self { name: self.name.clone(), choices: self.choices.iter().map(choice).collect() }
    }

    /// That each value of its setting is one of its choices.
    ///
    /// # Errors
    /// The sentence that names the other.
    pub fn check(&self, values: &[Value]) -> Result<()> {
        match values.iter().find(|value| self.settings(value).is_none()) {
            None => Ok(()),
            Some(value) => Err(Error::usage(format!(
                "{} is to be {value}, and [bundles.{}] has no such choice; it has {}",
                self.name,
                self.name,
                self.choices.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
            ))),
        }
    }
}

/// A share of a number of steps, at least one.
pub fn shorten(steps: &mut Value, share: f64) {
    if let Some(all) = steps.as_integer() {
        *steps = Value::Integer(whole((all as f64 * share).round()).max(1));
    }
}

/// Settings by their paths, whether a document has them as `"model.kind"` or in a section `[model]`. Kinds come first: they bring
/// the defaults of the others.
fn flat(settings: &Table) -> Table {
    let mut all = Vec::new();
    for (name, value) in settings {
        match value.as_table() {
            Some(section) => {
                let inner = section.iter();
                all.extend(inner.map(|(inner, value)| (format!("{name}.{inner}"), value.clone())));
            }
            None => all.push((name.clone(), value.clone())),
        }
    }
    all.sort_by_key(|(name, _)| !name.ends_with(".kind"));
    all.into_iter().collect()
}
