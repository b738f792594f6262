//! Ends a guest whose time is up.
//!
//! Code sees the engine's epoch, and traps. A guest that waits in a host function (for input, or
//! asleep), or that is in the middle of one long operation, sees nothing. If it has not ended a
//! moment later, the process ends without it.

use crate::output::report::{Report, TRAP};
use minirt::Engine;
use rustix::thread::{Pid, gettid};
use std::fs;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

/// How long a guest has to trap by itself.
const GRACE: Duration = Duration::from_millis(100);

/// A clock that runs until this is dropped.
pub(crate) struct Timer {
    _running: Sender<()>,
}

/// Starts the clock for all code of an engine, which this thread will run. `looks` says whether
/// that code looks at the epoch. Messages name the guest `who`. `before_end` gets the message
/// before the process ends, if the guest does not.
///
/// # Errors
/// Returns an error if no thread can be started.
pub(crate) fn start(
    engine: &Engine,
    looks: bool,
    who: &str,
    time: Duration,
    before_end: impl FnOnce(&Report) + Send + 'static,
) -> Result<Timer, Report> {
    let (running, over) = channel();
    let clock = Clock { engine: engine.clone(), looks, who: who.to_owned(), guest: gettid(), time };
    let thread = thread::Builder::new().name("timeout".to_owned());
    thread.spawn(move || clock.run(&over, before_end)).map_err(|error| {
        Report::new("the guest's time cannot be measured", error.to_string(), "allow minirt to start a thread")
    })?;
    Ok(Timer { _running: running })
}

struct Clock {
    engine: Engine,
    looks: bool,
    who: String,
    /// The thread that runs the guest.
    guest: Pid,
    time: Duration,
}

impl Clock {
    fn run(&self, over: &Receiver<()>, before_end: impl FnOnce(&Report)) {
        let passed = |time| over.recv_timeout(time) == Err(RecvTimeoutError::Timeout);
        if !passed(self.time) {
            return;
        }
        self.engine.increment_epoch();
        if passed(GRACE) {
            let report = stuck(&self.who, self.time, self.looks, Activity::of(self.guest));
            before_end(&report);
            report.end();
            // Nothing of the guest's output is buffered here. What minirt has buffered is written
            // at an exit.
            std::process::exit(TRAP.into());
        }
    }
}

/// The state of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Activity {
    Running,
    Waiting,
    Unknown,
}

impl Activity {
    /// Reads the state several times, because a running thread can wait for the kernel now and
    /// then.
    fn of(thread: Pid) -> Self {
        let looks: Vec<Self> = (0..5)
            .map(|_| {
                thread::sleep(Duration::from_millis(1));
                fs::read_to_string(format!("/proc/self/task/{thread}/stat"))
                    .map_or(Self::Unknown, |stat| Self::from_stat(&stat))
            })
            .collect();
        *looks.iter().find(|look| **look == Self::Running).unwrap_or(&looks[0])
    }

    /// Reads the state of a thread: the letter after its name, which stands in parentheses and can
    /// hold some itself.
    fn from_stat(stat: &str) -> Self {
        match stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next()) {
            Some('R' | 'D') => Self::Running,
            Some(_) => Self::Waiting,
            None => Self::Unknown,
        }
    }
}

fn stuck(who: &str, time: Duration, looks: bool, activity: Activity) -> Report {
    let doing = match activity {
        Activity::Running if !looks => "its code was compiled without what it takes to stop it",
        Activity::Running => "it was in the middle of one long operation, such as memory.fill or a host function",
        Activity::Waiting => "it was waiting for something outside",
        Activity::Unknown => "it was waiting for something outside, or in the middle of one long operation",
    };
    let because = format!("its time, {time:?}, is up, and {doing}");
    Report::new(format!("{who} was stopped"), because, HELP).with_code(TRAP)
}

/// The help about a guest that needs more time.
pub(crate) const HELP: &str = "give it more time with -W timeout=TIME";

#[cfg(test)]
mod tests {
    use super::Activity;
    use rustix::thread::gettid;
    use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
    use std::sync::mpsc::channel;
    use std::thread;

    #[test]
    fn the_state_follows_the_name_whatever_that_is() {
        assert_eq!(Activity::from_stat("1 (a) S b) R 1 2 3"), Activity::Running);
        assert_eq!(Activity::from_stat("1 (minirt) S 1"), Activity::Waiting);
        assert_eq!(Activity::from_stat("minirt"), Activity::Unknown);
    }

    #[test]
    fn a_thread_that_computes_runs_and_one_that_sleeps_waits() {
        let (over, (tell, told)) = (AtomicBool::new(false), channel());
        let seen = thread::scope(|scope| {
            let (over, busy, idle) = (&over, tell.clone(), tell);
            scope.spawn(move || {
                busy.send(gettid()).unwrap();
                while !over.load(SeqCst) {
                    std::hint::spin_loop();
                }
            });
            let busy = Activity::of(told.recv().unwrap());
            let sleeper = scope.spawn(move || {
                idle.send(gettid()).unwrap();
                while !over.load(SeqCst) {
                    thread::park();
                }
            });
            let idle = Activity::of(told.recv().unwrap());
            over.store(true, SeqCst);
            sleeper.thread().unpark();
            (busy, idle)
        });
        assert_eq!(seen, (Activity::Running, Activity::Waiting));
    }
}
