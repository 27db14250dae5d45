//! The laws of the house, read out of one table, and the words that must not be in it.

use std::fs;
use std::path::{Path, PathBuf};

const CANDLE: &[&str] = &["nn", "model", "probe", "run"];
const LEFT_WING: &[&str] = &["task", "model", "probe", "nn", "run"];
const RIGHT_WING: &[&str] = &["figure", "panel"];
const FLOORS: &[&str] =
    &["app", "cli", "figure", "gpu", "model", "nn", "panel", "probe", "run", "task"];

/// `(what may be named, on which floors only)`.
const ONLY_ON: &[(&[&str], &[&str])] = &[
    (&["candle_core"], CANDLE),
    (&["egui", "eframe", "egui_plot", "egui_tiles", "rfd"], &["app"]),
    (&["wgpu"], &["gpu", "app"]),
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

/// Lines of code that name `word` as a path segment (`word::`), comments left out.
fn names(text: &str, word: &str) -> Vec<String> {
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .filter(|line| {
            line.match_indices(word).any(|(at, _)| {
                let before = line[..at].chars().next_back();
                let after = &line[at + word.len()..];
                let starts = before.is_none_or(|c| !c.is_alphanumeric() && c != '_');
                starts
                    && (after.starts_with("::") || after.starts_with(';') && line.contains("use "))
            })
        })
        .map(str::to_owned)
        .collect()
}

#[test]
fn libraries_stay_on_their_floors() {
    for (path, text) in sources("src") {
        for (words, floors) in ONLY_ON {
            if floors.contains(&floor(&path).as_str()) {
                continue;
            }
            for word in *words {
                assert_eq!(
                    names(&text, word),
                    Vec::<String>::new(),
                    "{word} in {}",
                    path.display()
                );
            }
        }
    }
}

#[test]
fn the_ground_floor_knows_nobody_and_the_wings_never_meet() {
    for (path, text) in sources("src") {
        let here = floor(&path);
        let forbidden: &[&str] = match here.as_str() {
            "record" => FLOORS,
            f if RIGHT_WING.contains(&f) => LEFT_WING,
            f if LEFT_WING.contains(&f) => RIGHT_WING,
            _ => continue,
        };
        for other in forbidden.iter().filter(|o| **o != here) {
            let found = names(&text, &format!("crate::{other}"));
            assert_eq!(found, Vec::<String>::new(), "{} names {other}", path.display());
        }
    }
}

#[test]
fn threads_are_started_only_where_the_law_allows() {
    let allowed = ["src/run/", "src/app/worker.rs", "src/nn/kernel/pool.rs"];
    for (path, text) in sources("src") {
        if allowed.iter().any(|a| path.to_string_lossy().contains(a)) {
            continue;
        }
        for word in ["thread::Builder", "thread::spawn", "thread::scope", "ThreadPoolBuilder"] {
            assert!(!text.contains(word), "{word} in {}", path.display());
        }
    }
}

#[test]
fn numbers_never_depend_on_the_clock() {
    for (path, text) in sources("src") {
        if ["task", "model", "nn", "probe", "figure", "panel"].contains(&floor(&path).as_str()) {
            for word in ["Instant::now", "SystemTime::now"] {
                assert!(!text.contains(word), "{word} in {}", path.display());
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
