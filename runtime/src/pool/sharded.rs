//! Divides what a lock guards among the processors, each with a lock of its own.
//!
//! A thread has a shard that it uses first. On the warm path, then, no two threads (of as many as
//! there are processors) ask for the same lock or write to the same cache line. Whoever needs all
//! of it goes through the shards one by one.
//!
//! The locks are this file's own. The standard library's takes two atomic exchanges, one to lock
//! and one to unlock, because somebody may sleep until it is unlocked. A fresh instance takes four
//! such locks, so that was a fifth of its time. Here nobody sleeps until then: whoever finds a lock
//! held, which is seldom, looks again. So unlocking is a plain write.

use crate::sys::fork::Guard;
use std::cell::{Cell, UnsafeCell};
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::OnceLock;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::Duration;

/// Values of which each thread mostly uses its own.
#[derive(Debug)]
pub(crate) struct Sharded<T>(Box<[Shard<T>]>);

/// Two cache lines, because processors fetch them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard<T> {
    is_locked: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: only the thread that holds the lock uses the value, so threads hand it to each other.
unsafe impl<T: Send> Sync for Shard<T> {}

/// A shard that is locked until this is dropped.
#[derive(Debug)]
pub(crate) struct Locked<'a, T> {
    shard: &'a Shard<T>,
    /// It is as good as this reference, and threads share it only if they may share that.
    value: PhantomData<&'a mut T>,
}

impl<T> Guard for Locked<'_, T> {}

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
    /// Locks this thread's shard. Threads take turns when they first ask.
    #[inline]
    pub(crate) fn mine(&self) -> Locked<'_, T> {
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
    pub(crate) fn all(&self) -> impl Iterator<Item = Locked<'_, T>> {
        self.0.iter().map(Shard::lock)
    }
}

/// How many times a thread looks at a lock before it lets others run in between.
const LOOKS: u32 = 100;
/// How many times it does that, before it sleeps in between. A thread that always goes first would
/// otherwise keep the holder from going on.
const YIELDS: u32 = 100;
const SLEEP: Duration = Duration::from_micros(50);

impl<T> Shard<T> {
    #[inline]
    fn lock(&self) -> Locked<'_, T> {
        if self.is_locked.swap(true, Acquire) {
            self.wait();
        }
        Locked { shard: self, value: PhantomData }
    }

    /// Takes the lock, which another thread holds. That is for as long as a push or a pop takes,
    /// unless it looks through all idle instances, or the process forks.
    #[cold]
    fn wait(&self) {
        let mut looks = 0_u32;
        while self.is_locked.load(Relaxed) || self.is_locked.swap(true, Acquire) {
            looks = looks.saturating_add(1);
            if looks < LOOKS {
                std::hint::spin_loop();
            } else if looks < LOOKS + YIELDS {
                std::thread::yield_now();
            } else {
                std::thread::sleep(SLEEP);
            }
        }
    }
}

impl<T> Deref for Locked<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: this holds the lock.
        unsafe { &*self.shard.value.get() }
    }
}

impl<T> DerefMut for Locked<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: this holds the lock, and is borrowed exclusively.
        unsafe { &mut *self.shard.value.get() }
    }
}

impl<T> Drop for Locked<'_, T> {
    /// Gives the lock back. A panic never leaves the value in disorder: every change is a single
    /// push or pop.
    #[inline]
    fn drop(&mut self) {
        self.shard.is_locked.store(false, Release);
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

    #[test]
    fn a_lock_keeps_all_other_threads_out() {
        let sharded: Sharded<usize> = Sharded::default();
        let add = |shard: &mut usize| {
            let before = *shard;
            std::thread::yield_now(); // Others would add something here.
            *shard = before + 1;
        };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..100).for_each(|_| sharded.all().for_each(|mut shard| add(&mut shard))));
            }
        });
        assert!(sharded.all().all(|shard| *shard == 400));
    }

    #[test]
    fn a_thread_waits_until_a_lock_is_given_back() {
        let sharded: Sharded<bool> = Sharded::default();
        std::thread::scope(|scope| {
            let mut mine = sharded.mine();
            let waiting = scope.spawn(|| sharded.all().filter(|shard| **shard).count());
            // Longer than a thread looks before it sleeps.
            std::thread::sleep(20 * SLEEP);
            assert!(!waiting.is_finished());
            *mine = true;
            drop(mine);
            assert_eq!(waiting.join().unwrap(), 1, "it saw what was written under the lock");
        });
    }
}
