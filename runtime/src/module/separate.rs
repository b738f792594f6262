//! Separates tenants of a module who must not learn of each other: slots and hot sets of their own.

use super::load::image_parts;
use super::module::{Module, PrototypeParts, prototype_of_parts};
use crate::cow::ImageParts;
use crate::pool::Prototype;
use std::sync::Arc;

impl Module {
    /// Returns the same module for another trust domain. What instances of the result write, and
    /// how the engine learns from that, is separate from this module: they have slots and a hot set
    /// of their own. So a tenant cannot find out by timing which pages tenants of another domain
    /// write. Within a domain, instances are as fast as without.
    ///
    /// The code is shared. The image is not: it takes as much memory again as
    /// [`ImageInfo::state`](crate::ImageInfo::state) and the extents of
    /// [`ImageInfo::extents`](crate::ImageInfo::extents), once for each domain. The engine and its
    /// limits are the same. [`Module::clone`] separates nothing.
    ///
    /// # Examples
    /// ```
    /// # use minirt::{Engine, Instance, Module, Store};
    /// # let engine = Engine::default();
    /// let module = Module::new(&engine, "(module (memory 1))")?;
    /// let customers = [module.separate(), module.separate()];
    /// for module in &customers {
    ///     let mut store = Store::new(&engine, ());
    ///     Instance::new(&mut store, module, &[])?;
    /// }
    /// # Ok::<(), minirt::Error>(())
    /// ```
    #[must_use]
    pub fn separate(&self) -> Self {
        let (engine, prototype) = (self.engine(), self.prototype());
        let extra_memories = prototype.extra_memories.iter().map(parts_of).collect();
        let separate = prototype_of_parts(engine, parts_of(prototype), extra_memories, engine.memory_init_cow());
        Self::of(engine, &separate)
    }
}

/// Returns what a prototype was made of.
fn parts_of(prototype: &Arc<Prototype>) -> PrototypeParts {
    let (state, extents, memory) = prototype.image.parts();
    let image = ImageParts { state, extents, memory, ..image_parts(prototype.layout()) };
    PrototypeParts { program: Arc::clone(&prototype.program), image, remaining: prototype.remaining.clone() }
}
