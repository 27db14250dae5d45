//! Pages in the window: the export window, the clipboard, the figure sheet.

use egui::accesskit::Role;
use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT, Queryable};

use mnemoscope::app::App;
use mnemoscope::export::drawn_panel::compose;
use mnemoscope::export::sheet::Sheet;
use mnemoscope::export::sheet_runner::SheetRunner;
use mnemoscope::figure::file::{Format, render_all};
use mnemoscope::figure::provenance::Provenance;
use mnemoscope::panel::compare::Showing;

use crate::app::{TINY, finished, press, until, window_of};

fn window(folder: &std::path::Path) -> Harness<'static, App> {
    let mut harness = window_of(folder, TINY);
    finished(&mut harness);
    harness
}

/// Right-clicks the picture of a panel and chooses from the menu that opens.
pub fn from_menu(harness: &mut Harness<'static, App>, panel: &str, choice: &str) {
    let name = format!("{panel} figure");
    harness.get_by_role_and_label(Role::Image, &name).click_secondary();
    harness.step();
    harness.step();
    press(harness, choice);
}

fn path_is(harness: &mut Harness<'static, App>, path: &std::path::Path) {
    let field = harness.get_by_role_and_label(Role::TextInput, "Path");
    field.set_text_value_accesskit(&path.display().to_string());
    harness.step();
    press(harness, "OK");
    // The figure is written after what lies beside it.
    let beside = path.with_extension("json");
    let written = || beside.exists() && path.exists();
    until(harness, "the files are written", |app| !app.lab.is_busy() && written());
}

#[test]
fn a_panel_is_exported_on_the_page_that_was_chosen() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window(folder.path());
    from_menu(&mut harness, "Attention", "Export figure…");
    let width = harness.get_by_role_and_label(Role::TextInput, "Width");
    width.set_text_value_accesskit("89mm");
    harness.step();
    harness.get_by_role_and_label(Role::CheckBox, "Greys").click();
    harness.step();
    harness.step();
    assert!(harness.query_by_label_contains("89.0 × ").is_some(), "the size is said");
    press(&mut harness, "Save…");
    let path = folder.path().join("head.pdf");
    path_is(&mut harness, &path);
    let read = Provenance::read(&std::fs::read(&path).unwrap()).unwrap();
    let sheet = Sheet::parse(&read.sheet, "head.pdf").unwrap();
    assert_eq!((sheet.page.width.as_str(), sheet.page.grey), ("89mm", true));
    assert_eq!(sheet.panels[0].panel, "attention");
    assert_eq!(read.panels[0].step, Some(40));
    assert!(read.panels[0].weights_sha256.is_some());
    for ending in ["csv", "npz", "json"] {
        assert!(path.with_extension(ending).exists(), "{ending}");
    }
}

/// Changes the page and gives a path for it, which is asked about.
fn save_in_other_greys(harness: &mut Harness<'static, App>, path: &std::path::Path) {
    harness.get_by_role_and_label(Role::CheckBox, "Greys").click();
    harness.step();
    press(harness, "Save…");
    let field = harness.get_by_role_and_label(Role::TextInput, "Path");
    field.set_text_value_accesskit(&path.display().to_string());
    harness.step();
    press(harness, "OK");
    harness.step();
}

#[test]
fn whoever_replaces_a_figure_is_told_what_goes_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window(folder.path());
    from_menu(&mut harness, "Attention", "Export figure…");
    press(&mut harness, "Save…");
    let path = folder.path().join("head.svg");
    path_is(&mut harness, &path);
    // The figure again, on another page: all four files would change.
    save_in_other_greys(&mut harness, &path);
    let asked = "would be replaced: head.svg, head.csv, head.npz, head.json.";
    assert!(harness.query_by_label_contains(asked).is_some(), "all are named");
    let before = std::fs::read(&path).unwrap();
    press(&mut harness, "Replace");
    until(&mut harness, "it is written", |app| {
        !app.lab.is_busy() && std::fs::read(&path).unwrap() != before
    });
    // Numbers of somebody else's are named and left, whatever was answered.
    std::fs::write(folder.path().join("head.csv"), "mine").unwrap();
    let before = std::fs::read(&path).unwrap();
    save_in_other_greys(&mut harness, &path);
    // It is not asked for what would be refused; the path stays to be changed.
    let refused = "would replace head.csv, which this program did not make";
    assert!(harness.query_by_label_contains(refused).is_some());
    assert!(harness.query_by_role_and_label(Role::Button, "Replace").is_none());
    press(&mut harness, "OK");
    assert!(harness.query_by_label_contains(refused).is_some());
    assert_eq!(std::fs::read(folder.path().join("head.csv")).unwrap(), b"mine");
    assert_eq!(std::fs::read(&path).unwrap(), before, "nothing is written");
}

#[test]
fn what_the_window_wrote_is_made_again_without_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window(folder.path());
    from_menu(&mut harness, "Attention", "Export figure…");
    press(&mut harness, "Save…");
    let path = folder.path().join("head.svg");
    path_is(&mut harness, &path);
    let run = harness.state().lab.run().unwrap().recording.folder.clone().unwrap();
    drop(harness);
    let before = std::fs::read(&path).unwrap();
    let made = again(&run, &Provenance::read(&before).unwrap());
    assert!(made == before, "the command line makes the same bytes as the window");
}

#[test]
fn a_figure_goes_to_the_clipboard_as_text() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window(folder.path());
    harness.get_by_role_and_label(Role::Image, "Attention figure").click_secondary();
    harness.step();
    harness.step();
    harness.get_by_role_and_label(Role::Button, "Copy numbers").click();
    let mut copied = None;
    // What goes to the clipboard is in the output of one frame alone.
    for _ in 0..4000 {
        harness.step();
        let commands = &harness.output().platform_output.commands;
        let text = commands.iter().find_map(|command| {
            if let egui::OutputCommand::CopyText(text) = command {
                Some(text.clone())
            } else {
                None
            }
        });
        if text.is_some() {
            copied = text;
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let text = copied.expect("numbers on the clipboard");
    assert!(text.starts_with("plot,series,kind,x,y,value"), "{}", &text[..60]);
    assert!(text.contains("attention,cell"));
}

#[test]
fn panels_are_put_together_on_a_sheet_and_taken_off_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window(folder.path());
    from_menu(&mut harness, "Attention", "Add to figure sheet");
    from_menu(&mut harness, "All heads", "Add to figure sheet");
    harness.state_mut().lab.view(Some(10));
    until(&mut harness, "step 10 is answered", |app| app.lab.examination.is_settled(10));
    from_menu(&mut harness, "Attention", "Add to figure sheet");
    harness.get_by_label("File").click();
    harness.step();
    harness.step();
    harness.get_by_label_contains("Figure sheet").click();
    for _ in 0..4 {
        harness.step();
    }
    assert!(harness.query_by_label_contains("Attention, step 10").is_some(), "its step is said");
    let count = |harness: &Harness<'static, App>| {
        harness.query_all_by_role_and_label(Role::Button, "×").count()
    };
    assert_eq!(count(&harness), 3);
    harness.query_all_by_role_and_label(Role::Button, "×").next().unwrap().click();
    harness.step();
    harness.step();
    assert_eq!(count(&harness), 2);
    press(&mut harness, "Save…");
    let path = folder.path().join("page.png");
    path_is(&mut harness, &path);
    let read = Provenance::read(&std::fs::read(&path).unwrap()).unwrap();
    let panels: Vec<(&str, Option<u64>)> =
        read.panels.iter().map(|p| (p.panel.as_str(), p.step)).collect();
    assert_eq!(panels, [("heads", Some(40)), ("attention", Some(10))]);
}

#[test]
fn a_length_that_is_none_leaves_the_page_as_it_is_and_is_said_below_its_field() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window(folder.path());
    from_menu(&mut harness, "Attention", "Export figure…");
    let write = |harness: &mut Harness<'static, App>, name: &str, text: &str| {
        harness.get_by_role_and_label(Role::TextInput, name).set_text_value_accesskit(text);
        (0..3).for_each(|_| harness.step());
    };
    write(&mut harness, "Width", "12,5cm");
    assert!(harness.query_by_label_contains("125.0 × ").is_some(), "a decimal comma");
    for (name, text, said) in [
        ("Width", "wide", "read the length \"wide\", expected a number with its unit"),
        (
            "Width",
            "1,000mm",
            "1000 where it stands between thousands; write one of these two; 12,5cm stays",
        ),
        ("Height", "99", "height 99: expected a length with its unit"),
    ] {
        write(&mut harness, name, text);
        assert!(harness.query_by_label_contains(said).is_some(), "{text}");
        assert!(harness.query_by_label_contains("125.0 × ").is_some(), "{text}: the page stays");
    }
    write(&mut harness, "Width", "89mm");
    write(&mut harness, "Height", "0,5");
    assert!(harness.query_by_label_contains("89.0 × 44.5 mm").is_some());
    assert!(harness.query_by_label_contains("stays").is_none());
    harness.get_by_role_and_label(Role::SpinButton, "Size of text").focus();
    harness.step();
    harness.step();
    harness.event(egui::Event::Text("7,5".to_owned()));
    harness.step();
    harness.key_press(egui::Key::Enter);
    (0..3).for_each(|_| harness.step());
    let size = harness.get_by_role_and_label(Role::SpinButton, "Size of text");
    assert_eq!(size.accesskit_node().value().as_deref(), Some("7.5 pt"));
}

#[test]
fn what_the_window_compares_is_exported_and_made_again_without_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window(folder.path());
    harness.key_press(egui::Key::V);
    (0..3).for_each(|_| harness.step());
    harness.state_mut().lab.comparison.showing = Showing::All;
    harness.state_mut().lab.changed();
    until(&mut harness, "both are answered", |app| {
        let lab = &app.lab;
        let subject = lab.comparison.with.as_ref().unwrap();
        let other = lab.comparison.other(subject);
        !lab.is_busy() && other.is_some_and(|other| other.is_about(&lab.prompt))
    });
    (0..3).for_each(|_| harness.step());
    let images = harness.get_all_by_role_and_label(Role::Image, "Attention figure");
    images.last().unwrap().click_secondary();
    harness.step();
    harness.step();
    press(&mut harness, "Export figure…");
    press(&mut harness, "Save…");
    let path = folder.path().join("both.svg");
    path_is(&mut harness, &path);
    let run = harness.state().lab.run().unwrap().recording.folder.clone().unwrap();
    drop(harness);
    let before = std::fs::read(&path).unwrap();
    let read = Provenance::read(&before).unwrap();
    let against = read.panels[0].against.clone().unwrap();
    assert_eq!((read.panels[0].step, against.step), (Some(40), Some(0)));
    assert!(against.weights_sha256.is_some_and(|hash| hash.len() == 64));
    assert_eq!(read.panels[0].letter, "a, b, c");
    assert!(again(&run, &read) == before, "the command line makes the same bytes as the window");
}

/// The SVG of a sheet once more, out of what is recorded of a run.
fn again(run: &std::path::Path, read: &Provenance) -> Vec<u8> {
    let sheet = Sheet::parse(&read.sheet, "again").unwrap();
    let drawn_panels = SheetRunner::new(run).drawn_panels(&sheet, &mut |_, _| true).unwrap();
    let (drawing, page) = compose(&sheet, &drawn_panels).unwrap();
    render_all(&drawing, &page, Format::Svg).unwrap()
}
