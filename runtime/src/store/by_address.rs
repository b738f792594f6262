//! Finds the instance of a store in whose slot an address lies, among any number of instances.
//!
//! The signal handler asks. It interrupts compiled code, while nothing changes the store, and reads
//! plain memory only.

use crate::pool::InstanceData;
use std::ptr::NonNull;

/// The most instances that are looked at one after the other. Most stores have fewer, and need no
/// more than their list.
const FEW: usize = 32;

/// The instances of a store by address, apart from the last few of its list.
#[derive(Debug, Default)]
pub(super) struct ByAddress {
    /// The first instances of the list, with the start of each one's slot, by that.
    sorted: Vec<(usize, NonNull<InstanceData>)>,
}

impl ByAddress {
    /// Learns of the instances in the store's list, of which the last one is new.
    #[inline]
    pub(super) fn update(&mut self, instances: &[NonNull<InstanceData>]) {
        if instances.len() - self.sorted.len() > FEW {
            self.sort(instances);
        }
    }

    /// Adds all that are not there. This is seldom: sorting takes as long as looking at what is
    /// sorted already.
    #[cold]
    fn sort(&mut self, instances: &[NonNull<InstanceData>]) {
        // SAFETY: the store owns its instances, and only what never changes is read.
        let start = |instance: &NonNull<InstanceData>| unsafe { instance.as_ref() }.slot.addresses().start;
        self.sorted.extend(instances[self.sorted.len()..].iter().map(|instance| (start(instance), *instance)));
        self.sorted.sort_by_key(|(start, _)| *start);
    }

    /// Returns the instance in whose slot an address lies, guards included.
    pub(super) fn find(&self, instances: &[NonNull<InstanceData>], address: usize) -> Option<NonNull<InstanceData>> {
        // SAFETY: as in `sort`.
        let holds = |instance: &NonNull<InstanceData>| unsafe { instance.as_ref() }.slot.addresses().contains(&address);
        let next = self.sorted.partition_point(|(start, _)| *start <= address);
        let before = self.sorted[..next].last().map(|(_, instance)| *instance);
        let others = instances.get(self.sorted.len()..)?;
        before.filter(holds).or_else(|| others.iter().copied().find(holds))
    }
}
