//! Signals that somebody sends, where the processor has not failed: `kill(pid, SIGSEGV)` is no
//! fault, and what it does is what it would do without a runtime.

use crate::child::{in_child, passes};
use crate::common::expect_trap;
use crate::masks::{tracked, trap_in_new_instance, write_in_new_instance};
use minirt::{Instance, Store, Trap};
use std::os::unix::process::ExitStatusExt;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

const SIGNALS: [(&str, i32); 4] =
    [("SEGV", libc::SIGSEGV), ("BUS", libc::SIGBUS), ("ILL", libc::SIGILL), ("FPE", libc::SIGFPE)];

/// Sends this process a signal, which comes to any of its threads, a little later.
fn send(signal: i32) {
    // SAFETY: it only sends the signal.
    unsafe { assert_eq!(libc::kill(libc::getpid(), signal), 0) };
}

/// Waits until a handler has been called so many times, and then a little longer.
fn wait_for_calls(calls: usize) {
    for _ in 0..5_000 {
        if CALLS.load(SeqCst) >= calls {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    std::thread::sleep(Duration::from_millis(10));
    assert_eq!(CALLS.load(SeqCst), calls);
}

/// What a program that is not written in Rust starts with: no handler at all.
fn forget_handlers() {
    // SAFETY: it changes what these signals do, and nobody relies on that yet.
    SIGNALS.iter().for_each(|(_, signal)| _ = unsafe { libc::signal(*signal, libc::SIG_DFL) });
}

fn number_of(case: &str) -> i32 {
    SIGNALS.iter().find(|(name, _)| case.contains(name)).unwrap().1
}

#[test]
fn a_signal_that_is_sent_ends_a_process_that_does_not_handle_it() {
    for (name, signal) in SIGNALS {
        for when in ["before", "while code runs"] {
            let case = format!("{name} {when}");
            let ended = in_child(a_signal_that_is_sent_ends_a_process_that_does_not_handle_it, &case, |case| {
                // SAFETY: the structure is initialised and outlives the call.
                unsafe { libc::setrlimit(libc::RLIMIT_CORE, &libc::rlimit { rlim_cur: 0, rlim_max: 0 }) };
                forget_handlers();
                let (engine, module) = tracked(10);
                trap_in_new_instance(&engine, &module);
                println!("it works");
                if case.contains("while") {
                    let signal = number_of(case);
                    std::thread::spawn(move || {
                        std::thread::sleep(Duration::from_millis(50));
                        send(signal);
                    });
                    run_forever();
                }
                send(number_of(case));
                std::thread::sleep(Duration::from_secs(5));
                println!("it survived");
            });
            if let Some((status, text)) = ended {
                assert!(text.contains("it works") && !text.contains("it survived"), "{case}: {status}\n{text}");
                assert_eq!(status.signal(), Some(signal), "{case}: {status}\n{text}");
            }
        }
    }
}

fn run_forever() {
    let engine = minirt::Engine::default();
    let (mut store, instance) = crate::common::instance(&engine, r#"(module (func (export "f") (loop (br 0))))"#);
    let _ = crate::common::call(&mut store, instance, "f", &[]);
}

#[test]
fn a_handler_that_resets_the_signal_to_its_default_does_not_take_ours_away() {
    // Rust's own does that for SIGSEGV and SIGBUS, when it finds that a stack has not overflowed.
    // It counts on a fault that happens again; what is sent does not, so the next one ends the
    // process.
    for (name, signal) in &SIGNALS[..2] {
        let test = a_handler_that_resets_the_signal_to_its_default_does_not_take_ours_away;
        let ended = in_child(test, name, |case| {
            // SAFETY: the structure is initialised and outlives the call.
            unsafe { libc::setrlimit(libc::RLIMIT_CORE, &libc::rlimit { rlim_cur: 0, rlim_max: 0 }) };
            let (engine, module) = tracked(10);
            let mut store = Store::new(&engine, ());
            let instance = Instance::new(&mut store, &module, &[]).unwrap();
            let read = instance.get_typed_func::<i32, i32>(&store, "read").unwrap();
            expect_trap(read.call(&mut store, -4), Trap::MemoryOutOfBounds);
            send(number_of(case));
            std::thread::sleep(Duration::from_millis(50));
            // Not the first call into this store: nobody looks whether the handlers are still
            // there.
            expect_trap(read.call(&mut store, -4), Trap::MemoryOutOfBounds);
            trap_in_new_instance(&engine, &module);
            write_in_new_instance(&engine, &module, 900_000);
            println!("it works");
            send(number_of(case));
            std::thread::sleep(Duration::from_secs(5));
            println!("it survived");
        });
        if let Some((status, text)) = ended {
            assert!(text.contains("it works") && !text.contains("it survived"), "{name}: {status}\n{text}");
            assert_eq!(status.signal(), Some(*signal), "{name}: {status}\n{text}");
        }
    }
}

#[test]
fn a_signal_that_is_sent_to_a_process_that_ignores_it_changes_nothing() {
    for (name, _) in SIGNALS {
        passes(a_signal_that_is_sent_to_a_process_that_ignores_it_changes_nothing, name, |case| {
            // SAFETY: it changes what a signal does that this process does not use yet.
            unsafe { libc::signal(number_of(case), libc::SIG_IGN) };
            let (engine, module) = tracked(10);
            for round in 0..3 {
                send(number_of(case));
                std::thread::sleep(Duration::from_millis(20));
                trap_in_new_instance(&engine, &module);
                write_in_new_instance(&engine, &module, 65_536 * (round + 2));
            }
        });
    }
}

static CALLS: AtomicUsize = AtomicUsize::new(0);
static LAST: [AtomicI32; 3] = [const { AtomicI32::new(0) }; 3];

extern "C" fn note(signal: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel passes valid information.
    let said = unsafe { [signal, (*info).si_code, (*info).si_pid()] };
    LAST.iter().zip(said).for_each(|(place, value)| place.store(value, SeqCst));
    CALLS.fetch_add(1, SeqCst);
}

fn install(signal: i32, handler: usize, flags: i32) {
    // SAFETY: the action is initialised, and its handler has the signature that its flags ask for.
    unsafe {
        let mut action = std::mem::zeroed::<libc::sigaction>();
        action.sa_sigaction = handler;
        action.sa_flags = flags;
        libc::sigaddset(&mut action.sa_mask, libc::SIGUSR2);
        assert_eq!(libc::sigaction(signal, &action, std::ptr::null_mut()), 0);
    }
}

#[test]
fn a_signal_that_is_sent_reaches_the_handler_that_was_there_with_its_information() {
    for (name, _) in SIGNALS {
        passes(a_signal_that_is_sent_reaches_the_handler_that_was_there_with_its_information, name, |case| {
            let signal = number_of(case);
            install(signal, note as *const () as usize, libc::SA_SIGINFO);
            let (engine, module) = tracked(10);
            for round in 1..4 {
                send(signal);
                wait_for_calls(round);
                // SAFETY: it has no effect.
                let process = unsafe { libc::getpid() };
                assert_eq!(LAST.each_ref().map(|it| it.load(SeqCst)), [signal, libc::SI_USER, process]);
                // Ours are still there, and none of their faults is the other's.
                trap_in_new_instance(&engine, &module);
                write_in_new_instance(&engine, &module, 65_536 * (round as i32 + 2));
                assert_eq!(CALLS.load(SeqCst), round);
            }
        });
    }
}

extern "C" fn note_mask(_: i32) {
    // SAFETY: the set outlives the call, which fills it in.
    let blocked = unsafe {
        let mut now = std::mem::zeroed();
        libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), &mut now);
        [libc::SIGSEGV, libc::SIGUSR1, libc::SIGUSR2].map(|signal| libc::sigismember(&now, signal))
    };
    LAST.iter().zip(blocked).for_each(|(place, value)| place.store(value, SeqCst));
    CALLS.fetch_add(1, SeqCst);
}

#[test]
fn a_handler_is_called_as_it_was_installed() {
    for case in ["as usual", "nothing deferred", "once"] {
        let ended = in_child(a_handler_is_called_as_it_was_installed, case, |case| {
            let flags = match case {
                "as usual" => 0,
                "nothing deferred" => libc::SA_NODEFER,
                _ => libc::SA_RESETHAND,
            };
            install(libc::SIGSEGV, note_mask as *const () as usize, flags);
            let (engine, module) = tracked(10);
            send(libc::SIGSEGV);
            wait_for_calls(1);
            assert_eq!(LAST[0].load(SeqCst), i32::from(case != "nothing deferred"), "its own signal");
            assert_eq!(LAST[1].load(SeqCst), 0, "another signal");
            assert_eq!(LAST[2].load(SeqCst), 1, "a signal of its mask");
            trap_in_new_instance(&engine, &module);
            println!("once");
            send(libc::SIGSEGV);
            wait_for_calls(2);
            println!("twice");
        });
        if let Some((status, text)) = ended {
            let (signal, twice) = if case == "once" { (Some(libc::SIGSEGV), false) } else { (None, true) };
            assert_eq!((status.signal(), text.contains("twice")), (signal, twice), "{case}: {status}\n{text}");
            assert!(text.contains("once"), "{case}: {status}\n{text}");
        }
    }
}
