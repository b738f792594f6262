//! Finds out where stacks end.
//!
//! A thread's own stack is the C library's to know. Any other (a fiber's) is memory that somebody
//! has mapped: the kernel is asked what is accessible around an address on it.

use super::limits::limit_of;
use super::mapping::{page_size, program_name};
use super::proc_file::MAPPINGS;
use std::ops::Range;

/// The most that is believed of the limit of the main thread's stack. The kernel keeps 128 MiB
/// below the top of the stack free when a program begins, or more if the limit is higher then. If
/// it is raised later, something may be mapped in what it promises.
const MOST: u64 = 64 << 20;

/// Returns the addresses of this thread's stack; none if that cannot be found out.
pub(crate) fn of_this_thread() -> Range<usize> {
    // The C library reads the list of all mappings for the main thread, which takes as long as a
    // small guest.
    main_stack_here().unwrap_or_else(ask_c_library)
}

/// Returns the addresses that the main thread's stack can have, if this runs on it and there is a
/// limit that can be believed.
fn main_stack_here() -> Option<Range<usize>> {
    let local = 0_u8;
    let limit = limit_of(libc::RLIMIT_STACK).ok().flatten().filter(|bytes| *bytes <= MOST)?;
    let (end, pages) = (end_of_main_stack(), limit as usize / page_size());
    Some(end.saturating_sub(pages * page_size())..end).filter(|stack| stack.contains(&(&raw const local as usize)))
}

/// Returns where the main thread's stack ends: behind the name of the program.
fn end_of_main_stack() -> usize {
    program_name().next_multiple_of(page_size())
}

fn ask_c_library() -> Range<usize> {
    let (mut start, mut size) = (std::ptr::null_mut(), 0);
    // SAFETY: the attribute object is initialised by pthread_getattr_np, read only if that
    // succeeded, and destroyed once. pthread_self is this thread, which is alive.
    unsafe {
        let mut attributes = std::mem::zeroed::<libc::pthread_attr_t>();
        if libc::pthread_getattr_np(libc::pthread_self(), &mut attributes) == 0 {
            libc::pthread_attr_getstack(&attributes, &mut start, &mut size);
            libc::pthread_attr_destroy(&mut attributes);
        }
    }
    if size == 0 { of_process() } else { start as usize..start as usize + size }
}

/// Returns the addresses that the main thread's stack can have. The C library asks /proc, which may
/// be missing.
fn of_process() -> Range<usize> {
    /// Where there is no limit, or nobody may know it.
    const USUAL: u64 = 8 << 20;
    let end = end_of_main_stack();
    let limit = limit_of(libc::RLIMIT_STACK).ok().flatten();
    let size = limit.map_or(USUAL, |bytes| bytes.min(MOST));
    end.saturating_sub(size as usize)..end
}

/// Returns the addresses of the stack that `here` is on, which is not this thread's own. `least` is
/// the lowest address that matters: if the stack goes on below, the range may start there.
pub(crate) fn around(here: usize, least: usize) -> Range<usize> {
    mapping_around(here).unwrap_or_else(|| probe_around(here, least))
}

/// `struct procmap_query` of the kernel's interface.
#[repr(C)]
#[derive(Default)]
struct Query {
    size: u64,
    flags: u64,
    address: u64,
    start: u64,
    end: u64,
    vma_flags: u64,
    page_size: u64,
    offset: u64,
    inode: u64,
    device: [u32; 2],
    name_size: u32,
    build_id_size: u32,
    name: u64,
    build_id: u64,
}

/// `_IOWR('f', 17, struct procmap_query)`.
const PROCMAP_QUERY: libc::Ioctl = (3 << 30 | size_of::<Query>() << 16 | (b'f' as usize) << 8 | 17) as _;
/// Only mappings that can be read and written.
const READABLE_AND_WRITABLE: u64 = 1 | 2;

/// Returns the mapping that an address is in: `PROCMAP_QUERY`, since Linux 6.11.
fn mapping_around(here: usize) -> Option<Range<usize>> {
    let file = MAPPINGS.descriptor()?;
    let mut query = Query {
        size: size_of::<Query>() as u64,
        flags: READABLE_AND_WRITABLE,
        address: here as u64,
        ..Query::default()
    };
    // SAFETY: the structure has the kernel's layout, asks for no text, and outlives the call.
    let found = unsafe { libc::ioctl(file, PROCMAP_QUERY, &raw mut query) } == 0;
    let range = query.start as usize..query.end as usize;
    (found && range.contains(&here)).then_some(range)
}

/// Returns the accessible pages around an address: down to `least`, and as many above.
fn probe_around(here: usize, least: usize) -> Range<usize> {
    let page = here & !(page_size() - 1);
    let pages = (page.saturating_sub(least)).div_ceil(page_size());
    let below = (1..=pages).take_while(|n| is_readable(page - n * page_size())).count();
    let above = (1..=pages).take_while(|n| is_readable(page + n * page_size())).count();
    page - below * page_size()..page + (above + 1) * page_size()
}

/// Returns whether the kernel can read what is there.
pub(crate) fn is_readable(address: usize) -> bool {
    const NO_SUCH_OPERATION: i32 = -1;
    const BYTES: usize = 8;
    // SAFETY: the kernel reads a set of signals there, if it can, and then refuses to do anything
    // with it.
    let refused = unsafe {
        libc::syscall(libc::SYS_rt_sigprocmask, NO_SUCH_OPERATION, address, std::ptr::null_mut::<u8>(), BYTES)
    };
    refused != 0 && std::io::Error::last_os_error().raw_os_error() != Some(libc::EFAULT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::mapping::{Access, Reservation};

    #[test]
    fn a_local_variable_is_on_this_threads_stack() {
        let local = 0_u8;
        let here = &raw const local as usize;
        assert!(of_this_thread().contains(&here));
        std::thread::spawn(move || assert!(!of_this_thread().contains(&here))).join().unwrap();
    }

    #[test]
    fn no_other_thread_is_on_the_main_threads_stack() {
        assert_eq!(std::thread::spawn(main_stack_here).join().unwrap(), None);
    }

    #[test]
    fn the_main_threads_stack_is_found_without_the_list_of_mappings() {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let line = maps.lines().find(|line| line.ends_with("[stack]")).unwrap();
        let (start, end) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let [start, end] = [start, end].map(|hex| usize::from_str_radix(hex, 16).unwrap());
        let found = of_process();
        assert_eq!(found.end, end);
        assert!(found.start < start && found.len() < 1 << 40, "{found:x?}, which has used {start:x}..{end:x}");
    }

    #[test]
    fn a_stack_ends_at_its_guard_whichever_way_it_is_found() {
        let space = Reservation::new(40 * page_size()).unwrap();
        let at = |page: usize| space.addresses().start + page * page_size();
        // SAFETY: nothing refers to this memory.
        unsafe { space.map_zeros(3 * page_size()..30 * page_size(), Access::ReadWrite) }.unwrap();
        let here = at(20) + 100;
        assert_eq!(probe_around(here, at(0)), at(3)..at(30));
        assert_eq!(probe_around(here, at(10)), at(10)..at(30));
        assert!([None, Some(at(3)..at(30))].contains(&mapping_around(here)), "where the kernel can be asked");
        assert_eq!(mapping_around(at(1)), None);
    }
}
