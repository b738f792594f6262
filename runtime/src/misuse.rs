//! What must not compile. Each program stands below one that compiles, from which it differs by the line that is wrong.
//!
//! A `Caller` ends with its call:
//!
//! ```
//! # use minirt::Caller;
//! fn keep<'a>(kept: &mut Option<Caller<'a, ()>>, caller: Caller<'a, ()>) {
//!     *kept = Some(caller);
//! }
//! ```
//! ```compile_fail,E0621
//! # use minirt::Caller;
//! fn keep<'a>(kept: &mut Option<Caller<'a, ()>>, caller: Caller<'_, ()>) {
//!     *kept = Some(caller);
//! }
//! ```
//!
//! A memory's bytes are borrowed from the store, so that nothing can be called while they are looked at:
//!
//! ```
//! # use minirt::{AsContextMut, Memory, Store, TypedFunc};
//! fn first(store: &mut Store<()>, memory: Memory, grow: TypedFunc<(), ()>) -> u8 {
//!     let bytes = memory.data(&*store).to_vec();
//!     grow.call(&mut *store, ()).unwrap();
//!     bytes[0]
//! }
//! ```
//! ```compile_fail,E0502
//! # use minirt::{AsContextMut, Memory, Store, TypedFunc};
//! fn first(store: &mut Store<()>, memory: Memory, grow: TypedFunc<(), ()>) -> u8 {
//!     let bytes = memory.data(&*store);
//!     grow.call(&mut *store, ()).unwrap();
//!     bytes[0]
//! }
//! ```
//!
//! They are not read and written at the same time, nor written through two handles:
//!
//! ```
//! # use minirt::{Memory, Store};
//! fn copy(store: &mut Store<()>, from: Memory, to: Memory) {
//!     let from = from.data(&*store).to_vec();
//!     to.data_mut(&mut *store).copy_from_slice(&from);
//! }
//! ```
//! ```compile_fail,E0502
//! # use minirt::{Memory, Store};
//! fn copy(store: &mut Store<()>, from: Memory, to: Memory) {
//!     let from = from.data(&*store);
//!     to.data_mut(&mut *store).copy_from_slice(&from);
//! }
//! ```
//! ```
//! # use minirt::{Memory, Store};
//! fn swap(store: &mut Store<()>, aside: &mut Store<()>, one: Memory, other: Memory) {
//!     let one = one.data_mut(&mut *aside);
//!     other.data_mut(&mut *store).swap_with_slice(one);
//! }
//! ```
//! ```compile_fail,E0499
//! # use minirt::{Memory, Store};
//! fn swap(store: &mut Store<()>, aside: &mut Store<()>, one: Memory, other: Memory) {
//!     let one = one.data_mut(&mut *store);
//!     other.data_mut(&mut *store).swap_with_slice(one);
//! }
//! ```
//!
//! The embedder's data beside them is borrowed with them:
//!
//! ```
//! # use minirt::{Memory, Store};
//! fn both(store: &mut Store<u8>, memory: Memory) {
//!     let (bytes, data) = memory.data_and_store_mut(&mut *store);
//!     *data = 1;
//!     bytes[0] = *data;
//! }
//! ```
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
//! ```
//! # use minirt::{Memory, Store};
//! fn after(store: Store<()>, memory: Memory) -> u8 {
//!     let bytes = memory.data(&store).to_vec();
//!     drop(store);
//!     bytes[0]
//! }
//! ```
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
//! ```
//! let shared = std::sync::Arc::new(1);
//! minirt::Linker::<()>::new(&minirt::Engine::default()).func_wrap("a", "f", move || *shared).unwrap();
//! ```
//! ```compile_fail,E0277
//! let shared = std::rc::Rc::new(1);
//! minirt::Linker::<()>::new(&minirt::Engine::default()).func_wrap("a", "f", move || *shared).unwrap();
//! ```
