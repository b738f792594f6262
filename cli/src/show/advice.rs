//! Finds out what a module's image lacks, why, and what would help: measured where it can be.

use super::costs::{pages_of, times, us};
use super::life::Subject;
use super::writers::Writers;
use crate::options::args::ShowArgs;
use crate::output::printable;
use minirt::{ExternType, ImageInfo, Module};
use std::fmt;
use std::time::Duration;

/// The names of functions that get a module ready, as toolchains export them. Others are found by
/// being called before the last call.
const INITIALIZERS: [&str; 5] =
    ["_initialize", "__wasm_call_ctors", "wizer-initialize", "wizer.initialize", "initialize"];

/// Something that would make instances cheaper.
#[derive(Clone, Debug)]
pub(crate) struct Advice {
    pub(crate) text: String,
    /// The time of a life now, and with it.
    pub(crate) gain: Option<(Duration, Duration)>,
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        self.gain.map_or(Ok(()), |(now, then)| write!(f, " (measured: {} a run instead of {})", us(then), us(now)))
    }
}

/// Returns what could not be in the image, and why.
pub(crate) fn missing(info: &ImageInfo) -> Vec<String> {
    let steps = info.remaining.iter().map(|step| format!("{}: {}", step.what, step.why));
    info.copied.iter().map(|why| format!("the image as a whole is copied into each slot: {why}")).chain(steps).collect()
}

/// Returns what would help. With `measured`, how much is measured.
pub(crate) fn advice(args: &ShowArgs, subject: &Subject<'_>, writers: &Writers, measured: bool) -> Vec<Advice> {
    let (info, file) = (subject.module.image_info(), printable::word(&printable::path(args.guest.file())));
    let mut all = Vec::new();
    if subject.module.is_snapshot() {
        return all;
    }
    let gain = |init: Option<&str>| if measured { gain(args, subject, init) } else { None };
    if !info.remaining.is_empty() {
        let text = format!(
            "each instance repeats {}: `Instance::snapshot` after instantiation would have the results in the image",
            if info.remaining.len() == 1 { "1 step".to_owned() } else { format!("{} steps", info.remaining.len()) }
        );
        all.push(Advice { text, gain: gain(None) });
    }
    for name in initializers(subject) {
        let shown = printable::name(name);
        let during = writers.list.iter().filter(|writer| writer.during == shown || writer.name == shown);
        let pages: u64 = during.map(|writer| writer.pages).sum();
        if pages > 0 {
            let pages = pages_of(pages);
            let text = format!(
                "`{shown}` writes {pages} in each run: `minirt snapshot --init {} -o OUT {file}` would move them into the image",
                printable::word(&shown)
            );
            all.push(Advice { text, gain: gain(Some(name)) });
        }
    }
    let grown = writers.grown_memory;
    if grown > 0 {
        let text = format!(
            "in grown memory, {} written: a larger minimum (`--initial-memory` of wasm-ld) would save \
             the system calls that grow it and undo that",
            if grown == 1 { "1 page is".to_owned() } else { format!("{grown} pages are") }
        );
        all.push(Advice { text, gain: None });
    }
    // What was measured and does not help is no advice.
    all.retain(|advice| advice.gain.is_none_or(|(now, then)| then < now));
    all
}

/// Returns the functions that could be called before a snapshot, each once: what is called before
/// the last call, and what has a usual name.
fn initializers<'a>(subject: &'a Subject<'_>) -> Vec<&'a str> {
    let calls: Vec<&str> = subject.calls().collect();
    let before = calls.split_last().map_or(&[][..], |(_, before)| before);
    let mut names: Vec<&str> = Vec::new();
    for name in before.iter().copied().chain(INITIALIZERS) {
        if !names.contains(&name) && is_initializer(&subject.module, name) {
            names.push(name);
        }
    }
    names
}

fn is_initializer(module: &Module, name: &str) -> bool {
    matches!(module.get_export(name), Some(ExternType::Func(ty)) if ty.params().is_empty() && ty.results().is_empty())
}

/// Measures the life of instances of the module, and of a snapshot that was taken after `init`.
/// `None` if there can be no snapshot.
fn gain(args: &ShowArgs, subject: &Subject<'_>, init: Option<&str>) -> Option<(Duration, Duration)> {
    let mut store = subject.store().ok()?;
    let instance = subject.instantiate(&mut store).ok()?;
    if let Some(init) = init {
        instance.get_typed_func::<(), ()>(&store, init).ok()?.call(&mut store, ()).ok()?;
    }
    let snapshot = instance.snapshot(&mut store).ok()?;
    drop(store);
    let frozen = Subject::of(args, subject.engine.clone(), snapshot.module().clone(), subject.preloads.clone())
        .ok()?
        .without(init);
    let [(_, now), (_, then)] = times(&[subject, &frozen]).ok()?[..] else { return None };
    Some((now, then))
}
