//! Everything that a host does, on two threads at a time, for as long as one likes: compiling,
//! instantiating, trapping, forking, dropping. `MINIRT_LOAD` says for how many seconds,
//! `MINIRT_SEED` with which numbers.

use crate::alone;
use crate::common::{Random, call, call_i32, number_from_environment};
use crate::soak::Process;
use minirt::{Config, Engine, ExternRef, Instance, Module, Store, Trap, Val};
use std::fmt::Write;
use std::sync::RwLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Seconds, unless the environment says otherwise. Less is too little to see a leak.
const SECONDS: u64 = 8;
/// Modules that a thread holds at a time.
const MODULES: usize = 6;
/// Stores that a thread holds at a time.
const STORES: usize = 8;

/// Held while an error is made, and exclusively while a process forks. Where `RUST_BACKTRACE` is
/// set, an error takes a lock of the standard library's, which a child would wait for without end.
static ERRORS: RwLock<()> = RwLock::new(());

/// What has been done, so that it can be said and is not nothing.
#[derive(Debug, Default)]
struct Done {
    compiled: AtomicU64,
    instances: AtomicU64,
    traps: AtomicU64,
    snapshots: AtomicU64,
    objects: AtomicU64,
    forks: AtomicU64,
}

/// A module unlike others: sizes, data, tables and functions differ.
fn random_module(random: &mut Random) -> String {
    let pages = 1 + random.below(20);
    let mut text = format!(
        "(module (memory (export \"m\") {pages} {}) (global $g (mut i32) (i32.const {}))
         (table $t {} 200 funcref) (elem (i32.const 0) $f0)
         (func (export \"trap\") (drop (i32.load (i32.const -8))))
         (func $r (export \"recurse\") (call $r))
         (func (export \"write\") (param $at i32) (param $count i32) (result i32)
           (loop (i32.store8 (local.get $at) (i32.const 204))
             (local.set $at (i32.add (local.get $at) (i32.const 1000)))
             (br_if 0 (local.tee $count (i32.sub (local.get $count) (i32.const 1)))))
           (global.set $g (i32.add (global.get $g) (i32.const 1))) (global.get $g))",
        pages + random.below(9),
        random.below(100),
        1 + random.below(100),
    );
    for number in 0..1 + random.below(12) {
        let _ = write!(text, "(func $f{number} (param i64) (result i64)");
        let _ = write!(text, "(i64.mul (local.get 0) (i64.const {}))", random.next() as i64);
        let _ = write!(text, "(i64.xor (i64.shr_u (local.get 0) (i64.const {}))))", random.below(64));
    }
    if random.percent(50) {
        let _ = write!(text, "{} (i64.const {}))) {OBJECTS}", OBJECT_TYPES, random.next() as i64);
    }
    for _ in 0..random.below(4) {
        let at = random.below(pages * 65_536 - 20);
        let _ = write!(text, "(data (i32.const {at}) \"{:016x}\")", random.next());
    }
    text + ")"
}

/// Types of objects, and a list of one in the image.
const OBJECT_TYPES: &str = "(type $bytes (array (mut i8)))
    (type $node (struct (field $next (mut (ref null $node))) (field $value i64)))
    (global $list (mut (ref null $node)) (struct.new $node (ref.null $node)";

/// Adds to the list, makes objects that nobody needs, and returns the sum of the list. A number of
/// nodes that is too large for the heap ends in a trap.
const OBJECTS: &str = r#"(global $held (mut externref) (ref.null extern))
    (func (export "objects") (param $n i32) (param $held externref) (result i64)
      (local $sum i64) (local $node (ref null $node))
      (global.set $held (local.get $held))
      (loop
        (global.set $list (struct.new $node (global.get $list) (i64.extend_i32_u (local.get $n))))
        (drop (array.new $bytes (i32.const 204) (i32.const 3000)))
        (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
      (local.set $node (global.get $list))
      (loop
        (local.set $sum (i64.add (local.get $sum) (struct.get $node $value (local.get $node))))
        (br_if 0 (i32.eqz (ref.is_null
          (local.tee $node (struct.get $node $next (local.get $node)))))))
      (local.get $sum))"#;

/// Has an instance make objects, if it can, and checks that its list is what it was and they.
fn make_objects(store: &mut Store<()>, it: Instance, nodes: i32) -> bool {
    if it.get_func(&*store, "objects").is_none() {
        return false;
    }
    let mut objects = || {
        let value = ExternRef::new(&mut *store, vec![204_u8; 1000]).unwrap();
        let arguments = [Val::I32(nodes), Val::ExternRef(Some(value))];
        call(store, it, "objects", &arguments).unwrap()[0].unwrap_i64()
    };
    let [first, second] = [objects(), objects()];
    let nodes = i64::from(nodes);
    assert_eq!(second.wrapping_sub(first), nodes * (nodes + 1) / 2);
    true
}

/// A child that uses what its parent has, and ends.
fn fork_and_run(engine: &Engine, module: &Module) {
    let alone = ERRORS.write().unwrap();
    // SAFETY: the child runs instances, and ends in `_exit`.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "{}", std::io::Error::last_os_error());
    if child == 0 {
        let lived = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut store = Store::new(engine, ());
            let it = Instance::new(&mut store, module, &[]).unwrap();
            call_i32(&mut store, it, "write", &[100, 10]).unwrap();
            call(&mut store, it, "trap", &[]).unwrap_err();
        }));
        // SAFETY: it ends the process at once; nothing of the parent's is flushed twice.
        unsafe { libc::_exit(i32::from(lived.is_err())) }
    }
    drop(alone);
    let mut status = 0;
    // SAFETY: the child is this process's own, and `status` outlives the call.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert_eq!(status, 0, "a child failed");
}

/// Calls a function that traps, and returns why.
fn trap(store: &mut Store<()>, instance: Instance, name: &str) -> Option<Trap> {
    let _shared = ERRORS.read().unwrap();
    call(store, instance, name, &[]).unwrap_err().downcast_ref().copied()
}

fn live(engine: &Engine, random: &mut Random, until: Instant, done: &Done) {
    let mut modules: Vec<Module> = Vec::new();
    let mut stores: Vec<(Store<()>, Instance)> = Vec::new();
    let count = |of: &AtomicU64| _ = of.fetch_add(1, Relaxed);
    while Instant::now() < until {
        let usual = random.below(100);
        if modules.is_empty() || usual < 3 {
            if modules.len() == MODULES {
                modules.swap_remove(random.below(MODULES));
            }
            modules.push(Module::new(engine, random_module(random)).unwrap());
            count(&done.compiled);
        }
        let module = random.pick(&modules).clone();
        if stores.len() == STORES {
            stores.swap_remove(random.below(STORES));
        }
        let mut store = Store::new(engine, ());
        let it = Instance::new(&mut store, &module, &[]).unwrap();
        count(&done.instances);
        let [at, times] = [random.below(20_000) as i32, 1 + random.below(40) as i32];
        let first = call_i32(&mut store, it, "write", &[at, times]);
        match usual {
            3..20 => {
                assert_eq!(trap(&mut store, it, "trap"), Some(Trap::MemoryOutOfBounds));
                count(&done.traps);
            }
            20..22 => {
                assert_eq!(trap(&mut store, it, "recurse"), Some(Trap::StackOverflow));
                count(&done.traps);
            }
            22..26 => {
                let memory = it.get_memory(&store, "m").unwrap();
                let _ = memory.grow(&mut store, 1 + random.below(4) as u64);
                memory.data_mut(&mut store).fill(0xcc);
            }
            26..30 => {
                it.reset(&mut store).unwrap();
                let again = call_i32(&mut store, it, "write", &[at, times]);
                assert_eq!(first.as_ref().ok(), again.as_ref().ok(), "an instance that was reset");
            }
            30..32 => {
                let snapshot = it.snapshot(&mut store).unwrap();
                if modules.len() < MODULES {
                    modules.push(snapshot.module().clone());
                }
                count(&done.snapshots);
            }
            32 if random.percent(10) => {
                fork_and_run(engine, &module);
                count(&done.forks);
            }
            33..50 => {
                if make_objects(&mut store, it, 1 + random.below(500) as i32) {
                    count(&done.objects);
                }
                if random.percent(20) {
                    store.gc();
                }
            }
            _ => {
                let table = it.get_export(&store, "t");
                assert!(table.is_none());
                let results = call(&mut store, it, "write", &[Val::I32(at), Val::I32(1)]).unwrap();
                assert_eq!(results.len(), 1);
            }
        }
        if random.percent(20) {
            stores.push((store, it));
        }
    }
}

#[test]
fn a_mixed_load_on_two_threads_takes_no_more_in_the_end_than_in_the_beginning() {
    let _alone = alone();
    let seconds = number_from_environment("MINIRT_LOAD").unwrap_or(SECONDS);
    let seed = number_from_environment("MINIRT_SEED").unwrap_or(22);
    // Few slots that may keep little, so that what they hold in memory settles soon.
    let engine = Engine::new(Config::new().max_instances(64).keep_resident(4 << 20)).unwrap();
    let done = Done::default();
    let rounds = 8;
    let mut least: Option<Process> = None;
    for round in 0..rounds {
        let until = Instant::now() + Duration::from_millis(seconds * 1000 / rounds);
        std::thread::scope(|scope| {
            for thread in 0..2 {
                let (engine, done) = (&engine, &done);
                let mut random = Random(seed << 8 ^ round << 1 ^ thread);
                scope.spawn(move || live(engine, &mut random, until, done));
            }
        });
        let now = Process::now();
        println!("round {round}: {now:?}, {:?}", engine.stats());
        assert_eq!(engine.stats().live, 0);
        // The first rounds fill the pool and the allocator's arenas.
        match least {
            Some(before) if round >= 3 => {
                assert!(now.descriptors <= before.descriptors, "{before:?} became {now:?}");
                assert!(now.mappings <= before.mappings + 64, "{before:?} became {now:?}");
                assert!(now.resident <= before.resident + (8 << 20), "{before:?} became {now:?}");
            }
            _ if round == 2 => least = Some(now),
            _ => {}
        }
    }
    println!("seed {seed}, {seconds} s: {done:?}");
    let all = [&done.compiled, &done.instances, &done.traps, &done.snapshots, &done.objects, &done.forks];
    assert!(all.iter().all(|count| count.load(Relaxed) > 0), "{done:?}");
}
