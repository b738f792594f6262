//! Images where the system makes no files for them, or only a few: instances are filled by copying,
//! and it is said why.

use crate::child::passes;
use crate::common::{self, can_forbid, each_config, forbid, limit};
use crate::life::{OTHER, TEXT, live, rounds};
use minirt::{Config, Engine, Instance, Memory, MemoryType, Module, Store};
use std::fmt::Write;
use std::fs::File;

#[test]
fn where_no_memory_file_can_be_made_images_are_copied_and_that_is_said() {
    if !can_forbid() {
        return;
    }
    let calls = [("memfd_create", libc::SYS_memfd_create), ("ftruncate", libc::SYS_ftruncate)];
    let others = [("pwrite", libc::SYS_pwrite64), ("fcntl", libc::SYS_fcntl)];
    let errors = [libc::ENOSYS, libc::EPERM, libc::EACCES, libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::EINVAL];
    let all = calls.iter().flat_map(|call| errors.map(|error| (*call, error)));
    for ((name, call), error) in all.chain(others.map(|call| (call, libc::EPERM))) {
        let case = format!("{name}: {}", std::io::Error::from_raw_os_error(error));
        passes(where_no_memory_file_can_be_made_images_are_copied_and_that_is_said, &case, |_| {
            forbid(call, None, error);
            each_config(|case, _, mut config| {
                let engine = Engine::new(config.max_instances(2)).unwrap();
                let before = common::descriptors();
                let [module, other] = [TEXT, OTHER].map(|text| Module::new(&engine, text).unwrap());
                assert_eq!(common::descriptors(), before, "nothing is left of what could not be made");
                rounds(&engine, &module, &other, 20);
                let why = module.image_info().copied.unwrap();
                if case.ends_with("images on") {
                    assert_eq!(engine.stats().copied_images, 2);
                    assert!(why.contains("memory file") || why.contains("RLIMIT_NOFILE"), "{why}");
                } else {
                    assert_eq!(engine.stats().copied_images, 0, "nobody wanted files");
                    assert!(why.contains("memory_init_cow"), "{why}");
                }
            });
        });
    }
}

#[test]
fn where_limits_may_not_be_asked_for_there_are_none() {
    if !can_forbid() {
        return;
    }
    passes(where_limits_may_not_be_asked_for_there_are_none, "prlimit64", |_| {
        forbid(libc::SYS_prlimit64, None, libc::EPERM);
        let engine = Engine::default();
        let [module, other] = [TEXT, OTHER].map(|text| Module::new(&engine, text).unwrap());
        assert_eq!(module.image_info().copied, None);
        rounds(&engine, &module, &other, 20);
    });
}

/// A module with so many memories, each with data that names it.
fn with_memories(count: usize) -> String {
    let mut text = "(module".to_owned();
    for memory in 0..count {
        let _ = write!(
            text,
            "(memory (export \"m{memory}\") 1 3) (data (memory {memory}) (i32.const 65530) \"#{memory:05}\")"
        );
    }
    text + ")"
}

#[test]
fn a_module_takes_one_descriptor_however_many_memories_it_has() {
    passes(a_module_takes_one_descriptor_however_many_memories_it_has, "descriptors", |_| {
        let engine = Engine::default();
        // The first instance opens what the process needs once.
        rounds(&engine, &Module::new(&engine, TEXT).unwrap(), &Module::new(&engine, OTHER).unwrap(), 5);
        let before = common::descriptors();
        let taken = || common::descriptors() - before;
        let module = Module::new(&engine, with_memories(100)).unwrap();
        assert_eq!((taken(), module.image_info().copied), (1, None));
        let mut store = Store::new(&engine, ());
        let it = Instance::new(&mut store, &module, &[]).unwrap();
        let snapshot = it.snapshot(&mut store).unwrap();
        assert_eq!((taken(), snapshot.module().image_info().copied), (2, None));
        // What the embedder defines takes none.
        let memory = Memory::new(&mut store, MemoryType::new(1, None)).unwrap();
        memory.write(&mut store, 70, b"host").unwrap();
        assert_eq!(taken(), 2);
        drop((store, module, snapshot));
        assert_eq!(taken(), 0);
    });
}

/// Bytes of address space that a slot takes.
const SLOT: u64 = 7 << 30;

/// As many instances as fit, each in a store of its own, and the error about the next. It leaves
/// nothing behind, although its store lives on.
fn fill_up(engine: &Engine, module: &Module, slots: usize) -> (usize, String) {
    let mut stores = Vec::new();
    let error = loop {
        let mut store = Store::new(engine, ());
        let made = Instance::new(&mut store, module, &[]);
        stores.push(store);
        if let Err(error) = made {
            break format!("{error:#}");
        }
    };
    let made = stores.len() - 1;
    assert_eq!(engine.stats().live, made * slots, "{error}");
    (made, error)
}

#[test]
fn what_a_module_of_many_memories_costs_and_which_limit_is_reached() {
    let test = what_a_module_of_many_memories_costs_and_which_limit_is_reached;
    let slots = 100;
    passes(test, "costs", |_| {
        let engine = Engine::default();
        let module = Module::new(&engine, with_memories(slots)).unwrap();
        let mut store = Store::new(&engine, ());
        Instance::new(&mut store, &module, &[]).unwrap();
        // The second takes what is the same for each.
        let before = (address_space(), common::mappings(), common::descriptors());
        Instance::new(&mut store, &module, &[]).unwrap();
        let after = (address_space(), common::mappings(), common::descriptors());
        let addresses = (after.0 - before.0) / SLOT;
        assert_eq!((addresses, after.2), (slots as u64, before.2));
        assert!((after.1 - before.1).div_ceil(slots) <= 4, "{} mappings became {}", before.1, after.1);
    });
    for (case, limit_addresses, most) in
        [("the engine's", u64::MAX, 350), ("the system's", 2 << 40, 16_384), ("the engine's is less", u64::MAX, 70)]
    {
        passes(test, case, |_| {
            let engine = Engine::new(Config::new().max_instances(most)).unwrap();
            let module = Module::new(&engine, with_memories(slots)).unwrap();
            let one = Module::new(&engine, "(module (memory 1))").unwrap();
            limit(libc::RLIMIT_AS, limit_addresses);
            let (made, error) = fill_up(&engine, &module, slots);
            let expected = if limit_addresses == u64::MAX { most / slots } else { 2 };
            assert_eq!(made, expected, "{error}");
            assert!(error.contains("takes 100 instance slots"), "{error}");
            let limit = if limit_addresses == u64::MAX { format!("all {most} instance slots") } else { "7 GiB".into() };
            assert!(error.contains(&limit), "{error}");
            // What did not fit goes on to others.
            let mut store = Store::new(&engine, ());
            let fits = most.min(if limit_addresses == u64::MAX { usize::MAX } else { 250 });
            (0..fits).for_each(|_| _ = Instance::new(&mut store, &one, &[]).unwrap());
        });
    }
}

/// Returns how many bytes of addresses this process has taken.
fn address_space() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').next().unwrap().parse::<u64>().unwrap() * rustix::param::page_size() as u64
}

#[test]
fn memories_that_share_a_file_are_apart() {
    common::each_config(|case, _, config| {
        let engine = Engine::new(&config).unwrap();
        let module = Module::new(&engine, with_memories(7)).unwrap();
        for round in 0..40 {
            let mut store = Store::new(&engine, ());
            let it = Instance::new(&mut store, &module, &[]).unwrap();
            for number in 0..7 {
                let memory = it.get_memory(&store, &format!("m{number}")).unwrap();
                let mut fresh = vec![0; 65536];
                fresh[65530..].copy_from_slice(format!("#{number:05}").as_bytes());
                assert!(memory.data(&store) == fresh, "{case}, round {round}, memory {number}");
                if (round + number) % 3 == 0 {
                    memory.data_mut(&mut store).fill(0xcc);
                } else {
                    memory.write(&mut store, (round * 4099) % 65000, b"xx").unwrap();
                }
                if round % 5 == 4 {
                    memory.grow(&mut store, 2).unwrap();
                    assert!(common::is_zero(&memory.data(&store)[65536..]), "{case}, round {round}");
                    memory.data_mut(&mut store)[65536..].fill(0xdd);
                }
            }
        }
    });
}

#[test]
fn modules_without_end_leave_descriptors_to_the_host() {
    passes(modules_without_end_leave_descriptors_to_the_host, "descriptors", |_| {
        limit(libc::RLIMIT_NOFILE, 256);
        let engine = Engine::default();
        let mut modules: Vec<Module> = (0..400).map(|_| Module::new(&engine, TEXT).unwrap()).collect();
        let copied = engine.stats().copied_images;
        assert!((200..260).contains(&copied), "three in four descriptors, less what was open: {copied}");
        assert_eq!(modules[0].image_info().copied, None);
        let why = modules[399].image_info().copied.unwrap();
        assert!(why.contains("RLIMIT_NOFILE"), "{why}");
        let files: Vec<File> = (0..50).map(|_| File::open("/dev/null").unwrap()).collect();
        for (round, module) in modules.iter().enumerate().step_by(7) {
            live(&engine, module, round).unwrap();
        }
        // When there are descriptors again, they are used.
        drop(files);
        modules.truncate(100);
        assert_eq!(Module::new(&engine, TEXT).unwrap().image_info().copied, None);
    });
}
