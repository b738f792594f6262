//! Real programs, frozen between two runs: what goes on from the snapshot does what the original
//! does.
//!
//! The programs are those of `examples/guests`, started over and over in one instance, as their
//! table of cases says.

use crate::common::engines;
use minirt::wasi::{self, FsPerms, I32Exit, Input, Output, OutputBuffer, WasiCtx, WasiCtxBuilder};
use minirt::{Engine, Instance, Linker, Module, Store};
use std::path::{Path, PathBuf};

/// How often a program is started before it is frozen, at the most.
const RUNS: usize = 3;

fn home(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/guests").join(path)
}

/// A row of the table of cases: program, folder, arguments, standard input.
struct Case {
    name: String,
    guest: String,
    folder: PathBuf,
    arguments: Vec<String>,
    stdin: Vec<u8>,
}

/// Returns the cases that only read (those that write find other files the second time), but for
/// the one that asks for the time and for random numbers.
fn cases() -> Vec<Case> {
    let table = std::fs::read_to_string(home("cases.tsv")).unwrap();
    let rows = table.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let fields = rows.map(|row| row.split('\t').map(str::to_owned).collect::<Vec<_>>());
    let reading = fields.filter(|row| row[2] != "@scratch" && row[0] != "filetool-host");
    let case = |row: Vec<String>| Case {
        name: row[0].clone(),
        guest: row[1].clone(),
        folder: home(&row[2]),
        arguments: row[3].split(' ').filter(|word| *word != "-" || row[3] != "-").map(str::to_owned).collect(),
        stdin: if row[4] == "-" { Vec::new() } else { std::fs::read(home(&row[4])).unwrap() },
    };
    reading.map(case).collect()
}

impl Case {
    fn context(&self) -> (WasiCtx, OutputBuffer) {
        let out = OutputBuffer::new(1 << 24);
        let mut builder = WasiCtxBuilder::new();
        builder.arg(&self.guest).args(&self.arguments).stdin(Input::Bytes(self.stdin.clone()));
        builder.stdout(Output::Buffer(out.clone())).stderr(Output::Buffer(out.clone()));
        builder.preopened_dir(&self.folder, ".", FsPerms::ReadOnly).unwrap();
        (builder.build().unwrap(), out)
    }

    /// Starts the program (again), and says all that can be seen of it afterwards.
    fn run(&self, store: &mut Store<WasiCtx>, instance: Instance) -> (String, Vec<u8>, Vec<u8>) {
        let (context, out) = self.context();
        *store.data_mut() = context;
        let start = instance.get_typed_func::<(), ()>(&*store, "_start").unwrap();
        let end = match start.call(&mut *store, ()) {
            Ok(()) => "returned".to_owned(),
            Err(error) => error.downcast_ref::<I32Exit>().map_or_else(|| format!("{error:#}"), ToString::to_string),
        };
        let memory = instance.get_memory(&*store, "memory").unwrap();
        (end, out.contents(), memory.data(&*store).to_vec())
    }
}

fn check(case: &Case, engine: &Engine, linker: &Linker<WasiCtx>, module: &Module) {
    let start = || {
        let mut store = Store::new(engine, case.context().0);
        let instance = linker.instantiate(&mut store, module).unwrap();
        (store, instance)
    };
    // A file system notes when a file was read for the first time after it was written
    // (`relatime`), and the programs that look at files keep that time in their memory. So the
    // first reading happens here.
    let (mut store, instance) = start();
    case.run(&mut store, instance);
    let (mut store, original) = start();
    for runs in 0..RUNS {
        let snapshot = original.snapshot(&mut store).unwrap();
        let mut other = Store::new(engine, case.context().0);
        let copy = linker.instantiate(&mut other, snapshot.module()).unwrap();
        let (expected, found) = (case.run(&mut store, original), case.run(&mut other, copy));
        assert_eq!(expected.0, found.0, "{} after {runs} runs", case.name);
        assert!(expected == found, "{} after {runs} runs: output or memory differ", case.name);
        // And once more, from the same snapshot through a file.
        let artifact = snapshot.module().serialize().unwrap();
        // SAFETY: the bytes are an artifact of this process.
        let loaded = unsafe { Module::deserialize(engine, &artifact) }.unwrap();
        let mut other = Store::new(engine, case.context().0);
        let copy = linker.instantiate(&mut other, &loaded).unwrap();
        assert!(expected == case.run(&mut other, copy), "{} after {runs} runs, through a file", case.name);
    }
}

#[test]
fn a_program_goes_on_from_a_snapshot_as_it_does_without() {
    let cases = cases();
    assert!(cases.len() > 40, "{} cases", cases.len());
    for (_, engine) in engines() {
        let mut linker = Linker::new(&engine);
        wasi::add_to_linker(&mut linker, |context: &mut WasiCtx| context).unwrap();
        let mut module: Option<(String, Module)> = None;
        for case in &cases {
            if module.as_ref().is_none_or(|(guest, _)| *guest != case.guest) {
                module = Some((case.guest.clone(), Module::from_file(&engine, home(&case.guest)).unwrap()));
            }
            let (_, module) = module.as_ref().unwrap();
            check(case, &engine, &linker, module);
        }
    }
}
