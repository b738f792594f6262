//! Interprets the end of a call that did not return: the guest's exit, a trap, an exception, or an
//! error of the host.

use super::{system, timeout};
use crate::output::printable;
use crate::output::report::{ERROR, Report, TRAP};
use minirt::wasi::I32Exit;
use minirt::{Error, FrameInfo, ThrownException, Trap, WasmBacktrace};

/// The most lines of a backtrace that are shown.
const MOST_FRAMES: usize = 24;

/// The reason why a command stops early.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// The guest exits with this code.
    Exit(u8),
    /// Something went wrong.
    Report(Report),
}

impl From<Report> for Outcome {
    fn from(report: Report) -> Self {
        Self::Report(report)
    }
}

impl Outcome {
    /// Interprets the error of a call into a guest. Messages name the guest `who`.
    pub(crate) fn of(who: &str, error: &Error) -> Self {
        if let Some(exit) = error.downcast_ref::<I32Exit>() {
            // A process has eight bits for it, as for any other program: -1 is 255, and 256 is 0.
            return Self::Exit(exit.0 as u8);
        }
        let trap = error.downcast_ref::<Trap>();
        let (what, code) = match trap {
            Some(_) => (format!("{who} trapped"), TRAP),
            None if error.is::<ThrownException>() => (format!("{who} threw an exception that nothing caught"), TRAP),
            None => (format!("{who} was stopped"), ERROR),
        };
        let backtrace = error.downcast_ref::<WasmBacktrace>();
        let details = backtrace.map_or_else(Vec::new, |backtrace| frames(backtrace.frames()));
        let help = match trap {
            Some(Trap::OutOfFuel) => "give it more with -W fuel=N",
            Some(Trap::Interrupt) => timeout::HELP,
            Some(Trap::GcHeapOutOfMemory) => {
                "it keeps more objects than fit: at most 4 GiB, or what -W max-gc-heap-size=N allows"
            }
            Some(Trap::StackOverflow) => "its recursion is too deep, or give it more with -W max-wasm-stack=BYTES",
            None if let Some(help) = system::help(error) => help,
            _ if details.is_empty() => "none of its functions was running: one of its segments does not fit",
            _ => "the innermost call comes first; numbers are byte offsets in the binary module",
        };
        let because = match trap {
            Some(Trap::Interrupt) => "its time is up".to_owned(),
            _ => reason(error),
        };
        Report::new(what, because, help).with_details(details).with_code(code).into()
    }
}

/// Returns the error without the backtrace, which is its outermost layer.
fn reason(error: &Error) -> String {
    let layers = error.chain().skip(usize::from(error.is::<WasmBacktrace>()));
    layers.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Returns a line for each frame. Equal frames next to each other share one.
fn frames(frames: &[FrameInfo]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut depth = 0;
    for run in frames.chunk_by(same) {
        if lines.len() == MOST_FRAMES {
            lines.push(format!("... and {} more", frames.len() - depth));
            break;
        }
        let times = if run.len() > 1 { format!(" ({} times)", run.len()) } else { String::new() };
        lines.push(format!("{depth:2}: {}{times}", shown(&run[0])));
        depth += run.len();
    }
    lines
}

fn same(a: &FrameInfo, b: &FrameInfo) -> bool {
    let key = |frame: &FrameInfo| (frame.module_name().map(str::to_owned), frame.func_index(), frame.module_offset());
    key(a) == key(b)
}

/// Returns a frame as one line: `0x3a - module!function`.
fn shown(frame: &FrameInfo) -> String {
    let offset = frame.module_offset().map_or_else(String::new, |at| format!("{at:#8x} - "));
    let module = frame.module_name().map_or_else(String::new, |name| format!("{}!", printable::name(name)));
    let function = frame.func_name().map_or_else(|| format!("<wasm function {}>", frame.func_index()), printable::name);
    format!("{offset}{module}{function}")
}
