//! What the operating system refuses: a guest has what it was given, or the message names the
//! cause.

#![forbid(unsafe_code)]

use std::process::Command;

const TESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests");

/// Recurses as often as it is told: some ten megabytes for 200,000 times.
const RECURSIVE: &str = r#"(module (func $f (export "f") (param i32) (result i32)
    (if (result i32) (local.get 0)
        (then (i32.add (i32.const 1) (call $f (i32.sub (local.get 0) (i32.const 1)))))
        (else (i32.const 0)))))"#;

#[test]
fn a_guest_has_the_stack_that_it_is_given_whatever_the_shell_allows() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("recursive.wat");
    std::fs::write(&file, RECURSIVE).unwrap();
    let run = |limit: &str, options: &str, times: u32| {
        let minirt = env!("CARGO_BIN_EXE_minirt");
        let line = format!("ulimit -s {limit}; exec {minirt} run {options} --invoke f {} {times}", file.display());
        let output = Command::new("sh").args(["-c", &line]).env("MINIRT_CACHE", "off").output().unwrap();
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    for limit in ["256", "512", "8192"] {
        assert_eq!(run(limit, "", 1000).0, "1000\n", "{limit}");
        let (_, said) = run(limit, "", 200_000);
        assert!(said.contains("call stack exhausted") && said.contains("-W max-wasm-stack"), "{said}");
        let given = run(limit, "-W max-wasm-stack=64000000", 200_000);
        assert_eq!(given, ("200000\n".to_owned(), String::new()), "{limit}");
    }
    let (_, said) = run("8192", "-W max-wasm-stack=9000000000000000", 1);
    assert!(said.contains("there cannot be a stack of") && said.contains("help: give the guest less"), "{said}");
}

#[test]
fn what_the_system_refuses_is_named_by_its_cause() {
    let run = |limit: &str| {
        let minirt = env!("CARGO_BIN_EXE_minirt");
        let line = format!("ulimit {limit}; exec {minirt} run guests/hello.wat");
        let mut command = Command::new("sh");
        let output = command.args(["-c", &line]).current_dir(TESTS).env("MINIRT_CACHE", "off").output().unwrap();
        String::from_utf8(output.stderr).unwrap()
    };
    let said = run("-v 4000000");
    assert!(said.contains("address space") && said.contains("ulimit -v") && !said.contains("--preload"), "{said}");
}

/// Denies system calls to this thread and the programs that it starts.
fn deny(calls: &[i64]) {
    use seccompiler::{SeccompAction, SeccompFilter};
    let rules = calls.iter().map(|call| (*call, Vec::new())).collect();
    let denied = SeccompAction::Errno(rustix::io::Errno::PERM.raw_os_error().cast_unsigned());
    let arch = std::env::consts::ARCH.try_into().unwrap();
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, denied, arch).unwrap();
    let program: seccompiler::BpfProgram = filter.try_into().unwrap();
    seccompiler::apply_filter(&program).unwrap();
}

#[test]
fn where_limits_may_not_be_asked_for_guests_run_and_are_kept() {
    let home = tempfile::tempdir().unwrap();
    let run = || {
        std::thread::scope(|scope| {
            let in_thread = scope.spawn(|| {
                deny(&[libc::SYS_prlimit64]);
                let mut command = Command::new(env!("CARGO_BIN_EXE_minirt"));
                let command = command.args(["run", "guests/hello.wat"]).current_dir(TESTS);
                command.env("XDG_CACHE_HOME", home.path()).env_remove("MINIRT_CACHE").output().unwrap()
            });
            in_thread.join().unwrap()
        })
    };
    for _ in 0..2 {
        let output = run();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        assert!(output.status.success() && !output.stdout.is_empty(), "{output:?}");
    }
    let kept = std::fs::read_dir(home.path().join("minirt")).unwrap().count();
    assert_eq!(kept, 1, "the module was compiled once");
}

#[test]
fn a_full_disk_is_not_blamed_on_the_name_of_the_file() {
    let output = Command::new(env!("CARGO_BIN_EXE_minirt"))
        .args(["compile", "guests/hello.wat", "-o", "/dev/full"])
        .current_dir(TESTS)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("cannot be written") && said.contains("help: free some space"), "{said}");
}
