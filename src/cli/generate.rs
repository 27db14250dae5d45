//! `mnemoscope generate`: a text goes on as a network would write it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use crate::base::analysis::Generating;
use crate::base::convert;
use crate::base::error::{Error, Result};
use crate::base::plain::Plain;
use crate::base::question::{MeasurementCall, Reading};
use crate::base::quoting;
use crate::base::settings::Settings;
use crate::export::run_at::RunAt;
use crate::figure::file::save;
use crate::formats::file::check_free;
use crate::run::job::analysis_of;

use super::bar::Bar;
use super::options::{self, Options};
use super::run_at::Asked;
use super::{say, say_as_is};

/// What the options of the command are made of.
#[derive(Clone)]
pub struct How;

impl options::Asked for How {
    fn usual() -> Box<dyn Settings> {
        Box::new(Generating::default())
    }
}

#[derive(Args)]
pub struct Generate {
    #[command(flatten)]
    asked: Asked,
    #[command(flatten)]
    options: Options<How>,
    /// Write tokens and probabilities to a .json file, too
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Replace the file if it exists
    #[arg(long)]
    force: bool,
    /// Write everything as one JSON document to standard output
    #[arg(long, conflicts_with = "out")]
    json: bool,
}

impl Generate {
    pub fn run(self) -> Result<ExitCode> {
        if let Some(path) = &self.out {
            check_free(path, self.force)?;
        }
        let mut run = self.asked.open()?;
        let (reading, whole) = self.written(&mut run)?;
        let told = self.told(&run, &reading)?;
        if self.json {
            say_as_is(&format!("{told:#}"))?;
        } else {
            summary(&run, &reading, &self.settings()?)?;
        }
        if let Some(path) = &self.out {
            save(path, format!("{told:#}\n").as_bytes(), self.force)?;
        }
        Ok(if whole { ExitCode::SUCCESS } else { ExitCode::from(130) })
    }

    fn settings(&self) -> Result<Generating> {
        let mut settings = Generating::default();
        self.options.set(&mut settings)?;
        Ok(settings)
    }

    fn call(&self) -> MeasurementCall {
        let given = self.options.given.iter();
        let call = MeasurementCall::new("generation");
        given.fold(call, |call, (name, value)| call.with(name, value.clone()))
    }

    /// What was written, under a progress bar; false where Ctrl-C ended it before the end.
    fn written(&self, run: &mut RunAt) -> Result<(Reading, bool)> {
        let analysis = analysis_of(&self.call())?;
        let mut bar = Bar::begin("tokens")?;
        let mut tell =
            |done: usize, total: usize, _: &dyn Fn() -> Result<Reading>| bar.show(done, total);
        let (prompt, in_force) = (run.prompt.clone(), run.interventions.clone());
        let reading =
            run.instrument.analyze(&run.weights, &prompt, &in_force, &*analysis, &mut tell);
        let stopped = bar.end();
        Ok((reading?, !stopped))
    }

    fn told(&self, run: &RunAt, reading: &Reading) -> Result<serde_json::Value> {
        let vocab = run.instrument.source().vocab();
        let Generating { count, temperature, seed } = self.settings()?;
        let in_force: Vec<String> = run.interventions.iter().map(ToString::to_string).collect();
        let probabilities = reading.array("probability").map_or(&[][..], |array| &array.data);
        Ok(json!({
            "program": format!("mnemoscope {}", env!("CARGO_PKG_VERSION")),
            "network": run.experiment.name,
            "step": run.weights.step,
            "settings": { "count": count, "temperature": temperature, "seed": seed },
            "interventions": in_force,
            "prompt": { "tokens": run.prompt.tokens, "text": vocab.spell(&run.prompt.tokens) },
            "tokens": tokens(reading)?,
            "text": vocab.spell(&tokens(reading)?),
            "probabilities": probabilities,
        }))
    }
}

/// The tokens that were written.
pub fn tokens(reading: &Reading) -> Result<Vec<u32>> {
    let tokens = reading.array("token").ok_or_else(|| Error::internal("no token was written"))?;
    Ok(tokens.data.iter().map(|id| convert::natural(*id)).collect())
}

fn summary(run: &RunAt, reading: &Reading, how: &Generating) -> Result<()> {
    let vocab = run.instrument.source().vocab();
    say(format!("step {} of {}", run.weights.step, run.experiment.name))?;
    say(format!("prompt     {}", quoting::quoted(&vocab.spell(&run.prompt.tokens))))?;
    for intervention in &run.interventions {
        say(format!("in force   {intervention}"))?;
    }
    say(match how.temperature {
        0.0 => "drawn      the likeliest token".to_owned(),
        temperature => format!("drawn      at temperature {temperature}, seed {}", how.seed),
    })?;
    let tokens = tokens(reading)?;
    say(format!("continued  {}", quoting::quoted(&vocab.spell(&tokens))))?;
    let probabilities = reading.array("probability").map_or(&[][..], |array| &array.data);
    for (token, probability) in tokens.iter().zip(probabilities) {
        say(format!("  {:<20} {:.4}", vocab.glyph(*token), Plain(f64::from(*probability))))?;
    }
    for note in &reading.notes {
        say(format!("  {note}"))?;
    }
    Ok(())
}
