//! Hands the processor's faults to a classifier. Whatever it does not want gets the action that was
//! there before.
//!
//! Four signals report faults. Of each that arrives, this file decides:
//!
//! - A *fault* that the classifier knows what to do about: the thread goes on, here or elsewhere.
//! - Any other fault, and a signal that somebody has *sent* (`kill`, `raise`): the previous action,
//!   as if minirt had no handler. A previous handler is called as its own flags say.
//!
//! Others install handlers too, at any time. [`keep_in_front`] finds a handler that has taken the
//! place of minirt's, and puts minirt's in front of it: another function each time. So a handler
//! that passes on to the one before it, or puts it back, reaches the action that was there before
//! *itself*, and not itself again.
//!
//! The classifier runs inside a signal handler: it must not allocate, lock or panic.

use super::arch::{self, Position};
use super::fork;
use rustix::io::{Errno, Result};
use std::sync::atomic::{AtomicI32, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Mutex, OnceLock, TryLockError};

/// A fault, as the processor left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Address of the instruction.
    pub(crate) pc: usize,
    /// Frame pointer at that moment.
    pub(crate) frame: usize,
    /// Address whose access failed. `None` where the instruction itself did.
    pub(crate) address: Option<usize>,
}

/// How to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resume {
    /// With the same instruction: what it failed for was put right.
    Retry,
    /// Somewhere else.
    At(Position),
}

type Classify = fn(&Fault) -> Option<Resume>;
type Handler = extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void);

/// The signals that report faults. The first is the one that even a valid write can raise.
const SIGNALS: [i32; 4] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE];

/// Our handlers: the first is installed at the beginning, each other in front of a handler that
/// came later.
const HANDLERS: [Handler; 8] =
    [handle::<0>, handle::<1>, handle::<2>, handle::<3>, handle::<4>, handle::<5>, handle::<6>, handle::<7>];

/// The action that each of minirt's handlers replaced, for each of the signals.
static PREVIOUS: [[Action; SIGNALS.len()]; HANDLERS.len()] =
    [const { [const { Action::new() }; SIGNALS.len()] }; HANDLERS.len()];

/// The highest of minirt's handlers that is installed, for each of the signals.
static HIGHEST: [AtomicUsize; SIGNALS.len()] = [const { AtomicUsize::new(0) }; SIGNALS.len()];

static CLASSIFY: OnceLock<Classify> = OnceLock::new();

/// Held by whoever changes what is installed.
static INSTALLING: Mutex<()> = Mutex::new(());

/// Installs the handler, once in the life of the process.
///
/// # Errors
/// Returns an error if a filter of system calls forbids it.
#[inline]
pub(crate) fn install(classify: Classify) -> Result<()> {
    static ONCE: fork::Once = fork::Once::new();
    ONCE.try_once(|| {
        let _ = CLASSIFY.set(classify);
        for (index, signal) in SIGNALS.into_iter().enumerate() {
            // A child that was forked in the middle of this finds some of them installed. So does
            // the next attempt after one that failed.
            if level_of(installed(signal)?.sa_sigaction).is_none() {
                put_in_front(index, 0)?;
            }
        }
        Ok(())
    })
}

/// Makes sure that faults come to minirt's handlers first, if they have been installed. Returns
/// whether anything had changed. Unless `all` are wanted, it asks for the others only if the first
/// of the signals had another handler.
///
/// # Errors
/// When other handlers have taken their place so often that minirt has none left to put in front,
/// or the system lets none be installed any more. All others stay as they are then.
pub(crate) fn keep_in_front(all: bool) -> std::result::Result<bool, Displaced> {
    if CLASSIFY.get().is_none() {
        return Ok(false);
    }
    let _alone = match INSTALLING.try_lock() {
        Ok(alone) => alone,
        Err(TryLockError::Poisoned(alone)) => alone.into_inner(),
        // Another thread is at it. After a fork, that thread may be none of this process.
        Err(TryLockError::WouldBlock) => return Ok(false),
    };
    let mut changed = false;
    for (index, signal) in SIGNALS.into_iter().enumerate() {
        if index > 0 && !all && !changed {
            break;
        }
        let Ok(now) = installed(signal) else { continue };
        match level_of(now.sa_sigaction) {
            // Those above were taken out, and can be used again.
            Some(level) => HIGHEST[index].store(level, SeqCst),
            None => {
                let level = HIGHEST[index].load(SeqCst) + 1;
                if level == HANDLERS.len() || put_in_front(index, level).is_err() {
                    return Err(Displaced);
                }
                HIGHEST[index].store(level, SeqCst);
                changed = true;
            }
        }
    }
    Ok(changed)
}

/// Other handlers get the faults that minirt's should get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Displaced;

/// Lets this thread have the four signals. Returns whether it had blocked any of them: the kernel
/// ends a process for a fault whose signal is blocked.
pub(crate) fn unblock() -> bool {
    // SAFETY: both sets are initialised before they are read, and outlive the calls.
    unsafe {
        let (mut faults, mut before) = (std::mem::zeroed(), std::mem::zeroed());
        libc::sigemptyset(&mut faults);
        SIGNALS.iter().for_each(|signal| _ = libc::sigaddset(&mut faults, *signal));
        let done = libc::pthread_sigmask(libc::SIG_UNBLOCK, &faults, &mut before);
        done == 0 && SIGNALS.iter().any(|signal| libc::sigismember(&before, *signal) == 1)
    }
}

/// Returns what is installed for a signal.
fn installed(signal: i32) -> Result<libc::sigaction> {
    // SAFETY: the structure outlives the call, which fills it in.
    unsafe {
        let mut action = std::mem::zeroed();
        done(libc::sigaction(signal, std::ptr::null(), &mut action)).map(|()| action)
    }
}

/// Returns the error of a function of the C library that has just returned `status`, if it failed.
fn done(status: i32) -> Result<()> {
    if status == 0 {
        Ok(())
    } else {
        Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::PERM))
    }
}

/// Installs the handler of a level, in front of what is installed now.
fn put_in_front(index: usize, level: usize) -> Result<()> {
    let signal = SIGNALS[index];
    let previous = installed(signal)?;
    // Before the kernel can call the handler for this signal.
    PREVIOUS[level][index].set(&previous);
    let action = our_action(level, &previous);
    // SAFETY: both structures are initialised, and the handler has the signature that SA_SIGINFO
    // asks for.
    unsafe {
        let mut replaced = std::mem::zeroed();
        done(libc::sigaction(signal, &action, &mut replaced))?;
        // Another thread may have been quicker.
        PREVIOUS[level][index].set(&replaced);
    }
    Ok(())
}

/// Returns the level of a handler, if it is minirt's.
fn level_of(address: usize) -> Option<usize> {
    HANDLERS.iter().position(|ours| *ours as usize == address)
}

fn is_handler(address: usize) -> bool {
    !matches!(address, libc::SIG_DFL | libc::SIG_IGN)
}

/// A replaced action, which handlers can read at any time.
struct Action {
    handler: AtomicUsize,
    flags: AtomicI32,
    /// The signals that are blocked while the handler runs: as many as there are, one bit each.
    mask: AtomicU64,
}

impl Action {
    const fn new() -> Self {
        Self { handler: AtomicUsize::new(libc::SIG_DFL), flags: AtomicI32::new(0), mask: AtomicU64::new(0) }
    }

    fn set(&self, action: &libc::sigaction) {
        // SAFETY: the set is initialised.
        let is_member = |signal: &i32| unsafe { libc::sigismember(&action.sa_mask, *signal) == 1 };
        let mask = (1..=64).filter(is_member).fold(0, |mask, signal| mask | 1 << (signal - 1));
        self.mask.store(mask, SeqCst);
        self.flags.store(action.sa_flags, SeqCst);
        self.handler.store(action.sa_sigaction, SeqCst);
    }

    /// Does what the kernel would do with a signal if this action were installed.
    fn apply(&self, signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void, origin: Origin) {
        let flags = self.flags.load(SeqCst);
        match (self.handler.load(SeqCst), origin) {
            // A fault cannot be ignored. Without a handler, it happens again on return, and
            // ends the process with the right signal in the right place.
            (libc::SIG_DFL | libc::SIG_IGN, Origin::Processor(_)) => set_default(signal),
            (libc::SIG_IGN, Origin::Sent) => {}
            (libc::SIG_DFL, Origin::Sent) => {
                set_default(signal);
                // SAFETY: it sends this thread a signal, which it has not blocked: it has just
                // come.
                unsafe { libc::raise(signal) };
            }
            (handler, _) => {
                if flags & libc::SA_RESETHAND != 0 {
                    self.handler.store(libc::SIG_DFL, SeqCst);
                }
                let blocked = self.mask.load(SeqCst) | if flags & libc::SA_NODEFER == 0 { bit(signal) } else { 0 };
                let call = || {
                    // SAFETY: the handler was installed with these flags, which say how it is
                    // called, and gets the kernel's arguments.
                    unsafe {
                        if flags & libc::SA_SIGINFO != 0 {
                            std::mem::transmute::<usize, Handler>(handler)(signal, info, context);
                        } else {
                            std::mem::transmute::<usize, extern "C" fn(i32)>(handler)(signal);
                        }
                    }
                };
                with_blocked(blocked, call);
            }
        }
    }
}

fn bit(signal: i32) -> u64 {
    1 << (signal - 1)
}

fn set_default(signal: i32) {
    // SAFETY: it changes the action for a signal, which takes no memory. Handlers may do that.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
}

/// Calls `f` with these signals blocked in this thread, besides those that are.
fn with_blocked(signals: u64, f: impl FnOnce()) {
    if signals == 0 {
        return f();
    }
    // SAFETY: both sets are initialised before they are read, and outlive the calls. Handlers may
    // make them.
    unsafe {
        let (mut mask, mut before) = (std::mem::zeroed(), std::mem::zeroed());
        libc::sigemptyset(&mut mask);
        (1..=64).filter(|signal| signals & bit(*signal) != 0).for_each(|signal| _ = libc::sigaddset(&mut mask, signal));
        libc::pthread_sigmask(libc::SIG_BLOCK, &mask, &mut before);
        f();
        libc::pthread_sigmask(libc::SIG_SETMASK, &before, std::ptr::null_mut());
    }
}

/// Where a signal comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// The instruction that was interrupted, which failed in a way that can be a guest's doing, or
    /// in another.
    Processor(Option<Failed>),
    /// Anybody else: another process, this one, or the kernel about something else.
    Sent,
}

/// How an instruction failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failed {
    /// Its access to memory.
    Access,
    /// By itself.
    Operation,
}

/// Values of `si_code` that are Linux's everywhere.
mod code {
    pub(super) const SI_KERNEL: i32 = 0x80;
    pub(super) const SEGV_MAPERR: i32 = 1;
    pub(super) const SEGV_ACCERR: i32 = 2;
    pub(super) const SEGV_MTEAERR: i32 = 8;
    pub(super) const BUS_ADRERR: i32 = 2;
    pub(super) const BUS_MCEERR_AO: i32 = 5;
}

/// Says where a signal comes from, by its number and its code.
fn origin(signal: i32, code: i32) -> Origin {
    match (signal, code) {
        // Signals that processes send have a code of 0 or less.
        (_, ..=0) => Origin::Sent,
        // Broken memory somewhere, and a wrong tag some time ago: not this instruction.
        (libc::SIGBUS, code::BUS_MCEERR_AO) | (libc::SIGSEGV, code::SEGV_MTEAERR) => Origin::Sent,
        (libc::SIGSEGV, code::SEGV_MAPERR | code::SEGV_ACCERR) | (libc::SIGBUS, code::BUS_ADRERR) => {
            Origin::Processor(Some(Failed::Access))
        }
        // Here the kernel does not know the address, and says 0.
        (libc::SIGSEGV | libc::SIGBUS, _) | (_, code::SI_KERNEL) => Origin::Processor(None),
        _ => Origin::Processor(Some(Failed::Operation)),
    }
}

extern "C" fn handle<const LEVEL: usize>(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel passes valid information; every signal has a code.
    let origin = origin(signal, unsafe { (*info).si_code });
    if let Origin::Processor(Some(failed)) = origin {
        // SAFETY: the kernel passes the interrupted context. A fault of an access comes with its
        // address.
        let (at, address) =
            unsafe { (arch::interrupted(context), (failed == Failed::Access).then(|| (*info).si_addr() as usize)) };
        let fault = Fault { pc: at.pc, frame: at.frame, address };
        match CLASSIFY.get().and_then(|classify| classify(&fault)) {
            Some(Resume::Retry) => return,
            // SAFETY: as above; that the code there can go on is the classifier's promise.
            Some(Resume::At(position)) => return unsafe { arch::resume(context, position) },
            None => {}
        }
    }
    if let Some(index) = SIGNALS.iter().position(|it| *it == signal) {
        pass_on(LEVEL, index, info, context, origin);
    }
}

/// Applies the action that was there before one of minirt's levels.
///
/// A handler may reset the signal to its default, so that a fault happens again without it and ends
/// the process. What was sent does not happen again: then the handler has reset what was there
/// before minirt's, which stays.
fn pass_on(level: usize, index: usize, info: *mut libc::siginfo_t, context: *mut libc::c_void, origin: Origin) {
    let (signal, previous) = (SIGNALS[index], &PREVIOUS[level][index]);
    if origin != Origin::Sent {
        return previous.apply(signal, info, context, origin);
    }
    let before = installed(signal).ok().filter(|action| level_of(action.sa_sigaction).is_some());
    previous.apply(signal, info, context, origin);
    let after = installed(signal).ok().filter(|action| !is_handler(action.sa_sigaction));
    if let (Some(before), Some(after)) = (before, after) {
        previous.set(&after);
        // SAFETY: the action is one that was installed. Handlers may do this.
        unsafe { libc::sigaction(signal, &before, std::ptr::null_mut()) };
    }
}

/// Returns the action for one of minirt's handlers. What is sent from outside interrupts system
/// calls as it did before.
fn our_action(level: usize, previous: &libc::sigaction) -> libc::sigaction {
    // SAFETY: all zeros are an action: the default, with an empty mask.
    let mut action = unsafe { std::mem::zeroed::<libc::sigaction>() };
    action.sa_sigaction = HANDLERS[level] as usize;
    let restart = if is_handler(previous.sa_sigaction) { previous.sa_flags } else { libc::SA_RESTART };
    // NODEFER: resuming elsewhere must not leave the signal blocked.
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER | (restart & libc::SA_RESTART);
    action
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_never_a_fault() {
        for signal in SIGNALS {
            for sent in [libc::SI_USER, libc::SI_TKILL, libc::SI_QUEUE, libc::SI_TIMER, libc::SI_MESGQ, -60, i32::MIN] {
                assert_eq!(origin(signal, sent), Origin::Sent);
            }
        }
        assert_eq!(origin(libc::SIGBUS, code::BUS_MCEERR_AO), Origin::Sent);
    }

    #[test]
    fn faults_have_an_address_only_where_the_kernel_knows_it() {
        let access = Origin::Processor(Some(Failed::Access));
        assert_eq!([1, 2].map(|code| origin(libc::SIGSEGV, code)), [access; 2]);
        assert_eq!(origin(libc::SIGBUS, 2), access);
        // An address that is none, a memory key, alignment, broken memory.
        for (signal, code) in [(libc::SIGSEGV, 0x80), (libc::SIGSEGV, 4), (libc::SIGBUS, 1), (libc::SIGBUS, 4)] {
            assert_eq!(origin(signal, code), Origin::Processor(None));
        }
        assert_eq!(origin(libc::SIGILL, 2), Origin::Processor(Some(Failed::Operation)));
        assert_eq!(origin(libc::SIGFPE, 1), Origin::Processor(Some(Failed::Operation)));
    }
}
