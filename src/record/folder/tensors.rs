//! Tensors in a file: the safetensors format, read piece by piece with every length checked first.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value, json};

use crate::record::error::{Error, Result};
use crate::record::weights::NamedTensor;

/// Largest header that is read: a pack of 64 steps with 150 tensors each has less than 1 MB.
const MOST_HEADER_BYTES: u64 = 16 << 20;
/// Largest tensor that is read: no network has more in all.
const MOST_TENSOR_BYTES: u64 = 2 << 30;

/// Where one tensor lies in a file.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub name: String,
    pub shape: Vec<usize>,
    /// From the start of the data section, in bytes.
    pub from: u64,
    pub to: u64,
}

/// The header of a file of tensors.
#[derive(Clone, Debug)]
pub(super) struct Contents {
    /// In the order of their data.
    pub places: Vec<Place>,
    /// What the file says of itself.
    pub note: Option<String>,
    /// Where the data section begins in the file.
    pub data_at: u64,
}

/// The key of our own note among the metadata of a file.
const NOTE: &str = "mnemoscope";

/// The first part of a file of tensors, everything before the numbers.
pub(super) fn header(places: &[Place], metadata: &[(&str, &str)]) -> Vec<u8> {
    let mut map = Map::new();
    if !metadata.is_empty() {
        let said = metadata.iter().map(|(key, value)| ((*key).to_owned(), json!(value)));
        map.insert("__metadata__".to_owned(), Value::Object(said.collect()));
    }
    for place in places {
        let entry =
            json!({"dtype": "F32", "shape": place.shape, "data_offsets": [place.from, place.to]});
        map.insert(place.name.clone(), entry);
    }
    let mut text = Value::Object(map).to_string().into_bytes();
    // The numbers begin at a multiple of eight bytes.
    text.resize(text.len().next_multiple_of(8), b' ');
    let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
    bytes.append(&mut text);
    bytes
}

/// A whole file of tensors.
pub(super) fn encode<'a>(
    tensors: impl IntoIterator<Item = (String, &'a NamedTensor)>,
    note: Option<&str>,
) -> Vec<u8> {
    let note = note.map(|note| (NOTE, note));
    written(tensors, note.as_slice())
}

/// Tensors as a file of the safetensors format, in their order; `metadata` is what the file says of itself. The same
/// tensors give the same bytes.
pub fn safetensors(tensors: &[NamedTensor], metadata: &[(&str, &str)]) -> Vec<u8> {
    written(tensors.iter().map(|t| (t.name.to_string(), t)), metadata)
}

fn written<'a>(
    tensors: impl IntoIterator<Item = (String, &'a NamedTensor)>,
    metadata: &[(&str, &str)],
) -> Vec<u8> {
    let (mut places, mut data) = (Vec::new(), Vec::new());
    for (name, tensor) in tensors {
        let from = data.len() as u64;
        data.extend(tensor.data.iter().flat_map(|x| x.to_le_bytes()));
        places.push(Place { name, shape: tensor.shape.clone(), from, to: data.len() as u64 });
    }
    let mut bytes = header(&places, metadata);
    bytes.append(&mut data);
    bytes
}

/// Reads the header of a file of `length` bytes; `file` stands in messages.
///
/// # Errors
/// When the file is cut short, damaged, or holds other numbers than `f32`.
pub(super) fn contents(mut source: impl Read + Seek, length: u64, file: &Path) -> Result<Contents> {
    let wrong = |why: &str| {
        Error::input(format!("{}: {why}; expected a file of f32 tensors", file.display()))
    };
    let io = |e: std::io::Error| wrong(&e.to_string());
    if length < 8 {
        return Err(wrong(&format!("cut short after {length} bytes")));
    }
    source.seek(SeekFrom::Start(0)).map_err(io)?;
    let mut size = [0; 8];
    source.read_exact(&mut size).map_err(io)?;
    let size = u64::from_le_bytes(size);
    if size > MOST_HEADER_BYTES || size > length - 8 {
        return Err(wrong(&format!("its header is said to take {size} of {length} bytes")));
    }
    let mut text = vec![0; usize::try_from(size).unwrap_or(0)];
    source.read_exact(&mut text).map_err(io)?;
    let Entries(entries) =
        serde_json::from_slice(&text).map_err(|e| wrong(&format!("its header is damaged: {e}")))?;
    let data_at = 8 + size;
    let (mut places, mut note) = (Vec::new(), None);
    let mut names = BTreeSet::new();
    for (name, value) in entries {
        if !names.insert(name.clone()) {
            return Err(wrong(&format!("its header names {name} twice")));
        }
        if name == "__metadata__" {
            note = value.get(NOTE).and_then(Value::as_str).map(str::to_owned);
            continue;
        }
        let place = place(&name, &value, length - data_at).ok_or_else(|| {
            wrong(&format!("the entry of tensor {name} is damaged, cut short or not f32"))
        })?;
        places.push(place);
    }
    places.sort_by_key(|place| (place.from, place.to));
    if let Some(pair) = places.windows(2).find(|pair| pair[0].to > pair[1].from) {
        return Err(wrong(&format!("tensors {} and {} overlap", pair[0].name, pair[1].name)));
    }
    Ok(Contents { places, note, data_at })
}

/// The entries of a header in their order, those of one name too: a map would keep the last of them without a word.
struct Entries(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Collect;

        impl<'de> Visitor<'de> for Collect {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("tensors by name")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }

        from.deserialize_map(Collect)
    }
}

/// An entry of a header, if it is of `f32` and fills its part of `data_length` bytes.
fn place(name: &str, value: &Value, data_length: u64) -> Option<Place> {
    let numbers = |key: &str| -> Option<Vec<u64>> {
        value.get(key)?.as_array()?.iter().map(Value::as_u64).collect()
    };
    let (shape, offsets) = (numbers("shape")?, numbers("data_offsets")?);
    let [from, to] = offsets[..] else { return None };
    let count = shape.iter().try_fold(1u64, |n, d| n.checked_mul(*d))?;
    let fits = from <= to
        && to <= data_length
        && to - from <= MOST_TENSOR_BYTES
        && count.checked_mul(4)? == to - from;
    let shape = shape.into_iter().map(usize::try_from).collect::<Result<_, _>>().ok()?;
    (fits && value.get("dtype")?.as_str()? == "F32").then(|| Place {
        name: name.to_owned(),
        shape,
        from,
        to,
    })
}

/// The numbers of one tensor.
///
/// # Errors
/// When the file cannot be read there.
pub(super) fn numbers(
    mut source: impl Read + Seek,
    contents: &Contents,
    place: &Place,
    file: &Path,
) -> Result<Arc<[f32]>> {
    let wrong = |e: std::io::Error| {
        Error::input(format!("{}: tensor {} cannot be read: {e}", file.display(), place.name))
    };
    let bytes = usize::try_from(place.to - place.from).unwrap_or(usize::MAX);
    source.seek(SeekFrom::Start(contents.data_at + place.from)).map_err(wrong)?;
    let mut data = vec![0; bytes];
    source.read_exact(&mut data).map_err(wrong)?;
    let (numbers, _) = data.as_chunks::<4>();
    Ok(numbers.iter().map(|b| f32::from_le_bytes(*b)).collect())
}
