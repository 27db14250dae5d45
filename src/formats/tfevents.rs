//! Metrics as an event file of TensorBoard: records of `Event` messages, each with the checksums of its length and of
//! itself.

use crate::base::convert::narrow;
use crate::formats::columns::{Columns, Values};

/// Every value of every column of numbers at its `step`, which is a column of whole numbers; undefined ones are left out.
/// `seconds` since 1970 stand as the time of all events, so that the same metrics give the same bytes.
pub fn events(metrics: &Columns, seconds: f64) -> Vec<u8> {
    let mut file = record(&event(seconds, 0, &text(3, b"brain.Event:2")));
    let Some(Values::Whole(steps)) = metrics.get("step") else { return file };
    for (row, step) in steps.iter().enumerate() {
        let mut values = Vec::new();
        for (name, column) in &metrics.0 {
            let Values::Number(numbers) = column else { continue };
            if let Some(number) = numbers.get(row).copied().flatten() {
                values.extend(text(1, &value(name, narrow(number))));
            }
        }
        file.extend(record(&event(seconds, step.unwrap_or(0), &text(5, &values))));
    }
    file
}

/// A record of a file of TensorFlow's kind: its length, its bytes and a checksum of each.
fn record(bytes: &[u8]) -> Vec<u8> {
    let length = (bytes.len() as u64).to_le_bytes();
    let check = |of: &[u8]| masked(crc32c(of)).to_le_bytes();
    [&length[..], &check(&length), bytes, &check(bytes)].concat()
}

/// CRC-32C (RFC 3720), bit by bit: a file of metrics is short.
fn crc32c(bytes: &[u8]) -> u32 {
    /// The polynomial of Castagnoli, reflected.
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    let shifted = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ POLYNOMIAL } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc: u32, byte| (0..8).fold(crc ^ u32::from(*byte), shifted))
}

/// A checksum that is not confused by data which holds checksums: turned right by 15 bits, plus a constant of the format.
fn masked(checksum: u32) -> u32 {
    checksum.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// `Event { wall_time = 1, step = 2, .. }`
fn event(seconds: f64, step: i64, what: &[u8]) -> Vec<u8> {
    let mut bytes = vec![1 << 3 | FIXED_64];
    bytes.extend(seconds.to_le_bytes());
    if step != 0 {
        bytes.push(2 << 3);
        bytes.extend(varint(step.cast_unsigned()));
    }
    bytes.extend(what);
    bytes
}

/// `Summary.Value { tag = 1, simple_value = 2 }`
fn value(tag: &str, number: f32) -> Vec<u8> {
    let mut bytes = text(1, tag.as_bytes());
    bytes.push(2 << 3 | FIXED_32);
    bytes.extend(number.to_le_bytes());
    bytes
}

/// Kinds of fields in protocol buffers.
const FIXED_64: u8 = 1;
const LENGTH_FIRST: u8 = 2;
const FIXED_32: u8 = 5;

/// A field of bytes: text, or a message inside of another.
fn text(field: u8, bytes: &[u8]) -> Vec<u8> {
    let mut all = vec![field << 3 | LENGTH_FIRST];
    all.extend(varint(bytes.len() as u64));
    all.extend(bytes);
    all
}

/// Seven bits a byte, the lowest first; the eighth says that more follow.
fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push((number & 0x7f) as u8);
    bytes
}
