//! Fitted lenses that are kept with a run, for those who read with them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::json;
use crate::base::question::MeasurementCall;
use crate::measurement::probing::Reader;
use crate::measurement::probing::lens::Kept;
use crate::run_folder::{library, readers};

use super::experiment::Experiment;
use super::recorded::short_hash;

/// Whether one of the questions reads with a lens.
pub fn reads_with_lens(calls: &[MeasurementCall]) -> bool {
    calls.iter().any(|call| call.measurement == "tree_view")
}

/// Where what was fitted to a run may be kept: in its own folder; and where another program writes that, beside the viewer's own library,
/// in a folder that is named by where the run lies and by everything that decides its numbers.
pub fn places(library: Option<&Path>, folder: &Path, began: &Experiment) -> [PathBuf; 2] {
    let whole = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    // Without a slash at its end.
    let whole: PathBuf = whole.components().collect();
    let decisive = began.decisive();
    let hash = short_hash([whole.as_os_str().as_encoded_bytes(), decisive.as_bytes()]);
    let beside = library::beside(library, "followed").join(hash);
    [folder.to_owned(), beside.join(whole.file_name().unwrap_or_default())]
}

/// The lenses of the folders that were asked for last; they are read again where what is said of readers there has changed.
#[derive(Default)]
pub struct Lenses {
    listed: Vec<Listed>,
    kept: Vec<Arc<Kept>>,
}

/// Where a reader is kept, under which name, and what is said of it.
type Listed = (PathBuf, String, String);

impl Lenses {
    /// In the order of the folders and of their names. What cannot be read is left out: who reads with a lens says that there is none.
    pub fn kept_in(&mut self, folders: &[PathBuf]) -> Vec<Arc<Kept>> {
        let listed: Vec<Listed> = folders.iter().flat_map(|folder| listed(folder)).collect();
        if self.listed != listed {
            self.kept = listed.iter().filter_map(lens).map(Arc::new).collect();
            self.listed = listed;
        }
        self.kept.clone()
    }
}

fn listed(folder: &Path) -> Vec<Listed> {
    let names = readers::names(folder).unwrap_or_default();
    let listed = |name: String| {
        let about = readers::about(folder, &name).ok()?;
        Some((folder.to_owned(), name, about))
    };
    names.into_iter().filter_map(listed).collect()
}

fn lens((folder, name, about): &Listed) -> Option<Kept> {
    let about = json::parse(about).ok()?;
    let step = about["step"].as_u64()?;
    let tensors = readers::read(folder, name).ok()?.tensors;
    let kind = Reader::kind_of(&about, &tensors).filter(|kind| kind.is_lens())?;
    let Reader::Lens(way, maps) = Reader::from_tensors(kind, &tensors).ok()? else { return None };
    Some(Kept { name: name.to_owned(), step, way, maps })
}
