//! `mnemoscope figure` and `mnemoscope film`: panels of recorded runs as files, drawn by the same code as the window.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use clap::builder::PossibleValuesParser;

use crate::base::error::{Error, Result};
use crate::base::quoting;
use crate::base::registry::find;
use crate::base::settings;
use crate::export::against::{AgainstSpec, Other};
use crate::export::film;
use crate::export::run_at::{Question, name_of};
use crate::export::sheet::{PageSpec, PanelSpec, Sheet};
use crate::export::sheet_runner::SheetRunner;
use crate::export::{drawn_panel, files};
use crate::figure::composite::Composite;
use crate::figure::fallback::Fallback;
use crate::figure::file::{Format, render_all};
use crate::figure::font::Family;
use crate::figure::grey;
use crate::figure::page::Page;
use crate::figure::provenance::{FontFacts, PanelFacts, Provenance};
use crate::figure::scene::Beyond;
use crate::formats::file::{check_free, check_ours, save};
use crate::panel;
use crate::panel::compare::{Compares, Showing};
use crate::run_folder::recording::Recording;

use super::bar::Bar;
use super::run_at::{Against, Asked, note, tell_problems, tell_taken};
use super::{assignment, say};

/// What is drawn, and on what page.
#[derive(Args)]
struct Drawn {
    #[command(flatten)]
    asked: Asked,
    /// Which panel (see `mnemoscope list panels`)
    panel: Option<String>,
    /// A page of several panels: a .toml file, or a name of `mnemoscope list figures`
    #[arg(long, value_name = "SHEET", conflicts_with_all = ["panel", "set", "head", "query", "key"])]
    sheet: Option<String>,
    /// Change a setting of the panel, e.g. --set map=magma (see `mnemoscope list panels NAME`)
    #[arg(long = "set", value_name = "NAME=VALUE")]
    set: Vec<String>,
    /// Layer and head in focus, e.g. 1.0
    #[arg(long, value_name = "LAYER.HEAD")]
    head: Option<String>,
    /// Position of the selected query (from 0)
    #[arg(long, value_name = "POSITION")]
    query: Option<usize>,
    /// Position of the selected key (from 0)
    #[arg(long, value_name = "POSITION")]
    key: Option<usize>,
    /// Draw a run with this one, in the same plot (curves and length; may be said several times): its folder, or the name of one
    /// beside this
    #[arg(long, value_name = "RUN", conflicts_with = "sheet")]
    beside: Vec<String>,
    #[command(flatten)]
    against: Against,
    /// With --against: layer and head in focus there (default: as here)
    #[arg(long, value_name = "LAYER.HEAD", requires = "against")]
    against_head: Option<String>,
    /// With --against: this minus that, both side by side, or all three
    #[arg(long, requires = "against", default_value = Showing::WORDS[0], value_parser = PossibleValuesParser::new(Showing::WORDS))]
    show: String,
    #[command(flatten)]
    page: PageWords,
    /// Replace files that exist
    #[arg(long)]
    force: bool,
}

/// Size and look of a page.
#[derive(Args)]
struct PageWords {
    /// What a venue asks for: plain, nature, neurips, iclr, icml, aistats, uai, cvpr, aaai, eccv, jmlr, tmlr, slides
    #[arg(long, value_name = "VENUE")]
    preset: Option<String>,
    /// Width: a number with mm, cm, in or pt; column, or page (default: a column of the preset; the page for several panels)
    #[arg(long)]
    width: Option<String>,
    /// Height: a number with its unit, or a number of widths (default: what suits the panels)
    #[arg(long)]
    height: Option<String>,
    /// sans or serif (default: the preset's); or a font file for characters that they lack, before those of the system. May be
    /// said for the face and for each file
    #[arg(long, value_name = "FACE | FILE")]
    font: Vec<String>,
    /// Points of text; tick labels follow in proportion (default: the preset's)
    #[arg(long, value_name = "PT", value_parser = super::short_decimal)]
    text_size: Option<f32>,
    /// Points of axis lines; lines of data follow in proportion (default: 0.5)
    #[arg(long, value_name = "PT", value_parser = super::short_decimal)]
    line: Option<f32>,
    /// Colours of all maps from little to much: viridis, magma, cividis or batlow
    #[arg(long, value_name = "MAP")]
    map: Option<String>,
    /// Hatch what does not exist above the diagonal of an attention map
    #[arg(long)]
    hatched: bool,
    /// Light on dark
    #[arg(long)]
    dark: bool,
    /// In greys, and say what cannot be told apart in them
    #[arg(long)]
    grey: bool,
    /// Dots per inch of pixels (default: 300)
    #[arg(long, value_parser = super::short_decimal)]
    dpi: Option<f32>,
}

#[derive(Args)]
pub struct Figure {
    #[command(flatten)]
    drawn: Drawn,
    /// Make the figure again that this file shows (.pdf, .svg, .png or .json), out of what is written in it
    #[arg(long, value_name = "FILE", conflicts_with_all = ["panel", "sheet", "set", "head", "query", "key", "beside", "steps", "preset",
        "width", "height", "text_size", "line", "map", "hatched", "dark", "grey", "dpi", "step", "sequence", "tokens", "cut", "intervene",
        "against_head", "show"])]
    again: Option<PathBuf>,
    /// The panel at these steps, side by side: numbers with commas between, or how many, as x5
    #[arg(long, value_name = "STEPS", conflicts_with_all = ["sheet", "step"])]
    steps: Option<String>,
    /// Files to write: the endings say the formats. A .csv, .npz and .json with the numbers and where they come from go
    /// beside them
    #[arg(short, long, value_name = "FILE.(pdf|svg|png|tex|csv|npz|json)", required = true)]
    out: Vec<PathBuf>,
    /// These files alone, nothing beside them
    #[arg(long)]
    alone: bool,
}

#[derive(Args)]
pub struct Film {
    #[command(flatten)]
    drawn: Drawn,
    /// First step
    #[arg(long, value_name = "N", default_value_t = 0)]
    from: u64,
    /// Last step (default: the last recorded)
    #[arg(long, value_name = "N")]
    to: Option<u64>,
    /// Most frames; there are no more than recorded steps
    #[arg(long, value_name = "N", default_value_t = 60)]
    frames: usize,
    /// Frames per second
    #[arg(long, value_name = "N", default_value_t = 10.0, value_parser = super::decimal)]
    fps: f64,
    /// File to write, or a folder for the frames as PNG files
    #[arg(short, long, value_name = "FILE.(gif|apng) | FOLDER")]
    out: PathBuf,
}

impl PageWords {
    /// The face that `--font` names, if it does, and the fonts behind it.
    fn fonts(&self) -> Result<(Option<String>, Fallback)> {
        let is_face = |word: &&String| Family::NAMES.contains(&word.as_str());
        let files = self.font.iter().filter(|word| !is_face(word)).map(|word| {
            let path = PathBuf::from(word);
            if path.is_file() {
                return Ok(path);
            }
            Err(Error::usage(format!(
                "--font {word}: expected {}, or a font file; there is no such file",
                Family::NAMES.join(", ")
            )))
        });
        let files = files.collect::<Result<Vec<_>>>()?;
        Ok((self.font.iter().rfind(is_face).cloned(), Fallback::open(&files)?))
    }

    /// Over what a sheet says.
    fn over(&self, page: PageSpec) -> Result<PageSpec> {
        let text = |word: &Option<String>, said: String| word.clone().unwrap_or(said);
        let (face, fallback) = self.fonts()?;
        Ok(PageSpec {
            preset: text(&self.preset, page.preset),
            width: text(&self.width, page.width),
            height: text(&self.height, page.height),
            font: text(&face, page.font),
            text: self.text_size.or(page.text),
            line: self.line.or(page.line),
            map: text(&self.map, page.map),
            hatched: self.hatched || page.hatched,
            dark: self.dark || page.dark,
            grey: self.grey || page.grey,
            dpi: self.dpi.or(page.dpi),
            fallback,
            ..page
        })
    }
}

/// The name of a run in a sheet; the runner is told where it lies.
fn named(run: &Path, runner: &mut SheetRunner) -> String {
    if !run.is_dir() {
        return run.to_string_lossy().into_owned();
    }
    let folder = run.canonicalize().unwrap_or_else(|_| run.to_owned());
    let name = name_of(&folder);
    runner.lies_in(name.clone(), folder);
    name
}

impl Drawn {
    fn sheet(&self, runner: &mut SheetRunner) -> Result<Sheet> {
        let question = self.asked.question();
        let against = self.against(runner)?;
        let mut sheet = match &self.sheet {
            Some(name) => Sheet::find(name)?,
            None => Sheet::one(self.panel(runner)?, PageSpec::default()),
        };
        sheet.page = self.page.over(sheet.page)?;
        sheet.panels.iter_mut().for_each(|panel| fill(panel, &question));
        let is_one = sheet.panels.len() == 1;
        for panel in sheet.panels.iter_mut().filter(|panel| is_one || is_compared(panel)) {
            panel.against = panel.against.take().or_else(|| against.clone());
        }
        Ok(sheet)
    }

    /// What the words compare with; the runner is told where it lies.
    fn against(&self, runner: &mut SheetRunner) -> Result<Option<AgainstSpec>> {
        let Some(other) = self.against.other()? else { return Ok(None) };
        let run = named(&other.run, runner);
        let showing = Showing::named(&self.show).unwrap_or_default();
        Ok(Some(AgainstSpec {
            run,
            step: other.step,
            head: self.against_head.clone().unwrap_or_default(),
            show: showing.name().to_owned(),
            ..AgainstSpec::default()
        }))
    }

    fn panel(&self, runner: &mut SheetRunner) -> Result<PanelSpec> {
        let panel = self.panel.clone().ok_or_else(|| {
            Error::usage("nothing says what to draw: name a panel (see `mnemoscope list panels`), or a --sheet of several")
        })?;
        let mut made = find("panel", panel::ALL, &panel)?;
        let mut set = toml::Table::new();
        for text in &self.set {
            let (name, text) = assignment(text)?;
            set.insert(name.to_owned(), settings::read(&mut *made, name, text));
        }
        let alone = Recording::default();
        if !self.beside.is_empty() && !made.draws_beside(&alone, &alone) {
            return Err(Error::usage(format!(
                "--beside: {panel} draws one run with these settings; curves and length draw several in one plot, and --against compares two"
            )));
        }
        Ok(PanelSpec {
            panel,
            head: self.head.clone().unwrap_or_default(),
            query: self.query,
            key: self.key,
            set,
            beside: self.beside.iter().map(|run| named(Path::new(run), runner)).collect(),
            ..PanelSpec::default()
        })
    }

    fn runner(&self) -> SheetRunner {
        SheetRunner::new(self.asked.folder())
    }

    fn finish(&self, runner: &SheetRunner) {
        tell_problems(runner.problems());
        for (wanted, taken) in &runner.taken {
            tell_taken(*wanted, *taken);
        }
        runner.left_out.iter().for_each(note);
    }
}

/// What a panel of a sheet leaves open is asked as the words say.
fn fill(panel: &mut PanelSpec, question: &Question) {
    panel.step = panel.step.or(question.step);
    if panel.sequence == 0 {
        panel.sequence = question.sequence;
    }
    if let (None, Some(prompts)) = (&panel.prompts, &question.prompts) {
        panel.prompts = Some(prompts.to_string_lossy().into_owned());
        panel.begin = question.begin.map(|begin| begin.name().to_owned());
    }
    if panel.tokens.is_none() && panel.ids.is_none() {
        panel.tokens.clone_from(&question.tokens);
        panel.begin = question.begin.map(|begin| begin.name().to_owned());
        panel.ids.clone_from(&question.ids);
    }
    panel.intervene.extend(question.interventions.iter().cloned());
}

/// Whether a panel of a sheet can be compared.
fn is_compared(panel: &PanelSpec) -> bool {
    let kind = panel::ALL.iter().find(|kind| kind.name == panel.panel);
    kind.is_some_and(|kind| kind.compares != Compares::Never)
}

impl Figure {
    pub fn run(self) -> Result<ExitCode> {
        let names = files::names(&self.out, self.alone)?;
        files::all_free(&names, &self.out, self.drawn.force)?;
        let before = match &self.again {
            None => None,
            Some(path) => {
                Some(Provenance::read(&files::read(path)?).map_err(|e| e.context(path.display()))?)
            }
        };
        let mut runner = self.drawn.runner();
        let sheet = match &before {
            Some(before) => self.again(before, &mut runner)?,
            None => self.stripped(self.drawn.sheet(&mut runner)?, &mut runner)?,
        };
        let Some((drawing, mut page)) = drawn(&sheet, &mut runner)? else {
            return Ok(stopped());
        };
        self.drawn.finish(&runner);
        if let Some(before) = before {
            tell_differences(&before, &page.provenance);
            page.provenance.date = before.date;
        }
        if names.iter().any(|(_, format)| format.has_glyphs()) {
            page.scene(&drawing).beyond().sentence().into_iter().for_each(note);
        }
        if page.grey {
            drawing.figures().flat_map(|(_, f)| grey::check(f)).for_each(note);
        }
        let files = files::rendered(&names, &drawing, &page)?;
        files::write(&files, &self.out, self.drawn.force)?;
        files.iter().try_for_each(|(path, _)| say(path.display().to_string()))?;
        Ok(ExitCode::SUCCESS)
    }

    /// The sheet of a figure, with the fonts that this machine has.
    fn again(&self, before: &Provenance, runner: &mut SheetRunner) -> Result<Sheet> {
        if let (true, Some(drawn)) = (before.sheet.is_empty(), before.panels.first()) {
            return Err(Error::usage(format!(
                "--again: that figure is none of a panel; make it with mnemoscope {} FOLDER -o FILE and the settings that are written in it ({})",
                drawn.panel,
                drawn.settings.trim().replace('\n', ", ")
            )));
        }
        let mut sheet = Sheet::parse(&before.sheet, "the sheet of that figure")?;
        if let Some(other) = self.drawn.against.other()? {
            self.say_where(&sheet, &other, runner)?;
        }
        let (face, fallback) = self.drawn.page.fonts()?;
        if let Some(face) = face {
            return Err(Error::usage(format!(
                "--font {face} with --again: the figure keeps its face; a font file can be named"
            )));
        }
        sheet.page.fallback = fallback;
        Ok(sheet)
    }

    /// Tells the runner where the run lies that the figure compares with.
    fn say_where(&self, sheet: &Sheet, other: &Other, runner: &mut SheetRunner) -> Result<()> {
        let mut runs = sheet.panels.iter().filter_map(|panel| Some(&panel.against.as_ref()?.run));
        let run = runs.find(|run| !run.is_empty());
        let Some(run) = run.filter(|_| other.run.is_dir() && other.step.is_none()) else {
            return Err(Error::usage(
                "--against with --again says where the run lies that the figure compares with: expected the folder of one, of a figure that has one",
            ));
        };
        runner.lies_in(run.clone(), other.run.clone());
        Ok(())
    }

    fn stripped(&self, sheet: Sheet, runner: &mut SheetRunner) -> Result<Sheet> {
        let Some(steps) = &self.steps else { return Ok(sheet) };
        let wrong = || {
            Error::usage(format!(
                "--steps {steps}: expected numbers with commas between, as 0,40,120, or how many, as x5"
            ))
        };
        let steps = match steps.strip_prefix('x') {
            Some(count) => {
                let count = count.parse().map_err(|_| wrong())?;
                film::steps(&*runner.recording("")?, 0, u64::MAX, count)
            }
            None => {
                let numbers = steps.split(',').map(|n| n.trim().parse().map_err(|_| wrong()));
                numbers.collect::<Result<_>>()?
            }
        };
        film::strip(&sheet, &steps)
    }
}

/// The page of a sheet; none where Ctrl-C ended a long question.
fn drawn(sheet: &Sheet, runner: &mut SheetRunner) -> Result<Option<(Composite, Page)>> {
    // Begins with the first long question: before it, Ctrl-C ends the program at once.
    let mut bar: Option<Result<Bar>> = None;
    let mut progress =
        |done: usize, total: usize| match bar.get_or_insert_with(|| Bar::begin("passes")) {
            Ok(bar) => bar.show(done, total),
            Err(_) => false,
        };
    let drawn_panels = runner.drawn_panels(sheet, &mut progress);
    if bar.transpose()?.is_some_and(Bar::end) {
        return Ok(None);
    }
    drawn_panel::compose(sheet, &drawn_panels?).map(Some)
}

/// What comes of a figure or a film that Ctrl-C ended.
fn stopped() -> ExitCode {
    note("stopped before the end");
    ExitCode::from(130)
}

/// Says where a figure that is made again comes from another program or other weights.
fn tell_differences(before: &Provenance, now: &Provenance) {
    if before.program != now.program {
        note(format!(
            "that figure was made by {}, this is {}: the bytes may differ",
            before.program, now.program
        ));
    }
    for (a, b) in before.runs.iter().zip(&now.runs) {
        if a.name != b.name {
            note(format!("that figure shows the run {}, this one {}", a.name, b.name));
        }
        if a.experiment != b.experiment {
            note(format!("the experiment of {} is not that of the figure", b.name));
        }
        if !b.history.starts_with(&a.history) {
            note(format!("{} was changed in other ways on its way than the figure says", b.name));
        }
    }
    let other = |font: &&FontFacts| now.fonts.iter().all(|f| f.sha256 != font.sha256);
    for font in before.fonts.iter().filter(other) {
        note(format!(
            "that figure took glyphs from {} (SHA-256 {}), which is not used here: the bytes differ; name that file with --font",
            font.name,
            font.sha256.get(..12).unwrap_or(&font.sha256)
        ));
    }
    for (before, now) in before.panels.iter().zip(&now.panels) {
        let panel = &now.panel;
        for (before, now) in answered(before).into_iter().zip(answered(now)) {
            tell_other_weights(panel, before, now);
        }
    }
}

fn tell_other_weights(panel: &str, before: Answered<'_>, now: Answered<'_>) {
    if before.hash.is_none() || (before.step, before.hash) == (now.step, now.hash) {
        return;
    }
    let step = |step: Option<u64>| step.map_or_else(String::new, |step| step.to_string());
    note(format!(
        "panel {panel}: the weights of step {} of {} are not those of the figure (step {} of {})",
        step(now.step),
        now.run,
        step(before.step),
        before.run
    ));
}

/// What weights answered.
#[derive(Clone, Copy, Default)]
struct Answered<'a> {
    run: &'a str,
    step: Option<u64>,
    hash: Option<&'a str>,
}

/// What answered for A and for B of a panel.
fn answered(facts: &PanelFacts) -> [Answered<'_>; 2] {
    let hash = facts.weights_sha256.as_deref();
    let a = Answered { run: &facts.run, step: facts.step, hash };
    let b = facts.against.as_ref().map(|b| {
        let hash = b.weights_sha256.as_deref();
        Answered { run: &b.run, step: b.step, hash }
    });
    [a, b.unwrap_or_default()]
}

impl Film {
    pub fn run(self) -> Result<ExitCode> {
        if !(self.fps > 0.0 && self.fps <= 100.0) {
            return Err(Error::usage(format!(
                "--fps {}: expected more than 0, at most 100",
                self.fps
            )));
        }
        let mut runner = self.drawn.runner();
        let mut sheet = self.drawn.sheet(&mut runner)?;
        // Pixels of a screen, not of a printer.
        sheet.page.dpi = sheet.page.dpi.or(Some(150.0));
        let kind = Kind::of(&self.out);
        if kind != Kind::Folder {
            check_free(&self.out, self.drawn.force)?;
        }
        let recording = runner.recording(&sheet.panels[0].run)?;
        let last = self.to.unwrap_or(u64::MAX);
        let steps = film::steps(&recording, self.from, last, self.frames);
        if kind == Kind::Folder {
            self.check_frames(steps.len())?;
        }
        let mut bar = Bar::begin("frames")?;
        let mut progress = |done: usize, total: usize| bar.show(done, total);
        let made = film::frames(&mut runner, &sheet, &steps, &mut progress);
        let made = made.and_then(|(frames, page)| {
            match kind {
                Kind::Gif => {
                    let bytes = film::gif(&frames, &page, self.fps, &mut progress)?;
                    save(&self.out, &bytes, self.drawn.force)?;
                }
                Kind::Apng => {
                    let bytes = film::apng(&frames, &page, self.fps, &mut progress)?;
                    save(&self.out, &bytes, self.drawn.force)?;
                }
                Kind::Folder => self.folder(&frames, &page, &mut progress)?,
            }
            Ok(beyond(&frames, &page))
        });
        if bar.end() && made.is_err() {
            return Ok(stopped());
        }
        let beyond = made?;
        self.drawn.finish(&runner);
        beyond.sentence().into_iter().for_each(note);
        say(format!(
            "{} ({} steps from {} to {})",
            self.out.display(),
            steps.len(),
            steps[0],
            steps[steps.len() - 1]
        ))?;
        if kind == Kind::Folder {
            let next = self.frame(steps.len());
            if next.exists() {
                note(format!("{} and what follows is of an earlier film", next.display()));
            }
            note(format!(
                "as a film: ffmpeg -framerate {} -i {} -frames:v {} -pix_fmt yuv420p film.mp4",
                self.fps,
                quoting::path(self.out.join("%05d.png")),
                steps.len()
            ));
        }
        Ok(ExitCode::SUCCESS)
    }

    /// The frames as `00000.png`, `00001.png`, … Who names a folder has named no file in it: of what is there, frames of
    /// this program alone are replaced.
    fn folder(
        &self,
        frames: &[Composite],
        page: &Page,
        progress: &mut dyn FnMut(usize, usize) -> bool,
    ) -> Result<()> {
        for (index, frame) in frames.iter().enumerate() {
            if !progress(index, frames.len()) {
                return Err(film::stopped());
            }
            let bytes = render_all(frame, page, Format::Png)?;
            save(&self.frame(index), &bytes, self.drawn.force)?;
        }
        Ok(())
    }

    fn frame(&self, index: usize) -> PathBuf {
        self.out.join(format!("{index:05}.png"))
    }

    /// Before anything is written, and before anything is asked.
    fn check_frames(&self, count: usize) -> Result<()> {
        let frames = || (0..count).map(|index| self.frame(index));
        frames().try_for_each(|frame| check_free(&frame, self.drawn.force))?;
        check_ours(frames(), &files::is_ours)
    }
}

/// What the texts of all frames ask for beyond our own faces.
fn beyond(frames: &[Composite], page: &Page) -> Beyond {
    let mut all = Beyond::default();
    frames.iter().for_each(|frame| all.add(page.scene(frame).beyond()));
    all
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Gif,
    Apng,
    Folder,
}

impl Kind {
    fn of(path: &Path) -> Self {
        match path.extension().map(|e| e.to_ascii_lowercase()) {
            Some(e) if e == "gif" => Self::Gif,
            Some(e) if e == "apng" || e == "png" => Self::Apng,
            _ => Self::Folder,
        }
    }
}
