//! Fitted lenses that are kept in the folder of a run, for those who read with them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::json;
use crate::base::question::MeasurementCall;
use crate::measurement::probing::Reader;
use crate::measurement::probing::lens::Kept;
use crate::run_folder::readers;

/// Whether one of the questions reads with a lens.
pub fn reads_with_lens(calls: &[MeasurementCall]) -> bool {
    calls.iter().any(|call| call.measurement == "tree_view")
}

/// The lenses of the folder that was asked for last; they are read again where what is said of readers there has changed.
#[derive(Default)]
pub struct Lenses {
    folder: PathBuf,
    /// Names of all readers and what is said of them.
    listed: Vec<(String, String)>,
    kept: Vec<Arc<Kept>>,
}

impl Lenses {
    /// In the order of their names. What cannot be read is left out: who reads with a lens says that there is none.
    pub fn kept_in(&mut self, folder: &Path) -> Vec<Arc<Kept>> {
        let names = readers::names(folder).unwrap_or_default();
        let about = |name: String| readers::about(folder, &name).ok().map(|about| (name, about));
        let listed: Vec<(String, String)> = names.into_iter().filter_map(about).collect();
        if self.folder != folder || self.listed != listed {
            let lens = |(name, about): &(String, String)| lens(folder, name, about).map(Arc::new);
            self.kept = listed.iter().filter_map(lens).collect();
            self.listed = listed;
            folder.clone_into(&mut self.folder);
        }
        self.kept.clone()
    }
}

fn lens(folder: &Path, name: &str, about: &str) -> Option<Kept> {
    let about = json::parse(about).ok()?;
    let step = about["step"].as_u64()?;
    let tensors = readers::read(folder, name).ok()?.tensors;
    let kind = Reader::kind_of(&about, &tensors).filter(|kind| kind.is_lens())?;
    let Reader::Lens(way, maps) = Reader::from_tensors(kind, &tensors).ok()? else { return None };
    Some(Kept { name: name.to_owned(), step, way, maps })
}
