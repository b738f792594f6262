//! No path leads out of a preopened directory: a grammar of paths against every function that takes
//! one, and a host that changes directories behind the guest's back.

use crate::common::{Random, can_forbid, forbid, number_from_environment};
use crate::program::*;
use minirt::wasi::{FsPerms, WasiCtxBuilder};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Metadata};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// What is not the guest's, and says so in every file.
const SECRET: &str = "secret";

/// A directory for the guest, and beside it what it must not reach.
struct World {
    dir: TempDir,
    /// The tree outside, as it was made.
    outside: BTreeMap<PathBuf, Entry>,
    /// The inodes of all that is outside, up to the root.
    forbidden: BTreeSet<u64>,
}

/// All that can be seen of something in the host's file system, but for when it was looked at.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    inode: u64,
    mode: u32,
    links: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    contents: Vec<u8>,
}

impl Entry {
    fn of(path: &Path, meta: &Metadata) -> Self {
        let contents = if meta.is_file() { fs::read(path).unwrap() } else { Vec::new() };
        Self {
            inode: meta.ino(),
            mode: meta.mode(),
            links: meta.nlink(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
            contents,
        }
    }
}

/// Collects a directory and everything in it.
fn tree(path: &Path, into: &mut BTreeMap<PathBuf, Entry>) {
    let meta = fs::symlink_metadata(path).unwrap();
    into.insert(path.to_owned(), Entry::of(path, &meta));
    if meta.is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| tree(&entry.unwrap().path(), into));
    }
}

impl World {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        fs::create_dir_all(dir.path().join("outside/dir")).unwrap();
        for file in ["outside/file", "outside/dir/file", "outside/x"] {
            fs::write(dir.path().join(file), SECRET).unwrap();
        }
        symlink(SECRET, dir.path().join("outside/soft")).unwrap();
        fs::create_dir(dir.path().join("box")).unwrap();
        let mut world = Self { dir, outside: BTreeMap::new(), forbidden: BTreeSet::new() };
        world.fill();
        tree(&world.outside(), &mut world.outside);
        world.forbidden = world.outside.values().map(|entry| entry.inode).collect();
        let above = world.dir.path().ancestors().map(|above| fs::metadata(above).unwrap().ino());
        world.forbidden.extend(above);
        world
    }

    fn outside(&self) -> PathBuf {
        self.dir.path().join("outside")
    }

    fn inside(&self) -> PathBuf {
        self.dir.path().join("box")
    }

    /// Fills the guest's directory: files, directories, and links that lead everywhere.
    fn fill(&self) {
        let inside = self.inside();
        for entry in fs::read_dir(&inside).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if entry.file_type().unwrap().is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
        }
        fs::create_dir_all(inside.join("dir/deep")).unwrap();
        fs::write(inside.join("file"), "inside").unwrap();
        fs::write(inside.join("dir/file"), "inside").unwrap();
        let outside = self.outside();
        for (name, target) in [
            ("in", Path::new("dir/file")),
            ("out", Path::new("../outside/file")),
            ("out_dir", Path::new("../outside")),
            ("abs", &outside.join("file")),
            ("abs_dir", &outside),
            ("up", Path::new("..")),
            ("dir/up", Path::new("../..")),
            ("root", Path::new("/")),
            ("proc", Path::new("/proc/self/root")),
            ("chain", Path::new("out_dir/dir")),
            ("loop", Path::new("loop")),
            ("dot", Path::new(".")),
        ] {
            symlink(target, inside.join(name)).unwrap();
        }
    }

    /// Nothing outside has changed, and nothing of it has come in.
    fn check(&self, why: &str) {
        let mut now = BTreeMap::new();
        tree(&self.outside(), &mut now);
        assert!(now == self.outside, "{why} changed what is outside: {now:#?}");
        let names: BTreeSet<_> =
            fs::read_dir(self.dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names.len(), 2, "{why} made something outside: {names:?}");
        let mut inside = BTreeMap::new();
        tree(&self.inside(), &mut inside);
        let leaked = inside.iter().find(|(_, entry)| self.forbidden.contains(&entry.inode));
        assert!(leaked.is_none(), "{why} brought in {leaked:?}");
    }
}

/// Names that a path is made of.
const NAMES: [&str; 20] = [
    "", ".", "..", "...", "dir", "deep", "file", "soft", "none", "in", "out", "out_dir", "abs", "abs_dir", "up",
    "root", "proc", "chain", "loop", "dot",
];

/// Returns all paths of up to two names, and some longer ones, with everything that can stand
/// before and after.
fn paths(world: &World) -> Vec<String> {
    let mut middles: Vec<String> = NAMES.iter().map(|name| (*name).to_owned()).collect();
    middles.extend(NAMES.iter().flat_map(|a| NAMES.iter().map(move |b| format!("{a}/{b}"))));
    let mut seed = 7_usize;
    let mut random = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        NAMES[(seed >> 33) % NAMES.len()]
    };
    for length in [3, 4, 5, 8] {
        middles.extend((0..150).map(|_| (0..length).map(|_| random()).collect::<Vec<_>>().join("/")));
    }
    let ends = [("", ""), ("", "/"), ("", "/."), ("/", ""), ("//", "/"), ("./", "/..")];
    let mut all: Vec<String> =
        middles.iter().flat_map(|middle| ends.map(|(before, behind)| format!("{before}{middle}{behind}"))).collect();
    let outside = world.outside().display().to_string();
    all.extend(["/file", "/dir", "/dir/file", "/soft", "/none"].map(|file| format!("{outside}{file}")));
    all.extend(
        ["\u{202e}/..", "dir/\u{7f}/../../outside/file", "..\\outside", "~", "dir/..\n/file"].map(str::to_owned),
    );
    all.push("../".repeat(1300) + "etc/passwd");
    all.push("dir/../".repeat(500) + "../outside/file");
    all.sort();
    all.dedup();
    all
}

/// Whatever a path opens is looked at: it must be nothing that is outside.
fn open_and_look(p: &mut Program, world: &World, path: &str, follow: i32, oflags: i32, rights: i64) {
    let Ok(fd) = p.open_as(3, path, follow, oflags, rights, 0) else { return };
    let why = format!("opening {path:?} with {oflags}");
    assert_eq!(p.call("fd_filestat_get", &[fd.into(), OUT.into()]), 0, "{why}");
    assert!(!world.forbidden.contains(&p.u64(OUT + 8)), "{why} gave what is outside");
    if let Ok(contents) = p.read(fd, 100) {
        assert!(!contents.starts_with(SECRET.as_bytes()), "{why} gave a secret");
    }
    // From there, the way out is as closed.
    for path in ["..", "../..", "../outside/file", "../../outside/file"] {
        if let Ok(inner) = p.open(fd, path, 0, 0) {
            assert_eq!(p.call("fd_filestat_get", &[inner.into(), OUT.into()]), 0, "{why}, then {path}");
            assert!(!world.forbidden.contains(&p.u64(OUT + 8)), "{why}, then {path}, gave what is outside");
            p.close(inner);
        }
    }
    p.close(fd);
}

/// Calls every function with this path, in every place where it takes one.
fn try_everything(p: &mut Program, world: &World, path: &str) {
    for follow in [0, FOLLOW] {
        for (oflags, rights) in
            [(0, READ), (DIRECTORY, DIR), (CREAT, READ_WRITE), (CREAT | TRUNC, READ_WRITE), (CREAT | EXCL, READ_WRITE)]
        {
            open_and_look(p, world, path, follow, oflags, rights);
        }
        if p.stat(path, follow).is_ok() {
            assert!(!world.forbidden.contains(&p.u64(OUT + 8)), "stat of {path:?} told of what is outside");
        }
        p.set_times(path, follow, [1, 1], 5);
        p.link(3, follow, path, 3, "linked");
        p.link(3, follow, "file", 3, path);
    }
    if p.path("path_readlink", 3, path, &[BYTES.into(), 200.into(), OUT.into()]) == 0 {
        assert_ne!(p.bytes(p.u32(OUT)), SECRET.as_bytes(), "{path:?} told where a link outside leads");
    }
    p.path("path_create_directory", 3, path, &[]);
    p.symlink("file", 3, path);
    p.symlink(path, 3, "made");
    p.open(3, "made", CREAT, READ_WRITE).map(|fd| p.close(fd)).ok();
    p.rename(3, path, 3, "renamed");
    p.rename(3, "dir", 3, path);
    p.rename(3, "file", 3, path);
    p.path("path_unlink_file", 3, path, &[]);
    p.path("path_remove_directory", 3, path, &[]);
}

/// Says that these tests run again in a process where `openat2` fails. Then paths are resolved name
/// by name.
const WITHOUT_OPENAT2: &str = "MINIRT_WITHOUT_OPENAT2";

#[test]
fn without_openat2_no_path_and_no_race_leads_out_either() {
    if !can_forbid() {
        return;
    }
    if std::env::var_os(WITHOUT_OPENAT2).is_some() {
        return;
    }
    for test in [
        "no_path_of_a_whole_grammar_leads_out_of_a_directory_with_any_function",
        "no_race_with_a_host_that_swaps_directories_for_links_leads_out",
        "no_random_path_leads_out_while_the_host_swaps_directories_for_links",
    ] {
        let mut again = Command::new(std::env::current_exe().unwrap());
        let name = format!("escape::{test}");
        again.args([name.as_str(), "--exact", "--nocapture", "--test-threads=1"]).env(WITHOUT_OPENAT2, "1");
        let output = again.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && text.contains("1 passed"),
            "{text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

/// In the process where it is to fail, makes it fail. Then so many paths are passed over after
/// each: it takes longer.
fn passed_over() -> usize {
    if std::env::var_os(WITHOUT_OPENAT2).is_none() {
        return 0;
    }
    forbid(libc::SYS_openat2, None, libc::ENOSYS);
    9
}

#[test]
fn no_path_of_a_whole_grammar_leads_out_of_a_directory_with_any_function() {
    let passed_over = passed_over();
    let world = World::new();
    let mut wasi = WasiCtxBuilder::new();
    let mut p = Program::new(wasi.preopened_dir(world.inside(), "/", FsPerms::ReadWrite).unwrap());
    let paths = paths(&world);
    assert!(paths.len() > 5_000, "{} paths", paths.len());
    for path in paths.into_iter().step_by(passed_over + 1) {
        try_everything(&mut p, &world, &path);
        world.check(&format!("{path:?}"));
        world.fill();
    }
    assert_eq!(open_in(world.dir.path()), 1, "something stayed open");
}

/// Does what a guest might do in a directory that is swapped for a link to the outside again and
/// again.
fn try_in_swapped(p: &mut Program, counts: &mut [u32; 2]) {
    if let Ok(fd) = p.open(3, "swapped/x", 0, READ) {
        assert_eq!(p.read(fd, 100).unwrap(), b"inside", "a file outside was read");
        p.close(fd);
        counts[0] += 1;
    } else {
        counts[1] += 1;
    }
    for (name, path) in [("path_create_directory", "swapped/made"), ("path_remove_directory", "swapped/made")] {
        p.path(name, 3, path, &[]);
    }
    if let Ok(fd) = p.open(3, "swapped/new", CREAT | TRUNC, READ_WRITE) {
        p.write(fd, b"written by the guest").unwrap();
        p.close(fd);
    }
    p.rename(3, "swapped/new", 3, "swapped/newer");
    // Out of it and into it, from a place that stays.
    p.rename(3, "swapped/newer", 3, "fixed/moved");
    p.rename(3, "fixed/moved", 3, "swapped/newer");
    p.rename(3, "swapped/x", 3, "fixed/x");
    if let Ok(fd) = p.open(3, "fixed/x", 0, READ) {
        assert_eq!(p.read(fd, 100).unwrap(), b"inside", "a file was moved in from outside");
        p.close(fd);
        p.rename(3, "fixed/x", 3, "swapped/x");
    }
    if p.path("path_readlink", 3, "swapped/soft", &[BYTES.into(), 200.into(), OUT.into()]) == 0 {
        assert_ne!(p.bytes(p.u32(OUT)), SECRET.as_bytes(), "a link outside was read");
    }
    if p.stat("swapped/dir", 0).is_ok() {
        panic!("what only the directory outside has was found");
    }
    p.link(3, 0, "swapped/x", 3, "swapped/linked");
    p.symlink("x", 3, "swapped/soft");
    p.set_times("swapped/x", FOLLOW, [1, 1], 5);
    for path in ["swapped/newer", "swapped/linked", "swapped/soft", "swapped/file"] {
        p.path("path_unlink_file", 3, path, &[]);
    }
    if let Ok(fd) = p.open(3, "swapped", DIRECTORY, DIR) {
        let (entries, _) = p.list(fd, 0x800, 0).unwrap();
        assert!(entries.iter().all(|(name, _)| name != "dir"), "the directory outside was listed: {entries:?}");
        p.close(fd);
    }
}

#[test]
fn no_race_with_a_host_that_swaps_directories_for_links_leads_out() {
    passed_over();
    let world = World::new();
    let (swapped, other) = (world.inside().join("swapped"), world.inside().join("other"));
    fs::create_dir(&swapped).unwrap();
    fs::create_dir(world.inside().join("fixed")).unwrap();
    fs::write(swapped.join("x"), "inside").unwrap();
    symlink(world.outside(), &other).unwrap();
    let mut wasi = WasiCtxBuilder::new();
    let mut p = Program::new(wasi.preopened_dir(world.inside(), "/", FsPerms::ReadWrite).unwrap());
    let (over, mut counts) = (AtomicBool::new(false), [0; 2]);
    std::thread::scope(|scope| {
        let swaps = scope.spawn(|| {
            let mut swaps = 0_u32;
            while !over.load(Relaxed) {
                renameat_with(CWD, &swapped, CWD, &other, RenameFlags::EXCHANGE).unwrap();
                swaps += 1;
            }
            swaps
        });
        let until = Instant::now() + Duration::from_secs(2);
        // So that a failure ends the other thread, too.
        let tried = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            while Instant::now() < until {
                try_in_swapped(&mut p, &mut counts);
            }
        }));
        over.store(true, Relaxed);
        assert!(swaps.join().unwrap() > 1000);
        tried.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    assert!(counts.iter().all(|count| *count > 10), "{counts:?}: the guest saw one of both only");
    world.check("a race");
}

/// Paths that random names make while the host swaps directories for links, unless `MINIRT_PATHS`
/// says otherwise. `MINIRT_SEED` says which.
const RACING_PATHS: u64 = 1_500;

/// The time between two rounds of swaps: a path takes a few of these.
const PAUSE: Duration = Duration::from_micros(50);

/// Paths between two looks at what is outside.
const BETWEEN_LOOKS: u64 = 100;

#[test]
fn no_random_path_leads_out_while_the_host_swaps_directories_for_links() {
    let count = number_from_environment("MINIRT_PATHS").unwrap_or(RACING_PATHS) / (passed_over() as u64 + 1);
    let mut random = Random(number_from_environment("MINIRT_SEED").unwrap_or(22));
    let world = World::new();
    let mut wasi = WasiCtxBuilder::new();
    let mut p = Program::new(wasi.preopened_dir(world.inside(), "/", FsPerms::ReadWrite).unwrap());
    // The host swaps while nobody looks at the tree.
    let (over, looking) = (AtomicBool::new(false), Mutex::new(()));
    std::thread::scope(|scope| {
        let swaps = scope.spawn(|| {
            let mut swaps = 0_u64;
            while !over.load(Relaxed) {
                let not_now = looking.lock().unwrap_or_else(PoisonError::into_inner);
                for (directory, link) in [("dir", "out_dir"), ("dir/deep", "up"), ("dir", "abs_dir")].repeat(5) {
                    let [one, other] = [directory, link].map(|name| world.inside().join(name));
                    // The guest may have taken one of them away.
                    swaps += u64::from(renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).is_ok());
                }
                drop(not_now);
                // Without a pause, both threads would wait for each other's locks on directories
                // most of the time.
                std::thread::sleep(PAUSE);
            }
            swaps
        });
        let tried = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for done in 1..=count {
                let names: Vec<&str> = (0..1 + random.below(5)).map(|_| *random.pick(&NAMES)).collect();
                let [before, behind] = [["", "/", "./"][random.below(3)], ["", "/", "/.", "/.."][random.below(4)]];
                try_everything(&mut p, &world, &format!("{before}{}{behind}", names.join("/")));
                if done % BETWEEN_LOOKS == 0 || done == count {
                    let _look = looking.lock().unwrap_or_else(PoisonError::into_inner);
                    world.check(&format!("one of the paths up to {done}"));
                    world.fill();
                }
            }
        }));
        over.store(true, Relaxed);
        let swaps = swaps.join().unwrap();
        println!("{count} paths, {swaps} swaps");
        tried.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        assert!(swaps > count / 100, "{swaps} swaps");
    });
    assert_eq!(open_in(world.dir.path()), 1, "something stayed open");
}
