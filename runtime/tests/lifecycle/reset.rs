//! Resets, case by case and for each strategy: what was written is gone, whatever pages it was on,
//! and the statistics are right.

use crate::common::{self, Random, call, call_i32, each_config, is_zero};
use minirt::{Engine, EngineStats, Instance, Linker, Memory, Module, Ref, ResetStrategy, Store, Trap, Val};
use rustix::param::page_size;
use std::time::{Duration, Instant};

const PAGE: usize = 4096;
const WASM_PAGE: usize = 65_536;
const CANARY: u8 = 0xcc;

/// Returns a module with a memory of `pages`, data, and functions to write and read.
fn text(pages: usize, data: &str) -> String {
    format!(
        r#"(module
          (memory (export "m") {pages} 200)
          {data}
          (func (export "write") (param $at i32) (i64.store (local.get $at) (i64.const -1)))
          (func (export "load") (param $at i32) (result i32) (i32.load8_u (local.get $at)))
          (func (export "grow") (param $by i32) (result i32) (memory.grow (local.get $by)))
          (func (export "trap") (param $at i32) (i64.store (local.get $at) (i64.const -1)) unreachable)
          ;; Writes `count` bytes, `step` apart.
          (func (export "writes") (param $at i32) (param $step i32) (param $count i32)
            (loop
              (i32.store8 (local.get $at) (i32.const 0xcc))
              (local.set $at (i32.add (local.get $at) (local.get $step)))
              (br_if 0 (local.tee $count (i32.sub (local.get $count) (i32.const 1))))))
          (func (export "reads") (param $at i32) (param $step i32) (param $count i32) (result i32)
            (local $sum i32)
            (loop
              (local.set $sum (i32.add (local.get $sum) (i32.load8_u (local.get $at))))
              (local.set $at (i32.add (local.get $at) (local.get $step)))
              (br_if 0 (local.tee $count (i32.sub (local.get $count) (i32.const 1)))))
            (local.get $sum)))"#
    )
}

/// A module with what its fresh memory holds.
struct Subject {
    module: Module,
    fresh: Vec<u8>,
}

impl Subject {
    fn new(engine: &Engine, pages: usize, data: &[(usize, &str)]) -> Self {
        let mut fresh = vec![0; pages * WASM_PAGE];
        let mut segments = String::new();
        for (at, bytes) in data {
            fresh[*at..at + bytes.len()].copy_from_slice(bytes.as_bytes());
            segments += &format!("(data (i32.const {at}) \"{bytes}\")");
        }
        Self { module: Module::new(engine, text(pages, &segments)).unwrap(), fresh }
    }

    /// Makes an instance and checks its memory, and that nothing after the memory is accessible.
    fn fresh(&self, engine: &Engine) -> (Store<()>, Instance, Memory) {
        let mut store = Store::new(engine, ());
        let it = Instance::new(&mut store, &self.module, &[]).unwrap();
        let memory = it.get_memory(&store, "m").unwrap();
        self.assert_fresh(&store, memory);
        for behind in [0, 1, PAGE, 3 * WASM_PAGE] {
            let error = call_i32(&mut store, it, "load", &[(self.fresh.len() + behind) as i32]).unwrap_err();
            assert_eq!(error.downcast_ref(), Some(&Trap::MemoryOutOfBounds), "{error:?}");
        }
        (store, it, memory)
    }

    fn assert_fresh(&self, store: &Store<()>, memory: Memory) {
        let data = memory.data(store);
        assert_eq!(data.len(), self.fresh.len());
        let wrong = || data.iter().zip(&self.fresh).position(|(now, fresh)| now != fresh).unwrap();
        assert!(data == self.fresh, "page {} differs, at {:#x}", wrong() / PAGE, wrong());
    }
}

fn run(store: &mut Store<()>, it: Instance, name: &str, args: &[usize]) {
    let args: Vec<Val> = args.iter().map(|arg| Val::I32(*arg as i32)).collect();
    call(store, it, name, &args).unwrap();
}

fn resets(stats: EngineStats) -> [u64; 5] {
    [stats.resets_nothing, stats.resets_hot_set, stats.resets_regions, stats.resets_scan, stats.resets_discard]
}

// Other images in the same slot.

#[test]
fn one_slot_carries_images_of_all_shapes_in_any_order() {
    each_config(|case, _, mut config| {
        let engine = Engine::new(config.max_instances(1)).unwrap();
        let subjects = [
            Subject::new(&engine, 2, &[(0, "image a")]),
            Subject::new(&engine, 3, &[]),
            Subject::new(&engine, 20, &[(70_000, "image b, longer than a mebibyte")]),
            Subject::new(&engine, 0, &[]),
            Subject::new(&engine, 2, &[(WASM_PAGE, "image a at another place")]),
            Subject::new(&engine, 40, &[(0, "both"), (40 * WASM_PAGE - 4, "ends")]),
        ];
        for first in &subjects {
            for second in &subjects {
                for subject in [first, second, first] {
                    let (mut store, it, memory) = subject.fresh(&engine);
                    run(&mut store, it, "grow", &[2]);
                    let size = memory.data_size(&store);
                    run(&mut store, it, "writes", &[0, PAGE, size / PAGE]);
                    run(&mut store, it, "writes", &[size - 1, 1, 1]);
                }
            }
        }
        assert_eq!(engine.stats().idle, 1, "{case}: one slot served them all");
    });
}

#[test]
fn a_module_that_is_gone_is_not_mistaken_for_a_later_one() {
    each_config(|case, _, mut config| {
        let engine = Engine::new(config.max_instances(2)).unwrap();
        for round in 0..30 {
            let subject = Subject::new(&engine, 1, &[(round * 100, &format!("module {round}"))]);
            let (mut store, it, _) = subject.fresh(&engine);
            run(&mut store, it, "writes", &[0, 100, 600]);
            let Subject { module, .. } = subject;
            // The module goes first every other time; its instance keeps what it needs.
            if round % 2 == 0 {
                drop(module);
                run(&mut store, it, "writes", &[0, 100, 600]);
            } else {
                drop(store);
            }
        }
        assert!(engine.stats().idle <= 2, "{case}");
    });
}

#[test]
fn writes_never_reach_the_file_that_images_are_mapped_from() {
    for strategy in common::STRATEGIES {
        let engine = Engine::new(&common::config(strategy, true)).unwrap();
        let mark = format!("the bytes of {strategy:?} that must stay");
        let subject = Subject::new(&engine, 4, &[(5_000, &mark), (3 * WASM_PAGE, "more")]);
        let files = image_files_with(&mark);
        assert_eq!(files.len(), 1);
        let before = std::fs::read(&files[0]).unwrap();
        assert!(before.starts_with(&subject.fresh), "the file begins with the memory");
        for _ in 0..10 {
            let (mut store, it, memory) = subject.fresh(&engine);
            run(&mut store, it, "writes", &[0, 16, 4 * WASM_PAGE / 16]);
            memory.data_mut(&mut store).fill(CANARY);
        }
        assert!(std::fs::read(&files[0]).unwrap() == before);
        let file = std::fs::OpenOptions::new().read(true).write(true).open(&files[0]).unwrap();
        std::os::unix::fs::FileExt::write_at(&file, b"x", 0).unwrap_err();
        file.set_len(0).unwrap_err();
        file.set_len(1 << 30).unwrap_err();
        let shared = shared_mapping(&file);
        assert!(shared.is_err(), "a sealed file cannot be mapped to be written");
        assert!(std::fs::read(&files[0]).unwrap() == before);
    }
}

/// Memory files of this process that hold these bytes. Other tests have files of their own.
fn image_files_with(mark: &str) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir("/proc/self/fd").unwrap().map(|entry| entry.unwrap().path());
    let images =
        entries.filter(|path| std::fs::read_link(path).is_ok_and(|to| to.to_string_lossy().contains("minirt-")));
    let holds = |path: &std::path::PathBuf| {
        // Other tests' images of gigabytes are mostly holes, but not to those who read them.
        std::fs::metadata(path).is_ok_and(|file| file.len() < 64 << 20)
            && std::fs::read(path).is_ok_and(|bytes| bytes.windows(mark.len()).any(|window| window == mark.as_bytes()))
    };
    images.filter(holds).collect()
}

fn shared_mapping(file: &std::fs::File) -> rustix::io::Result<()> {
    use rustix::mm::{MapFlags, ProtFlags, mmap};
    // SAFETY: the kernel picks the place of a new mapping, which nothing refers to; if there is
    // one, it stays unused.
    unsafe { mmap(std::ptr::null_mut(), PAGE, ProtFlags::WRITE, MapFlags::SHARED, file, 0) }.map(drop)
}

// Growing.

#[test]
fn what_was_grown_traps_for_the_next_and_is_zero_when_it_grows_as_well() {
    each_config(|case, _, mut config| {
        let engine = Engine::new(config.max_instances(1)).unwrap();
        let large = Subject::new(&engine, 5, &[(10, "large")]);
        let small = Subject::new(&engine, 1, &[(10, "small")]);
        for round in 0..12 {
            // The same module again, and another one; with few pages and with many.
            let (mut store, it, memory) = large.fresh(&engine);
            assert_eq!(call_i32(&mut store, it, "grow", &[20]).unwrap(), 5);
            assert!(is_zero(&memory.data(&store)[5 * WASM_PAGE..]), "{case}");
            let step = [PAGE, 7 * PAGE, WASM_PAGE][round % 3];
            run(&mut store, it, "writes", &[5 * WASM_PAGE, step, 20 * WASM_PAGE / step]);
            run(&mut store, it, "write", &[25 * WASM_PAGE - 8]);
            drop(store);
            let next = if round % 2 == 0 { &large } else { &small };
            let (mut store, it, memory) = next.fresh(&engine);
            let pages = next.fresh.len() / WASM_PAGE;
            for by in [1, 30] {
                run(&mut store, it, "grow", &[by]);
                assert!(is_zero(&memory.data(&store)[pages * WASM_PAGE..]), "{case}, {round}");
            }
        }
    });
}

#[test]
fn pages_kept_behind_the_memory_count_as_kept() {
    // A tenant that grows leaves pages behind that the next, which does not, never sees. They take
    // memory all the same.
    let page = page_size();
    for strategy in [ResetStrategy::Adaptive, ResetStrategy::HotSet, ResetStrategy::Scan] {
        let budget = 100 * page;
        let engine = Engine::new(common::config(strategy, true).keep_resident(budget)).unwrap();
        let subject = Subject::new(&engine, 1, &[]);
        let tenants = || (0..20).map(|_| subject.fresh(&engine)).collect::<Vec<_>>();
        let mut grown = std::collections::HashSet::new();
        for _ in 0..20 {
            let mut tenants = tenants();
            tenants.iter_mut().for_each(|(store, it, _)| run(store, *it, "write", &[8]));
            // Another slot each time.
            let (store, it, _) =
                tenants.iter_mut().find(|(store, _, memory)| grown.insert(memory.data(store).as_ptr())).unwrap();
            run(store, *it, "grow", &[60 * page / WASM_PAGE + 1]);
            run(store, *it, "writes", &[WASM_PAGE, page, 60]);
            assert_eq!(resident(store, *it, WASM_PAGE, 60), 60);
        }
        let last = tenants();
        let kept: usize = last.iter().map(|(store, it, _)| resident(store, *it, WASM_PAGE, 60)).sum();
        assert!(kept * page <= budget, "{strategy:?}: {kept} pages are in memory, {} may be", budget / page);
    }
}

/// Returns how many of `count` host pages of a memory, from `at` on, are in memory, also where the
/// guest has no access.
fn resident(store: &Store<()>, it: Instance, at: usize, count: usize) -> usize {
    use std::os::unix::fs::FileExt;
    let start = it.get_memory(store, "m").unwrap().data(store).as_ptr() as usize + at;
    let mut entries = vec![0; 8 * count];
    std::fs::File::open("/proc/self/pagemap")
        .unwrap()
        .read_exact_at(&mut entries, (start / page_size() * 8) as u64)
        .unwrap();
    let present = |entry: &[u8]| u64::from_le_bytes(entry.try_into().unwrap()) >> 63 == 1;
    entries.chunks(8).filter(|entry| present(entry)).count()
}

// Failures on the way.

#[test]
fn a_start_function_that_traps_neither_loses_the_slot_nor_leaves_anything_in_it() {
    let failing = r#"(module (memory 2 9) (data (i32.const 0) "start") (global (mut i32) (i32.const 1))
      (func $start
        (memory.fill (i32.const 0) (i32.const 0xcc) (i32.const 131072))
        (drop (memory.grow (i32.const 3)))
        (memory.fill (i32.const 131072) (i32.const 0xcc) (i32.const 196608))
        (global.set 0 (i32.const 7))
        unreachable)
      (start $start))"#;
    let importing =
        r#"(module (import "host" "fail" (func $fail)) (memory 1) (data (i32.const 9) "import") (start $fail))"#;
    each_config(|case, _, mut config| {
        let engine = Engine::new(config.max_instances(1)).unwrap();
        let failing = Module::new(&engine, failing).unwrap();
        let importing = Module::new(&engine, importing).unwrap();
        let good = Subject::new(&engine, 2, &[(3, "good")]);
        let mut linker = Linker::<()>::new(&engine);
        linker.func_wrap("host", "fail", || -> minirt::Result<()> { Err(minirt::Error::msg("no")) }).unwrap();
        for round in 0..30 {
            let error = Instance::new(Store::new(&engine, ()), &failing, &[]).unwrap_err();
            assert_eq!(error.downcast_ref(), Some(&Trap::UnreachableCodeReached), "{case}, {round}");
            // Not even as far as the start function.
            assert!(Instance::new(Store::new(&engine, ()), &importing, &[]).is_err());
            let error = linker.instantiate(Store::new(&engine, ()), &importing).unwrap_err();
            assert!(format!("{error:?}").contains("no"), "{case}: {error:?}");
            let (mut store, it, _) = good.fresh(&engine);
            assert!(Instance::new(&mut store, &good.module, &[]).is_err(), "{case}: the only slot is in use");
            run(&mut store, it, "write", &[100]);
            drop(store);
            let stats = engine.stats();
            assert_eq!((stats.live, stats.idle), (0, 1), "{case}, {round}");
        }
    });
}

#[test]
fn a_trap_in_the_middle_is_cleaned_up_like_anything_else() {
    each_config(|case, _, mut config| {
        let engine = Engine::new(config.max_instances(1)).unwrap();
        let subject = Subject::new(&engine, 4, &[(8 * PAGE, "data")]);
        for round in 0..100 {
            let (mut store, it, _) = subject.fresh(&engine);
            let at = round * 2 * PAGE % (4 * WASM_PAGE - PAGE) + PAGE - 4; // It straddles two pages.
            let error = call(&mut store, it, "trap", &[Val::I32(at as i32)]).unwrap_err();
            assert_eq!(error.downcast_ref(), Some(&Trap::UnreachableCodeReached), "{case}");
        }
    });
}

// Which pages.

#[test]
fn more_pages_apart_than_any_list_has_room_for_are_all_reset() {
    each_config(|case, _, mut config| {
        let engine = Engine::new(config.max_instances(1)).unwrap();
        let subject = Subject::new(&engine, 128, &[(0, "first page"), (128 * WASM_PAGE - 4, "last")]);
        for round in 0..8 {
            println!("{case}, {round}");
            let (mut store, it, _) = subject.fresh(&engine);
            match round {
                // 1024 runs of one page, then with longer gaps, then few.
                0 | 4 => run(&mut store, it, "writes", &[0, 2 * PAGE, 1024]),
                1 | 5 => run(&mut store, it, "writes", &[PAGE, 31 * PAGE, 66]),
                2 => run(&mut store, it, "writes", &[PAGE, 1, 20 * PAGE]),
                _ => run(&mut store, it, "writes", &[5 * PAGE, 9 * PAGE, 13]),
            }
            run(&mut store, it, "write", &[0]);
            run(&mut store, it, "write", &[128 * WASM_PAGE - 8]);
        }
    });
}

#[test]
fn the_page_in_which_the_data_ends_and_its_neighbours_are_reset_whole() {
    each_config(|_, _, mut config| {
        let engine = Engine::new(config.max_instances(1)).unwrap();
        // The data ends inside a page, at its end, and right after its start; in images of both
        // layouts.
        for pages in [2, 30] {
            for end in [7 * PAGE + 100, 8 * PAGE, 7 * PAGE + 1] {
                let subject = Subject::new(&engine, pages, &[(end - 20, "twenty bytes of data")]);
                for round in 0..20 {
                    let (mut store, it, memory) = subject.fresh(&engine);
                    match round % 4 {
                        0 => run(&mut store, it, "write", &[8 * PAGE - 4]),
                        1 => run(&mut store, it, "write", &[end - 4]),
                        2 => run(&mut store, it, "writes", &[6 * PAGE, 1, 3 * PAGE]),
                        _ => memory.write(&mut store, 7 * PAGE - 50, &[CANARY; PAGE + 100]).unwrap(),
                    }
                }
            }
        }
    });
}

#[test]
fn pages_that_were_only_read_cost_nothing_to_keep() {
    let page = page_size();
    for strategy in [ResetStrategy::Adaptive, ResetStrategy::Scan] {
        for pages in [16, 64] {
            let engine = Engine::new(&common::config(strategy, true)).unwrap();
            let subject = Subject::new(&engine, pages, &[(0, "x"), (12 * page, "y"), (13 * page, "z")]);
            for _ in 0..5 {
                let (mut store, it, _) = subject.fresh(&engine);
                run(&mut store, it, "reads", &[0, page, pages * WASM_PAGE / page]);
                run(&mut store, it, "write", &[12 * page]);
                drop(store);
                assert_eq!(engine.stats().kept_bytes, page, "{strategy:?}: one page was written");
            }
        }
    }
}

#[test]
fn two_ends_of_four_gigabytes_and_the_middle_are_reset() {
    let module = r#"(module (memory (export "m") 65536) (data (i32.const 0) "a") (data (i32.const -1) "z")
      (func (export "write") (param i32) (i32.store8 (local.get 0) (i32.const 0xcc)))
      (func (export "load") (param i32) (result i32) (i32.load8_u (local.get 0))))"#;
    each_config(|case, _, mut config| {
        let engine = Engine::new(config.max_instances(1)).unwrap();
        let module = Module::new(&engine, module).unwrap();
        let places = [0, 1, PAGE, 1 << 31, (1 << 32) - PAGE - 1, (1 << 32) - PAGE, (1 << 32) - 1];
        for _ in 0..5 {
            let mut store = Store::new(&engine, ());
            let it = Instance::new(&mut store, &module, &[]).unwrap();
            let memory = it.get_memory(&store, "m").unwrap();
            for at in places {
                let fresh = match at {
                    0 => b'a',
                    0xffff_ffff => b'z',
                    _ => 0,
                };
                assert_eq!(memory.data(&store)[at], fresh, "{case}, at {at:#x}");
                assert_eq!(call_i32(&mut store, it, "load", &[at as u32 as i32]).unwrap(), i32::from(fresh));
                run(&mut store, it, "write", &[at]);
            }
        }
    });
}

/// Swap may be missing where tests run; then the kernel keeps the pages, and the test shows less.
#[test]
fn pages_that_were_swapped_out_are_reset() {
    let swap = std::fs::read_to_string("/proc/swaps").is_ok_and(|swaps| swaps.lines().count() > 1);
    if !swap {
        println!("this machine has no swap space: pages are only proposed to be swapped out");
    }
    each_config(|case, strategy, mut config| {
        let engine = Engine::new(config.max_instances(1)).unwrap();
        let subject = Subject::new(&engine, 16, &[(3 * PAGE, "data")]);
        for round in 0..20 {
            let (mut store, it, memory) = subject.fresh(&engine);
            run(&mut store, it, "grow", &[4]);
            run(&mut store, it, "writes", &[0, 2 * PAGE, 160]);
            let bytes = memory.data(&store);
            // SAFETY: where pages are is all that this can change, not what they hold.
            let paged = unsafe { libc::madvise(bytes.as_ptr().cast_mut().cast(), bytes.len(), libc::MADV_PAGEOUT) };
            assert_eq!(paged, 0, "{}", std::io::Error::last_os_error());
            if swap && round == 0 {
                let swapped = it.page_stats(&store).swapped;
                println!("{case}: {swapped} pages are swapped out");
                assert!(swapped > 0 || strategy == ResetStrategy::Discard, "{case}");
            }
        }
    });
}

#[test]
fn whatever_a_module_does_next_the_one_after_it_is_fresh() {
    each_config(|case, strategy, mut config| {
        let engine = Engine::new(config.max_instances(1)).unwrap();
        let subject = Subject::new(&engine, 20, &[(0, "start"), (9 * PAGE + 7, "middle"), (19 * WASM_PAGE, "late")]);
        let mut random = Random(strategy as u64 + 1);
        let all = 20 * WASM_PAGE / PAGE;
        for phase in 0..60 {
            let (pattern, steady) = (random.below(7), random.below(all));
            for round in 0..random.below(40) {
                let (mut store, it, memory) = subject.fresh(&engine);
                match pattern {
                    // The same pages, wandering pages, many, now and then another, all writable by
                    // the host, grown ones.
                    0 | 1 => run(&mut store, it, "writes", &[steady * PAGE, 8, 100.min((all - steady) * PAGE / 8)]),
                    2 => run(&mut store, it, "writes", &[random.below(all) * PAGE, 1, 1]),
                    3 => run(&mut store, it, "writes", &[random.below(9) * PAGE, (1 + random.below(5)) * PAGE, 40]),
                    4 if round % 20 == 19 => run(&mut store, it, "write", &[random.below(all) * PAGE]),
                    4 => run(&mut store, it, "write", &[16]),
                    5 => memory.data_mut(&mut store)[random.below(all) * PAGE] = CANARY,
                    _ => {
                        run(&mut store, it, "grow", &[1 + random.below(3)]);
                        let size = memory.data_size(&store);
                        memory.write(&mut store, size - 100 - random.below(size / 2), &[CANARY; 100]).unwrap();
                    }
                }
            }
            println!("{case}, phase {phase}: {:?}", engine.stats());
        }
    });
}

// What is not memory.

#[test]
fn tables_are_as_long_and_segments_as_full_as_at_first() {
    let text = r#"(module
      (memory 1)
      (table $t (export "t") 2 5000 funcref)
      (table $e (export "e") 1 5000 externref)
      (elem (table $t) (i32.const 0) func $f)
      (data $d "data") (elem $p func $f $f)
      (global $g (export "g") (mut f64) (f64.const 1.5))
      (func $f (result i32) (i32.const 42))
      (func (export "use")
        (memory.init $d (i32.const 0) (i32.const 0) (i32.const 4))
        (table.init $t $p (i32.const 0) (i32.const 0) (i32.const 2)))
      (func (export "spoil") (param i32)
        (drop (table.grow $t (ref.func $f) (local.get 0)))
        (drop (table.grow $e (ref.null extern) (local.get 0)))
        (table.set $t (i32.const 0) (ref.null func))
        (global.set $g (f64.const nan))
        (data.drop $d) (elem.drop $p)))"#;
    each_config(|case, _, mut config| {
        let engine = Engine::new(config.max_instances(1)).unwrap();
        let module = Module::new(&engine, text).unwrap();
        for round in 0..60 {
            let mut store = Store::new(&engine, ());
            let it = Instance::new(&mut store, &module, &[]).unwrap();
            let [table, externs] = ["t", "e"].map(|name| it.get_table(&store, name).unwrap());
            assert_eq!((table.size(&store), externs.size(&store)), (2, 1), "{case}, {round}");
            let null = |at| table.get(&store, at).map(|element| element.is_null());
            assert_eq!([null(0), null(1), null(2)], [Some(false), Some(true), None], "{case}, {round}");
            assert_eq!(it.get_global(&store, "g").unwrap().get(&store).unwrap_f64(), 1.5);
            call(&mut store, it, "use", &[]).unwrap();
            assert_eq!(table.grow(&mut store, 3000, Ref::Func(None)).unwrap(), 2);
            assert!((2..3002).all(|at| table.get(&store, at).unwrap().is_null()), "{case}, {round}");
            // Other numbers of elements, so that other pages are written.
            call(&mut store, it, "spoil", &[Val::I32(round * 31 % 1900)]).unwrap();
        }
    });
}

#[test]
fn what_imports_a_memory_and_a_table_sees_them_shrink_when_their_owner_goes_back() {
    let owner = r#"(module (memory (export "m") i64 1 3) (table (export "t") 1 10 funcref))"#;
    // The type of its import says that the size never changes.
    let user = r#"(module (import "" "m" (memory i64 3 3)) (import "" "t" (table 10 10 funcref))
      (func $load (export "load") (param i64) (result i32) (i32.load (local.get 0)))
      (func (export "set") (param i32) (table.set (local.get 0) (ref.func $load)))
      (func (export "sizes") (result i64 i32) memory.size table.size))"#;
    each_config(|case, _, config| {
        let engine = Engine::new(&config).unwrap();
        let [owner, user] = [owner, user].map(|text| Module::new(&engine, text).unwrap());
        let mut store = Store::new(&engine, ());
        let owner = Instance::new(&mut store, &owner, &[]).unwrap();
        let (memory, table) = (owner.get_memory(&store, "m").unwrap(), owner.get_table(&store, "t").unwrap());
        memory.grow(&mut store, 2).unwrap();
        table.grow(&mut store, 9, Ref::Func(None)).unwrap();
        let user = Instance::new(&mut store, &user, &[memory.into(), table.into()]).unwrap();
        owner.reset(&mut store).unwrap();
        let sizes = call(&mut store, user, "sizes", &[]).unwrap();
        assert_eq!((sizes[0].unwrap_i64(), sizes[1].unwrap_i32()), (1, 1), "{case}");
        let error = call(&mut store, user, "set", &[Val::I32(5)]).unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&Trap::TableOutOfBounds), "{case}");
        let error = call(&mut store, user, "load", &[Val::I64(100_000)]).unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&Trap::MemoryOutOfBounds), "{case}");
    });
}

// Threads.

#[test]
fn a_store_can_end_on_another_thread() {
    each_config(|case, _, mut config| {
        let engine = Engine::new(config.max_instances(1)).unwrap();
        let subject = Subject::new(&engine, 3, &[(PAGE, "data")]);
        for round in 0..30 {
            let (mut store, it, _) = subject.fresh(&engine);
            run(&mut store, it, "write", &[round * 5 * PAGE % (3 * WASM_PAGE)]);
            let other = std::thread::spawn(move || {
                run(&mut store, it, "write", &[2 * WASM_PAGE - 4]);
                drop(store);
            });
            other.join().unwrap();
        }
        assert_eq!(engine.stats().idle, 1, "{case}");
    });
}

#[test]
fn four_threads_share_a_module_and_see_nothing_of_each_other() {
    each_config(|case, _, mut config| {
        // Fewer slots than two for each thread: they take each other's.
        let engine = Engine::new(config.max_instances(6)).unwrap();
        let subject = Subject::new(&engine, 8, &[(100, "shared by all")]);
        let other = Subject::new(&engine, 2, &[(7_000, "another module")]);
        let until = Instant::now() + Duration::from_millis(250);
        let work = |seed: u64| {
            let mut random = Random(seed);
            let mut rounds = 0;
            while Instant::now() < until {
                let subject = if random.percent(90) { &subject } else { &other };
                let (mut store, it, memory) = subject.fresh(&engine);
                let pages = subject.fresh.len() / PAGE;
                for _ in 0..random.below(12) {
                    let among = if random.percent(70) { 3 } else { pages };
                    let page = random.below(among);
                    memory.write(&mut store, page * PAGE, &[seed as u8; 64]).unwrap();
                    run(&mut store, it, "writes", &[page * PAGE + 500, 1, 10]);
                }
                if random.percent(20) {
                    run(&mut store, it, "grow", &[1]);
                    run(&mut store, it, "writes", &[subject.fresh.len(), 1, PAGE]);
                }
                rounds += 1;
            }
            rounds
        };
        let rounds: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|i| scope.spawn(move || work(0xa0 + i))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        let stats = engine.stats();
        assert_eq!(stats.live, 0, "{case}");
        assert!(rounds > 20, "{case}: only {rounds} rounds");
    });
}

// What the statistics say.

#[test]
fn the_same_pages_again_and_again_are_reset_without_asking_the_kernel() {
    each_config(|case, strategy, config| {
        let engine = Engine::new(&config).unwrap();
        let subject = Subject::new(&engine, 16, &[(100, "data")]);
        let rounds = |count: u64| {
            for _ in 0..count {
                let (mut store, it, _) = subject.fresh(&engine);
                [0, 5 * PAGE, 9 * PAGE + 5].iter().for_each(|at| run(&mut store, it, "write", &[*at]));
            }
        };
        rounds(5);
        let before = engine.stats();
        rounds(500);
        let after = engine.stats();
        let ways: [u64; 5] = std::array::from_fn(|i| resets(after)[i] - resets(before)[i]);
        let expected = match strategy {
            ResetStrategy::Scan => [0, 0, 0, 500, 0],
            ResetStrategy::Discard => [0, 0, 0, 0, 500],
            _ => [0, 500, 0, 0, 0],
        };
        assert_eq!(ways, expected, "{case}");
        assert_eq!(after.warm_instantiations - before.warm_instantiations, 500, "{case}");
        assert_eq!(after.cold_instantiations, 1, "{case}");
    });
}

#[test]
fn every_instantiation_and_every_reset_is_counted_once() {
    each_config(|case, _, mut config| {
        let engine = Engine::new(config.max_instances(5)).unwrap();
        let subjects = [1, 2, 3].map(|pages| Subject::new(&engine, pages, &[(9, "data")]));
        let mut random = Random(9);
        let (mut made, mut untouched) = (0, 0);
        let mut live = Vec::new();
        for _ in 0..400 {
            if live.len() == 5 || (!live.is_empty() && random.percent(50)) {
                live.swap_remove(random.below(live.len()));
            } else {
                let mut store = Store::new(&engine, ());
                let it = Instance::new(&mut store, &random.pick(&subjects).module, &[]).unwrap();
                if random.percent(60) {
                    run(&mut store, it, "write", &[random.below(40) * 1000]);
                } else {
                    untouched += 1;
                }
                live.push(store);
                made += 1;
            }
            let stats = engine.stats();
            assert_eq!(stats.live, live.len(), "{case}");
            assert!(stats.live + stats.idle <= 5, "{case}");
            assert_eq!(stats.warm_instantiations + stats.cold_instantiations, made, "{case}");
            assert_eq!(resets(stats).iter().sum::<u64>(), made - live.len() as u64, "{case}");
        }
        drop(live);
        assert_eq!(engine.stats().resets_nothing, untouched, "{case}");
    });
}

#[test]
fn what_is_kept_stays_within_its_limit() {
    each_config(|case, _, mut config| {
        let engine = Engine::new(config.keep_resident(50 * PAGE)).unwrap();
        let subject = Subject::new(&engine, 16, &[(0, "data")]);
        let mut random = Random(3);
        for round in 0..60 {
            let tenants: Vec<_> = (0..4)
                .map(|_| {
                    let (mut store, it, _) = subject.fresh(&engine);
                    run(&mut store, it, "writes", &[0, PAGE, 1 + random.below(100)]);
                    store
                })
                .collect();
            drop(tenants);
            let kept = engine.stats().kept_bytes;
            assert!(kept <= 50 * PAGE, "{case}, {round}: {kept} bytes");
        }
    });
}

#[test]
fn what_is_too_large_for_an_image_is_there_in_every_instance_and_after_a_reset() {
    let data: String = (0..6000).map(|i| format!("(data (i32.const {}) \"x\")", i * 8192)).collect();
    let text = format!(
        r#"(module (memory (export "m") 800) (table 200000 funcref (ref.func $f)) {data}
          (func $f (result i32) (i32.const 42))
          (func (export "last element") (result i32) (call_indirect (result i32) (i32.const 199999)))
          (func (export "last data") (result i32) (i32.load8_u (i32.const {last})))
          (func (export "spoil") (i32.store8 (i32.const {last}) (i32.const 0))
            (table.fill (i32.const 100000) (ref.null func) (i32.const 100000))))"#,
        last = 5999 * 8192
    );
    each_config(|_, _, mut config| {
        let engine = Engine::new(config.max_instances(1)).unwrap();
        let module = Module::new(&engine, &text).unwrap();
        for _ in 0..2 {
            let mut store = Store::new(&engine, ());
            let it = Instance::new(&mut store, &module, &[]).unwrap();
            for _ in 0..2 {
                assert_eq!(call_i32(&mut store, it, "last element", &[]).unwrap(), 42);
                assert_eq!(call_i32(&mut store, it, "last data", &[]).unwrap(), i32::from(b'x'));
                call(&mut store, it, "spoil", &[]).unwrap();
                it.reset(&mut store).unwrap();
            }
        }
    });
}
