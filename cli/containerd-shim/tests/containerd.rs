//! Guests under a real containerd: what a user sees, and what is left behind.
//!
//! Needs root, containerd and runc. Everything is below a folder of its own, except cgroups, the
//! state of containers and the sockets of shims, which have their places on a node.

mod cri;
mod guests;
mod hostile;
mod look;
mod node;
mod odd;

use anyhow::{Context, Result, ensure};
use libtest_mimic::{Arguments, Failed, Trial};
use look::{cpu_ticks, deleted, is_alive, leftovers, parent, same_as, shims, stopped, task};
use node::{Node, wait_for};
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

pub(crate) type Case = fn(&mut Node) -> Result<()>;

const CASES: [(&str, Case); 23] = [
    ("a_guest_says_hello", hello),
    ("a_guest_has_its_arguments_and_its_environment", arguments_and_environment),
    ("input_comes_and_ends", input),
    ("a_mounted_directory_is_read_and_written", mounted_directory),
    ("a_guest_does_not_see_proc", no_proc),
    ("exit_codes_are_the_guests", exit_codes),
    ("a_trap_is_told_in_the_log", trap),
    ("a_busy_guest_is_ended_by_a_signal", busy),
    ("a_missing_import_is_told_before_the_start", missing_import),
    ("a_component_is_refused_with_a_sentence", component),
    ("a_damaged_module_is_refused", damaged_module),
    ("a_damaged_layer_is_refused", damaged_layer),
    ("a_module_is_compiled_once", compiled_once),
    ("a_damaged_artifact_is_made_again", damaged_artifact),
    ("a_snapshot_is_made_once_and_containers_start_from_it", snapshot),
    ("a_snapshot_with_randomness_is_refused", refused_snapshot),
    ("memory_ends_at_the_limit_of_the_cgroup", out_of_memory),
    ("limits_of_processors_are_the_cgroups", processors),
    ("guests_live_on_when_containerd_is_restarted", restarted),
    ("a_guest_does_not_outlive_its_shim", shim_killed),
    ("installing_on_a_node_twice_changes_nothing", install),
    ("a_pod_has_one_shim_and_its_containers_their_logs", pod),
    ("two_hundred_containers_leave_nothing_behind", nothing_left),
];

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // They share a node, and some look at all of it.
    arguments.test_threads = Some(1);
    let node: Arc<Mutex<Option<Node>>> = Arc::default();
    // The last of all looks for what the others left.
    let (last, others) = CASES.split_last().expect("there are some");
    let cases = others.iter().chain(&hostile::CASES).chain(&odd::CASES).chain([last]);
    let times: Arc<Mutex<Vec<(Duration, &str)>>> = Arc::default();
    let trials = cases.map(|&(name, case)| {
        let (node, times) = (Arc::clone(&node), Arc::clone(&times));
        Trial::test(name, move || {
            let begin = Instant::now();
            let mut node = node.lock().unwrap_or_else(PoisonError::into_inner);
            let node = match &mut *node {
                Some(node) => node,
                none => none.insert(Node::start().map_err(failed)?),
            };
            let done = case(node).map_err(failed);
            times.lock().unwrap_or_else(PoisonError::into_inner).push((begin.elapsed(), name));
            done
        })
    });
    let done = libtest_mimic::run(&arguments, trials.collect());
    drop(node.lock().unwrap_or_else(PoisonError::into_inner).take());
    println!("Seconds of each:");
    for (time, name) in times.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        println!("{:7.1}  {name}", time.as_secs_f64());
    }
    done.exit_code()
}

fn failed(error: anyhow::Error) -> Failed {
    format!("{error:#}").into()
}

/// Fails with everything that is known.
macro_rules! check {
    ($holds:expr, $seen:expr) => {
        ::anyhow::ensure!($holds, "{} does not hold: {:?}", stringify!($holds), $seen)
    };
}
pub(crate) use check;

fn hello(node: &mut Node) -> Result<()> {
    node.import_text("hello", guests::HELLO, &[])?;
    let ended = node.run(&[], "hello", "hello", &[])?;
    check!(ended.code == 0 && ended.stdout == "hello from a guest\n" && ended.stderr.is_empty(), ended);
    node.import_text("hello-layer", guests::HELLO, &["--layer"])?;
    let ended = node.run_layer("hello-layer", "hello-layer", &[])?;
    check!(ended.code == 0 && ended.stdout == "hello from a guest\n", ended);
    Ok(())
}

fn arguments_and_environment(node: &mut Node) -> Result<()> {
    node.import_text("words", &guests::words(), &[])?;
    let ended =
        node.run(&["--env", "COLOUR=dark blue", "--env", "EMPTY="], "words", "words", &["/words.wasm", "a b", ""])?;
    let words: Vec<&str> = ended.stdout.split('\0').collect();
    check!(words[..3] == ["/words.wasm", "a b", ""], words);
    check!(words.contains(&"COLOUR=dark blue") && words.contains(&"EMPTY="), words);
    // Nothing of the shim's own.
    check!(!ended.stdout.contains("TTRPC") && !ended.stdout.contains("RUST_"), words);
    Ok(())
}

fn input(node: &mut Node) -> Result<()> {
    node.import_text("echo", guests::ECHO, &[])?;
    let mut ctr = node.ctr(["run", "--rm", "--runtime", node::RUNTIME, "echo", "echo"]);
    let mut ctr = ctr.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    std::io::Write::write_all(ctr.stdin.as_mut().context("a pipe")?, b"there and back")?;
    drop(ctr.stdin.take());
    let output = ctr.wait_with_output()?;
    check!(output.stdout == b"there and back", String::from_utf8_lossy(&output.stdout));
    Ok(())
}

fn mounted_directory(node: &mut Node) -> Result<()> {
    node.import_text("copy", &guests::copy(), &[])?;
    let data = node.path().join("data");
    fs::create_dir_all(&data)?;
    fs::write(data.join("in"), "from the host")?;
    let mount = |options: &str| format!("type=bind,src={},dst=/data,options=rbind:{options}", data.display());
    let ended = node.run(&["--mount", &mount("rw")], "copy", "copy", &[])?;
    check!(ended.code == 0, ended);
    check!(fs::read_to_string(data.join("out"))? == "from the host", ended);
    fs::remove_file(data.join("out"))?;
    let ended = node.run(&["--mount", &mount("ro")], "copy", "copy", &[])?;
    check!(ended.code != 0 && !data.join("out").exists(), ended);
    Ok(())
}

fn no_proc(node: &mut Node) -> Result<()> {
    // The only directory that is not the kernel's is `/run`. There is no way to `/proc` from there
    // (63: not permitted), and no other directory (8: bad descriptor).
    for (image, dir, path, error) in [
        ("run", 3, ".", 0),
        ("up", 3, "../proc/self/mem", 63),
        ("absolute", 3, "/proc/self/mem", 63),
        ("other", 4, "proc/self/mem", 8),
    ] {
        node.import_text(image, &guests::open(dir, path), &[])?;
        let ended = node.run(&[], image, image, &[])?;
        check!(ended.code == error, (image, ended));
    }
    Ok(())
}

fn exit_codes(node: &mut Node) -> Result<()> {
    for code in [0, 3, 255] {
        let name = format!("exit-{code}");
        node.import_text(&name, &guests::exit(code), &[])?;
        let ended = node.run(&[], &name, &name, &[])?;
        check!(ended.code == code && ended.stderr.is_empty(), ended);
    }
    Ok(())
}

fn trap(node: &mut Node) -> Result<()> {
    node.import_text("trap", guests::TRAP, &[])?;
    let ended = node.run(&[], "trap", "trap", &[])?;
    check!(ended.code == 134, ended);
    check!(ended.stderr.starts_with("minirt: the guest trapped: unreachable\n"), ended);
    check!(ended.stderr.contains("the_deep_one") && ended.stderr.contains("the_caller"), ended);
    Ok(())
}

fn busy(node: &mut Node) -> Result<()> {
    node.import_text("busy", guests::BUSY, &[])?;
    for (signal, code) in [("SIGTERM", 143), ("SIGKILL", 137)] {
        node.ctr_output(["run", "--detach", "--runtime", node::RUNTIME, "busy", "busy"])?;
        let cpu = || -> Result<u64> { cpu_ticks(&task(node, "busy")?) };
        let before = cpu()?;
        wait_for("the guest to be busy", || cpu().is_ok_and(|now| now > before + 5))?;
        node.ctr_output(["tasks", "kill", "--signal", signal, "busy"])?;
        stopped(node, "busy")?;
        check!(deleted(node, "busy")? == code, signal);
        node.remove("busy");
    }
    Ok(())
}

fn missing_import(node: &mut Node) -> Result<()> {
    node.import_text("missing", guests::MISSING, &[])?;
    let ended = node.run(&[], "missing", "missing", &[])?;
    check!(ended.code != 0 && ended.stderr.contains("minirt: /missing.wasm cannot be run: unknown import"), ended);
    check!(ended.stderr.contains("nobody_has_it"), ended);
    Ok(())
}

fn component(node: &mut Node) -> Result<()> {
    node.import_text("component", "(component)", &[])?;
    let ended = node.run(&[], "component", "component", &[])?;
    let sentence = "minirt: /component.wasm is a component, and minirt runs modules: build it for wasm32-wasip1";
    check!(ended.code != 0 && ended.stderr.contains(sentence), ended);
    Ok(())
}

fn damaged_module(node: &mut Node) -> Result<()> {
    let file = node.path().join("half.wasm");
    let whole = wat::parse_str(guests::HELLO)?;
    fs::write(&file, &whole[..whole.len() / 2])?;
    node.import("half", &file, &[])?;
    let ended = node.run(&[], "half", "half", &[])?;
    check!(ended.code != 0 && ended.stderr.contains("minirt: /half.wasm cannot be run: "), ended);
    Ok(())
}

fn damaged_layer(node: &mut Node) -> Result<()> {
    let text = guests::exit(17);
    node.import_text("bitten", &text, &["--layer"])?;
    let digest = digest_of(&wat::parse_str(&text)?);
    let blob = node.blob(&digest);
    let mut bytes = fs::read(&blob)?;
    let last = bytes.len() - 3;
    bytes[last] ^= 1;
    overwrite(&blob, &bytes)?;
    let ended = node.run_layer("bitten", "bitten", &[])?;
    check!(ended.code != 0 && ended.stderr.contains(&format!("the layer {digest} is damaged")), ended);
    node.ctr_output(["images", "rm", "--sync", "bitten"])?;
    Ok(())
}

fn compiled_once(node: &mut Node) -> Result<()> {
    let before = node.artifacts()?;
    node.import_text("once", &guests::exit(21), &["--layer"])?;
    for _ in 0..3 {
        check!(node.run_layer("once", "once", &[])?.code == 21, before);
        check!(node.artifacts()?.len() == before.len() + 1, node.artifacts()?);
    }
    let made = node.artifacts()?.into_iter().find(|digest| !before.contains(digest)).context("an artifact")?;
    check!(node.blob(&made).exists(), made);
    // It goes when its image goes.
    node.ctr_output(["images", "rm", "--sync", "once"])?;
    check!(!node.blob(&made).exists(), made);
    Ok(())
}

fn damaged_artifact(node: &mut Node) -> Result<()> {
    let before = node.artifacts()?;
    node.import_text("heals", &guests::exit(22), &["--layer"])?;
    check!(node.run_layer("heals", "heals", &[])?.code == 22, before);
    let made = node.artifacts()?.into_iter().find(|digest| !before.contains(digest)).context("an artifact")?;
    let whole = fs::read(node.blob(&made))?;
    let mut bytes = whole.clone();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x40;
    overwrite(&node.blob(&made), &bytes)?;
    check!(node.run_layer("heals", "heals", &[])?.code == 22, made);
    check!(fs::read(node.blob(&made))? == whole, made);
    node.ctr_output(["images", "rm", "--sync", "heals"])?;
    Ok(())
}

fn snapshot(node: &mut Node) -> Result<()> {
    // `init` counts, and `_start` exits with the count: 7 from the snapshot, 0 without.
    node.import_text("frozen", guests::COUNTS, &["--init", "init"])?;
    node.import_text("frozen-layer", guests::COUNTS, &["--layer", "--init", "init"])?;
    node.import_text("cold-layer", guests::COUNTS, &["--layer"])?;
    for _ in 0..2 {
        let ended = node.run(&[], "frozen", "frozen", &[])?;
        check!(ended.code == 7, ended);
        let ended = node.run_layer("frozen-layer", "frozen-layer", &[])?;
        check!(ended.code == 7, ended);
        // The same layer in another image is not frozen, unless the container asks for it.
        let ended = node.run_layer("cold-layer", "cold-layer", &[])?;
        check!(ended.code == 0, ended);
        let ended = node.run_layer("cold-layer", "cold-layer", &[("minirt.snapshot.init", "init")])?;
        check!(ended.code == 7, ended);
    }
    Ok(())
}

fn refused_snapshot(node: &mut Node) -> Result<()> {
    node.import_text("random", guests::RANDOM, &["--init", "init"])?;
    let ended = node.run(&[], "random", "random", &[])?;
    check!(ended.code != 0 && ended.stderr.contains("it asks for random bytes (random_get)"), ended);
    node.import_text("allowed", guests::RANDOM, &["--init", "init", "--allow", "random_get"])?;
    check!(node.run(&[], "allowed", "allowed", &[])?.code == 0, "allowed");
    Ok(())
}

fn out_of_memory(node: &mut Node) -> Result<()> {
    const LIMIT: &str = "67108864";
    node.import_text("greedy", guests::GREEDY, &[])?;
    let ended = node.run(&["--memory-limit", LIMIT], "greedy", "greedy", &[])?;
    check!(ended.code == 137, ended);
    check!(ended.stderr.contains("used up the memory of 67108864 bytes"), ended);
    // A guest that asks for more than there can be is told so, and lives.
    node.import_text("modest", guests::MODEST, &[])?;
    let ended = node.run(&["--memory-limit", LIMIT], "modest", "modest", &[])?;
    check!(ended.code == 5, ended);
    Ok(())
}

fn processors(node: &mut Node) -> Result<()> {
    node.import_text("busy", guests::BUSY, &[])?;
    node.ctr_output(["run", "--detach", "--null-io", "--runtime", node::RUNTIME, "--cpus", "0.2", "busy", "slow"])?;
    let cgroups = fs::read_to_string(format!("/proc/{}/cgroup", task(node, "slow")?))?;
    // In the first version of cgroups, and in the second.
    let files = cgroups.lines().flat_map(|line| {
        let path = line.rsplit(':').next().unwrap_or_default();
        [format!("/sys/fs/cgroup/cpu{path}/cpu.cfs_quota_us"), format!("/sys/fs/cgroup{path}/cpu.max")]
    });
    let limits: Vec<String> = files.filter_map(|file| fs::read_to_string(file).ok()).collect();
    check!(limits.iter().any(|limit| limit.starts_with("20000")), (limits, cgroups));
    node.remove("slow");
    Ok(())
}

fn restarted(node: &mut Node) -> Result<()> {
    node.import_text("waits", &guests::waits(), &[])?;
    let data = node.path().join("signals");
    fs::create_dir_all(&data)?;
    let mount = format!("type=bind,src={},dst=/data,options=rbind:rw", data.display());
    let ids = ["waits-1", "waits-2", "waits-3"];
    for id in ids {
        node.ctr_output(["run", "--detach", "--null-io", "--runtime", node::RUNTIME, "--mount", &mount, "waits", id])?;
    }
    node.restart()?;
    for id in ids {
        check!(task(node, id).is_ok(), id);
    }
    fs::write(data.join("go"), "")?;
    for id in ids {
        stopped(node, id)?;
        check!(deleted(node, id)? == 9, id);
        node.remove(id);
    }
    // And the node is as before.
    node.import_text("exit-3", &guests::exit(3), &[])?;
    check!(node.run(&[], "exit-3", "exit-3", &[])?.code == 3, "a new container");
    Ok(())
}

fn shim_killed(node: &mut Node) -> Result<()> {
    node.import_text("busy", guests::BUSY, &[])?;
    let before = leftovers(node)?;
    node.ctr_output(["run", "--detach", "--runtime", node::RUNTIME, "busy", "orphan"])?;
    let guest = task(node, "orphan")?;
    let shim = parent(&guest)?;
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(shim).context("a process")?,
        rustix::process::Signal::KILL,
    )?;
    wait_for("the guest to be ended", || !is_alive(&guest))?;
    node.remove("orphan");
    same_as(node, &before)
}

fn install(node: &mut Node) -> Result<()> {
    let (bin, config) = (node.path().join("node-bin"), node.path().join("node-config.toml"));
    fs::create_dir_all(&bin)?;
    fs::write(&config, "version = 2\n")?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("kubernetes/install.sh");
    let install = || -> Result<String> {
        let shim = env!("CARGO_BIN_EXE_containerd-shim-minirt-v1");
        let mut command = Command::new(&script);
        command.env("SHIM", shim).env("BIN", &bin).env("CONFIG", &config).env("NO_RESTART", "yes");
        let output = command.output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(fs::read_to_string(&config)?)
    };
    let once = install()?;
    check!(install()? == once, once);
    check!(bin.join("containerd-shim-minirt-v1").metadata()?.len() > 0, bin);
    let dump = Command::new("containerd").arg("--config").arg(&config).args(["config", "dump"]).output()?;
    let dump = String::from_utf8(dump.stdout)?;
    check!(dump.contains("runtime_type = \"io.containerd.minirt.v1\""), once);
    check!(dump.matches("minirt.snapshot.*").count() == 2, once);
    // All other pods have their runtime still.
    check!(dump.contains("runtimes.runc]") && dump.contains("runtime_type = \"io.containerd.runc.v2\""), once);
    // containerd 2 has another name for the plugin, and what was before version 2 is not
    // understood.
    fs::write(&config, "version = 3\n")?;
    check!(install()?.contains("[plugins.\"io.containerd.cri.v1.runtime\".containerd.runtimes.minirt]"), config);
    fs::write(&config, "oom_score = -999\n")?;
    let refused = install().err().context("it is changed")?.to_string();
    check!(refused.contains("is not changed"), refused);
    check!(fs::read_to_string(&config)? == "oom_score = -999\n", config);
    Ok(())
}

fn pod(_: &mut Node) -> Result<()> {
    use cri::{ContainerConfig, ContainerMetadata, Image, Kubelet, LinuxContainer, LinuxPod, Namespaces};
    use cri::{PodConfig, PodMetadata, PodSecurity, Resources, Variable};
    let node = Node::for_kubelet()?;
    let pause = node.path().join("pause");
    fs::write(&pause, guests::pause())?;
    node.import("docker.io/library/minirt-pause:1", &pause, &[])?;
    node.import_text("docker.io/library/words:1", &guests::words(), &[])?;
    node.import_text("docker.io/library/counts:1", guests::COUNTS, &[])?;
    node.import_text("docker.io/library/greedy:1", guests::GREEDY, &[])?;
    let before = leftovers(&node)?;
    let mut kubelet = Kubelet::connect(&node.address())?;
    let logs = node.path().join("pod-logs");
    let (name, namespace) = ("pod".to_owned(), "default".to_owned());
    let security = PodSecurity { namespaces: Some(Namespaces { network: 2, pid: 1 }) };
    let pod_config = PodConfig {
        metadata: Some(PodMetadata { name, uid: "1".to_owned(), namespace }),
        log_directory: logs.display().to_string(),
        annotations: [("minirt.snapshot.init".to_owned(), "init".to_owned())].into(),
        linux: Some(LinuxPod { cgroup_parent: "/minirt-test".to_owned(), security_context: Some(security) }),
    };
    let pod = kubelet.run_pod(&pod_config, "minirt")?;
    let container = |name: &str, memory: i64| ContainerConfig {
        metadata: Some(ContainerMetadata { name: name.to_owned() }),
        image: Some(Image { image: format!("docker.io/library/{name}:1") }),
        args: vec![],
        envs: vec![Variable { key: "COLOUR".to_owned(), value: "blue".to_owned() }],
        annotations: Default::default(),
        log_path: format!("{name}.log"),
        linux: Some(LinuxContainer { resources: Some(Resources { memory }) }),
    };
    let mut codes = vec![];
    // The pod's annotation asks for a snapshot, for which two of these have no function.
    let refused = kubelet.run(&pod, &pod_config, container("words", 0));
    let refused = refused.err().map(|error| format!("{error:#}")).unwrap_or_default();
    check!(refused.contains("there is no function `init`"), refused);
    let id = kubelet.run(&pod, &pod_config, container("counts", 0))?;
    wait_for("the guest to end", || kubelet.status(&id).is_ok_and(|status| status.state == 2))?;
    codes.push(kubelet.status(&id)?.exit_code);
    check!(shims(&node)?.len() == 1, shims(&node)?);
    kubelet.remove_pod(&pod)?;
    // Another pod, without.
    let pod_config = PodConfig { annotations: Default::default(), ..pod_config };
    let pod = kubelet.run_pod(&pod_config, "minirt")?;
    for name in ["words", "greedy"] {
        let id = kubelet.run(&pod, &pod_config, container(name, 64 << 20))?;
        wait_for("the guest to end", || kubelet.status(&id).is_ok_and(|status| status.state == 2))?;
        codes.push(kubelet.status(&id)?.exit_code);
    }
    check!(codes == [7, 0, 137], codes);
    let log = |name: &str| fs::read_to_string(logs.join(format!("{name}.log")));
    check!(log("words")?.contains(" stdout ") && log("words")?.contains("COLOUR=blue"), log("words"));
    check!(log("greedy")?.contains(" stderr F minirt: the guest was killed: it used up the memory"), log("greedy"));
    check!(shims(&node)?.len() == 1, shims(&node)?);
    kubelet.remove_pod(&pod)?;
    same_as(&node, &before)
}

fn nothing_left(node: &mut Node) -> Result<()> {
    const CONTAINERS: usize = 200;
    const AT_ONCE: usize = 20;
    node.import_text("hello", guests::HELLO, &[])?;
    check!(node.run(&[], "hello", "warm", &[])?.code == 0, "the first");
    let before = leftovers(node)?;
    let own = node.pid().to_string();
    let descriptors = look::descriptors(&own)?;
    let begin = Instant::now();
    let numbers = Mutex::new(0..CONTAINERS);
    let run = |number: usize| -> Result<()> {
        let ended = node.run(&[], "hello", &format!("many-{number}"), &[])?;
        check!(ended.code == 0 && ended.stdout == "hello from a guest\n", ended);
        Ok(())
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE)
            .map(|_| {
                scope.spawn(|| -> Result<()> {
                    while let Some(number) = { numbers.lock().unwrap_or_else(PoisonError::into_inner).next() } {
                        run(number)?;
                    }
                    Ok(())
                })
            })
            .collect();
        workers.into_iter().try_for_each(|worker| worker.join().map_err(|_| anyhow::anyhow!("a worker panicked"))?)
    })?;
    println!("{CONTAINERS} containers, {AT_ONCE} at a time, in {:.1} s", begin.elapsed().as_secs_f64());
    let begin = Instant::now();
    same_as(node, &before)?;
    let time = begin.elapsed();
    println!("everything was gone {:.1} s later", time.as_secs_f64());
    // No shim outlives its last container by more than ten seconds.
    check!(time < Duration::from_secs(30), time);
    // Connections of clients take a moment.
    std::thread::sleep(Duration::from_secs(1));
    let now = look::descriptors(&own)?;
    check!(now <= descriptors + 5, (descriptors, now));
    Ok(())
}

fn digest_of(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// Changes a file that must not be changed.
fn overwrite(path: &Path, bytes: &[u8]) -> Result<()> {
    // Another file in its place: somebody may have mapped the old one.
    let other = path.with_extension("other");
    fs::write(&other, bytes)?;
    fs::rename(other, path)?;
    Ok(())
}
