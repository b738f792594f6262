//! Goes through the objects of a heap's image, to exchange what only one process knows.
//!
//! In an artifact objects have type indices, in a heap the engine's numbers.

use crate::sys::mapping::page_size;
use minirt_compiler::base::bytes::Bytes;
use minirt_compiler::instance::image::{Extent, MemoryImage};
use minirt_compiler::instance::layout::object::{ARRAY_FLAG, BIAS, FIRST, Parts, TYPE, parts};
use minirt_compiler::module::{CompositeType, ModuleInfo};

/// The bytes of a heap, from its first accessible one on.
pub(crate) struct Objects {
    pub(crate) bytes: Vec<u8>,
}

impl Objects {
    /// Returns the bytes of an image. `None` if they are not those of a heap.
    pub(crate) fn of(image: &MemoryImage) -> Option<Self> {
        let end = image.extents.last().map_or(0, |last| last.offset as usize + last.bytes.len());
        let mut bytes = vec![0; end];
        for Extent { offset, bytes: part } in &image.extents {
            bytes.get_mut(*offset as usize..)?.get_mut(..part.len())?.copy_from_slice(part);
        }
        // The last objects may be zeros, which an image does not have.
        let next = u64::from_le_bytes(bytes.get(..8)?.try_into().ok()?).checked_sub(BIAS)?;
        if next > image.size {
            return None;
        }
        bytes.resize(bytes.len().max(next as usize), 0);
        Some(Self { bytes })
    }

    /// Returns an image with these bytes.
    pub(crate) fn into_image(self, size: u64) -> MemoryImage {
        let mut runs: Vec<(u64, Vec<u8>)> = Vec::new();
        for (at, page) in (0..).step_by(page_size()).zip(self.bytes.chunks(page_size())) {
            match runs.last_mut() {
                _ if page.iter().all(|byte| *byte == 0) => continue,
                Some((start, run)) if *start + run.len() as u64 == at => run.extend_from_slice(page),
                _ => runs.push((at, page.to_vec())),
            }
        }
        let extent = |(offset, mut bytes): (u64, Vec<u8>)| {
            bytes.resize(bytes.len().next_multiple_of(page_size()), 0);
            Extent { offset, bytes: Bytes::from(bytes) }
        };
        MemoryImage { size, extents: runs.into_iter().map(extent).collect() }
    }

    fn word(&self, at: usize) -> Option<u32> {
        Some(u32::from_le_bytes(self.bytes.get(at..at + 4)?.try_into().ok()?))
    }

    /// Returns where the objects end. `None` if that is not within the bytes.
    pub(crate) fn end(&self) -> Option<usize> {
        let next = u64::from_le_bytes(self.bytes.get(..8)?.try_into().ok()?);
        let end = next.checked_sub(BIAS)?;
        (end <= self.bytes.len() as u64 && next >= FIRST).then_some(end as usize)
    }

    /// Calls `visit` for each object, with its offset in the bytes and its parts. `index` gives the
    /// type index that an object's type stands for. Returns `None` if something is not an object,
    /// or once `visit` does.
    pub(crate) fn visit(
        &mut self,
        info: &ModuleInfo,
        index: impl Fn(u32) -> Option<u32>,
        mut visit: impl FnMut(&mut [u8], u32, &Parts<'_>) -> Option<()>,
    ) -> Option<()> {
        let end = self.end()?;
        let mut at = (FIRST - BIAS) as usize;
        while at < end {
            let (header, len) = (self.word(at + TYPE as usize)?, self.word(at + 4)?);
            let index = index(header & !ARRAY_FLAG)?;
            let ty = &info.types.get(index as usize)?.composite;
            let is_array = match ty {
                CompositeType::Struct(_) => false,
                CompositeType::Array(_) => true,
                CompositeType::Func(_) => return None,
            };
            let parts = parts(ty, len);
            let object_end = at.checked_add(parts.size as usize).filter(|object_end| *object_end <= end)?;
            if is_array != (header & ARRAY_FLAG != 0) {
                return None;
            }
            visit(&mut self.bytes[at..object_end], index, &parts)?;
            at = object_end;
        }
        Some(())
    }

    /// Exchanges the types of objects. `index` is as in [`Self::visit`]; `number` gives what to put
    /// in place of an index.
    pub(crate) fn renumber(
        &mut self,
        info: &ModuleInfo,
        index: impl Fn(u32) -> Option<u32>,
        number: impl Fn(u32) -> u32,
    ) -> Option<()> {
        self.visit(info, index, |object, index, _| {
            let flag = u32::from_le_bytes(object[..4].try_into().ok()?) & ARRAY_FLAG;
            object[..4].copy_from_slice(&(number(index) | flag).to_le_bytes());
            Some(())
        })
    }
}
