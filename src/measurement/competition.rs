//! Which mechanism wins at which positions, and what that tells of them.

use super::read::{argmax, values};
use super::{Answer, Mean, Measurement, Scene, Scope, Subject};
use crate::base::batch::Row;
use crate::base::error::{Error, Result};
use crate::base::intervention::Site;
use crate::base::label::LabelKind;
use crate::model::mechanisms::{COMPETITION, competing};
use crate::model::{Keeps, pass};
use crate::nn::edit::Edit;
use crate::task;

crate::settings! {
    /// Settings of the measurement `competition`.
    pub struct CompetitionSettings = "How much the mechanism that wins at a position tells of what the position is." {
        /// Sequences that are looked at: the same at every step and in every run of a task.
        sequences: usize = 64, in 1..=4096;
        /// Which label of the task (empty: its first that is one of many).
        label: String = String::new();
    }
}

/// Numbers, one for each layer with several mechanisms: `competition_information_layerL`, the mutual information, in bits, between the mechanism
/// with the largest share at a position and the label of the position, over all positions that have one. 0: the one tells nothing of
/// the other; at most the logarithm to base 2 of the number of mechanisms, or of labels.
#[derive(Default)]
pub struct Competition {
    settings: CompetitionSettings,
    edits: Vec<Edit>,
}

/// Sequences of this seed are none of those that are trained on.
const SEED: u64 = u64::MAX;

impl crate::base::settings::Settings for Competition {
    fn about(&self) -> &'static str {
        self.settings.about()
    }

    fn each(
        &mut self,
        visit: &mut dyn FnMut(&crate::base::settings::Spec, crate::base::settings::Slot<'_>),
    ) {
        self.settings.each(visit);
    }
}

impl Measurement for Competition {
    fn scope(&self) -> Scope {
        Scope::Weights
    }

    fn under(&mut self, edits: &[Edit]) {
        self.edits = edits.to_vec();
    }

    fn applies(&self, subject: Subject<'_>) -> Result<()> {
        if subject.model.keeps() != Some(Keeps::Mechanisms) {
            return Err(Error::usage(
                "no mechanisms compete in this network; they do in a network of the kind mechanisms with model.mechanisms above 1",
            ));
        }
        self.label(subject).map(|_| ())
    }

    fn sites(&self, _subject: Subject<'_>) -> Vec<Site> {
        Vec::new()
    }

    fn columns(&self, subject: Subject<'_>) -> Vec<String> {
        sites(subject).map(column).collect()
    }

    fn measure(&self, scene: &Scene<'_>) -> Result<Answer> {
        let subject = scene.subject;
        let label = self.label(subject)?;
        let batch = task::batch(subject.source, SEED, 0, self.settings.sequences);
        let sites: Vec<Site> = sites(subject).collect();
        let (_, captured) =
            pass::forward(subject.model, subject.params, &batch, &self.edits, &sites, false)?;
        let labels = (0..self.settings.sequences as u64).flat_map(|i| {
            let row = subject.source.sequence(SEED, i);
            classes(subject, label, &row)
        });
        let labels: Vec<Option<usize>> = labels.collect();
        let mean = |site: &Site| -> Result<Mean> {
            let shares = captured
                .get(site)
                .ok_or_else(|| Error::internal(format!("the forward pass did not give {site}")))?;
            let width = shares.dim(2)?;
            let won: Vec<usize> = values(shares, |all| {
                all.chunks_exact(width.max(1)).map(|row| argmax(row.iter().copied())).collect()
            })?;
            let both = won.into_iter().zip(&labels);
            let both: Vec<[usize; 2]> = both.filter_map(|(a, b)| b.map(|b| [a, b])).collect();
            Ok(Mean { name: column(*site), sum: mutual_information(&both), count: 1.0 })
        };
        let means = sites.iter().map(mean).collect::<Result<_>>()?;
        Ok(Answer { means, ..Answer::default() })
    }
}

/// The places where mechanisms compete.
pub(super) fn sites(subject: Subject<'_>) -> impl Iterator<Item = Site> {
    let layers = competing(subject.model.layout().heads.len());
    layers.map(|layer| Site { layer, point: COMPETITION })
}

fn column(site: Site) -> String {
    format!("competition_information_layer{}", site.layer)
}

impl Competition {
    fn label(&self, subject: Subject<'_>) -> Result<LabelKind> {
        let asked = self.settings.label.trim();
        let mut kinds = subject.source.label_kinds().iter().filter(|kind| !kind.many);
        kinds.find(|kind| asked.is_empty() || kind.name == asked).copied().ok_or_else(|| {
            Error::usage(match asked {
                "" => "this task has no label that is one of many at a position".to_owned(),
                asked => format!("this task has no label \"{asked}\" that is one of many"),
            })
        })
    }
}

/// The class of each position of a sequence, if it has one.
fn classes(subject: Subject<'_>, label: LabelKind, row: &Row) -> Vec<Option<usize>> {
    let labels = subject.source.labels(label.name, row).into_iter();
    labels.map(|classes| classes.and_then(|classes| classes.first().copied())).collect()
}

/// `Σ p(a, b) log2 (p(a, b) / (p(a) p(b)))` over pairs that were seen, in bits; 0 where there are none.
pub fn mutual_information(pairs: &[[usize; 2]]) -> f64 {
    let count = |which: &dyn Fn(&[usize; 2]) -> bool| {
        pairs.iter().filter(|pair| which(pair)).count() as f64 / pairs.len().max(1) as f64
    };
    let mut cells: Vec<[usize; 2]> = pairs.to_vec();
    cells.sort_unstable();
    cells.dedup();
    let of = |[a, b]: &[usize; 2]| {
        let both = count(&|pair| pair == &[*a, *b]);
        let apart = count(&|pair| pair[0] == *a) * count(&|pair| pair[1] == *b);
        both * (both / apart).log2()
    };
    cells.iter().map(of).sum::<f64>().max(0.0)
}
