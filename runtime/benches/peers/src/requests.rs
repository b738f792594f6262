//! Requests to real guests: each is answered by an instance of its own, which is initialised for
//! it, or starts where another stood after that. Beside it, one instance that answers them all, and
//! the native program, started anew.

use crate::guests::{Exchange, GUESTS, Guest, Native};
use crate::hosts::{HOSTS, host};
use crate::live::Holding;
use crate::options::{COUNT_SERVED, CountServed, Drive, FIRST_REQUEST, FirstRequest};
use crate::race::{Contestant, Pace, pin, processors, race};
use crate::report::{Sheet, micros, nothing, ratio, short};
use crate::service::{Server, Service, Start, check};
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// Instances that live, or have lived, when what they hold is counted.
const HELD: usize = 64;
/// Processes that are started for the first request.
const STARTS: usize = 15;

/// A guest in one host, ready to be loaded from a file.
struct Prepared {
    host: &'static str,
    start: Start,
    path: PathBuf,
}

/// Files that are removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("minirt-requests-{}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn measure(only: Option<&str>, pace: &Pace) -> Result<()> {
    let folder = Folder::new()?;
    let guests = only.map_or(Ok(GUESTS.to_vec()), |name| Guest::named(name).map(|guest| vec![guest]))?;
    for guest in guests {
        eprintln!("  {}", guest.name);
        println!("### {}: {}\n", guest.name, guest.about);
        let prepared = prepare(&guest, &folder.0)?;
        times(&guest, &prepared, &folder.0, pace)?;
        holdings(&guest, &prepared)?;
    }
    Ok(())
}

fn prepare(guest: &Guest, folder: &Path) -> Result<Vec<Prepared>> {
    let mut prepared = Vec::new();
    for name in HOSTS {
        for start in [Start::Module, Start::Frozen] {
            let path = folder.join(format!("{}-{}-{}", guest.name, name.replace(' ', "-"), start.name()));
            let file = host(name, 1000)?.prepare(guest, start);
            let file = file.with_context(|| format!("{name} cannot prepare {} to be {}", guest.name, start.name()))?;
            std::fs::write(&path, file)?;
            prepared.push(Prepared { host: name, start, path });
        }
    }
    Ok(prepared)
}

impl Prepared {
    fn load(&self, live: u32) -> Result<Box<dyn Service>> {
        // SAFETY: this process or its parent has written the file, and nobody changes it.
        unsafe { host(self.host, live)?.load(&self.path, self.start) }
    }
}

/// One row of the table of times.
struct Row<'a> {
    labels: [String; 2],
    server: Server<'a>,
    /// Nanoseconds of each request.
    seen: Vec<u64>,
}

fn times(guest: &Guest, prepared: &[Prepared], folder: &Path, pace: &Pace) -> Result<()> {
    let services = prepared.iter().map(|it| it.load(1000)).collect::<Result<Vec<_>>>()?;
    let native = guest.native(folder);
    let mut rows = Vec::new();
    for (it, service) in prepared.iter().zip(&services) {
        rows.push(Row::new(it.host, it.start.name(), service.fresh()));
        if it.start == Start::Frozen {
            rows.push(Row::new(it.host, "one live instance", service.live()?));
        }
    }
    if let Some(native) = &native {
        rows.push(Row::new("no runtime", "fork and exec", native_server(native)));
    }
    for row in &mut rows {
        check(guest, &mut row.server).with_context(|| row.labels.join(", "))?;
    }
    let exchanges = guest.exchanges();
    // On a thread of its own, because it stays on one processor.
    let sampled = std::thread::scope(|scope| {
        scope.spawn(|| sample(&mut rows, &exchanges, pace)).join().expect("a panic ends the process")
    });
    sampled?;
    let two = on_two_processors(guest, &services, pace)?;
    let floor = rows.iter().find(|row| row.labels == ["minirt", "one live instance"]).map(|row| row.at(0.5));
    let columns = ["p50", "p90", "p99", "p99.9", "/ live", "two threads", "load", "first request"];
    let mut sheet = Sheet::new(&["host", "instances"], columns);
    for row in &rows {
        let of = prepared.iter().position(|it| row.labels == [it.host, it.start.name()]);
        let percentiles = [0.5, 0.9, 0.99, 0.999].map(|share| micros(row.at(share)));
        let to_floor = floor.map_or_else(nothing, |floor| ratio(row.at(0.5), floor));
        let threads =
            of.map_or_else(nothing, |of| two.get(of).map_or_else(nothing, |gain| format!("{}x", short(*gain))));
        let load = of.map(|of| load_time(&prepared[of])).transpose()?.map_or_else(nothing, micros);
        let first = of.map(|of| first_request(guest, &prepared[of])).transpose()?.map_or_else(nothing, micros);
        sheet.row(row.labels.iter().cloned().chain(percentiles).chain([to_floor, threads, load, first]));
    }
    for (it, service) in prepared.iter().zip(&services) {
        if let Some(resets) = service.resets() {
            println!("Resets of {}, {}: {resets}.\n", it.host, it.start.name());
        }
    }
    println!("us for a request, one thread; the gain from a second one; us to load the precompiled guest with a first");
    println!("instance; us from the start of a process that does this to its first answer (medians of {STARTS}).\n");
    println!("{sheet}");
    Ok(())
}

fn native_server(native: &Native) -> Server<'_> {
    Box::new(|request, answer| native.serve(request, answer))
}

impl<'a> Row<'a> {
    fn new(host: &str, instances: &str, server: Server<'a>) -> Self {
        Self { labels: [host.to_owned(), instances.to_owned()], server, seen: Vec::new() }
    }

    /// Returns the nanoseconds that such a share of requests does not exceed.
    fn at(&self, share: f64) -> f64 {
        let last = self.seen.len().saturating_sub(1);
        self.seen.get((last as f64 * share) as usize).map_or(f64::NAN, |nanos| *nanos as f64)
    }
}

/// Lets all rows serve in turns, and sorts what they took.
fn sample(rows: &mut [Row<'_>], exchanges: &[Exchange], pace: &Pace) -> Result<()> {
    let mut answer = Vec::new();
    pin(processors()?[0])?;
    for round in 0..pace.rounds() + 1 {
        for row in &mut *rows {
            let began = Instant::now();
            while began.elapsed() < pace.slice() {
                for exchange in exchanges {
                    let start = Instant::now();
                    (row.server)(exchange.request, &mut answer)?;
                    let nanos = start.elapsed().as_nanos() as u64;
                    // The first round warms up.
                    if round > 0 {
                        row.seen.push(nanos);
                    }
                }
            }
        }
    }
    rows.iter_mut().for_each(|row| row.seen.sort_unstable());
    Ok(())
}

/// Returns how many times the rate of one thread two threads have, for each that was prepared.
fn on_two_processors(guest: &Guest, services: &[Box<dyn Service>], pace: &Pace) -> Result<Vec<f64>> {
    let processors = processors()?;
    let Some(both) = processors.get(..2) else { return Ok(Vec::new()) };
    let exchanges = &guest.exchanges();
    let contestants: Vec<Contestant<'_>> =
        services.iter().map(|service| contestant(service.as_ref(), exchanges)).collect();
    let one = race(&contestants, &both[..1], pace)?;
    let two = race(&contestants, both, pace)?;
    Ok(one.iter().zip(&two).map(|(one, two)| two / one).collect())
}

fn contestant<'a>(service: &'a dyn Service, exchanges: &'a [Exchange]) -> Contestant<'a> {
    Box::new(move || {
        let mut server = service.fresh();
        let mut answer = Vec::new();
        Ok(Box::new(move |times| {
            (0..times).try_for_each(|_| exchanges.iter().try_for_each(|it| server(it.request, &mut answer)))
        }))
    })
}

/// Returns the median of the nanoseconds that it takes to load a guest, and to make its first
/// instance and call.
fn load_time(prepared: &Prepared) -> Result<f64> {
    let mut nanos = Vec::new();
    for _ in 0..STARTS {
        let host = host(prepared.host, 1000)?;
        let start = Instant::now();
        // SAFETY: this process has written the file, and nobody changes it.
        let service = unsafe { host.load(&prepared.path, prepared.start) }?;
        nanos.push(start.elapsed().as_nanos() as f64);
        drop(service);
    }
    nanos.sort_by(f64::total_cmp);
    Ok(nanos[nanos.len() / 2])
}

/// Returns the median of the nanoseconds that a new process needs to load a guest and to answer a
/// request.
fn first_request(guest: &Guest, prepared: &Prepared) -> Result<f64> {
    let mut nanos = Vec::new();
    for _ in 0..STARTS {
        let answer = child(&[
            FIRST_REQUEST,
            guest.name,
            prepared.host,
            prepared.start.name(),
            &prepared.path.to_string_lossy(),
        ])?;
        nanos.push(answer.trim().parse::<f64>()?);
    }
    nanos.sort_by(f64::total_cmp);
    Ok(nanos[nanos.len() / 2])
}

/// Answers a request in a child process, and prints the nanoseconds since `main` began.
pub(crate) fn first_in_this_process(first: &FirstRequest, began: Instant) -> Result<()> {
    let FirstRequest { guest, host: name, start, path } = first;
    let guest = Guest::named(guest)?;
    // SAFETY: the parent has written the file, and nobody changes it.
    let service = unsafe { host(name, 1000)?.load(path, *start) }?;
    let mut answer = Vec::new();
    let exchanges = guest.exchanges();
    (service.fresh())(exchanges[0].request, &mut answer)?;
    println!("{}", began.elapsed().as_nanos());
    ensure!(answer == exchanges[0].answer, "the first answer of {name} is wrong");
    Ok(())
}

/// Answers the requests to a guest again and again, and prints the mean time of one.
pub(crate) fn drive(drive: &Drive) -> Result<()> {
    let Drive { guest, host: name, start, live, times } = drive;
    let (guest, folder) = (Guest::named(guest)?, Folder::new()?);
    let path = folder.0.join("guest");
    std::fs::write(&path, host(name, 1000)?.prepare(&guest, *start)?)?;
    // SAFETY: this process has written the file, and nobody changes it.
    let service = unsafe { host(name, 1000)?.load(&path, *start) }?;
    let mut server = if *live { service.live()? } else { service.fresh() };
    check(&guest, &mut server)?;
    let (exchanges, mut answer) = (guest.exchanges(), Vec::new());
    let began = Instant::now();
    (0..*times).try_for_each(|_| exchanges.iter().try_for_each(|it| server(it.request, &mut answer)))?;
    let requests = *times * exchanges.len() as u64;
    println!("{:.2} us a request", began.elapsed().as_secs_f64() * 1e6 / requests as f64);
    Ok(())
}

fn holdings(guest: &Guest, prepared: &[Prepared]) -> Result<()> {
    let columns = ["live: resident", "its own", "page tables", "idle: resident", "its own", "page tables"];
    let mut sheet = Sheet::new(&["host", "instances"], columns);
    for it in prepared {
        let held = child(&[
            COUNT_SERVED,
            guest.name,
            it.host,
            it.start.name(),
            &it.path.to_string_lossy(),
            &HELD.to_string(),
        ])?;
        let cells: Vec<String> = held.split_whitespace().map(|kib| kib.parse().map(short)).collect::<Result<_, _>>()?;
        sheet.row([it.host.to_owned(), it.start.name().to_owned()].into_iter().chain(cells));
    }
    println!(
        "KiB for each of {HELD} instances that have answered a request, while they live, and after all were dropped."
    );
    println!("Each is counted in a process of its own.\n\n{sheet}");
    Ok(())
}

/// Counts in a child process, and prints KiB for each instance.
pub(crate) fn count_in_this_process(count: &CountServed) -> Result<()> {
    let CountServed { guest, host: name, start, path, instances } = count;
    let guest = Guest::named(guest)?;
    let live = u32::try_from(*instances)? + 2;
    // SAFETY: the parent has written the file, and nobody changes it.
    let service = unsafe { host(name, live)?.load(path, *start) }?;
    let exchanges = guest.exchanges();
    // What only the first instances need is not counted.
    (0..20).try_for_each(|_| service.hold(exchanges[0].request).map(drop))?;
    let before = Holding::of_this_process()?;
    let stores = (0..*instances).map(|_| service.hold(exchanges[0].request)).collect::<Result<Vec<_>>>()?;
    let living = Holding::of_this_process()?;
    drop(stores);
    let idle = Holding::of_this_process()?;
    for after in [living, idle] {
        let each = |of: fn(&Holding) -> f64| (of(&after) - of(&before)) / *instances as f64 / 1024.0;
        print!("{} {} {} ", each(|it| it.resident), each(|it| it.own), each(|it| it.page_tables));
    }
    println!();
    Ok(())
}

fn child(arguments: &[&str]) -> Result<String> {
    let output = Command::new(std::env::current_exe()?).args(arguments).output()?;
    ensure!(output.status.success(), "{}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8(output.stdout)?)
}
