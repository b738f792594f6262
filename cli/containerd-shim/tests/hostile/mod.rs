//! What images, pods and nodes do to a shim that they should not: nothing gets out, nothing stays,
//! and whoever reads the message knows what to change.

use crate::guests;
use crate::look::{deleted, descriptors, leftovers, nothing_new, preparing, same_as, shims, stopped, task};
use crate::node::image::Parts;
use crate::node::{self, Node, tasks, wait_for};
use crate::{Case, check};
use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub(crate) const CASES: [(&str, Case); 18] = [
    ("layers_that_are_no_modules_are_refused", layers),
    ("an_image_may_say_much_that_is_not_for_minirt", talkative),
    ("what_an_image_says_stays_on_one_line", one_line),
    ("an_initialiser_that_fails_is_told", initialisers),
    ("a_function_that_starts_with_its_module_is_the_guests", start_function),
    ("a_guest_that_sleeps_is_ended_by_a_signal", asleep),
    ("a_mount_that_is_not_there_is_told", missing_mount),
    ("the_files_of_a_node_do_not_lead_to_the_guests_memory", node_mounted),
    ("a_guest_may_do_what_its_user_may", other_user),
    ("limits_that_leave_no_room_are_told", tight_limits),
    ("output_goes_to_a_file", output_file),
    ("what_is_not_there_is_refused_and_harms_nobody", unsupported),
    ("many_containers_of_a_new_image_have_one_artifact_made", made_once),
    ("what_makes_an_artifact_goes_with_its_shim", orphan),
    ("without_room_for_artifacts_guests_run_all_the_same", no_room),
    ("whoever_waits_for_a_container_that_is_never_started_is_told", never_started),
    ("a_shim_keeps_nothing_of_containers_that_are_gone", shim_keeps_nothing),
    ("a_shim_ends_although_somebody_connects_to_it", knocked_at),
];

const WASM: &str = "application/wasm";
const OLD_WASM: &str = "application/vnd.wasm.content.layer.v1+wasm";

fn layers(node: &mut Node) -> Result<()> {
    let module = wat::parse_str(guests::HELLO)?;
    let component = wat::parse_str("(component)")?;
    let half = &module[..module.len() / 2];
    let elf = b"\x7fELF and no module".as_slice();
    type Layers<'l> = &'l [(&'l str, &'l [u8])];
    let cases: [(&str, Layers<'_>, &str); 7] = [
        ("empty-layer", &[(WASM, b"")], "cannot be run: "),
        ("elf-layer", &[(WASM, elf)], "cannot be run: "),
        ("half-layer", &[(WASM, half)], "cannot be run: "),
        ("component-layer", &[(OLD_WASM, &component)], "is a component"),
        ("two-layers", &[(WASM, &module), (OLD_WASM, half)], "the image has 2 layers that are modules"),
        ("archive-layer", &[("application/vnd.oci.image.layer.v1.tar", &module)], ""),
        ("no-layer", &[], ""),
    ];
    for (name, layers, said) in cases {
        let parts = Parts { configuration: b"{}", layers, annotations: json!({}) };
        node.import_parts(name, &parts)?;
        let ended = node.run_layer(name, name, &[])?;
        check!(ended.code != 0 && ended.stderr.contains(said) && ended.stderr.contains("minirt: "), (name, ended));
    }
    Ok(())
}

fn talkative(node: &mut Node) -> Result<()> {
    let module = wat::parse_str(guests::HELLO)?;
    let annotations: serde_json::Map<_, _> =
        (0..100).map(|number| (format!("example.com/{number}"), json!("\n\u{1b}[31m".repeat(number)))).collect();
    // An artifact's configuration need not be one.
    let parts = Parts { configuration: b"\0nothing", layers: &[(WASM, &module)], annotations: annotations.into() };
    node.import_parts("talkative", &parts)?;
    let ended = node.run_layer("talkative", "talkative", &[])?;
    check!(ended.code == 0 && ended.stdout == "hello from a guest\n", ended);
    // What nobody reads to its end.
    let large = vec![b' '; 17 << 20];
    let parts = Parts { configuration: &large, layers: &[(WASM, &module)], annotations: json!({}) };
    node.import_parts("large", &parts)?;
    let ended = node.run_layer("large", "large", &[])?;
    check!(ended.code != 0 && ended.stderr.contains("and may have 16 MiB"), ended);
    Ok(())
}

fn one_line(node: &mut Node) -> Result<()> {
    node.import_text("hello", guests::HELLO, &[])?;
    for entry in ["/no\nsuch\u{1b}[31m.wasm", "/hello.wasm#a\nb"] {
        let ended = node.run(&[], "hello", "lines", &[entry])?;
        let lines: Vec<&str> = ended.stderr.lines().collect();
        // One of the shim, and one of `ctr`.
        check!(ended.code != 0 && lines.len() == 2 && lines[0].contains("\\n"), ended);
        check!(!ended.stderr.contains('\u{1b}'), ended);
    }
    // A pipe holds 64 KiB, and nobody may be reading yet.
    let import = "x".repeat(90_000);
    node.import_text("long", &format!(r#"(module (import "env" "{import}" (func)) (func (export "_start")))"#), &[])?;
    let ended = node.run(&[], "long", "long", &[])?;
    check!(ended.code != 0 && ended.stderr.len() < 10_000 && ended.stderr.contains("xxx..."), ended);
    Ok(())
}

fn initialisers(node: &mut Node) -> Result<()> {
    let cases = [
        ("unreachable", "init", "the initialiser `init` trapped"),
        ("(call $exit (i32.const 3))", "init", "ends the program with exit code 3"),
        ("(drop (call $clock (i32.const 0) (i64.const 1) (i32.const 8)))", "init", "it asks for the time"),
        ("(drop (call $environ (i32.const 0) (i32.const 8)))", "init", "it asks for environment variables"),
        ("(drop (call $preopen (i32.const 3) (i32.const 8)))", "init", "it asks for preopened directories"),
        ("", "no\nbody", "there is no function `no"),
    ];
    for (number, (body, init, said)) in cases.into_iter().enumerate() {
        let name = format!("init-{number}");
        // Without `_start`, so that directories are not asked for again.
        node.import_text(&name, &guests::initialised(body), &["--init", init])?;
        let ended = node.run(&[], &name, &name, &[&format!("/{name}.wasm#init")])?;
        check!(ended.code != 0 && ended.stderr.contains(said), (body, ended));
    }
    Ok(())
}

fn start_function(node: &mut Node) -> Result<()> {
    node.import_text("start-traps", "(module (func $f unreachable) (start $f) (func (export \"_start\")))", &[])?;
    let ended = node.run(&[], "start-traps", "start-traps", &[])?;
    check!(ended.code == 134 && ended.stderr.contains("minirt: the guest trapped: unreachable"), ended);
    let text = "(module (func $f (loop $l (br $l))) (start $f) (func (export \"_start\")))";
    node.import_text("start-loops", text, &[])?;
    ended_by(node, "start-loops", "SIGTERM", 143)
}

fn asleep(node: &mut Node) -> Result<()> {
    node.import_text("sleeps", guests::SLEEPS, &[])?;
    ended_by(node, "sleeps", "SIGINT", 130)?;
    ended_by(node, "sleeps", "SIGKILL", 137)
}

/// Starts a guest, and ends it with a signal.
fn ended_by(node: &Node, image: &str, signal: &str, code: i32) -> Result<()> {
    node.ctr_output(["run", "--detach", "--null-io", "--runtime", node::RUNTIME, image, image])?;
    // Its first instruction is not long after.
    std::thread::sleep(Duration::from_millis(300));
    node.ctr_output(["tasks", "kill", "--signal", signal, image])?;
    stopped(node, image)?;
    check!(deleted(node, image)? == code, signal);
    node.remove(image);
    Ok(())
}

fn missing_mount(node: &mut Node) -> Result<()> {
    node.import_text("hello", guests::HELLO, &[])?;
    let ended =
        node.run(&["--mount", "type=bind,src=/not/there,dst=/data,options=rbind:ro"], "hello", "unbound", &[])?;
    check!(ended.code != 0 && ended.stderr.contains("/not/there cannot be mounted at /data: No such file"), ended);
    let over_proc = "type=bind,src=/tmp,dst=/data/../proc,options=rbind:ro";
    let ended = node.run(&["--mount", over_proc], "hello", "over-proc", &[])?;
    check!(ended.code != 0 && ended.stderr.contains("perhaps for a mount, of those at /data/../proc"), ended);
    Ok(())
}

fn node_mounted(node: &mut Node) -> Result<()> {
    // The whole node, and only its `/proc`. 2: permission denied, 32: no such link is followed.
    for (name, source, path, error) in [
        ("node-mem", "/", "proc/self/mem", 2),
        ("node-root", "/", "proc/self/root/etc/passwd", 32),
        ("proc-mem", "/proc", "self/mem", 2),
        ("proc-maps", "/proc", "self/maps", 2),
    ] {
        node.import_text(name, &guests::open(3, path), &[])?;
        let mount = format!("type=bind,src={source},dst=/a-node,options=rbind:rw");
        let ended = node.run(&["--mount", &mount], name, name, &[])?;
        check!(ended.code == error, (path, ended));
    }
    Ok(())
}

fn other_user(node: &mut Node) -> Result<()> {
    let secret = node.path().join("secret");
    fs::create_dir_all(&secret)?;
    fs::write(secret.join("in"), "secret")?;
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o700))?;
    // `/run` is 3, and `/secret` 4.
    node.import_text("other-user", &guests::open(4, "in"), &["--layer"])?;
    let run = |user: u32| {
        node.run_changed("other-user", "other-user", |spec| {
            spec["process"]["user"] = json!({"uid": user, "gid": user});
            let mount = json!({"destination": "/secret", "type": "bind", "source": secret, "options": ["rbind"]});
            spec["mounts"].as_array_mut().expect("there are mounts").push(mount);
        })
    };
    let (root, other) = (run(0)?, run(1000)?);
    check!(root.code == 0, root);
    // It starts although it may not list the directory, and does not open what is in it (2).
    check!(other.code == 2, other);
    Ok(())
}

fn tight_limits(node: &mut Node) -> Result<()> {
    node.import_text("hello", guests::HELLO, &[])?;
    let ended = node.run(&["--memory-limit", "400000"], "hello", "tight", &[])?;
    check!(ended.code != 0 && ended.stderr.contains("memory"), ended);
    node.import_text("hello-layer", guests::HELLO, &["--layer"])?;
    let ended = node.run_changed("hello-layer", "few", |spec| {
        spec["linux"]["resources"]["pids"] = json!({"limit": 1});
    })?;
    check!(ended.code != 0 && ended.stderr.contains("minirt: "), ended);
    Ok(())
}

fn output_file(node: &mut Node) -> Result<()> {
    node.import_text("hello", guests::HELLO, &[])?;
    node.import_text("trap", guests::TRAP, &[])?;
    let log = node.path().join("output");
    let uri = format!("file://{}", log.display());
    check!(node.run(&["--log-uri", &uri], "hello", "to-file", &[])?.code == 0, uri);
    check!(node.run(&["--log-uri", &uri], "trap", "to-file", &[])?.code == 134, uri);
    let said = fs::read_to_string(&log)?;
    check!(said.starts_with("hello from a guest\nminirt: the guest trapped: unreachable\n"), said);
    let ended = node.run(&["--log-uri", "binary:///bin/true"], "hello", "to-program", &[])?;
    check!(ended.code != 0 && ended.stderr.contains("its output cannot go to binary://"), ended);
    Ok(())
}

fn unsupported(node: &mut Node) -> Result<()> {
    node.import_text("busy", guests::BUSY, &[])?;
    node.ctr_output(["run", "--detach", "--null-io", "--runtime", node::RUNTIME, "busy", "stubborn"])?;
    for (words, said) in [
        (["exec", "--exec-id", "e", "stubborn", "sh"].as_slice(), "Exec is not supported"),
        (&["pause", "stubborn"], "Pause is not supported"),
        (&["checkpoint", "stubborn"], "not"),
        (&["kill", "--signal", "99", "stubborn"], "there is no signal 99"),
    ] {
        let output = node.ctr(["tasks"].iter().chain(words)).output()?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        check!(!output.status.success() && stderr.contains(said), (words, stderr));
    }
    let metrics = node.ctr_output(["tasks", "metrics", "stubborn"])?;
    check!(metrics.contains("memory.usage_in_bytes") && metrics.contains("pids.current"), metrics);
    task(node, "stubborn")?;
    node.remove("stubborn");
    Ok(())
}

fn made_once(node: &mut Node) -> Result<()> {
    node.import_text("slow", guests::SLOW, &["--init", "init"])?;
    let before = node.artifacts()?.len();
    let (mut seen, done) = (BTreeSet::new(), AtomicBool::new(false));
    let node = &*node;
    let run = |number: usize| -> Result<()> {
        let ended = node.run(&[], "slow", &format!("slow-{number}"), &[])?;
        check!(ended.code == 7, ended);
        Ok(())
    };
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| -> Result<()> {
            while !done.load(Ordering::Relaxed) {
                seen.extend(preparing()?);
                std::thread::sleep(Duration::from_millis(10));
            }
            Ok(())
        });
        let workers: Vec<_> = (0..4).map(|number| scope.spawn(move || run(number))).collect();
        let ran = workers.into_iter().try_for_each(|worker| worker.join().expect("it does not panic"));
        done.store(true, Ordering::Relaxed);
        watcher.join().expect("it does not panic")?;
        ran
    })?;
    check!(seen.len() == 1, seen);
    check!(node.artifacts()?.len() == before + 1, before);
    Ok(())
}

fn orphan(node: &mut Node) -> Result<()> {
    let before = leftovers(node)?;
    node.import_text("endless", guests::ENDLESS, &["--init", "init"])?;
    let mut ctr = node.ctr(["run", "--rm", "--runtime", node::RUNTIME, "endless", "endless"]).spawn()?;
    let mut making = vec![];
    wait_for("an artifact to be made", || {
        making = preparing().unwrap_or_default();
        !making.is_empty()
    })?;
    let score = format!("/proc/{}/oom_score_adj", making[0]);
    wait_for("it to be the first to go", || fs::read_to_string(&score).is_ok_and(|score| score.trim() == "1000"))?;
    for shim in shims(node)? {
        kill_process(Pid::from_raw(shim.parse()?).context("a process")?, Signal::KILL)?;
    }
    wait_for("what makes it to be gone", || preparing().is_ok_and(|making| making.is_empty()))?;
    check!(!ctr.wait()?.success(), "ctr");
    node.remove("endless");
    nothing_new(node, &before, |line| !line.starts_with("snapshot "))
}

fn no_room(_: &mut Node) -> Result<()> {
    let node = Node::with_room("12m")?;
    // 24 MiB that are not alike.
    node.import_text("roomy", guests::ROOMY, &["--init", "init"])?;
    for _ in 0..2 {
        let ended = node.run(&[], "roomy", "roomy", &[])?;
        check!(ended.code == 7 && ended.stderr.is_empty(), ended);
    }
    check!(node.artifacts()?.is_empty(), node.artifacts()?);
    let active = node.ctr_output(["content", "active"])?;
    check!(active.lines().count() <= 1, active);
    check!(node.ctr_output(["leases", "ls", "-q"])?.is_empty(), "leases");
    Ok(())
}

fn never_started(node: &mut Node) -> Result<()> {
    in_one_shim(node, |node, annotate| {
        let once = || -> Result<u32> {
            node.create("hello-layer", "unborn", annotate)?;
            tasks::create(node, "unborn")?;
            let ended = tasks::wait(node, "unborn");
            std::thread::sleep(Duration::from_millis(300));
            // The crates know no way from here but to start it or to delete it.
            check!(tasks::kill(node, "unborn", 9).is_err(), "kill");
            tasks::delete(node, "unborn")?;
            node.remove("unborn");
            ended.recv_timeout(Duration::from_secs(20)).context("nobody is told")?
        };
        // containerd closes its connection as soon as the task is deleted, which may be first.
        let seen: Vec<_> = (0..10).map(|_| once()).take_while(|status| !matches!(status, Ok(137))).collect();
        check!(seen.len() < 10, seen);
        Ok(())
    })
}

fn shim_keeps_nothing(node: &mut Node) -> Result<()> {
    in_one_shim(node, |node, annotate| {
        // The one that was started for it.
        let words = |pid: &String| fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let shims: Vec<_> = shims(node)?.into_iter().filter(|pid| words(pid).contains("keeper")).collect();
        check!(shims.len() == 1, shims);
        let run = |times: usize| -> Result<(usize, usize)> {
            for _ in 0..times {
                let ended = node.run_changed("hello-layer", "passes", annotate)?;
                check!(ended.code == 0, ended);
                let refused = node.run_changed("hello-layer", "refused", |spec| {
                    annotate(spec);
                    spec["process"]["args"] = json!(["/hello.wasm#nobody"]);
                })?;
                check!(refused.code != 0, refused);
            }
            let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", shims[0])).unwrap_or_default();
            Ok((descriptors(&shims[0])?, children.split_whitespace().count()))
        };
        let (before, after) = (run(3)?, run(8)?);
        check!(after.0 <= before.0 + 2 && after.1 <= before.1, (before, after));
        Ok(())
    })
}

fn knocked_at(node: &mut Node) -> Result<()> {
    node.import_text("hello", guests::HELLO, &[])?;
    let before = leftovers(node)?;
    let sockets = || -> BTreeSet<PathBuf> {
        let entries = fs::read_dir("/run/containerd/s").into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect()
    };
    let (others, done) = (sockets(), AtomicBool::new(false));
    let knock = || {
        // Where nobody accepts any more, connections wait, 4096 at most.
        let mut knocks = BTreeMap::<PathBuf, usize>::new();
        while !done.load(Ordering::Relaxed) {
            for socket in sockets().difference(&others) {
                let times = knocks.entry(socket.clone()).or_default();
                *times += 1;
                if *times < 4000 {
                    drop(UnixStream::connect(socket));
                }
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    let ran = std::thread::scope(|scope| {
        scope.spawn(knock);
        let ran = (0..20).try_for_each(|number| -> Result<()> {
            let ended = node.run(&[], "hello", &format!("knocked-{number}"), &[])?;
            check!(ended.code == 0, ended);
            Ok(())
        });
        done.store(true, Ordering::Relaxed);
        ran
    });
    ran?;
    same_as(node, &before)
}

/// Runs a test while a guest keeps a shim busy, which other containers get that are annotated so.
fn in_one_shim(node: &Node, test: impl FnOnce(&Node, fn(&mut serde_json::Value)) -> Result<()>) -> Result<()> {
    node.import_text("hello-layer", guests::HELLO, &["--layer"])?;
    node.import_text("sleeps-layer", guests::SLEEPS, &["--layer"])?;
    let annotate: fn(&mut serde_json::Value) = |spec| {
        spec["annotations"]["io.kubernetes.cri.sandbox-id"] = json!("shared");
    };
    node.create("sleeps-layer", "keeper", annotate)?;
    tasks::create(node, "keeper")?;
    let done = test(node, annotate);
    node.remove("keeper");
    done
}
