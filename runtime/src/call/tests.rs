//! Faults that no guest can bring about: compiled code with a wrong address. The process has to
//! end, loudly.
//!
//! Each case runs in a process of its own, which is this program again with the case's name in the
//! environment.

use crate::sys::mapping::{Access, Reservation, page_size};
use crate::{Engine, Extern, Instance, Module, Store, Trap};
use minirt_compiler::instance::layout::{MEMORY, MemoryPlace, import_space};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};

const CASE: &str = "MINIRT_WILD_CASE";
/// The guest writes this far into its memory.
const OFFSET: i32 = 0x5010;

fn in_child(test: &str, case: &str, body: impl FnOnce(&str)) -> Option<(ExitStatus, String)> {
    if let Ok(wanted) = std::env::var(CASE) {
        if wanted == case {
            body(case);
        }
        return None;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture"]).env(CASE, case).env("RUST_BACKTRACE", "0");
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    Some((output.status, text))
}

/// An instance whose code writes to an imported memory, with that memory's address replaced by
/// another.
fn write_with_base(base: impl FnOnce(usize) -> usize) -> crate::Result<()> {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let owner = Module::new(&engine, r#"(module (memory (export "m") 1))"#)?;
    let owner = Instance::new(&mut store, &owner, &[])?;
    let memory = owner.get_memory(&store, "m").unwrap();
    let text = r#"(module (import "" "m" (memory 1))
      (func (export "write") (param i32) (i32.store (local.get 0) (i32.const 1))))"#;
    let module = Module::new(&engine, text)?;
    let instance = Instance::new(&mut store, &module, &[Extern::Memory(memory)])?;
    let write = instance.get_typed_func::<i32, ()>(&store, "write")?;
    write.call(&mut store, OFFSET)?;
    let view = crate::store::AsContext::as_context(&store).0.inner.instance(1).view();
    let MemoryPlace::Import(entry) = view.layout.memory(0) else { panic!("the memory is imported") };
    let place = view.vmctx.at::<usize>(entry + import_space::BASE);
    // SAFETY: it is not safe: it makes compiled code write to where it has no business.
    unsafe { *place = base(*place) };
    write.call(&mut store, OFFSET)
}

#[test]
fn a_write_through_a_corrupted_base_ends_the_process() {
    for case in ["an unmapped page", "the first page", "a read-only page", "another store's slot", "no address"] {
        let ended = in_child("call::tests::a_write_through_a_corrupted_base_ends_the_process", case, |case| {
            // SAFETY: the structure is initialised and outlives the call.
            unsafe { libc::setrlimit(libc::RLIMIT_CORE, &libc::rlimit { rlim_cur: 0, rlim_max: 0 }) };
            let space = Reservation::new(16 * page_size()).unwrap();
            let start = space.addresses().start;
            let engine = Engine::default();
            let module = Module::new(&engine, "(module (memory 0))").unwrap();
            let mut store = Store::new(&engine, ());
            Instance::new(&mut store, &module, &[]).unwrap();
            let result = write_with_base(|_| match case {
                "an unmapped page" => start,
                "the first page" => 0_usize.wrapping_sub(OFFSET as usize) + 8,
                "a read-only page" => {
                    // SAFETY: nothing refers to this memory.
                    unsafe { space.map_zeros(0..16 * page_size(), Access::Read) }.unwrap();
                    start
                }
                "another store's slot" => {
                    let context = crate::store::AsContext::as_context(&store);
                    context.0.inner.instance(0).vmctx().address() + MEMORY as usize
                }
                _ => 1 << 62,
            });
            panic!("the process survived: {result:?}");
        });
        if let Some((status, text)) = ended {
            assert_eq!(status.signal(), Some(libc::SIGSEGV), "{case}: {status}\n{text}");
        }
    }
}

#[test]
fn a_write_elsewhere_in_the_running_stores_slots_is_a_trap() {
    // The same detour, to the guard of a slot: what tells these from those is where they go, and
    // nothing else.
    let error = write_with_base(|base| base + (1 << 30)).unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&Trap::MemoryOutOfBounds));
}
