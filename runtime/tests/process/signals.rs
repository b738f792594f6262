//! Faults and signals that are not the runtime's.

use crate::child::{dies, in_child, passes};
use crate::common::{call, config, expect_trap, instance};
use crate::life::{TEXT, live};
use minirt::{Config, Engine, Linker, Module, ResetStrategy, Store, Trap};

#[test]
fn a_fault_in_a_host_function_is_no_trap_but_ends_the_process() {
    let cases = [
        ("null", libc::SIGSEGV),
        ("guard", libc::SIGSEGV),
        ("read-only page", libc::SIGSEGV),
        ("abort", libc::SIGABRT),
    ];
    for (case, signal) in cases {
        dies(a_fault_in_a_host_function_is_no_trap_but_ends_the_process, case, signal, |case| {
            no_core_dump();
            let engine = Engine::new(&config(ResetStrategy::HotSet, true)).unwrap();
            let mut linker = Linker::<usize>::new(&engine);
            let case = case.to_owned();
            let fault = move |caller: minirt::Caller<'_, usize>| match &case[..] {
                "abort" => std::process::abort(),
                "null" => read_at(8),
                // Right after the memory, where a load of the guest's would be a trap.
                "guard" => read_at(*caller.data()),
                _ => write_to_constant(),
            };
            linker.func_wrap("host", "fault", fault).unwrap();
            let text = r#"(module (import "host" "fault" (func $fault)) (memory (export "m") 1)
              (func (export "run") (i32.store (i32.const 0) (i32.const 1)) (call $fault)))"#;
            let module = Module::new(&engine, text).unwrap();
            let mut store = Store::new(&engine, 0);
            let it = linker.instantiate(&mut store, &module).unwrap();
            let end = it.get_memory(&store, "m").unwrap().data(&store).as_ptr_range().end as usize;
            *store.data_mut() = end;
            let result = it.get_typed_func::<(), ()>(&store, "run").unwrap().call(&mut store, ());
            panic!("the process survived: {result:?}");
        });
    }
}

fn read_at(address: usize) {
    let pointer = std::hint::black_box(address) as *const u8;
    // SAFETY: it is not safe: the address is not mapped, and the process is to die here.
    let _ = std::hint::black_box(unsafe { pointer.read_volatile() });
}

fn write_to_constant() {
    static CONSTANT: [u8; 64] = [1; 64];
    let pointer = std::hint::black_box(CONSTANT.as_ptr()).cast_mut();
    // SAFETY: it is not safe: constants are mapped read-only, and the process is to die here.
    unsafe { pointer.write_volatile(1) }
}

fn no_core_dump() {
    // SAFETY: the structure is initialised and outlives the call.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &libc::rlimit { rlim_cur: 0, rlim_max: 0 }) };
}

/// Exit status with which the handler that was installed first says that it was called.
const FIRST_HANDLER: i32 = 77;

extern "C" fn first_handler(signal: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel passes valid information; `_exit` may be called in a handler.
    unsafe {
        let right = signal == libc::SIGSEGV && (*info).si_addr() as usize == 16;
        libc::_exit(if right { FIRST_HANDLER } else { 1 });
    }
}

#[test]
fn a_handler_that_was_there_before_gets_the_faults_that_are_not_ours() {
    for case in ["in a host function", "outside of Wasm", "on another thread"] {
        let ended = in_child(a_handler_that_was_there_before_gets_the_faults_that_are_not_ours, case, |case| {
            install_first_handler();
            let engine = Engine::default();
            let module = Module::new(&engine, TEXT).unwrap();
            // The runtime still gets its own: a write to a tracked page, and a trap.
            (0..30).for_each(|round| live(&engine, &module, round).unwrap());
            let mut linker = Linker::<()>::new(&engine);
            linker.func_wrap("host", "fault", || read_at(16)).unwrap();
            let text = r#"(module (import "host" "fault" (func $fault)) (func (export "run") (call $fault)))"#;
            let module = Module::new(&engine, text).unwrap();
            let mut store = Store::new(&engine, ());
            let it = linker.instantiate(&mut store, &module).unwrap();
            match case {
                "in a host function" => _ = call(&mut store, it, "run", &[]),
                "outside of Wasm" => read_at(16),
                _ => std::thread::spawn(|| read_at(16)).join().unwrap(),
            }
            panic!("the process survived");
        });
        if let Some((status, text)) = ended {
            assert_eq!(status.code(), Some(FIRST_HANDLER), "{case}: {status}\n{text}");
        }
    }
}

fn install_first_handler() {
    // SAFETY: the action is initialised, and its handler has the signature that SA_SIGINFO asks
    // for.
    unsafe {
        let mut action = std::mem::zeroed::<libc::sigaction>();
        let handler: extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void) = first_handler;
        action.sa_sigaction = handler as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        assert_eq!(libc::sigaction(libc::SIGSEGV, &action, std::ptr::null_mut()), 0);
    }
}

#[test]
fn a_tick_in_a_signal_handler_stops_code() {
    passes(a_tick_in_a_signal_handler_stops_code, "timer", |_| {
        static ENGINE: std::sync::OnceLock<Engine> = std::sync::OnceLock::new();
        extern "C" fn tick(_: i32) {
            if let Some(engine) = ENGINE.get() {
                engine.increment_epoch();
            }
        }
        let engine = ENGINE.get_or_init(|| Engine::new(Config::new().epoch_interruption(true)).unwrap());
        let (mut store, instance) = instance(engine, r#"(module (func (export "loop") (loop (br 0))))"#);
        store.set_epoch_deadline(1);
        let timer = libc::itimerval {
            it_interval: libc::timeval { tv_sec: 0, tv_usec: 0 },
            it_value: libc::timeval { tv_sec: 0, tv_usec: 10_000 },
        };
        // SAFETY: the handler adds to an atomic number, which a handler may do, and the structures
        // are initialised.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = tick as *const () as usize;
            action.sa_flags = libc::SA_RESTART | libc::SA_ONSTACK;
            assert_eq!(libc::sigaction(libc::SIGALRM, &raw const action, std::ptr::null_mut()), 0);
            assert_eq!(libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()), 0);
        }
        expect_trap(call(&mut store, instance, "loop", &[]), Trap::Interrupt);
    });
}
