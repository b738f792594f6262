//! The stack of a process's first thread, where nobody can say what is mapped (no /proc). Tests run
//! on other threads, so what is here runs before `main` does.

use crate::common::{self, call_i32, can_forbid, forbid_opening, instance, limit};
use minirt::{Config, Engine, Trap};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Bytes of stack, and bytes of it that Wasm may use.
const CASE: &str = "MINIRT_MAIN_THREAD";
const DONE: &str = "calls on the main thread";

#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = before_main;

extern "C" fn before_main() {
    let Ok(case) = std::env::var(CASE) else { return };
    let (stack, wasm) = case.split_once(' ').unwrap();
    recurse(stack.parse().unwrap(), wasm.parse().unwrap());
    std::process::exit(0);
}

fn recurse(stack: u64, wasm: usize) {
    // SAFETY: these only ask.
    assert_eq!(unsafe { libc::gettid() }, unsafe { libc::getpid() }, "this is the main thread");
    // The limit changes after the process has begun: what is mapped lies where it was.
    limit(libc::RLIMIT_STACK, stack);
    forbid_opening(libc::ENOENT);
    assert!(std::fs::File::open("/proc/self/maps").is_err());
    let engine = Engine::new(Config::new().max_wasm_stack(wasm)).unwrap();
    let text = "(module (global $n (mut i32) (i32.const 0))
        (func $f (export \"f\") (global.set $n (i32.add (global.get $n) (i32.const 1))) (call $f))
        (func (export \"n\") (result i32) (global.get $n)))";
    let (mut store, it) = instance(&engine, text);
    assert_eq!(common::trap(common::call(&mut store, it, "f", &[])), Trap::StackOverflow);
    println!("{} {DONE}", call_i32(&mut store, it, "n", &[]).unwrap());
}

#[test]
fn without_proc_the_main_threads_stack_ends_where_it_ends() {
    if !can_forbid() {
        return;
    }
    for (stack, wasm) in [(8 << 20, 512 << 10), (8 << 20, 100 << 20), (1 << 30, 900 << 20), (1 << 20, 8 << 20)] {
        let case = format!("{stack} {wasm}");
        let mut command = Command::new(std::env::current_exe().unwrap());
        // Without random addresses, the room below the stack is as small as it can be. SAFETY: the
        // call is one that a child may make before it starts another program. Where it is refused,
        // addresses are random.
        unsafe { command.pre_exec(|| Ok(_ = libc::personality(libc::ADDR_NO_RANDOMIZE as libc::c_ulong))) };
        let output = command.env(CASE, &case).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let depth = text.strip_suffix(&format!(" {DONE}\n")).and_then(|depth| depth.parse::<usize>().ok());
        let Some(depth) = depth else {
            panic!("{case}: {}\n{text}{}", output.status, String::from_utf8_lossy(&output.stderr))
        };
        println!("{case}: {depth} calls");
        // A frame has from 16 to 100 bytes. Wasm gets what it may have, or what the stack has
        // besides the host's part.
        let most = wasm.min(stack);
        assert!((most.min(64 << 20) / 4 * 3 / 100..=most / 16).contains(&depth), "{case}: {depth} calls");
    }
}
