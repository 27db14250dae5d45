//! Fonts of others, for what ours lack: files that were named, then those of the system.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, OnceLock};

use directories::{BaseDirs, UserDirs};
use rustybuzz::ttf_parser::{self, RawFace, Tag, cmap, name, os2};
use sha2::{Digest, Sha256};

use crate::base::error::{Error, Result, reason};

/// Where a sign that our own faces lack finds a glyph: nowhere, or in fonts that stay for as long as the program runs.
#[derive(Clone, Copy, Default)]
pub struct Fallback(Option<&'static Fonts>);

/// Fonts in the order in which they are asked. The system's are looked at when a sign is first missing: most figures never
/// need them.
struct Fonts {
    named: Vec<Face>,
    folders: Vec<PathBuf>,
    system: OnceLock<System>,
}

impl Fallback {
    /// No other fonts.
    pub const NONE: Self = Self(None);

    /// The fonts of the system.
    pub fn system() -> Self {
        static SYSTEM: LazyLock<Fonts> = LazyLock::new(|| Fonts {
            named: Vec::new(),
            folders: system_folders(),
            system: OnceLock::new(),
        });
        Self(Some(&SYSTEM))
    }

    /// The fonts of files, and behind them those of the system.
    ///
    /// # Errors
    /// When a file cannot be read, is no font, or has pictures in place of outlines.
    pub fn open(files: &[PathBuf]) -> Result<Self> {
        if files.is_empty() { Ok(Self::system()) } else { Self::of(files, system_folders()) }
    }

    /// The fonts of files, and behind them all that lie in folders.
    pub fn of(files: &[PathBuf], folders: Vec<PathBuf>) -> Result<Self> {
        let named = files.iter().map(|path| named(path)).collect::<Result<Vec<_>>>()?;
        let system = OnceLock::new();
        let fonts = Fonts { named: named.into_iter().flatten().collect(), folders, system };
        // What was drawn with them may be drawn again at any time.
        Ok(Self(Some(Box::leak(Box::new(fonts)))))
    }

    /// Names of the faces that were named by their files.
    pub fn names(self) -> Vec<&'static str> {
        self.0.map_or_else(Vec::new, |fonts| fonts.named.iter().map(|f| f.name.as_str()).collect())
    }

    /// The first face that has a glyph for a sign.
    pub fn find(self, c: char) -> Option<&'static Face> {
        let fonts = self.0?;
        let named = fonts.named.iter().find(|face| face.has(c));
        named.or_else(|| fonts.system.get_or_init(|| System::read(&fonts.folders)).find(c))
    }
}

impl PartialEq for Fallback {
    fn eq(&self, other: &Self) -> bool {
        match (self.0, other.0) {
            (Some(a), Some(b)) => std::ptr::eq(a, b),
            (a, b) => a.is_none() && b.is_none(),
        }
    }
}

impl fmt::Debug for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = self.0.iter().flat_map(|fonts| &fonts.named);
        f.debug_list().entries(named.map(|face| &face.name)).finish()
    }
}

/// A face of a font that is not ours.
pub struct Face {
    /// Family and style, e.g. `Noto Sans Arabic Bold`.
    pub name: String,
    pub family: String,
    /// The whole file, and the place of the face in it.
    pub bytes: &'static [u8],
    pub index: u32,
    pub shaper: rustybuzz::Face<'static>,
    sha256: OnceLock<String>,
}

impl Face {
    fn new(bytes: &'static [u8], listed: &Listed) -> Option<Self> {
        let shaper = rustybuzz::Face::from_slice(bytes, listed.index)?;
        Some(Self {
            name: format!("{} {}", listed.family, listed.style).trim_end().to_owned(),
            family: listed.family.clone(),
            bytes,
            index: listed.index,
            shaper,
            sha256: OnceLock::new(),
        })
    }

    fn has(&self, c: char) -> bool {
        !is_private(c) && self.shaper.glyph_index(c).is_some()
    }

    /// A name that no other face has.
    pub fn key(&self) -> String {
        format!("f{}-{}", &self.sha256()[..16], self.index)
    }

    /// SHA-256 of the file in hexadecimal.
    pub fn sha256(&self) -> &str {
        let hash = || Sha256::digest(self.bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        self.sha256.get_or_init(hash)
    }
}

impl PartialEq for Face {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl fmt::Debug for Face {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// Whether each font means something else by a sign.
fn is_private(c: char) -> bool {
    matches!(c, '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..)
}

/// Largest file that is taken for a font: those of all Han characters in all weights have some 150 MB.
const MOST_BYTES: u64 = 256 << 20;

/// The faces of a file that somebody named.
fn named(path: &Path) -> Result<Vec<Face>> {
    let wrong = |why: &str| {
        Error::input(format!(
            "read {}, {why}; expected a font with outlines: a .ttf, .otf, .ttc or .otc file",
            path.display()
        ))
    };
    let mut file = File::open(path).map_err(|e| {
        Error::input(format!("opening the font {}: {}", path.display(), reason(&e))).caused_by(e)
    })?;
    let listed = listed(&mut file, path);
    if listed.is_empty() {
        return Err(wrong("which is no font"));
    }
    let bytes = whole(path).ok_or_else(|| wrong("which cannot be read as a whole"))?;
    let drawn = listed.into_iter().filter(|face| !face.is_painted);
    let faces: Vec<Face> = drawn.filter_map(|face| Face::new(bytes, &face)).collect();
    if faces.is_empty() {
        return Err(wrong("whose glyphs are pictures or colours"));
    }
    Ok(faces)
}

/// A file that stays in memory.
fn whole(path: &Path) -> Option<&'static [u8]> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(MOST_BYTES).read_to_end(&mut bytes).ok()?;
    Some(Vec::leak(bytes))
}

/// All faces of some folders, and which of them comes first for each sign.
struct System {
    faces: Vec<Found>,
    /// By code point: index into `faces`, or [`NOBODY`].
    first: Vec<u16>,
}

const NOBODY: u16 = u16::MAX;

struct Found {
    listed: Listed,
    face: OnceLock<Option<Face>>,
}

impl System {
    fn read(folders: &[PathBuf]) -> Self {
        let mut files = BTreeSet::new();
        folders.iter().for_each(|folder| collect(folder, MOST_DEPTH, &mut files));
        let read = |path: &PathBuf| {
            let faces = File::open(path).map(|mut file| listed(&mut file, path));
            faces.unwrap_or_default()
        };
        let mut listed: Vec<Listed> =
            files.iter().flat_map(read).filter(Listed::is_wanted).collect();
        listed.sort_by(|a, b| a.rank().cmp(&b.rank()));
        listed.truncate(usize::from(NOBODY));
        let mut first = vec![NOBODY; char::MAX as usize + 1];
        for (face, listed) in (0..).zip(&listed) {
            listed.claim(face, &mut first);
        }
        let found = |listed| Found { listed, face: OnceLock::new() };
        Self { faces: listed.into_iter().map(found).collect(), first }
    }

    fn find(&self, c: char) -> Option<&Face> {
        let found = self.faces.get(usize::from(*self.first.get(c as usize)?))?;
        let read = || Face::new(whole(&found.listed.path)?, &found.listed);
        found.face.get_or_init(read).as_ref().filter(|face| face.has(c))
    }
}

/// What is known of a face without reading its glyphs.
struct Listed {
    path: PathBuf,
    index: u32,
    /// Names of the first face in the file, after which all of them are sorted.
    first: [String; 2],
    family: String,
    /// Empty where it is regular.
    style: String,
    /// How far it is from upright, from normal weight and from normal width.
    distance: (bool, u16, u16),
    /// Glyphs are pictures, or have colours of their own.
    is_painted: bool,
    /// Where the table of its signs lies in the file: offset and length.
    signs: (u32, u32),
}

impl Listed {
    /// Faces of regular style come first, then names decide: the same on every machine that has the same fonts.
    fn rank(&self) -> (&(bool, u16, u16), &[String; 2], u32, &Path) {
        (&self.distance, &self.first, self.index, &self.path)
    }

    /// Names with a dot are the system's own affair; a last resort has a box for everything.
    fn is_wanted(&self) -> bool {
        let squeezed = self.family.replace(' ', "");
        let empty = squeezed.starts_with("LastResort") || squeezed.starts_with("AdobeBlank");
        !self.is_painted && !self.family.starts_with('.') && !empty
    }

    /// Writes the number of this face beside each sign that it has and no face before it.
    fn claim(&self, face: u16, first: &mut [u16]) {
        let bytes = File::open(&self.path).ok().and_then(|mut file| part(&mut file, self.signs));
        let Some(table) = bytes.as_deref().and_then(cmap::Table::parse) else { return };
        for subtable in table.subtables.into_iter().filter(cmap::Subtable::is_unicode) {
            subtable.codepoints(|code| {
                let free = first.get_mut(code as usize).filter(|owner| **owner == NOBODY);
                let is_own = char::from_u32(code).is_some_and(|c| !is_private(c));
                if let Some(owner) = free
                    && is_own
                    && subtable.glyph_index(code).is_some_and(|glyph| glyph.0 > 0)
                {
                    *owner = face;
                }
            });
        }
    }
}

/// The faces of a file, without those that are no faces.
fn listed(file: &mut File, path: &Path) -> Vec<Listed> {
    // The directories of tables lie at the beginning, wherever fonts are made.
    let Some(head) = part(file, (0, 1 << 16)) else { return Vec::new() };
    let count = ttf_parser::fonts_in_collection(&head).unwrap_or(1).min(64);
    let mut faces: Vec<Listed> =
        (0..count).filter_map(|index| read_face(file, &head, index, path)).collect();
    if let Some(first) = faces.first().map(|face| [face.family.clone(), face.style.clone()]) {
        faces.iter_mut().for_each(|face| face.first.clone_from(&first));
    }
    faces
}

fn read_face(file: &mut File, head: &[u8], index: u32, path: &Path) -> Option<Listed> {
    let raw = RawFace::parse(head, index).ok()?;
    let place = |tag: &[u8; 4]| {
        let wanted = Tag::from_bytes(tag);
        let record = raw.table_records.into_iter().find(|record| record.tag == wanted)?;
        Some((record.offset, record.length))
    };
    let names = place(b"name").and_then(|place| part(file, place));
    let style = place(b"OS/2").and_then(|place| part(file, place));
    let outlined = [b"glyf", b"CFF ", b"CFF2"].iter().any(|tag| place(tag).is_some());
    let painted = [b"COLR", b"CBDT", b"sbix", b"SVG "].iter().any(|tag| place(tag).is_some());
    let names = names.as_deref().and_then(name::Table::parse);
    let unnamed = || path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let family = names.and_then(|table| text_of(&table, FAMILY)).unwrap_or_else(unnamed);
    Some(Listed {
        path: path.to_owned(),
        index,
        first: Default::default(),
        family,
        style: names
            .and_then(|table| text_of(&table, STYLE))
            .filter(|s| s != "Regular")
            .unwrap_or_default(),
        distance: style
            .as_deref()
            .and_then(os2::Table::parse)
            .map_or((false, 0, 0), |t| distance(&t)),
        is_painted: painted || !outlined,
        signs: place(b"cmap")?,
    })
}

fn distance(table: &os2::Table<'_>) -> (bool, u16, u16) {
    let sloped = table.style() != os2::Style::Normal;
    let width = table.width().to_number().abs_diff(os2::Width::Normal.to_number());
    (sloped, table.weight().to_number().abs_diff(400), width)
}

/// Names by which typographers know a font, then those for programs that know four styles.
const FAMILY: [u16; 2] = [name::name_id::TYPOGRAPHIC_FAMILY, name::name_id::FAMILY];
const STYLE: [u16; 2] = [name::name_id::TYPOGRAPHIC_SUBFAMILY, name::name_id::SUBFAMILY];

/// The first of some names that there is, in English or in whatever comes first.
fn text_of(table: &name::Table<'_>, ids: [u16; 2]) -> Option<String> {
    const ENGLISH: u16 = 0x409;
    let all = |id| table.names.into_iter().filter(move |n| n.is_unicode() && n.name_id == id);
    ids.iter().find_map(|id| {
        let english = all(*id).find(|n| n.language_id == ENGLISH);
        english.or_else(|| all(*id).next())?.to_string()
    })
}

/// Bytes of a file from an offset on, as many of a length as there are.
fn part(file: &mut File, (offset, length): (u32, u32)) -> Option<Vec<u8>> {
    const MOST: u32 = 16 << 20;
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(u64::from(offset))).ok()?;
    file.take(u64::from(length.min(MOST))).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// Folders in folders that are looked into; a link may lead back up.
const MOST_DEPTH: usize = 8;

fn collect(folder: &Path, depth: usize, files: &mut BTreeSet<PathBuf>) {
    const ENDINGS: [&str; 4] = ["ttf", "otf", "ttc", "otc"];
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let ending = path.extension().map(|e| e.to_string_lossy().to_lowercase());
        if ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str())) {
            files.insert(path.canonicalize().unwrap_or(path));
        } else if depth > 0 && path.is_dir() {
            collect(&path, depth - 1, files);
        }
    }
}

/// Where the system keeps fonts: for all, and for this user.
fn system_folders() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = Vec::new();
    if cfg!(windows) {
        let root = std::env::var_os("SYSTEMROOT").unwrap_or_else(|| "C:\\Windows".into());
        folders.push(PathBuf::from(root).join("Fonts"));
        let local = BaseDirs::new().map(|dirs| dirs.data_local_dir().to_owned());
        folders.extend(local.map(|local| local.join("Microsoft\\Windows\\Fonts")));
    } else if cfg!(target_os = "macos") {
        folders.extend(["/System/Library/Fonts", "/Library/Fonts"].map(PathBuf::from));
        folders.extend(loaded_fonts());
    } else {
        let shared = std::env::var("XDG_DATA_DIRS").unwrap_or_default();
        let shared = shared.split(':').filter(|dir| dir.starts_with('/'));
        folders.extend(shared.map(|dir| Path::new(dir).join("fonts")));
        folders.extend(["/usr/share/fonts", "/usr/local/share/fonts"].map(PathBuf::from));
        folders.extend(BaseDirs::new().map(|dirs| dirs.home_dir().join(".fonts")));
    }
    folders.extend(UserDirs::new().and_then(|dirs| dirs.font_dir().map(Path::to_owned)));
    folders
}

/// Where macOS puts the fonts that it loads when they are wanted.
fn loaded_fonts() -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir("/System/Library/AssetsV2") else { return Vec::new() };
    let paths = entries.flatten().map(|entry| entry.path());
    let is_font = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("com_apple_MobileAsset_Font")
    };
    paths.filter(is_font).collect()
}
