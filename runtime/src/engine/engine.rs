//! Holds what all modules and stores of an engine share: compiler, type numbers, slots.

use super::config::{Config, ProfilingStrategy};
use crate::code::LoadedCode;
use crate::cow::{Image, NoFiles};
use crate::pool::{EngineStats, Pool, Prototype, Sharded};
use crate::sys::fork::{self, Guard, Locks};
use crate::sys::mapping::page_size;
use crate::types::{TypeRegistry, Types};
use anyhow::{Context, Result, bail, ensure};
#[cfg(feature = "wat")]
use minirt_compiler::Printable;
use minirt_compiler::artifact::is_artifact;
use minirt_compiler::module::canonical::NumberedTypes;
use minirt_compiler::module::canonical::Renumber;
use minirt_compiler::module::{
    ArrayType, CompositeType, DefinedType, Entity, ExternType, Finality, FuncType, Shown, StructType, TagType, TypeDef,
    ValType,
};
use minirt_compiler::{CompileError, Compiler, Feature, Machine, Metering};
use std::borrow::Cow;
use std::mem::ManuallyDrop;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};

/// A compiler, and the instance slots of all modules made with it. Cloning gives another handle to
/// the same engine, which threads can share.
pub struct Engine {
    // Every store holds a handle as well. If each took and dropped a reference, threads would spend
    // most of their time counting, all in the same cache line. So a store that ends leaves its
    // reference to the next store of its thread. Such *spare* references wait as long as users (and
    // modules) hold handles, and go with the last of those.
    inner: ManuallyDrop<Arc<EngineInner>>,
    /// Whether this handle counts in `users`. A store's does not.
    is_user: bool,
}

struct EngineInner {
    users: AtomicUsize,
    /// References that are counted although no handle holds them: stores left them.
    spare: Sharded<usize>,
    compiler: Compiler,
    pool: Pool,
    types: Arc<TypeRegistry>,
    /// Where compiled code finds supertypes, and 0 if it never asks.
    supertypes: usize,
    memory_init_cow: bool,
    /// Modules and snapshots for whose images the system made no file.
    copied_images: AtomicU64,
    check_artifacts: bool,
    profiler: ProfilingStrategy,
    max_wasm_stack: usize,
    backtrace_frames: Option<NonZeroUsize>,
    gc_zeal: Option<NonZeroU32>,
    metering: Metering,
    /// The machine that code is made for, if not this one.
    target: Option<Machine>,
    epoch: Epoch,
}

impl Locks for EngineInner {
    fn lock_all(&self) -> Vec<Box<dyn Guard + '_>> {
        let mut guards = vec![self.types.lock()];
        guards.extend(self.spare.lock_all());
        guards.extend(self.pool.lock_all());
        guards
    }
}

/// Returns a module in the binary format. With the feature `wat`, it may be text.
///
/// # Errors
/// Returns an error if it is neither.
pub(crate) fn binary_format(bytes: &[u8]) -> Result<Cow<'_, [u8]>> {
    refuse_artifact(bytes)?;
    #[cfg(feature = "wat")]
    return wat::parse_bytes(bytes).map_err(|error| text_error(&error));
    #[cfg(not(feature = "wat"))]
    Ok(Cow::Borrowed(bytes))
}

/// Returns what is wrong with a text, line by line. It quotes the text.
#[cfg(feature = "wat")]
fn text_error(error: &wat::Error) -> anyhow::Error {
    /// The most characters of a line.
    const MOST: usize = 500;
    let message = error.to_string();
    let lines: Vec<String> = message.lines().map(|line| Printable::with_limit(line, MOST).to_string()).collect();
    anyhow::Error::msg(lines.join("\n"))
}

/// Returns an error if the bytes are an artifact.
pub(crate) fn refuse_artifact(bytes: &[u8]) -> Result<(), CompileError> {
    let what = "these bytes are an artifact, which is compiled already: load it with `Module::deserialize`";
    if is_artifact(bytes) { Err(CompileError::malformed(what, 0)) } else { Ok(()) }
}

/// The engine's epoch, in a cache line of its own: all threads keep reading it.
#[repr(align(64))]
struct Epoch(AtomicU64);

impl Clone for Engine {
    fn clone(&self) -> Self {
        self.inner.users.fetch_add(1, SeqCst);
        Self { inner: ManuallyDrop::new(Arc::clone(&self.inner)), is_user: true }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if !self.is_user {
            return self.leave_spare();
        }
        if self.inner.users.fetch_sub(1, SeqCst) == 1 {
            let spare: usize = self.inner.spare.all().map(|mut spare| std::mem::take(&mut *spare)).sum();
            // SAFETY: spare references are counted, and nobody else has taken these. `self` still
            // has its own.
            (0..spare).for_each(|_| unsafe { Arc::decrement_strong_count(Arc::as_ptr(&self.inner)) });
        }
        // SAFETY: `inner` is not used again.
        drop(unsafe { ManuallyDrop::take(&mut self.inner) });
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

impl Default for Engine {
    /// Returns an engine with the default configuration.
    ///
    /// # Panics
    /// Panics if minirt cannot compile for this processor. [`Engine::new`] returns an error
    /// instead.
    fn default() -> Self {
        Self::new(&Config::new()).expect("minirt cannot run on this machine")
    }
}

impl Engine {
    /// Creates an engine.
    ///
    /// # Errors
    /// Returns an error if minirt cannot compile for this processor.
    pub fn new(config: &Config) -> Result<Self> {
        let mut settings = config.settings.clone();
        if settings.target.is_none() {
            settings.page_size = page_size() as u64;
        }
        let compiler = Compiler::new(&settings).context("could not set up the compiler")?;
        let casts = config.settings.features.has(Feature::Gc);
        let types = if casts { Arc::new(TypeRegistry::with_supertypes()?) } else { Arc::default() };
        let inner = Arc::new(EngineInner {
            users: AtomicUsize::new(1),
            spare: Sharded::default(),
            compiler,
            pool: Pool::new(config.limits),
            supertypes: types.supertypes(),
            types,
            memory_init_cow: config.memory_init_cow,
            copied_images: AtomicU64::new(0),
            check_artifacts: config.check_artifacts,
            profiler: config.profiler,
            max_wasm_stack: config.max_wasm_stack,
            backtrace_frames: config.backtrace_frames,
            gc_zeal: config.gc_zeal,
            metering: config.settings.metering,
            target: config.settings.target,
            epoch: Epoch(AtomicU64::new(0)),
        });
        fork::register(&inner);
        Ok(Self { inner: ManuallyDrop::new(inner), is_user: true })
    }

    /// Returns whether two handles are to the same engine.
    pub fn same(a: &Self, b: &Self) -> bool {
        Arc::ptr_eq(&a.inner, &b.inner)
    }

    /// Prepares this thread for calls into Wasm. The first call would do that too, so it is not
    /// needed before it.
    ///
    /// It is for threads that block signals, or install handlers for them, after they have called
    /// Wasm: this looks at both at once, where calls look from time to time (see
    /// [Signals](crate#signals)).
    pub fn tls_eager_initialize() {
        // Without memory for a signal stack, the first call reports that.
        let _ = crate::sys::thread::look();
    }

    /// Adds one tick to the engine's epoch. Stores whose deadline has come stop their code, on
    /// whatever thread it runs ([`Store::set_epoch_deadline`](crate::Store::set_epoch_deadline)).
    ///
    /// This is one atomic addition. It takes no lock, and may be called on any thread and in a
    /// signal handler.
    pub fn increment_epoch(&self) {
        self.inner.epoch.0.fetch_add(1, Relaxed);
    }

    /// Returns the epoch, which stays at its address for as long as the engine lives.
    pub(crate) fn epoch(&self) -> &AtomicU64 {
        &self.inner.epoch.0
    }

    pub(crate) fn metering(&self) -> Metering {
        self.inner.metering
    }

    /// Returns figures about the engine's instances: how many there are now, and how they were made
    /// and reset so far.
    pub fn stats(&self) -> EngineStats {
        EngineStats { copied_images: self.inner.copied_images.load(Relaxed), ..self.inner.pool.stats() }
    }

    /// Counts the image of a new module or snapshot, if the system made no file for it.
    pub(crate) fn note_images(&self, image: &Image) {
        if matches!(image.files, Err(NoFiles::Refused(_))) {
            self.inner.copied_images.fetch_add(1, Relaxed);
        }
    }

    /// Returns a handle for a store.
    #[inline]
    pub(crate) fn for_store(&self) -> Self {
        let mut spare = self.inner.spare.mine();
        let inner = if *spare > 0 {
            *spare -= 1;
            // SAFETY: the reference is counted, and from now on it is this handle's.
            unsafe { Arc::from_raw(Arc::as_ptr(&self.inner)) }
        } else {
            Arc::clone(&self.inner)
        };
        Self { inner: ManuallyDrop::new(inner), is_user: false }
    }

    /// Ends a store's handle: leaves its reference to the next store, if there can be one.
    #[inline]
    fn leave_spare(&mut self) {
        let mut spare = self.inner.spare.mine();
        // Read under the lock: the last user first stops counting, and then empties every shard.
        if self.inner.users.load(SeqCst) > 0 {
            *spare += 1;
            return; // The reference stays counted, for the next store.
        }
        drop(spare);
        // SAFETY: `inner` is not used again.
        drop(unsafe { ManuallyDrop::take(&mut self.inner) });
    }

    /// Checks that code of the engine can run in this process.
    ///
    /// # Errors
    /// Returns an error if it was configured to make code for others.
    pub(crate) fn ensure_runs_here(&self) -> Result<()> {
        let Some(target) = self.inner.target else { return Ok(()) };
        bail!("the engine makes artifacts for {}, and no modules to run here", target.triple())
    }

    pub(crate) fn compiler(&self) -> &Compiler {
        &self.inner.compiler
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.inner.pool
    }

    /// Compiles a module to an artifact, for [`Module::deserialize`](crate::Module::deserialize) in
    /// this or another process. Accepts the binary format, and with the feature `wat` the text
    /// format.
    ///
    /// # Errors
    /// The same as [`Module::new`](crate::Module::new).
    pub fn precompile_module(&self, bytes: &[u8]) -> Result<Vec<u8>> {
        let compiled = self.compiler().compile(&binary_format(bytes)?)?;
        Ok(self.compiler().serialize(&compiled))
    }

    /// Returns what a module is translated to, as text: the IR of Cranelift for each function and
    /// trampoline, before Cranelift optimises it. This is for people, and changes with every
    /// version. Accepts the binary format, and with the feature `wat` the text format.
    ///
    /// # Errors
    /// The same as [`Module::new`](crate::Module::new).
    pub fn clif(&self, bytes: &[u8]) -> Result<String> {
        Ok(self.compiler().clif(&binary_format(bytes)?)?)
    }

    /// Returns a value whose hash is equal for engines that accept the same modules and can load
    /// each other's artifacts, in this process or others. It covers minirt's version, the processor
    /// and its features, how code is metered, and which features of WebAssembly are switched off. A
    /// cache of artifacts should make it part of their names.
    pub fn precompile_compatibility_hash(&self) -> impl std::hash::Hash + use<> {
        self.compiler().compatibility()
    }

    pub(crate) fn check_artifacts(&self) -> bool {
        self.inner.check_artifacts
    }

    pub(crate) fn profiler(&self) -> ProfilingStrategy {
        self.inner.profiler
    }

    pub(crate) fn memory_init_cow(&self) -> bool {
        self.inner.memory_init_cow
    }

    /// Returns after how many allocations stores collect to find faults, if they do.
    pub(crate) fn gc_zeal(&self) -> Option<NonZeroU32> {
        self.inner.gc_zeal
    }

    pub(crate) fn backtrace_frames(&self) -> Option<NonZeroUsize> {
        self.inner.backtrace_frames
    }

    pub(crate) fn max_wasm_stack(&self) -> usize {
        self.inner.max_wasm_stack
    }

    /// Returns the engine's types, to be looked at. While they are held, no type gets a number.
    pub(crate) fn types(&self) -> Types<'_> {
        self.inner.types.read()
    }

    /// Returns where compiled code finds supertypes, and 0 if it never asks.
    #[inline]
    pub(crate) fn supertypes(&self) -> usize {
        self.inner.supertypes
    }

    /// Returns where the engine's types are registered.
    pub(crate) fn type_registry(&self) -> &Arc<TypeRegistry> {
        &self.inner.types
    }

    /// Returns the number of a type of functions, structures or arrays, for
    /// [`HeapType::ConcreteFunc`](crate::HeapType::ConcreteFunc) and its like. The engine remembers
    /// the type from then on.
    ///
    /// A number that comes from somewhere else, like the type of an export, means nothing after
    /// everything is gone that has the type: modules, instances and host functions.
    ///
    /// # Panics
    /// Panics if the type belongs to another engine. Only a type that is open to subtypes, extends
    /// another, or is part of a recursive group belongs to an engine.
    pub fn type_number(&self, ty: &impl DefinedType) -> u32 {
        let types = self.inner.types.register_one(ty.clone());
        let number = types[0];
        types.keep_forever();
        number
    }

    /// Returns the function type with a number that this engine gave out.
    ///
    /// # Panics
    /// Panics if the engine gave out no such number, it is another type's, or everything is gone
    /// that had the type.
    pub fn func_type(&self, number: u32) -> FuncType {
        self.type_with(number)
    }

    /// Returns the structure type with a number that this engine gave out.
    ///
    /// # Panics
    /// Panics as [`Engine::func_type`].
    pub fn struct_type(&self, number: u32) -> StructType {
        self.type_with(number)
    }

    /// Returns the array type with a number that this engine gave out.
    ///
    /// # Panics
    /// Panics as [`Engine::func_type`].
    pub fn array_type(&self, number: u32) -> ArrayType {
        self.type_with(number)
    }

    fn type_with<T: DefinedType>(&self, number: u32) -> T {
        let types = self.types();
        let def = types.get(number).expect("the number of a type of this engine");
        T::from_composite(&def.composite).unwrap_or_else(|| panic!("the type {number} is `{}`", def.composite)).clone()
    }

    /// Defines a type as modules do with `(sub ..)` (specification, section 2.3.8). Its values
    /// consist of what `ty` says, and can be used wherever those of the type `supertype` are
    /// expected.
    ///
    /// # Errors
    /// Returns an error if the supertype is final, or if `ty` does not match it (section 3.3.11).
    /// Of functions, each parameter must be a supertype of the supertype's parameter, and each
    /// result a subtype of its result. A structure has the supertype's fields, and may have more.
    /// What can change must hold the same, and what cannot a subtype.
    ///
    /// # Panics
    /// Panics if the supertype belongs to another engine.
    ///
    /// # Examples
    /// ```
    /// use minirt::{Engine, FieldType, Finality, FuncType, Mutability, StorageType, StructType, ValType};
    ///
    /// let engine = Engine::default();
    /// let signature = FuncType::new([], [ValType::I32]);
    /// let animal = engine.sub_type(Finality::NonFinal, None, &signature)?;
    /// let dog = engine.sub_type(Finality::Final, Some(&animal), &signature)?;
    /// assert!(animal != dog && engine.sub_type(Finality::Final, Some(&dog), &signature).is_err());
    ///
    /// let byte = FieldType::new(Mutability::Var, StorageType::I8);
    /// let grey = engine.sub_type(Finality::NonFinal, None, &StructType::new([byte]))?;
    /// let colour = engine.sub_type(Finality::Final, Some(&grey), &StructType::new([byte; 3]))?;
    /// assert_eq!(colour.fields().len(), 3);
    /// # Ok::<(), minirt::Error>(())
    /// ```
    pub fn sub_type<T: DefinedType>(&self, finality: Finality, supertype: Option<&T>, ty: &T) -> Result<T> {
        let extended = supertype.map(|of| self.inner.types.register_one(of.clone()));
        let supertype = extended.as_ref().map(|types| types[0]);
        let composite: CompositeType = ty.clone().into();
        if let Some(number) = supertype {
            let types = self.types();
            let of = types.get(number).expect("it has just been registered");
            ensure!(!of.is_final, "`{}` is final: no type can extend it", of.composite);
            let why = match composite {
                CompositeType::Func(_) => "a parameter accepts less there, or a result allows more",
                CompositeType::Struct(_) => "a field is missing, or is not the same",
                CompositeType::Array(_) => "the elements are not the same",
            };
            let fits = types.composite_matches(&composite, &of.composite);
            ensure!(fits, "`{composite}` cannot extend `{}`: {why}", of.composite);
        }
        // The same without a number, if it has one.
        let composite = composite.renumber(&|number| number);
        let types =
            self.inner.types.register_alone(TypeDef { composite, supertype, is_final: finality == Finality::Final });
        let ty = self.type_with(types[0]);
        types.keep_forever();
        Ok(ty)
    }

    /// Returns whether values of the type `ty` can be used where `other` is expected. Unlike
    /// [`ValType::matches`], an engine knows which function types extend each other.
    pub fn matches(&self, ty: &ValType, other: &ValType) -> bool {
        self.types().val_matches(*ty, *other)
    }

    /// Returns a type as text for people: types that it names are shown instead of their numbers.
    pub(crate) fn shown<T>(&self, ty: &T) -> String
    where
        for<'a> Shown<'a, T>: std::fmt::Display,
    {
        Shown::new(ty, &self.types()).to_string()
    }

    /// Returns the type of something that a module imports, defines or exports.
    pub(crate) fn type_of(&self, module: &Prototype, entity: Entity) -> ExternType {
        match entity {
            Entity::Func(index) => ExternType::Func(self.func_type(module.func_type_id(index))),
            Entity::Tag(index) => ExternType::Tag(TagType::new(self.func_type(module.tag_type_id(index)))),
            _ => module.in_engine(&module.info().type_of(entity)),
        }
    }

    /// Returns whether functions of the type `sub` can be used where functions of the type `wanted`
    /// are expected.
    pub(crate) fn is_subtype(&self, sub: u32, wanted: u32) -> bool {
        sub == wanted || self.types().is_subtype(sub, wanted)
    }

    /// Returns an exit trampoline for a type, which must be registered. It is compiled at the first
    /// request.
    ///
    /// # Errors
    /// Returns an error if Cranelift fails or there is no memory.
    pub(crate) fn exit_trampoline(&self, type_id: u32) -> Result<Arc<LoadedCode>> {
        self.ensure_runs_here()?;
        self.inner.types.exit_trampoline(type_id, |ty| LoadedCode::new(self.compiler().exit_trampoline(ty)?))
    }
}
