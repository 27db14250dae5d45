//! Settings: declared once, read and written by name, refused with a sentence.

use mnemoscope::base::error::Kind;
use mnemoscope::base::number::{self, Misread};
use mnemoscope::base::registry::{Named, find};
use mnemoscope::base::settings::{
    Settings, Slot, names, parse_value, read, set, set_all, to_table,
};
use mnemoscope::run::experiment::Train;
use mnemoscope::{measurement, model, panel, task};
use proptest::prelude::*;

mnemoscope::choices! {
    enum Shape { Round = "round", Square = "square" }
}

mnemoscope::settings! {
    struct Example = "An example." {
        /// How many of them,
        /// on two lines.
        count: usize = 3, in 1..=10;
        /// How far.
        rate: f64 = 0.1, in 1e-6..=1.0, @log, @live;
        /// Live alone.
        width: f64 = 2.0, @live;
        /// Whether at all.
        on: bool = true;
        /// Which shape.
        shape: Shape = Shape::Square;
        /// What it is called.
        label: String = "none".to_owned();
    }
}

mnemoscope::settings! {
    struct Nothing = "No settings at all." {}
}

fn message(name: &str, value: impl Into<toml::Value>) -> String {
    let mut example = Example::default();
    let error = set(&mut example, "task.", name, &value.into()).unwrap_err();
    assert_eq!(error.kind, Kind::Usage);
    assert_eq!(example, Example::default(), "a refused value changes nothing");
    error.message
}

#[test]
fn a_declaration_gives_defaults_names_and_help() {
    let mut example = Example::default();
    assert_eq!((example.count, example.on, example.shape), (3, true, Shape::Square));
    assert_eq!(names(&mut example), ["count", "rate", "width", "on", "shape", "label"]);
    assert_eq!(example.about(), "An example.");
    let mut seen = Vec::new();
    example.each(&mut |spec, _| seen.push(*spec));
    assert_eq!(seen[0].help, "How many of them, on two lines.");
    assert_eq!(seen[0].range, Some((1.0, 10.0)));
    let flags: Vec<_> = seen.iter().map(|s| (s.log, s.live)).collect();
    assert_eq!(&flags[..4], [(false, false), (true, true), (false, true), (false, false)]);
    assert!(names(&mut Nothing::default()).is_empty());
}

#[test]
fn a_table_holds_every_setting_in_order_and_gives_it_back() {
    let mut example =
        Example { count: 7, rate: 1e-6, label: "a \"b\"".into(), ..Example::default() };
    let table = to_table(&mut example);
    let keys: Vec<&str> = table.keys().map(String::as_str).collect();
    assert_eq!(keys, names(&mut example));
    let read: toml::Table = table.to_string().parse().unwrap();
    let mut copy = Example::default();
    set_all(&mut copy, "", &read).unwrap();
    assert_eq!(copy, example);
}

#[test]
fn a_setting_takes_values_up_to_both_ends_of_its_range() {
    let mut example = Example::default();
    for (name, value) in
        [("count", 1.into()), ("count", 10.into()), ("rate", toml::Value::Float(1e-6))]
    {
        set(&mut example, "", name, &value).unwrap();
    }
    set(&mut example, "", "rate", &1.into()).unwrap();
    set(&mut example, "", "shape", &"round".into()).unwrap();
    set(&mut example, "", "on", &false.into()).unwrap();
    set(&mut example, "", "label", &"".into()).unwrap();
    let expected = Example {
        count: 10,
        rate: 1.0,
        on: false,
        shape: Shape::Round,
        label: String::new(),
        ..Example::default()
    };
    assert_eq!(example, expected);
}

#[test]
fn a_value_out_of_range_or_of_another_type_is_refused_with_what_is_expected() {
    assert_eq!(
        message("count", 0),
        "setting task.count: read 0, expected a whole number from 1 to 10"
    );
    assert_eq!(
        message("count", 11),
        "setting task.count: read 11, expected a whole number from 1 to 10"
    );
    assert!(message("count", -1).contains("read -1"));
    assert!(message("count", 2.5).contains("whole number from 1 to 10"));
    assert!(message("count", "x").contains("read \"x\""));
    assert!(message("rate", 0.0).contains("a number from 0.000001 to 1"));
    assert!(message("rate", f64::NAN).contains("read nan"));
    assert!(message("width", f64::INFINITY).contains("read inf"));
    assert!(message("on", 1).contains("true or false"));
    assert!(message("label", 1).contains("text in quotes"));
    assert!(message("shape", 3).contains("one of round, square"));
}

#[test]
fn an_unknown_name_is_answered_with_the_nearest_ones() {
    let wrong = message("cuont", 1);
    assert!(
        wrong.starts_with("there is no setting \"task.cuont\". Did you mean task.count"),
        "{wrong}"
    );
    assert!(
        wrong.ends_with(
            "Known: task.count, task.rate, task.width, task.on, task.shape, task.label."
        )
    );
    assert!(!message("zzz", 1).contains("Did you mean"));
    let wrong = message("shape", "sqare");
    assert!(wrong.ends_with("expected one of round, square. Did you mean square?"), "{wrong}");
    let error = find("task", task::ALL, "bigam").err().unwrap();
    assert!(error.message.contains("Did you mean bigram?"), "{error}");
}

#[test]
fn text_from_the_command_line_is_read_as_the_value_it_looks_like() {
    let float = toml::Value::Float;
    assert_eq!(parse_value(" true "), true.into());
    assert_eq!(parse_value("12"), 12.into());
    assert_eq!(parse_value("-3"), toml::Value::Integer(-3));
    assert_eq!(parse_value("1e-3"), float(1e-3));
    assert_eq!(parse_value("0.5"), float(0.5));
    assert_eq!(parse_value("adamw"), "adamw".into());
    assert_eq!(parse_value("\"12\""), "12".into());
    assert_eq!(parse_value("a b.txt"), "a b.txt".into());
    assert_eq!(parse_value(""), "".into());
}

#[test]
fn a_text_is_read_as_what_its_setting_is() {
    let mut example = Example::default();
    for (name, text, value) in [
        ("label", "123", toml::Value::from("123")),
        ("label", "true", "true".into()),
        ("label", " \"1.50\" ", "1.50".into()),
        ("count", "1e1", 10.into()),
        ("count", "10.0", 10.into()),
        ("rate", "1e-1", 0.1.into()),
        ("shape", "round", "round".into()),
        ("nosuch", "1", 1.into()),
    ] {
        assert_eq!(read(&mut example, name, text), value, "{name}={text}");
    }
    set(&mut example, "", "count", &toml::Value::Float(1e1)).unwrap();
    assert_eq!(example.count, 10);
    for wrong in [1.5, 1e1 + 1e-9, 1e300, f64::NAN] {
        assert!(message("count", wrong).contains("whole number from 1 to 10"));
    }
}

/// Sets every setting to its own value and checks its declaration: what a form and a help text rely on.
fn check(kind: &str, settings: &mut dyn Settings) {
    assert!(settings.about().ends_with('.'), "{kind}: {}", settings.about());
    let table = to_table(settings);
    set_all(settings, "", &table).unwrap_or_else(|e| panic!("{kind}: a default is refused: {e}"));
    assert_eq!(to_table(settings), table, "{kind}");
    settings.each(&mut |spec, slot| {
        let name = format!("{kind}.{}", spec.name);
        assert!(spec.help.ends_with('.'), "{name}: help is a sentence: {}", spec.help);
        let number = matches!(slot, Slot::Int(_) | Slot::Float(_));
        assert_eq!(spec.range.is_some(), number, "{name}: a number has a range, nothing else has");
        assert!(spec.range.is_none_or(|(low, high)| low < high), "{name}");
        assert!(
            !spec.log || spec.range.is_some_and(|(low, _)| low > 0.0),
            "{name}: log from above 0"
        );
        assert!(
            spec.name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        );
    });
}

fn names_of<R: Named>(rows: &[R]) -> Vec<&'static str> {
    rows.iter().map(R::name).collect()
}

#[test]
fn every_kind_has_a_name_of_its_own_and_settings_fit_for_a_form() {
    for entry in task::ALL {
        check(entry.name, &mut *(entry.make)());
    }
    for entry in model::ALL {
        check(entry.name, &mut *(entry.make)());
    }
    for entry in measurement::ALL {
        check(entry.name, &mut *(entry.make)());
    }
    for entry in panel::ALL {
        check(entry.name, &mut *(entry.make)());
    }
    check("train", &mut Train::default());
    for mut names in [
        names_of(task::ALL),
        names_of(model::ALL),
        names_of(measurement::ALL),
        names_of(panel::ALL),
    ] {
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
    }
}

#[test]
fn what_stands_above_a_picture_is_a_setting_of_its_panel_and_titles_differ() {
    for kind in panel::ALL {
        let settings = names(&mut *(kind.make)());
        for (setting, label) in kind.controls {
            assert!(settings.contains(setting), "{} has no {setting}", kind.name);
            assert!(label.starts_with(char::is_uppercase), "{label}");
        }
        assert!(kind.title.starts_with(char::is_uppercase) && kind.aspect > 0.0, "{}", kind.name);
    }
    let titles: std::collections::BTreeSet<_> = panel::ALL.iter().map(|kind| kind.title).collect();
    assert_eq!(titles.len(), panel::ALL.len());
}

#[test]
fn one_comma_begins_the_decimals_and_one_that_may_stand_between_thousands_is_asked_about() {
    let read = number::read;
    for (text, value) in [
        ("0,25", 0.25),
        ("0.25", 0.25),
        (" 1,5e-3 ", 1.5e-3),
        (",5", 0.5),
        ("3,", 3.0),
        ("-1,25", -1.25),
        ("\u{2212}1.25", -1.25),
        ("+7", 7.0),
        ("0,125", 0.125),
        ("1234,567", 1234.567),
        ("1,0005", 1.0005),
        ("1 000", 1000.0),
        ("12\u{202f}345\u{202f}678,5", 12_345_678.5),
        ("1e3", 1000.0),
    ] {
        assert_eq!(read(text), Ok(value), "{text}");
    }
    assert_eq!(read("1,000"), Err(Misread::Either(1.0, 1000.0)));
    assert_eq!(read("-12,500e1"), Err(Misread::Either(-125.0, -125_000.0)));
    for text in [
        "",
        "abc",
        "1.2.3",
        "1,2,3",
        "1,000,000",
        "1,000.5",
        "1.000,5",
        "1 00",
        "inf",
        "nan",
        "1e999",
        "-",
        ",",
        "0x10",
    ] {
        assert_eq!(read(text), Err(Misread::Neither), "{text}");
    }
}

proptest! {
    #[test]
    fn a_number_is_read_back_as_it_is_spelled_with_a_point_or_a_comma(x in any::<f64>()) {
        prop_assume!(x.is_finite());
        for text in [number::spelled(x), x.to_string(), format!("{x:e}")] {
            prop_assert_eq!(number::read(&text), Ok(x));
            match number::read(&text.replace('.', ",")) {
                Ok(y) => prop_assert_eq!(y, x),
                Err(Misread::Either(decimal, _)) => prop_assert_eq!(decimal, x),
                Err(Misread::Neither) => prop_assert!(false, "{}", text),
            }
        }
        prop_assert_eq!(number::widened(x as f32) as f32, x as f32);
    }

    #[test]
    fn any_text_is_a_finite_number_or_none(text in ".{0,12}|[-+0-9,. eE]{0,12}") {
        if let Ok(x) = number::read(&text) {
            prop_assert!(x.is_finite());
        }
        if let Err(Misread::Either(a, b)) = number::read(&text) {
            prop_assert!(a.is_finite() && b.is_finite());
        }
    }
}

#[test]
fn text_where_a_number_is_expected_is_read_as_a_form_reads_it() {
    let mut example = Example::default();
    for (name, text) in [("rate", "0,25"), ("width", "1,5e-3"), ("count", "1e1")] {
        set(&mut example, "train.", name, &parse_value(text)).unwrap();
    }
    assert_eq!((example.rate, example.width, example.count), (0.25, 1.5e-3, 10));
    assert_eq!(
        message("rate", "abc"),
        "setting task.rate: read \"abc\", expected a number from 0.000001 to 1"
    );
    assert!(message("rate", "1,5").ends_with("read \"1,5\", expected a number from 0.000001 to 1"));
    let asked = message("width", "1,500");
    assert!(asked.contains("1.5 where a comma begins the decimals"), "{asked}");
    assert!(asked.contains("1500 where it stands between thousands"), "{asked}");
}
