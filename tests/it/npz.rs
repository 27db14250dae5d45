//! NumPy archives, read back by a reader of our own and, where there is one, by NumPy.

use std::collections::BTreeMap;
use std::io::Read;
use std::process::Command;

use mnemoscope::base::array::{Array, Axis};
use mnemoscope::formats::npz::{Member, Names, Numbers, archive, npz, plain};

/// What an array says of itself and its bytes.
pub type Read1 = (String, Vec<usize>, Vec<u8>);

/// Every member by name, of an archive as the ZIP and NPY descriptions have it.
pub fn read(bytes: &[u8]) -> BTreeMap<String, Read1> {
    let mut zip = zip::ZipArchive::new(std::io::Cursor::new(bytes)).unwrap();
    let mut found = BTreeMap::new();
    for i in 0..zip.len() {
        let mut file = zip.by_index(i).unwrap();
        let name = file.name().unwrap().strip_suffix(".npy").unwrap().to_owned();
        let mut npy = Vec::new();
        // The reader compares the checksum at the end.
        file.read_to_end(&mut npy).unwrap();
        assert_eq!(&npy[..8], b"\x93NUMPY\x01\x00", "{name}");
        let begin = 10 + usize::from(u16::from_le_bytes([npy[8], npy[9]]));
        assert_eq!(begin % 64, 0, "{name}: numbers are aligned");
        let header = std::str::from_utf8(&npy[10..begin]).unwrap();
        assert!(header.ends_with('\n') && header.contains("'fortran_order': False"), "{header}");
        let part = |from: &str, to: char| {
            let at = header.find(from).unwrap() + from.len();
            header[at..].split(to).next().unwrap().to_owned()
        };
        let shape = part("'shape': (", ')');
        let axes = shape.split(',').map(str::trim).filter(|s| !s.is_empty());
        let axes = axes.map(|s| s.parse().unwrap()).collect();
        found.insert(name, (part("'descr': '", '\''), axes, npy[begin..].to_vec()));
    }
    found
}

#[test]
fn an_axis_says_what_stands_at_each_index() {
    let axis = |labels: &[&str]| Axis {
        labels: labels.iter().map(|label| (*label).to_owned()).collect(),
        ..Axis::new("key")
    };
    let all = |axis: &Axis| (0..4).map(|i| axis.label(i)).collect::<Vec<_>>();
    assert_eq!(
        (axis(&[]).origin(), all(&axis(&[]))),
        (0, ["0", "1", "2", "3"].map(String::from).into())
    );
    assert_eq!(all(&axis(&["m0", "m1"])), ["m0", "m1", "0", "1"]);
    // Keys of an earlier segment.
    assert_eq!(all(&axis(&["-2", "-1"])), ["-2", "-1", "0", "1"]);
    let array = Array::new("a", &["query", "key"], &[1, 3], [0.0; 3]).unwrap();
    assert_eq!(array.axes, ["query", "key"]);
    assert_eq!(array.labels().count(), 0);
    let array = array.labelled(axis(&["m0"]).labels);
    assert_eq!((array.axes[0].origin(), array.axes[1].origin()), (0, 1));
    let labels: Vec<_> = array.labels().collect();
    assert_eq!(labels, [("key", ["m0", "0", "1"].map(String::from).into())]);
}

fn le(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|x| x.to_le_bytes()).collect()
}

fn arrays() -> Vec<Array> {
    let numbers = [0.5, -1.25, f32::NAN, f32::INFINITY, 1e-40, 3.0];
    vec![
        Array::new("attention/pattern.layer0", &["head", "key"], &[2, 3], numbers.to_vec())
            .unwrap(),
        Array::new("line", &["pos"], &[3], vec![1.0, 2.0, 3.0]).unwrap(),
        Array::new("nothing", &["pos", "dim"], &[0, 4], vec![]).unwrap(),
        Array::scalar("one", -7.5),
    ]
}

#[test]
fn an_archive_says_what_it_is() {
    let about = "{\"text\": \"Überschreibung\"}";
    assert_eq!(mnemoscope::formats::npz::about(&npz(&arrays(), about).unwrap()).unwrap(), about);
    let other = archive(&[Member { name: "x".into(), shape: &[1], numbers: Numbers::U8(b"x") }]);
    assert_eq!(mnemoscope::formats::npz::about(&other.unwrap()), None);
    for bytes in [&b""[..], b"PK\x03\x04", b"not at all"] {
        assert_eq!(mnemoscope::formats::npz::about(bytes), None);
    }
}

#[test]
fn names_of_members_are_told_apart_and_can_be_held() {
    let mut names = Names::default();
    let wanted = ["a", "a", "A", "a_2", "b"];
    assert_eq!(wanted.map(|name| names.free(name)), ["a", "a_2", "A_3", "a_2_2", "b"]);
    assert_eq!(plain("layer 1/head:0\0\n", "x"), "layer_1_head_0_");
    assert_eq!(plain("  ", "x"), "x");
    assert_eq!(plain(&"ä".repeat(500), "x").chars().count(), 80);
}

#[test]
fn arrays_and_text_come_back_as_they_were() {
    let about = "{\"text\": \"Überschreibung\"}";
    let found = read(&npz(&arrays(), about).unwrap());
    assert_eq!(found.len(), 5);
    for array in arrays() {
        let expected = ("<f4".to_owned(), array.shape.clone(), le(&array.data));
        assert_eq!(found[&array.name], expected, "{}", array.name);
    }
    let expected = ("|u1".to_owned(), vec![about.len()], about.as_bytes().to_vec());
    assert_eq!(found["about"], expected);
}

#[test]
fn other_kinds_of_numbers_keep_theirs() {
    let member = |name: &str, shape, numbers| Member { name: name.to_owned(), shape, numbers };
    let members = [
        member("whole", &[2], Numbers::U32(&[1, u32::MAX])),
        member("double", &[], Numbers::F64(&[0.1])),
        member("zero", &[], Numbers::F64(&[-0.0])),
    ];
    let found = read(&archive(&members).unwrap());
    let whole = [1u32.to_le_bytes(), u32::MAX.to_le_bytes()].concat();
    assert_eq!(found["whole"], ("<u4".to_owned(), vec![2], whole));
    assert_eq!(found["double"], ("<f8".to_owned(), vec![], 0.1f64.to_le_bytes().to_vec()));
    assert_eq!(found["zero"].2, [0; 8], "no zero has a sign");
}

#[test]
fn the_same_arrays_give_the_same_bytes_that_know_no_date() {
    let bytes = npz(&arrays(), "{}").unwrap();
    assert_eq!(bytes, npz(&arrays(), "{}").unwrap());
    let mut zip = zip::ZipArchive::new(std::io::Cursor::new(&bytes)).unwrap();
    for i in 0..zip.len() {
        let file = zip.by_index(i).unwrap();
        assert_eq!(file.last_modified().unwrap().year(), 1980);
        assert_eq!(file.compression(), zip::CompressionMethod::Stored);
    }
}

#[test]
fn a_name_that_is_there_twice_and_a_wrong_shape_are_refused() {
    let twice = npz(&[Array::scalar("about", 1.0)], "{}").unwrap_err().to_string();
    assert!(twice.contains("about"), "{twice}");
    let wrong = Member { name: "x".to_owned(), shape: &[3], numbers: Numbers::U8(&[1]) };
    let refused = archive(&[wrong]).unwrap_err().to_string();
    assert!(refused.contains("1 numbers do not fill the shape [3]"), "{refused}");
}

#[test]
fn numpy_reads_them_where_it_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.npz");
    std::fs::write(&path, npz(&arrays(), "{\"a\": 1}").unwrap()).unwrap();
    let script = "import json, sys, numpy\n\
        z = numpy.load(sys.argv[1])\n\
        p = z['attention/pattern.layer0']\n\
        assert p.dtype == numpy.float32 and p.shape == (2, 3) and p[0, 1] == -1.25, p\n\
        assert numpy.isnan(p[0, 2]) and numpy.isinf(p[1, 0]) and p[1, 1] == numpy.float32(1e-40)\n\
        assert z['nothing'].shape == (0, 4) and z['one'].shape == () and z['one'] == -7.5\n\
        assert json.loads(z['about'].tobytes()) == {'a': 1}\n";
    let python = |args: &[&str]| Command::new("python3").args(args).output();
    if !python(&["-c", "import numpy"]).is_ok_and(|o| o.status.success()) {
        eprintln!("python3 with numpy is not there: skipped");
        return;
    }
    let output = python(&["-c", script, path.to_str().unwrap()]).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
