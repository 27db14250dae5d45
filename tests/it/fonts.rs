//! Signs that the program's own fonts lack: where glyphs come from, and what is said where there are none.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use egui::accesskit::Role;
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;
use mnemoscope::app::{App, Launch, Panels, Surroundings};
use mnemoscope::figure::fallback::Fallback;
use mnemoscope::figure::file::{Format, render};
use mnemoscope::figure::font::{Family, Font, Typeface};
use mnemoscope::figure::layout::layout;
use mnemoscope::figure::page::Page;
use mnemoscope::figure::provenance::{Provenance, fonts};
use mnemoscope::figure::style::Style;
use mnemoscope::figure::{Figure, Plot, png};
use sha2::Digest;

use crate::app::{TINY, finished, press, window_of};
use crate::figure_editor::from_menu;
use crate::tour_window::Kept;

/// A font of boxes: each sign one that is as wide as is said, in thousandths of the font size.
fn boxes(name: &str, weight: u16, signs: &[(char, u16)]) -> Vec<u8> {
    let mut signs = signs.to_vec();
    signs.sort_unstable();
    let glyphs = signs.len() as u16 + 1;
    let (mut glyf, mut loca, mut hmtx) = (Vec::new(), vec![0, 0, 0, 0], Vec::new());
    for advance in std::iter::once(500).chain(signs.iter().map(|(_, advance)| *advance)) {
        let width = advance as i16 - 100;
        // One contour of four points: its box, its last point, no instructions, all on the curve, steps in x and in y.
        glyf.extend(words(&[1, 50, 0, 50 + width, 700, 3, 0, 0x0101, 0x0101]));
        glyf.extend(words(&[50, width, 0, -width, 0, 0, 700, 0]));
        glyf.extend([0, 0]);
        loca.extend((glyf.len() as u32).to_be_bytes());
        hmtx.extend(words(&[advance as i16, 50]));
    }
    let mut cmap = words(&[0, 1, 3, 10, 0, 12, 12, 0]);
    let groups = signs.len() as u32;
    cmap.extend([16 + 12 * groups, 0, groups].map(u32::to_be_bytes).concat());
    for (glyph, (sign, _)) in (1u32..).zip(&signs) {
        cmap.extend([*sign as u32, *sign as u32, glyph].map(u32::to_be_bytes).concat());
    }
    let names = [(1, name), (2, "Regular"), (4, name), (6, "Boxes")];
    let mut name = words(&[0, 4, 6 + 4 * 12]);
    let mut texts: Vec<u8> = Vec::new();
    for (id, text) in names {
        let text: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        name.extend(words(&[3, 1, 0x409, id, text.len() as i16, texts.len() as i16]));
        texts.extend(text);
    }
    name.extend(texts);
    let mut head = words(&[1, 0, 1, 0, 0, 0, 0x5f0f, 0x3cf5, 0, 1000]);
    head.extend([0; 16]);
    head.extend(words(&[0, 0, 2000, 700, 0, 8, 2, 1, 0]));
    let hhea =
        words(&[1, 0, 800, -200, 0, 2000, 0, 0, 2000, 1, 0, 0, 0, 0, 0, 0, 0, glyphs as i16]);
    let maxp = words(&[1, 0, glyphs as i16, 4, 1, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0]);
    let mut os2 = words(&[4, 500, weight as i16, 5]);
    os2.resize(96, 0);
    let mut post = words(&[3, 0]);
    post.resize(32, 0);
    assembled(&[
        (b"OS/2", os2),
        (b"cmap", cmap),
        (b"glyf", glyf),
        (b"head", head),
        (b"hhea", hhea),
        (b"hmtx", hmtx),
        (b"loca", loca),
        (b"maxp", maxp),
        (b"name", name),
        (b"post", post),
    ])
}

fn words(values: &[i16]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_be_bytes()).collect()
}

/// Tables behind their directory.
fn assembled(tables: &[(&[u8; 4], Vec<u8>)]) -> Vec<u8> {
    let mut file = words(&[1, 0, tables.len() as i16, 128, 3, 32]);
    let mut at = file.len() + 16 * tables.len();
    for (tag, table) in tables {
        file.extend(*tag);
        file.extend([0, at as u32, table.len() as u32].map(u32::to_be_bytes).concat());
        at += table.len().next_multiple_of(4);
    }
    for (_, table) in tables {
        file.extend(table);
        file.resize(file.len().next_multiple_of(4), 0);
    }
    file
}

fn written(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, bytes).unwrap();
    path
}

/// A title and nothing else.
fn titled(title: &str) -> Figure {
    Figure { title: title.to_owned(), plots: vec![Plot::default()], ..Figure::default() }
}

fn style(fallback: Fallback) -> Style {
    Style { family: Typeface { own: Family::Sans, fallback }, ..Style::light() }
}

fn page(fallback: Fallback) -> Page {
    Page { style: style(fallback), ..Page::column() }
}

const SIGNS: [(char, u16); 4] = [('漢', 1000), ('字', 2000), ('ا', 300), ('ب', 700)];

fn named() -> Fallback {
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path(), "boxes.ttf", &boxes("Boxes", 400, &SIGNS));
    Fallback::of(&[path], Vec::new()).unwrap()
}

#[test]
fn formats_that_can_show_a_character_hold_it() {
    let figure = titled("漢字 שלום 🙂");
    for fallback in [Fallback::NONE, named()] {
        for format in [Format::Svg, Format::Tex] {
            let text =
                String::from_utf8(render(&figure, &page(fallback), format).unwrap()).unwrap();
            assert!(text.contains("漢字 שלום 🙂") && !text.contains('□'), "{text}");
        }
    }
    let tex = String::from_utf8(render(&figure, &Page::column(), Format::Tex).unwrap()).unwrap();
    assert!(tex.contains("LuaLaTeX"), "and it says what can set them");
    let latin = render(&titled("α and é"), &Page::column(), Format::Tex).unwrap();
    assert!(
        !String::from_utf8(render(&titled("é"), &Page::column(), Format::Tex).unwrap())
            .unwrap()
            .contains("LuaLaTeX")
    );
    assert!(String::from_utf8(latin).unwrap().contains('α'));
}

#[test]
fn text_is_as_wide_as_the_font_that_draws_it() {
    let typeface = Typeface { own: Family::Sans, fallback: named() };
    let own = Typeface::of(Family::Sans);
    assert_eq!(typeface.width("漢字漢", 10.0, false), 40.0);
    let mixed = typeface.width("ab漢", 10.0, false);
    assert!((mixed - 10.0 - own.width("ab", 10.0, false)).abs() < 0.01, "{mixed}");
    assert_eq!(typeface.width("plain", 7.0, true), own.width("plain", 7.0, true));
    // A box stands for what no font has.
    assert_eq!(own.width("漢", 10.0, false), own.width("□", 10.0, false));
    assert_eq!(typeface.fit("漢漢漢漢", 10.0, 35.0), "漢漢…");
}

#[test]
fn stretches_stand_in_the_order_in_which_they_are_read() {
    let typeface = Typeface { own: Family::Sans, fallback: named() };
    let runs = typeface.runs("ab אב 漢cd");
    let texts: Vec<(&str, bool)> =
        runs.iter().map(|r| (r.text.as_str(), r.right_to_left)).collect();
    assert_eq!(texts, [("ab ", false), ("אב", true), (" ", false), ("漢", false), ("cd", false)]);
    assert!(matches!(runs[3].font, Font::Other(face) if face.name == "Boxes"));
    // The first letter of a word that is read from the right stands at its right end.
    let starts = |text: &str| -> Vec<usize> {
        let [run] = &typeface.runs(text)[..] else { panic!("one stretch") };
        typeface.shape(run, false).iter().map(|glyph| glyph.start).collect()
    };
    assert_eq!(starts("שלום"), [6, 4, 2, 0]);
    assert_eq!(starts("اب"), [2, 0]);
    assert_eq!(starts("漢字"), [0, 3]);
    // Two fonts in a word that is read from the right: the second half stands first.
    let halves = typeface.runs("אבاب");
    assert_eq!(halves.iter().map(|r| r.text.as_str()).collect::<Vec<_>>(), ["اب", "אב"]);
    // A mark stays with its letter.
    assert_eq!(typeface.runs("a\u{301}漢").len(), 2);
}

#[test]
fn what_no_font_has_is_a_box_and_is_counted() {
    let scene = |title: &str, fallback| layout(&titled(title), [200.0, 100.0], &style(fallback));
    let beyond = scene("漢字 \u{e000}\u{e001} a", named()).beyond();
    assert_eq!(
        beyond.lacking.iter().collect::<String>(),
        "\u{e000}\u{e001}",
        "each font has its own"
    );
    assert_eq!(beyond.others.len(), 1);
    let said = beyond.sentence().unwrap();
    assert!(
        said.starts_with("2 characters have no glyph") && said.contains("U+E000, U+E001"),
        "{said}"
    );
    assert_eq!(scene("漢字", named()).beyond().sentence(), None);
    assert_eq!(scene("plain é α ж א", Fallback::NONE).beyond(), Default::default());
    let boxed = png::pixels(&scene("漢", Fallback::NONE), 300.0).unwrap();
    assert!(boxed == png::pixels(&scene("□", Fallback::NONE), 300.0).unwrap());
}

/// Dark pixels of a picture.
fn ink(title: &str, fallback: Fallback) -> usize {
    let (_, _, rgba) =
        png::pixels(&layout(&titled(title), [200.0, 100.0], &style(fallback)), 288.0).unwrap();
    rgba.chunks(4).filter(|pixel| pixel[0] < 128).count()
}

#[test]
fn pixels_and_pdf_take_their_glyphs_from_the_font_that_was_named() {
    let fallback = named();
    let empty = ink(" ", fallback);
    // 288 dots an inch are four a point, and the title is of 8 pt: 32 pixels to the em.
    let of = |title: &str| (ink(title, fallback) - empty) as f32;
    let wanted = 0.9 * 0.7 * 32.0 * 32.0;
    assert!((of("漢") / wanted - 1.0).abs() < 0.05, "{} of {wanted}", of("漢"));
    assert!((of("漢字") / (wanted + 1.9 * 0.7 * 32.0 * 32.0) - 1.0).abs() < 0.05);
    assert!((of("a漢b") - of("ab") - wanted).abs() / wanted < 0.05, "beside letters of ours");
    let pdf = |title: &str| {
        let bytes = render(&titled(title), &page(fallback), Format::Pdf).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    assert!(pdf("漢").contains("+Boxes"), "a subset of it is in the file");
    assert!(!pdf("plain").contains("Boxes"));
    assert!(!pdf("漢").contains("/Type3"));
}

#[test]
fn a_figure_in_our_own_signs_is_the_same_whatever_fonts_there_are() {
    let figure = titled("Loss ≤ 3 → ␣↵ α ж");
    for format in Format::ALL {
        let [bare, with] = [Fallback::NONE, named()]
            .map(|fallback| render(&figure, &page(fallback), *format).unwrap());
        assert!(bare == with, "{}", format.name());
    }
}

#[test]
fn fonts_of_others_stand_in_the_provenance() {
    let bytes = boxes("Boxes", 400, &SIGNS);
    let facts = fonts(&layout(&titled("漢"), [200.0, 100.0], &style(named())).beyond());
    let hash: String = sha2::Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(facts.len(), 1);
    assert_eq!((facts[0].name.as_str(), &facts[0].sha256), ("Boxes", &hash));
    let svg =
        String::from_utf8(render(&titled("漢"), &page(named()), Format::Svg).unwrap()).unwrap();
    assert!(svg.contains("&apos;Boxes&apos;, sans-serif"), "a viewer is told which font it was");
}

#[test]
fn the_first_regular_face_by_name_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let deep = folder.path().join("deep/er");
    fs::create_dir_all(&deep).unwrap();
    written(folder.path(), "1.ttf", &boxes("Aaa", 700, &[('漢', 100), ('x', 100)]));
    written(folder.path(), "2.TTF", &boxes("Ccc", 400, &[('漢', 200), ('字', 200)]));
    written(&deep, "3.otf", &boxes("Bbb", 400, &[('漢', 300), ('ا', 300)]));
    written(folder.path(), "4.ttf", &boxes("Last Resort", 400, &[('漢', 400), ('口', 400)]));
    written(folder.path(), "5.ttf", b"no font at all");
    written(folder.path(), "6.txt", &boxes("Aa", 400, &[('漢', 600)]));
    let mut painted = boxes("Aaaa", 400, &[('漢', 700), ('口', 700)]);
    let at = painted.windows(4).position(|w| w == b"post").unwrap();
    painted[at..at + 4].copy_from_slice(b"COLR");
    let painted = written(folder.path(), "7.ttf", &painted);
    #[cfg(unix)]
    std::os::unix::fs::symlink(folder.path(), deep.join("up")).unwrap();
    let all = Fallback::of(&[], vec![folder.path().to_owned(), "/no/such/folder".into()]).unwrap();
    let of = |c: char| all.find(c).map(|face| face.name.as_str());
    assert_eq!(
        [of('漢'), of('字'), of('ا'), of('口')],
        [Some("Bbb"), Some("Ccc"), Some("Bbb"), None]
    );
    // A font that is named comes before them, and what it lacks is looked for behind it.
    let first = written(folder.path(), "named", &boxes("Zzz", 900, &[('漢', 800)]));
    let both = Fallback::of(&[first], vec![folder.path().to_owned()]).unwrap();
    assert_eq!(both.find('漢').unwrap().name, "Zzz");
    assert_eq!(both.find('字').unwrap().name, "Ccc");
    for (path, why) in [
        (painted, "pictures or colours"),
        (folder.path().join("5.ttf"), "no font"),
        (folder.path().join("8.ttf"), "8.ttf"),
    ] {
        let message = Fallback::of(&[path], Vec::new()).unwrap_err().message;
        assert!(message.contains(why), "{message}");
    }
}

// ---- commands

fn command(home: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mnemoscope"));
    command.current_dir(home).args(args).env("XDG_DATA_HOME", home.join("data"));
    command.stdin(Stdio::null()).output().unwrap()
}

/// What a command that must succeed says on standard error.
fn said(home: &Path, args: &[&str]) -> String {
    let output = command(home, args);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{args:?}: {said}");
    said
}

/// A run on a text with characters of others and one that no font may have.
fn run_on_odd_text(home: &Path) {
    fs::write(home.join("odd.txt"), "漢字\u{e000} 漢\u{a0}字\n".repeat(40)).unwrap();
    let experiment = "name = \"odd\"\nabout = \"x\"\n[task]\nkind = \"bigram\"\nlength = 24\ntriggers = 1\ntext = \"odd.txt\"\n\
        [model]\nkind = \"birth\"\nwidth = 16\n[train]\nbatch = 4\nsteps = 4\nheld_out = 4\n";
    fs::write(home.join("odd.toml"), experiment).unwrap();
    said(home, &["train", "odd.toml", "--out", "run", "--quiet"]);
}

const TEXT: &str = "漢字\u{e000} \u{a0}\n漢字";

/// Fonts of a user lie in the data folder of Linux.
#[cfg(target_os = "linux")]
#[test]
fn commands_say_which_fonts_were_used_and_how_many_characters_no_font_has() {
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name);
    run_on_odd_text(home.path());
    fs::create_dir_all(path("data/fonts")).unwrap();
    // A name that stands before those of all other fonts.
    let font = boxes("A A", 400, &SIGNS);
    fs::write(path("data/fonts/a.ttf"), &font).unwrap();
    let draw = |rest: &[&str]| {
        said(
            home.path(),
            &[&["figure", "run", "tokens", "--tokens", TEXT, "--alone", "-o"], rest].concat(),
        )
    };
    let first = draw(&["f.png", "-o", "f.svg", "-o", "f.csv"]);
    assert!(first.contains("1 character has no glyph") && first.contains("U+E000"), "{first}");
    let svg = fs::read_to_string(path("f.svg")).unwrap();
    assert!(svg.contains(">漢</text>") && svg.contains(">\u{e000}</text>") && !svg.contains('□'));
    let csv = fs::read_to_string(path("f.csv")).unwrap();
    for label in ["漢", "\u{e000}", "␣", "↵", "U+00A0"] {
        assert!(csv.contains(&format!(",{label},")), "{label}");
    }
    assert_eq!(draw(&["g.svg", "-o", "g.tex"]), "", "what holds the characters lacks none");
    let read = |name: &str| Provenance::read(&fs::read(path(name)).unwrap()).unwrap();
    assert_eq!(read("f.png").fonts.iter().map(|f| f.name.as_str()).collect::<Vec<_>>(), ["A A"]);
    // The same font from somewhere else gives the same bytes; without it that is said.
    fs::rename(path("data/fonts/a.ttf"), path("moved.ttf")).unwrap();
    let again = |name: &str, rest: &[&str]| {
        let args = ["figure", "run", "--again", "f.png", "--alone", "-o", name];
        said(home.path(), &[&args, rest].concat())
    };
    assert!(!again("same.png", &["--font", "moved.ttf"]).contains("took glyphs"));
    assert!(fs::read(path("same.png")).unwrap() == fs::read(path("f.png")).unwrap());
    let differs = again("other.png", &[]);
    assert!(differs.contains("took glyphs from A A (SHA-256 "), "{differs}");
    // A face and a font behind it.
    draw(&["h.pdf", "--font", "serif", "--font", "moved.ttf"]);
    let pdf = fs::read(path("h.pdf")).unwrap();
    let pdf = String::from_utf8_lossy(&pdf);
    assert!(pdf.contains("+LiberationSerif") && pdf.contains("+Boxes"));
    for (wrong, why) in [("none.ttf", "there is no such file"), ("odd.txt", "which is no font")] {
        let output =
            command(home.path(), &["figure", "run", "tokens", "-o", "i.pdf", "--font", wrong]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains(why) && said.contains(wrong), "{said}");
    }
    let film = ["film", "run", "tokens", "-o", "f.gif", "--font", "moved.ttf", "--dpi", "40"];
    assert!(said(home.path(), &film).contains("1 character has no glyph"));
}

// ---- the window

/// A character that is none yet: no font of a system has it.
const UNASSIGNED: char = '\u{378}';

fn shows(harness: &Harness<'_, App>) -> bool {
    let font = egui::FontId::proportional(13.0);
    harness.ctx.fonts_mut(|fonts| fonts.has_glyph(&font, UNASSIGNED))
}

#[test]
fn a_font_that_is_chosen_in_the_window_draws_there_and_in_figures_and_is_kept() {
    let home = tempfile::tempdir().unwrap();
    let font = written(home.path(), "odd.ttf", &boxes("Odd Boxes", 400, &[(UNASSIGNED, 1000)]));
    let mut harness = window_of(home.path(), TINY);
    finished(&mut harness);
    assert!(!shows(&harness));
    from_menu(&mut harness, "Attention", "Export figure…");
    press(&mut harness, "Choose font…");
    let field = harness.get_by_role_and_label(Role::TextInput, "Path");
    field.set_text_value_accesskit(&font.display().to_string());
    harness.step();
    press(&mut harness, "OK");
    for _ in 0..200 {
        harness.step();
        if shows(&harness) {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert!(shows(&harness), "all text of the window finds it");
    harness.step();
    assert!(harness.query_by_label("Odd Boxes").is_some(), "the page says which font it is");
    let mut storage = Kept::default();
    eframe::App::save(harness.state_mut(), &mut storage);
    let folder = tempfile::tempdir().unwrap();
    let surroundings = Surroundings {
        library: Ok(folder.path().join("runs")),
        system_dialogs: false,
        adapter: None,
        panels: Panels::default(),
    };
    let begin = |storage: &Kept| {
        let (surroundings, storage) = (surroundings.clone(), storage as &dyn eframe::Storage);
        let mut harness = Harness::builder().with_size([1600.0, 1000.0]).build_eframe(|creation| {
            App::new(&creation.egui_ctx, Some(storage), surroundings, &Launch::default())
        });
        harness.step();
        harness
    };
    let next = begin(&storage);
    assert!(shows(&next) && next.state().lab.troubles.is_empty());
    // A file that has gone is said, and the window opens.
    fs::remove_file(&font).unwrap();
    let later = begin(&storage);
    assert!(!shows(&later));
    assert!(later.state().lab.troubles[0].message.contains("odd.ttf"));
}
