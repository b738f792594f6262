//! A small WebAssembly runtime, built around copy-on-write instantiation: a fresh, isolated
//! instance of a module costs about as much as the pages that the last one wrote to.
//!
//! ```
//! use minirt::{Engine, Instance, Module, Store};
//!
//! # fn main() -> minirt::Result<()> {
//! let engine = Engine::default();
//! let module = Module::new(&engine, r#"
//!     (module
//!       (func (export "add") (param i32 i32) (result i32)
//!         local.get 0
//!         local.get 1
//!         i32.add))"#)?;
//! let mut store = Store::new(&engine, ());
//! let instance = Instance::new(&mut store, &module, &[])?;
//! let add = instance.get_typed_func::<(i32, i32), i32>(&mut store, "add")?;
//! assert_eq!(add.call(&mut store, (40, 2))?, 42);
//! # Ok(())
//! # }
//! ```
//!
//! Types and methods have wasmtime's names where it has the same thing. README.md lists the
//! differences.
//!
//! # How an instance comes to life
//!
//! [`Module::new`] compiles the module to machine code, and computes its **image**: all mutable
//! state and the linear memory, as they are right after instantiation. The image is in sealed
//! memory files, or in the artifact that the module was loaded from. An [`Engine`] keeps **slots**,
//! each the address space of one instance:
//!
//! ```text
//!  +-----------+--------------------+-----------+--------------------------+-----------+
//!  | host cell | state              | guard     | linear memory            | guard     |
//!  |           | globals, tables,   |           | data, then zeros, then   |           |
//!  |           | sizes, functions   | 2 GiB     | nothing, up to 4 GiB     | 0.5 GiB   |
//!  +-----------+--------------------+-----------+--------------------------+-----------+
//!                ^ mapped copy-on-write from the image ^
//! ```
//!
//! [`Instance::new`] takes a slot that carries the module's image and writes its host cell: above
//! all, the imports. Everything else is already there. When the [`Store`] is dropped, the pages
//! that the instance wrote are put back, and the slot waits for the next one.
//!
//! The engine finds out which pages these are, and chooses the way to put them back:
//!
//! - Most programs write the same pages in every run, the module's **hot set**. All other pages are
//!   write-protected. A write there faults once, and the page joins the set. A reset copies the hot
//!   set back without a system call.
//! - Where the pages wander, a reset asks the kernel which were written.
//! - Where there are too many to keep, the kernel takes them away.
//!
//! [`Engine::stats`] tells which way was taken how often.
//!
//! An instance can also go back to its beginning in place ([`Instance::reset`]), or become the
//! beginning of others ([`Instance::snapshot`]). A module or snapshot can be an *artifact*, a file
//! that is mapped instead of compiled ([`Module::serialize`], [`Module::deserialize_file`],
//! [`Snapshot::save`]).
//!
//! # Terms
//!
//! - **artifact**: a compiled module or a snapshot as a file.
//! - **funcref**: a reference to a function: the address of its record.
//! - **guard**: address space that is never accessible, so that most bounds checks can be left to
//!   the processor.
//! - **handle**: a small copyable name ([`Instance`], [`Func`], [`Memory`], ...) for something that
//!   a store owns.
//! - **host cell**: the start of a slot, where absolute addresses are allowed: store and imports.
//! - **hot set**: the pages that a module's instances are known to write.
//! - **image**: the state and memory that every instance of a module starts with.
//! - **root**: a reference that the embedder holds ([`Rooted`], [`OwnedRooted`]), so that what it
//!   leads to is not collected.
//! - **reset**: putting back what an instance wrote.
//! - **slot**: the address space of one instance, reused from one to the next.
//! - **snapshot**: what an instance holds at some moment, as an image for others.
//! - **state**: what an instance has besides its memory: globals, tables, sizes, function
//!   references.
//! - **trap**: the end of a computation that the specification defines, for example by an access
//!   out of bounds.
//! - **vmctx**: the one pointer that compiled code holds; everything is at a fixed distance from
//!   it.
//!
//! # Signals
//!
//! Compiled code leaves most checks to the processor, and its first write to a page may fault as
//! well. So when the first instance is made, minirt installs handlers for SIGSEGV, SIGBUS, SIGILL
//! and SIGFPE in the process.
//!
//! - A fault that no guest can cause gets the action that was there before. So does a signal that
//!   somebody sends.
//! - When a thread first calls Wasm, minirt unblocks these four signals in it, and gives it a stack
//!   to handle them on.
//! - The signals may be blocked again later, or another handler may take the place of minirt's.
//!   minirt looks for that before the first call into a store: for a thread's first 1,024 stores
//!   each time, later in every 4,096th. It unblocks the signals, and puts its handler in front, up
//!   to eight times in the life of a process. A handler that came later gets what is not a guest's.
//!
//! Between two of these looks, a guest's trap, or its first write to a page, can end the process:
//! if the thread blocks the signals, or if another handler does not pass them on. A host that does
//! such things after it has called Wasm calls [`Engine::tls_eager_initialize`] then. With
//! [`ResetStrategy::Scan`], no write that a guest may do is a fault, but traps are.
//!
//! # Stacks
//!
//! Wasm runs on the stack of the thread, fiber or coroutine that calls it. It stops before it has
//! used more than [`Config::max_wasm_stack`], and before the stack ends. Calls on the stacks of one
//! thread may take turns in any order. A stack may move to another thread while its guest has
//! called a host function.
//!
//! Where the stack is not the thread's own, minirt asks the system where it ends: at the first page
//! that cannot be read and written. The host must see to it that there is such a page, or that
//! [`Config::max_wasm_stack`] and 128 KiB are left where Wasm is called. [`Store::announce_stack`]
//! makes calls on such stacks as fast as others.
//!
//! # Features
//!
//! - `wat` (default): modules may be given in the text format.
//! - `wasi`: WASI preview 1, in [`wasi`].

// In reading order: a file uses only what stands above it.
mod sys;
mod vmctx;
mod cow;
mod code;
mod types;
mod gc;
mod pool;
mod engine;
mod module;
mod store;
mod value;
mod call;
mod func;
mod ops;
mod instance;
mod object;
mod linker;
#[cfg(doctest)]
mod misuse;
#[cfg(feature = "wasi")]
pub mod wasi;

pub use anyhow::{Error, Result, bail, ensure, format_err};
pub use call::{FrameInfo, MemoryFault, WasmBacktrace};
pub use cow::{PageKind, PageStats, ResetStrategy};
pub use engine::{Config, Engine, ProfilingStrategy};
pub use func::{Caller, IntoFunc, TypedFunc, WasmParams, WasmResults, WasmRet};
pub use instance::{Export, FirstWriter, IncompatibleImportError, PageMap, PageRegion, PageRun, RegionKind, Snapshot};
pub use linker::{InstancePre, Linker, UnknownImportError};
pub use minirt_compiler::artifact::is_artifact;
pub use minirt_compiler::module::{
    ArrayType, CompositeType, DefinedType, ExternType, FieldType, Finality, FuncType, GlobalType, HeapType, MemoryType,
    Mutability, RefKind, RefType, StorageType, StructType, TableType, TagType, ValType,
};
pub use minirt_compiler::{
    ArtifactError, CompileError, CompileErrorKind, Feature, Inlining, OptLevel, Printable, Trap,
};
pub use module::{
    ExportType, HeapImageInfo, ImageInfo, ImportType, MemoryImageInfo, Module, ModuleFunction, RemainingStep,
};
pub use object::{ArrayRefPre, ExnRefPre, ExnType, MemoryAccessError, MemoryMut, StructRefPre};
pub use pool::EngineStats;
pub use store::{
    AnyRef, ArrayRef, AsContext, AsContextMut, EqRef, ExnRef, Extern, ExternRef, Func, GcRef, Global, Instance,
    LimitExceeded, Memory, OwnedRooted, ResourceLimiter, RootScope, Rooted, RootedGcRef, Store, StoreContext,
    StoreContextMut, StoreLimits, StoreLimitsBuilder, StructRef, Table, Tag, ThrownException, UpdateDeadline,
};
pub use value::{I31, Ref, Val, WasmTy};

/// Errors, and how to add context to them. They are those of the crate `anyhow`.
///
/// # Examples
/// ```
/// use minirt::error::Context;
/// use minirt::{Engine, Instance, Module, Result, Store, bail, ensure};
///
/// fn answer(text: &str) -> Result<i32> {
///     let engine = Engine::default();
///     let mut store = Store::new(&engine, ());
///     let module = Module::new(&engine, text).context("this is not a module")?;
///     let instance = Instance::new(&mut store, &module, &[])?;
///     let Some(answer) = instance.get_global(&store, "answer") else { bail!("there is no answer") };
///     let answer = answer.get(&store).i32().context("the answer is not a number")?;
///     ensure!(answer == 42, "{answer} is not the answer");
///     Ok(answer)
/// }
/// assert_eq!(answer("(oops)").unwrap_err().to_string(), "this is not a module");
/// assert_eq!(answer("(module)").unwrap_err().to_string(), "there is no answer");
/// assert_eq!(answer("(module (global (export \"answer\") i32 (i32.const 42)))").unwrap(), 42);
/// ```
pub mod error {
    pub use anyhow::{Context, Error, Result, bail, ensure, format_err};
}

/// The programs in README.md compile, and the first one runs.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct ReadmeExamples;
