//! All that is known of how a module's instances live: what text, pages and pictures show.

use super::advice::Advice;
use super::class::Region;
use super::costs::Cost;
use super::life::{Life, Stage};
use super::writers::Writers;
use minirt::RegionKind;

/// How the instances of a module live.
#[derive(Debug)]
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
    /// What each way costs, if that was measured.
    pub(crate) costs: Vec<Cost>,
    /// What could not be in the image.
    pub(crate) missing: Vec<String>,
    pub(crate) advice: Vec<Advice>,
    /// What ended the last instance before its end, in a sentence.
    pub(crate) ended: Option<String>,
}

impl Facts {
    /// Returns all moments that were watched.
    pub(crate) fn stages(&self) -> impl Iterator<Item = &Stage> {
        self.lives.iter().flat_map(|life| &life.stages)
    }

    /// Returns the regions with the number of pages that a picture of each needs: the most that it ever had.
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
