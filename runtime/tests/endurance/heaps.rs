//! Many round trips of instances with objects, and many such instances at once.

use crate::alone;
use crate::common::heaps::{OBJECTS, assert_fresh, mess};
use crate::common::{Random, call, call_i32, number_from_environment};
use crate::soak::Process;
use minirt::{Engine, Instance, Module, Store, Val};

/// Checks that an instance is fresh, and leaves a mess; now and then it is reset in place before,
/// or becomes a snapshot that is the start of another instance.
fn round_trip(engine: &Engine, module: &Module, random: &mut Random) {
    let mut store = Store::new(engine, ());
    let it = Instance::new(&mut store, module, &[]).unwrap();
    assert_eq!(call_i32(&mut store, it, "check", &[]).unwrap(), 0, "not fresh");
    let how = random.below(1000);
    let ended = mess(&mut store, it, how);
    assert_eq!(ended.is_err(), matches!(how % 8, 4 | 6), "{ended:?}");
    match random.below(32) {
        // Neither with values of the host, nor with an exception that nobody has caught.
        0..4 if how % 8 < 5 => {
            it.reset(&mut store).unwrap();
            assert_fresh(&mut store, it, "a reset in place");
        }
        4 if how % 8 < 5 => {
            let sum = call_i32(&mut store, it, "sum", &[]).unwrap();
            let snapshot = it.snapshot(&mut store).unwrap();
            let mut store = Store::new(engine, ());
            let copy = Instance::new(&mut store, snapshot.module(), &[]).unwrap();
            assert_eq!(call_i32(&mut store, copy, "sum", &[]).unwrap(), sum, "a snapshot");
            mess(&mut store, copy, how).ok();
        }
        _ => {}
    }
}

/// A few thousand by default. `MINIRT_SOAK` changes the number.
#[test]
fn round_trips_with_objects_take_no_more_than_the_first_ones() {
    let _alone = alone();
    let count = number_from_environment("MINIRT_SOAK").unwrap_or(4_000);
    let engine = Engine::default();
    let module = Module::new(&engine, OBJECTS).unwrap();
    let mut random = Random(number_from_environment("MINIRT_SEED").unwrap_or(1));
    let mut trips = |count: u64| (0..count).for_each(|_| round_trip(&engine, &module, &mut random));
    // Long enough for every way to leave a mess, in both slots of an instance.
    trips(count / 4);
    let before = Process::now();
    for _ in 1..4 {
        trips(count / 4);
        Process::now().assert_no_more_than(before, "a round trip with objects leaves something behind");
    }
    assert_eq!(engine.stats().live, 0);
}

#[test]
fn a_thousand_heaps_live_at_once_each_with_its_own_objects() {
    let _alone = alone();
    const ALL: usize = 1000;
    let engine = Engine::default();
    let module = Module::new(&engine, OBJECTS).unwrap();
    for time in 0..2 {
        let mut live: Vec<_> = (0..ALL)
            .map(|number| {
                let mut store = Store::new(&engine, ());
                let it = Instance::new(&mut store, &module, &[]).unwrap();
                assert_eq!(call_i32(&mut store, it, "check", &[]).unwrap(), 0, "instance {number}, time {time}");
                call(&mut store, it, "mess", &[Val::I32(number as i32)]).unwrap();
                let sum = call_i32(&mut store, it, "sum", &[]).unwrap();
                (store, it, sum)
            })
            .collect();
        // Collections of one leave the others alone.
        for (store, it, sum) in live.iter_mut().step_by(2) {
            call(store, *it, "garbage", &[Val::I32(60)]).unwrap();
            assert_eq!(call_i32(store, *it, "sum", &[]).unwrap(), *sum);
        }
        for (number, (store, it, sum)) in live.iter_mut().enumerate() {
            assert_eq!(call_i32(store, *it, "sum", &[]).unwrap(), *sum, "instance {number}, time {time}");
        }
        drop(live);
        let stats = engine.stats();
        assert_eq!((stats.live, stats.idle), (0, 2 * ALL), "time {time}");
    }
}
