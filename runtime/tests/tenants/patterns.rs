//! Tenants whose pages lie where they make the policy change its mind: in runs too many to list, in
//! sets that take turns or grow, across the borders of regions, in one huge bulk operation.
//! Whatever a slot has become by then, the next tenant is its module or snapshot in every byte.
//!
//! Each operation of a tenant is done by the guest or the host, and to a model. Snapshots freeze
//! both. `MINIRT_SEED` chooses other tenants, `MINIRT_SWAPS` how many there are.

use crate::common::{Random, call, call_i32, config, mappings, number_from_environment};
use minirt::{Engine, Instance, Module, Ref, ResetStrategy, Store, Val};
use std::ops::Range;

const PAGE: usize = 4096;
const WASM_PAGE: usize = 65_536;
/// Wasm pages of both memories at the start, and at the most.
const FIRST: Range<usize> = 256..270;
const SECOND: Range<usize> = 20..30;
/// Elements of the table at the start, and at the most.
const TABLE: Range<usize> = 700..2000;
const PASSIVE: &[u8] = b"passive";
/// Tenants on each thread in each configuration, unless the environment says otherwise.
const TENANTS: u64 = 40;

/// Bytes that the first memory starts with: over the border of pages, and at its very end.
const DATA: [(usize, &[u8]); 5] =
    [(16, b"low"), (4093, b"border"), (50 * PAGE, b"alone"), (3000 * PAGE - 2, b"far"), (256 * WASM_PAGE - 1, b"e")];

fn text() -> String {
    let data: String = DATA
        .iter()
        .map(|(at, bytes)| format!("(data (memory $m) (i32.const {at}) \"{}\")", String::from_utf8_lossy(bytes)))
        .collect();
    format!(
        r#"(module
          (memory $m (export "m") {} {}) (memory $n (export "n") {} {})
          (table $t (export "t") {} {} funcref) (elem (table $t) (i32.const 3) func $f)
          (global $g (export "g") (mut i64) (i64.const 5))
          {data} (data (memory $n) (i32.const 8190) "second") (data $p "{}")
          (func $f)
          (func (export "stride") (param $at i32) (param $step i32) (param $count i32) (param $byte i32)
            (loop $again
              (i32.store8 $m (local.get $at) (local.get $byte))
              (local.set $at (i32.add (local.get $at) (local.get $step)))
              (br_if $again (local.tee $count (i32.sub (local.get $count) (i32.const 1))))))
          (func (export "straddle") (param i32 i32)
            (i64.store $m (local.get 0)
              (i64.mul (i64.extend_i32_u (local.get 1)) (i64.const 0x0101010101010101))))
          (func (export "fill m") (param i32 i32 i32) (memory.fill $m (local.get 0) (local.get 1) (local.get 2)))
          (func (export "fill n") (param i32 i32 i32) (memory.fill $n (local.get 0) (local.get 1) (local.get 2)))
          (func (export "copy m m") (param i32 i32 i32) (memory.copy $m $m (local.get 0) (local.get 1) (local.get 2)))
          (func (export "copy m n") (param i32 i32 i32) (memory.copy $m $n (local.get 0) (local.get 1) (local.get 2)))
          (func (export "copy n m") (param i32 i32 i32) (memory.copy $n $m (local.get 0) (local.get 1) (local.get 2)))
          (func (export "init") (param i32) (memory.init $m $p (local.get 0) (i32.const 0) (i32.const {})))
          (func (export "drop") (data.drop $p))
          (func (export "grow m") (param i32) (result i32) (memory.grow $m (local.get 0)))
          (func (export "grow n") (param i32) (result i32) (memory.grow $n (local.get 0)))
          (func (export "grow t") (param i32) (result i32) (table.grow $t (ref.func $f) (local.get 0)))
          (func (export "fill t") (param i32 i32) (table.fill $t (local.get 0) (ref.func $f) (local.get 1)))
          (func (export "set g") (param i64) (global.set $g (local.get 0)))
          (func (export "trap") unreachable))"#,
        FIRST.start,
        FIRST.end,
        SECOND.start,
        SECOND.end,
        TABLE.start,
        TABLE.end,
        String::from_utf8_lossy(PASSIVE),
        PASSIVE.len()
    )
}

/// What an instance holds.
#[derive(Clone, PartialEq, Eq)]
struct Model {
    m: Vec<u8>,
    n: Vec<u8>,
    /// The elements of the table that are not null.
    t: Vec<bool>,
    g: i64,
    dropped: bool,
}

impl Model {
    fn fresh() -> Self {
        let (mut m, mut n) = (vec![0; FIRST.start * WASM_PAGE], vec![0; SECOND.start * WASM_PAGE]);
        DATA.iter().for_each(|(at, bytes)| m[*at..at + bytes.len()].copy_from_slice(bytes));
        n[8190..8196].copy_from_slice(b"second");
        Self { m, n, t: (0..TABLE.start).map(|at| at == 3).collect(), g: 5, dropped: false }
    }
}

/// A module or snapshot, and what its instances start with.
#[derive(Clone)]
struct Kind {
    module: Module,
    fresh: Model,
    /// Whether the kernel is asked for huge pages, as some give them unasked: a write to one page
    /// then makes 512 of them private.
    huge: bool,
}

/// An instance, and what it should hold.
struct Tenant<'a> {
    kind: &'a Kind,
    store: Store<()>,
    it: Instance,
    model: Model,
    byte: u8,
}

impl<'a> Tenant<'a> {
    fn of(kind: &'a Kind, engine: &Engine) -> Self {
        let mut store = Store::new(engine, ());
        let it = Instance::new(&mut store, &kind.module, &[]).unwrap();
        if kind.huge {
            let memory = it.get_memory(&store, "m").unwrap();
            let (at, len) = (memory.data_ptr(&store), memory.data_size(&store));
            // SAFETY: it changes nothing that a program can see. A kernel without huge pages
            // refuses.
            unsafe { libc::madvise(at.cast(), len, libc::MADV_HUGEPAGE) };
        }
        Self { kind, store, it, model: kind.fresh.clone(), byte: 0x80 }
    }

    /// Checks that the instance holds what the model does.
    fn check(&mut self, when: &str) {
        let Self { store, it, model, .. } = self;
        for (name, expected) in [("m", &model.m), ("n", &model.n)] {
            let data = it.get_memory(&*store, name).unwrap().data(&*store);
            assert_eq!(data.len(), expected.len(), "{when}: the size of {name}");
            if data != expected {
                let at = data.iter().zip(expected).position(|(a, b)| a != b).unwrap();
                panic!("{when}: byte {at:#x} of {name} is {:#x} and not {:#x}", data[at], expected[at]);
            }
        }
        let table = it.get_table(&*store, "t").unwrap();
        assert_eq!(table.size(&*store), model.t.len() as u64, "{when}");
        for (at, expected) in model.t.iter().enumerate() {
            let element = table.get(&*store, at as u64).unwrap();
            assert_eq!(!element.is_null(), *expected, "{when}: element {at}");
        }
        assert_eq!(it.get_global(&*store, "g").unwrap().get(&*store).unwrap_i64(), model.g, "{when}");
    }

    fn call(&mut self, name: &str, args: &[usize]) {
        let args: Vec<Val> = args.iter().map(|arg| Val::I32(*arg as u32 as i32)).collect();
        call(&mut self.store, self.it, name, &args).unwrap();
    }

    /// Writes a byte to each of some places.
    fn stride(&mut self, at: usize, step: usize, count: usize) {
        let count = count.min((self.model.m.len() - at).div_ceil(step));
        self.call("stride", &[at, step, count, self.byte.into()]);
        (0..count).for_each(|i| self.model.m[at + i * step] = self.byte);
    }

    fn fill(&mut self, range: Range<usize>) {
        self.call("fill m", &[range.start, self.byte.into(), range.len()]);
        self.model.m[range].fill(self.byte);
    }

    /// Writes as requests of one sort do.
    fn usual(&mut self, sort: usize, round: usize, random: &mut Random) {
        match sort {
            // A few pages; two sets that take turns; one that grows and begins again.
            0 => self.stride(7 * PAGE, 3 * PAGE, 5),
            1 => self.stride(round % 2 * 900 * PAGE, 11 * PAGE, 80),
            2 => self.stride(0, 2 * PAGE, 1 + round * 7 % 300),
            // Too many runs to list, near each other and far.
            3 => self.stride(round % 3 * PAGE, 5 * PAGE, 300),
            4 => self.stride(round % 2 * PAGE, 13 * PAGE, 300),
            // A page in each of 256 places, and the borders beside them.
            5 => {
                self.stride(0, 16 * PAGE, 256);
                self.stride(16 * PAGE - 1, 16 * PAGE, random.below(20) + 1);
            }
            // Clusters far apart, which become regions of their own.
            6 => [0, 1500, 3500].into_iter().for_each(|at| self.stride(at * PAGE, 4 * PAGE, 100)),
            _ => self.stride(random.below(4000) * PAGE, PAGE, 1 + random.below(12)),
        }
    }

    /// Does something that requests seldom do.
    fn rare(&mut self, random: &mut Random) {
        let size = self.model.m.len();
        let (at, other) = (random.below(size), random.below(size));
        let most = *random.pick(&[100, 5 * PAGE, 600 * PAGE, size]);
        let len = random.below(most).min(size - at);
        match random.below(16) {
            0 => self.fill(at..at + len),
            1 => self.fill(0..size),
            2 => {
                let len = len.min(size - other);
                self.call("copy m m", &[at, other, len]);
                self.model.m.copy_within(other..other + len, at);
            }
            3 => {
                let from = random.below(self.model.n.len());
                let len = len.min(self.model.n.len() - from);
                self.call("copy m n", &[at, from, len]);
                self.model.m[at..at + len].copy_from_slice(&self.model.n[from..from + len]);
            }
            4 => {
                let to = random.below(self.model.n.len());
                let len = len.min(self.model.n.len() - to);
                self.call("copy n m", &[to, at, len]);
                self.model.n[to..to + len].copy_from_slice(&self.model.m[at..at + len]);
            }
            5 => {
                let at = (at | (PAGE - 1)).min(size - 5) - 3;
                self.call("straddle", &[at, self.byte.into()]);
                self.model.m[at..at + 8].fill(self.byte);
            }
            6 => self.host_writes(at..at + len, random),
            7 => {
                let memory = self.it.get_memory(&self.store, "m").unwrap();
                for at in [at, other] {
                    memory.data_mut(&mut self.store)[at] = self.byte;
                    self.model.m[at] = self.byte;
                }
            }
            8 | 9 => self.grow(random),
            10 => {
                let at = at.min(size - PASSIVE.len());
                if self.model.dropped {
                    let trap = call(&mut self.store, self.it, "init", &[Val::I32(at as i32)]);
                    assert!(trap.is_err(), "a segment that was dropped is there");
                } else {
                    self.call("init", &[at]);
                    self.model.m[at..at + PASSIVE.len()].copy_from_slice(PASSIVE);
                }
            }
            11 => {
                self.call("drop", &[]);
                self.model.dropped = true;
            }
            12 => {
                self.model.g = random.next() as i64;
                call(&mut self.store, self.it, "set g", &[Val::I64(self.model.g)]).unwrap();
            }
            13 => self.spoil_table(random),
            14 => {
                let at = random.below(self.model.n.len() - PAGE);
                self.call("fill n", &[at, self.byte.into(), PAGE]);
                self.model.n[at..at + PAGE].fill(self.byte);
            }
            _ => assert!(call(&mut self.store, self.it, "trap", &[]).is_err()),
        }
    }

    fn host_writes(&mut self, range: Range<usize>, random: &mut Random) {
        let memory = self.it.get_memory(&self.store, "m").unwrap();
        if random.percent(50) {
            memory.write(&mut self.store, range.start, &vec![self.byte; range.len()]).unwrap();
        } else {
            let (mut parts, ()) = memory.parts_mut(&mut self.store);
            parts.range_mut(range.clone()).unwrap().fill(self.byte);
        }
        self.model.m[range].fill(self.byte);
    }

    fn grow(&mut self, random: &mut Random) {
        let (m, n) = (self.model.m.len(), self.model.n.len());
        for (name, export, most, delta) in
            [("grow m", "m", FIRST.end, random.below(4)), ("grow n", "n", SECOND.end, random.below(3))]
        {
            let before = if export == "m" { m } else { n };
            let fits = before / WASM_PAGE + delta <= most;
            let memory = self.it.get_memory(&self.store, export).unwrap();
            if random.percent(50) {
                let grown = call_i32(&mut self.store, self.it, name, &[delta as i32]).unwrap();
                assert_eq!(grown, if fits { (before / WASM_PAGE) as i32 } else { -1 });
            } else {
                assert_eq!(memory.grow(&mut self.store, delta as u64).is_ok(), fits);
            }
            let model = if export == "m" { &mut self.model.m } else { &mut self.model.n };
            model.resize(if fits { before + delta * WASM_PAGE } else { before }, 0);
        }
        self.check("grown");
        // Over the border, and somewhere behind it.
        let size = self.model.m.len();
        if size > m {
            self.fill(m - 3..m + 3);
            self.stride(m + random.below(size - m), 2 * PAGE, 20);
        }
    }

    fn spoil_table(&mut self, random: &mut Random) {
        let delta = random.below(300);
        let fits = self.model.t.len() + delta <= TABLE.end;
        let grown = call_i32(&mut self.store, self.it, "grow t", &[delta as i32]).unwrap();
        assert_eq!(grown >= 0, fits);
        if fits {
            self.model.t.resize(self.model.t.len() + delta, true);
        }
        let at = random.below(self.model.t.len());
        let len = random.below(self.model.t.len() - at);
        self.call("fill t", &[at, len]);
        self.model.t[at..at + len].fill(true);
        let table = self.it.get_table(&self.store, "t").unwrap();
        for at in [3, at] {
            table.set(&mut self.store, at as u64, Ref::Func(None)).unwrap();
            self.model.t[at] = false;
        }
    }

    /// Lives to the end, and perhaps becomes what later tenants start with.
    fn live(mut self, sort: usize, round: usize, random: &mut Random) -> Option<Kind> {
        self.check("at the start");
        loop {
            self.byte = 0x80 | random.next() as u8;
            if random.percent(95) {
                self.usual(sort, round, random);
            }
            if random.percent(15) {
                self.grow(random);
            }
            if random.percent(12) {
                (0..1 + random.below(3)).for_each(|_| self.rare(random));
            }
            if random.percent(10) {
                self.check("at the end");
            }
            if !random.percent(8) {
                break;
            }
            self.it.reset(&mut self.store).unwrap();
            self.model = self.kind.fresh.clone();
            self.check("after a reset in place");
        }
        random.percent(3).then(|| {
            let module = self.it.snapshot(&mut self.store).unwrap().module().clone();
            Kind { module, fresh: self.model, huge: self.kind.huge }
        })
    }
}

/// Tenants of a few kinds take turns, each kind for a while and with one sort of requests.
fn take_turns(engine: &Engine, base: &Kind, mut random: Random, seed: u64, neighbours: usize) {
    let tenants = number_from_environment("MINIRT_SWAPS").unwrap_or(TENANTS);
    let mut kinds = vec![base.clone()];
    let (mut which, mut sort, mut until) = (0, 0, 0);
    for round in 0..tenants as usize {
        let _context = Context { seed, round, sort };
        if round == until {
            (which, sort, until) = (random.below(kinds.len()), random.below(8), round + 1 + random.below(30));
        }
        let beside: Vec<Kind> = (0..random.below(neighbours + 1)).map(|_| random.pick(&kinds).clone()).collect();
        let mut beside: Vec<Tenant<'_>> = beside.iter().map(|kind| Tenant::of(kind, engine)).collect();
        beside.iter_mut().for_each(|tenant| tenant.usual(random.below(8), round, &mut random));
        let frozen = Tenant::of(&kinds[which], engine).live(sort, round, &mut random);
        beside.iter_mut().for_each(|tenant| tenant.check("beside another"));
        drop(beside);
        if let Some(frozen) = frozen {
            let at = 1 + random.below(4);
            if at < kinds.len() {
                kinds[at] = frozen
            } else {
                kinds.push(frozen)
            }
            which = which.min(kinds.len() - 1);
        }
    }
}

/// Says how to see a failure again.
struct Context {
    seed: u64,
    round: usize,
    sort: usize,
}

impl Drop for Context {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("round {}, requests of sort {}; MINIRT_SEED={} shows it again", self.round, self.sort, self.seed);
        }
    }
}

fn seed() -> u64 {
    number_from_environment("MINIRT_SEED").unwrap_or(2121)
}

#[test]
fn every_tenant_is_fresh_whatever_pattern_the_others_wrote() {
    for (strategy, images, huge) in [
        (ResetStrategy::Adaptive, true, false),
        (ResetStrategy::HotSet, true, false),
        (ResetStrategy::Scan, true, false),
        (ResetStrategy::Adaptive, false, false),
        (ResetStrategy::Adaptive, true, true),
    ] {
        println!("{strategy:?}, images {images}, huge pages {huge}");
        let engine = Engine::new(&config(strategy, images)).unwrap();
        let base = Kind { module: Module::new(&engine, text()).unwrap(), fresh: Model::fresh(), huge };
        // Slots move between the threads, with the habits of both.
        std::thread::scope(|scope| {
            for thread in 0..2 {
                let (engine, base) = (&engine, &base);
                scope.spawn(move || take_turns(engine, base, Random(seed() ^ thread << 32), seed(), 1));
            }
        });
        println!("{:?}", engine.stats());
    }
}

#[test]
fn every_tenant_is_fresh_where_mappings_become_scarce() {
    let mut random = Random(seed());
    for strategy in [ResetStrategy::Adaptive, ResetStrategy::HotSet] {
        let engine = Engine::new(&config(strategy, true)).unwrap();
        let base = Kind { module: Module::new(&engine, text()).unwrap(), fresh: Model::fresh(), huge: false };
        let mut most = 0;
        for round in 0..6 {
            let mut crowd: Vec<Tenant<'_>> = (0..60).map(|_| Tenant::of(&base, &engine)).collect();
            for tenant in &mut crowd {
                if random.percent(15) {
                    tenant.check("in a crowd");
                }
                // Two sets of 80 runs: a slot that is tracked for both takes 321 mappings.
                (round..round + 2).for_each(|round| tenant.usual(1, round, &mut random));
                if random.percent(3) {
                    tenant.rare(&mut random);
                }
            }
            most = most.max(mappings());
            crowd.iter_mut().filter(|_| random.percent(5)).for_each(|tenant| tenant.check("at the end"));
        }
        // In larger pages, runs lie side by side, and mappings are never scarce.
        let scarce = rustix::param::page_size() > PAGE || (5_000..15_000).contains(&most);
        assert!(scarce, "{strategy:?}: {most} mappings");
    }
}
