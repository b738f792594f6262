//! Resets a live instance to its beginning, or makes it the beginning of others.
//!
//! A snapshot is a module of its own: the same description and code, with an image of what the
//! instance holds now. It can do all that a module can, and is instantiated in the same way.

use super::instantiate::run_remaining;
use crate::Extern;
use crate::call::unwind;
use crate::cow::ImageParts;
use crate::cow::PageStats;
use crate::module::load::image_parts;
use crate::module::objects::Objects;
use crate::module::{Module, PrototypeParts, prototype_of_parts};
use crate::ops::bulk::memory_read;
use crate::ops::heap;
use crate::pool::InstanceData;
use crate::store::Instance;
use crate::store::{AsContext, AsContextMut, StoreInner};
use anyhow::{Context, Result, anyhow, ensure};
use minirt_compiler::Printable;
use minirt_compiler::instance::image::Remaining;
use minirt_compiler::instance::layout::object::{BIAS, HOST_TAG, TAG_MASK, storage_size};
use minirt_compiler::instance::layout::{ELEMENT_SIZE, GlobalPlace, HOST, STATE_MAX, TablePlace};
use minirt_compiler::module::{Entity, RefKind, StorageType, ValType};
use std::fs::File;
use std::io::Write;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A frozen instance. Any number of instances can start from it, at any time and on any thread.
///
/// It holds the instance's memory, globals and tables. Imports are not part of it, and have to be
/// supplied again.
///
/// Instances of one snapshot are equal in everything, even in what the guest had drawn from a
/// source of randomness: keys, seeds of hash tables, temporary names. A guest that needs these to
/// differ has to draw them after the snapshot.
///
/// # Examples
/// ```
/// use minirt::{Engine, Instance, Module, Store};
///
/// let engine = Engine::default();
/// let module = Module::new(&engine, r#"(module (memory (export "memory") 1)
///     (func (export "prepare") (i32.store (i32.const 0) (i32.const 42))))"#)?;
/// let mut store = Store::new(&engine, ());
/// let instance = Instance::new(&mut store, &module, &[])?;
/// instance.get_typed_func::<(), ()>(&store, "prepare")?.call(&mut store, ())?;
/// let snapshot = instance.snapshot(&mut store)?;
///
/// let mut other = Store::new(&engine, ());
/// let copy = snapshot.instantiate(&mut other, &[])?;
/// assert_eq!(copy.get_memory(&other, "memory").unwrap().data(&other)[0], 42);
/// # Ok::<(), minirt::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Snapshot {
    module: Module,
}

impl Snapshot {
    /// Returns the snapshot as a module, for a [`Linker`](crate::Linker) and everything else that
    /// takes modules. Its start function does not run again.
    pub fn module(&self) -> &Module {
        &self.module
    }

    /// Writes the snapshot to a file, as an artifact. [`Module::deserialize_file`] loads it, in
    /// this process or another. The file appears when it is complete.
    ///
    /// # Errors
    /// Returns an error if the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        /// Numbers unfinished files, so that no two threads ever write to the same one.
        static SAVES: AtomicU64 = AtomicU64::new(0);
        let path = path.as_ref();
        let write = || {
            let artifact = self.module.serialize()?;
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            let name = format!(".minirt-{}-{:x}.tmp", std::process::id(), SAVES.fetch_add(1, Relaxed));
            let unfinished = folder.join(name);
            // A file or link of that name is somebody else's.
            let mut file = File::options().write(true).create_new(true).open(&unfinished)?;
            let done = file.write_all(&artifact).and_then(|()| std::fs::rename(&unfinished, path));
            done.inspect_err(|_| _ = std::fs::remove_file(&unfinished)).map_err(anyhow::Error::from)
        };
        write().with_context(|| format!("could not write the snapshot to `{}`", path.display()))
    }

    /// Creates an instance. `imports` are the values of the module's imports, in its order.
    ///
    /// # Errors
    /// The same as [`Instance::new`].
    pub fn instantiate(&self, store: impl AsContextMut, imports: &[Extern]) -> Result<Instance> {
        Instance::new(store, &self.module, imports)
    }
}

impl Instance {
    /// Puts the instance back into the state right after instantiation. Handles stay valid; memory
    /// and tables have their first size again. The cost depends on how much the instance has
    /// written, as when one instance ends and another begins.
    ///
    /// If the module initialises something from its imports or has a start function, that is done
    /// again, because it cannot be part of an image. The image of a [`Snapshot`] contains the
    /// results of both, and nothing is done again.
    ///
    /// # Errors
    /// Returns an error while code of the store is running; and if the kernel refuses, or a step
    /// that is done again fails. After those, do not use the instance any more.
    ///
    /// # Panics
    /// Panics if the instance belongs to another store. So do all methods below.
    ///
    /// # Examples
    /// ```
    /// # use minirt::{Engine, Instance, Module, Store};
    /// # let engine = Engine::default();
    /// let module = Module::new(&engine, r#"(module (global $n (mut i32) (i32.const 0))
    ///     (func (export "next") (result i32)
    ///         (global.set $n (i32.add (global.get $n) (i32.const 1))) (global.get $n)))"#)?;
    /// let mut store = Store::new(&engine, ());
    /// let instance = Instance::new(&mut store, &module, &[])?;
    /// let next = instance.get_typed_func::<(), i32>(&store, "next")?;
    /// assert_eq!((next.call(&mut store, ())?, next.call(&mut store, ())?), (1, 2));
    /// instance.reset(&mut store)?;
    /// assert_eq!(next.call(&mut store, ())?, 1);
    /// # Ok::<(), minirt::Error>(())
    /// ```
    pub fn reset(&self, mut store: impl AsContextMut) -> Result<()> {
        let store = &mut store.as_context_mut().0.inner;
        self.ensure_idle(store, "reset")?;
        self.ensure_own_heap(store, "reset")?;
        let owns_heap = self.owns_heap(store);
        if owns_heap {
            store.roots.get_mut().invalidate(is_object);
        }
        if store.touched {
            for instance in self.with_extra_memories(store) {
                let mut data = store.instances[instance as usize];
                // SAFETY: the instance is alive, none of its code is running, and the store is
                // borrowed exclusively.
                let data = unsafe { data.as_mut() };
                data.slot.mark_dirty();
                store.engine.pool().reset_in_place(data).context("could not reset the instance")?;
            }
            if owns_heap {
                heap::restart(store).context("could not reset the instance")?;
            }
        }
        run_remaining(store, *self)
    }

    /// Freezes what the instance holds now. The instance itself continues as before.
    ///
    /// # Errors
    /// Returns an error while code of the store is running; if a global or table holds something
    /// that belongs to this process alone (a function of another instance or of the host, a value
    /// of the host, or an exception); while the host holds references to its objects; and if there
    /// is no memory for the image.
    pub fn snapshot(&self, mut store: impl AsContextMut) -> Result<Snapshot> {
        let store = &mut store.as_context_mut().0.inner;
        self.ensure_idle(store, "frozen")?;
        self.ensure_own_heap(store, "frozen")?;
        let owns_heap = self.owns_heap(store);
        if owns_heap {
            ensure_not_held(store)?;
            // SAFETY: none of the store's code is running, and the store is borrowed exclusively.
            unsafe { heap::tidy(store) }.context("could not collect what the heap does not need")?;
        }
        check_references(store.instance(self.index), owns_heap)?;
        check_objects(store, self.index)?;
        let extra_memories = self.with_extra_memories(store).skip(1).map(|index| freeze(store, index)).collect();
        let (engine, instance) = (&store.engine, freeze(store, self.index));
        let prototype = prototype_of_parts(engine, instance, extra_memories, engine.memory_init_cow());
        Ok(Snapshot { module: Module::of(engine, &prototype) })
    }

    /// Returns where its pages are, in numbers of host pages: those of its state, of its memories,
    /// and of the heap if it brought that.
    pub fn page_stats(&self, store: impl AsContext) -> PageStats {
        let store = &store.as_context().0.inner;
        self.store.assert_same_store(store.id);
        let pages = self.with_extra_memories(store).map(|index| store.instance(index).slot.view().page_stats(false));
        pages.fold(PageStats::default(), PageStats::plus)
    }

    /// Returns the indices of the instance, and of those behind the other memories that its module
    /// defines and behind the heap that it brought.
    pub(super) fn with_extra_memories(&self, store: &StoreInner) -> Range<u32> {
        let info = store.instance(self.index).prototype.info();
        let own = info.memories.len() as u32 - info.num_imported_memories;
        self.index..self.index + own.max(1) + u32::from(self.owns_heap(store))
    }

    /// Returns the index of the instance behind the heap that this one brought.
    pub(super) fn heap_instance(&self, store: &StoreInner) -> Option<u32> {
        if self.owns_heap(store) { self.with_extra_memories(store).last() } else { None }
    }

    /// Returns whether the instance has brought the heap of its store.
    fn owns_heap(&self, store: &StoreInner) -> bool {
        store.heap.as_ref().is_some_and(|heap| heap.owner_index == self.index)
    }

    /// Returns an error if something else in the store can hold references to the objects of the
    /// instance.
    fn ensure_own_heap(&self, store: &mut StoreInner, what: &str) -> Result<()> {
        let Some(heap) = &store.heap else { return Ok(()) };
        if !store.instance(self.index).prototype.info().needs_heap() {
            return Ok(());
        }
        let group = self.with_extra_memories(store);
        let alone = heap.owner_index == self.index && group == (0..store.instances.len() as u32);
        ensure!(
            alone,
            "an instance with structures or arrays cannot be {what} while there is something else in its store: other \
             instances, or what the host has defined, could refer to them"
        );
        let has_exceptions = |store: &StoreInner| store.exceptions.as_ref().is_some_and(|all| !all.is_empty());
        if has_exceptions(store) {
            // Most were caught long ago, and nothing refers to them any more.
            unwind::collect(store);
        }
        let pending = store.exceptions.as_ref().is_some_and(|all| all.pending.is_some());
        ensure!(
            !pending,
            "an instance with structures or arrays cannot be {what} while its store has an exception that nobody has \
             caught: take it (`Store::take_pending_exception`) in a scope that ends (`RootScope`)"
        );
        ensure!(
            !has_exceptions(store),
            "an instance with structures or arrays cannot be {what} while there are exceptions in its store, which could \
             refer to them: have its code and the host let go of them first"
        );
        Ok(())
    }

    /// Returns an error while code of the store is running.
    fn ensure_idle(&self, store: &StoreInner, what: &str) -> Result<()> {
        self.store.assert_same_store(store.id);
        ensure!(store.depth == 0, "an instance cannot be {what} while code of its store is running");
        Ok(())
    }
}

/// Returns an error if the embedder holds references to objects. They would not be in the image.
fn ensure_not_held(store: &mut StoreInner) -> Result<()> {
    let held = store.roots.get_mut().count(is_object);
    ensure!(
        held == 0,
        "an instance cannot be frozen while the host holds references to its objects (here {held}): end their scope \
         (`RootScope`), and drop each `OwnedRooted`, first"
    );
    Ok(())
}

/// Returns whether a reference, which is not null, leads to a structure or array.
fn is_object(word: u64) -> bool {
    word as u32 & TAG_MASK == 0
}

/// Returns what instances are made of that hold what this one holds now.
fn freeze(store: &StoreInner, index: u32) -> PrototypeParts {
    let data = store.instance(index);
    let prototype = &data.prototype;
    let parts = image_parts(prototype.layout());
    let (state, extents) = data.slot.view().capture(parts.state_at..state_end(data));
    let image = ImageParts { state, extents, memory: data.slot.memory_size(), ..parts };
    PrototypeParts { program: prototype.program.clone(), image, remaining: Remaining::of_snapshot() }
}

/// Returns where the state ends now, as an offset from the slot's start. Tables may have grown.
fn state_end(data: &InstanceData) -> usize {
    let layout = data.prototype.layout();
    let tables = (0..data.prototype.info().tables.len() as u32).filter_map(|index| match layout.table(index) {
        TablePlace::State { base, size, .. } => {
            // SAFETY: the instance is alive, and sizes are part of its state.
            let elements = unsafe { *data.vmctx().at::<u64>(size) };
            Some(base.wrapping_sub(HOST) as usize + (elements * ELEMENT_SIZE) as usize)
        }
        TablePlace::Import(_) => None,
    });
    tables.fold((layout.host_size + layout.state_size) as usize, usize::max)
}

/// Checks that all references in the state are to the instance's own functions, or to its imports.
/// `owns_heap` says whether objects are its own.
fn check_references(data: &InstanceData, owns_heap: bool) -> Result<()> {
    let (info, layout) = (data.prototype.info(), data.prototype.layout());
    for (index, global) in info.globals.iter().enumerate() {
        if let (ValType::Ref(ty), GlobalPlace::State(at)) = (global.content, layout.global(index as u32)) {
            // SAFETY: the instance is alive, and globals are part of its state.
            let stored = unsafe { *data.vmctx().at::<u64>(at) };
            let name = || describe(data, "global", index, Entity::Global(index as u32));
            check_reference(ty.heap.kind(), stored, owns_heap).map_err(|what| anyhow!("{} holds {what}", name()))?;
        }
    }
    for (index, table) in info.tables.iter().enumerate() {
        let TablePlace::State { base, size, .. } = layout.table(index as u32) else { continue };
        // SAFETY: the instance is alive, tables are part of its state, and nobody writes them now.
        let elements = unsafe {
            let len = *data.vmctx().at::<u64>(size) as usize;
            std::slice::from_raw_parts(data.vmctx().at::<u64>(base), len)
        };
        for (at, stored) in elements.iter().enumerate() {
            let name = || describe(data, "table", index, Entity::Table(index as u32));
            check_reference(table.element.heap.kind(), *stored, owns_heap)
                .map_err(|what| anyhow!("element {at} of {} holds {what}", name()))?;
        }
    }
    Ok(())
}

/// Checks that all objects of the heap that an instance brought are of its module's types, and hold
/// no references that cannot be frozen.
fn check_objects(store: &StoreInner, index: u32) -> Result<()> {
    let Some(heap) = store.heap.as_ref().filter(|heap| heap.owner_index == index) else { return Ok(()) };
    let data = store.instance(index);
    let mut bytes = vec![0; (heap.next() - BIAS) as usize];
    // SAFETY: the heap is alive, and none of its store's code is running.
    unsafe { memory_read(heap.memory, 0, &mut bytes) }?;
    let types = data.prototype.type_indices();
    let mut problem = "an object of another module's type, which cannot be frozen";
    let checked = Objects { bytes }.visit(
        data.prototype.info(),
        |number| types.get(&number).copied(),
        |object, _, parts| {
            for (at, ty) in parts.iter() {
                let StorageType::ValType(ValType::Ref(ty)) = ty else { continue };
                let size = storage_size(StorageType::ValType(ValType::Ref(ty))) as usize;
                let mut stored = [0; 8];
                stored[..size].copy_from_slice(object.get(at as usize..at as usize + size)?);
                if let Err(what) = check_reference(ty.heap.kind(), u64::from_le_bytes(stored), true) {
                    problem = what;
                    return None;
                }
            }
            Some(())
        },
    );
    checked.with_context(|| format!("an object in the heap is or holds {problem}"))
}

/// Checks a reference as the state keeps it: a funcref is a distance from vmctx.
fn check_reference(kind: RefKind, stored: u64, owns_heap: bool) -> Result<(), &'static str> {
    let own = i64::from(HOST)..i64::from(HOST) + STATE_MAX as i64;
    match kind {
        _ if stored == 0 => Ok(()),
        RefKind::Func if own.contains(&(stored as i64)) => Ok(()),
        RefKind::Func => Err("a function that belongs to another instance or the host, and cannot be frozen"),
        RefKind::Extern | RefKind::Any if stored as u32 & TAG_MASK == HOST_TAG => {
            Err("a value of the host, which cannot be frozen")
        }
        RefKind::Extern | RefKind::Any if is_object(stored) && !owns_heap => {
            Err("a structure or array of another instance, which cannot be frozen")
        }
        RefKind::Extern | RefKind::Any => Ok(()),
        RefKind::Exn => Err("an exception (exnref), which cannot be frozen"),
    }
}

fn describe(data: &InstanceData, kind: &str, index: usize, entity: Entity) -> String {
    let export = data.prototype.info().exports.iter().find(|export| export.entity == entity);
    export.map_or_else(
        || format!("{kind} {index}"),
        |export| format!("{kind} {index} (`{}`)", Printable::new(&export.name)),
    )
}
