//! All that is known of how a module's instances live: what text, pages and pictures show.

use super::advice::Advice;
use super::class::Region;
use super::costs::Cost;
use super::life::{Life, Stage};
use super::writers::Writers;
use minirt::RegionKind;

/// How the instances of a module live.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    /// The module, as messages name it.
    pub(crate) who: String,
    pub(crate) image: Vec<Region>,
    /// One instance after the other, in the same slot.
    pub(crate) lives: Vec<Life>,
    pub(crate) writers: Writers,
    /// The way in which the last instance was reset, and why.
    pub(crate) chosen: &'static str,
    pub(crate) why: String,
    /// The costs of each way of resetting, if they were measured.
    pub(crate) costs: Vec<Cost>,
    /// The steps and bytes that could not be in the image, with the reasons.
    pub(crate) missing: Vec<String>,
    pub(crate) advice: Vec<Advice>,
    /// A sentence about the premature end of the last instance.
    pub(crate) ended: Option<String>,
}

impl Facts {
    /// Returns what is known of a module before any instance has lived.
    pub(crate) fn of_image(who: String, image: Vec<Region>, missing: Vec<String>) -> Self {
        let (chosen, why) = ("nothing", "nothing has run".to_owned());
        let writers = Writers::default();
        let (lives, costs, advice) = (Vec::new(), Vec::new(), Vec::new());
        Self { who, image, lives, writers, chosen, why, costs, missing, advice, ended: None }
    }

    /// Returns all moments that were watched.
    pub(crate) fn stages(&self) -> impl Iterator<Item = &Stage> {
        self.lives.iter().flat_map(|life| &life.stages)
    }

    /// Returns the regions with the number of pages that a picture of each needs: the most that it
    /// ever had.
    pub(crate) fn sizes(&self) -> Vec<(RegionKind, u64)> {
        let moments = || std::iter::once(&self.image).chain(self.stages().map(|stage| &stage.regions));
        let most = |kind: RegionKind| {
            let regions = moments().flatten().filter(|region| region.kind == kind);
            regions.map(Region::accessible).max().unwrap_or(0)
        };
        // An instance that never was has no map, but an image.
        let kinds = self.image.iter().map(|region| region.kind);
        kinds.map(|kind| (kind, most(kind))).filter(|(_, pages)| *pages > 0).collect()
    }
}

/// Returns the region of this kind.
pub(crate) fn region(regions: &[Region], kind: RegionKind) -> Option<&Region> {
    regions.iter().find(|region| region.kind == kind)
}
