//! Runs jobs on all processors: a queue, and threads that take from it.

use std::num::NonZero;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::thread::{Builder, available_parallelism, scope};

/// Threads that can still be started to help, in the whole process. However many modules are
/// compiled at a time, there are fewer helpers than processors.
static FREE: LazyLock<AtomicUsize> =
    LazyLock::new(|| AtomicUsize::new(available_parallelism().map_or(1, NonZero::get) - 1));

/// Helpers that a caller may start, until this is dropped.
struct Grant(usize);

impl Grant {
    fn up_to(wanted: usize) -> Self {
        let rest = |free: usize| Some(free - free.min(wanted));
        let free = FREE.fetch_update(Relaxed, Relaxed, rest).expect("there is always a rest");
        Self(free.min(wanted))
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        FREE.fetch_add(self.0, Relaxed);
    }
}

/// Runs all jobs, with the help of `most` threads at the most. They begin in order; the results are
/// in the order in which they end. Each thread has a `worker` of its own.
///
/// # Panics
/// Panics with the panic of a job.
pub(crate) fn run_all<J: Send, W, R: Send>(
    jobs: Vec<J>,
    most: usize,
    worker: impl Fn() -> W + Sync,
    run: impl Fn(&mut W, J) -> R + Sync,
) -> Vec<R> {
    let granted = Grant::up_to(most.min(jobs.len().saturating_sub(1)));
    let queue = Mutex::new(jobs.into_iter());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || {
        let mut worker = worker();
        std::iter::from_fn(next).map(|job| run(&mut worker, job)).collect::<Vec<R>>()
    };
    scope(|scope| {
        // If the system gives no thread, this one does the rest.
        let start = |_| Builder::new().name("compiling".to_owned()).spawn_scoped(scope, work).ok();
        let helpers: Vec<_> = (0..granted.0).map_while(start).collect();
        let mut done = work();
        for helper in helpers {
            done.extend(helper.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        done
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::thread::sleep;
    use std::time::Duration;

    #[test]
    fn every_job_is_run_once_whoever_asks_at_the_same_time() {
        let sums = run_all(
            (0..8).collect(),
            usize::MAX,
            || (),
            |(), n: usize| {
                let done = run_all((0..100).collect(), usize::MAX, || (), |(), job: usize| n * 1000 + job);
                assert_eq!(done.len(), 100);
                done.into_iter().collect::<HashSet<_>>()
            },
        );
        assert_eq!(sums.iter().flatten().collect::<HashSet<_>>().len(), 800);
    }

    #[test]
    fn a_panic_of_a_job_is_the_callers_and_takes_no_helper_away() {
        for _ in 0..10 {
            let result =
                std::panic::catch_unwind(|| run_all(vec![1, 2, 3], usize::MAX, || (), |(), n| assert_ne!(n, 2)));
            assert!(result.is_err());
        }
        assert!(run_all(Vec::<u8>::new(), usize::MAX, || (), |(), n| n).is_empty());
        // Other tests may be using some for a while.
        let all = available_parallelism().map_or(1, NonZero::get) - 1;
        let all_free = || {
            sleep(Duration::from_millis(1));
            FREE.load(Relaxed) == all
        };
        assert!((0..60_000).any(|_| all_free()));
    }
}
