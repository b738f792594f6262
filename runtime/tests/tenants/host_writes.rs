//! The host writes where it likes, page by page: in the hot set, beside it, in grown memory and in
//! tables. It never faults, and the next tenant sees nothing of it.

use crate::common::{Random, call, each_config, is_zero};
use minirt::{Engine, Instance, Memory, Module, Ref, ResetStrategy, Store, Table, Val};

const PAGE: usize = 4096;
const WASM_PAGE: usize = 65_536;

fn text(pages: usize, byte: u8) -> String {
    format!(
        r#"(module (memory (export "m") {pages} {most}) (table (export "t") 3000 4000 funcref) (func $f)
          (table (export "fixed") 700 700 funcref)
          (data (i32.const {at}) "\{byte:02x}") (data (i32.const 5000) "\{byte:02x}")
          (func (export "write") (param i32) (i32.store8 (local.get 0) (i32.const 255)))
          (func (export "fill") (param i32 i32) (memory.fill (local.get 0) (i32.const 254) (local.get 1)))
          (func (export "copy") (param i32 i32 i32) (memory.copy (local.get 0) (local.get 1) (local.get 2)))
          (func (export "set") (param i32) (table.set 0 (local.get 0) (ref.func $f)) (table.set 1 (i32.const 600) (ref.func $f)))
          (func (export "grow") (result i32) (memory.grow (i32.const 1)))
          (func (export "grow by nothing") (result i32) (i32.add (table.grow 0 (ref.func $f) (i32.const 0))
            (i32.add (table.grow 1 (ref.func $f) (i32.const 0)) (memory.grow (i32.const 0)))))
          (elem declare func $f))"#,
        most = pages + 4,
        at = pages * WASM_PAGE - 1,
    )
}

struct Tenant {
    store: Store<()>,
    it: Instance,
    memory: Memory,
    tables: [Table; 2],
    model: Vec<u8>,
}

impl Tenant {
    fn new(engine: &Engine, module: &Module, pages: usize, byte: u8, case: &str) -> Self {
        let mut store = Store::new(engine, ());
        let it = Instance::new(&mut store, module, &[]).unwrap();
        let memory = it.get_memory(&store, "m").unwrap();
        let tables = ["t", "fixed"].map(|name| it.get_table(&store, name).unwrap());
        let mut model = vec![0; pages * WASM_PAGE];
        for at in [5000, pages * WASM_PAGE - 1] {
            model[at] = byte;
        }
        assert!(memory.data(&store) == model, "{case}: a fresh memory");
        for (table, len) in tables.iter().zip([3000, 700]) {
            assert_eq!(table.size(&store), len, "{case}");
            for at in [0, 1, 250, 512, 600, 699, 2999].into_iter().filter(|at| *at < len) {
                assert!(
                    matches!(table.get(&store, at), Some(Ref::Func(None))),
                    "{case}: element {at} of a fresh table"
                );
            }
        }
        Self { store, it, memory, tables, model }
    }

    fn run(&mut self, name: &str, args: &[usize]) {
        let args: Vec<Val> = args.iter().map(|arg| Val::I32(*arg as i32)).collect();
        call(&mut self.store, self.it, name, &args).unwrap();
    }

    fn write_from_host(&mut self, at: usize, bytes: &[u8]) {
        self.memory.write(&mut self.store, at, bytes).unwrap();
        self.model[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// Writes once, in one of the ways there are, around `at`.
    fn write(&mut self, random: &mut Random, at: usize) {
        let len = *random.pick(&[0, 1, 7, PAGE, PAGE + 1, 3 * PAGE]);
        let at = at.min(self.model.len());
        let len = len.min(self.model.len() - at);
        match random.below(9) {
            0..3 => {
                self.write_from_host(at, &vec![random.below(255) as u8; len]);
            }
            3 => {
                let other = random.below(self.model.len() - len + 1);
                let (mut memory, _) = self.memory.parts_mut(&mut self.store);
                memory.range_mut(at..at + len).unwrap().fill(77);
                memory.range_mut(other..other + len.min(1)).unwrap().fill(78);
                self.model[at..at + len].fill(77);
                self.model[other..other + len.min(1)].fill(78);
            }
            4 => {
                self.run("fill", &[at, len]);
                self.model[at..at + len].fill(254);
            }
            5 => {
                let from = random.below(self.model.len() - len + 1);
                self.run("copy", &[at, from, len]);
                self.model.copy_within(from..from + len, at);
            }
            6 if at < self.model.len() => {
                self.run("write", &[at]);
                self.model[at] = 255;
            }
            7 if random.percent(10) => {
                self.memory.data_mut(&mut self.store)[at..at + len].fill(79);
                self.model[at..at + len].fill(79);
            }
            _ => {
                self.run("set", &[random.below(3000)]);
                let null = Ref::Func(None);
                self.tables[0].set(&mut self.store, random.below(3000) as u64, null).unwrap();
                self.tables[1].set(&mut self.store, random.below(700) as u64, null).unwrap();
            }
        }
    }
}

#[test]
fn the_host_writes_hot_missed_and_grown_pages_in_turn() {
    each_config(|case, strategy, mut config| {
        for attributed in [false, true] {
            if attributed && !matches!(strategy, ResetStrategy::Scan | ResetStrategy::Discard) {
                continue; // Attributed slots are reset in two ways only.
            }
            let engine = Engine::new(config.max_instances(2).attribute_writes(attributed)).unwrap();
            let modules = [(3, 0x11), (5, 0x22)]
                .map(|(pages, byte)| (pages, byte, Module::new(&engine, text(pages, byte)).unwrap()));
            let mut random = Random(4 + u64::from(attributed));
            let mut which = 0;
            for round in 0..if attributed { 8 } else { 120 } {
                if random.percent(10) {
                    which = 1 - which;
                }
                let (pages, byte, module) = &modules[which];
                let mut tenant = Tenant::new(&engine, module, *pages, *byte, case);
                for lives in 0..2 {
                    // Most tenants have habits, so that slots stay tracked.
                    let habitual = random.percent(80);
                    for step in 0..random.below(14) {
                        let hot = [0, 3 * PAGE - 3, 17 * PAGE][step % 3];
                        if habitual {
                            let beside = if random.percent(5) { PAGE } else { 0 };
                            tenant.write_from_host(hot + beside, &[random.below(255) as u8; 6]);
                            continue;
                        }
                        let at = match random.below(8) {
                            0..5 => hot,
                            5 => tenant.model.len() - random.below(3 * PAGE),
                            _ => random.below(tenant.model.len()),
                        };
                        tenant.write(&mut random, at);
                        if random.percent(4) && tenant.model.len() < (pages + 4) * WASM_PAGE {
                            tenant.run("grow", &[]);
                            tenant.model.resize(tenant.model.len() + WASM_PAGE, 0);
                        }
                        if random.percent(4) {
                            tenant.run("grow by nothing", &[]);
                        }
                    }
                    assert!(tenant.memory.data(&tenant.store) == tenant.model, "{case}, {round}: what was written");
                    if lives == 1 || random.percent(70) {
                        break;
                    }
                    tenant.it.reset(&mut tenant.store).unwrap();
                    tenant.model.truncate(pages * WASM_PAGE);
                    tenant.model.fill(0);
                    tenant.model[5000] = *byte;
                    *tenant.model.last_mut().unwrap() = *byte;
                    assert!(tenant.memory.data(&tenant.store) == tenant.model, "{case}, {round}: after a reset");
                }
            }
            let stats = engine.stats();
            assert!(strategy != ResetStrategy::HotSet || stats.resets_hot_set > 20, "{case}: {stats:?}");
        }
    });
}

#[test]
fn more_places_than_regions_and_more_pages_in_one_than_a_call_lists() {
    let page = rustix::param::page_size();
    let text = r#"(module (memory (export "m") PAGES)
      (func (export "write") (param $from i32) (param $count i32) (param $step i32)
        (loop (i32.store8 (local.get $from) (i32.const 1))
          (local.set $from (i32.add (local.get $from) (local.get $step)))
          (br_if 0 (local.tee $count (i32.sub (local.get $count) (i32.const 1)))))))"#;
    let text = text.replace("PAGES", &(1200 * page / 4096).to_string());
    each_config(|case, strategy, mut config| {
        let engine = Engine::new(config.max_instances(1)).unwrap();
        let module = Module::new(&engine, &text).unwrap();
        for round in 0..5 {
            let mut store = Store::new(&engine, ());
            let it = Instance::new(&mut store, &module, &[]).unwrap();
            let memory = it.get_memory(&store, "m").unwrap();
            assert!(is_zero(memory.data(&store)), "{case}, {round}");
            let mut write = |from: usize, count: usize, step: usize| {
                let args = [from, count, step].map(|arg| Val::I32(arg as i32));
                call(&mut store, it, "write", &args).unwrap();
            };
            // One place with 700 runs, and 24 that are far from each other.
            write(9 * page, 700, 2 * page);
            (0..24).for_each(|i| write((3000 + 660 * i) * page, 20, 2 * page));
            // And then some that no run before has written.
            write((2000 + round) * page, 1, page);
        }
        let stats = engine.stats();
        let expected = if strategy == ResetStrategy::HotSet { 4 } else { 0 };
        assert_eq!(stats.resets_regions, expected, "{case}: {stats:?}");
    });
}
