//! Writes modules as artifacts, and loads them from bytes or from a file that is mapped.

use super::load::{Start, load, process_parts};
use super::module::Module;
use super::objects::Objects;
use crate::code::LoadedCode;
use crate::engine::{Engine, ProfilingStrategy};
use crate::pool::Prototype;
use crate::sys::descriptor::beyond_standard_streams;
use crate::sys::mapping::FileView;
use crate::sys::memfd::ImageFile;
use anyhow::{Context, Result, ensure};
use minirt_compiler::base::bytes::Bytes;
use minirt_compiler::instance::image::{InitialImage, MemoryImage};
use minirt_compiler::instance::layout::{HOST, MemoryPlace};
use minirt_compiler::{Artifact, ArtifactError, Compiled};
use rustc_hash::FxHashMap;
use rustix::fd::AsFd;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

impl Module {
    /// Returns the module as the bytes of an artifact, for [`Module::deserialize`] and
    /// [`Module::deserialize_file`].
    ///
    /// # Errors
    /// Returns an error if there is no memory for it.
    pub fn serialize(&self) -> Result<Vec<u8>> {
        let prototype = self.prototype();
        let (mut state, memory, size) = prototype.image.parts();
        process_parts(prototype.info(), prototype.layout(), |at, len| state.put(at, &[0; 8][..len]));
        let image = InitialImage {
            state,
            memory,
            memory_size: size as u64,
            extra_memories: prototype.memories().iter().map(|memory| memory_image(memory)).collect(),
            heap: prototype.heap().map(|heap| heap_image(prototype, heap)).transpose()?,
            remaining: prototype.remaining.clone(),
        };
        let (module, layout) = (prototype.info().clone(), prototype.layout().clone());
        let code = prototype.program.code.to_code();
        // The layout may be for larger pages than those here, of which a snapshot consists.
        let image = image.with_pages(layout.page);
        Ok(self.engine().compiler().serialize(&Compiled { module, layout, image, code }))
    }

    /// Loads an artifact from memory, by copying it.
    ///
    /// # Errors
    /// Returns an error if the artifact is damaged, or was made by another version or for another
    /// machine. It downcasts to [`ArtifactError`](crate::ArtifactError).
    ///
    /// # Safety
    /// The bytes must come from [`Module::serialize`], [`Engine::precompile_module`] or
    /// [`Snapshot::save`](crate::Snapshot::save). They are machine code, which will run. The checks
    /// find accidents, not malice.
    pub unsafe fn deserialize(engine: &Engine, bytes: impl AsRef<[u8]>) -> Result<Self> {
        let bytes = Bytes::from(bytes.as_ref().to_vec());
        let Artifact { compiled, .. } = engine.compiler().deserialize(&bytes, engine.check_artifacts())?;
        Self::from_compiled(engine, compiled)
    }

    /// Loads an artifact from a file, by mapping it. Code and memory are only read when they are
    /// used.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read or mapped, and the same as
    /// [`Module::deserialize`].
    ///
    /// # Safety
    /// The same as for [`Module::deserialize`]. In addition, nobody may write to the file or
    /// shorten it while the module or any instance of it exists. To replace the file, write another
    /// and rename it.
    ///
    /// # Examples
    /// ```
    /// # use minirt::{Engine, Module};
    /// # let engine = Engine::default();
    /// let path = std::env::temp_dir().join(format!("example-{}.cwasm", std::process::id()));
    /// std::fs::write(&path, Module::new(&engine, "(module)")?.serialize()?)?;
    /// // SAFETY: the file was made above, and nobody writes to it.
    /// let module = unsafe { Module::deserialize_file(&engine, &path)? };
    /// # std::fs::remove_file(path)?;
    /// # Ok::<(), minirt::Error>(())
    /// ```
    pub unsafe fn deserialize_file(engine: &Engine, path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        // SAFETY: the caller's promise.
        let load = || unsafe { Self::deserialize_open_file(engine, File::open(path)?) };
        load().with_context(|| format!("could not load the artifact `{}`", path.display()))
    }

    /// Loads an artifact from a file that is open, as [`Module::deserialize_file`] does.
    ///
    /// # Errors
    /// The same as for [`Module::deserialize_file`].
    ///
    /// # Safety
    /// The same as for [`Module::deserialize_file`].
    pub unsafe fn deserialize_open_file(engine: &Engine, file: File) -> Result<Self> {
        let about = file.metadata()?;
        ensure!(about.is_file(), "it is not a regular file");
        if about.len() == 0 {
            return Err(ArtifactError::NotAnArtifact.into());
        }
        let file = Arc::new(beyond_standard_streams(file.into())?);
        // SAFETY: the caller's promise.
        let view = unsafe { FileView::new(file.as_fd(), about.len() as usize) }?;
        let bytes = Bytes::new(Arc::new(view));
        let Artifact { compiled, text, memory } = engine.compiler().deserialize(&bytes, engine.check_artifacts())?;
        let Compiled { module, layout, image, code } = compiled;
        let code = match engine.profiler() {
            ProfilingStrategy::None => LoadedCode::from_file(code, file.as_fd(), text.start, text.len())?,
            // A profiler would take the file for the program.
            ProfilingStrategy::PerfMap => LoadedCode::new(code)?,
        };
        let memory_file = memory.map(|range| ImageFile::on_disk(file, range.start, range.len()));
        let start = Start { image, memory_file };
        Ok(Self::of(engine, &load(engine, module, layout, start, code, engine.memory_init_cow())?))
    }
}

/// Returns the heap that instances start with, with type indices in place of the engine's numbers.
fn heap_image(prototype: &Prototype, heap: &Prototype) -> Result<MemoryImage> {
    let image = memory_image(heap);
    let size = image.size;
    let mut objects = Objects::of(&image).context("the heap of the image is damaged")?;
    let indices: FxHashMap<u32, u32> =
        (0..).zip(prototype.program.types.iter()).map(|(index, number)| (*number, index)).collect();
    let index = |number: u32| Some(prototype.info().canonical_types[*indices.get(&number)? as usize]);
    let renumbered = objects.renumber(prototype.info(), index, |index| index);
    renumbered.context("the heap of the image has objects of another module's types")?;
    Ok(objects.into_image(size))
}

/// Returns the initial contents of instances that have nothing but a memory.
fn memory_image(prototype: &Prototype) -> MemoryImage {
    let (state, extents, _) = prototype.image.parts();
    let MemoryPlace::Slot { size } = prototype.layout().memory(0) else { unreachable!("it is the first") };
    let at = (i64::from(size) - i64::from(HOST) - prototype.layout().host_size as i64) as usize;
    MemoryImage { size: u64::from_le_bytes(state.get(at)), extents }
}
