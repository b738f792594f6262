//! What all modules and stores of an engine share: compiler, type numbers, slots.

use super::config::Config;
use crate::code::LoadedCode;
use crate::pool::{EngineStats, Pool, Prototype, Sharded};
use crate::sys::fork::{self, Guard, Locks};
use anyhow::{Context, Result, ensure};
use minirt_compiler::module::canonical::TypeTable;
use minirt_compiler::module::{Entity, ExternType, Finality, FuncType, ModuleInfo, TypeDef};
use minirt_compiler::{Compiler, Metering};
use std::collections::HashMap;
use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// A compiler and the instance slots of all modules made with it. Cloning gives another handle to the same
/// engine; it can be shared between threads.
///
/// Every store holds a handle as well. Counting references is what threads would then do most of the time, all in the
/// same cache line; so a store that ends leaves its handle to the next one of its thread. As long as there are handles
/// that belong to users (and modules), such *spare* ones may wait; with the last of them, they go.
pub struct Engine {
    inner: ManuallyDrop<Arc<EngineInner>>,
    /// Whether this handle counts in `users`.
    user: bool,
}

struct EngineInner {
    users: AtomicUsize,
    /// References that no handle holds, but that are counted: what stores left.
    spare: Sharded<usize>,
    compiler: Compiler,
    pool: Pool,
    /// Equal types have equal numbers in all modules of an engine.
    types: RwLock<TypeTable>,
    /// Exit trampolines for host functions that are reached through references alone, by type number.
    exits: Mutex<HashMap<u32, Arc<LoadedCode>>>,
    images: bool,
    check_artifacts: bool,
    max_wasm_stack: usize,
    metering: Metering,
    epoch: Epoch,
}

impl Locks for EngineInner {
    /// In the order in which threads take them that hold several: exit trampolines are made from types, and loaded.
    fn lock_all(&self) -> Vec<Box<dyn Guard + '_>> {
        let exits = self.exits.lock().unwrap_or_else(PoisonError::into_inner);
        let types = self.types.write().unwrap_or_else(PoisonError::into_inner);
        let mut guards: Vec<Box<dyn Guard + '_>> = vec![Box::new(exits), Box::new(types)];
        guards.extend(self.spare.lock_all());
        guards.extend(self.pool.lock_all());
        guards
    }
}

/// The engine's epoch, in a cache line that nothing else changes: all threads read it, again and again.
#[repr(align(64))]
struct Epoch(AtomicU64);

impl Clone for Engine {
    fn clone(&self) -> Self {
        self.inner.users.fetch_add(1, SeqCst);
        Self { inner: ManuallyDrop::new(Arc::clone(&self.inner)), user: true }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if !self.user {
            return self.leave_to_next();
        }
        if self.inner.users.fetch_sub(1, SeqCst) == 1 {
            let spare: usize = self.inner.spare.all().map(|mut spare| std::mem::take(&mut *spare)).sum();
            // SAFETY: spare references are counted, and nobody else has taken these. `self` still has its own.
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
    /// An engine with the default configuration.
    ///
    /// # Panics
    /// When the processor is not one that minirt can compile for. [`Engine::new`] says so with an error.
    fn default() -> Self {
        Self::new(&Config::new()).expect("this machine can not run minirt")
    }
}

impl Engine {
    /// An engine as configured.
    ///
    /// # Errors
    /// When the processor is not one that minirt can compile for.
    pub fn new(config: &Config) -> Result<Self> {
        let compiler = Compiler::new(&config.settings).context("could not set up the compiler")?;
        let inner = Arc::new(EngineInner {
            users: AtomicUsize::new(1),
            spare: Sharded::default(),
            compiler,
            pool: Pool::new(config.limits),
            types: RwLock::default(),
            exits: Mutex::default(),
            images: config.images,
            check_artifacts: config.check_artifacts,
            max_wasm_stack: config.max_wasm_stack,
            metering: config.settings.metering,
            epoch: Epoch(AtomicU64::new(0)),
        });
        fork::register(&inner);
        Ok(Self { inner: ManuallyDrop::new(inner), user: true })
    }

    /// Whether two handles are to the same engine.
    pub fn same(a: &Self, b: &Self) -> bool {
        Arc::ptr_eq(&a.inner, &b.inner)
    }

    /// Adds one tick to the engine's epoch. Stores whose deadline that is stop what they run, on whatever thread
    /// ([`Store::set_epoch_deadline`](crate::Store::set_epoch_deadline)).
    ///
    /// This is one atomic addition: it takes no lock, can be called by any thread, and in a signal handler.
    pub fn increment_epoch(&self) {
        self.inner.epoch.0.fetch_add(1, Relaxed);
    }

    /// Where the epoch is, for as long as the engine lives.
    pub(crate) fn epoch(&self) -> &AtomicU64 {
        &self.inner.epoch.0
    }

    pub(crate) fn metering(&self) -> Metering {
        self.inner.metering
    }

    /// Numbers about its instances since it was made: how many there are, and how they came to be and were reset.
    pub fn stats(&self) -> EngineStats {
        self.inner.pool.stats()
    }

    /// A handle for a store.
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
        Self { inner: ManuallyDrop::new(inner), user: false }
    }

    /// The end of a store's handle.
    #[inline]
    fn leave_to_next(&mut self) {
        let mut spare = self.inner.spare.mine();
        // Asked under the lock: the last user leaves first, and then empties every shard.
        if self.inner.users.load(SeqCst) > 0 {
            *spare += 1;
            return; // The reference stays counted, and is the next one's.
        }
        drop(spare);
        // SAFETY: `inner` is not used again.
        drop(unsafe { ManuallyDrop::take(&mut self.inner) });
    }

    pub(crate) fn compiler(&self) -> &Compiler {
        &self.inner.compiler
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.inner.pool
    }

    /// Compiles a module to an artifact, for [`Module::deserialize`](crate::Module::deserialize) in this or another
    /// process. Takes the binary format, or with the feature `wat` the text format.
    ///
    /// # Errors
    /// As [`Module::new`](crate::Module::new).
    pub fn precompile_module(&self, bytes: &[u8]) -> Result<Vec<u8>> {
        #[cfg(feature = "wat")]
        let bytes = &wat::parse_bytes(bytes)?;
        let compiled = self.compiler().compile(bytes)?;
        Ok(self.compiler().serialize(&compiled))
    }

    /// Something whose hash is the same for engines that can load each other's artifacts, in this process or others:
    /// the version, the machine, its processor's features, and how code is metered. To be part of the name under which
    /// artifacts are kept. The features of WebAssembly that are switched off do not count.
    pub fn precompile_compatibility_hash(&self) -> impl std::hash::Hash + use<> {
        self.compiler().compatibility()
    }

    pub(crate) fn check_artifacts(&self) -> bool {
        self.inner.check_artifacts
    }

    pub(crate) fn images(&self) -> bool {
        self.inner.images
    }

    pub(crate) fn max_wasm_stack(&self) -> usize {
        self.inner.max_wasm_stack
    }

    /// What is known of the engine's types. While it is held, no type gets a number.
    pub(crate) fn types(&self) -> RwLockReadGuard<'_, TypeTable> {
        self.inner.types.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn types_mut(&self) -> RwLockWriteGuard<'_, TypeTable> {
        self.inner.types.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The numbers of a module's types, by type index.
    pub(crate) fn type_ids(&self, info: &ModuleInfo) -> Vec<u32> {
        self.types_mut().number_module(info)
    }

    /// The number of a function type: what stands for it in [`HeapType::ConcreteFunc`](crate::HeapType::ConcreteFunc), where a
    /// type is asked for.
    ///
    /// # Panics
    /// When the type is another engine's: one that is open to subtypes, extends another, or is part of a recursive group.
    pub fn type_number(&self, ty: &FuncType) -> u32 {
        self.types_mut().number(ty)
    }

    /// The function type with a number that this engine gave out.
    ///
    /// # Panics
    /// When it gave out no such number.
    pub fn func_type(&self, number: u32) -> FuncType {
        self.types().get(number).expect("the number of a type of this engine").func.clone()
    }

    /// A type of functions that take and return what `ty` says, and that may stand where functions of the type
    /// `supertype` are asked for, as modules define it with `(sub ..)` (specification, section 2.3.8).
    ///
    /// # Errors
    /// When the supertype is final, or when `ty` takes less or returns more than it: parameters may only be supertypes
    /// of its, and results subtypes (section 3.3.11).
    ///
    /// # Panics
    /// When the supertype is another engine's.
    ///
    /// # Examples
    /// ```
    /// use minirt::{Engine, Finality, FuncType, ValType};
    ///
    /// let engine = Engine::default();
    /// let signature = FuncType::new([], [ValType::I32]);
    /// let animal = engine.sub_type(Finality::NonFinal, None, &signature)?;
    /// let dog = engine.sub_type(Finality::Final, Some(&animal), &signature)?;
    /// assert!(animal != dog && engine.sub_type(Finality::Final, Some(&dog), &signature).is_err());
    /// # Ok::<(), minirt::Error>(())
    /// ```
    pub fn sub_type(&self, finality: Finality, supertype: Option<&FuncType>, ty: &FuncType) -> Result<FuncType> {
        let mut types = self.types_mut();
        let supertype = supertype.map(|of| types.number(of));
        if let Some(of) = supertype.and_then(|number| types.get(number)) {
            ensure!(!of.is_final, "`{}` is final: no type can extend it", of.func);
            let fits = types.signature_matches(ty, &of.func);
            ensure!(fits, "`{ty}` can not extend `{}`: it takes less than that, or returns more", of.func);
        }
        let func = FuncType::new(ty.params().iter().copied(), ty.results().iter().copied());
        let number = types.number_alone(TypeDef { func, supertype, is_final: finality == Finality::Final });
        Ok(types.get(number).expect("it has just been numbered").func.clone())
    }

    /// The type of something that a module imports, defines or exports.
    pub(crate) fn type_of(&self, module: &Prototype, entity: Entity) -> ExternType {
        match entity {
            Entity::Func(index) => ExternType::Func(self.func_type(module.func_type_id(index))),
            _ => module.in_engine(&module.info().type_of(entity)),
        }
    }

    /// Whether functions of the type `sub` may stand where functions of the type `of` are asked for.
    pub(crate) fn is_subtype(&self, sub: u32, of: u32) -> bool {
        sub == of || self.types().is_subtype(sub, of)
    }

    /// An exit trampoline for a type, made when it is first asked for and kept as long as the engine.
    pub(crate) fn exit(&self, id: u32) -> Result<*const u8> {
        let mut exits = self.inner.exits.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(code) = exits.get(&id) {
            return Ok(code.address(0));
        }
        let code = LoadedCode::new(self.compiler().exit_trampoline(&self.func_type(id))?)?;
        let address = code.address(0);
        exits.insert(id, code);
        Ok(address)
    }
}
