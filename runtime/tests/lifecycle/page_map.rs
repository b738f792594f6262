//! What each page of an instance is, and who wrote it first.

use crate::common::{call, call_i32};
use minirt::{Config, Engine, FirstWriter, Instance, Linker, Module, PageKind, PageMap, PageRegion, PageRun};
use minirt::{RegionKind, Store};
use rustix::param::page_size;

/// Fills in what depends on the size of a page: `{5}` is where page 5 begins, `{5-8}` and `{5+8}`
/// are 8 bytes before and behind that, and `{5x}` is 5 for pages of 4 KiB, and more for larger
/// ones.
fn sized(text: &str) -> String {
    let mut parts = text.split(['{', '}']);
    let mut out = parts.next().unwrap().to_owned();
    while let (Some(place), Some(rest)) = (parts.next(), parts.next()) {
        let number = |text: &str| text.parse::<usize>().unwrap();
        let value = if let Some(count) = place.strip_suffix('x') {
            number(count) * page_size() / 4096
        } else if let Some((page, bytes)) = place.split_once('-') {
            number(page) * page_size() - number(bytes)
        } else if let Some((page, bytes)) = place.split_once('+') {
            number(page) * page_size() + number(bytes)
        } else {
            number(place) * page_size()
        };
        out += &format!("{value}{rest}");
    }
    out
}

/// Functions that write known pages: of memory 0, unless the name says otherwise.
const WRITER: &str = r#"(module $guest
    (import "host" "poke" (func $poke (param i32)))
    (memory (export "m") {2x} {4x})
    (memory $other {1x})
    (table $t (export "t") 2000 funcref)
    (data (i32.const 0) "on page 0")
    (data $passive "0123456789")
    (func $one (export "one") (i32.store (i32.const {1}) (i32.const 1)))
    (func $three (export "three")
      (i32.store (i32.const {1+4}) (i32.const 1))
      (i32.store (i32.const {3}) (i32.const 1)))
    (func $straddle (export "straddle") (v128.store (i32.const {5-8}) (v128.const i64x2 -1 -1)))
    (func $fill (export "fill") (memory.fill (i32.const {6}) (i32.const 7) (i32.const {2})))
    (func $copy (export "copy") (memory.copy (i32.const {8}) (i32.const 0) (i32.const 9)))
    (func $init (export "init") (memory.init $passive (i32.const {9}) (i32.const 0) (i32.const 10)))
    (func $calls (export "calls") (call $inner))
    (func $inner (call $poke (i32.const {10})))
    (func $same (export "same") (i32.store8 (i32.const 0) (i32.const 111)))
    (func $two (export "two") (i32.store $other (i32.const {2}) (i32.const 1)))
    (func $grow (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
    (func $beyond (export "beyond") (i32.store (i32.const {32}) (i32.const 5)))
    (func $far (export "far") (i32.store (i32.const {64-4}) (i32.const 5)))
    (func $set (export "set") (table.set $t (i32.const 1900) (ref.func $one)))
    (func $all (export "all")
      (local $at i32)
      (loop
        (i32.store (local.get $at) (i32.const -1))
        (local.set $at (i32.add (local.get $at) (i32.const {1})))
        (br_if 0 (i32.lt_u (local.get $at) (i32.const {32}))))))"#;

fn engine(attribute: bool) -> Engine {
    Engine::new(Config::new().attribute_writes(attribute)).unwrap()
}

struct Guest {
    store: Store<()>,
    instance: Instance,
}

impl Guest {
    fn new(engine: &Engine) -> Self {
        let mut linker = Linker::new(engine);
        let poke = |mut caller: minirt::Caller<'_, ()>, at: i32| {
            let memory = caller.get_export("m").and_then(|it| it.into_memory()).unwrap();
            memory.write(&mut caller, at as usize, &[9]).unwrap();
        };
        linker.func_wrap("host", "poke", poke).unwrap();
        let mut store = Store::new(engine, ());
        let instance = linker.instantiate(&mut store, &Module::new(engine, sized(WRITER)).unwrap()).unwrap();
        Self { store, instance }
    }

    fn call(&mut self, name: &str) {
        call(&mut self.store, self.instance, name, &[]).unwrap();
    }

    /// `None` where the kernel cannot list pages.
    fn map(&self) -> Option<PageMap> {
        self.instance.page_map(&self.store).ok()
    }
}

fn region(map: &PageMap, kind: RegionKind) -> &PageRegion {
    map.regions.iter().find(|region| region.kind == kind).unwrap()
}

fn run(map: &PageMap, kind: RegionKind, page: u64) -> &PageRun {
    region(map, kind).runs.iter().find(|run| run.pages.contains(&page)).unwrap()
}

/// Describes the first writer of a page, as `host` or by the function's name.
fn writer(map: &PageMap, kind: RegionKind, page: u64) -> String {
    let name = |frame: &minirt::FrameInfo| frame.func_name().unwrap().to_owned();
    match &run(map, kind, page).first_writer {
        None => "-".to_owned(),
        Some(FirstWriter::Wasm(frame)) => name(frame),
        Some(FirstWriter::Host(frame)) => format!("host for {}", frame.as_ref().map_or("nobody".to_owned(), name)),
        Some(_) => unreachable!(),
    }
}

fn writers(map: &PageMap, kind: RegionKind) -> Vec<(u64, String)> {
    let pages =
        region(map, kind).runs.iter().filter(|run| run.first_writer.is_some()).flat_map(|run| run.pages.clone());
    pages.map(|page| (page, writer(map, kind, page))).collect()
}

const FIRST: RegionKind = RegionKind::Memory(0);
const SECOND: RegionKind = RegionKind::Memory(1);

#[test]
fn each_page_has_the_function_that_wrote_it_first() {
    let engine = engine(true);
    for round in 0..20 {
        let mut guest = Guest::new(&engine);
        let Some(fresh) = guest.map() else { return };
        assert_eq!((writers(&fresh, FIRST), writers(&fresh, SECOND)), (vec![], vec![]), "round {round}");
        for name in ["one", "three", "straddle", "fill", "copy", "init", "calls", "same", "two", "set", "all"] {
            guest.call(name);
        }
        guest.instance.get_memory(&guest.store, "m").unwrap().write(&mut guest.store, 18 * page_size(), &[1]).unwrap();
        let map = guest.map().unwrap();
        let expected: Vec<(u64, String)> = (0..32)
            .map(|page| {
                let name = match page {
                    0 => "same",
                    1 => "one",
                    3 => "three",
                    4 | 5 => "straddle",
                    6 | 7 => "fill",
                    8 => "copy",
                    9 => "init",
                    10 => "host for inner",
                    _ => "all",
                };
                (page, name.to_owned())
            })
            .collect();
        assert_eq!(writers(&map, FIRST), expected, "round {round}");
        assert_eq!(writers(&map, SECOND), [(2, "two".to_owned())]);
        assert!(writers(&map, RegionKind::State).iter().all(|(_, name)| name == "set"));
        assert_eq!(writers(&map, RegionKind::State).len(), 1);
        assert!(map.regions.iter().all(|region| region.attributed));
    }
}

#[test]
fn the_instruction_that_wrote_is_named() {
    let mut guest = Guest::new(&engine(true));
    guest.call("three");
    let Some(map) = guest.map() else { return };
    let offset = |page| run(&map, FIRST, page).first_writer.as_ref().unwrap().frame().unwrap().module_offset().unwrap();
    let binary = wat::parse_str(sized(WRITER)).unwrap();
    // 0x36 is i32.store.
    assert_eq!((binary[offset(1)], binary[offset(3)]), (0x36, 0x36));
    assert!(offset(1) < offset(3));
}

#[test]
fn the_host_is_a_writer_too() {
    let mut guest = Guest::new(&engine(true));
    let memory = guest.instance.get_memory(&guest.store, "m").unwrap();
    memory.write(&mut guest.store, 2 * page_size() - 1, &[1, 2]).unwrap();
    let Some(map) = guest.map() else { return };
    let host = "host for nobody".to_owned();
    assert_eq!(writers(&map, FIRST), [(1, host.clone()), (2, host)]);
    // Whoever gets all of it may write anywhere.
    memory.data_mut(&mut guest.store)[5 * page_size()] = 1;
    let map = guest.map().unwrap();
    assert!(!region(&map, FIRST).attributed && region(&map, SECOND).attributed);
    assert_eq!(run(&map, FIRST, 5).kind, PageKind::Changed);
    guest.instance.reset(&mut guest.store).unwrap();
    assert!(region(&guest.map().unwrap(), FIRST).attributed);
}

#[test]
fn grown_pages_are_attributed_and_gone_after_a_reset() {
    let mut guest = Guest::new(&engine(true));
    if guest.map().is_none() {
        return;
    }
    let scale = (page_size() / 4096) as i32;
    for _ in 0..5 {
        assert_eq!(call_i32(&mut guest.store, guest.instance, "grow", &[scale]).unwrap(), 2 * scale);
        guest.call("beyond");
        assert_eq!(call_i32(&mut guest.store, guest.instance, "grow", &[scale]).unwrap(), 3 * scale);
        guest.call("far");
        let map = guest.map().unwrap();
        assert_eq!(writers(&map, FIRST), [(32, "beyond".to_owned()), (63, "far".to_owned())]);
        assert!(run(&map, FIRST, 32).grown && !run(&map, FIRST, 31).grown);
        assert_eq!(region(&map, FIRST).accessible(), 64);
        guest.instance.reset(&mut guest.store).unwrap();
        let map = guest.map().unwrap();
        assert_eq!((writers(&map, FIRST), region(&map, FIRST).accessible()), (vec![], 32));
        assert_eq!(run(&map, FIRST, 32).kind, PageKind::Inaccessible);
        assert!(call(&mut guest.store, guest.instance, "far", &[]).is_err());
        guest.instance.reset(&mut guest.store).unwrap();
    }
}

#[test]
fn all_pages_have_a_writer_however_many_were_protected_before_the_first_write() {
    let text = r#"(module (table $t {2000x} {2000x} funcref) (memory {1x})
        (func $f) (elem declare func $f)
        (func $set (local $i i32)
          (loop
            (table.set (local.get $i) (ref.func $f))
            (br_if 0 (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const {100x}))) (i32.const {2000x})))))
        (func $all (local $at i32)
          (loop
            (i32.store (local.get $at) (i32.const -1))
            (local.set $at (i32.add (local.get $at) (i32.const {1})))
            (br_if 0 (i32.lt_u (local.get $at) (i32.const {64})))))
        (func (export "run")
          (drop (memory.grow (i32.const {1x}))) (drop (memory.grow (i32.const {2x}))) (call $all) (call $set)))"#;
    let engine = engine(true);
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &Module::new(&engine, sized(text)).unwrap(), &[]).unwrap();
    for _ in 0..3 {
        call(&mut store, instance, "run", &[]).unwrap();
        let Ok(map) = instance.page_map(&store) else { return };
        assert!(map.regions.iter().all(|region| region.attributed));
        let expected: Vec<(u64, String)> = (0..64).map(|page| (page, "all".to_owned())).collect();
        assert_eq!(writers(&map, FIRST), expected);
        assert!(writers(&map, RegionKind::State).len() >= 3);
        instance.reset(&mut store).unwrap();
    }
}

#[cfg(feature = "wasi")]
#[test]
fn who_asks_for_pages_and_does_not_write_them_is_no_writer() {
    let engine = engine(true);
    let mut linker = Linker::new(&engine);
    minirt::wasi::add_to_linker(&mut linker, |wasi| wasi).unwrap();
    // Reads three bytes into room for three pages.
    let text = r#"(module
        (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") {1x})
        (data (i32.const 0) "where and how many")
        (func $f (export "f") (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))))"#;
    let wasi = minirt::wasi::WasiCtxBuilder::new().stdin(minirt::wasi::Input::Bytes(b"abc".into())).build().unwrap();
    let mut store = Store::new(&engine, wasi);
    let [at, len] = [1, 3].map(|pages| (pages * page_size() as u32).to_le_bytes());
    let buffer: String = at.iter().chain(&len).map(|byte| format!("\\{byte:02x}")).collect();
    let text = sized(text).replace("where and how many", &buffer);
    let instance = linker.instantiate(&mut store, &Module::new(&engine, text).unwrap()).unwrap();
    instance.get_typed_func::<(), ()>(&store, "f").unwrap().call(&mut store, ()).unwrap();
    let Ok(map) = instance.page_map(&store) else { return };
    let host = "host for f".to_owned();
    assert_eq!(writers(&map, FIRST), [(0, host.clone()), (1, host)]);
}

#[test]
fn pages_are_told_apart_by_what_they_are() {
    let engine = engine(false);
    let mut guest = Guest::new(&engine);
    guest.call("same");
    guest.call("one");
    let memory = guest.instance.get_memory(&guest.store, "m").unwrap();
    assert_eq!(memory.data(&guest.store)[20 * page_size()], 0);
    let Some(map) = guest.map() else { return };
    // 111 is what the image has there.
    assert_eq!(run(&map, FIRST, 0).kind, PageKind::Equal);
    assert_eq!(run(&map, FIRST, 1).kind, PageKind::Changed);
    assert!(matches!(run(&map, FIRST, 20).kind, PageKind::Zero | PageKind::Shared));
    assert_eq!(run(&map, FIRST, 32).kind, PageKind::Inaccessible);
    assert_eq!(map.count(PageKind::Inaccessible), 32 + ((1 << 32) / page_size() as u64) - 16);
    assert_eq!(writers(&map, FIRST), []);
    assert!(map.regions.iter().all(|region| !region.attributed));
    // Runs touch, and neighbours differ.
    for region in &map.regions {
        assert_eq!(region.runs.first().map_or(0, |run| run.pages.start), 0);
        assert!(region.runs.windows(2).all(|two| two[0].pages.end == two[1].pages.start));
    }
}

#[test]
fn the_hot_set_is_marked_once_it_is_known() {
    let engine = engine(false);
    let mut guest = Guest::new(&engine);
    for _ in 0..4 {
        guest.call("three");
        guest.instance.reset(&mut guest.store).unwrap();
    }
    let Some(map) = guest.map() else { return };
    assert!(region(&map, FIRST).tracked);
    let hot: Vec<u64> =
        region(&map, FIRST).runs.iter().filter(|run| run.hot).flat_map(|run| run.pages.clone()).collect();
    assert_eq!(hot, [1, 3]);
    assert_eq!((run(&map, FIRST, 1).kind, run(&map, FIRST, 3).kind), (PageKind::Equal, PageKind::Equal));
}

#[test]
fn an_instance_without_memories_has_a_state_alone() {
    let engine = engine(true);
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &Module::new(&engine, "(module)").unwrap(), &[]).unwrap();
    let Ok(map) = instance.page_map(&store) else { return };
    assert_eq!(map.regions.len(), 1);
    assert_eq!(map.regions[0].kind, RegionKind::State);
}

#[test]
fn an_imported_memory_belongs_to_the_instance_that_defines_it() {
    let engine = engine(true);
    let mut store = Store::new(&engine, ());
    let ty = minirt::MemoryType::new(1, None);
    let memory = minirt::Memory::new(&mut store, ty).unwrap();
    let text = r#"(module (import "" "" (memory 1)) (memory {2x}) (func $f (export "f")
        (i32.store 0 (i32.const 0) (i32.const 1)) (i32.store 1 (i32.const {1}) (i32.const 1))))"#;
    let instance = Instance::new(&mut store, &Module::new(&engine, sized(text)).unwrap(), &[memory.into()]).unwrap();
    call(&mut store, instance, "f", &[]).unwrap();
    let Ok(map) = instance.page_map(&store) else { return };
    let kinds: Vec<RegionKind> = map.regions.iter().map(|region| region.kind).collect();
    assert_eq!(kinds, [RegionKind::State, RegionKind::Memory(1)]);
    assert_eq!(writers(&map, RegionKind::Memory(1)), [(1, "f".to_owned())]);
}

#[test]
fn what_is_attributed_is_what_runs_without() {
    // Many pages, far apart: more than the kernel has mappings for. Pages of 64 KiB are too large
    // for so many in a memory.
    if page_size() > 16 << 10 {
        return;
    }
    let text = r#"(module (memory (export "m") 65536) (func $f (export "f") (result i32)
        (local $at i32)
        (loop
          (i32.store (local.get $at) (i32.const 1))
          (br_if 0 (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const {2}))) (i32.const {81920}))))
        (i32.load (i32.const {81918}))))"#;
    let engine = engine(true);
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &Module::new(&engine, sized(text)).unwrap(), &[]).unwrap();
    for _ in 0..2 {
        let result = call(&mut store, instance, "f", &[]).unwrap();
        assert_eq!(result[0].i32(), Some(1));
        let Ok(map) = instance.page_map(&store) else { return };
        assert!(!region(&map, FIRST).attributed, "there are not so many mappings");
        assert_eq!(region(&map, FIRST).count(PageKind::Changed), 40_960);
        assert_eq!(writer(&map, FIRST, 1000), "f");
        instance.reset(&mut store).unwrap();
        assert_eq!(region(&instance.page_map(&store).unwrap(), FIRST).count(PageKind::Changed), 0);
    }
}

/// A guest with a list in its image, to which it adds, and whose functions write known pages.
const OBJECTS: &str = r#"(module
    (type $page (array (mut i64)))
    (type $list (struct (field (mut (ref null $list))) (field (ref $page))))
    (global $first (mut (ref null $list))
      (struct.new $list (ref.null $list) (array.new $page (i64.const 7) (i32.const {1024x}))))
    (memory 1)
    (func $add (export "add")
      (global.set $first (struct.new $list (global.get $first)
        (array.new $page (i64.const 1) (i32.const {4096x})))))
    (func $change (export "change")
      (array.set $page (struct.get $list 1 (global.get $first)) (i32.const {700x}) (i64.const 1))))"#;

#[test]
fn the_heap_is_a_region_with_its_first_writers() {
    const HEAP: RegionKind = RegionKind::Heap;
    let engine = engine(true);
    let module = Module::new(&engine, sized(OBJECTS)).unwrap();
    for round in 0..5 {
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        let Ok(fresh) = instance.page_map(&store) else { return };
        let kinds: Vec<RegionKind> = fresh.regions.iter().map(|region| region.kind).collect();
        assert_eq!(kinds, [RegionKind::State, FIRST, HEAP]);
        // The host says where the next object goes. All else is the image's.
        let host = (0, "host for nobody".to_owned());
        assert_eq!(writers(&fresh, HEAP), std::slice::from_ref(&host), "round {round}");
        // Two pages of an array, and a little more, in units of 64 KiB.
        let pages = region(&fresh, HEAP).accessible();
        let size = pages as usize * page_size();
        assert!(size.is_multiple_of(65_536) && (3..=16).contains(&pages), "{pages} pages");
        assert!(fresh.regions[2].count(PageKind::Changed) <= 1);
        // The image has 16 bytes of the heap's own, and an array and a structure behind them.
        call(&mut store, instance, "change", &[]).unwrap();
        let changed = instance.page_map(&store).unwrap();
        assert_eq!(writers(&changed, HEAP), [host.clone(), (1, "change".to_owned())]);
        assert_eq!(run(&changed, HEAP, 1).kind, PageKind::Changed);
        // Eight pages each: the second one is where the heap has grown.
        call(&mut store, instance, "add", &[]).unwrap();
        call(&mut store, instance, "add", &[]).unwrap();
        let map = instance.page_map(&store).unwrap();
        assert!(region(&map, HEAP).attributed);
        assert_eq!(writer(&map, HEAP, 9), "add");
        assert!(run(&map, HEAP, 17).grown && !run(&map, HEAP, pages - 1).grown);
        assert_eq!(run(&map, HEAP, 17).kind, PageKind::Changed);
        assert_eq!(writers(&map, FIRST), []);
        // The statistics have the same pages, and the host cell in the heap's own slot.
        let stats = instance.page_stats(&store);
        let all = stats.untouched + stats.zero + stats.shared + stats.private + stats.swapped;
        assert_eq!(all, map.regions.iter().map(PageRegion::accessible).sum::<u64>() + 1);
        instance.reset(&mut store).unwrap();
        let map = instance.page_map(&store).unwrap();
        assert_eq!((writers(&map, HEAP), region(&map, HEAP).accessible()), (vec![host], pages));
    }
}

#[test]
fn what_a_collection_writes_was_written_before() {
    let engine = engine(true);
    let module = Module::new(&engine, sized(OBJECTS)).unwrap();
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[]).unwrap();
    for _ in 0..40 {
        call(&mut store, instance, "add", &[]).unwrap();
    }
    let Ok(before) = instance.page_map(&store) else { return };
    store.gc();
    let after = instance.page_map(&store).unwrap();
    assert_eq!(writers(&after, RegionKind::Heap), writers(&before, RegionKind::Heap));
    assert!(region(&after, RegionKind::Heap).attributed);
}

#[test]
fn a_heap_belongs_to_the_instance_that_brought_it() {
    let engine = engine(true);
    let module = Module::new(&engine, sized(OBJECTS)).unwrap();
    let mut store = Store::new(&engine, ());
    let [first, second] = [(); 2].map(|()| Instance::new(&mut store, &module, &[]).unwrap());
    let Ok(map) = second.page_map(&store) else { return };
    assert!(map.regions.iter().all(|region| region.kind != RegionKind::Heap));
    let map = first.page_map(&store).unwrap();
    // The objects of the second were copied behind those of the first.
    assert_eq!(writer(&map, RegionKind::Heap, 1), "-");
    assert_eq!(writer(&map, RegionKind::Heap, 3), "host for nobody");
}
