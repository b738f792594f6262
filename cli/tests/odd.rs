//! Arguments that a transcript cannot hold, and texts too long for one.

#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;
use std::time::{Duration, Instant};

fn minirt() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_minirt"));
    command.env("MINIRT_CACHE", "off").current_dir(TESTS);
    command
}

const TESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests");

#[test]
fn files_directories_variables_and_arguments_can_be_any_bytes() {
    let odd = OsStr::from_bytes(b"\xff\xfe.wat");
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(format!("{TESTS}/guests/args.wat"), folder.path().join(odd)).unwrap();
    std::fs::create_dir(folder.path().join(OsStr::from_bytes(b"\xfd"))).unwrap();
    let output = minirt()
        .current_dir(&folder)
        .env("HOSTS", OsStr::from_bytes(b"\xfc"))
        .args(["run", "--env", "HOSTS", "--env"])
        .arg(OsStr::from_bytes(b"A=\xfb"))
        .arg("--dir")
        .arg(OsStr::from_bytes(b"\xfd::/d"))
        .arg(odd)
        .arg(OsStr::from_bytes(b"\xfa"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.stdout, b"\xff\xfe.wat\n\xfa\nHOSTS=\xfc\nA=\xfb\n");
    // As a preloaded file, and to and from artifacts.
    let compiled = minirt().current_dir(&folder).args(["compile".as_ref(), odd]).output().unwrap();
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    let artifact = OsStr::from_bytes(b"\xff\xfe.cwasm");
    let output = minirt()
        .current_dir(&folder)
        .args(["run".as_ref(), "--allow-precompiled".as_ref(), artifact])
        .output()
        .unwrap();
    assert_eq!(output.stdout, b"\xff\xfe.cwasm\n");
}

#[test]
fn a_file_of_any_name_is_named_in_messages_without_harm_to_a_terminal() {
    let output = minirt().arg("run").arg(OsStr::from_bytes(b"no\xff\x1b[2J\nerror: all is well")).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said.starts_with("error: `no\\xff\\x1b[2J\\nerror: all is well` cannot be read\n"), "{said}");
}

#[test]
fn words_that_have_to_be_utf_8_are_refused_with_a_reason() {
    for args in [[b"--invoke".as_slice(), b"\xff"], [b"-W", b"\xff"], [b"--dir", b"\xff"], [b"--preload", b"\xff=a"]] {
        let mut command = minirt();
        command.arg("run").args(args.iter().map(|arg| OsStr::from_bytes(arg))).arg("guests/args.wat");
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("UTF-8") && said.contains("help:"), "{said}");
    }
    let odd = OsStr::from_bytes(b"\xff");
    let output = minirt().args(["run", "--invoke", "add", "guests/library.wat", "1"]).arg(odd).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("`\\xff` cannot be argument 2 of `add`"), "{said}");
}

/// Writes a module in the text format, and returns where it is.
fn module(folder: &tempfile::TempDir, text: &str) -> std::path::PathBuf {
    let path = folder.path().join("module.wat");
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn long_names_are_shortened_wherever_they_are_printed() {
    let folder = tempfile::tempdir().unwrap();
    // The longest name that a module may have has 100,000 bytes.
    let long = "n".repeat(99_999);
    let text = format!(
        "(module ${long} (import \"{long}\" \"{long}\" (func)) \
         (func ${long} (export \"{long}\") unreachable) (func (export \"_start\") (call ${long})))"
    );
    let file = module(&folder, &text);
    let trap = ["run", "-W", "unknown-imports-trap"];
    for args in [&["run"][..], &trap, &["run", "--invoke", "x"], &["inspect"]] {
        let output = minirt().args(args).arg(&file).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said).unwrap();
        assert!(said.len() < 10_000 && said.contains("nnn..."), "{args:?}: {} bytes", said.len());
    }
    // Arguments are bounded by the system.
    let long = "n".repeat(100_000);
    for args in [["run", &long], ["man", &long], ["run", "-W"], [&long, "x"], ["run", "--color"]] {
        let output = minirt().args(args).arg(&long).output().unwrap();
        assert!(output.stderr.len() < 10_000, "{:.20}: {} bytes", args[0], output.stderr.len());
    }
    for args in [["run", "--x\x1b[2J"], ["completions", "x\x1b[2J"], ["run", "--env=\x1b[2J"], ["man", "\x1b[2J"]] {
        let output = minirt().args(args).output().unwrap();
        assert!(!output.stderr.contains(&0x1b), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn a_name_that_is_not_there_is_looked_for_in_bounded_time() {
    let folder = tempfile::tempdir().unwrap();
    let exports = |names: &mut dyn Iterator<Item = String>| {
        names.map(|name| format!("(func (export \"{name}\"))\n")).collect::<String>()
    };
    let long = exports(&mut (0..20).map(|i| format!("{i}{}", "x".repeat(100_000))));
    let many = exports(&mut (0..50_000).map(|i| format!("name{i:0>90}")));
    let file = module(&folder, &format!("(module {long} {many})"));
    let begin = Instant::now();
    let output = minirt().args(["run", "--invoke", &"x".repeat(100_000)]).arg(&file).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    // To compile it takes a second or two, and to compare two names of 100 KB one by one takes one each.
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
}

#[test]
fn a_hundred_thousand_unknown_imports_are_no_trouble() {
    let folder = tempfile::tempdir().unwrap();
    let imports: String = (0..100_000).map(|i| format!("(import \"m{}\" \"f{i}\" (func))\n", i % 100)).collect();
    let file = module(&folder, &format!("(module {imports} (func (export \"_start\")))"));
    for (options, code) in [
        (&["run"][..], 1),
        (&["run", "-W", "unknown-imports-trap"], 0),
        (&["run", "-W", "unknown-imports-default"], 0),
        (&["inspect"], 0),
    ] {
        let begin = Instant::now();
        let output = minirt().args(options).arg(&file).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{options:?}: {said}");
        assert!(begin.elapsed() < Duration::from_secs(20), "{options:?}: {:?}", begin.elapsed());
    }
}

/// Recurses as often as it is told: some ten megabytes for 200,000 times.
const RECURSIVE: &str = r#"(module (func $f (export "f") (param i32) (result i32)
    (if (result i32) (local.get 0)
        (then (i32.add (i32.const 1) (call $f (i32.sub (local.get 0) (i32.const 1)))))
        (else (i32.const 0)))))"#;

#[test]
fn a_guest_has_the_stack_that_it_is_given_whatever_the_shell_allows() {
    let folder = tempfile::tempdir().unwrap();
    let file = module(&folder, RECURSIVE);
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

#[test]
fn completions_and_manual_pages_know_every_command_and_option() {
    let printed = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_minirt")).args(args).output().unwrap();
        assert!(output.status.success(), "{args:?}");
        String::from_utf8(output.stdout).unwrap().replace("\\-", "-")
    };
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let text = printed(&["completions", shell]);
        for word in ["snapshot", "allow-precompiled", "no-cache", "completions"] {
            assert!(text.contains(word), "{shell}: {word}");
        }
    }
    let all = printed(&["man"]);
    for command in ["run", "compile", "snapshot", "inspect", "bench", "cache", "completions", "man"] {
        assert!(all.contains(&format!("minirt-{command}")), "{command}");
        let page = printed(&["man", command]);
        assert!(page.starts_with(".ie") && page.contains(&format!(".TH minirt-{command} 1")), "{page}");
    }
    assert!(printed(&["man", "run"]).contains("max-memory-size"));
}
