//! Divides what a lock guards among the processors, each with a lock of its own.
//!
//! A thread has a shard that it uses first. On the warm path, then, no two threads (of as many as
//! there are processors) ask for the same lock or write to the same cache line. Whoever needs all
//! of it goes through the shards one by one.

use crate::sys::fork::Guard;
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// Values of which each thread mostly uses its own.
#[derive(Debug)]
pub(crate) struct Sharded<T>(Box<[Shard<T>]>);

/// Two cache lines, because processors fetch them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard<T>(Mutex<T>);

/// More processors than this share.
const MOST: usize = 64;

impl<T: Default> Default for Sharded<T> {
    fn default() -> Self {
        let processors = processors();
        Self((0..processors.next_power_of_two().min(MOST)).map(|_| Shard::default()).collect())
    }
}

/// Returns how many processors this process may use. The standard library would read a dozen files
/// to find out how much of their time it may have, but locks are for threads that run at the same
/// moment.
fn processors() -> usize {
    static COUNT: OnceLock<usize> = OnceLock::new();
    *COUNT.get_or_init(|| match rustix::thread::sched_getaffinity(None) {
        Ok(set) => set.count().max(1) as usize,
        Err(_) => std::thread::available_parallelism().map_or(1, usize::from),
    })
}

impl<T> Sharded<T> {
    /// This thread's shard. Threads take turns when they first ask.
    #[inline]
    pub(crate) fn mine(&self) -> MutexGuard<'_, T> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        thread_local!(static TURN: Cell<usize> = const { Cell::new(usize::MAX) });
        if TURN.get() == usize::MAX {
            TURN.set(NEXT.fetch_add(1, Relaxed));
        }
        self.0[TURN.get() & (self.0.len() - 1)].lock()
    }

    /// Locks all shards, in order.
    pub(crate) fn lock_all(&self) -> impl Iterator<Item = Box<dyn Guard + '_>> {
        self.all().map(|shard| Box::new(shard) as Box<dyn Guard + '_>)
    }

    /// Returns all shards, each locked while it is looked at.
    pub(crate) fn all(&self) -> impl Iterator<Item = MutexGuard<'_, T>> {
        self.0.iter().map(Shard::lock)
    }
}

impl<T> Shard<T> {
    #[inline]
    fn lock(&self) -> MutexGuard<'_, T> {
        // A panic never leaves the guarded value in disorder: every change is a single push or
        // pop.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_keeps_its_shard_and_all_see_everything() {
        let sharded: Sharded<Vec<usize>> = Sharded::default();
        let address = || std::ptr::from_ref(&*sharded.mine());
        assert_eq!(address(), address());
        std::thread::scope(|scope| {
            for i in 0..8 {
                let sharded = &sharded;
                scope.spawn(move || (0..100).for_each(|_| sharded.mine().push(i)));
            }
        });
        assert_eq!(sharded.all().map(|shard| shard.len()).sum::<usize>(), 800);
    }
}
