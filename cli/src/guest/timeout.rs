//! The end of a guest whose time is up.
//!
//! Code sees the engine's epoch, and traps. A guest that waits in a host function (for input, or asleep) sees nothing; so
//! if it has not ended a moment later, the process ends without it.

use crate::output::report::{Report, TRAP};
use minirt::Engine;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// How long a guest has to trap by itself.
const GRACE: Duration = Duration::from_millis(100);

/// A clock that runs until this is dropped.
pub(crate) struct Timer {
    _running: Sender<()>,
}

/// Starts the clock for all code of an engine; `who` is how messages name the guest.
pub(crate) fn start(engine: &Engine, who: &str, time: Duration) -> std::io::Result<Timer> {
    let (running, over) = channel();
    let (engine, who) = (engine.clone(), who.to_owned());
    std::thread::Builder::new().name("timeout".to_owned()).spawn(move || watch(&engine, &who, time, &over))?;
    Ok(Timer { _running: running })
}

fn watch(engine: &Engine, who: &str, time: Duration, over: &Receiver<()>) {
    let passed = |time| over.recv_timeout(time) == Err(RecvTimeoutError::Timeout);
    if !passed(time) {
        return;
    }
    engine.increment_epoch();
    if passed(GRACE) {
        blocked(who, time).end();
        // Nothing of the guest's output is buffered here; what is in buffers of ours is written at an exit.
        std::process::exit(TRAP.into());
    }
}

fn blocked(who: &str, time: Duration) -> Report {
    let because = format!("its time, {time:?}, is up, and it was waiting for something outside");
    Report::new(format!("{who} was stopped"), because, HELP).with_code(TRAP)
}

/// What to do about a guest that needs more time.
pub(crate) const HELP: &str = "give it more time with -W timeout=TIME";
