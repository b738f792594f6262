//! What must not compile. Each program differs from one that compiles by the one line that is wrong.
//!
//! A `Caller` ends with its call:
//!
//! ```
//! # use minirt::Caller;
//! fn inside<'a>(caller: Caller<'a, ()>) -> Caller<'a, ()> { caller }
//! ```
//! ```compile_fail
//! # use minirt::Caller;
//! fn outside<'a>(caller: Caller<'a, ()>) -> Caller<'static, ()> { caller }
//! ```
//!
//! A memory's bytes are borrowed from the store, so that nothing can be called while they are looked at:
//!
//! ```
//! # use minirt::{AsContextMut, Memory, Store, TypedFunc};
//! fn before(store: &mut Store<()>, memory: Memory, grow: TypedFunc<(), ()>) -> u8 {
//!     let first = memory.data(&*store)[0];
//!     grow.call(store, ()).unwrap();
//!     first
//! }
//! ```
//! ```compile_fail,E0502
//! # use minirt::{AsContextMut, Memory, Store, TypedFunc};
//! fn across(store: &mut Store<()>, memory: Memory, grow: TypedFunc<(), ()>) -> u8 {
//!     let bytes = memory.data(&*store);
//!     grow.call(&mut *store, ()).unwrap();
//!     bytes[0]
//! }
//! ```
//!
//! They are not read and written at the same time, nor written through two handles:
//!
//! ```compile_fail,E0502
//! # use minirt::{Memory, Store};
//! fn copy(store: &mut Store<()>, from: Memory, to: Memory) {
//!     let from = from.data(&*store);
//!     to.data_mut(&mut *store).copy_from_slice(from);
//! }
//! ```
//! ```compile_fail,E0499
//! # use minirt::{Memory, Store};
//! fn swap(store: &mut Store<()>, one: Memory, other: Memory) {
//!     let one = one.data_mut(&mut *store);
//!     other.data_mut(&mut *store).swap_with_slice(one);
//! }
//! ```
//!
//! The embedder's data beside them is borrowed with them:
//!
//! ```compile_fail,E0499
//! # use minirt::{Memory, Store};
//! fn both(store: &mut Store<u8>, memory: Memory) {
//!     let (bytes, data) = memory.data_and_store_mut(&mut *store);
//!     *store.data_mut() = 1;
//!     bytes[0] = *data;
//! }
//! ```
//!
//! Bytes do not outlive their store:
//!
//! ```compile_fail,E0505
//! # use minirt::{Memory, Store};
//! fn after(store: Store<()>, memory: Memory) -> u8 {
//!     let bytes = memory.data(&store);
//!     drop(store);
//!     bytes[0]
//! }
//! ```
//!
//! A store goes to another thread only with data that may:
//!
//! ```
//! let store = minirt::Store::new(&minirt::Engine::default(), std::sync::Arc::new(1));
//! std::thread::spawn(move || drop(store)).join().unwrap();
//! ```
//! ```compile_fail,E0277
//! let store = minirt::Store::new(&minirt::Engine::default(), std::rc::Rc::new(1));
//! std::thread::spawn(move || drop(store)).join().unwrap();
//! ```
//!
//! And so does what a host function captures, because linkers are shared between threads:
//!
//! ```compile_fail,E0277
//! let shared = std::rc::Rc::new(1);
//! minirt::Linker::<()>::new(&minirt::Engine::default()).func_wrap("a", "f", move || *shared).unwrap();
//! ```
