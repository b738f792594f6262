//! Lets an embedder announce the stack that it calls a store on.

use super::context::{AsContextMut, StoreContextMut};
use super::store::Store;
use std::ops::Range;

impl<T> Store<T> {
    /// Announces at which addresses the stack lies that this store is called on, for hosts that
    /// have stacks other than those of their threads: fibers, coroutines. An empty range takes that
    /// back.
    ///
    /// It is never necessary. On a stack that is not the thread's own, each call from the host asks
    /// the system where it ends, which takes longer than a short call: some hundred nanoseconds
    /// since Linux 6.11, and some ten microseconds before. On a stack that was announced, a call
    /// takes no longer than elsewhere.
    ///
    /// # Safety
    /// As long as the range is announced and this store is called at an address in it, all of it
    /// must be one stack: memory that can be read and written, and that nothing else uses. Guard
    /// pages are not part of it, although some libraries count them among a stack's addresses.
    ///
    /// # Examples
    /// ```
    /// # use minirt::{Engine, Store};
    /// # let mut store = Store::new(&Engine::default(), ());
    /// # let stack = vec![0_u8; 1 << 20];
    /// // SAFETY: this store is called on the fiber with this stack.
    /// unsafe { store.announce_stack(stack.as_ptr_range()) };
    /// ```
    pub unsafe fn announce_stack(&mut self, stack: Range<*const u8>) {
        // SAFETY: the caller's promise.
        unsafe { self.as_context_mut().announce_stack(stack) }
    }
}

impl<T> StoreContextMut<'_, T> {
    /// Does the same as [`Store::announce_stack`]. In a host function, it is about calls of this
    /// store that the function makes.
    ///
    /// # Safety
    /// As for [`Store::announce_stack`].
    pub unsafe fn announce_stack(&mut self, stack: Range<*const u8>) {
        let store = &mut self.0.inner;
        store.announced_stack = stack.start as usize..stack.end as usize;
        store.stack.forget();
    }
}
