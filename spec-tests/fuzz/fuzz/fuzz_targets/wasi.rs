//! Any calls of WASI, with any numbers, over a memory with any bytes: a number comes back, within
//! the time that the guest has, and nothing outside its folder changes.

#![no_main]

#[allow(dead_code, reason = "the tests use the rest")]
#[path = "../../../../runtime/tests/wasi/program.rs"]
mod program;

use libfuzzer_sys::arbitrary::Unstructured;
use libfuzzer_sys::fuzz_target;
use minirt::wasi::{FsPerms, Output, OutputBuffer, WasiCtx, WasiCtxBuilder, add_to_linker};
use minirt::{Config, Engine, InstancePre, Linker, Module, Store, Val};
use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

/// What a guest does, from bytes.
struct Input<'a>(Unstructured<'a>);

impl<'a> Input<'a> {
    fn byte(&mut self) -> u8 {
        self.0.arbitrary().unwrap_or_default()
    }

    /// Returns what lies at the addresses that are small: paths, vectors of buffers, subscriptions.
    fn memory(&mut self) -> &'a [u8] {
        let len = usize::from(self.byte()) * 16;
        self.0.bytes(len.min(self.0.len())).unwrap_or_default()
    }

    /// Returns a number that may be an argument.
    fn argument(&mut self) -> i64 {
        match self.byte() % 4 {
            // A descriptor, a flag, a small count.
            0 => self.byte().into(),
            // An address, or a size.
            1 => self.0.arbitrary::<u16>().unwrap_or_default().into(),
            // One at the end of the memory.
            2 => program::MEMORY as i64 + i64::from(self.byte().cast_signed()),
            _ => self.0.arbitrary().unwrap_or_default(),
        }
    }
}

struct World {
    folder: PathBuf,
    pre: InstancePre<WasiCtx>,
}

/// What lies beside the guest's folder, and must stay as it is.
const SECRET: &str = "secret";

static WORLD: LazyLock<World> = LazyLock::new(|| {
    // SAFETY: the structure outlives the call. No file of the guest's grows beyond a mebibyte.
    assert_eq!(
        unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &libc::rlimit { rlim_cur: 1 << 20, rlim_max: 1 << 20 }) },
        0
    );
    let engine = Engine::new(Config::new().epoch_interruption(true).max_instances(2)).expect("an engine");
    let module = Module::new(&engine, program::forwarder()).expect("a module");
    let mut linker = Linker::new(&engine);
    add_to_linker(&mut linker, |ctx| ctx).expect("the functions");
    let pre = linker.instantiate_pre(&module).expect("all imports");
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(Duration::from_millis(5));
            engine.increment_epoch();
        }
    });
    let folder = tempfile::tempdir().expect("a folder").keep();
    fs::write(folder.join("beside"), SECRET).expect("a file");
    World { folder, pre }
});

fuzz_target!(|bytes: &[u8]| {
    let mut input = Input(Unstructured::new(bytes));
    let world = &*WORLD;
    let inside = world.folder.join("box");
    let _ = fs::remove_dir_all(&inside);
    fs::create_dir_all(inside.join("dir")).expect("a folder");
    fs::write(inside.join("file"), "inside").expect("a file");
    std::os::unix::fs::symlink("../beside", inside.join("out")).expect("a link");
    let mut wasi = WasiCtxBuilder::new();
    let output = OutputBuffer::new(1 << 16);
    wasi.arg("fuzz")
        .env("A", "b")
        .stdout(Output::Buffer(output.clone()))
        .stderr(Output::Buffer(output))
        .max_descriptors(20);
    let ctx = wasi.preopened_dir(&inside, "/", FsPerms::ReadWrite).and_then(|wasi| wasi.build()).expect("a context");
    let mut store = Store::new(world.pre.module().engine(), ctx);
    store.set_epoch_deadline(2);
    let it = world.pre.instantiate(&mut store).expect("an instance");
    let memory = it.get_memory(&store, "memory").expect("a memory");
    memory.write(&mut store, 0, input.memory()).expect("it fits");
    for _ in 0..20 {
        if input.0.is_empty() {
            break;
        }
        let (name, types) = program::FUNCTIONS[input.byte() as usize % program::FUNCTIONS.len()];
        let argument = |ty| match (ty, input.argument()) {
            ('i', number) => Val::I32(number as i32),
            (_, number) => Val::I64(number),
        };
        let arguments: Vec<Val> = types.chars().map(argument).collect();
        let func = it.get_func(&store, name).expect("every function is there");
        let mut results = [Val::I32(-1)];
        match func.call(&mut store, &arguments, &mut results) {
            Ok(()) => assert!((0..=76).contains(&results[0].unwrap_i32()), "{name} returned {results:?}"),
            Err(_) => break, // Its time was up, or it raised a signal.
        }
    }
    drop(store);
    assert_eq!(fs::read_to_string(world.folder.join("beside")).ok().as_deref(), Some(SECRET));
    assert_eq!(fs::read_dir(&world.folder).expect("it is there").count(), 2, "something was made outside");
});
