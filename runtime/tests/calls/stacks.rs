//! Where the stack ends: on a thread's own and on others, recursion without end is a trap, and Wasm
//! uses as much as it may.

use crate::child::passes;
use crate::common::{call, can_forbid, expect_trap, forbid};
use corosensei::on_stack;
use corosensei::stack::{DefaultStack, Stack};
use minirt::{AsContextMut, Caller, Config, Engine, Func, Instance, Linker, Module, Store, Trap, TypedFunc};
use std::ops::Range;

const KIB: usize = 1024;
const RECURSE: &str = r#"(module
  (import "host" "here" (func $here))
  (global $depth (export "depth") (mut i32) (i32.const 0))
  (func $recurse (export "recurse")
    (global.set $depth (i32.add (global.get $depth) (i32.const 1)))
    (call $here) (call $recurse) (call $here)))"#;

/// Returns where a stack is accessible. Its lowest page is a guard.
fn addresses(stack: &DefaultStack) -> Range<usize> {
    stack.limit().get() + rustix::param::page_size()..stack.base().get()
}

/// The lowest address at which a host function was called.
type Lowest = usize;

fn recursing(config: &Config) -> (Store<Lowest>, Instance) {
    let engine = Engine::new(config).unwrap();
    let mut linker = Linker::new(&engine);
    let here = |mut caller: Caller<'_, Lowest>| {
        let local = 0_u8;
        let here = &raw const local as usize;
        let lowest = caller.data_mut();
        *lowest = here.min(*lowest);
    };
    linker.func_wrap("host", "here", here).unwrap();
    let mut store = Store::new(&engine, usize::MAX);
    let instance = linker.instantiate(&mut store, &Module::new(&engine, RECURSE).unwrap()).unwrap();
    (store, instance)
}

/// Recurses until that is a trap, and returns how much of the stack was used, with the host
/// function's own frames.
fn use_up(store: &mut Store<Lowest>, instance: Instance) -> usize {
    let recurse = instance.get_typed_func::<(), ()>(&*store, "recurse").unwrap();
    *store.data_mut() = usize::MAX;
    let local = 0_u8;
    expect_trap(recurse.call(&mut *store, ()), Trap::StackOverflow);
    &raw const local as usize - *store.data()
}

/// What frames of the host take between the test and the guest, and below the guest.
const HOST_FRAMES: usize = 8 * KIB;

#[test]
fn wasm_uses_what_it_may_and_no_more() {
    for most in [64 * KIB, 100_000, 512 * KIB, 1024 * KIB] {
        let (mut store, instance) = recursing(Config::new().max_wasm_stack(most));
        for depth in 0..40 {
            let used = deeper(depth * 3 * KIB, &mut || use_up(&mut store, instance));
            assert!((most - most / 8..most + HOST_FRAMES).contains(&used), "{used} of {most}, {depth} deep");
        }
    }
}

/// Calls `f` with the stack pointer so many bytes further down.
fn deeper(bytes: usize, f: &mut dyn FnMut() -> usize) -> usize {
    let room = [0_u8; KIB];
    std::hint::black_box(&room);
    if bytes < room.len() { f() } else { deeper(bytes - room.len(), f) }
}

#[test]
fn a_call_on_any_stack_ends_before_the_stack_does() {
    for case in ["as the system tells", "where it cannot be asked", "announced"] {
        if case == "where it cannot be asked" && !can_forbid() {
            continue;
        }
        passes(a_call_on_any_stack_ends_before_the_stack_does, case, |case| {
            if case == "where it cannot be asked" {
                forbid_asking();
            }
            for most in [64 * KIB, 512 * KIB, 4096 * KIB] {
                let (mut store, instance) = recursing(Config::new().max_wasm_stack(most));
                for size in [64, 128, 256, 512, 544, 640, 1024, 4096, 8192].map(|kib| kib * KIB) {
                    let stack = DefaultStack::new(size).unwrap();
                    if case == "announced" {
                        let Range { start, end } = addresses(&stack);
                        // SAFETY: this is the stack on which the store is called, and nobody else
                        // uses it.
                        unsafe { store.announce_stack(start as *const u8..end as *const u8) };
                    }
                    let used = on_stack(stack, || use_up(&mut store, instance));
                    // A quarter of a small stack is the host's. What is mapped next to a stack makes
                    // it look larger to those who cannot ask: by a page here.
                    let beside = if case == "where it cannot be asked" { rustix::param::page_size() } else { 0 };
                    let possible = most.min(size - HOST_FRAMES);
                    let least = most.min(size - ((size + beside) / 4).min(128 * KIB)) * 7 / 8 - HOST_FRAMES;
                    assert!((least..possible + HOST_FRAMES).contains(&used), "{case}: {used} of {most} and {size}");
                }
                // Back on the thread's own, which has two mebibytes.
                assert!(use_up(&mut store, instance) > most.min(1536 * KIB) * 7 / 8 - HOST_FRAMES);
            }
        });
    }
}

/// Older kernels do not say what is mapped where. (And then there is no scan of pages, which does
/// not matter here.)
fn forbid_asking() {
    forbid(libc::SYS_ioctl, None, libc::ENOTTY);
}

#[test]
fn an_announced_stack_is_all_that_is_used_of_it() {
    passes(an_announced_stack_is_all_that_is_used_of_it, "announced", |_| {
        let (mut store, instance) = recursing(Config::new().max_wasm_stack(4096 * KIB));
        let stack = DefaultStack::new(2048 * KIB).unwrap();
        let Range { start, end } = addresses(&stack);
        let mut used = [0; 3];
        on_stack(stack, || {
            used[0] = use_up(&mut store, instance);
            // SAFETY: it is a part of the stack on which the store is called, and nobody else uses
            // it.
            unsafe { store.announce_stack((end - 1024 * KIB) as *const u8..end as *const u8) };
            used[1] = use_up(&mut store, instance);
            // SAFETY: nothing is said.
            unsafe { store.announce_stack(std::ptr::null()..std::ptr::null()) };
            used[2] = use_up(&mut store, instance);
        });
        assert!(start < end && used[0] == used[2] && used[1] < used[0] - 1000 * KIB, "{used:?}");
    });
}

#[test]
fn nested_calls_on_other_stacks_have_limits_of_their_own() {
    for case in ["as the system tells", "where it cannot be asked"] {
        if case == "where it cannot be asked" && !can_forbid() {
            continue;
        }
        passes(nested_calls_on_other_stacks_have_limits_of_their_own, case, |case| {
            if case == "where it cannot be asked" {
                forbid_asking();
            }
            // Stacks above and below those of threads, larger and smaller.
            let before: Vec<DefaultStack> = stacks();
            let thread = std::thread::Builder::new().stack_size(2048 * KIB);
            let work = move || before.into_iter().chain(stacks()).for_each(nest);
            thread.spawn(work).unwrap().join().unwrap();
        });
    }
}

fn stacks() -> Vec<DefaultStack> {
    [64, 256, 1024, 4096].map(|kib| DefaultStack::new(kib * KIB).unwrap()).into()
}

type Recurse = Option<TypedFunc<(), ()>>;

/// Wasm calls a host function, which calls Wasm of the same store on another stack, where it
/// recurses without end; then the outer Wasm does, on its own stack.
fn nest(stack: DefaultStack) {
    let engine = Engine::default();
    let text = r#"(module (import "host" "inside" (func $inside)) (global $depth (export "depth") (mut i32) (i32.const 0))
      (func $recurse (export "recurse")
        (global.set $depth (i32.add (global.get $depth) (i32.const 1)))
        (call $recurse) (call $recurse))
      (func (export "outer") (call $inside) (global.set $depth (i32.const 0)) (call $recurse)))"#;
    let mut store = Store::new(&engine, Recurse::None);
    let stack = std::sync::Mutex::new(Some(stack));
    let inside = Func::wrap(&mut store, move |mut caller: Caller<'_, Recurse>| {
        let recurse = caller.data().unwrap();
        let stack = stack.lock().unwrap().take().unwrap();
        let mut store = caller.as_context_mut();
        on_stack(stack, || expect_trap(recurse.call(&mut store, ()), Trap::StackOverflow));
    });
    let instance = Instance::new(&mut store, &Module::new(&engine, text).unwrap(), &[inside.into()]).unwrap();
    *store.data_mut() = Some(instance.get_typed_func(&store, "recurse").unwrap());
    let outer = instance.get_typed_func::<(), ()>(&store, "outer").unwrap();
    expect_trap(outer.call(&mut store, ()), Trap::StackOverflow);
    // The smallest frame is of 16 bytes, and most of half a mebibyte was there.
    let depth = instance.get_global(&store, "depth").unwrap().get(&store).unwrap_i32();
    assert!(depth > 2_000 && depth < 33_000, "{depth}");
}

#[test]
fn recursion_through_host_functions_that_make_new_stores_is_a_trap_too() {
    passes(recursion_through_host_functions_that_make_new_stores_is_a_trap_too, "stores", |_| {
        let engine = Engine::default();
        let text = r#"(module (import "" "again" (func $again)) (func (export "f") (call $again)))"#;
        let module = Module::new(&engine, text).unwrap();
        expect_trap(recurse_in_new_store(&module), Trap::StackOverflow);
        for kib in [512, 2048] {
            let stack = DefaultStack::new(kib * KIB).unwrap();
            expect_trap(on_stack(stack, || recurse_in_new_store(&module)), Trap::StackOverflow);
        }
    });
}

fn recurse_in_new_store(module: &Module) -> minirt::Result<()> {
    let mut store = Store::new(module.engine(), ());
    let inner = module.clone();
    let again = Func::wrap(&mut store, move || recurse_in_new_store(&inner));
    let instance = Instance::new(&mut store, module, &[again.into()])?;
    call(&mut store, instance, "f", &[]).map(drop)
}
