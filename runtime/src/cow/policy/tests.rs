//! Tests the policy's decisions on made-up observations, without any slot.

use super::*;
use ResetStrategy::{Adaptive, HotSet};

fn room(strategy: ResetStrategy) -> Room {
    Room { pages: 20_000, mappings: 12_000, strategy }
}

fn exact(ranges: &[Range<Page>]) -> TrackingPlan {
    TrackingPlan { writable: PageSet::from_sorted(ranges.iter().cloned()).unwrap(), regions: false }
}

/// Single pages, a fixed distance apart.
fn scattered(pages: Page, distance: Page) -> Vec<Range<Page>> {
    (0..pages).map(|i| i * distance..i * distance + 1).collect()
}

#[test]
fn what_a_run_wrote_is_what_the_next_is_tracked_for() {
    let habits = Habits::default();
    assert_eq!(habits.expected(), None);
    let first = [1..2, 10..12];
    assert_eq!(habits.observed(&first, false, room(Adaptive)), Advice::Track(exact(&first)));
    assert_eq!(habits.expected(), Some(exact(&first)));
    // Another slot's run adds to it.
    assert_eq!(habits.observed(&[2..3], false, room(Adaptive)), Advice::Track(exact(&[1..3, 10..12])));
}

#[test]
fn a_run_that_wrote_nothing_is_a_known_set_too() {
    assert_eq!(Habits::default().observed(&[], false, room(Adaptive)), Advice::Track(exact(&[])));
}

#[test]
fn a_hundred_scattered_pages_are_a_hot_set_of_their_own() {
    let pages = scattered(100, 150);
    assert_eq!(TrackingPlan::new(&pages, room(Adaptive)), Some(exact(&pages)));
}

#[test]
fn where_mappings_are_scarce_a_scattered_set_becomes_regions() {
    let (near, far) = (scattered(100, 30), scattered(100, 150));
    let scarce = Room { mappings: 600, ..room(Adaptive) };
    let plan = TrackingPlan::new(&near, scarce).unwrap();
    assert!(plan.regions && plan.writable.len() <= REGIONS, "{plan:?}");
    assert!(near.iter().all(|run| plan.writable.covers(run)));
    // Regions of more than half of the pages are no better than a scan, unless they are asked for.
    assert_eq!(TrackingPlan::new(&far, scarce), None);
    let forced = TrackingPlan::new(&far, Room { strategy: HotSet, ..scarce }).unwrap();
    assert!(forced.regions && far.iter().all(|run| forced.writable.covers(run)));
}

#[test]
fn sixty_four_runs_are_listed_however_they_lie() {
    for distance in [2, 3, 100] {
        let pages = scattered(64, distance);
        assert_eq!(TrackingPlan::new(&pages, room(Adaptive)), Some(exact(&pages)));
    }
}

#[test]
fn regions_that_lie_near_each_other_are_asked_for_in_one_call() {
    let cluster = |at: Page| (0..150).map(move |i| at + 8 * i..at + 8 * i + 1);
    let near: Vec<Range<Page>> = cluster(0).chain(cluster(1400)).collect();
    let far: Vec<Range<Page>> = cluster(0).chain(cluster(8000)).collect();
    let regions = |pages: &[Range<Page>]| {
        let plan = TrackingPlan::new(pages, room(Adaptive)).unwrap();
        assert!(plan.regions && pages.iter().all(|run| plan.writable.covers(run)));
        plan.writable.len()
    };
    assert_eq!((regions(&near), regions(&far)), (1, 2));
}

#[test]
fn pages_that_need_not_be_copied_are_weighed_against_a_call() {
    // 300 runs with gaps of two pages: joined, each would cost three copies. Asking costs a call
    // and a walk.
    let near = scattered(300, 3);
    assert!(TrackingPlan::new(&near, room(Adaptive)).unwrap().regions);
    // Two gaps more than a set has runs are cheaper than any call.
    let mut few = scattered(241, 5);
    few[9].end += 3;
    let plan = TrackingPlan::new(&few, room(Adaptive)).unwrap();
    assert!(!plan.regions && plan.writable.pages() <= 241 + 5, "{plan:?}");
}

#[test]
fn more_runs_than_a_set_holds_are_joined_where_gaps_are_small() {
    let near: Vec<Range<Page>> = (0..300).map(|i| i * 300..i * 300 + 299).chain([95_000..95_001]).collect();
    let room = Room { pages: 100_000, ..room(Adaptive) };
    assert_eq!(TrackingPlan::new(&near, room), Some(exact(&[0..89_999, 95_000..95_001])));
}

#[test]
fn a_short_set_is_exact_and_a_long_one_closes_gaps_of_a_page() {
    let short = scattered(EXACT_RUNS as Page, 2);
    assert_eq!(TrackingPlan::new(&short, room(Adaptive)), Some(exact(&short)));
    let mut long = scattered(EXACT_RUNS as Page, 50);
    long.insert(1, 2..3);
    let mut closed = long.clone();
    closed.splice(..2, [0..3]);
    assert_eq!(TrackingPlan::new(&long, room(Adaptive)), Some(exact(&closed)));
}

#[test]
fn too_many_scattered_pages_are_scanned_for_longer_each_time() {
    let habits = Habits::default();
    let pages = scattered(2000, 10);
    let advice: Vec<Advice> = (0..3).map(|_| habits.observed(&pages, false, room(Adaptive))).collect();
    let scan = |resets| Advice::Scan { resets };
    assert_eq!(advice, [scan(PATIENCE), scan(2 * PATIENCE), scan(4 * PATIENCE)]);
    assert!((0..40).all(|_| habits.all_made_writable() <= LONGEST));
}

#[test]
fn wandering_pages_are_scanned_for_unless_tracking_is_forced() {
    for (strategy, gives_up) in [(Adaptive, true), (HotSet, false)] {
        let habits = Habits::default();
        let missed = |i: Page| habits.missed(&exact(&[i..i + 1]), true, room(strategy));
        let advice: Vec<Advice> = (0..STRIKES).map(missed).collect();
        assert_eq!(advice.iter().any(|advice| matches!(advice, Advice::Scan { .. })), gives_up);
    }
}

#[test]
fn rare_misses_are_no_reason_to_stop_tracking() {
    let habits = Habits::default();
    let missed = |i: Page| habits.missed(&exact(&[i % 9..i % 9 + 1]), false, room(Adaptive));
    assert!((0..1000).map(missed).all(|advice| matches!(advice, Advice::Track(_))));
}

#[test]
fn what_runs_no_longer_write_is_forgotten() {
    let habits = Habits::default();
    habits.observed(&[0..512], false, room(Adaptive));
    assert_eq!(habits.narrowed(&[0..1], room(Adaptive)), Advice::Track(exact(&[0..1])));
    assert_eq!(habits.expected(), Some(exact(&[0..1])));
}

/// Drives a verification through so many resets; `unwritten` tells what a comparison finds at each.
fn verify(resets: u32, kept: usize, unwritten: impl Fn(u32) -> Vec<Range<Page>>) -> (Vec<u32>, Vec<Range<Page>>) {
    let mut verification = Verification::new();
    let (mut compared, mut given_up) = (Vec::new(), Vec::new());
    for reset in 0..resets {
        if verification.tick(kept, kept) {
            compared.push(reset);
            given_up.extend(verification.conclude(kept, unwritten(reset)));
        }
    }
    (compared, given_up)
}

#[test]
fn pages_that_four_runs_in_a_row_leave_alone_are_given_up_within_ten_resets() {
    let (compared, given_up) = verify(10, 100, |_| vec![10..90]);
    assert_eq!(compared[..4], [1, 2, 3, 4]);
    assert_eq!(given_up[..1], [10..90]);
}

#[test]
fn pages_that_are_written_in_every_other_run_stay() {
    let (_, given_up) = verify(5000, 100, |reset| if reset % 2 == 0 { vec![0..100] } else { vec![] });
    assert_eq!(given_up, vec![]);
}

#[test]
fn comparisons_become_rare() {
    let (compared, _) = verify(10_000, 100, |_| vec![]);
    assert!(compared.len() < 25, "{compared:?}");
}

#[test]
fn a_few_unwritten_pages_do_not_matter() {
    assert_eq!(verify(1000, 8, |_| vec![0..FEW as Page]).1, vec![]);
}

#[test]
fn a_difference_is_what_only_the_first_has() {
    assert_eq!(difference(&[0..5, 8..10, 12..20], &[3..9, 13..14, 19..30]), [0..3, 9..10, 12..13, 14..19]);
    assert_eq!(difference(&[0..5], &[]), vec![0..5]);
    assert_eq!(difference(&[2..4], &[0..9]), vec![]);
}

#[test]
fn an_intersection_is_what_both_have() {
    assert_eq!(intersection(&[0..5, 8..10, 12..20], &[3..9, 13..14, 19..30]), [3..5, 8..9, 13..14, 19..20]);
}
