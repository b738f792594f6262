//! Faults of this thread, handed to a classifier; whatever it does not want goes to the previous handler.
//!
//! This file knows how a signal is received, forwarded and resumed elsewhere. What a fault *means* is
//! decided by the function given to [`install`], which runs inside a signal handler: it must not
//! allocate, lock or panic.

use std::mem::MaybeUninit;
use std::sync::{Once, OnceLock};

/// A fault, as the processor left it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    /// Address of the instruction.
    pub(crate) pc: usize,
    /// Frame pointer at that moment.
    pub(crate) frame: usize,
    /// Address whose access failed, for SIGSEGV and SIGBUS.
    pub(crate) address: Option<usize>,
}

/// How to go on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Resume {
    /// With the same instruction: what it failed for was put right.
    Retry,
    /// Somewhere else.
    At { pc: usize, stack: usize, frame: usize },
}

type Classify = fn(&Fault) -> Option<Resume>;

const SIGNALS: [i32; 4] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE];

static CLASSIFY: OnceLock<Classify> = OnceLock::new();
static mut PREVIOUS: [MaybeUninit<libc::sigaction>; 4] = [MaybeUninit::uninit(); 4];

/// Installs the handler, once in the life of the process.
pub(crate) fn install(classify: Classify) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let _ = CLASSIFY.set(classify);
        for (index, signal) in SIGNALS.into_iter().enumerate() {
            install_one(index, signal);
        }
    });
}

fn install_one(index: usize, signal: i32) {
    // SAFETY: `action` is fully initialised, `handle` has the signature that SA_SIGINFO asks for, and the entry
    // of PREVIOUS is written before the kernel can call `handle` for this signal, and never again after.
    unsafe {
        let previous = &raw mut PREVIOUS[index];
        assert_eq!(libc::sigaction(signal, std::ptr::null(), (*previous).as_mut_ptr()), 0, "sigaction failed");
        let mut action = std::mem::zeroed::<libc::sigaction>();
        let handler: extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void) = handle;
        action.sa_sigaction = handler as usize;
        // NODEFER: resuming elsewhere must not leave the signal blocked while the previous handler runs.
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
        assert_eq!(libc::sigaction(signal, &action, std::ptr::null_mut()), 0, "sigaction failed");
    }
}

extern "C" fn handle(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel passes valid pointers to both, ours for the duration of the handler; for these two
    // signals si_addr is the field that is set.
    let resumed = unsafe {
        let registers = &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs;
        let memory = matches!(signal, libc::SIGSEGV | libc::SIGBUS);
        let fault = Fault {
            pc: registers[libc::REG_RIP as usize] as usize,
            frame: registers[libc::REG_RBP as usize] as usize,
            address: memory.then(|| (*info).si_addr() as usize),
        };
        CLASSIFY.get().and_then(|classify| classify(&fault)).map(|to| {
            if let Resume::At { pc, stack, frame } = to {
                registers[libc::REG_RIP as usize] = pc as i64;
                registers[libc::REG_RSP as usize] = stack as i64;
                registers[libc::REG_RBP as usize] = frame as i64;
            }
        })
    };
    if resumed.is_none() {
        forward(signal, info, context);
    }
}

/// Does what would have happened without us.
fn forward(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let Some(index) = SIGNALS.iter().position(|s| *s == signal) else { return };
    // SAFETY: the entry was written before this handler could be called. The previous handler is called as its
    // own flags say, with what the kernel gave us. Restoring the default action and returning makes
    // the faulting instruction run again and end the process, with the right signal.
    unsafe {
        let previous = PREVIOUS[index].assume_init();
        match previous.sa_sigaction {
            libc::SIG_DFL | libc::SIG_IGN => {
                libc::sigaction(signal, &previous, std::ptr::null_mut());
                if previous.sa_sigaction == libc::SIG_IGN {
                    libc::signal(signal, libc::SIG_DFL);
                }
            }
            address if previous.sa_flags & libc::SA_SIGINFO != 0 => {
                let call: extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void) = std::mem::transmute(address);
                call(signal, info, context);
            }
            address => {
                let call: extern "C" fn(i32) = std::mem::transmute(address);
                call(signal);
            }
        }
    }
}
