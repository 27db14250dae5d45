//! Arrays as a NumPy archive: `.npy` members of format 1.0 in a ZIP whose entries are stored, made in memory. The same arrays give the same bytes.

use std::collections::BTreeSet;
use std::io::{Cursor, Read, Seek, Write};

use zip::result::{ZipError, ZipResult};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, System, ZipArchive, ZipWriter};

use crate::base::array::Array;
use crate::base::error::{Error, Result};

/// The first bytes of a `.npy` of format 1.0.
const START: &[u8] = b"\x93NUMPY\x01\x00";

/// Numbers of a member, row-major.
#[derive(Clone, Copy, Debug)]
pub enum Numbers<'a> {
    F32(&'a [f32]),
    F64(&'a [f64]),
    U32(&'a [u32]),
    U8(&'a [u8]),
}

/// One array of an archive: `numpy.load(file)[name]`.
#[derive(Clone, Debug)]
pub struct Member<'a> {
    pub name: String,
    /// Lengths of the axes, outermost first; none for a single number.
    pub shape: &'a [usize],
    pub numbers: Numbers<'a>,
}

/// Arrays by name and in order, and `about` (JSON text) as bytes: `json.loads(numpy.load(file)["about"].tobytes())`.
pub fn npz(arrays: &[Array], about: &str) -> Result<Vec<u8>> {
    let mut members: Vec<Member<'_>> = arrays.iter().map(Member::of).collect();
    let length = [about.len()];
    members.push(Member::about(about, &length));
    archive(&members)
}

/// What an archive made here says of itself; `None` where the bytes are no such archive.
pub fn about(bytes: &[u8]) -> Option<String> {
    let mut zip = ZipArchive::new(Cursor::new(bytes)).ok()?;
    let mut member = Vec::new();
    let file = zip.by_name("about.npy").ok()?;
    file.take(MOST_ABOUT_BYTES).read_to_end(&mut member).ok()?;
    let text = member.get(header_length(&member)?..)?;
    String::from_utf8(text.to_vec()).ok()
}

/// Bytes of a text about an archive that are read: that of a figure of a hundred panels is a tenth of it.
const MOST_ABOUT_BYTES: u64 = 64 << 20;

/// Where the numbers of a `.npy` of format 1.0 begin.
fn header_length(npy: &[u8]) -> Option<usize> {
    let rest = npy.strip_prefix(START)?;
    let length = u16::from_le_bytes([*rest.first()?, *rest.get(1)?]);
    Some(START.len() + size_of::<u16>() + usize::from(length))
}

/// Names of members, no two of them alike.
#[derive(Clone, Debug, Default)]
pub struct Names(BTreeSet<String>);

impl Names {
    /// The name, or with a number where another member has it. File systems that do not tell capitals apart do not mix two
    /// members up.
    pub fn free(&mut self, name: &str) -> String {
        let numbered = (2..).map(|n| format!("{name}_{n}"));
        let mut all = std::iter::once(name.to_owned()).chain(numbered);
        all.find(|name| self.0.insert(name.to_lowercase())).unwrap_or_default()
    }
}

/// Signs of a part of a name at most: what a file system takes has about three of them and their endings.
const LONGEST: usize = 80;

/// A part of the name of a member that every file system and every reader of a ZIP takes; `instead` where nothing is left.
pub fn plain(name: &str, instead: &str) -> String {
    let allowed = |c: char| if c.is_alphanumeric() || "._-".contains(c) { c } else { '_' };
    match name.trim() {
        "" => instead.to_owned(),
        name => name.chars().map(allowed).take(LONGEST).collect(),
    }
}

/// # Errors
/// When two members share a name, or the numbers of one do not fill its shape.
pub fn archive(members: &[Member<'_>]) -> Result<Vec<u8>> {
    let mut archive = Archive::new(Cursor::new(Vec::new()));
    members.iter().try_for_each(|member| archive.add(member))?;
    Ok(archive.finish()?.into_inner())
}

/// An archive that is written member by member.
pub struct Archive<W: Write + Seek>(Option<ZipWriter<W>>);

impl<W: Write + Seek> Archive<W> {
    pub fn new(to: W) -> Self {
        Self(Some(ZipWriter::new(to)))
    }

    /// # Errors
    /// When another member has its name, its numbers do not fill its shape, or it cannot be written.
    pub fn add(&mut self, member: &Member<'_>) -> Result<()> {
        let header = member.header()?;
        let written = self.write(member, &header);
        written.map_err(|e| self.failed(&member.name, e))
    }

    /// What cannot be written any further is let go: at its end it would be finished, and say on the terminal that it cannot be.
    fn failed(&mut self, name: &str, error: ZipError) -> Error {
        std::mem::forget(self.0.take());
        if let ZipError::Io(e) = error {
            return Error::from(e).context(format!("writing {name} into a NumPy archive"));
        }
        wrong(name, &error.to_string()).caused_by(error)
    }

    fn write(&mut self, member: &Member<'_>, header: &[u8]) -> ZipResult<()> {
        let length = header.len() + member.numbers.bytes();
        // What the file system and the clock would say is said alike everywhere.
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .last_modified_time(DateTime::DEFAULT)
            .system(System::Unix)
            .unix_permissions(0o644)
            .large_file(u32::try_from(length).is_err());
        let Some(zip) = &mut self.0 else { return Ok(()) };
        zip.start_file(format!("{}.npy", member.name), options)?;
        zip.write_all(header)?;
        Ok(member.numbers.write_to(zip)?)
    }

    /// # Errors
    /// When the end cannot be written.
    pub fn finish(mut self) -> Result<W> {
        let zip = self.0.take().ok_or_else(|| wrong("its end", "it was given up before"))?;
        zip.finish().map_err(|e| self.failed("its end", e))
    }
}

fn wrong(name: &str, why: &str) -> Error {
    Error::internal(format!("writing {name} into a NumPy archive: {why}"))
}

impl<'a> Member<'a> {
    pub fn of(array: &'a Array) -> Self {
        let numbers = Numbers::F32(&array.data);
        Self { name: array.name.clone(), shape: &array.shape, numbers }
    }

    /// The text that says what an archive holds; `length` is that of its bytes.
    pub fn about(text: &'a str, length: &'a [usize; 1]) -> Self {
        Self { name: "about".to_owned(), shape: length, numbers: Numbers::U8(text.as_bytes()) }
    }

    /// What stands before the numbers in a file of its own, of format 1.0 (NumPy enhancement proposal 1).
    fn header(&self) -> Result<Vec<u8>> {
        let count = self.shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d));
        if count != Some(self.numbers.len()) {
            let why =
                format!("{} numbers do not fill the shape {:?}", self.numbers.len(), self.shape);
            return Err(wrong(&self.name, &why));
        }
        header(self.numbers.kind(), self.shape)
            .ok_or_else(|| wrong(&self.name, "it has too many axes"))
    }
}

/// Everything before the numbers, which begin at a multiple of 64 bytes; `None` where there are more axes than it can say.
fn header(kind: &str, shape: &[usize]) -> Option<Vec<u8>> {
    const ALIGNED: usize = 64;
    let axes: Vec<String> = shape.iter().map(usize::to_string).collect();
    // A tuple of one is written with a comma.
    let comma = if axes.len() == 1 { "," } else { "" };
    let mut text = format!(
        "{{'descr': '{kind}', 'fortran_order': False, 'shape': ({}{comma}), }}",
        axes.join(", ")
    );
    let before = START.len() + size_of::<u16>();
    let whole = (before + text.len() + 1).next_multiple_of(ALIGNED);
    text.extend(std::iter::repeat_n(' ', whole - before - text.len() - 1));
    text.push('\n');
    let length = u16::try_from(text.len()).ok()?;
    Some([START, &length.to_le_bytes(), text.as_bytes()].concat())
}

impl Numbers<'_> {
    fn len(self) -> usize {
        match self {
            Self::F32(x) => x.len(),
            Self::F64(x) => x.len(),
            Self::U32(x) => x.len(),
            Self::U8(x) => x.len(),
        }
    }

    /// NumPy's name for them, little endian.
    fn kind(self) -> &'static str {
        match self {
            Self::F32(_) => "<f4",
            Self::F64(_) => "<f8",
            Self::U32(_) => "<u4",
            Self::U8(_) => "|u1",
        }
    }

    /// How many bytes they take.
    fn bytes(self) -> usize {
        let of_one = match self {
            Self::F32(_) => size_of::<f32>(),
            Self::F64(_) => size_of::<f64>(),
            Self::U32(_) => size_of::<u32>(),
            Self::U8(_) => 1,
        };
        self.len() * of_one
    }

    fn write_to(self, out: &mut impl Write) -> std::io::Result<()> {
        match self {
            // Minus zero is zero.
            Self::F32(x) => pieces(out, x, |x| (x + 0.0).to_le_bytes()),
            Self::F64(x) => pieces(out, x, |x| (x + 0.0).to_le_bytes()),
            Self::U32(x) => pieces(out, x, |x| x.to_le_bytes()),
            Self::U8(x) => out.write_all(x),
        }
    }
}

/// Writes numbers some at a time.
fn pieces<T: Copy, const N: usize>(
    out: &mut impl Write,
    numbers: &[T],
    bytes: impl Fn(T) -> [u8; N],
) -> std::io::Result<()> {
    const PIECE: usize = 1 << 14;
    let mut piece = Vec::with_capacity(N * PIECE);
    for numbers in numbers.chunks(PIECE) {
        piece.clear();
        piece.extend(numbers.iter().flat_map(|x| bytes(*x)));
        out.write_all(&piece)?;
    }
    Ok(())
}
