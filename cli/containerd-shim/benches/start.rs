//! How long it takes from `ctr run` to the first output, and how much memory a container takes:
//! `cargo bench`, as root, with containerd, runc, clang, lld and wasi-libc.
//!
//! The same program, `primes.c`, as a native program under runc and as a guest: cold (nothing is
//! compiled), precompiled, and from a snapshot that has to be made first, or is there.

#[path = "../tests/node/mod.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod node;

use anyhow::{Context, Result, ensure};
use node::{Node, wait_for};
use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const RUNC: &str = "io.containerd.runc.v2";
/// How often each start is measured. The median is printed.
const STARTS: usize = 11;
/// How many containers share a node when memory is measured.
const CONTAINERS: [usize; 2] = [1, 20];

/// A way to run the program.
struct Way {
    name: &'static str,
    image: &'static str,
    runtime: &'static str,
    /// Whether the image comes anew each time.
    cold: bool,
}

const WAYS: [Way; 5] = [
    Way { name: "runc, native", image: "native", runtime: RUNC, cold: false },
    Way { name: "minirt, cold", image: "primes", runtime: node::RUNTIME, cold: true },
    Way { name: "minirt, precompiled", image: "primes", runtime: node::RUNTIME, cold: false },
    Way { name: "minirt, snapshot, first", image: "primes-frozen", runtime: node::RUNTIME, cold: true },
    Way { name: "minirt, snapshot", image: "primes-frozen", runtime: node::RUNTIME, cold: false },
];

fn main() -> Result<()> {
    let node = Node::start()?;
    let (native, guest) = (build(&node, &["cc", "-static"], "primes")?, build(&node, WASI, "primes.wasm")?);
    import(&node, "native", &native)?;
    import(&node, "primes", &guest)?;
    import(&node, "primes-frozen", &guest)?;
    let mut times = [const { vec![] }; WAYS.len()];
    // In turns, so that what else the machine does meets all of them.
    for round in 0..=STARTS {
        for (way, times) in WAYS.iter().zip(&mut times) {
            let time = start(&node, way, &guest)?;
            if round > 0 {
                times.push(time);
            }
        }
    }
    println!("| | first output after | of runc's | the fastest |\n|---|--:|--:|--:|");
    let median = |times: &mut Vec<Duration>| {
        times.sort();
        times[times.len() / 2].as_secs_f64() * 1e3
    };
    let medians = times.each_mut().map(median);
    for ((way, time), times) in WAYS.iter().zip(medians).zip(&times) {
        let least = times[0].as_secs_f64() * 1e3;
        println!("| {} | {time:.0} ms | {:.2} | {least:.0} ms |", way.name, time / medians[0]);
    }
    println!("\n| PSS of a container | of 1 | of 20: all processes | its program |\n|---|--:|--:|--:|");
    for way in WAYS.iter().filter(|way| !way.cold) {
        let [one, many] = CONTAINERS.map(|count| memory(&node, way, count));
        let ((one, _), (many, program)) = (one?, many?);
        println!("| {} | {one:.1} MiB | {many:.1} MiB | {program:.1} MiB |", way.name);
    }
    Ok(())
}

const WASI: &[&str] = &["clang", "--target=wasm32-wasi"];

fn build(node: &Node, compiler: &[&str], name: &str) -> Result<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/primes.c");
    let output = node.path().join(name);
    let mut command = Command::new(compiler[0]);
    let built = command.args(&compiler[1..]).arg("-O2").arg("-o").args([&output, &source]).status();
    ensure!(built.with_context(|| format!("there is no {}", compiler[0]))?.success(), "{name} cannot be built");
    Ok(output)
}

fn import(node: &Node, image: &str, file: &Path) -> Result<()> {
    let how: &[&str] = if image == "primes-frozen" { &["--init", "init"] } else { &[] };
    node.import(image, file, how)
}

/// Returns the time from `ctr run` to the first output.
fn start(node: &Node, way: &Way, guest: &Path) -> Result<Duration> {
    if way.cold {
        node.ctr_output(["images", "rm", "--sync", way.image])?;
        import(node, way.image, guest)?;
    }
    let begin = Instant::now();
    let mut ctr = node.ctr(["run", "--rm", "--runtime", way.runtime, way.image, "start"]);
    let mut ctr = ctr.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut output = ctr.stdout.take().context("a pipe")?;
    let mut first = [0];
    let read = output.read(&mut first)?;
    let time = begin.elapsed();
    let mut rest = String::new();
    output.read_to_string(&mut rest)?;
    let done = ctr.wait_with_output()?;
    ensure!(read == 1 && done.status.success(), "{}: {}", way.name, String::from_utf8_lossy(&done.stderr));
    Ok(time)
}

/// Returns the MiB that each of some containers takes: with its shim, and alone.
fn memory(node: &Node, way: &Way, count: usize) -> Result<(f64, f64)> {
    let ids: Vec<String> = (0..count).map(|number| format!("stays-{number}")).collect();
    let program = format!("/{}", if way.image == "native" { "primes" } else { "primes.wasm" });
    for id in &ids {
        node.ctr_output(["run", "-d", "--null-io", "--runtime", way.runtime, way.image, id, &program, "stay"])?;
    }
    let programs = || -> Result<BTreeSet<String>> {
        let tasks = node.ctr_output(["tasks", "ls"])?;
        Ok(tasks.lines().skip(1).filter_map(|line| line.split_whitespace().nth(1)).map(str::to_owned).collect())
    };
    let programs = programs()?;
    ensure!(programs.len() == count, "{} of {count} containers run", programs.len());
    // They are ready when they use no more of the processor.
    let busy =
        || programs.iter().filter_map(|pid| fs::read_to_string(format!("/proc/{pid}/stat")).ok()).collect::<String>();
    let mut last = String::new();
    wait_for("all containers to be ready", || {
        std::thread::sleep(Duration::from_millis(500));
        let now = busy();
        std::mem::replace(&mut last, now) == last
    })?;
    let all: BTreeSet<String> = programs.iter().cloned().chain(shims(node)?).collect();
    let sum = |pids: &BTreeSet<String>| pids.iter().map(|pid| pss(pid)).sum::<f64>() / count as f64;
    let found = (sum(&all), sum(&programs));
    ids.iter().for_each(|id| node.remove(id));
    Ok(found)
}

/// Returns the processes of the node's shims.
fn shims(node: &Node) -> Result<Vec<String>> {
    let address = node.address().display().to_string();
    let processes = fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let is_shim = |pid: &String| {
        let words = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        words.contains("containerd-shim") && words.contains(&address)
    };
    Ok(processes.filter(is_shim).collect())
}

/// Returns a process's share of the memory that it uses, in MiB.
fn pss(pid: &str) -> f64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}
