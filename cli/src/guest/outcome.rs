//! What the end of a call means when it is not a return: the guest's exit, a trap, or an error of the host.

use super::timeout;
use crate::output::report::{Report, TRAP};
use minirt::wasi::I32Exit;
use minirt::{Error, FrameInfo, Trap, WasmBacktrace};

/// The most lines of a backtrace that are shown.
const MOST_FRAMES: usize = 24;

/// Why there is nothing more to do.
#[derive(Debug)]
pub(crate) enum Stopped {
    /// The guest said so, with this code.
    Exit(u8),
    /// Something went wrong.
    Report(Report),
}

impl From<Report> for Stopped {
    fn from(report: Report) -> Self {
        Self::Report(report)
    }
}

/// What an error of a call into a guest means; `who` is how messages name the guest.
pub(crate) fn stopped(who: &str, error: &Error) -> Stopped {
    if let Some(exit) = error.downcast_ref::<I32Exit>() {
        return exited(exit.0);
    }
    let (what, code) = match error.downcast_ref::<Trap>() {
        Some(_) => (format!("{who} trapped"), TRAP),
        None => (format!("{who} was stopped"), crate::output::report::ERROR),
    };
    let backtrace = error.downcast_ref::<WasmBacktrace>();
    let details = backtrace.map_or_else(Vec::new, |backtrace| frames(backtrace.frames()));
    let help = match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => "give it more with -W fuel=N",
        Some(Trap::Interrupt) => timeout::HELP,
        _ if details.is_empty() => "none of its functions was running: one of its segments does not fit",
        _ => "the innermost call comes first; numbers are byte offsets in the binary module",
    };
    let because = match error.downcast_ref::<Trap>() {
        Some(Trap::Interrupt) => "its time is up".to_owned(),
        _ => reason(error),
    };
    Report::new(what, because, help).with_details(details).with_code(code).into()
}

fn exited(code: i32) -> Stopped {
    // A process has eight bits of it, as for any other program: -1 is 255, and 256 is 0.
    Stopped::Exit(code as u8)
}

/// The error without the backtrace, which is its outermost layer.
fn reason(error: &Error) -> String {
    let layers = error.chain().skip(usize::from(error.is::<WasmBacktrace>()));
    layers.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// A line per frame, where equal frames next to each other share one.
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

/// `0x3a - module!function`
fn shown(frame: &FrameInfo) -> String {
    let offset = frame.module_offset().map_or_else(String::new, |at| format!("{at:#8x} - "));
    let module = frame.module_name().map_or_else(String::new, |name| format!("{name}!"));
    let function = frame.func_name().map_or_else(|| format!("<wasm function {}>", frame.func_index()), str::to_owned);
    format!("{offset}{module}{function}")
}
