//! TensorBoard's event files, read back by a reader of our own. `tests/python/recipes.py` reads them with TensorBoard.

use mnemoscope::formats::columns::{Columns, Values};
use mnemoscope::formats::tfevents::events;

/// CRC-32C bit by bit, reflected, of polynomial 0x1EDC6F41.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = !0u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
        }
    }
    !crc
}

fn masked(bytes: &[u8]) -> u32 {
    let crc = crc32c(bytes);
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// The records of a file, whose checksums are right.
fn records(mut file: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    let check = |bytes: &[u8], sum: &[u8]| assert_eq!(masked(bytes).to_le_bytes(), sum);
    while !file.is_empty() {
        let length = usize::try_from(u64::from_le_bytes(file[..8].try_into().unwrap())).unwrap();
        check(&file[..8], &file[8..12]);
        check(&file[12..12 + length], &file[12 + length..16 + length]);
        found.push(&file[12..12 + length]);
        file = &file[16 + length..];
    }
    found
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let (mut number, mut shift) = (0, 0);
    loop {
        let byte = bytes[0];
        *bytes = &bytes[1..];
        number |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte < 0x80 {
            return number;
        }
    }
}

/// Fields of a message: number and bytes (of a number, its own).
fn fields(mut bytes: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let length = match key & 7 {
            0 => {
                let number = varint(&mut bytes);
                found.push((key >> 3, number.to_le_bytes().to_vec()));
                continue;
            }
            1 => 8,
            2 => usize::try_from(varint(&mut bytes)).unwrap(),
            5 => 4,
            other => panic!("wire type {other}"),
        };
        found.push((key >> 3, bytes[..length].to_vec()));
        bytes = &bytes[length..];
    }
    found
}

#[test]
fn the_checksum_is_that_of_the_standard() {
    // RFC 3720, appendix B.4: 32 bytes of zeros; and the usual check value.
    assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
    assert_eq!(crc32c(b"123456789"), 0xe306_9283);
}

#[test]
fn every_value_comes_back_at_its_step() {
    let loss = vec![Some(4.25), None, Some(-0.5)];
    let metrics = Columns(vec![
        ("step".to_owned(), Values::Whole(vec![Some(0), Some(150), Some(300_000)])),
        ("loss".to_owned(), Values::Number(loss)),
        ("entropy of layer0".to_owned(), Values::Number(vec![Some(1.0), Some(2.0), None])),
    ]);
    let file = events(&metrics, 1.5);
    assert_eq!(file, events(&metrics, 1.5));
    let mut found = Vec::new();
    for (i, record) in records(&file).into_iter().enumerate() {
        let event = fields(record);
        let of = |field: u64| event.iter().find(|(f, _)| *f == field).map(|(_, b)| b.clone());
        assert_eq!(f64::from_le_bytes(of(1).unwrap().try_into().unwrap()), 1.5);
        if i == 0 {
            assert_eq!(of(3).unwrap(), b"brain.Event:2");
            continue;
        }
        let step = of(2).map_or(0, |b| u64::from_le_bytes(b.try_into().unwrap()));
        for (_, value) in fields(&of(5).unwrap()) {
            let value = fields(&value);
            assert_eq!((value[0].0, value[1].0), (1, 2));
            let tag = String::from_utf8(value[0].1.clone()).unwrap();
            found.push((step, tag, f32::from_le_bytes(value[1].1.clone().try_into().unwrap())));
        }
    }
    let expected = [
        (0, "loss", 4.25),
        (0, "entropy of layer0", 1.0),
        (150, "entropy of layer0", 2.0),
        (300_000, "loss", -0.5),
    ];
    let expected: Vec<_> = expected.map(|(s, t, v)| (s, t.to_owned(), v)).into();
    assert_eq!(found, expected);
}
