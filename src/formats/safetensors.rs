//! Tensors in a file: the safetensors format, read piece by piece with every length checked first.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{Cursor, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value, json};

use crate::base::budget;
use crate::base::error::{Error, Result};
use crate::base::weights::{Dtype, NamedTensor, Numbers, RawTensor};

/// Largest header that is read: a pack of 64 steps with 150 tensors each has less than 1 MB.
const MOST_HEADER_BYTES: u64 = 8 << 20;
/// Most tensors that one file holds: a pack of 64 steps of a network of 64 layers with 16 tensors each.
const MOST_TENSORS: usize = 1 << 16;
/// Longest note of ours: the list of a network's tensors takes some 10 KB.
const MOST_NOTE_BYTES: usize = 2 << 20;
/// Most axes of a tensor.
const MOST_AXES: usize = 8;

/// Where one tensor lies in a file.
#[derive(Clone, Debug)]
pub struct Place {
    pub name: String,
    pub shape: Vec<usize>,
    /// `None`: of other numbers than those that a network computes with.
    pub dtype: Option<Dtype>,
    /// From the start of the data section, in bytes.
    pub from: u64,
    pub to: u64,
}

/// The header of a file of tensors.
#[derive(Clone, Debug)]
pub struct Contents {
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
pub fn header(places: &[Place], metadata: &[(&str, &str)]) -> Vec<u8> {
    let mut map = Map::new();
    if !metadata.is_empty() {
        let said = metadata.iter().map(|(key, value)| ((*key).to_owned(), json!(value)));
        map.insert("__metadata__".to_owned(), Value::Object(said.collect()));
    }
    for place in places {
        let dtype = place.dtype.unwrap_or(Dtype::F32).name();
        let entry =
            json!({"dtype": dtype, "shape": place.shape, "data_offsets": [place.from, place.to]});
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
pub fn encode<'a>(
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
        places.push(Place {
            name,
            shape: tensor.shape.clone(),
            dtype: Some(Dtype::F32),
            from,
            to: data.len() as u64,
        });
    }
    let mut bytes = header(&places, metadata);
    bytes.append(&mut data);
    bytes
}

/// Reads the header of a file of ours, of `length` bytes; `file` stands in messages.
///
/// # Errors
/// As [`contents_of_any`], and when the file holds other numbers than `f32`.
pub fn contents(source: impl Read + Seek, length: u64, file: &Path) -> Result<Contents> {
    let contents = contents_of_any(source, length, file)?;
    match contents.places.iter().find(|place| place.dtype != Some(Dtype::F32)) {
        None => Ok(contents),
        Some(place) => Err(wrong(
            file,
            &format!("the entry of tensor {} is damaged, cut short or not f32", place.name),
        )),
    }
}

/// Reads the header of a file of tensors of whatever numbers.
///
/// # Errors
/// When the file is cut short or damaged, or tensors overlap, share a name or leave room between them.
pub fn contents_of_any(mut source: impl Read + Seek, length: u64, file: &Path) -> Result<Contents> {
    let wrong = |why: &str| wrong(file, why);
    let io = |e: std::io::Error| wrong(&e.to_string()).caused_by(e);
    if length < 8 {
        return Err(wrong(&format!("cut short after {length} bytes")));
    }
    source.seek(SeekFrom::Start(0)).map_err(io)?;
    let mut size = [0; 8];
    source.read_exact(&mut size).map_err(io)?;
    let size = u64::from_le_bytes(size);
    if size > MOST_HEADER_BYTES || size > length - 8 {
        return Err(wrong(&format!(
            "its header is said to take {size} of {length} bytes, and at most {MOST_HEADER_BYTES} are read"
        )));
    }
    let mut text = vec![0; usize::try_from(size).unwrap_or(0)];
    source.read_exact(&mut text).map_err(io)?;
    let Entries { tensors, note } = serde_json::from_slice(&text)
        .map_err(|e| wrong(&format!("its header is damaged: {e}")).caused_by(e))?;
    let data_at = 8 + size;
    let mut places = Vec::with_capacity(tensors.len());
    for (name, entry) in tensors {
        let Some(place) = entry.place(&name, length - data_at) else {
            return Err(wrong(&format!("the entry of tensor {name} is damaged or cut short")));
        };
        places.push(place);
    }
    places.sort_by_key(|place| (place.from, place.to));
    check_places(&places, length - data_at).map_err(|why| wrong(&why))?;
    Ok(Contents { places, note, data_at })
}

fn wrong(file: &Path, why: &str) -> Error {
    Error::input(format!("{}: {why}; expected a safetensors file", file.display()))
}

/// Whether tensors lie one right after the other, to the end of the file.
fn check_places(places: &[Place], data_length: u64) -> Result<(), String> {
    let mut at = 0;
    let mut before: Option<&Place> = None;
    for place in places {
        if let Some(before) = before.filter(|before| before.to > place.from) {
            return Err(format!("tensors {} and {} overlap", before.name, place.name));
        }
        if place.from > at {
            return Err(format!("bytes {at} to {} of its numbers are of no tensor", place.from));
        }
        at = place.to;
        before = Some(place);
    }
    if at < data_length {
        return Err(format!("bytes {at} to {data_length} of its numbers are of no tensor"));
    }
    Ok(())
}

/// What a header says.
struct Entries {
    /// In its order.
    tensors: Vec<(String, Entry)>,
    note: Option<String>,
}

/// What a header says of a tensor.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    dtype: String,
    shape: Axes,
    data_offsets: [u64; 2],
}

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Collect;

        impl<'de> Visitor<'de> for Collect {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("tensors by name")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                // A map would keep the last of two entries of one name without a word.
                let mut names = BTreeSet::new();
                let mut entries = Entries { tensors: Vec::new(), note: None };
                while let Some(name) = map.next_key::<String>()? {
                    if !names.insert(name.clone()) {
                        return Err(A::Error::custom(format_args!("it names {name} twice")));
                    }
                    if names.len() > MOST_TENSORS {
                        return Err(A::Error::custom(format_args!(
                            "it names more than {MOST_TENSORS} tensors"
                        )));
                    }
                    if name == "__metadata__" {
                        let TokenMeaning(note) = map.next_value()?;
                        entries.note = note;
                    } else {
                        entries.tensors.push((name, map.next_value()?));
                    }
                }
                Ok(entries)
            }
        }

        from.deserialize_map(Collect)
    }
}

/// Our own note among what a file says of itself.
struct TokenMeaning(Option<String>);

impl<'de> Deserialize<'de> for TokenMeaning {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Collect;

        impl<'de> Visitor<'de> for Collect {
            type Value = TokenMeaning;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("texts by name")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<TokenMeaning, A::Error> {
                let (mut names, mut note) = (BTreeSet::new(), None);
                while let Some((name, text)) = map.next_entry::<String, String>()? {
                    if name == NOTE {
                        if text.len() > MOST_NOTE_BYTES {
                            return Err(A::Error::custom(format_args!(
                                "its note has {} bytes, expected at most {MOST_NOTE_BYTES}",
                                text.len()
                            )));
                        }
                        note = Some(text);
                    }
                    if names.contains(&name) {
                        return Err(A::Error::custom(format_args!("it names {name} twice")));
                    }
                    names.insert(name);
                }
                Ok(TokenMeaning(note))
            }
        }

        from.deserialize_map(Collect)
    }
}

/// Lengths of the axes of a tensor: a few, none of them 0.
struct Axes(Vec<usize>);

impl<'de> Deserialize<'de> for Axes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Collect;

        impl<'de> Visitor<'de> for Collect {
            type Value = Axes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "at most {MOST_AXES} lengths of axes")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Axes, A::Error> {
                let mut axes = Vec::new();
                while let Some(length) = list.next_element::<usize>()? {
                    if length == 0 || axes.len() == MOST_AXES {
                        return Err(A::Error::custom(format_args!(
                            "expected at most {MOST_AXES} axes, each of length 1 at least"
                        )));
                    }
                    axes.push(length);
                }
                Ok(Axes(axes))
            }
        }

        from.deserialize_seq(Collect)
    }
}

impl Entry {
    /// Where the tensor lies, if it fills its part of `data_length` bytes.
    fn place(self, name: &str, data_length: u64) -> Option<Place> {
        let [from, to] = self.data_offsets;
        let Axes(shape) = self.shape;
        let count = shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d))?;
        let dtype = Dtype::named(&self.dtype);
        let bytes = match dtype {
            Some(dtype) => u64::try_from(count).ok()?.checked_mul(dtype.bytes() as u64)?,
            None => to.checked_sub(from)?,
        };
        let fits = from <= to
            && to <= data_length
            && to - from <= budget::NETWORK_BYTES
            && bytes == to - from;
        fits.then(|| Place { name: name.to_owned(), shape, dtype, from, to })
    }
}

/// Refuses to read tensors that take more memory than a network may.
///
/// # Errors
/// When they do; `file` is named.
pub fn check_room<'a>(
    places: impl Iterator<Item = &'a Place>,
    most: u64,
    file: &Path,
) -> Result<()> {
    let bytes: u64 = places.map(|place| place.to - place.from).sum();
    if bytes <= most {
        return Ok(());
    }
    Err(Error::input(format!(
        "{}: its tensors take {bytes} bytes of memory, and at most {most} are read at once",
        file.display()
    )))
}

/// All tensors of a file.
///
/// # Errors
/// As [`contents`], or when they take more memory than `most`.
pub fn all(
    mut source: impl Read + Seek,
    length: u64,
    most: u64,
    file: &Path,
) -> Result<(Vec<NamedTensor>, Option<String>)> {
    let contents = contents(&mut source, length, file)?;
    check_room(contents.places.iter(), most, file)?;
    let tensor = |place: &Place| {
        let data = numbers(&mut source, &contents, place, file)?;
        let (name, shape) = (place.name.as_str().into(), place.shape.clone());
        Ok(NamedTensor { name, shape, data, trained: true })
    };
    let tensors = contents.places.iter().map(tensor).collect::<Result<_>>()?;
    Ok((tensors, contents.note))
}

/// The tensors of a file in memory, in the order of their numbers, and what the file says of itself; `origin` stands in
/// messages.
///
/// # Errors
/// When it is damaged, holds other numbers than `f32`, or more than a network may have.
pub fn read_safetensors(bytes: &[u8], origin: &Path) -> Result<(Vec<NamedTensor>, Option<String>)> {
    all(Cursor::new(bytes), bytes.len() as u64, budget::NETWORK_BYTES, origin)
}

/// The numbers of one tensor of `f32`.
///
/// # Errors
/// When the file cannot be read there.
pub fn numbers(
    source: impl Read + Seek,
    contents: &Contents,
    place: &Place,
    file: &Path,
) -> Result<Arc<[f32]>> {
    let count = place.shape.iter().product();
    let mut data = Numbers::zeros(Dtype::F32, count);
    read_into(source, (contents, place), 0, data.bytes_mut(), file)?;
    let (numbers, _) = data.bytes().as_chunks::<4>();
    Ok(numbers.iter().map(|b| f32::from_le_bytes(*b)).collect())
}

/// Some rows of a tensor (of its first axis), one stretch after the other, in the kind of numbers of the file.
///
/// # Errors
/// When the file cannot be read there, the tensor has no such rows, or it is of other numbers than those of a network.
pub fn rows(
    mut source: impl Read + Seek,
    contents: &Contents,
    place: &Place,
    rows: &[Range<usize>],
    file: &Path,
) -> Result<RawTensor> {
    let dtype = place.dtype.ok_or_else(|| {
        Error::input(format!(
            "{}: the tensor {} holds other numbers than F32, F16, BF16 or F64; save the network in one of these",
            file.display(),
            place.name
        ))
    })?;
    let there = place.shape.first().copied().unwrap_or(1);
    if let Some(beyond) = rows.iter().find(|rows| rows.start > rows.end || rows.end > there) {
        return Err(Error::internal(format!(
            "rows {beyond:?} of the tensor {} are asked for, it has {there}",
            place.name
        )));
    }
    let width: usize = place.shape.iter().skip(1).product();
    let count: usize = rows.iter().map(ExactSizeIterator::len).sum();
    let mut numbers = Numbers::zeros(dtype, count * width);
    let mut left = numbers.bytes_mut();
    for rows in rows {
        let (out, rest) = left.split_at_mut(rows.len() * width * dtype.bytes());
        let from = (rows.start * width * dtype.bytes()) as u64;
        read_into(&mut source, (contents, place), from, out, file)?;
        left = rest;
    }
    let mut shape = place.shape.clone();
    if let Some(rows) = shape.first_mut() {
        *rows = count;
    }
    Ok(RawTensor { shape, numbers })
}

/// Fills `out` with the bytes of a tensor, `from` the beginning of it on.
fn read_into(
    mut source: impl Read + Seek,
    (contents, place): (&Contents, &Place),
    from: u64,
    out: &mut [u8],
    file: &Path,
) -> Result<()> {
    let wrong = |e: std::io::Error| {
        Error::input(format!("{}: tensor {} cannot be read: {e}", file.display(), place.name))
            .caused_by(e)
    };
    source.seek(SeekFrom::Start(contents.data_at + place.from + from)).map_err(wrong)?;
    source.read_exact(out).map_err(wrong)
}
