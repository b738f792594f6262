//! What the tests share: engines with and without images, and short ways to get an instance.
#![allow(dead_code, reason = "each test binary uses its own part")]

pub(crate) mod heaps;

use minirt::{Config, Engine, Instance, Linker, Module, OptLevel, ResetStrategy, Result, Store, Trap, Val};

/// Returns the default engine, and one that fills slots by copying.
pub(crate) fn engines() -> [(&'static str, Engine); 2] {
    let mut copying = Config::new();
    copying.memory_init_cow(false);
    [("images", Engine::default()), ("eager copies", Engine::new(&copying).unwrap())]
}

/// Returns an instance of a module without imports, in a store of its own.
pub(crate) fn instance(engine: &Engine, text: &str) -> (Store<()>, Instance) {
    let module = Module::new(engine, text).unwrap();
    let mut store = Store::new(engine, ());
    let instance = Instance::new(&mut store, &module, &[]).unwrap();
    (store, instance)
}

/// Calls an export and returns its results.
pub(crate) fn call(store: &mut Store<()>, instance: Instance, name: &str, args: &[Val]) -> Result<Vec<Val>> {
    let func = instance.get_func(&*store, name).unwrap();
    let mut results = vec![Val::I32(0); func.ty(&*store).results().len()];
    func.call(store, args, &mut results)?;
    Ok(results)
}

/// Calls an export that returns one i32.
pub(crate) fn call_i32(store: &mut Store<()>, instance: Instance, name: &str, args: &[i32]) -> Result<i32> {
    let args: Vec<Val> = args.iter().map(|v| Val::I32(*v)).collect();
    Ok(call(store, instance, name, &args)?[0].unwrap_i32())
}

/// Instantiates two modules in one store, the second with all exports of the first.
pub(crate) fn linked(engine: &Engine, exporter: &str, importer: &str) -> Result<(Store<()>, Instance)> {
    let mut store = Store::new(engine, ());
    let a = Instance::new(&mut store, &Module::new(engine, exporter).unwrap(), &[]).unwrap();
    let mut linker = Linker::new(engine);
    linker.instance(&store, "a", a).unwrap();
    let b = linker.instantiate(&mut store, &Module::new(engine, importer).unwrap())?;
    Ok((store, b))
}

/// Returns whether the second module can import what the first exports.
pub(crate) fn links(exporter: &str, importer: &str) -> bool {
    match linked(&Engine::default(), exporter, importer) {
        Ok(_) => true,
        Err(error) if error.to_string().contains("incompatible import type") => false,
        Err(error) => panic!("{error:#}"),
    }
}

/// Returns the trap that a call ended with.
pub(crate) fn trap(result: Result<impl std::fmt::Debug>) -> Trap {
    *result.unwrap_err().downcast_ref::<Trap>().expect("a trap")
}

/// Counts the mappings of this process.
pub(crate) fn mappings() -> usize {
    std::fs::read_to_string("/proc/self/maps").unwrap().lines().count()
}

/// Counts the open descriptors of this process.
pub(crate) fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Limits what this process may have of a resource.
pub(crate) fn limit(resource: libc::__rlimit_resource_t, value: u64) {
    // SAFETY: the structures are initialised and outlive the calls.
    unsafe {
        let mut now = std::mem::zeroed::<libc::rlimit>();
        assert_eq!(libc::getrlimit(resource, &mut now), 0);
        assert_eq!(libc::setrlimit(resource, &libc::rlimit { rlim_cur: value.min(now.rlim_max), ..now }), 0);
    }
}

/// Every reset strategy.
pub(crate) const STRATEGIES: [ResetStrategy; 4] =
    [ResetStrategy::Adaptive, ResetStrategy::HotSet, ResetStrategy::Scan, ResetStrategy::Discard];

/// Returns a configuration with a reset strategy, and with images or eager copies.
pub(crate) fn config(strategy: ResetStrategy, images: bool) -> Config {
    let mut config = Config::new();
    config.reset_strategy(strategy).memory_init_cow(images);
    config
}

/// Runs a test for each reset strategy, with images and with eager copies. Its first argument names
/// the case.
pub(crate) fn each_config(mut test: impl FnMut(&str, ResetStrategy, Config)) {
    for strategy in STRATEGIES {
        for images in [true, false] {
            let name = format!("{strategy:?}, images {}", if images { "on" } else { "off" });
            println!("{name}");
            test(&name, strategy, config(strategy, images));
        }
    }
}

/// Returns a number from the environment.
pub(crate) fn number_from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} has to be a number")))
}

/// Reproducible random numbers (SplitMix64).
#[derive(Clone, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number less than `end`, which is not 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// Returns true with this probability, in percent.
    pub(crate) fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

/// Returns whether all bytes are zero: fast, even without optimisation.
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    static ZEROS: [u8; 65_536] = [0; 65_536];
    bytes.chunks(ZEROS.len()).all(|chunk| chunk == &ZEROS[..chunk.len()])
}

/// Returns an engine whose code needs fuel.
pub(crate) fn fuelled(level: OptLevel) -> Engine {
    Engine::new(Config::new().consume_fuel(true).cranelift_opt_level(level)).unwrap()
}

#[track_caller]
pub(crate) fn expect_trap<R: std::fmt::Debug>(result: Result<R>, trap: Trap) {
    let error = result.expect_err("this must trap");
    assert_eq!(error.downcast_ref::<Trap>(), Some(&trap), "{error:?}");
}

/// Returns whether system calls can be made to fail here, and says so if not: emulators of user
/// space have no filters for them.
pub(crate) fn can_forbid() -> bool {
    let action = libc::SECCOMP_RET_ERRNO;
    // SAFETY: it only asks.
    let available =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_ACTION_AVAIL, 0, &raw const action) } == 0;
    if !available {
        println!("skipped: no seccomp filters here");
    }
    available
}

/// Makes opening files fail from now on, whichever system call does it.
pub(crate) fn forbid_opening(error: i32) {
    forbid(libc::SYS_openat, None, error);
    #[cfg(target_arch = "x86_64")] // Others have no such call.
    forbid(libc::SYS_open, None, error);
}

/// Makes a system call fail from now on, for the whole process; with `argument`, only where its
/// first (0) or second (1) argument has that value.
pub(crate) fn forbid(call: i64, argument: Option<(u32, u32)>, error: i32) {
    let statement = |code: u32, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
    let unless_equal = |k: u32, skip: u8| libc::sock_filter {
        code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16,
        jt: 0,
        jf: skip,
        k,
    };
    let load = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    // `struct seccomp_data`: the number of the call, then architecture and address, then arguments
    // of eight bytes.
    let mut filter = vec![statement(load, 0)];
    match argument {
        Some((index, value)) => {
            filter.extend([unless_equal(call as u32, 3), statement(load, 16 + 8 * index), unless_equal(value, 1)]);
        }
        None => filter.push(unless_equal(call as u32, 1)),
    }
    filter.push(statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ERRNO | error as u32));
    filter.push(statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW));
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the program outlives the calls, and its jumps stay inside.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        let synchronise = libc::SECCOMP_FILTER_FLAG_TSYNC;
        let result = libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, synchronise, &program);
        assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
    }
}
