//! Tests the state of a slot after everything that can happen to it, for each way of resetting.

mod merged;
mod swaps;

use super::image::{ImageParts, to_pages};
use super::*;
use ResetStrategy::{Adaptive, Discard, HotSet, Scan};
use minirt_compiler::base::sparse::SparseBytes;
use minirt_compiler::instance::image::Extent;

const STRATEGIES: [ResetStrategy; 4] = [Adaptive, HotSet, Scan, Discard];

/// Every way of making a slot clean, with mapped images and with copies.
fn each(mut test: impl FnMut(ResetStrategy, bool)) {
    for strategy in STRATEGIES {
        test(strategy, true);
        test(strategy, false);
    }
}

/// 100 bytes of state in front of what never changes, and two pages of tables of which 300 bytes
/// are not zero.
fn image(memory_pages: usize, extents: Vec<Extent>, mapped: bool) -> Arc<Image> {
    let parts = ImageParts {
        state_at: 64,
        state: SparseBytes::from(&vec![7; page_size() + 300 - 64][..]),
        mutable: 64..164,
        constants: 164..200,
        tables: 1000..3 * page_size(),
        room: 3 * page_size(),
        extents,
        memory: memory_pages * page_size(),
        memory_file: None,
    };
    Arc::new(Image::together(vec![parts], mapped).remove(0))
}

fn page_of(byte: u8, page: usize) -> Extent {
    Extent { offset: (page * page_size()) as u64, bytes: vec![byte; page_size()].into() }
}

fn bound(image: &Arc<Image>, strategy: ResetStrategy) -> Slot {
    let mut slot = Slot::new().unwrap();
    slot.bind(image, strategy).unwrap();
    slot
}

fn reset(slot: &mut Slot, strategy: ResetStrategy) -> ResetKind {
    slot.reset(ResetRules { strategy, resident_budget: 1 << 20 }).unwrap()
}

/// Accessible memory, as it is now.
fn memory(slot: &Slot) -> &[u8] {
    // SAFETY: that much is accessible, and the tests write only while they hold no such slice.
    unsafe { std::slice::from_raw_parts(slot.space.at(MEMORY_AT), slot.accessible) }
}

fn state(slot: &Slot) -> &[u8] {
    // SAFETY: the state of a bound slot is accessible.
    unsafe { std::slice::from_raw_parts(slot.space.at(64), 3 * page_size() - 64) }
}

/// A write by the host, with the preparation that the host has to make.
fn write(slot: &mut Slot, at: usize, byte: u8) {
    slot.mark_dirty();
    slot.make_writable(slot.space.at(at), 1).unwrap();
    // SAFETY: the tests write to accessible memory or state only, and it is writable now.
    unsafe { *slot.space.at(at) = byte }
}

fn assert_clean(slot: &Slot, extents: &[Extent], pages: usize) {
    let mut expected = vec![0; pages * page_size()];
    for extent in extents {
        expected[extent.offset as usize..][..extent.bytes.len()].copy_from_slice(&extent.bytes);
    }
    assert!(memory(slot) == expected);
    let (full, empty) = state(slot).split_at(page_size() + 300 - 64);
    assert!(full.iter().all(|b| *b == 7) && empty.iter().all(|b| *b == 0));
}

// The life of a slot, as the module's documentation tells it.

#[test]
fn one_slot_serves_no_image_then_image_a_then_none_then_b_then_a_again() {
    each(|strategy, mapped| {
        let a_extents = vec![page_of(0xa, 1), page_of(0xaa, 3)];
        let b_extents = vec![page_of(0xb, 0)];
        let (none, a, b) =
            (image(2, vec![], mapped), image(6, a_extents.clone(), mapped), image(3, b_extents.clone(), mapped));
        let mut slot = Slot::new().unwrap();
        let lives =
            [(&none, &vec![], 2), (&a, &a_extents, 6), (&none, &vec![], 2), (&b, &b_extents, 3), (&a, &a_extents, 6)];
        for (image, extents, pages) in lives {
            slot.bind(image, strategy).unwrap();
            assert_clean(&slot, extents, pages);
            write(&mut slot, MEMORY_AT, 0xcc);
            write(&mut slot, MEMORY_AT + (pages - 1) * page_size(), 0xcc);
            write(&mut slot, 100, 0xcc);
        }
    });
}

#[test]
fn constants_are_copied_back_if_somebody_wrote_them_for_this_instance() {
    each(|strategy, mapped| {
        let mut slot = bound(&image(2, vec![], mapped), strategy);
        for round in 0..8 {
            write(&mut slot, MEMORY_AT, 1);
            if round % 3 == 1 {
                slot.make_constants_writable().unwrap();
                // SAFETY: they are writable now, and nothing refers to them.
                unsafe { std::ptr::write_bytes(slot.space.at(164), 0xcc, 200 - 164) }
            }
            reset(&mut slot, strategy);
            assert!(!slot.constants_written);
            assert_clean(&slot, &[], 2);
        }
        slot.make_constants_writable().unwrap();
        slot.unmap().unwrap();
        assert!(!slot.constants_written, "the next image's are not copied for nothing");
    });
}

#[test]
fn grown_memory_is_zero_and_gone_after_a_reset() {
    each(|strategy, mapped| {
        let mut slot = bound(&image(2, vec![page_of(1, 0)], mapped), strategy);
        for _ in 0..3 {
            slot.grow_memory(7 * page_size()).unwrap();
            assert!(memory(&slot)[2 * page_size()..].iter().all(|byte| *byte == 0));
            write(&mut slot, MEMORY_AT + 6 * page_size(), 0xcc);
            reset(&mut slot, strategy);
            assert_clean(&slot, &[page_of(1, 0)], 2);
        }
    });
}

#[test]
fn a_bound_slot_is_the_image_then_zeros() {
    for (pages, mapped) in [(6, true), (6, false), (1000, true)] {
        let extents = vec![page_of(1, 1), page_of(2, 3)];
        assert_clean(&bound(&image(pages, extents.clone(), mapped), Adaptive), &extents, pages);
    }
}

#[test]
fn reset_undoes_writes_to_state_tables_image_zeros_and_grown_memory() {
    each(|strategy, mapped| {
        let extents = vec![page_of(1, 0), page_of(2, 2)];
        let mut slot = bound(&image(4, extents.clone(), mapped), strategy);
        for round in 0..6 {
            slot.grow_memory(9 * page_size()).unwrap();
            assert!(memory(&slot)[4 * page_size()..].iter().all(|b| *b == 0));
            for page in 0..9 {
                write(&mut slot, MEMORY_AT + page * page_size() + 5 + round, 0xcc);
            }
            for at in
                [64, 163, 1000, page_size() - 1, page_size(), page_size() + 299, page_size() + 300, 3 * page_size() - 1]
            {
                write(&mut slot, at, 0xcc);
            }
            reset(&mut slot, strategy);
            assert_clean(&slot, &extents, 4);
        }
    });
}

#[test]
fn nothing_is_reset_if_nothing_ran() {
    let mut slot = bound(&image(4, vec![], true), Adaptive);
    assert_eq!(reset(&mut slot, Adaptive), ResetKind::Nothing);
}

#[test]
fn the_same_pages_again_are_reset_without_asking_the_kernel() {
    let mut slot = bound(&image(16, vec![page_of(1, 0)], true), Adaptive);
    let mut kinds = Vec::new();
    for _ in 0..300 {
        write(&mut slot, MEMORY_AT + 3 * page_size(), 1);
        write(&mut slot, MEMORY_AT + 7 * page_size(), 1);
        kinds.push(reset(&mut slot, Adaptive));
        assert_clean(&slot, &[page_of(1, 0)], 16);
    }
    assert_eq!(kinds[0], ResetKind::Scan);
    assert!(kinds[1..].iter().all(|kind| *kind == ResetKind::HotSet), "{kinds:?}");
    assert_eq!(slot.resident_pages(), 2);
}

#[test]
fn a_second_slot_of_an_image_is_tracked_from_the_start() {
    let image = image(16, vec![], true);
    let mut first = bound(&image, Adaptive);
    write(&mut first, MEMORY_AT + page_size(), 1);
    reset(&mut first, Adaptive);
    let mut second = bound(&image, Adaptive);
    write(&mut second, MEMORY_AT + page_size(), 1);
    assert_eq!(
        (second.adaptation.tracking.as_ref().unwrap().misses(), reset(&mut second, Adaptive)),
        (0, ResetKind::HotSet)
    );
}

#[test]
fn a_write_elsewhere_joins_the_hot_set_and_too_many_end_tracking() {
    each(|strategy, mapped| {
        let mut slot = bound(&image(200, vec![page_of(1, 8)], mapped), strategy);
        for elsewhere in [1, policy::MISSES as usize, policy::MISSES as usize + 3, 90] {
            for page in 0..elsewhere {
                write(&mut slot, MEMORY_AT + (page * 2 + elsewhere % 7) * page_size(), 9);
            }
            reset(&mut slot, strategy);
            assert_clean(&slot, &[page_of(1, 8)], 200);
            write(&mut slot, MEMORY_AT, 1);
            reset(&mut slot, strategy);
            assert_clean(&slot, &[page_of(1, 8)], 200);
        }
    });
}

#[test]
fn wandering_pages_end_in_scans_and_come_back_to_tracking() {
    let mut slot = bound(&image(400, vec![], true), Adaptive);
    let mut run = |page: usize| {
        write(&mut slot, MEMORY_AT + page * page_size(), 1);
        let kind = reset(&mut slot, Adaptive);
        assert_clean(&slot, &[], 400);
        kind
    };
    let wandering: Vec<ResetKind> = (0..60).map(|i| run(i * 37 % 400)).collect();
    assert!(wandering[40..].iter().all(|kind| *kind == ResetKind::Scan), "{wandering:?}");
    let steady: Vec<ResetKind> = (0..5000).map(|_| run(5)).collect();
    assert_eq!(steady.last(), Some(&ResetKind::HotSet));
}

#[test]
fn a_hot_set_that_is_no_longer_written_is_given_up() {
    let mut slot = bound(&image(600, vec![], true), Adaptive);
    (0..512).for_each(|page| write(&mut slot, MEMORY_AT + page * page_size(), 1));
    reset(&mut slot, Adaptive);
    assert_eq!(slot.resident_pages(), 512);
    for _ in 0..200 {
        write(&mut slot, MEMORY_AT, 1);
        reset(&mut slot, Adaptive);
        assert_clean(&slot, &[], 600);
    }
    assert_eq!(slot.resident_pages(), 1);
}

#[test]
fn a_growing_run_claims_no_more_mappings_than_it_takes() {
    let mut slot = bound(&image(100, vec![], true), HotSet);
    let mut tracked = 0;
    for page in 0..100 {
        write(&mut slot, MEMORY_AT + page * page_size(), 1);
        reset(&mut slot, HotSet);
        if let Some(tracking) = &slot.adaptation.tracking {
            tracked += 1;
            assert!(tracking.mappings() <= tracking::mappings(tracking.writable()), "{tracking:?}");
        }
    }
    assert!(tracked > 50, "tracked {tracked} times of 100");
}

#[test]
fn fifty_scattered_pages_are_reset_without_asking_the_kernel() {
    let mut slot = bound(&image(20_000, vec![page_of(1, 0)], true), Adaptive);
    let mut kinds = Vec::new();
    for _ in 0..20 {
        (0..50).for_each(|i| write(&mut slot, MEMORY_AT + i * 397 * page_size(), 1));
        kinds.push(reset(&mut slot, Adaptive));
        assert_clean(&slot, &[page_of(1, 0)], 20_000);
    }
    assert_eq!(kinds[0], ResetKind::Scan);
    assert!(kinds[1..].iter().all(|kind| *kind == ResetKind::HotSet), "{kinds:?}");
    assert_eq!(slot.resident_pages(), 50);
}

#[test]
fn pages_too_scattered_to_list_are_scanned_for_in_regions_alone() {
    let mut slot = bound(&image(20_000, vec![page_of(1, 0)], true), Adaptive);
    for round in 0..20 {
        (0..500).for_each(|i| write(&mut slot, MEMORY_AT + (i * 8 + round % 3) * page_size(), 1));
        let kind = if round == 0 { ResetKind::Scan } else { ResetKind::Regions };
        assert_eq!(reset(&mut slot, Adaptive), kind);
        assert_clean(&slot, &[page_of(1, 0)], 20_000);
        let plan = slot.adaptation.tracking.as_ref().unwrap().plan();
        assert!(plan.regions && plan.writable.pages() < 5000, "{plan:?}");
    }
    // A write outside the regions faults once, is undone, and widens them.
    for _ in 0..2 {
        write(&mut slot, MEMORY_AT + 19_000 * page_size(), 1);
        reset(&mut slot, Adaptive);
        assert_clean(&slot, &[page_of(1, 0)], 20_000);
    }
    assert!(
        slot.adaptation
            .tracking
            .as_ref()
            .unwrap()
            .writable()
            .covers(&(to_pages(&(MEMORY_AT + 19_000 * page_size()..MEMORY_AT + 19_001 * page_size()))))
    );
}

#[test]
fn the_second_slot_of_scattered_runs_copies_no_more_than_the_first() {
    // Both were bound before anybody knew what runs write, as when two requests are the first.
    let image = image(20_000, vec![page_of(1, 0)], true);
    let mut slots = [bound(&image, Adaptive), bound(&image, Adaptive)];
    for round in 0..3 {
        for slot in &mut slots {
            (0..500).for_each(|i| write(slot, MEMORY_AT + i * 8 * page_size(), 9));
            reset(slot, Adaptive);
            assert_clean(slot, &[page_of(1, 0)], 20_000);
            let plan = slot.adaptation.tracking.as_ref().unwrap().plan();
            assert!(plan.regions && plan.writable.pages() < 5000, "{round}: {plan:?}");
            assert_eq!(slot.resident_pages(), 500);
        }
    }
}

#[test]
fn the_host_may_ask_for_all_of_a_memory_whose_pages_are_in_regions() {
    let mut slot = bound(&image(20_000, vec![page_of(1, 0)], true), Adaptive);
    for round in 0..80 {
        if round == 70 {
            // It has not done so for long, so the slot learns from what the kernel lists.
            slot.mark_dirty();
            slot.make_all_writable().unwrap();
        }
        (0..500).for_each(|i| write(&mut slot, MEMORY_AT + i * 8 * page_size(), 9));
        reset(&mut slot, Adaptive);
        assert_eq!(slot.resident_pages(), 500, "{round}");
    }
    assert_clean(&slot, &[page_of(1, 0)], 20_000);
    assert!(slot.adaptation.tracking.as_ref().unwrap().plan().regions);
}

#[test]
fn writes_outside_regions_now_and_then_neither_end_tracking_nor_make_regions_many() {
    let mut slot = bound(&image(20_000, vec![], true), Adaptive);
    let (mut most, mut tracked) = (0, 0);
    for round in 0..1200 {
        (0..500).for_each(|i| write(&mut slot, MEMORY_AT + i * 8 * page_size(), 1));
        if round % 20 == 0 {
            write(&mut slot, MEMORY_AT + (4_500 + round * 4) * page_size(), 1);
        }
        reset(&mut slot, Adaptive);
        let regions = slot.adaptation.tracking.as_ref().filter(|tracking| tracking.plan().regions);
        most = most.max(regions.map_or(0, |tracking| tracking.writable().len()));
        tracked += u32::from(regions.is_some());
    }
    assert_clean(&slot, &[], 20_000);
    assert!(tracked > 600, "tracked after {tracked} of 1,200 runs");
    assert!((1..20).contains(&most), "{most} regions, and each takes a system call");
}

#[test]
fn regions_shrink_to_what_is_written() {
    let mut slot = bound(&image(20_000, vec![], true), Adaptive);
    let usual = |slot: &mut Slot| (0..500).for_each(|i| write(slot, MEMORY_AT + i * 8 * page_size(), 1));
    for _ in 0..3000 {
        usual(&mut slot);
        reset(&mut slot, Adaptive);
    }
    write_all(&mut slot, MEMORY_AT..MEMORY_AT + 15_000 * page_size());
    reset(&mut slot, Adaptive);
    for _ in 0..10 {
        usual(&mut slot);
        reset(&mut slot, Adaptive);
    }
    assert_clean(&slot, &[], 20_000);
    let plan = slot.adaptation.tracking.as_ref().unwrap().plan();
    assert!(plan.writable.pages() < 5000 && slot.resident_pages() == 500, "{plan:?}, {:?}", slot.residue);
}

#[test]
fn pages_that_the_kernel_moves_into_huge_ones_are_not_taken_for_written() {
    for strategy in [Adaptive, Scan] {
        let mut slot = bound(&image(20_000, vec![], true), strategy);
        let usual = |slot: &mut Slot| (0..500).for_each(|i| write(slot, MEMORY_AT + i * 8 * page_size(), 1));
        for round in 0..120 {
            usual(&mut slot);
            if round % 6 == 5 && !move_into_huge_pages(&slot, MEMORY_AT..MEMORY_AT + 3_900 * page_size()) {
                eprintln!("this kernel makes no huge pages when it is asked to");
                return;
            }
            reset(&mut slot, strategy);
            assert_eq!(slot.resident_pages(), 500, "{strategy:?}, {round}");
        }
        write_all(&mut slot, MEMORY_AT..MEMORY_AT + 15_000 * page_size());
        reset(&mut slot, strategy);
        for _ in 0..10 {
            usual(&mut slot);
            reset(&mut slot, strategy);
        }
        assert_clean(&slot, &[], 20_000);
        // The kernel may have made a huge page again where the large write ended.
        assert!((500..1_012).contains(&slot.resident_pages()), "{strategy:?}: {}", slot.resident_pages());
    }
}

/// What the kernel does by itself from time to time (`khugepaged`), where it may. Returns whether
/// it can be asked to.
fn move_into_huge_pages(slot: &Slot, range: Range<usize>) -> bool {
    /// Since Linux 6.1.
    const MADV_COLLAPSE: i32 = 25;
    // SAFETY: it changes where the pages are, and not what is in them.
    unsafe { libc::madvise(slot.space.at(range.start).cast(), range.len(), MADV_COLLAPSE) == 0 }
}

/// A bulk operation of the guest.
fn write_all(slot: &mut Slot, range: Range<usize>) {
    slot.mark_dirty();
    slot.make_writable(slot.space.at(range.start), range.len()).unwrap();
    // SAFETY: the tests write to accessible memory or state only, and it is writable now.
    unsafe { std::ptr::write_bytes(slot.space.at(range.start), 0xcc, range.len()) }
}

#[test]
fn what_one_rare_run_wrote_is_given_up_within_ten_resets() {
    for strategy in [Adaptive, HotSet, Scan] {
        let mut slot = bound(&image(5000, vec![page_of(1, 0)], true), strategy);
        let usual = |slot: &mut Slot| (0..40).for_each(|page| write(slot, MEMORY_AT + page * 5 * page_size(), 9));
        for _ in 0..3000 {
            usual(&mut slot);
            reset(&mut slot, strategy);
        }
        write_all(&mut slot, MEMORY_AT + 100 * page_size()..MEMORY_AT + 4100 * page_size());
        reset(&mut slot, strategy);
        assert_clean(&slot, &[page_of(1, 0)], 5000);
        for _ in 0..10 {
            usual(&mut slot);
            reset(&mut slot, strategy);
        }
        assert_clean(&slot, &[page_of(1, 0)], 5000);
        assert_eq!(slot.resident_pages(), 40, "{strategy:?}");
    }
}

#[test]
fn what_every_sixth_run_writes_is_not_given_up_each_time() {
    for strategy in [Adaptive, Scan] {
        let mut slot = bound(&image(600, vec![], true), strategy);
        let (mut given_up, mut kept) = (0, 0);
        for round in 0..3000 {
            (0..40).for_each(|page| write(&mut slot, MEMORY_AT + page * 5 * page_size(), 1));
            if round % 6 == 5 {
                write_all(&mut slot, MEMORY_AT + 300 * page_size()..MEMORY_AT + 500 * page_size());
            }
            reset(&mut slot, strategy);
            given_up += usize::from(slot.resident_pages() < kept);
            kept = slot.resident_pages();
        }
        assert!(given_up < 20, "{strategy:?}: given up {given_up} times");
    }
}

#[test]
fn a_forced_hot_set_is_one_however_scattered_the_pages_are() {
    let mut slot = bound(&image(20_000, vec![], true), HotSet);
    for _ in 0..10 {
        (0..500).for_each(|i| write(&mut slot, MEMORY_AT + i * 39 * page_size(), 1));
        reset(&mut slot, HotSet);
        assert!(slot.adaptation.tracking.is_some());
        assert_clean(&slot, &[], 20_000);
    }
}

#[test]
fn what_only_the_first_run_wrote_is_given_up_within_ten_resets() {
    let mut slot = bound(&image(600, vec![page_of(1, 0)], true), Adaptive);
    (0..300).for_each(|page| write(&mut slot, MEMORY_AT + page * page_size(), 1));
    for _ in 0..10 {
        (0..40).for_each(|page| write(&mut slot, MEMORY_AT + page * 5 * page_size(), 1));
        reset(&mut slot, Adaptive);
        assert_clean(&slot, &[page_of(1, 0)], 600);
    }
    assert_eq!(slot.resident_pages(), 40);
}

#[test]
fn a_page_that_is_written_now_and_then_does_not_make_the_set_flap() {
    let mut slot = bound(&image(600, vec![], true), Adaptive);
    let mut faults = 0;
    for round in 0..2000 {
        (0..40).for_each(|page| write(&mut slot, MEMORY_AT + (page * 5 + round % 2) * page_size(), 1));
        faults += slot.adaptation.tracking.as_ref().map_or(0, Tracking::misses);
        reset(&mut slot, Adaptive);
    }
    assert!(faults < 100, "{faults} faults in 2,000 runs");
}

#[test]
fn pages_left_behind_by_a_larger_tenant_stay_counted() {
    let mut slot = bound(&image(2, vec![], true), Adaptive);
    slot.grow_memory(40 * page_size()).unwrap();
    (20..30).for_each(|page| write(&mut slot, MEMORY_AT + page * page_size(), 1));
    reset(&mut slot, Adaptive);
    let before = slot.resident_pages();
    assert!(before >= 10);
    // A smaller tenant that grows less far neither loses nor frees them.
    slot.grow_memory(5 * page_size()).unwrap();
    write(&mut slot, MEMORY_AT + 4 * page_size(), 1);
    reset(&mut slot, Adaptive);
    assert_eq!(slot.resident_pages(), before + 1);
    // Pages above the budget are given back, wherever they lie.
    slot.mark_dirty();
    slot.reset(ResetRules { strategy: Adaptive, resident_budget: 0 }).unwrap();
    assert_eq!(slot.resident_pages(), 0);
}

#[test]
fn a_write_fault_is_handled_without_allocating_or_freeing() {
    let mut slot = bound(&image(600, vec![], true), Adaptive);
    write(&mut slot, MEMORY_AT, 1);
    reset(&mut slot, Adaptive);
    for page in 0..=policy::MISSES as usize {
        slot.mark_dirty();
        assert!(slot.handle_write_fault(slot.space.at(MEMORY_AT + (100 + 2 * page) * page_size()) as usize, 0));
    }
    // One too many ended tracking; what it held is freed by the reset, not by the handler.
    assert!(slot.adaptation.tracking.is_none() && slot.adaptation.has_ended());
    reset(&mut slot, Adaptive);
    assert!(!slot.adaptation.has_ended());
}

#[test]
fn a_poisoned_slot_stays_poisoned_whatever_is_tried() {
    let image = image(4, vec![], true);
    let mut slot = bound(&image, Adaptive);
    slot.mark_dirty();
    slot.state = State::Poisoned;
    slot.mark_dirty();
    slot.make_all_writable().unwrap();
    for _ in 0..2 {
        assert!(slot.reset(ResetRules { strategy: Adaptive, resident_budget: 100 }).is_err());
    }
    slot.bind(&image, Adaptive).unwrap();
    assert_clean(&slot, &[], 4);
}

#[test]
fn a_panic_in_a_reset_leaves_a_slot_that_only_unmapping_makes_clean() {
    let image = image(4, vec![], true);
    let mut slot = bound(&image, Adaptive);
    write(&mut slot, MEMORY_AT, 1);
    slot.image = None; // What a reset takes out for the time that it lasts.
    slot.state = State::Poisoned;
    assert!(slot.reset(ResetRules { strategy: Adaptive, resident_budget: 0 }).is_err());
    slot.bind(&image, Adaptive).unwrap();
    assert_clean(&slot, &[], 4);
}

#[test]
fn after_exposure_any_write_is_found() {
    each(|strategy, mapped| {
        let mut slot = bound(&image(32, vec![page_of(1, 8)], mapped), strategy);
        for round in 0..200 {
            slot.mark_dirty();
            slot.make_all_writable().unwrap();
            // SAFETY: memory is accessible, and writable after `make_all_writable`.
            unsafe { *slot.space.at(MEMORY_AT + (round % 32) * page_size()) = 5 };
            reset(&mut slot, strategy);
            assert_clean(&slot, &[page_of(1, 8)], 32);
        }
    });
}

#[test]
fn what_may_not_be_kept_is_discarded() {
    for strategy in [Adaptive, HotSet, Scan] {
        let mut slot = bound(&image(32, vec![page_of(1, 0)], true), strategy);
        for keep in [32, 32, 3, 32, 0] {
            (0..10).for_each(|page| write(&mut slot, MEMORY_AT + page * page_size(), 9));
            let kind = slot.reset(ResetRules { strategy, resident_budget: keep }).unwrap();
            assert_eq!(kind == ResetKind::Discard, keep < 10);
            assert_eq!(slot.resident_pages(), if keep < 10 { 0 } else { 10 });
            assert_clean(&slot, &[page_of(1, 0)], 32);
        }
    }
}

#[test]
fn an_unmapped_slot_can_be_bound_to_another_image() {
    each(|strategy, mapped| {
        let (first, second) = (image(4, vec![page_of(1, 0)], mapped), image(2, vec![], mapped));
        let mut slot = Slot::new().unwrap();
        for _ in 0..3 {
            slot.bind(&first, strategy).unwrap();
            slot.grow_memory(5 * page_size()).unwrap();
            write(&mut slot, MEMORY_AT + 4 * page_size(), 1);
            reset(&mut slot, strategy);
            slot.bind(&second, strategy).unwrap();
            assert_clean(&slot, &[], 2);
            write(&mut slot, MEMORY_AT, 1);
            slot.bind(&first, strategy).unwrap();
            assert_clean(&slot, &[page_of(1, 0)], 4);
        }
    });
}

#[test]
fn no_write_reaches_the_image() {
    let image = image(2, vec![page_of(1, 0)], true);
    let mut slot = bound(&image, Adaptive);
    write(&mut slot, MEMORY_AT, 0xcc);
    write(&mut slot, 100, 0xcc);
    assert_clean(&bound(&image, Adaptive), &[page_of(1, 0)], 2);
}

#[test]
fn a_slot_takes_four_mappings_at_the_most_unless_it_is_tracked() {
    for (pages, extents, mappings) in [(16, vec![], 3), (16, vec![page_of(1, 2)], 3), (1000, vec![page_of(1, 2)], 4)] {
        let slot = bound(&image(pages, extents, true), Adaptive);
        assert_eq!(lines(&slot).len(), mappings, "{:#?}", lines(&slot));
    }
}

#[test]
fn unmapping_leaves_nothing_accessible_and_lets_the_image_go() {
    let image = image(2, vec![page_of(1, 0)], true);
    let mut slot = bound(&image, Adaptive);
    slot.unmap().unwrap();
    assert_eq!(Arc::strong_count(&image), 1);
    assert!(lines(&slot).iter().all(|line| line.contains("---p")), "{:?}", lines(&slot));
}

/// Returns the mappings of a slot, as the kernel lists them.
fn lines(slot: &Slot) -> Vec<String> {
    let range = slot.addresses();
    let inside = |line: &&str| mapping(line).start < range.end && mapping(line).end > range.start;
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let mut lines: Vec<String> = maps.lines().filter(inside).map(str::to_owned).collect();
    // The kernel may have joined the last one with what lies after the slot.
    if let Some(last) = lines.last_mut() {
        let Range { start, end } = mapping(last);
        let rest = last.split_once(' ').unwrap().1.to_owned();
        *last = format!("{:x}-{:x} {rest}", start.max(range.start), end.min(range.end));
    }
    lines
}

/// Returns the addresses that a line of the kernel's list is about.
fn mapping(line: &str) -> Range<usize> {
    let (start, end) = line.split(' ').next().unwrap().split_once('-').unwrap();
    let [start, end] = [start, end].map(|hex| usize::from_str_radix(hex, 16).unwrap());
    start..end
}
