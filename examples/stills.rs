//! Plays the lessons of experiments that come with the program on their recorded runs, says which claims are not seen, and draws the
//! stills of the gallery: how the pictures in `assets/stills` were made.
//!
//! `for name in …; do mnemoscope train $name --out runs/$name; done; cargo run --example stills -- runs assets/stills`

use std::error::Error;
use std::io::Write;
use std::path::Path;

use mnemoscope::export::still;
use mnemoscope::run::experiment::{BUILTIN, Experiment};
use mnemoscope::run::rehearsal::Rehearsal;

/// Plays one experiment and draws its still; gives back how many claims were not seen.
pub fn play(run: &Path, still: &Path, out: &mut impl Write) -> Result<usize, Box<dyn Error>> {
    let experiment = Experiment::of_run(run)?;
    // As it comes with the program now: the run may have been recorded before a lesson was changed.
    let lessons = Experiment::builtin(&experiment.name)?.lessons;
    let mut refuted = 0;
    for rehearsed in Rehearsal::of_run(run)?.play(&lessons)? {
        let idle = rehearsed.is_idle.then(|| "its claims hold before anything is done".to_owned());
        for why in rehearsed.refuted.iter().chain(&idle) {
            writeln!(out, "{}, \"{}\": {why}", experiment.name, rehearsed.title)?;
            refuted += 1;
        }
    }
    let phenomenon = Experiment::builtin(&experiment.name)?.phenomenon;
    let shows = phenomenon.and_then(|phenomenon| lessons.get(phenomenon.lesson.checked_sub(1)?));
    if let Some(lesson) = shows {
        std::fs::write(still, still::of_lesson(run, lesson)?)?;
    }
    Ok(refuted)
}

pub fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [runs, stills, only @ ..] = &words[..] else {
        return Err(
            "expected a folder of runs, a folder of stills, and names of experiments or none"
                .into(),
        );
    };
    let (mut refuted, mut out) = (0, std::io::stdout());
    for (name, _) in
        BUILTIN.iter().filter(|(name, _)| only.is_empty() || only.iter().any(|o| o == name))
    {
        let run = Path::new(runs).join(name);
        if !run.exists() {
            writeln!(out, "{name}: there is no run {}", run.display())?;
            continue;
        }
        match play(&run, &Path::new(stills).join(format!("{name}.png")), &mut out) {
            Ok(count) => refuted += count,
            Err(error) => writeln!(out, "{name}: {error}")?,
        }
    }
    writeln!(out, "{refuted} claims are not seen")?;
    Ok(())
}
