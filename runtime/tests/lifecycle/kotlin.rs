//! Programs in Kotlin, whose objects are structures and arrays: what they print is what the same
//! sources print on a Java virtual machine.

use minirt::wasi::{self, Output, OutputBuffer, WasiCtx, WasiCtxBuilder};
use minirt::{Config, Engine, Instance, Linker, Module, OptLevel, Store};
use std::path::{Path, PathBuf};

const PROGRAMS: [&str; 4] = ["tour", "trees", "json", "lisp"];

fn home(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/guests/kotlin").join(file)
}

fn engines() -> Vec<(&'static str, Engine)> {
    let mut configs = vec![("images", Config::new()), ("eager copies", Config::new()), ("metered", Config::new())];
    configs[1].1.memory_init_cow(false).cranelift_opt_level(OptLevel::None);
    configs[2].1.consume_fuel(true).epoch_interruption(true);
    configs.into_iter().map(|(name, mut config)| (name, Engine::new(config.wasm_gc(true)).unwrap())).collect()
}

struct Program {
    linker: Linker<WasiCtx>,
    module: Module,
    expected: String,
}

impl Program {
    fn new(engine: &Engine, name: &str) -> Self {
        let mut linker = Linker::new(engine);
        wasi::add_to_linker(&mut linker, |context: &mut WasiCtx| context).unwrap();
        let module = Module::from_file(engine, home(&format!("{name}.wasm"))).unwrap();
        let expected = std::fs::read_to_string(home(&format!("{name}.expected"))).unwrap();
        assert!(expected.lines().count() > 10, "{name}");
        Self { linker, module, expected }
    }

    fn instance(&self, module: &Module) -> (Store<WasiCtx>, Instance) {
        let mut store = Store::new(module.engine(), WasiCtxBuilder::new().build().unwrap());
        _ = store.set_fuel(u64::MAX);
        store.set_epoch_deadline(u64::MAX / 2);
        let instance = self.linker.instantiate(&mut store, module).unwrap();
        (store, instance)
    }
}

/// Runs a program (again), and returns what it prints.
fn output(store: &mut Store<WasiCtx>, instance: Instance) -> String {
    let out = OutputBuffer::new(1 << 20);
    let mut builder = WasiCtxBuilder::new();
    builder.stdout(Output::Buffer(out.clone())).stderr(Output::Buffer(out.clone()));
    *store.data_mut() = builder.build().unwrap();
    let start = instance.get_typed_func::<(), ()>(&*store, "_start").unwrap();
    start.call(&mut *store, ()).unwrap();
    String::from_utf8(out.contents()).unwrap()
}

#[test]
fn programs_print_what_they_print_on_another_machine() {
    for (about, engine) in engines() {
        for name in PROGRAMS {
            let program = Program::new(&engine, name);
            let (mut store, instance) = program.instance(&program.module);
            assert_eq!(output(&mut store, instance), program.expected, "{name}, {about}");
        }
    }
}

#[test]
fn a_reset_and_a_snapshot_have_the_heap_of_a_program() {
    for (about, engine) in engines().into_iter().take(2) {
        for name in ["tour", "lisp"] {
            let program = Program::new(&engine, name);
            let (mut store, instance) = program.instance(&program.module);
            output(&mut store, instance);
            // What the first run left in globals is still there in the second, and in copies.
            let snapshot = instance.snapshot(&mut store).unwrap();
            let bytes = snapshot.module().serialize().unwrap();
            // SAFETY: the bytes are an artifact of this process.
            let loaded = unsafe { Module::deserialize(&engine, bytes) }.unwrap();
            for module in [snapshot.module(), &loaded] {
                let (mut store, copy) = program.instance(module);
                assert_eq!(output(&mut store, copy), program.expected, "{name}, {about}, a snapshot");
            }
            instance.reset(&mut store).unwrap();
            assert_eq!(output(&mut store, instance), program.expected, "{name}, {about}, after a reset");
        }
    }
}
