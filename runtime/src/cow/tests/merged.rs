//! Pages that the kernel merges (KSM) while an instance lives.
//!
//! With `use_zero_pages`, the kernel puts its own page of zeros where a guest has written zeros,
//! and that page looks as if nobody had written it. KSM is off on most machines, and then this
//! shows nothing. To switch it on: `echo 1 >/sys/kernel/mm/ksm/use_zero_pages`, and the same for
//! `/sys/kernel/mm/ksm/run`.

use super::*;
use crate::sys::pagemap::{self, Kind};
use std::time::{Duration, Instant};

/// How long the kernel may take to find pages that it can merge.
const PATIENCE: Duration = Duration::from_secs(30);

/// Pages of the memory, of which the image has the first two.
const IN_IMAGE: [usize; 2] = [3, 4];
const BEHIND: usize = 9;

fn merges_zeros() -> bool {
    ["run", "use_zero_pages"]
        .map(|name| std::fs::read_to_string(format!("/sys/kernel/mm/ksm/{name}")).is_ok_and(|text| text.trim() == "1"))
        == [true; 2]
}

fn page(slot: &Slot, page: usize) -> Range<usize> {
    let at = slot.space.at(MEMORY_AT + page * page_size()) as usize;
    at..at + page_size()
}

fn write_zeros(slot: &mut Slot, at: usize) {
    slot.mark_dirty();
    let range = page(slot, at);
    slot.make_writable(range.start as *mut u8, range.len()).unwrap();
    // SAFETY: the page is in the memory, and writable now.
    unsafe { std::ptr::write_bytes(range.start as *mut u8, 0, range.len()) };
}

fn is_zero_page(slot: &Slot, at: usize) -> bool {
    let mut found = None;
    pagemap::kinds(page(slot, at), |kind, _| found = Some(kind)).unwrap();
    found == Some(Kind::Zero)
}

/// Lets the kernel merge all of the memory, and waits until it has merged these pages.
fn merge(slot: &Slot, pages: &[usize]) {
    // SAFETY: this changes nothing that can be seen of the memory, which is mapped.
    let status = unsafe { libc::madvise(slot.space.at(MEMORY_AT).cast(), slot.accessible, libc::MADV_MERGEABLE) };
    assert_eq!(status, 0, "{}", std::io::Error::last_os_error());
    let start = Instant::now();
    while !pages.iter().all(|page| is_zero_page(slot, *page)) {
        assert!(start.elapsed() < PATIENCE, "KSM is on, and has merged nothing");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn zeros_that_a_guest_wrote_are_reset_after_the_kernel_has_merged_them() {
    if !merges_zeros() {
        println!("the kernel does not merge pages of zeros");
        return;
    }
    each(|strategy, mapped| {
        let extents: Vec<Extent> = IN_IMAGE.map(|page| page_of(page as u8, page)).into();
        let image = image(20, extents.clone(), mapped);
        let mut slot = bound(&image, strategy);
        for _ in 0..3 {
            let written = [IN_IMAGE[0], BEHIND];
            written.iter().for_each(|page| write_zeros(&mut slot, *page));
            merge(&slot, &written);
            reset(&mut slot, strategy);
            assert_clean(&slot, &extents, 20);
        }
    });
}
