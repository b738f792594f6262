//! System calls that a filter denies: for good, and from some moment on.

use crate::child::{case, passes};
use crate::common::heaps::OBJECTS;
use crate::common::{STRATEGIES, call, can_forbid, config, each_config, forbid, forbid_opening};
use crate::life::{OTHER, PAGE, TEXT, WASM_PAGE, instance_of, live, live_elsewhere, live_with_objects, rounds};
use minirt::{Engine, Instance, Module, Store, Val};

/// `PAGEMAP_SCAN`, as a request of `ioctl`.
const PAGEMAP_SCAN: u32 = 0xc060_6610;

#[test]
fn without_the_scan_everything_is_clean_all_the_same() {
    if !can_forbid() {
        return;
    }
    let errors = [("never there", libc::ENOTTY), ("forbidden", libc::EPERM), ("out of memory", libc::ENOMEM)];
    for (case, error) in errors {
        for from_the_start in [true, false] {
            let case = format!("{case}, {}", if from_the_start { "from the start" } else { "all of a sudden" });
            passes(without_the_scan_everything_is_clean_all_the_same, &case, |_| {
                if from_the_start {
                    forbid(libc::SYS_ioctl, Some((1, PAGEMAP_SCAN)), error);
                }
                let mut engines = Vec::new();
                each_config(|_, strategy, mut config| {
                    let engine = Engine::new(config.max_instances(2)).unwrap();
                    let [module, other] = [TEXT, OTHER].map(|text| Module::new(&engine, text).unwrap());
                    rounds(&engine, &module, &other, 40);
                    engines.push((strategy, engine, module, other));
                });
                if !from_the_start {
                    forbid(libc::SYS_ioctl, Some((1, PAGEMAP_SCAN)), error);
                }
                for (strategy, engine, module, other) in &engines {
                    let before = engine.stats();
                    rounds(engine, module, other, 40);
                    let after = engine.stats();
                    assert_eq!(after.resets_scan, before.resets_scan, "{strategy:?}: the filter works");
                    // How the pages are is not known then, and that is said with zeros.
                    let mut store = Store::new(engine, ());
                    let it = Instance::new(&mut store, module, &[]).unwrap();
                    assert_eq!(it.page_stats(&store).private, 0);
                }
            });
        }
    }
}

#[test]
fn without_proc_everything_is_clean_all_the_same() {
    if !can_forbid() {
        return;
    }
    passes(without_proc_everything_is_clean_all_the_same, "no /proc", |_| {
        forbid_opening(libc::ENOENT);
        each_config(|_, _, mut config| {
            let engine = Engine::new(config.max_instances(2)).unwrap();
            let [module, other] = [TEXT, OTHER].map(|text| Module::new(&engine, text).unwrap());
            rounds(&engine, &module, &other, 60);
        });
    });
}

#[test]
fn where_a_profilers_file_cannot_be_written_compiling_is_an_error() {
    passes(where_a_profilers_file_cannot_be_written_compiling_is_an_error, "profiler", |_| {
        let path = format!("/tmp/perf-{}.map", std::process::id());
        std::fs::create_dir(&path).unwrap();
        // SAFETY: no other thread of this process looks at the environment now.
        unsafe { std::env::set_var("PERF_BUILDID_DIR", "") };
        let error = Module::new(&Engine::default(), TEXT).unwrap_err();
        std::fs::remove_dir(&path).unwrap();
        let text = format!("{error:#}");
        assert!(text.contains("PERF_BUILDID_DIR") && text.contains(&path), "{text}");
        let engine = Engine::default();
        live(&engine, &Module::new(&engine, TEXT).unwrap(), 0).unwrap();
        std::fs::remove_file(path).unwrap();
    });
}

/// Moments at which a system call begins to fail.
const MOMENTS: [&str; 6] = ["compile", "first", "warm", "grow", "write", "drop"];

/// System calls of a runtime like this, with the errors that they have in practice.
pub(crate) const CALLS: [(&str, i64, i32); 11] = [
    ("mmap", libc::SYS_mmap, libc::ENOMEM),
    ("mprotect", libc::SYS_mprotect, libc::ENOMEM),
    ("madvise", libc::SYS_madvise, libc::EAGAIN),
    ("munmap", libc::SYS_munmap, libc::ENOMEM),
    ("memfd_create", libc::SYS_memfd_create, libc::EMFILE),
    ("memfd_create is missing", libc::SYS_memfd_create, libc::ENOSYS),
    ("ftruncate", libc::SYS_ftruncate, libc::ENOSPC),
    ("pwrite", libc::SYS_pwrite64, libc::ENOSPC),
    ("fcntl", libc::SYS_fcntl, libc::EPERM),
    ("sigaltstack", libc::SYS_sigaltstack, libc::ENOMEM),
    ("ioctl", libc::SYS_ioctl, libc::ENOMEM),
];

#[test]
fn a_system_call_that_fails_from_some_moment_on_is_an_error_or_goes_unnoticed() {
    if !can_forbid() {
        return;
    }
    let test = a_system_call_that_fails_from_some_moment_on_is_an_error_or_goes_unnoticed;
    if let Some(case) = case() {
        return passes(test, &case, fail_from_some_moment_on);
    }
    let cases = CALLS.iter().flat_map(|(call, ..)| MOMENTS.map(|moment| format!("{call}/{moment}")));
    let cases: Vec<String> = cases.flat_map(|case| [format!("{case}/images"), format!("{case}/copies")]).collect();
    std::thread::scope(|scope| {
        for cases in cases.chunks(cases.len().div_ceil(2)) {
            scope.spawn(move || cases.iter().for_each(|case| passes(test, case, |_| unreachable!())));
        }
    });
}

fn fail_from_some_moment_on(case: &str) {
    let [call_name, moment, images] = case.split('/').collect::<Vec<_>>()[..] else { panic!("no such case: {case}") };
    let (_, number, error) = *CALLS.iter().find(|(name, ..)| *name == call_name).unwrap();
    // Room for what the test itself allocates, so that the allocator does not need the call that
    // fails.
    let mut room = vec![1_u8; 64 << 20];
    room.iter_mut().step_by(PAGE).for_each(|byte| *byte = 2);
    let setups: Vec<_> = STRATEGIES
        .map(|strategy| Engine::new(config(strategy, images == "images").max_instances(3)).unwrap())
        .map(|engine| {
            let modules = [TEXT, OTHER, OBJECTS].map(|text| Module::new(&engine, text).unwrap());
            (engine, modules)
        })
        .into();
    if !["compile", "first"].contains(&moment) {
        for (engine, [module, other, objects]) in &setups {
            rounds(engine, module, other, 40);
            (0..4).for_each(|round| live_with_objects(engine, objects, round).unwrap());
        }
    }
    let mut live_ones: Vec<_> = match moment {
        "grow" | "write" | "drop" => setups.iter().map(|(engine, [module, ..])| instance_of(engine, module)).collect(),
        _ => Vec::new(),
    };
    if moment == "drop" {
        for (store, it) in &mut live_ones {
            call(store, *it, "grow", &[Val::I32(1)]).unwrap();
            call(store, *it, "dirty", &[Val::I32(0), Val::I32(3 * PAGE as i32), Val::I32(25)]).unwrap();
        }
    }
    drop(room);
    forbid(number, None, error);
    let mut outcomes = String::new();
    let mut note = |outcome: minirt::Result<()>| outcomes += if outcome.is_ok() { "+" } else { "-" };
    for (engine, _) in &setups {
        if moment == "compile" {
            let module = Module::new(engine, OTHER);
            note(module.and_then(|module| live_elsewhere(engine, &module)));
        }
    }
    for (store, it) in &mut live_ones {
        match moment {
            "grow" => note(call(store, *it, "grow", &[Val::I32(2)]).map(drop)),
            "write" => {
                // Pages that are not in the hot set: in memory, in a table, and by the host.
                note(call(store, *it, "write", &[Val::I32(3 * WASM_PAGE as i32 - 4)]).map(drop));
                note(call(store, *it, "table", &[Val::I32(2)]).map(drop));
                note(it.get_memory(&*store, "m").unwrap().write(&mut *store, 50_000, b"host").map_err(Into::into));
                note(call(store, *it, "table", &[Val::I32(1900)]).map(drop));
                note(call(store, *it, "tgrow", &[]).map(drop));
            }
            _ => {}
        }
    }
    drop(live_ones);
    for round in 0..40 {
        for (engine, [module, other, objects]) in &setups {
            note(live(engine, module, round));
            if round % 8 == 2 {
                note(live_with_objects(engine, objects, round / 8));
            }
            if round % 3 == 2 {
                note(live_elsewhere(engine, other));
            }
            let stats = engine.stats();
            assert!(stats.live == 0 && stats.idle <= 3 && stats.kept_bytes < 1 << 30, "{stats:?}");
        }
    }
    println!("{case}: {outcomes}");
}
