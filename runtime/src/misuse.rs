//! Shows which programs must not compile. Each stands below one that compiles, from which it
//! differs by the line that is wrong.
//!
//! A `Caller` does not outlive its call:
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
//! A memory's bytes are borrowed from the store, so that nothing can be called while they are in
//! use:
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
//! They cannot be read and written at the same time, nor be written through two handles:
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
//! So is the embedder's data, if it was taken together with them:
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
//! They do not outlive their store:
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
//! The value behind an external reference is borrowed from the store, so that it is not collected
//! while it is in use:
//!
//! ```
//! # use minirt::{ExternRef, Rooted, Store};
//! fn text(store: &mut Store<()>, value: Rooted<ExternRef>) -> Option<String> {
//!     let text = value.data(&*store).unwrap()?.downcast_ref::<String>()?.clone();
//!     store.gc();
//!     Some(text)
//! }
//! ```
//! ```compile_fail,E0502
//! # use minirt::{ExternRef, Rooted, Store};
//! fn text(store: &mut Store<()>, value: Rooted<ExternRef>) -> Option<String> {
//!     let text = value.data(&*store).unwrap()?.downcast_ref::<String>()?;
//!     store.gc();
//!     Some(text.clone())
//! }
//! ```
//!
//! So is the store while somebody goes through an array, which would move:
//!
//! ```
//! # use minirt::{ArrayRef, Rooted, Store, Val};
//! fn zero(store: &mut Store<()>, array: Rooted<ArrayRef>) {
//!     let odd = array.elems(&mut *store).unwrap().filter(|elem| elem.unwrap_i32() % 2 == 1).count();
//!     array.set(&mut *store, 0, Val::I32(odd as i32)).unwrap();
//! }
//! ```
//! ```compile_fail,E0499
//! # use minirt::{ArrayRef, Rooted, Store, Val};
//! fn zero(store: &mut Store<()>, array: Rooted<ArrayRef>) {
//!     for (index, _) in (0..).zip(array.elems(&mut *store).unwrap()) {
//!         array.set(&mut *store, index, Val::I32(0)).unwrap();
//!     }
//! }
//! ```
//!
//! As long as a scope lasts, its store is in reach through it alone, so scopes end in order:
//!
//! ```
//! # use minirt::{ExternRef, RootScope, Store};
//! fn scoped(store: &mut Store<()>) {
//!     let mut scope = RootScope::new(store);
//!     let value = ExternRef::new(&mut scope, 1);
//! }
//! ```
//! ```compile_fail,E0499
//! # use minirt::{ExternRef, RootScope, Store};
//! fn scoped(store: &mut Store<()>) {
//!     let mut scope = RootScope::new(&mut *store);
//!     let value = ExternRef::new(&mut *store, 1);
//!     drop(scope);
//! }
//! ```
//!
//! A reference to anything is not one to a structure before somebody has looked:
//!
//! ```
//! # use minirt::{AnyRef, Rooted, Store, StructRef};
//! fn structure(store: &Store<()>, any: Rooted<AnyRef>) -> Option<Rooted<StructRef>> {
//!     any.as_struct(store).unwrap()
//! }
//! ```
//! ```compile_fail,E0308
//! # use minirt::{AnyRef, Rooted, Store, StructRef};
//! fn structure(store: &Store<()>, any: Rooted<AnyRef>) -> Option<Rooted<StructRef>> {
//!     Some(any)
//! }
//! ```
//!
//! Threads share what guests hold, so it must be shareable:
//!
//! ```
//! let mut store = minirt::Store::new(&minirt::Engine::default(), ());
//! minirt::ExternRef::new(&mut store, std::sync::Arc::new(1)).unwrap();
//! ```
//! ```compile_fail,E0277
//! let mut store = minirt::Store::new(&minirt::Engine::default(), ());
//! minirt::ExternRef::new(&mut store, std::rc::Rc::new(1)).unwrap();
//! ```
//!
//! A store can only move to another thread if its data can:
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
//! Whatever a host function captures must be shareable, because threads share linkers:
//!
//! ```
//! let shared = std::sync::Arc::new(1);
//! minirt::Linker::<()>::new(&minirt::Engine::default()).func_wrap("a", "f", move || *shared).unwrap();
//! ```
//! ```compile_fail,E0277
//! let shared = std::rc::Rc::new(1);
//! minirt::Linker::<()>::new(&minirt::Engine::default()).func_wrap("a", "f", move || *shared).unwrap();
//! ```
//!
//! A host function that was defined for data of one lifetime does not run with data of a shorter
//! one. So a store's type of data is exactly that, and so is that of everything that holds host
//! functions:
//!
//! ```
//! fn same<'a>(store: minirt::Store<&'a str>) -> minirt::Store<&'a str> { store }
//! ```
//! ```compile_fail
//! fn shorter<'a>(store: minirt::Store<&'static str>) -> minirt::Store<&'a str> { store }
//! ```
//! ```
//! fn same<'a>(linker: minirt::Linker<&'a str>) -> minirt::Linker<&'a str> { linker }
//! ```
//! ```compile_fail
//! fn longer<'a>(linker: minirt::Linker<&'a str>) -> minirt::Linker<&'static str> { linker }
//! ```
//! ```
//! fn same<'a>(pre: minirt::InstancePre<&'a str>) -> minirt::InstancePre<&'a str> { pre }
//! ```
//! ```compile_fail
//! fn longer<'a>(pre: minirt::InstancePre<&'a str>) -> minirt::InstancePre<&'static str> { pre }
//! ```
