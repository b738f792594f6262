//! Odd things that a container may ask for, and odd times to ask: one clear error each, and nothing
//! is left behind.

use crate::guests;
use crate::look::{deleted, leftovers, same_as, stopped, task};
use crate::node::image::Parts;
use crate::node::{Node, tasks};
use crate::{Case, check};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

pub(crate) const CASES: [(&str, Case); 5] = [
    ("odd_specifications_are_refused_and_leave_nothing", specifications),
    ("an_entry_point_is_looked_for_in_the_image", entry_points),
    ("compiled_code_is_not_taken_from_images", compiled_code),
    ("what_is_asked_twice_or_too_early_harms_nobody", twice),
    ("what_a_crash_left_does_not_keep_a_name", crashed),
];

fn specifications(node: &mut Node) -> Result<()> {
    node.import_text("hello-layer", guests::HELLO, &["--layer"])?;
    node.import_text("hello", guests::HELLO, &[])?;
    let parts = Parts { configuration: b"{}", layers: &[], annotations: json!({}) };
    node.import_parts("nothing", &parts)?;
    let before = leftovers(node)?;
    type Change = fn(&mut Value);
    let cases: [(&str, &str, Change, &str); 11] = [
        ("nothing", "no-args", |spec| spec["process"]["args"] = json!([]), "names a program"),
        ("nothing", "no-word", |spec| spec["process"]["args"] = json!([""]), "names a program"),
        ("hello-layer", "nul", |spec| spec["process"]["args"] = json!(["/a", "b\0c"]), "NUL character in \"b\\0c\""),
        ("hello-layer", "nul-env", |spec| spec["process"]["env"] = json!(["A=\0"]), "NUL character in"),
        ("hello-layer", "relative", |spec| spec["process"]["cwd"] = json!("a/b"), "does not begin with /"),
        ("hello-layer", "cwd", |spec| spec["process"]["cwd"] = json!("/not/there"), "its working directory /not/there"),
        ("hello-layer", "user", |spec| spec["process"]["user"]["uid"] = json!(u32::MAX), "no user and no group"),
        ("hello-layer", "node", |spec| spec["linux"]["namespaces"] = json!([]), "no mount namespace"),
        ("hello-layer", "hook", |spec| spec["hooks"]["prestart"] = json!([{"path": "/bin/false"}]), "failed hooks"),
        ("hello-layer", "quota", |spec| spec["linux"]["resources"]["cpu"] = json!({"quota": 1}), "cfs_quota_us"),
        (
            "hello-layer",
            "filter",
            |spec| spec["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": []}),
            "perhaps for its seccomp profile",
        ),
    ];
    for (image, name, change, said) in cases {
        let ended = node.run_changed(image, name, change)?;
        check!(ended.code != 0 && ended.stderr.contains("minirt: ") && ended.stderr.contains(said), (name, ended));
    }
    same_as(node, &before)?;
    // What is odd and allowed.
    let large: Change = |spec| spec["process"]["env"] = json!([format!("A={}", "x".repeat(3 << 20)), "B"]);
    check!(node.run_changed("hello-layer", "large", large)?.code == 0, "a large environment");
    for name in ["with space", "../up", "/up", &"x".repeat(100)] {
        let ended = node.run(&[], "hello", name, &[])?;
        check!(ended.code != 0 && ended.stderr.contains("identifier"), (name, ended));
    }
    check!(node.run(&[], "hello", "a.b_c-d.0123456789", &[])?.code == 0, "a name with dots");
    same_as(node, &before)
}

fn entry_points(node: &mut Node) -> Result<()> {
    let parts = Parts { configuration: b"{}", layers: &[], annotations: json!({}) };
    node.import_parts("nothing", &parts)?;
    let before = leftovers(node)?;
    let secret = node.path().join("outside.wasm");
    fs::write(&secret, wat::parse_str(guests::HELLO)?)?;
    let up = format!("{}{}", "../".repeat(30), secret.display());
    let cases = [
        ("/up.wasm", "cannot be opened in the image: No such file"),
        ("/absolute.wasm", "cannot be opened in the image: No such file"),
        ("/loop.wasm", "cannot be opened in the image: Too many levels"),
        ("/folder.wasm", "is not a file"),
        ("/missing.wasm", "cannot be opened in the image: No such file"),
        ("/missing", "minirt: the program cannot be started: "),
    ];
    for (path, said) in cases {
        node.create("nothing", "entry", |spec| spec["process"]["args"] = json!([path]))?;
        let mounts = node.ctr_output(["snapshots", "mounts", "/nowhere", "entry"])?;
        let files = mounts.split_whitespace().find(|word| word.ends_with("/fs")).context("the snapshot's folder")?;
        symlink(&up, Path::new(files).join("up.wasm"))?;
        symlink(&secret, Path::new(files).join("absolute.wasm"))?;
        symlink("loop.wasm", Path::new(files).join("loop.wasm"))?;
        fs::create_dir(Path::new(files).join("folder.wasm"))?;
        let output = node.ctr(["tasks", "start", "entry"]).output()?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        node.remove("entry");
        check!(!output.status.success() && stderr.contains(said), (path, stderr));
    }
    same_as(node, &before)
}

fn compiled_code(node: &mut Node) -> Result<()> {
    node.import_text("hello-layer", guests::HELLO, &["--layer"])?;
    check!(node.run_layer("hello-layer", "hello", &[])?.code == 0, "hello");
    let artifact = node.artifacts()?.pop().context("an artifact")?;
    let artifact = fs::read(node.blob(&artifact))?;
    // An object for another processor (64-bit ARM).
    let mut other = b"\x7fELF\x02\x01\x01".to_vec();
    other.resize(4096, 0);
    other[18] = 183;
    for (name, content) in [("own", &artifact), ("other", &other)] {
        let parts = Parts { configuration: b"{}", layers: &[("application/wasm", content)], annotations: json!({}) };
        node.import_parts(name, &parts)?;
        let ended = node.run_layer(name, name, &[])?;
        check!(ended.code != 0 && ended.stderr.contains("compiled code is not taken from images"), (name, ended));
    }
    Ok(())
}

fn twice(node: &mut Node) -> Result<()> {
    node.import_text("sleeps-layer", guests::SLEEPS, &["--layer"])?;
    let before = leftovers(node)?;
    let refused = |done: Result<()>, said: &str| -> Result<()> {
        let error = done.err().map(|error| format!("{error:#}")).unwrap_or_default();
        check!(error.contains(said), (said, error));
        Ok(())
    };
    node.create("sleeps-layer", "twice", |_| ())?;
    refused(tasks::create_on(node, "twice", true), "terminal is not supported")?;
    tasks::create(node, "twice")?;
    refused(tasks::create(node, "twice"), "exists")?;
    refused(node.create("sleeps-layer", "twice", |_| ()), "exists")?;
    tasks::start(node, "twice")?;
    refused(tasks::start(node, "twice"), "invalid state transition")?;
    refused(tasks::delete(node, "twice"), "invalid state transition")?;
    refused(tasks::update(node, "twice"), "not supported")?;
    let resume = node.ctr(["tasks", "resume", "twice"]).output()?;
    check!(!resume.status.success(), resume);
    task(node, "twice")?;
    tasks::kill(node, "twice", 9)?;
    // Whoever is second may still meet it.
    let _ = tasks::kill(node, "twice", 9);
    stopped(node, "twice")?;
    check!(tasks::kill(node, "twice", 9).is_err(), "it is gone");
    check!(deleted(node, "twice")? == 137, "its exit code");
    check!(tasks::delete(node, "twice").is_err(), "it is deleted");
    node.remove("twice");
    same_as(node, &before)
}

fn crashed(node: &mut Node) -> Result<()> {
    node.import_text("exit-3", &guests::exit(3), &[])?;
    node.import_text("sleeps-layer", guests::SLEEPS, &["--layer"])?;
    let before = leftovers(node)?;
    let states = Path::new("/run/containerd/minirt").join(node.namespace());
    let copy = |from: &str, to: &str| -> Result<()> {
        fs::create_dir_all(states.join(to))?;
        for file in fs::read_dir(states.join(from))? {
            let file = file?;
            if file.file_type()?.is_file() {
                fs::copy(file.path(), states.join(to).join(file.file_name()))?;
            }
        }
        Ok(())
    };
    node.create("sleeps-layer", "alive", |_| ())?;
    tasks::create(node, "alive")?;
    copy("alive", "crashed")?;
    node.remove("alive");
    // One that has ended, and one that had only just begun.
    check!(node.run(&[], "exit-3", "crashed", &[])?.code == 3, "after one that ended");
    fs::create_dir_all(states.join("begun"))?;
    check!(node.run(&[], "exit-3", "begun", &[])?.code == 3, "after one that began");
    same_as(node, &before)
}
