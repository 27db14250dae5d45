//! The laws of the house, read out of tables, and the words that must not be in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// `(floor, the floors that it may name)`.
const FLOORS: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("numeric", &["base"]),
    ("formats", &["base"]),
    ("run_folder", &["base", "formats"]),
    ("sweep", &["base", "formats", "numeric", "run_folder"]),
    ("nn", &["base"]),
    ("task", &["base", "formats"]),
    ("model", &["base", "nn"]),
    ("measurement", &["base", "model", "nn", "numeric", "run_folder", "task"]),
    ("run", &["base", "formats", "measurement", "model", "nn", "run_folder", "sweep", "task"]),
    ("figure", &["base", "formats"]),
    ("panel", &["base", "figure", "numeric", "run_folder", "sweep"]),
    ("gpu", &["base", "figure"]),
    ("export", &["base", "figure", "formats", "panel", "run", "run_folder", "sweep", "task"]),
    (
        "app",
        &[
            "base",
            "export",
            "figure",
            "formats",
            "gpu",
            "measurement",
            "model",
            "nn",
            "panel",
            "run",
            "run_folder",
            "sweep",
            "task",
        ],
    ),
    (
        "bench",
        &[
            "app",
            "base",
            "export",
            "figure",
            "formats",
            "gpu",
            "measurement",
            "model",
            "nn",
            "panel",
            "run",
            "run_folder",
            "task",
        ],
    ),
    (
        "cli",
        &[
            "app",
            "base",
            "bench",
            "export",
            "figure",
            "formats",
            "gpu",
            "measurement",
            "model",
            "nn",
            "numeric",
            "panel",
            "run",
            "run_folder",
            "sweep",
            "task",
        ],
    ),
    ("lib", &["base"]),
    ("main", &["cli", "nn"]),
];

/// `(what may be named, on which floors only)`.
const ONLY_ON: &[(&[&str], &[&str])] = &[
    (&["candle_core"], &["nn", "model", "measurement", "run"]),
    (&["egui", "eframe", "egui_plot", "egui_tiles", "rfd"], &["app"]),
    (&["wgpu"], &["gpu", "app"]),
    (&["tokenizers", "fancy_regex"], &["formats"]),
    // The one random generator; where it is named it is keyed by a seed.
    (&["rand_chacha", "rand_core"], &["nn", "task", "measurement"]),
];

/// Sources of chance that know no seed.
const WITHOUT_SEED: &[&str] = &[
    "rand",
    "getrandom",
    "fastrand",
    "OsRng",
    "ThreadRng",
    "RandomState",
    "thread_rng",
    "from_os_rng",
    "try_from_os_rng",
    "from_entropy",
    "from_rng",
    "randn",
];

fn sources(under: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(under)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push((path.clone(), fs::read_to_string(path).unwrap()));
            }
        }
    }
    found.sort();
    assert!(!found.is_empty());
    found
}

/// The floor of a file: the first folder (or file) under `src`.
fn floor(path: &Path) -> String {
    let inside = path.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap();
    let first = inside.components().next().unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

/// The words of a source file in order, without comments and quoted text: identifiers, `::` and single signs.
fn words(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let mut words = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let rest = &chars[at..];
        let length = comment(rest).or_else(|| quoted(rest));
        if let Some(length) = length {
            at += length;
            continue;
        }
        let name = rest.iter().take_while(|c| c.is_alphanumeric() || **c == '_').count();
        let length = if name > 0 {
            name
        } else if rest.starts_with(&[':', ':']) {
            2
        } else {
            1
        };
        let word: String = rest[..length].iter().collect();
        if !word.trim().is_empty() {
            words.push(word);
        }
        at += length;
    }
    words
}

fn comment(rest: &[char]) -> Option<usize> {
    let until = |end: &[char]| rest.windows(end.len()).position(|w| w == end);
    if rest.starts_with(&['/', '/']) {
        return Some(until(&['\n']).unwrap_or(rest.len()));
    }
    rest.starts_with(&['/', '*']).then(|| until(&['*', '/']).map_or(rest.len(), |at| at + 2))
}

/// The length of a literal of text or of one character at the start of `rest`.
fn quoted(rest: &[char]) -> Option<usize> {
    let raw = rest.iter().skip(1).take_while(|c| **c == '#').count();
    if rest[0] == 'r' && rest.get(1 + raw) == Some(&'"') {
        let end: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', raw)).collect();
        let body = &rest[2 + raw..];
        return body.windows(end.len()).position(|w| w == end).map(|at| 2 + raw + at + end.len());
    }
    match rest {
        ['"', ..] => {
            let mut at = 1;
            while rest.get(at).is_some_and(|c| *c != '"') {
                at += if rest[at] == '\\' { 2 } else { 1 };
            }
            Some(at + 1)
        }
        ['\'', '\\', ..] => rest[3..].iter().position(|c| *c == '\'').map(|at| at + 4),
        ['\'', _, '\'', ..] => Some(3),
        _ => None,
    }
}

/// Every path that a source file names, in imports (groups and aliases spelled out) and in between; `module` is the
/// path of the file's own module, to which `self` and `super` lead.
fn paths(text: &str, module: &[&str]) -> BTreeSet<String> {
    let words = words(text);
    let mut found = BTreeSet::new();
    let mut at = 0;
    while at < words.len() {
        let is_name = |w: &String| w.starts_with(|c: char| c.is_alphabetic() || c == '_');
        let inside = at > 0 && words[at - 1] == "::" && at > 1 && is_name(&words[at - 2]);
        // `impl Trait + use<>` says what it captures, and imports nothing.
        let captures = words.get(at + 1).is_some_and(|w| w == "<");
        if words[at] == "use" && !captures {
            at = tree(&words, at + 1, &mut Vec::new(), module, &mut found);
        } else if is_name(&words[at]) && !inside {
            let mut path = vec![words[at].clone()];
            while words.get(at + 1).is_some_and(|w| w == "::")
                && words.get(at + 2).is_some_and(is_name)
            {
                path.push(words[at + 2].clone());
                at += 2;
            }
            found.insert(rooted(&path, module));
            at += 1;
        } else {
            at += 1;
        }
    }
    found
}

/// Reads one branch of an import from word `at` on; returns where it ends.
fn tree(
    words: &[String],
    mut at: usize,
    prefix: &mut Vec<String>,
    module: &[&str],
    found: &mut BTreeSet<String>,
) -> usize {
    let depth = prefix.len();
    while let Some(word) = words.get(at) {
        at += 1;
        match word.as_str() {
            "{" => {
                while words.get(at).is_some_and(|w| w != "}") {
                    at = tree(words, at, prefix, module, found);
                    at += usize::from(words.get(at).is_some_and(|w| w == ","));
                }
                prefix.truncate(depth);
                return at + 1;
            }
            "," | "}" | ";" => {
                at -= 1;
                break;
            }
            "as" => at += 1,
            "::" => (),
            name => prefix.push(name.to_owned()),
        }
    }
    if prefix.len() > depth {
        found.insert(rooted(prefix, module));
    }
    prefix.truncate(depth);
    at
}

/// The path with `self` and `super` at its start replaced by where they lead.
fn rooted(path: &[String], module: &[&str]) -> String {
    let up = path.iter().take_while(|w| *w == "super" || *w == "self").count();
    let supers = path[..up].iter().filter(|w| *w == "super").count();
    if up == 0 {
        return path.join("::");
    }
    let base = &module[..module.len().saturating_sub(supers)];
    let rest = path[up..].iter().map(String::as_str);
    std::iter::once("crate").chain(base.iter().copied()).chain(rest).collect::<Vec<_>>().join("::")
}

/// Whether `path` is `name` or leads into it.
fn leads_to(path: &str, name: &str) -> bool {
    path.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// The module of a file under `src`, e.g. `["panel", "curves"]`.
fn module(path: &Path) -> Vec<String> {
    let inside = path.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap();
    let parts = inside.with_extension("");
    let parts = parts.iter().map(|part| part.to_str().unwrap().to_owned());
    parts.filter(|part| part != "mod").collect()
}

fn paths_of(path: &Path, text: &str) -> BTreeSet<String> {
    let module = module(path);
    paths(text, &module.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn imports_in_groups_under_other_names_and_by_detours_are_seen() {
    let text = r##"
        //! crate::cli in a comment
        use candle_core as c;
        use crate::{run, task::{self, batch as b}, Result};
        use super::super::probe::marks::{Facts, Marks};
        pub use super::heads;
        fn f(x: &'static str) -> c::Tensor { crate::gpu::start("crate::app", '"', r#"crate::app"#); Self::g() }
    "##;
    let found = paths(text, &["panel", "curves"]);
    for path in [
        "candle_core",
        "crate::run",
        "crate::task::batch",
        "crate::Result",
        "crate::probe::marks::Marks",
        "crate::panel::heads",
        "crate::gpu::start",
    ] {
        assert!(found.contains(path), "{path} in {found:?}");
    }
    let names = |name| found.iter().any(|path| leads_to(path, name));
    assert!(names("crate::task") && names("crate::probe") && names("crate::panel"));
    assert!(!names("crate::cli") && !names("crate::app") && !names("crate::pro"));
}

#[test]
fn libraries_stay_on_their_floors() {
    for (path, text) in sources("src") {
        let found = paths_of(&path, &text);
        for (words, floors) in ONLY_ON {
            if floors.contains(&floor(&path).as_str()) {
                continue;
            }
            for word in *words {
                let named = found.iter().find(|path| leads_to(path, word));
                assert_eq!(named, None, "{}", path.display());
            }
        }
    }
}

#[test]
fn every_floor_names_only_the_floors_that_it_may() {
    for (path, text) in sources("src") {
        let here = floor(&path);
        let (_, may) = FLOORS.iter().find(|(name, _)| *name == here).unwrap_or_else(|| {
            panic!("{} is on a floor that the table lacks", path.display());
        });
        let found = paths_of(&path, &text);
        for other in FLOORS.iter().map(|(name, _)| *name) {
            if other == here || may.contains(&other) {
                continue;
            }
            for root in ["crate", "mnemoscope"] {
                let name = format!("{root}::{other}");
                let named = found.iter().find(|path| leads_to(path, &name));
                assert_eq!(named, None, "{} is on {here}", path.display());
            }
        }
        let whole = found.iter().find(|path| ["crate::*", "crate"].contains(&path.as_str()));
        assert_eq!(whole, None, "{} names the whole house", path.display());
    }
}

/// No circle of imports holds more files than this. An edge between a module and the one that it lies in is not counted: a folder
/// declares its files, and they use what it shares among them.
const MOST_IN_A_CIRCLE: usize = 3;

/// Which files under `src` name which others, by module: `app::lab` names `app::lab::run`.
fn imports() -> BTreeMap<String, BTreeSet<String>> {
    let files = sources("src");
    let known: BTreeSet<String> = files.iter().map(|(path, _)| module(path).join("::")).collect();
    let leads = |path: &str, from: &[String]| {
        let inside = path.strip_prefix("crate::").map(str::to_owned).or_else(|| {
            // A name that begins with a module of this file's own.
            let own = [from, &[path.split("::").next()?.to_owned()]].concat().join("::");
            known.contains(&own).then(|| [from, &[path.to_owned()]].concat().join("::"))
        })?;
        let parts: Vec<&str> = inside.split("::").collect();
        (1..=parts.len()).rev().map(|n| parts[..n].join("::")).find(|name| known.contains(name))
    };
    let of = |(path, text): &(PathBuf, String)| {
        let here = module(path);
        let named = paths_of(path, text).iter().filter_map(|path| leads(path, &here)).collect();
        (here.join("::"), named)
    };
    files.iter().map(of).collect()
}

/// Whether one of the two lies directly in the other.
fn is_nested(a: &str, b: &str) -> bool {
    let lies_in = |a: &str, b: &str| a.rsplit_once("::").is_some_and(|(folder, _)| folder == b);
    lies_in(a, b) || lies_in(b, a)
}

/// All that can be reached from a module over edges that count.
fn reached<'a>(graph: &'a BTreeMap<String, BTreeSet<String>>, from: &'a str) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    let mut next = vec![from];
    while let Some(here) = next.pop() {
        for there in graph.get(here).into_iter().flatten() {
            if !is_nested(here, there) && found.insert(there.as_str()) {
                next.push(there);
            }
        }
    }
    found
}

/// Circles of imports, the largest first.
fn circles(graph: &BTreeMap<String, BTreeSet<String>>) -> Vec<BTreeSet<&str>> {
    let all: BTreeMap<&str, _> =
        graph.keys().map(|name| (name.as_str(), reached(graph, name))).collect();
    let with = |name: &str| -> BTreeSet<&str> {
        all[name].iter().copied().filter(|other| all[other].contains(name)).collect()
    };
    let found: BTreeSet<BTreeSet<&str>> = graph.keys().map(|name| with(name)).collect();
    let mut found: Vec<_> = found.into_iter().filter(|circle| circle.len() > 1).collect();
    found.sort_by_key(|circle| std::cmp::Reverse(circle.len()));
    found
}

#[test]
fn no_circle_of_imports_is_large() {
    let graph = imports();
    let found = circles(&graph);
    for circle in &found {
        println!("{} files: {circle:?}", circle.len());
    }
    let largest = found.first().map_or(0, BTreeSet::len);
    assert!(largest <= MOST_IN_A_CIRCLE, "{largest} files import each other: {:?}", found[0]);
}

/// `(room of the window, the rooms that it may name)`; an empty name is what all of `app` has.
const ROOMS: &[(&str, &[&str])] = &[
    ("worker", &[]),
    ("widgets", &[]),
    ("canvas", &[]),
    ("lab", &[]),
    ("measure", &["lab"]),
    ("commands", &["lab"]),
    ("panes", &["canvas", "commands", "lab", "widgets"]),
    ("figure_export", &["canvas", "commands", "lab", "widgets"]),
    (
        "window",
        &[
            "",
            "canvas",
            "commands",
            "figure_export",
            "lab",
            "measure",
            "panes",
            "widgets",
            "worker",
        ],
    ),
    ("launch", &["", "canvas", "lab", "measure", "window"]),
    ("headless", &["", "canvas", "window"]),
    ("", &["lab"]),
];

#[test]
fn rooms_of_the_window_name_only_those_below_them() {
    let room = |name: &str| name.split("::").nth(1).unwrap_or("").to_owned();
    for (from, all) in imports().iter().filter(|(name, _)| name.split("::").next() == Some("app")) {
        let here = room(from);
        let (_, may) = ROOMS.iter().find(|(name, _)| *name == here).unwrap_or_else(|| {
            panic!("{from} is in a room that the table lacks");
        });
        for to in all.iter().filter(|name| name.split("::").next() == Some("app")) {
            let there = room(to);
            // A folder declares its files.
            let is_fine = here == there || is_nested(from, to) || may.contains(&there.as_str());
            assert!(is_fine, "{from} names {to}");
        }
    }
}

#[test]
fn the_laboratory_knows_no_window() {
    for (path, text) in sources("src/app/lab") {
        let found = paths_of(&path, &text);
        for word in ["egui", "eframe", "egui_plot", "egui_tiles", "rfd", "wgpu"] {
            let named = found.iter().find(|path| leads_to(path, word));
            assert_eq!(named, None, "{}", path.display());
        }
    }
}

#[test]
fn circles_are_found_and_folders_do_not_close_them() {
    let graph = |edges: &[(&str, &[&str])]| -> BTreeMap<String, BTreeSet<String>> {
        let names = |all: &[&str]| all.iter().map(|name| (*name).to_owned()).collect();
        edges.iter().map(|(from, to)| ((*from).to_owned(), names(to))).collect()
    };
    let three = graph(&[("a", &["b"]), ("b", &["c"]), ("c", &["a", "d"]), ("d", &[])]);
    assert_eq!(circles(&three), [BTreeSet::from(["a", "b", "c"])]);
    let folder = graph(&[("a", &["a::b"]), ("a::b", &["a", "a::c"]), ("a::c", &["a"])]);
    assert!(circles(&folder).is_empty());
    let deeper = graph(&[("a", &["a::b::c"]), ("a::b::c", &["a"]), ("a::b", &[])]);
    assert_eq!(circles(&deeper).len(), 1);
}

#[test]
fn imports_of_this_crate_are_found() {
    let graph = imports();
    assert!(graph["app"].iter().any(|name| name.starts_with("app::")));
    assert!(graph["figure::svg"].contains("figure::scene"), "{:?}", graph["figure::svg"]);
}

#[test]
fn threads_are_started_only_where_the_law_allows() {
    let allowed = ["src/run/", "src/app/worker.rs", "src/nn/kernel/pool.rs"];
    for (path, text) in sources("src") {
        if allowed.iter().any(|a| path.to_string_lossy().contains(a)) {
            continue;
        }
        for path_named in paths_of(&path, &text) {
            for word in ["Builder", "spawn", "scope"] {
                let starts = path_named.ends_with(&format!("thread::{word}"));
                assert!(!starts, "{path_named} in {}", path.display());
            }
            assert!(!path_named.contains("ThreadPoolBuilder"), "in {}", path.display());
        }
    }
}

/// Floors on which numbers of a run, or pictures of them, are made.
const WITHOUT_CLOCK: &[&str] = &[
    "base",
    "formats",
    "numeric",
    "run_folder",
    "sweep",
    "nn",
    "task",
    "model",
    "measurement",
    "run",
    "figure",
    "panel",
    "gpu",
];

#[test]
fn numbers_never_depend_on_the_clock() {
    for (path, text) in sources("src") {
        if !WITHOUT_CLOCK.contains(&floor(&path).as_str()) {
            continue;
        }
        let text = if path.ends_with("run/session.rs") { without_pace(&text) } else { text };
        let words = words(&text);
        for reads in [&["Instant", "::", "now"][..], &["SystemTime", "::", "now"], &["elapsed"]] {
            let found = words.windows(reads.len()).any(|w| w == reads);
            assert!(!found, "{} in {}", reads.concat(), path.display());
        }
    }
}

/// The session without its clock, which says when to speak and to save and how fast it goes.
fn without_pace(text: &str) -> String {
    let from = text.find("\nstruct Pace {").expect("the session has a pace");
    let body = text[from..].find("\nimpl Pace {").expect("and it does something") + from + 1;
    let end = text[body..].find("\n}\n").expect("and ends") + body;
    text[..from].to_owned() + &text[end..]
}

#[test]
fn chance_comes_only_from_a_seed() {
    for (path, text) in sources("src") {
        let words = words(&text);
        for (i, word) in words.iter().enumerate() {
            // `Tensor::rand`, `rand::rng`: not a variable or a field of that name.
            let in_path =
                words.get(i + 1).is_some_and(|w| w == "::") || i > 0 && words[i - 1] == "::";
            let forbidden =
                WITHOUT_SEED.contains(&word.as_str()) && (in_path || word.contains('_'));
            assert!(!forbidden, "{word} in {}", path.display());
        }
    }
}

#[test]
fn nothing_global_can_change() {
    let changeable = ["mut", "Mutex", "RwLock", "RefCell", "Cell", "OnceLock", "OnceCell"];
    for (path, text) in sources("src") {
        let words = words(&text);
        assert!(words.iter().all(|w| w != "thread_local"), "in {}", path.display());
        for (i, _) in words.iter().enumerate().filter(|(_, word)| *word == "static") {
            // `'static` is a lifetime.
            if i > 0 && words[i - 1] == "'" {
                continue;
            }
            let mut declared = words[i..].iter().take_while(|w| *w != "=" && *w != ";");
            let found =
                declared.find(|w| changeable.contains(&w.as_str()) || w.starts_with("Atomic"));
            assert_eq!(found, None, "a static in {}", path.display());
        }
    }
}

#[test]
fn a_panel_remembers_nothing() {
    let changeable = ["Mutex", "RwLock", "RefCell", "OnceLock", "OnceCell", "UnsafeCell"];
    for (path, text) in sources("src/panel") {
        let words = words(&text);
        let found = words
            .iter()
            .find(|word| changeable.contains(&word.as_str()) || word.starts_with("Atomic"));
        assert_eq!(found, None, "in {}", path.display());
    }
}

/// The packages after `marker` in the file at `path`, up to `end`.
fn packages(path: &str, marker: &str, end: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    let from = text.find(marker).unwrap_or_else(|| panic!("{marker} in {path}")) + marker.len();
    let until = text[from..].find(end).unwrap();
    text[from..from + until].split_whitespace().map(str::to_owned).collect()
}

#[test]
fn the_readme_the_program_and_the_checks_name_the_same_system_packages() {
    let readme = packages("README.md", "sudo apt install ", "`");
    let program = packages("src/app/launch.rs", "\"sudo apt install ", "\"");
    assert_eq!(readme, program);
    // A virtual display, `kill` and `rsync` are for tests alone.
    let tests = ["xvfb", "xauth", "procps", "rsync"].map(str::to_owned);
    let checks = packages(".ci/run", "need=(", ")");
    assert_eq!(checks, program.union(&tests.into()).cloned().collect());
}

/// A measurement asks a task for a facet and a model for what it says of itself: another one may have the same.
#[test]
fn no_task_and_no_model_is_told_by_its_name() {
    let models = mnemoscope::model::ALL.iter().map(|entry| entry.name);
    let names: Vec<&str> =
        mnemoscope::task::ALL.iter().map(|entry| entry.name).chain(models).collect();
    assert!(names.contains(&"birth") && names.contains(&"bigram"), "{names:?}");
    for (path, text) in sources("src") {
        for name in &names {
            for told in [
                format!("== \"{name}\""),
                format!("!= \"{name}\""),
                format!("\"{name}\" =>"),
                format!("\"{name}\" |"),
            ] {
                assert!(!text.contains(&told), "{told} in {}", path.display());
            }
        }
    }
}

#[test]
fn every_source_file_opens_with_what_it_is_for() {
    for (path, text) in sources("src").into_iter().chain(sources("examples")) {
        assert!(text.starts_with("//! "), "{} has no opening sentence", path.display());
    }
}

#[test]
fn nothing_unfinished_is_left_in_the_sources() {
    let words = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("unimplemented", "!("),
        concat!("todo", "!("),
    ];
    for (path, text) in sources("src").into_iter().chain(sources("tests")) {
        for word in words {
            assert!(!text.contains(word), "{word} in {}", path.display());
        }
    }
}

/// The targets live outside of the crate, and a package of it has none.
#[test]
fn every_fuzz_target_is_built_and_described() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    if !fuzz.exists() {
        return;
    }
    let read = |name: &str| fs::read_to_string(fuzz.join(name)).unwrap();
    let (manifest, readme) = (read("Cargo.toml"), read("README.md"));
    for (path, text) in sources("fuzz/targets") {
        let name = path.file_stem().unwrap().to_str().unwrap();
        assert!(text.starts_with("//! "), "{} has no opening sentence", path.display());
        assert!(manifest.contains(&format!("path = \"targets/{name}.rs\"")), "{name}");
        assert!(readme.contains(&format!("| `{name}` | ")), "{name}");
    }
}
