//! What a slot must be after everything that can happen to it, for each way of resetting.

use super::image::ImageParts;
use super::*;
use ResetStrategy::{Adaptive, Discard, HotSet, Scan};
use minirt_compiler::instance::image::Extent;

const STRATEGIES: [ResetStrategy; 4] = [Adaptive, HotSet, Scan, Discard];

/// Every way of making a slot clean, with mapped images and with copies.
fn each(mut test: impl FnMut(ResetStrategy, bool)) {
    for strategy in STRATEGIES {
        test(strategy, true);
        test(strategy, false);
    }
}

/// 100 bytes of state in front of what never changes, and two pages of tables of which 300 bytes are not zero.
fn image(memory_pages: usize, extents: Vec<Extent>, mapped: bool) -> Arc<Image> {
    let parts = ImageParts {
        state_at: 64,
        state: vec![7; PAGE + 300 - 64],
        mutable: 64..164,
        tables: 1000..3 * PAGE,
        room: 3 * PAGE,
        extents,
        memory: memory_pages * PAGE,
        memory_file: None,
    };
    Arc::new(Image::new(parts, mapped).unwrap())
}

fn page_of(byte: u8, page: usize) -> Extent {
    Extent { offset: (page * PAGE) as u64, bytes: vec![byte; PAGE].into() }
}

fn bound(image: &Arc<Image>, strategy: ResetStrategy) -> Slot {
    let mut slot = Slot::new().unwrap();
    slot.bind(image, strategy).unwrap();
    slot
}

fn reset(slot: &mut Slot, strategy: ResetStrategy) -> Way {
    slot.reset(Rules { strategy, keep: 1 << 20 }).unwrap()
}

/// Accessible memory, as it is now.
fn memory(slot: &Slot) -> &[u8] {
    // SAFETY: that much is accessible, and the tests write only while they hold no such slice.
    unsafe { std::slice::from_raw_parts(slot.space.at(MEMORY_AT), slot.accessible) }
}

fn state(slot: &Slot) -> &[u8] {
    // SAFETY: the state of a bound slot is accessible.
    unsafe { std::slice::from_raw_parts(slot.space.at(64), 3 * PAGE - 64) }
}

/// A write by the host, with the preparation that the host has to make.
fn write(slot: &mut Slot, at: usize, byte: u8) {
    slot.touch();
    slot.open(slot.space.at(at), 1).unwrap();
    // SAFETY: the tests write to accessible memory or state only, and it is writable now.
    unsafe { *slot.space.at(at) = byte }
}

fn assert_clean(slot: &Slot, extents: &[Extent], pages: usize) {
    let mut expected = vec![0; pages * PAGE];
    for extent in extents {
        expected[extent.offset as usize..][..extent.bytes.len()].copy_from_slice(&extent.bytes);
    }
    assert!(memory(slot) == expected);
    let (full, empty) = state(slot).split_at(PAGE + 300 - 64);
    assert!(full.iter().all(|b| *b == 7) && empty.iter().all(|b| *b == 0));
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
            slot.grow_memory(9 * PAGE).unwrap();
            assert!(memory(&slot)[4 * PAGE..].iter().all(|b| *b == 0));
            for page in 0..9 {
                write(&mut slot, MEMORY_AT + page * PAGE + 5 + round, 0xcc);
            }
            for at in [64, 163, 1000, PAGE - 1, PAGE, PAGE + 299, PAGE + 300, 3 * PAGE - 1] {
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
    assert_eq!(reset(&mut slot, Adaptive), Way::Nothing);
}

#[test]
fn the_same_pages_again_are_reset_without_asking_the_kernel() {
    let mut slot = bound(&image(16, vec![page_of(1, 0)], true), Adaptive);
    let mut ways = Vec::new();
    for _ in 0..300 {
        write(&mut slot, MEMORY_AT + 3 * PAGE, 1);
        write(&mut slot, MEMORY_AT + 7 * PAGE, 1);
        ways.push(reset(&mut slot, Adaptive));
        assert_clean(&slot, &[page_of(1, 0)], 16);
    }
    assert_eq!(ways[0], Way::Scan);
    assert!(ways[1..].iter().all(|way| *way == Way::HotSet), "{ways:?}");
    assert_eq!(slot.kept(), 2);
}

#[test]
fn a_second_slot_of_an_image_is_watched_from_the_start() {
    let image = image(16, vec![], true);
    let mut first = bound(&image, Adaptive);
    write(&mut first, MEMORY_AT + PAGE, 1);
    reset(&mut first, Adaptive);
    let mut second = bound(&image, Adaptive);
    write(&mut second, MEMORY_AT + PAGE, 1);
    assert_eq!((second.misses, reset(&mut second, Adaptive)), (0, Way::HotSet));
}

#[test]
fn a_write_elsewhere_joins_the_hot_set_and_too_many_open_the_slot() {
    each(|strategy, mapped| {
        let mut slot = bound(&image(200, vec![page_of(1, 8)], mapped), strategy);
        for elsewhere in [1, MISSES as usize, MISSES as usize + 3, 90] {
            for page in 0..elsewhere {
                write(&mut slot, MEMORY_AT + (page * 2 + elsewhere % 7) * PAGE, 9);
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
fn wandering_pages_end_in_scans_and_come_back_to_watching() {
    let mut slot = bound(&image(400, vec![], true), Adaptive);
    let mut run = |page: usize| {
        write(&mut slot, MEMORY_AT + page * PAGE, 1);
        let way = reset(&mut slot, Adaptive);
        assert_clean(&slot, &[], 400);
        way
    };
    let wandering: Vec<Way> = (0..60).map(|i| run(i * 37 % 400)).collect();
    assert!(wandering[40..].iter().all(|way| *way == Way::Scan), "{wandering:?}");
    let steady: Vec<Way> = (0..5000).map(|_| run(5)).collect();
    assert_eq!(steady.last(), Some(&Way::HotSet));
}

#[test]
fn a_hot_set_that_is_no_longer_written_is_given_up() {
    let mut slot = bound(&image(600, vec![], true), Adaptive);
    (0..512).for_each(|page| write(&mut slot, MEMORY_AT + page * PAGE, 1));
    reset(&mut slot, Adaptive);
    assert_eq!(slot.kept(), 512);
    for _ in 0..200 {
        write(&mut slot, MEMORY_AT, 1);
        reset(&mut slot, Adaptive);
        assert_clean(&slot, &[], 600);
    }
    assert_eq!(slot.kept(), 1);
}

#[test]
fn a_growing_run_claims_no_more_mappings_than_it_takes() {
    let mut slot = bound(&image(100, vec![], true), HotSet);
    let mut watched = 0;
    for page in 0..100 {
        write(&mut slot, MEMORY_AT + page * PAGE, 1);
        reset(&mut slot, HotSet);
        if let Some(hot) = slot.watched {
            watched += 1;
            assert!(slot.claim.0 <= mappings(&hot), "{} for {hot:?}", slot.claim.0);
        }
    }
    assert!(watched > 50, "watched {watched} times of 100");
}

#[test]
fn a_panic_in_a_reset_leaves_a_slot_that_only_wiping_makes_clean() {
    let image = image(4, vec![], true);
    let mut slot = bound(&image, Adaptive);
    write(&mut slot, MEMORY_AT, 1);
    slot.image = None; // What a reset takes out for the time that it lasts.
    assert!(slot.reset(Rules { strategy: Adaptive, keep: 0 }).is_err());
    slot.bind(&image, Adaptive).unwrap();
    assert_clean(&slot, &[], 4);
}

#[test]
fn after_exposure_any_write_is_found() {
    each(|strategy, mapped| {
        let mut slot = bound(&image(32, vec![page_of(1, 8)], mapped), strategy);
        for round in 0..200 {
            slot.touch();
            slot.expose().unwrap();
            // SAFETY: memory is accessible, and writable after `expose`.
            unsafe { *slot.space.at(MEMORY_AT + (round % 32) * PAGE) = 5 };
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
            (0..10).for_each(|page| write(&mut slot, MEMORY_AT + page * PAGE, 1));
            let way = slot.reset(Rules { strategy, keep }).unwrap();
            assert_eq!(way == Way::Discard, keep < 10);
            assert_eq!(slot.kept(), if keep < 10 { 0 } else { 10 });
            assert_clean(&slot, &[page_of(1, 0)], 32);
        }
    }
}

#[test]
fn a_wiped_slot_can_be_bound_to_another_image() {
    each(|strategy, mapped| {
        let (first, second) = (image(4, vec![page_of(1, 0)], mapped), image(2, vec![], mapped));
        let mut slot = Slot::new().unwrap();
        for _ in 0..3 {
            slot.bind(&first, strategy).unwrap();
            slot.grow_memory(5 * PAGE).unwrap();
            write(&mut slot, MEMORY_AT + 4 * PAGE, 1);
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
fn a_slot_takes_four_mappings_at_the_most_unless_it_is_watched() {
    for (pages, extents, mappings) in [(16, vec![], 3), (16, vec![page_of(1, 2)], 3), (1000, vec![page_of(1, 2)], 4)] {
        let slot = bound(&image(pages, extents, true), Adaptive);
        assert_eq!(lines(&slot).len(), mappings, "{:#?}", lines(&slot));
    }
}

#[test]
fn wiping_leaves_nothing_accessible_and_lets_the_image_go() {
    let image = image(2, vec![page_of(1, 0)], true);
    let mut slot = bound(&image, Adaptive);
    slot.wipe().unwrap();
    assert_eq!(Arc::strong_count(&image), 1);
    assert!(lines(&slot).iter().all(|line| line.contains("---p")), "{:?}", lines(&slot));
}

/// What the kernel says is mapped in a slot.
fn lines(slot: &Slot) -> Vec<String> {
    let range = slot.addresses();
    let inside = |line: &&str| {
        let (start, end) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let [start, end] = [start, end].map(|hex| usize::from_str_radix(hex, 16).unwrap());
        start < range.end && end > range.start
    };
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines().filter(inside).map(str::to_owned).collect()
}
