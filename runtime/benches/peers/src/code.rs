//! Programs from beginning to end: how fast their code is, how long it takes to compile, how large
//! it is.

use crate::machines::{on_minirt, on_wasmtime};
use crate::race::{Pace, pin, processors};
use crate::report::{Sheet, nothing, ratio, short};
use crate::world::{Machine, Runs, process_time};
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Programs of `examples/guests`, with their arguments.
const GUESTS: [(&str, &[&str]); 9] = [
    ("kernels", &["sieve", "8000000"]),
    ("kernels", &["matrix", "400"]),
    ("kernels", &["collatz", "1000000"]),
    ("kernels", &["sort", "2000000"]),
    ("kernels", &["tree", "19"]),
    ("kernels", &["mandel", "700"]),
    ("nbody", &["500", "200"]),
    ("sha256sum", &["--bench", "64"]),
    ("vectors", &["400000", "20"]),
];

/// A program that ends before this says little about its code.
const SHORTEST: Duration = Duration::from_millis(50);
/// A program is not run again when all its runs together have taken this long.
const LONG: Duration = Duration::from_secs(20);

struct Program {
    name: String,
    wasm: Vec<u8>,
    arguments: &'static [&'static str],
    /// The source, where the program can be compiled natively.
    source: Option<PathBuf>,
}

/// The figures of a program: minirt's, then wasmtime's.
struct Figures {
    name: String,
    run: [Duration; 2],
    native: Option<Duration>,
    compile: [Duration; 2],
    compile_work: [Duration; 2],
    code: [usize; 2],
}

pub(crate) fn measure(folder: Option<&Path>, pace: &Pace) -> Result<()> {
    // What is compiled may use all processors, and code runs on one.
    let all: Vec<Figures> = programs(folder)?.iter().map(|program| figures(program, pace)).collect::<Result<_>>()?;
    println!("Time that the thread computes from `_start` to its end, in ms: precompiled, medians, taking turns.");
    println!("Native is `cc -O2` without vectorisation, with the start of its process.\n");
    println!("{}", speeds(&all));
    println!("Compiling: wall time and time of all threads in ms, and the bytes of machine code in KiB.\n");
    println!("{}", sizes(&all));
    summary(&all);
    Ok(())
}

/// Returns the guests, and the programs in a folder.
fn programs(folder: Option<&Path>) -> Result<Vec<Program>> {
    let guests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../examples/guests");
    let mut programs = Vec::new();
    for (guest, arguments) in GUESTS {
        let wasm =
            std::fs::read(guests.join(guest).with_extension("wasm")).with_context(|| format!("guest {guest}"))?;
        let name = [&[guest], &arguments[..arguments.len().min(1)]].concat().join(" ");
        let source = Some(guests.join(guest).with_extension("c"));
        programs.push(Program { name, wasm, arguments, source });
    }
    let Some(folder) = folder else { return Ok(programs) };
    let entries = std::fs::read_dir(folder).with_context(|| format!("could not read `{}`", folder.display()))?;
    let mut paths: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "wasm"));
    paths.sort();
    for path in paths {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        programs.push(Program { name, wasm: std::fs::read(&path)?, arguments: &[], source: None });
    }
    Ok(programs)
}

fn figures(program: &Program, pace: &Pace) -> Result<Figures> {
    let Program { name, wasm, arguments, source } = program;
    eprintln!("  {name}");
    let machines: [Box<dyn Machine>; 2] =
        [Box::new(on_minirt::Compiles::new()?), Box::new(on_wasmtime::Compiles::new()?)];
    let (mut compile, mut compile_work) = ([const { Vec::new() }; 2], [const { Vec::new() }; 2]);
    let mut artifacts: [Option<(usize, Vec<u8>)>; 2] = [None, None];
    for _ in 0..pace.rounds() {
        for (index, machine) in machines.iter().enumerate() {
            let (start, work) = (Instant::now(), process_time());
            artifacts[index] = Some(machine.compile(wasm).with_context(|| name.clone())?);
            compile[index].push(start.elapsed());
            compile_work[index].push(process_time() - work);
        }
    }
    let [Some(ours), Some(theirs)] = artifacts else { unreachable!("there is at least one round") };
    let code = [ours.0, theirs.0];
    // SAFETY: each has come from the same runtime just now.
    let ready = unsafe { [machines[0].load(&ours.1)?, machines[1].load(&theirs.1)?] };
    let run = std::thread::scope(|scope| {
        // On a thread of its own, because it stays on one processor.
        let race = scope.spawn(|| race(&ready, arguments, pace).with_context(|| name.clone()));
        race.join().expect("a panic ends the process")
    });
    let native = source.as_deref().and_then(|source| native(source, arguments, pace));
    Ok(Figures {
        name: name.clone(),
        run: run?,
        native,
        compile: compile.map(median),
        compile_work: compile_work.map(median),
        code,
    })
}

/// Runs a program in turns, and returns the medians.
fn race(ready: &[Box<dyn Runs>; 2], arguments: &[&str], pace: &Pace) -> Result<[Duration; 2]> {
    pin(processors()?[0])?;
    let began = Instant::now();
    let mut times = [const { Vec::new() }; 2];
    let mut written = None;
    while times[0].len() < pace.rounds() && (times[0].len() < 3 || began.elapsed() < LONG) {
        for (program, times) in ready.iter().zip(&mut times) {
            let (time, bytes) = program.run(arguments)?;
            times.push(time);
            let first = *written.get_or_insert(bytes);
            ensure!(first == bytes, "it has written {first} bytes, and then {bytes}");
        }
    }
    Ok(times.map(median))
}

/// Compiles the same source natively, and runs it. `None` without a compiler.
fn native(source: &Path, arguments: &[&str], pace: &Pace) -> Option<Duration> {
    let program = std::env::temp_dir().join(format!("minirt-native-{}", std::process::id()));
    let mut compiler = Command::new("cc");
    compiler.args(["-std=c11", "-O2", "-fno-tree-vectorize", "-D_GNU_SOURCE", "-w", "-o"]).arg(&program);
    let compiled = compiler.arg(source).arg("-lm").stderr(Stdio::null()).status();
    let run = || {
        let before = children_time();
        let status = Command::new(&program).args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).status().ok()?;
        status.success().then(|| children_time() - before)
    };
    let times: Option<Vec<Duration>> = match compiled {
        Ok(status) if status.success() => (0..pace.rounds()).map(|_| run()).collect(),
        _ => None,
    };
    // Best effort: a file that stays behind in the folder for temporary files does no harm.
    let _ = std::fs::remove_file(&program);
    times.map(median)
}

/// Returns the time that this process's children have computed, as far as they have ended.
fn children_time() -> Duration {
    // SAFETY: all zeros are a valid value, and the call writes to nothing else.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage);
        usage
    };
    let time = |time: libc::timeval| Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1000);
    time(usage.ru_utime) + time(usage.ru_stime)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn millis(time: Duration) -> String {
    short(time.as_secs_f64() * 1e3)
}

fn beside<T: Copy>(pair: [T; 2], number: impl Fn(T) -> f64) -> String {
    ratio(number(pair[0]), number(pair[1]))
}

fn speeds(all: &[Figures]) -> Sheet {
    let mut sheet = Sheet::new(&["program"], ["minirt", "wasmtime", "/ wasmtime", "native", "/ native"]);
    for Figures { name, run, native, .. } in all {
        let of_native = native.map_or_else(nothing, |native| beside([run[0], native], |it| it.as_secs_f64()));
        let cells = [millis(run[0]), millis(run[1]), beside(*run, |it| it.as_secs_f64())];
        sheet.row([name.clone()].into_iter().chain(cells).chain([native.map_or_else(nothing, millis), of_native]));
    }
    sheet
}

fn sizes(all: &[Figures]) -> Sheet {
    let columns = ["minirt", "wasmtime", "/", "all threads", "wasmtime", "/", "code", "wasmtime", "/"];
    let mut sheet = Sheet::new(&["program"], columns);
    for Figures { name, compile, compile_work, code, .. } in all {
        let times = [compile, compile_work]
            .into_iter()
            .flat_map(|it| [millis(it[0]), millis(it[1]), beside(*it, |it| it.as_secs_f64())]);
        let code = code.map(|bytes| bytes as f64 / 1024.0);
        let code_cells = [short(code[0]), short(code[1]), beside(code, |it| it)];
        sheet.row([name.clone()].into_iter().chain(times).chain(code_cells));
    }
    sheet
}

/// Prints the figures that goals are set for.
fn summary(all: &[Figures]) {
    let seconds = |pair: [Duration; 2]| pair[0].as_secs_f64() / pair[1].as_secs_f64();
    let long: Vec<&Figures> = all.iter().filter(|it| it.run[1] >= SHORTEST).collect();
    let slowest = long.iter().max_by(|a, b| seconds(a.run).total_cmp(&seconds(b.run)));
    let mut sheet = Sheet::new(&["minirt / wasmtime"], ["figure"]);
    let mut row = |label: String, figure: f64| sheet.row([label, format!("{figure:.3}")]);
    let programs = format!("{} programs over {} ms, geometric mean", long.len(), SHORTEST.as_millis());
    row(programs, geometric_mean(long.iter().map(|it| seconds(it.run))));
    if let Some(slowest) = slowest {
        row(format!("the slowest of them, {}", slowest.name), seconds(slowest.run));
    }
    row("compiling, wall time, geometric mean".to_owned(), geometric_mean(all.iter().map(|it| seconds(it.compile))));
    let work = geometric_mean(all.iter().map(|it| seconds(it.compile_work)));
    row("compiling, all threads, geometric mean".to_owned(), work);
    let code = geometric_mean(all.iter().map(|it| it.code[0] as f64 / it.code[1] as f64));
    row("machine code, geometric mean".to_owned(), code);
    println!("{sheet}");
}

fn geometric_mean(ratios: impl Iterator<Item = f64>) -> f64 {
    let logarithms: Vec<f64> = ratios.map(f64::ln).collect();
    (logarithms.iter().sum::<f64>() / logarithms.len() as f64).exp()
}
