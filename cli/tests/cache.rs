//! What becomes of compiled modules that are kept: whatever is wrong with them or with their
//! folder, a module runs.

#![forbid(unsafe_code)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

/// Starts a guest with this folder for caches.
fn start(home: &Path) -> Child {
    let guest = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/guests/hello.wat");
    let mut command = Command::new(env!("CARGO_BIN_EXE_minirt"));
    command.args(["run", guest]);
    with_cache(command, home)
}

fn with_cache(mut command: Command, home: &Path) -> Child {
    command
        .env("XDG_CACHE_HOME", home)
        .env_remove("MINIRT_CACHE")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a shell")
}

fn greets(output: &Output) {
    let said = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.0 == "hello\n" && said.1.is_empty(), "{}: {said:?}", output.status);
}

fn run(home: &Path) {
    greets(&start(home).wait_with_output().unwrap());
}

fn files(home: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(home.join("minirt")) else { return Vec::new() };
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// A folder with the entry of the guest, and what is in that.
fn filled() -> (TempDir, PathBuf, Vec<u8>) {
    let home = tempfile::tempdir().unwrap();
    run(home.path());
    let [entry] = files(home.path()).try_into().expect("one entry");
    let bytes = fs::read(&entry).unwrap();
    (home, entry, bytes)
}

#[test]
fn an_entry_is_private_to_the_user_and_used_again() {
    let (home, entry, _) = filled();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&entry), mode(&home.path().join("minirt"))), (0o600, 0o700));
    let written = fs::metadata(&entry).unwrap();
    run(home.path());
    let still = fs::metadata(&entry).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::ino(&written), std::os::unix::fs::MetadataExt::ino(&still));
}

#[test]
fn a_damaged_entry_is_compiled_again_and_replaced() {
    let (home, entry, good) = filled();
    let flipped = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        bytes
    };
    // All over it: header, metadata, code, the padding after it.
    let mut damages: Vec<Vec<u8>> = (0..good.len()).step_by(good.len() / 40).map(flipped).collect();
    damages.extend([Vec::new(), good[..good.len() / 2].to_vec(), b"\x7fELF and more".to_vec(), vec![0; good.len()]]);
    damages.push(fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/guests/hello.wat")).unwrap());
    for damage in damages {
        fs::write(&entry, &damage).unwrap();
        run(home.path());
        assert_eq!(fs::read(&entry).unwrap(), good, "the entry was not replaced");
    }
}

#[test]
fn an_entry_that_is_something_else_altogether_does_no_harm() {
    let (home, entry, _) = filled();
    fs::remove_file(&entry).unwrap();
    fs::create_dir(&entry).unwrap();
    run(home.path());
    assert_eq!(files(home.path()), [entry], "what could not be put in place was left there");
}

#[test]
fn processes_that_fill_the_same_entry_do_not_disturb_each_other() {
    for _ in 0..5 {
        let home = tempfile::tempdir().unwrap();
        let children: Vec<Child> = (0..8).map(|_| start(home.path())).collect();
        children.into_iter().for_each(|child| greets(&child.wait_with_output().unwrap()));
        assert_eq!(files(home.path()).len(), 1);
        run(home.path());
    }
}

#[test]
fn where_an_entry_does_not_fit_nothing_is_left() {
    let home = tempfile::tempdir().unwrap();
    let guest = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/guests/one.wat");
    // Blocks of 512 bytes: the image of the guest fits, its artifact does not.
    let limited = format!("ulimit -f 8; exec {} run --invoke answer {guest}", env!("CARGO_BIN_EXE_minirt"));
    let mut command = Command::new("sh");
    command.args(["-c", &limited]);
    let output = with_cache(command, home.path()).wait_with_output().unwrap();
    assert!(output.status.success() && output.stdout == b"42\n", "{}", output.status);
    assert!(home.path().join("minirt").is_dir() && files(home.path()).is_empty());
}

#[test]
fn a_folder_that_others_can_write_to_or_reach_by_a_link_is_left_alone() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("minirt");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
    run(home.path());
    assert!(files(home.path()).is_empty());
    let linked = tempfile::tempdir().unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
    std::os::unix::fs::symlink(&folder, linked.path().join("minirt")).unwrap();
    run(linked.path());
    assert!(files(home.path()).is_empty());
}

#[test]
fn a_full_disk_is_no_error() {
    let home = tempfile::tempdir().unwrap();
    let at = home.path().join("small");
    fs::create_dir(&at).unwrap();
    let options = ["-t", "tmpfs", "-o", "size=4k,mode=700", "tmpfs"];
    let mounted = Command::new("mount").args(options).arg(&at).output();
    if !mounted.is_ok_and(|output| output.status.success()) {
        eprintln!("not tested: a small file system cannot be mounted here");
        return;
    }
    let outcome = std::panic::catch_unwind(|| {
        run(&at);
        assert!(files(&at).is_empty());
    });
    assert!(Command::new("umount").arg(&at).status().unwrap().success());
    outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

/// A module whose artifact has some 17 MB, of bytes that differ from those of other seeds.
fn large(folder: &Path, seed: u8) -> PathBuf {
    let file = folder.join(format!("large-{seed}.wasm"));
    let bytes = 17 << 20;
    let leb = |mut number: usize| {
        let mut out = Vec::new();
        while number >= 0x80 {
            out.push(number as u8 | 0x80);
            number >>= 7;
        }
        out.push(number as u8);
        out
    };
    let mut random = u64::from(seed) + 1;
    let data = (0..bytes / 8).flat_map(|_| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random.to_le_bytes()
    });
    let data = data.collect::<Vec<u8>>();
    // A memory of 300 pages, `_start`, and one segment at 0.
    let segment = [&[1, 0, 0x41, 0, 0x0b][..], &leb(data.len()), &data].concat();
    let mut module = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x05\x04\x01\0\xac\x02".to_vec();
    module.extend(b"\x07\x0a\x01\x06_start\0\0\x0a\x04\x01\x02\0\x0b\x0b");
    module.extend(leb(segment.len()));
    module.extend(segment);
    fs::write(&file, module).unwrap();
    file
}

/// Runs a module with so much room for the cache, and returns what it says besides.
fn run_within(home: &Path, size: &str, module: &Path) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_minirt"));
    command.arg("run").arg(module).env("MINIRT_CACHE_SIZE", size);
    let output = with_cache(command, home).wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn the_user_is_told_in_one_line_when_something_large_had_to_go_or_is_compiled_again() {
    let home = tempfile::tempdir().unwrap();
    let modules = tempfile::tempdir().unwrap();
    let (a, b) = (large(modules.path(), 1), large(modules.path(), 2));
    let run = |size: &str, module: &Path| run_within(home.path(), size, module);
    assert_eq!(run("30M", &a), "");
    assert_eq!(run("30M", &a), "");
    let evicted = run("30M", &b);
    assert!(evicted.contains("the cache of 30 MiB was full: 1 other large module had to go, 17 MiB"), "{evicted}");
    assert_eq!((evicted.lines().count(), run("30M", &b)), (1, String::new()));
    let again = run("30M", &a);
    assert!(again.contains("large-1.wasm` was compiled again in ") && again.lines().count() == 1, "{again}");
    // One that does not fit at all leaves the others alone.
    let too_large = run("16M", &b);
    assert!(too_large.contains("is not kept in the cache") && too_large.lines().count() == 1, "{too_large}");
    assert_eq!(run("30M", &a), "");
    // With enough room, both stay, and nothing has to be said.
    run("1G", &b);
    assert_eq!((run("1G", &a), run("1G", &b)), (String::new(), String::new()));
}

#[test]
fn what_was_used_last_stays() {
    let home = tempfile::tempdir().unwrap();
    let modules = tempfile::tempdir().unwrap();
    let [a, b, c] = [1, 2, 3].map(|seed| large(modules.path(), seed));
    for (module, age) in [(&a, 50), (&b, 40)] {
        run_within(home.path(), "1G", module);
        let newest = files(home.path()).into_iter().max_by_key(|file| fs::metadata(file).unwrap().modified().unwrap());
        let time = SystemTime::now() - Duration::from_hours(age);
        fs::File::open(newest.unwrap()).unwrap().set_modified(time).unwrap();
    }
    // The older one is used again; so the other one goes.
    assert_eq!(run_within(home.path(), "50M", &a), "");
    run_within(home.path(), "50M", &c);
    assert_eq!(run_within(home.path(), "50M", &a), "");
    assert!(run_within(home.path(), "50M", &b).contains("compiled again"));
}

#[test]
fn processes_that_clear_and_fill_the_cache_at_once_do_not_disturb_each_other() {
    let home = tempfile::tempdir().unwrap();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !over.load(SeqCst) {
                    let mut command = Command::new(env!("CARGO_BIN_EXE_minirt"));
                    command.args(["cache", "clear"]);
                    let output = with_cache(command, home.path()).wait_with_output().unwrap();
                    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
                }
            });
        }
        let fill = || (0..40).for_each(|_| run(home.path()));
        let fillers = [scope.spawn(fill), scope.spawn(fill)];
        let results = fillers.map(std::thread::ScopedJoinHandle::join);
        over.store(true, SeqCst);
        results.into_iter().for_each(|result| result.unwrap());
    });
    // Nothing half-written is left.
    assert!(files(home.path()).iter().all(|file| file.extension().is_some_and(|extension| extension == "cwasm")));
    run(home.path());
}
