//! Limits of the process: address space, data, files, descriptors, mappings.

use crate::child::passes;
use crate::common::heaps::OBJECTS;
use crate::common::{self, call, call_i32, config, each_config, limit};
use crate::life::{OTHER, PAGE, TEXT, WASM_PAGE, assert_fresh, instance_of, live, live_elsewhere, rounds};
use minirt::{
    ArrayRef, ArrayRefPre, ArrayType, Engine, FieldType, Instance, Module, Mutability, ResetStrategy, RootScope,
    StorageType, Store, Trap, Val,
};
use std::os::fd::AsRawFd;

/// As many instances as fit; then some go, and all is well again.
fn fill_up(engine: &Engine, module: &Module) -> usize {
    let mut live = Vec::new();
    let error = loop {
        let mut store = Store::new(engine, ());
        match Instance::new(&mut store, module, &[]) {
            Ok(it) => live.push((store, it)),
            Err(error) => break error,
        }
        assert!(live.len() < 2_000, "the limit does not work");
    };
    println!("{} instances, then: {error:#}", live.len());
    let made = live.len();
    live.truncate(made / 2);
    live.iter_mut().for_each(|(store, it)| assert_fresh(store, *it));
    made
}

#[test]
fn little_address_space_is_an_error_and_the_engine_goes_on() {
    passes(little_address_space_is_an_error_and_the_engine_goes_on, "address space", |_| {
        for images in [true, false] {
            let engine = Engine::new(&config(ResetStrategy::Adaptive, images)).unwrap();
            let [module, other] = [TEXT, OTHER].map(|text| Module::new(&engine, text).unwrap());
            rounds(&engine, &module, &other, 20);
            limit(libc::RLIMIT_AS, 60 << 30);
            let made = fill_up(&engine, &module);
            assert!((2..9).contains(&made), "{made} instances of 7 GiB in 60 GiB");
            rounds(&engine, &module, &other, 40);
            assert_eq!(fill_up(&engine, &module), made, "nothing was lost");
            limit(libc::RLIMIT_AS, u64::MAX);
            rounds(&engine, &module, &other, 40);
        }
        // All slots that fit are idle and carry one module: they are as good for another.
        for images in [true, false] {
            let engine = Engine::new(&config(ResetStrategy::Adaptive, images)).unwrap();
            let [module, other] = [TEXT, OTHER].map(|text| Module::new(&engine, text).unwrap());
            limit(libc::RLIMIT_AS, 60 << 30);
            fill_up(&engine, &module);
            live_elsewhere(&engine, &other).unwrap();
            rounds(&engine, &module, &other, 20);
            limit(libc::RLIMIT_AS, u64::MAX);
        }
        // Not even one.
        limit(libc::RLIMIT_AS, 5 << 30);
        let engine = Engine::default();
        let module = Module::new(&engine, TEXT).unwrap();
        let error = live(&engine, &module, 0).unwrap_err();
        assert!(format!("{error:#}").contains("address space"), "{error:#}");
        limit(libc::RLIMIT_AS, u64::MAX);
        live(&engine, &module, 0).unwrap();
    });
}

#[test]
fn little_data_space_still_lets_instances_run() {
    // What is private and writable counts, used or not: the mapping of the state must not ask for
    // gigabytes.
    passes(little_data_space_still_lets_instances_run, "data space", |_| {
        limit(libc::RLIMIT_DATA, 1 << 30);
        each_config(|case, _, mut config| {
            let engine = Engine::new(config.max_instances(2)).unwrap();
            let module = Module::new(&engine, "(module (memory (export \"m\") 1) (data (i32.const 0) \"a\"))").unwrap();
            for _ in 0..20 {
                let mut store = Store::new(&engine, ());
                let it = Instance::new(&mut store, &module, &[]).unwrap_or_else(|error| panic!("{case}: {error:?}"));
                let memory = it.get_memory(&store, "m").unwrap();
                assert_eq!(memory.data(&store)[..2], *b"a\0", "{case}");
                memory.data_mut(&mut store).fill(1);
            }
        });
    });
}

/// 64-bit Arm may have addresses of 39 bits, as an emulator can (`QEMU_RESERVED_VA`). Where they
/// are longer, a limit makes them as few.
#[test]
fn as_many_instances_live_as_39_bits_have_room_for() {
    passes(as_many_instances_live_as_39_bits_have_room_for, "39 bits", |_| {
        let engine = Engine::default();
        let [module, other] = [TEXT, OTHER].map(|text| Module::new(&engine, text).unwrap());
        limit(libc::RLIMIT_AS, 1 << 39);
        for _ in 0..2 {
            let made = fill_up(&engine, &module);
            assert!((60..=73).contains(&made), "{made} instances of 7 GiB in 512 GiB");
            live_elsewhere(&engine, &other).unwrap();
            rounds(&engine, &module, &other, 10);
        }
        let mut live: Vec<(Store<()>, Instance)> = Vec::new();
        let error = loop {
            let mut store = Store::new(&engine, ());
            match Instance::new(&mut store, &module, &[]) {
                Ok(it) => live.push((store, it)),
                Err(error) => break format!("{error:#}"),
            }
        };
        assert!(error.contains("7 GiB") && error.contains("bits of addresses"), "{error}");
        let most = error.split_once("at most ").unwrap().1.split(' ').next().unwrap();
        assert!(most.parse::<usize>().unwrap() >= live.len(), "there are {} instances: {error}", live.len());
    });
}

/// Limits the process to `bytes` more of private writable memory than it has now.
fn limit_data_to_now_and(bytes: usize) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let now = status.lines().find_map(|line| line.strip_prefix("VmData:")).unwrap();
    let kilobytes: u64 = now.trim().strip_suffix(" kB").unwrap().parse().unwrap();
    limit(libc::RLIMIT_DATA, kilobytes * 1024 + bytes as u64);
}

#[test]
fn a_slot_that_could_be_opened_only_in_part_is_not_reset_by_its_hot_set() {
    // The memory has so few pages then that none is protected: the kernel has nothing to refuse.
    if rustix::param::page_size() >= WASM_PAGE {
        return;
    }
    passes(a_slot_that_could_be_opened_only_in_part_is_not_reset_by_its_hot_set, "opening", |_| {
        for (strategy, images) in
            [ResetStrategy::Adaptive, ResetStrategy::HotSet].map(|it| [(it, true), (it, false)]).as_flattened()
        {
            let engine = Engine::new(config(*strategy, *images).max_instances(1)).unwrap();
            let module = Module::new(&engine, TEXT).unwrap();
            for _ in 0..3 {
                let (mut store, it) = instance_of(&engine, &module);
                call(&mut store, it, "dirty", &[0, 1, 1].map(Val::I32)).unwrap();
            }
            let (mut store, it) = instance_of(&engine, &module);
            // Some pages elsewhere and all of the tables may become writable, but not all of the
            // memory.
            limit_data_to_now_and(32 * PAGE);
            let error = call(&mut store, it, "dirty", &[0, PAGE as i32, 40].map(Val::I32)).unwrap_err();
            assert_eq!(error.downcast_ref(), Some(&Trap::MemoryOutOfBounds), "{error:?}");
            call(&mut store, it, "table", &[Val::I32(1500)]).unwrap();
            drop(store);
            limit(libc::RLIMIT_DATA, u64::MAX);
            let (mut store, it) = instance_of(&engine, &module);
            assert_fresh(&mut store, it);
            // The same, but the instance goes back by itself: that is refused.
            for _ in 0..3 {
                call(&mut store, it, "dirty", &[0, 1, 1].map(Val::I32)).unwrap();
                it.reset(&mut store).unwrap();
            }
            limit_data_to_now_and(32 * PAGE);
            call(&mut store, it, "dirty", &[0, PAGE as i32, 40].map(Val::I32)).unwrap_err();
            limit(libc::RLIMIT_DATA, u64::MAX);
            for _ in 0..2 {
                let error = it.reset(&mut store).unwrap_err();
                assert!(format!("{error:#}").contains("could not reset the instance"), "{error:#}");
            }
            drop(store);
            let (mut store, it) = instance_of(&engine, &module);
            assert_fresh(&mut store, it);
        }
    });
}

#[test]
fn memory_that_could_grow_only_in_part_has_not_grown() {
    passes(memory_that_could_grow_only_in_part_has_not_grown, "growing", |_| {
        each_config(|case, _, mut config| {
            let engine = Engine::new(config.max_instances(1)).unwrap();
            let module = Module::new(&engine, TEXT).unwrap();
            let (mut store, it) = instance_of(&engine, &module);
            let end = it.get_memory(&store, "m").unwrap().data(&store).as_ptr_range().end;
            // What lies after the memory becomes two mappings. (Where the kernel counts what it
            // promises, that happens by itself, at the size that an earlier instance grew to.)
            // SAFETY: the advice is about core dumps and changes nothing else.
            let advised =
                unsafe { libc::madvise(end.add(6 * WASM_PAGE).cast_mut().cast(), WASM_PAGE, libc::MADV_DONTDUMP) };
            assert_eq!(advised, 0, "{}", std::io::Error::last_os_error());
            limit_data_to_now_and(8 * WASM_PAGE);
            let grown = call_i32(&mut store, it, "grow", &[26]).unwrap();
            limit(libc::RLIMIT_DATA, u64::MAX);
            assert_eq!(grown, -1, "{case}: the limit works");
            assert_fresh(&mut store, it);
        });
    });
}

/// An object for which there is room, but no page that could be written, is an error. The next
/// collection moves others to where it would have been.
#[test]
fn objects_move_to_pages_that_could_not_be_written_before() {
    passes(objects_move_to_pages_that_could_not_be_written_before, "objects", |_| {
        let mut refused = 0;
        // More than the page that the heap's first objects have made writable.
        let len = 20_000.max(2 * rustix::param::page_size());
        each_config(|_, _, config| {
            let engine = Engine::new(&config).unwrap();
            let objects = Module::new(&engine, OBJECTS).unwrap();
            let ty = ArrayType::new(FieldType::new(Mutability::Var, StorageType::I8));
            for round in 0..12 {
                let mut store = Store::new(&engine, ());
                let it = Instance::new(&mut store, &objects, &[]).unwrap();
                call(&mut store, it, "sum", &[]).unwrap();
                // Soon it is known that no instance makes objects.
                if round % 6 != 5 {
                    continue;
                }
                let allocator = ArrayRefPre::new(&store, ty.clone());
                let bytes = |store: &mut Store<()>, byte| {
                    let mut scope = RootScope::new(store);
                    let made = ArrayRef::new(&mut scope, &allocator, &Val::I32(byte), len as u32);
                    made.and_then(|made| made.to_owned_rooted(&mut scope))
                };
                limit_data_to_now_and(0);
                let first = bytes(&mut store, 1);
                limit(libc::RLIMIT_DATA, u64::MAX);
                refused += usize::from(first.is_err());
                let second = bytes(&mut store, 2).unwrap();
                store.gc();
                let mut found = vec![0; len];
                second.copy_to_i8_slice(&store, &mut found).unwrap();
                assert!(found.iter().all(|byte| *byte == 2));
                assert_eq!(call_i32(&mut store, it, "check", &[]).unwrap(), 0);
            }
        });
        assert!(refused > 0, "the kernel refused nothing");
    });
}

#[test]
fn where_files_have_to_be_small_slots_are_filled_by_copying() {
    passes(where_files_have_to_be_small_slots_are_filled_by_copying, "file size", |_| {
        limit(libc::RLIMIT_FSIZE, 8192);
        each_config(|_, _, mut config| {
            let engine = Engine::new(config.max_instances(2)).unwrap();
            let [module, other] = [TEXT, OTHER].map(|text| Module::new(&engine, text).unwrap());
            rounds(&engine, &module, &other, 20);
        });
    });
}

#[test]
fn with_few_descriptors_modules_are_made_and_the_engine_goes_on() {
    passes(with_few_descriptors_modules_are_made_and_the_engine_goes_on, "descriptors", |_| {
        let engine = Engine::default();
        let [module, other] = [TEXT, OTHER].map(|text| Module::new(&engine, text).unwrap());
        let lowest_free = std::fs::File::open("/dev/null").unwrap().as_raw_fd();
        limit(libc::RLIMIT_NOFILE, lowest_free as u64);
        assert!(std::fs::File::open("/dev/null").is_err(), "the limit works");
        let modules: Vec<Module> = (0..10).map(|_| Module::new(&engine, TEXT).unwrap()).collect();
        // All modules work, though no descriptor is left to scan with.
        rounds(&engine, &module, &other, 60);
        rounds(&engine, &modules[0], &other, 20);
        drop(modules);
        let module = Module::new(&engine, TEXT).unwrap();
        rounds(&engine, &module, &other, 40);
    });
}

#[test]
fn too_many_mappings_are_an_error_and_the_engine_goes_on() {
    passes(too_many_mappings_are_an_error_and_the_engine_goes_on, "mappings", |_| {
        // The usual one, where /proc has only processes.
        let limit = std::fs::read_to_string("/proc/sys/vm/max_map_count");
        let limit: usize = limit.map_or(65_530, |text| text.trim().parse().unwrap());
        let engine = Engine::default();
        let [module, other] = [TEXT, OTHER].map(|text| Module::new(&engine, text).unwrap());
        rounds(&engine, &module, &other, 20);
        let hog = Hog::take(limit.saturating_sub(common::mappings() + 40));
        for round in 0..200 {
            // With so few mappings left, a life may fail; but what does not fail is right.
            let mut tenants: Vec<_> = (0..20)
                .map_while(|_| {
                    let mut store = Store::new(&engine, ());
                    let it = Instance::new(&mut store, &module, &[]).ok()?;
                    assert_fresh(&mut store, it);
                    Some((store, it))
                })
                .collect();
            for (store, it) in &mut tenants {
                let _ = call(store, *it, "dirty", &[round * 300 % 60_000, 4 * PAGE as i32, 8].map(Val::I32));
            }
            drop(tenants);
            let _ = live_elsewhere(&engine, &other);
            let stats = engine.stats();
            assert!(stats.live == 0 && stats.kept_bytes < 1 << 30, "{stats:?}");
        }
        drop(hog);
        rounds(&engine, &module, &other, 40);
    });
}

/// So many mappings that are of no use: every other page of a range is another.
struct Hog {
    at: *mut libc::c_void,
    len: usize,
}

impl Hog {
    fn take(mappings: usize) -> Self {
        let page_size = rustix::param::page_size();
        let len = mappings * page_size;
        // SAFETY: the kernel picks the place, and nobody refers to what is mapped there.
        unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
            let at = libc::mmap(std::ptr::null_mut(), len, libc::PROT_NONE, flags, -1, 0);
            assert_ne!(at, libc::MAP_FAILED);
            for page in (0..mappings).step_by(2) {
                let protected = libc::mprotect(at.byte_add(page * page_size), page_size, libc::PROT_READ);
                assert_eq!(protected, 0, "{}", std::io::Error::last_os_error());
            }
            Self { at, len }
        }
    }
}

impl Drop for Hog {
    fn drop(&mut self) {
        // SAFETY: the range is this one's own, and nobody refers to it.
        unsafe { libc::munmap(self.at, self.len) };
    }
}
