//! Shows a line on the terminal while something takes long.

use signal_hook::consts::SIGINT;
use signal_hook::flag;
use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// How long something takes before it is shown.
const PATIENCE: Duration = Duration::from_millis(500);
/// How often the line changes, and the longest that Ctrl-C takes meanwhile.
const BEAT: Duration = Duration::from_millis(50);
/// Moves to the start of the line and clears it.
const ERASE: &str = "\r\x1b[K";

/// Does some work. If it takes long, shows `what` on the terminal meanwhile, if there is one.
pub(crate) fn during<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    if dumb || !std::io::stderr().is_terminal() {
        return work();
    }
    let (done, waiting) = channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || show(what, &waiting));
        let result = work();
        drop(done);
        result
    })
}

fn show(what: &str, waiting: &Receiver<()>) {
    let begin = Instant::now();
    let over = |time| !matches!(waiting.recv_timeout(time), Err(RecvTimeoutError::Timeout));
    if over(PATIENCE) {
        return;
    }
    let interrupts = Interrupts::hold();
    loop {
        say(&format!("{ERASE}{what} ({:.1} s)", begin.elapsed().as_secs_f64()));
        let over = over(BEAT);
        if over || interrupts.came() {
            say(ERASE);
            return interrupts.release();
        }
    }
}

fn say(text: &str) {
    // The line is only decoration: an error changes nothing.
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// Delays Ctrl-C while there is a line to be erased first.
struct Interrupts {
    /// Whether Ctrl-C ends the process at once.
    fatal: Arc<AtomicBool>,
    came: Arc<AtomicBool>,
}

impl Interrupts {
    fn hold() -> Self {
        let held = Self { fatal: Arc::default(), came: Arc::default() };
        // Where Ctrl-C cannot be delayed, the line stays on the terminal.
        let _ = flag::register_conditional_default(SIGINT, Arc::clone(&held.fatal));
        let _ = flag::register(SIGINT, Arc::clone(&held.came));
        held
    }

    fn came(&self) -> bool {
        self.came.load(SeqCst)
    }

    /// Lets Ctrl-C end the process at once again, also one that came meanwhile.
    fn release(&self) {
        self.fatal.store(true, SeqCst);
        if self.came() {
            // This returns only if the signal cannot be sent, and then nothing can be done.
            let _ = signal_hook::low_level::emulate_default_handler(SIGINT);
        }
    }
}
