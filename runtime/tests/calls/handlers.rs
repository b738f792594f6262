//! Handlers of signals that others install after minirt's, and that do not pass on: crash
//! reporters, mostly.

use crate::child::{in_child, passes};
use crate::masks::{tracked, trap_in_new_instance, write_in_new_instance};
use minirt::Engine;

type Action = libc::sigaction;

/// Exit status of the reporter that ends the process.
const REPORTED: i32 = 78;

fn install(signal: i32, handler: extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void)) -> Action {
    // SAFETY: the action is initialised, and its handler has the signature that SA_SIGINFO asks
    // for.
    unsafe {
        let mut action = std::mem::zeroed::<Action>();
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        let mut before = std::mem::zeroed();
        assert_eq!(libc::sigaction(signal, &action, &mut before), 0);
        before
    }
}

extern "C" fn report_and_exit(_: i32, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: a handler may end the process like this.
    unsafe { libc::_exit(REPORTED) }
}

fn fault() {
    let address = std::hint::black_box(16) as *const u8;
    // SAFETY: it is not safe: nothing is mapped there, and the process is to fault.
    let _ = std::hint::black_box(unsafe { address.read_volatile() });
}

#[test]
fn a_reporter_that_does_not_pass_on_gets_its_own_faults_and_not_a_guests() {
    let test = a_reporter_that_does_not_pass_on_gets_its_own_faults_and_not_a_guests;
    for case in ["a valid write", "traps", "a fault of the host"] {
        let ended = in_child(test, case, |case| {
            let (engine, module) = tracked(300);
            for signal in [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE] {
                install(signal, report_and_exit);
            }
            match case {
                "a valid write" => write_in_new_instance(&engine, &module, 900_000),
                "traps" => trap_in_new_instance(&engine, &module),
                _ => {
                    write_in_new_instance(&engine, &module, 900_000);
                    fault();
                }
            }
        });
        if let Some((status, text)) = ended {
            let expected = if case == "a fault of the host" { REPORTED } else { 0 };
            assert_eq!(status.code(), Some(expected), "{case}: {status}\n{text}");
        }
    }
}

#[test]
fn a_handler_of_one_signal_alone_is_found_after_a_few_first_entries() {
    passes(a_handler_of_one_signal_alone_is_found_after_a_few_first_entries, "found", |_| {
        let (engine, module) = tracked(30);
        for signal in [libc::SIGBUS, libc::SIGILL, libc::SIGFPE] {
            install(signal, report_and_exit);
            // Each look asks for the first of the signals, and each sixteenth for all.
            (0..16).for_each(|_| write_in_new_instance(&engine, &module, 900_000));
            let is_in_front = install(signal, report_and_exit).sa_sigaction == report_and_exit as *const () as usize;
            assert!(!is_in_front, "{signal}");
        }
    });
}

#[test]
fn an_embedder_that_has_installed_a_handler_can_say_so_at_any_time() {
    passes(an_embedder_that_has_installed_a_handler_can_say_so_at_any_time, "said", |_| {
        let (engine, module) = tracked(5_000);
        install(libc::SIGSEGV, report_and_exit);
        Engine::tls_eager_initialize();
        write_in_new_instance(&engine, &module, 900_000);
        trap_in_new_instance(&engine, &module);
    });
}

static BEFORE: std::sync::OnceLock<Action> = std::sync::OnceLock::new();

fn report() {
    // SAFETY: a handler may write, and the bytes are there.
    unsafe { libc::write(1, c"reported\n".as_ptr().cast(), 9) };
}

/// Notes the fault and passes it on, as a reporter should.
extern "C" fn report_and_pass_on(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    report();
    let before = BEFORE.get().unwrap();
    type Handler = extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void);
    // SAFETY: the action before was minirt's, whose handler has this signature.
    unsafe { std::mem::transmute::<usize, Handler>(before.sa_sigaction)(signal, info, context) }
}

/// Notes the fault, takes itself out and lets the fault happen again.
extern "C" fn report_and_leave(signal: i32, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
    report();
    // SAFETY: the action is one that was installed before. Handlers may do this.
    unsafe { libc::sigaction(signal, BEFORE.get().unwrap(), std::ptr::null_mut()) };
}

#[test]
fn a_fault_of_the_host_goes_round_once_and_ends_the_process() {
    use std::os::unix::process::ExitStatusExt;
    let test = a_fault_of_the_host_goes_round_once_and_ends_the_process;
    for case in ["passed on", "left alone"] {
        let ended = in_child(test, case, |case| {
            // SAFETY: the structure is initialised and outlives the call. The alarm is for a fault
            // that goes round for ever.
            unsafe {
                libc::setrlimit(libc::RLIMIT_CORE, &libc::rlimit { rlim_cur: 0, rlim_max: 0 });
                libc::alarm(20);
            }
            let (engine, module) = tracked(30);
            let handler = if case == "passed on" { report_and_pass_on } else { report_and_leave };
            BEFORE.set(install(libc::SIGSEGV, handler)).unwrap_or_else(|_| unreachable!());
            // Puts minirt's in front again: a guest's faults are not reported.
            write_in_new_instance(&engine, &module, 900_000);
            trap_in_new_instance(&engine, &module);
            println!("no guest's fault is");
            fault();
        });
        if let Some((status, text)) = ended {
            assert_eq!(status.signal(), Some(libc::SIGSEGV), "{case}: {status}\n{text}");
            let (before, after) = text.split_once("no guest's fault is").unwrap();
            assert_eq!([before, after].map(|part| part.matches("reported").count()), [0, 1], "{case}: {text}");
        }
    }
}

#[test]
fn a_handler_that_comes_and_goes_is_put_behind_each_time() {
    passes(a_handler_that_comes_and_goes_is_put_behind_each_time, "comes and goes", |_| {
        let (engine, module) = tracked(30);
        for round in 0..30 {
            let before = install(libc::SIGSEGV, report_and_exit);
            write_in_new_instance(&engine, &module, 65_536 * (round % 60 + 2));
            trap_in_new_instance(&engine, &module);
            // SAFETY: the action is the one that was installed before.
            unsafe { libc::sigaction(libc::SIGSEGV, &before, std::ptr::null_mut()) };
            write_in_new_instance(&engine, &module, 65_536 * (round % 60 + 3));
            trap_in_new_instance(&engine, &module);
        }
    });
}

#[test]
fn where_handlers_are_replaced_for_ever_valid_writes_are_no_faults() {
    extern "C" fn another<const N: usize>(_: i32, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
        // SAFETY: a handler may end the process like this.
        unsafe { libc::_exit(REPORTED) }
    }
    passes(where_handlers_are_replaced_for_ever_valid_writes_are_no_faults, "replaced", |_| {
        let (engine, module) = tracked(30);
        for round in 0..40 {
            install(libc::SIGSEGV, if round % 2 == 0 { another::<0> } else { another::<1> });
            for page in 0..5 {
                write_in_new_instance(&engine, &module, 65_536 * ((round * 7 + page * 11) % 64));
            }
        }
    });
}
