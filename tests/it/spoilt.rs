//! What others made, spoilt on purpose: every reader gives a value or a sentence, never a panic, and asks for no more memory
//! than the bytes that it was given are worth.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fs;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use mnemoscope::base::error::{Kind, Result};
use mnemoscope::base::event::{Mark, MarkKind, MetricsRow};
use mnemoscope::base::intervention::{Intervention, Place};
use mnemoscope::base::json;
use mnemoscope::base::vocab::{Vocab, is_hidden, plain, plain_json};
use mnemoscope::base::weights::{NamedTensor, Weights};
use mnemoscope::export::files;
use mnemoscope::export::sheet::{self, Sheet};
use mnemoscope::figure::composite::Composite;
use mnemoscope::figure::file::{Format, render_all};
use mnemoscope::figure::page::Page;
use mnemoscope::figure::provenance::{PanelFacts, Provenance};
use mnemoscope::figure::{Figure, pgf, svg};
use mnemoscope::formats;
use mnemoscope::formats::columns::harmless;
use mnemoscope::measurement::probing;
use mnemoscope::run::examine::Instrument;
use mnemoscope::run::experiment::{BUILTIN, Experiment};
use mnemoscope::run_folder::checkpoint::Checkpoint;
use mnemoscope::run_folder::readers::{self, KeptReader};
use mnemoscope::run_folder::{self, Item, Reader, RunHeader, Writer, beat};
use mnemoscope::sweep::{MOST_RUNS, Plan};
use mnemoscope::task::statistics::Statistics;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof};

// ── memory ───────────────────────────────────────────────────────────────────────────────────────────

/// The system's allocator, which counts what each thread holds.
struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    // A thread that ends gives back memory after its counters are gone.
    let _ = HELD.try_with(|held| {
        held.set(held.get() + bytes);
        let _ = MOST.try_with(|most| most.set(most.get().max(held.get())));
    });
}

#[expect(unsafe_code, reason = "the trait of an allocator; every call is passed on as it came")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as isize - layout.size() as isize);
        unsafe { System.realloc(at, layout, size) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// What a reader made of `bytes` bytes. More memory at once than these are worth is a failure: some for what lies in them, and
/// some for tables that come with the program.
fn within<T>(bytes: usize, read: impl FnOnce() -> T) -> T {
    const FOR_TABLES: isize = 8 << 20;
    const FOR_A_BYTE: isize = 100;
    let before = HELD.get();
    MOST.set(before);
    let made = read();
    let most = MOST.get() - before;
    let allowed = FOR_TABLES + FOR_A_BYTE * bytes as isize;
    assert!(most <= allowed, "{most} bytes of memory for {bytes} bytes read");
    made
}

/// A refusal is a sentence: it names what was read, and is no fault of the program.
fn told<T>(made: Result<T>, origin: &str) -> Option<T> {
    match made {
        Ok(value) => Some(value),
        Err(error) => {
            assert!(matches!(error.kind, Kind::Input | Kind::Usage), "{:?}: {error}", error.kind);
            assert!(error.message.contains(origin), "{error} does not name {origin}");
            assert!(error.message.len() > origin.len() + 10, "{error}");
            None
        }
    }
}

#[test]
fn what_a_reader_asks_for_is_counted() {
    let held = HELD.get();
    MOST.set(held);
    drop(std::hint::black_box(vec![1u8; 1 << 20]));
    assert!(MOST.get() - held >= 1 << 20);
    assert!(HELD.get() - held < 1 << 20);
}

// ── damage ───────────────────────────────────────────────────────────────────────────────────────────

/// One thing that is done to bytes. Places are shares of the whole, so that they mean something whatever its length.
#[derive(Clone, Debug)]
enum Spoil {
    Cut(f64),
    Flip(f64, u8),
    /// These bytes in place of those that are there.
    Over(f64, Vec<u8>),
    /// These bytes before those that are there.
    Into(f64, Vec<u8>),
    /// A piece once more, at another place.
    Again {
        from: f64,
        length: usize,
        to: f64,
    },
    Without {
        from: f64,
        length: usize,
    },
    /// Two pieces change places.
    Swapped {
        one: f64,
        other: f64,
        length: usize,
    },
    /// Some number that is written out becomes another one.
    Number(usize, &'static str),
    /// Some text in quotes becomes another one that is there.
    Names(usize, usize),
}

const NUMBERS: [&str; 14] = [
    "0",
    "-1",
    "1",
    "7",
    "4294967295",
    "4294967296",
    "9007199254740993",
    "9223372036854775807",
    "18446744073709551615",
    "18446744073709551616",
    "1e999",
    "NaN",
    "-0.0",
    "null",
];

fn place() -> impl Strategy<Value = f64> {
    // Headers are at the start, where most of the sense is.
    prop_oneof![0.0..1.0f64, (0.0..1.0f64).prop_map(|x| x.powi(8)), Just(0.0)]
}

fn spoil() -> impl Strategy<Value = Spoil> {
    let words = prop_oneof![
        proptest::collection::vec(any::<u8>(), 1..12),
        Just(vec![0xff; 8]),
        Just((1u64 << 40).to_le_bytes().to_vec()),
        Just(u32::MAX.to_le_bytes().to_vec()),
        Just(b"[".repeat(3000)),
        Just(b"{\"a\":".repeat(3000)),
        Just(b"\0".to_vec()),
        Just("\u{202e}\u{1b}[2J".as_bytes().to_vec()),
    ];
    let length = || 1..200usize;
    prop_oneof![
        place().prop_map(Spoil::Cut),
        (place(), 0..8u8).prop_map(|(at, bit)| Spoil::Flip(at, bit)),
        (place(), words.clone()).prop_map(|(at, bytes)| Spoil::Over(at, bytes)),
        (place(), words).prop_map(|(at, bytes)| Spoil::Into(at, bytes)),
        (place(), length(), place()).prop_map(|(from, length, to)| Spoil::Again {
            from,
            length,
            to
        }),
        (place(), length()).prop_map(|(from, length)| Spoil::Without { from, length }),
        (place(), place(), length()).prop_map(|(one, other, length)| Spoil::Swapped {
            one,
            other,
            length
        }),
        (any::<usize>(), 0..NUMBERS.len())
            .prop_map(|(which, number)| Spoil::Number(which, NUMBERS[number])),
        (any::<usize>(), any::<usize>()).prop_map(|(one, other)| Spoil::Names(one, other)),
    ]
}

fn damage() -> impl Strategy<Value = Vec<Spoil>> {
    proptest::collection::vec(spoil(), 1..4)
}

fn at(share: f64, length: usize) -> usize {
    ((share * length as f64) as usize).min(length)
}

fn spoilt(bytes: &[u8], damage: &[Spoil]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for spoil in damage {
        apply(spoil, &mut bytes);
    }
    bytes
}

fn apply(spoil: &Spoil, bytes: &mut Vec<u8>) {
    let n = bytes.len();
    let piece = |share: f64, length: usize| at(share, n)..(at(share, n) + length).min(n);
    match spoil {
        Spoil::Cut(share) => bytes.truncate(at(*share, n)),
        Spoil::Flip(share, bit) => {
            if let Some(byte) = bytes.get_mut(at(*share, n)) {
                *byte ^= 1 << bit;
            }
        }
        Spoil::Over(share, new) => {
            bytes.splice(piece(*share, new.len()), new.iter().copied());
        }
        Spoil::Into(share, new) => {
            bytes.splice(piece(*share, 0), new.iter().copied());
        }
        Spoil::Again { from, length, to } => {
            let copy = bytes[piece(*from, *length)].to_vec();
            bytes.splice(piece(*to, 0), copy);
        }
        Spoil::Without { from, length } => {
            bytes.drain(piece(*from, *length));
        }
        Spoil::Swapped { one, other, length } => {
            let (one, other) = (piece(*one, *length), piece(*other, *length));
            for (a, b) in one.zip(other) {
                bytes.swap(a, b);
            }
        }
        Spoil::Number(which, number) => {
            let found = pieces(bytes, |byte| byte.is_ascii_digit());
            if let Some(range) = found.get(which % found.len().max(1)) {
                bytes.splice(range.clone(), number.bytes());
            }
        }
        Spoil::Names(one, other) => {
            let found = pieces(bytes, |byte| byte.is_ascii_alphanumeric() || byte == b'_');
            if !found.is_empty() {
                let new = bytes[found[other % found.len()].clone()].to_vec();
                bytes.splice(found[one % found.len()].clone(), new);
            }
        }
    }
}

/// Where bytes of a kind stand beside each other.
fn pieces(bytes: &[u8], is: impl Fn(u8) -> bool) -> Vec<std::ops::Range<usize>> {
    let mut found: Vec<std::ops::Range<usize>> = Vec::new();
    for (i, byte) in bytes.iter().enumerate().filter(|(_, byte)| is(**byte)) {
        let _ = byte;
        match found.last_mut() {
            Some(last) if last.end == i => last.end = i + 1,
            _ => found.push(i..i + 1),
        }
    }
    found
}

/// As the readers of text files take it: what is no UTF-8 is refused before.
fn as_text(bytes: Vec<u8>) -> Option<String> {
    String::from_utf8(bytes).ok()
}

// ── what there is to spoil ───────────────────────────────────────────────────────────────────────────

fn tensor(name: &str, shape: &[usize], trained: bool) -> NamedTensor {
    let count = shape.iter().product::<usize>();
    let data: Arc<[f32]> = (0..count).map(|i| i as f32 - 0.5).collect();
    NamedTensor { name: name.into(), shape: shape.to_vec(), data, trained }
}

fn weights(step: u64) -> Weights {
    let tensors = vec![
        tensor("layer0.wk", &[2, 3], true),
        tensor("embed", &[4], false),
        tensor("layer1.wk", &[3, 2], true),
    ];
    Weights::new(step, tensors)
}

fn checkpoint() -> Checkpoint {
    Checkpoint {
        weights: weights(5),
        optimizer: vec![tensor("layer0.wk.moment1", &[6], true)],
        in_force: vec![Intervention::Freeze("layer1.wk".to_owned())],
        grad_norms: vec![("layer0.wk".to_owned(), 0.25), ("layer1.wk".to_owned(), f64::NAN)],
        marks: serde_json::json!([{"rule": "formed", "since": 3, "in_a_row": 1, "set": false}]),
        changed: vec![("rate".to_owned(), toml::Value::Float(0.1))],
    }
}

fn birth() -> RunHeader {
    RunHeader {
        name: "small".to_owned(),
        experiment: "name = \"small\"\n".to_owned(),
        documents: [("bigrams.csv".to_owned(), "a,1\n".to_owned())].into(),
        kind: "branch".to_owned(),
        parent: Some(run_folder::Parent { folder: Some("elsewhere".into()), step: 3 }),
        columns: vec!["loss".to_owned(), "accuracy".to_owned()],
        budget_bytes: u64::MAX,
    }
}

/// A run folder with all that one can hold.
fn run_folder(home: &Path) {
    let mut writer = Writer::create(home, birth()).unwrap();
    for step in 0..70 {
        writer.push(Item::Weights(weights(step)));
    }
    for step in [0, 5] {
        writer.push(Item::Metrics(MetricsRow { step, values: vec![0.5, f64::NAN] }));
        let text = format!("\"formed\" at {step}");
        writer.push(Item::Mark(Mark::of_text(step, MarkKind::Emergence, text)));
    }
    writer.save(&checkpoint()).unwrap();
    let condition = beat::Condition::Running;
    writer.beat(&beat::Pulse { step: 5, condition, steps_per_second: 3.5, utc: 1_700_000_000 });
    drop(writer);
    let kept = KeptReader { about: "{\"kind\":\"leace\"}".to_owned(), tensors: eraser() };
    readers::save(home, "kept", &kept, false).unwrap();
}

fn eraser() -> Vec<NamedTensor> {
    vec![tensor("matrix", &[3, 3], true), tensor("mean", &[3], true), tensor("rank", &[1], true)]
}

/// The files of [`run_folder`], by name.
static FILES: LazyLock<Vec<(&str, Vec<u8>)>> = LazyLock::new(|| {
    let home = tempfile::tempdir().unwrap();
    run_folder(home.path());
    let names = [
        "run.json",
        "beat.json",
        "metrics.csv",
        "events.jsonl",
        "checkpoint.safetensors",
        "weights/frozen.safetensors",
        "weights/tail.log",
        "weights/00000000-00000063.safetensors",
        "readers/kept.safetensors",
        "task/bigrams.csv",
    ];
    names.into_iter().map(|name| (name, fs::read(home.path().join(name)).unwrap())).collect()
});

fn file(name: &str) -> &'static [u8] {
    &FILES.iter().find(|(known, _)| *known == name).unwrap().1
}

fn a_plan() -> String {
    let experiment = Experiment::builtin("birth").unwrap().to_toml().parse().unwrap();
    let settings = vec![
        ("train.rate".to_owned(), vec![0.1.into(), 0.3.into()]),
        ("train.optimizer".to_owned(), vec!["sgd".into(), "adamw".into()]),
    ];
    Plan::new(experiment, vec![0, 1, 2, 9], settings).unwrap().to_toml()
}

/// A figure in each format that carries its provenance.
static FIGURES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let mut page = Page::column();
    page.dpi = 20.0;
    page.provenance.sheet = sheet::BUILTIN[0].1.to_owned();
    page.provenance.panels = vec![PanelFacts {
        panel: "attention".to_owned(),
        tokens: vec!["a".to_owned(), "<&\u{202e}\u{7f}\u{fffe}".to_owned()],
        ..PanelFacts::default()
    }];
    let drawing =
        Composite::one(Figure { empty: Some("Nothing is drawn".to_owned()), ..Figure::default() });
    let formats = [Format::Pdf, Format::Svg, Format::Png, Format::Json];
    let bytes = formats.map(|format| render_all(&drawing, &page, format).unwrap());
    for bytes in &bytes {
        assert_eq!(Provenance::read(bytes).unwrap(), page.provenance);
    }
    bytes.into()
});

const INTERVENTIONS: [&str; 11] = [
    "freeze layer0.wk",
    "unfreeze layer0.wk",
    "zero layer1.head0",
    "zero layer0.attn_out@7,9,3-5",
    "cut layer1.head0@20<-7",
    "cut layer1.head0@20<-7 renormalised",
    "scale layer1.head0 by 0.5",
    "add layer1.resid_pre@7 2*embed[5]-2*embed[9]",
    "mean layer1.head0",
    "resample layer1.k.head0@7 from 3",
    "patch layer1.k.head0@7 from 4 12 9",
];

// ── every reader, whatever is done to what it reads ──────────────────────────────────────────────────

proptest::proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_spoilt_run_header_is_refused_or_read(damage in damage()) {
        let Some(text) = as_text(spoilt(file("run.json"), &damage)) else { return Ok(()) };
        within(text.len(), || told(run_folder::parse_about(&text, Path::new("run.json")), "run.json"));
    }

    #[test]
    fn a_spoilt_beat_is_refused_or_read(damage in damage()) {
        let Some(text) = as_text(spoilt(file("beat.json"), &damage)) else { return Ok(()) };
        let read = within(text.len(), || told(beat::parse(&text, Path::new("beat.json")), "beat.json"));
        assert!(read.is_none_or(|beat| beat.steps_per_second >= 0.0));
    }

    #[test]
    fn spoilt_metrics_are_refused_or_read(damage in damage(), columns in 0..4usize) {
        let bytes = spoilt(file("metrics.csv"), &damage);
        let mut rows = Vec::new();
        let take = |row: MetricsRow| rows.push(row);
        let read = within(bytes.len(), || {
            run_folder::read_rows(&bytes[..], columns, Path::new("metrics.csv"), take)
        });
        told(read, "metrics.csv");
        assert!(rows.iter().all(|row| row.values.len() == columns));
    }

    #[test]
    fn spoilt_events_are_refused_or_read(damage in damage()) {
        let bytes = spoilt(file("events.jsonl"), &damage);
        let read = || run_folder::read_marks(&bytes[..], Path::new("events.jsonl"));
        told(within(bytes.len(), read), "events.jsonl");
    }

    #[test]
    fn spoilt_tensors_are_refused_or_fill_their_shapes(damage in damage(), pack in any::<bool>()) {
        let name = if pack { "weights/00000000-00000063.safetensors" } else { "readers/kept.safetensors" };
        let bytes = spoilt(file(name), &damage);
        let read = || formats::safetensors::read_safetensors(&bytes, Path::new("spoilt.safetensors"));
        let Some((tensors, _)) = told(within(bytes.len(), read), "spoilt.safetensors") else {
            return Ok(());
        };
        for tensor in &tensors {
            assert_eq!(tensor.shape.iter().product::<usize>(), tensor.data.len());
        }
        let mut names: Vec<&str> = tensors.iter().map(|tensor| &*tensor.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), tensors.len());
        for kind in probing::Kind::ALL {
            let _ = probing::Reader::from_tensors(*kind, &tensors);
        }
    }

    #[test]
    fn a_spoilt_checkpoint_is_refused_or_read(damage in damage()) {
        let bytes = spoilt(file("checkpoint.safetensors"), &damage);
        let read = || run_folder::parse_checkpoint(&bytes, Path::new("checkpoint"));
        let read = within(bytes.len(), read);
        // What is wrong with an intervention in it is said of the intervention.
        let of_its_note = read.as_ref().is_err_and(|e| e.message.starts_with("intervention"));
        told(read, if of_its_note { "intervention" } else { "checkpoint" });
    }

    #[test]
    fn a_spoilt_log_is_refused_or_read(damage in damage()) {
        let bytes = spoilt(file("weights/tail.log"), &damage);
        let read = || run_folder::read_log(&bytes, Path::new("tail.log"));
        told(within(bytes.len(), read), "tail.log");
    }

    #[test]
    fn a_spoilt_experiment_is_refused_or_read(which in 0..BUILTIN.len(), damage in damage()) {
        let Some(text) = as_text(spoilt(BUILTIN[which].1.as_bytes(), &damage)) else { return Ok(()) };
        let read = || Experiment::parse(&text, "spoilt.toml");
        let Some(experiment) = told(within(text.len(), read), "spoilt.toml") else { return Ok(()) };
        // What is read is within its ranges, and says so of itself.
        let whole = experiment.to_toml();
        assert_eq!(Experiment::parse(&whole, "again").unwrap().to_toml(), whole);
    }

    #[test]
    fn a_spoilt_figure_sheet_is_refused_or_read(which in 0..sheet::BUILTIN.len(), damage in damage()) {
        let Some(text) = as_text(spoilt(sheet::BUILTIN[which].1.as_bytes(), &damage)) else {
            return Ok(());
        };
        let read = || Sheet::parse(&text, "spoilt.toml");
        let Some(sheet) = told(within(text.len(), read), "spoilt.toml") else { return Ok(()) };
        assert_eq!(sheet.places().len(), sheet.panels.len());
        (0..sheet.panels.len()).for_each(|i| drop(sheet.letter(i)));
        let _ = sheet.page();
    }

    #[test]
    fn a_spoilt_sweep_is_refused_or_read(damage in damage()) {
        let Some(text) = as_text(spoilt(a_plan().as_bytes(), &damage)) else { return Ok(()) };
        let read = || Plan::parse(&text, Path::new("sweep.toml"));
        let Some(plan) = told(within(text.len(), read), "sweep.toml") else { return Ok(()) };
        let members = plan.members();
        assert!((1..=MOST_RUNS).contains(&members.len()));
        // No name leads out of the folder of the sweep.
        for member in members {
            assert!(!member.name.contains(['/', '\\']) && !member.name.starts_with('.'), "{}", member.name);
        }
    }

    #[test]
    fn a_spoilt_figure_gives_a_provenance_or_a_sentence(which in 0..4usize, damage in damage()) {
        let bytes = spoilt(&FIGURES[which], &damage);
        if let Err(error) = within(bytes.len(), || Provenance::read(&bytes)) {
            assert_eq!(error.kind, Kind::Input);
            assert!(error.message.contains("provenance"), "{error}");
        }
    }

    #[test]
    fn a_spoilt_intervention_is_refused_or_said_back(which in 0..INTERVENTIONS.len(), damage in damage()) {
        let Some(text) = as_text(spoilt(INTERVENTIONS[which].as_bytes(), &damage)) else { return Ok(()) };
        let vocab = Vocab::new(vec!["a".to_owned(), "b".to_owned()]);
        let _ = within(text.len(), || Intervention::written(&text, &vocab));
        let _ = text.parse::<Place>();
        let Some(read) = told(within(text.len(), || text.parse::<Intervention>()), "intervention") else {
            return Ok(());
        };
        // A name in `freeze` may hold anything but spaces at its ends; all else is said back as it was read.
        assert_eq!(read.to_string().parse::<Intervention>().unwrap(), read);
    }

    #[test]
    fn spoilt_counts_of_a_text_are_refused_or_read(table in 0..2usize, damage in damage()) {
        let mut documents = Statistics::of_text("to be or not to be").unwrap().documents().unwrap();
        let name = ["unigrams.csv", "bigrams.csv"][table];
        let Some(text) = as_text(spoilt(documents[name].as_bytes(), &damage)) else { return Ok(()) };
        documents.insert(name.to_owned(), text.clone());
        let read = within(text.len(), || Statistics::from_documents(&documents));
        if let Some(counts) = told(read, "counts") {
            let law = counts.bigram_law();
            for row in law.chunks(counts.vocab().len()) {
                assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-4);
            }
        }
    }
}

proptest::proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn a_run_folder_with_a_spoilt_file_opens_or_says_which(which in 0..9usize, damage in damage()) {
        let home = tempfile::tempdir().unwrap();
        for (name, bytes) in &*FILES {
            fs::create_dir_all(home.path().join(name).parent().unwrap()).unwrap();
            fs::write(home.path().join(name), bytes).unwrap();
        }
        fs::write(home.path().join("experiment.toml"), "name = \"small\"\n").unwrap();
        let (name, bytes) = &FILES[which];
        fs::write(home.path().join(name), spoilt(bytes, &damage)).unwrap();
        let place = home.path().display().to_string();
        if let Some(mut reader) = told(within(1 << 16, || Reader::open(home.path())), &place) {
            for step in reader.recording.recorded.clone() {
                told(reader.weights(step), "step");
            }
        }
        told(run_folder::documents(home.path()), &place);
        told(run_folder::saved_step(home.path()), &place);
        told(readers::read(home.path(), "kept"), &place);
        if let Ok((mut writer, _)) = Writer::resume(home.path()) {
            writer.push(Item::Weights(weights(70)));
            let _ = writer.flush();
        }
    }
}

// ── what is refused, one by one ──────────────────────────────────────────────────────────────────────

fn refused<T>(made: Result<T>) -> String {
    match made {
        Ok(_) => panic!("it was read"),
        Err(error) => error.message,
    }
}

fn tensors(header: &str, bytes: usize) -> Vec<u8> {
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    file.extend(vec![0; bytes]);
    file
}

#[test]
fn a_key_that_is_there_twice_is_refused_at_any_depth() {
    assert_eq!(json::parse("{\"a\":[{\"b\":1}]}").unwrap(), serde_json::json!({"a": [{"b": 1}]}));
    for text in ["{\"a\":1,\"a\":1}", "[{\"b\":{\"c\":null,\"c\":2}}]", "{\"\\u0061\":1,\"a\":2}"] {
        assert!(json::parse(text).unwrap_err().to_string().contains("twice"), "{text}");
    }
    let header = String::from_utf8(file("run.json").to_vec()).unwrap();
    let twice = header.replacen("{", "{\"schema\": 7,", 1);
    assert!(refused(run_folder::parse_about(&twice, Path::new("run.json"))).contains("twice"));
    let twice = header.replace("\"loss\"", "\"accuracy\"");
    assert!(refused(run_folder::parse_about(&twice, Path::new("run.json"))).contains("twice"));
    let line = b"{\"step\":1,\"kind\":\"note\",\"text\":\"a\",\"text\":\"b\"}\n";
    assert!(refused(run_folder::read_marks(&line[..], Path::new("events"))).contains("line 1"));
    let twice = "name = \"a\"\nname = \"b\"\n";
    assert!(refused(Experiment::parse(twice, "a.toml")).contains("line 2"));
    let json = Provenance::new().to_json().replacen("{", "{\"schema\":1,", 1);
    assert!(Provenance::read(json.as_bytes()).is_err());
}

#[test]
fn tensors_with_holes_odd_axes_and_entries_beyond_the_format_are_refused() {
    let read = |header: &str, bytes| {
        formats::safetensors::read_safetensors(&tensors(header, bytes), Path::new("x"))
    };
    let good = "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}";
    assert_eq!(read(good, 8).unwrap().0[0].data.len(), 2);
    let axes = |shape: &str, to: u64| {
        format!("{{\"a\":{{\"dtype\":\"F32\",\"shape\":{shape},\"data_offsets\":[0,{to}]}}}}")
    };
    for (header, bytes, word) in [
        (good.to_owned(), 12, "of no tensor"),
        (good.replace("[0,8]", "[4,12]"), 12, "of no tensor"),
        (good.replace("F32", "F64"), 8, "damaged"),
        (axes("[1]", 8).replace("F32", "F64"), 8, "not f32"),
        (good.replace("\"shape\"", "\"extra\":1,\"shape\""), 8, "damaged"),
        (good.replace("\"shape\"", "\"dtype\":\"F32\",\"shape\""), 8, "damaged"),
        // An axis of length 0 would let another one be of any length.
        (axes("[1152921504606846976,0]", 0), 0, "length 1 at least"),
        (axes("[1,1,1,1,1,1,1,1,1]", 4), 4, "at most 8 axes"),
        (axes("[4294967296,4294967296]", 0), 0, "damaged"),
        (axes("[-1]", 4), 4, "damaged"),
        ("{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}}".to_owned(), 0, "twice"),
        ("[".repeat(100_000), 0, "damaged"),
    ] {
        let error = refused(within(header.len(), || read(&header, bytes)));
        assert!(error.contains(word), "{error} does not say {word}");
    }
    let many: Vec<String> = (0..70_000).map(|i| format!("\"{i}\":{{}}")).collect();
    assert!(refused(read(&format!("{{{}}}", many.join(",")), 0)).contains("damaged"));
    let mut claims = tensors(good, 8);
    claims[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    let read = || formats::safetensors::read_safetensors(&claims, Path::new("x"));
    assert!(refused(within(claims.len(), read)).contains("header"));
}

#[test]
fn documents_that_go_deep_are_refused_and_not_followed() {
    for sign in ["[", "{a="] {
        let deep = format!("a = {}", sign.repeat(100_000));
        assert!(refused(Experiment::parse(&deep, "deep.toml")).contains("deep.toml"));
        assert!(refused(Sheet::parse(&deep, "deep.toml")).contains("deep.toml"));
        assert!(refused(Plan::parse(&deep, Path::new("deep.toml"))).contains("deep.toml"));
    }
    let keys = format!("{} = 1", vec!["a"; 100_000].join("."));
    assert!(refused(Experiment::parse(&keys, "deep.toml")).contains("deep.toml"));
    let deep = "[".repeat(100_000);
    assert!(json::parse(&deep).is_err());
    assert!(refused(run_folder::parse_about(&deep, Path::new("run.json"))).contains("run.json"));
}

#[test]
fn files_that_are_longer_than_sense_are_refused_before_they_are_read() {
    let home = tempfile::tempdir().unwrap();
    let long = |name: &str, bytes: u64| {
        let path = home.path().join(name);
        fs::File::create(&path).unwrap().set_len(bytes).unwrap();
        path
    };
    let gigabytes = 1 << 34;
    let path = long("long.toml", gigabytes);
    let name = path.display().to_string();
    assert!(refused(within(0, || Experiment::load(&path))).contains(&name));
    assert!(refused(within(0, || Sheet::load(&path))).contains(&name));
    assert!(
        refused(within(0, || files::read(&long("long.bytes", gigabytes)))).contains("long.bytes")
    );
    // A header may claim what the file has in fact, and still be none.
    run_folder(&home.path().join("run"));
    for name in ["weights/frozen.safetensors", "checkpoint.safetensors", "run.json"] {
        let path = home.path().join("run").join(name);
        let before = fs::read(&path).unwrap();
        fs::File::create(&path).unwrap().set_len(gigabytes).unwrap();
        let mut bytes = (gigabytes - 8).to_le_bytes().to_vec();
        bytes.extend(b"{}");
        use std::io::Write;
        fs::File::options().write(true).open(&path).unwrap().write_all(&bytes).unwrap();
        let read = within(0, || match name {
            "checkpoint.safetensors" => run_folder::checkpoint(&home.path().join("run")).map(drop),
            _ => Reader::open(&home.path().join("run")).map(drop),
        });
        assert!(refused(read).contains(name));
        fs::write(&path, before).unwrap();
    }
    // A record of the log that claims 3 GB, and has them.
    let log = home.path().join("run/weights/tail.log");
    let mut head = 3_000_000_000u32.to_le_bytes().to_vec();
    head.extend([0; 12]);
    fs::write(&log, head).unwrap();
    fs::File::options().write(true).open(&log).unwrap().set_len(3_100_000_000).unwrap();
    within(0, || Reader::open(&home.path().join("run"))).unwrap();
}

#[test]
fn a_text_of_an_intervention_names_no_more_positions_than_there_are() {
    let range = vec!["0-4095"; 5000].join(",");
    let text = format!("zero layer0.attn_out@{range}");
    assert!(refused(within(text.len(), || text.parse::<Intervention>())).contains("is no place"));
    let long = format!("patch layer0.attn_out from {}", "1 ".repeat(100_000));
    assert!(refused(within(0, || long.parse::<Intervention>())).contains("expected at most"));
    for text in [
        "zero layer0.attn_out@18446744073709551615",
        "zero layer1000000.head0",
        "zero layer0.head18446744073709551616",
        "add layer0.resid_pre 1*embed[18446744073709551615]",
    ] {
        assert!(text.parse::<Intervention>().is_err(), "{text}");
    }
    // Whether a network has so many layers and heads it says itself.
    assert!("zero layer64.head64@4095".parse::<Intervention>().is_ok());
}

#[test]
fn a_sheet_of_others_finds_nothing_elsewhere() {
    let sheet =
        |run: &str| Sheet::parse(&format!("[[panel]]\npanel = 'curves'\nrun = '{run}'"), "x");
    assert!(sheet("beside.me").is_ok());
    for run in ["/etc", "../other", "..", "a\\b"] {
        assert!(refused(sheet(run)).contains("name of a folder"), "{run}");
    }
}

#[test]
fn a_sweep_of_others_is_counted_before_it_is_compared() {
    let experiment = || Experiment::builtin("birth").unwrap().to_toml().parse().unwrap();
    let seeds: Vec<u64> = (0..2_000_000).collect();
    assert!(refused(Plan::new(experiment(), seeds, Vec::new())).contains("10000 runs"));
    let settings = (0..20_000).map(|i| (format!("train.a{i}"), vec![1.into()])).collect();
    assert!(refused(Plan::new(experiment(), vec![0], settings)).contains("64 settings"));
    // Values that end alike give names that differ all the same.
    let values = (0..3000).map(|i| toml::Value::String(format!("{i}/same"))).collect();
    let plan = Plan::new(experiment(), vec![0], vec![("task.text".to_owned(), values)]).unwrap();
    let mut names: Vec<String> = plan.members().into_iter().map(|member| member.name).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 3000);
}

#[test]
fn an_experiment_that_asks_for_more_than_a_machine_has_is_refused_before_it_is_built() {
    let build = |settings: &[&str]| {
        let mut experiment = Experiment::of("large", "bigram", "decoder").unwrap();
        experiment.set_texts(settings.iter().copied()).unwrap();
        Instrument::new(&experiment).map(drop)
    };
    let small = ["model.layers=1", "model.heads=1", "model.width=8", "task.length=16"];
    build(&small).unwrap();
    let wide = [
        "model.layers=12",
        "model.heads=64",
        "model.head_dim=1024",
        "model.width=4096",
        "model.mlp_ratio=16",
    ];
    let error = refused(within(1 << 26, || {
        build(&[&wide[..], &["task.length=2", "model.mlp=none", "model.heads=64"]].concat())
    }));
    assert!(error.contains("model.width"), "{error}");
    let long = ["model.layers=12", "model.heads=64", "model.width=64", "task.length=1024"];
    let error = refused(within(1 << 24, || build(&[&long[..], &["train.shard=256"]].concat())));
    assert!(error.contains("train.shard"), "{error}");
    for (name, document) in BUILTIN {
        let experiment = Experiment::parse(document, name).unwrap();
        if let Err(error) = Instrument::new(&experiment) {
            panic!("{name}: {error}");
        }
    }
}

/// A model of another crate, whose settings have no ranges as narrow as ours.
mod others {
    use mnemoscope::base::error::{Error, Result};
    use mnemoscope::model::{Architecture, Model};
    use mnemoscope::nn::params::Params;

    mnemoscope::settings! {
        pub struct Tower = "A model that is never built." {
            /// Layers.
            layers: usize = 1, in 1..=1000000;
        }
    }

    impl Architecture for Tower {
        fn build(&self, _: mnemoscope::model::Sequences, _: &mut Params) -> Result<Box<dyn Model>> {
            Err(Error::usage("it was asked to build"))
        }

        fn boxed(&self) -> Box<dyn Architecture> {
            Box::new(self.clone())
        }
    }
}

#[test]
fn sizes_are_compared_before_a_model_sees_them() {
    let mut experiment = Experiment::builtin("birth").unwrap();
    experiment.model = Box::new(others::Tower { layers: 65 });
    let error = refused(Instrument::new(&experiment));
    assert!(error.contains("65 layers") && error.contains("has 64"), "{error}");
    experiment.model = Box::new(others::Tower { layers: 64 });
    assert_eq!(refused(Instrument::new(&experiment)), "it was asked to build");
}

#[test]
fn files_of_other_programs_are_named_and_refused_with_the_reason() {
    let home = tempfile::tempdir().unwrap();
    let heads: [(&str, &[u8], &[&str]); 7] = [
        ("model.pt", b"PK\x03\x04rest", &["pickle", "safetensors", "save_file"]),
        ("old.pth", b"\x80\x02rest", &["pickle", "safetensors"]),
        ("without_an_ending", b"\x80\x04rest", &["pickle"]),
        ("model.bin", b"", &["pickle"]),
        ("model.gguf", b"GGUF\x03", &["GGUF", "safetensors"]),
        ("renamed.toml", b"GGUF\x03", &["GGUF"]),
        ("weights.safetensors", b"\x08\0\0\0\0\0\0\0{}      ", &["run"]),
    ];
    for (name, bytes, words) in heads {
        let path = home.path().join(name);
        fs::write(&path, bytes).unwrap();
        let arg = path.to_str().unwrap();
        let said = [
            refused(Experiment::find(arg).map(drop)),
            refused(Reader::open(&path).map(drop)),
            refused(Sheet::find(arg)),
            refused(files::read(&path)),
        ];
        for said in said {
            assert!(said.contains(arg), "{said}");
            assert!(words.iter().all(|word| said.contains(word)), "{said}: {words:?}");
        }
    }
    // A document is none of them, and a folder may have any name.
    let path = home.path().join("mine.toml");
    fs::write(&path, BUILTIN[0].1).unwrap();
    assert!(Experiment::load(&path).is_ok());
    let path = home.path().join("run.pt");
    run_folder(&path);
    assert!(Reader::open(&path).is_ok());
}

#[cfg(unix)]
#[test]
fn what_is_no_file_is_not_waited_for() {
    let home = tempfile::tempdir().unwrap();
    for name in ["metrics.csv", "events.jsonl", "weights/tail.log", "checkpoint.safetensors"] {
        let run = home.path().join(name.replace('/', "-"));
        run_folder(&run);
        fs::remove_file(run.join(name)).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(run.join(name)).unwrap();
        let error = refused(Writer::resume(&run).map(drop));
        assert!(error.contains(name), "{error}");
        if name != "checkpoint.safetensors" {
            assert!(refused(Reader::open(&run).map(drop)).contains("no regular file"));
        }
    }
}

#[cfg(unix)]
#[test]
fn nothing_is_written_through_a_link_in_a_run_of_others() {
    use std::os::unix::fs::symlink;
    let home = tempfile::tempdir().unwrap();
    let mine = home.path().join("mine");
    for name in ["metrics.csv", "events.jsonl", "weights", "lock"] {
        let run = home.path().join(format!("run-{name}"));
        run_folder(&run);
        let place = run.join(name);
        if place.is_dir() {
            fs::rename(&place, home.path().join("elsewhere")).unwrap();
            symlink(home.path().join("elsewhere"), &place).unwrap();
        } else {
            // As long as it must be, and not theirs.
            fs::write(&mine, "my own words ".repeat(1000)).unwrap();
            let _ = fs::remove_file(&place);
            symlink(&mine, &place).unwrap();
        }
        let error = refused(Writer::resume(&run).map(drop));
        assert!(error.contains("a link") && error.contains(name), "{error}");
        if mine.exists() {
            assert_eq!(fs::read_to_string(&mine).unwrap(), "my own words ".repeat(1000));
        }
    }
    // Nor through one with the name of a file that is being written.
    let run = home.path().join("run");
    run_folder(&run);
    symlink(&mine, run.join("run.json.tmp")).unwrap();
    run_folder::library::rename(&run, "a name").unwrap();
    assert_eq!(fs::read_to_string(&mine).unwrap(), "my own words ".repeat(1000));
    assert_eq!(run_folder::about(&run).unwrap().title.as_deref(), Some("a name"));
    // And what a link in `task` leads to is not kept with a run.
    symlink(&mine, run.join("task/unigrams.csv")).unwrap();
    assert!(!run_folder::documents(&run).unwrap().contains_key("unigrams.csv"));
}

#[test]
fn a_text_in_a_picture_that_inflates_without_end_is_not_inflated() {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 1, 1);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().unwrap();
    let mut chunk = png::text_metadata::ITXtChunk::new("Provenance", " ".repeat(256 << 20));
    chunk.compressed = true;
    writer.write_text_chunk(&chunk).unwrap();
    writer.write_image_data(&[0]).unwrap();
    writer.finish().unwrap();
    drop(chunk);
    assert!(bytes.len() < 4 << 20);
    let read = within(1 << 18, || Provenance::read(&bytes));
    assert!(refused(read).contains("no provenance"));
}

// ── text of others, where people and programs read it ────────────────────────────────────────────────

proptest::proptest! {
    #[test]
    fn no_text_moves_a_terminal(text in any::<String>(), hidden in "[\\PC\u{1b}\u{7f}\u{9b}\u{202e}\u{200b}\u{2066}\u{feff}\u{e0041}\r\n\t]*") {
        for text in [text, hidden] {
            let seen = plain(&text);
            assert!(seen.chars().all(|c| matches!(c, '\n' | '\t') || !is_hidden(c)), "{seen:?}");
            let json = serde_json::to_string(&text).unwrap();
            let seen = plain_json(&json);
            assert!(!seen.chars().any(is_hidden), "{seen:?}");
            assert_eq!(serde_json::from_str::<String>(&seen).unwrap(), text);
        }
    }

    #[test]
    fn no_text_breaks_out_of_a_figure(text in any::<String>()) {
        let document = format!("<a b=\"{0}\">{0}</a>", svg::escaped(&text));
        let read = resvg::usvg::roxmltree::Document::parse(&document).unwrap();
        assert_eq!(read.root_element().descendants().filter(|node| node.is_element()).count(), 1);
        let tex = pgf::escaped(&text);
        assert!(!tex.chars().any(is_hidden), "{tex:?}");
        // Each brace and each dollar that is no command's own is behind a backslash: they balance.
        let bare = tex.replace("\\{", "").replace("\\}", "").replace("\\$", "");
        assert_eq!(bare.matches('{').count(), bare.matches('}').count());
        assert_eq!(bare.matches('$').count() % 2, 0);
        assert!(!harmless(&text).starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']));
    }
}

#[test]
fn the_program_prints_nothing_that_a_terminal_obeys() {
    let home = tempfile::tempdir().unwrap();
    let name = "\u{1b}[2Jrun\u{202e}";
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_mnemoscope"))
        .current_dir(home.path())
        .args(["examine", name])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("runU+202E") && !said.trim_end().chars().any(is_hidden), "{said:?}");
}
