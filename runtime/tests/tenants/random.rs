//! One slot, many tenants: whatever a tenant leaves behind, the next one is what the specification
//! says a fresh instance is, in every byte.
//!
//! Random modules are made together with a model of their fresh instances, computed from the
//! description that the text is written from, and not from anything that the runtime says. Then
//! they take turns in very few slots: each tenant is compared with its model, makes a mess in every
//! way there is, and goes.
//!
//! `MINIRT_SEED` chooses other modules and pairs, `MINIRT_SWAPS` how many tenants there are in each
//! configuration.

use crate::common::{Random, call, call_i32, config, is_zero, number_from_environment};
use minirt::{
    Config, Engine, ExternRef, Func, Global, GlobalType, Instance, Module, Ref, ResetStrategy, Store, Trap, Val,
    ValType,
};
use std::fmt::Write;

const WASM_PAGE: usize = 65_536;
const HOST_PAGE: usize = 4096;
/// What tenants fill memory with. Fresh modules have no such bytes.
const CANARY: u8 = 0xcc;
/// What the function returns that tenants put into tables and globals.
const CANARY_RESULT: i32 = -7;
/// Functions of a module that its tables can start with; they return `RESULTS` and their number.
const FUNCS: usize = 4;
const RESULTS: i32 = 1000;

/// Modules for each number of slots, and tenants in all of these together, unless the environment
/// says otherwise.
const MODULES: usize = 14;
const TENANTS: u64 = 1_500;

// The description of a module: the text is written from it, and the model computed.

#[derive(Debug)]
struct Description {
    memory: Option<MemoryDescription>,
    /// Active data segments, in order.
    data: Vec<(Offset, Vec<u8>)>,
    passive_data: Vec<Vec<u8>>,
    globals: Vec<GlobalDescription>,
    tables: Vec<TableDescription>,
    /// Passive element segments of functions; `None` is null.
    passive_elements: Vec<Vec<Option<usize>>>,
    /// The value of the global that it imports, if it does: what depends on it cannot be in an
    /// image.
    imported: Option<i32>,
    /// Instantiation fails, after everything else was done.
    failure: Option<Failure>,
}

#[derive(Debug)]
struct MemoryDescription {
    minimum: usize,
    maximum: Option<usize>,
}

#[derive(Clone, Copy, Debug)]
enum Offset {
    Constant(usize),
    /// The value of the imported global.
    Imported,
}

#[derive(Debug)]
struct GlobalDescription {
    mutable: bool,
    ty: &'static str,
    init: String,
    fresh: Fresh,
}

/// A value as the host can compare it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fresh {
    Bits(u64),
    Null,
    Func(usize),
}

#[derive(Debug)]
struct TableDescription {
    minimum: usize,
    maximum: Option<usize>,
    functions: bool,
    /// Active element segments, in order.
    elements: Vec<(usize, Vec<Option<usize>>)>,
}

#[derive(Clone, Copy, Debug)]
enum Failure {
    DataOutOfBounds,
    ElementOutOfBounds,
    Start,
}

impl Description {
    fn random(random: &mut Random, slots: usize) -> Self {
        let memory = random.percent(90).then(|| MemoryDescription::random(random));
        let size = memory.as_ref().map_or(0, |memory| memory.minimum * WASM_PAGE);
        // The imported global takes a slot of its own.
        let imported = (slots > 1 && random.percent(20)).then(|| random.below(size.max(1)) as i32);
        let data = match memory {
            Some(_) => (0..random.below(7)).map(|_| random_segment(random, size, imported)).collect(),
            None => Vec::new(),
        };
        let passive_data = match memory {
            Some(_) => (0..random.below(3)).map(|_| random_bytes(random, 300)).collect(),
            None => Vec::new(),
        };
        let mut tables: Vec<_> = (0..random.below(4)).map(|_| TableDescription::random(random)).collect();
        // One table without a limit: where there are no images, the room between two is copied,
        // many megabytes.
        tables.sort_by_key(|table| table.maximum.is_none());
        tables.iter_mut().rev().skip(1).for_each(|table| table.maximum = table.maximum.or(Some(table.minimum + 50)));
        let passive_elements = (0..random.below(3)).map(|_| random_elements(random, 5)).collect();
        let globals = (0..random.below(8)).map(|_| GlobalDescription::random(random)).collect();
        let failure = random.percent(12).then(|| match random.below(3) {
            0 if memory.is_some() => Failure::DataOutOfBounds,
            1 if tables.iter().any(|table| table.functions) => Failure::ElementOutOfBounds,
            _ => Failure::Start,
        });
        Self { memory, data, passive_data, globals, tables, passive_elements, imported, failure }
    }

    fn size(&self) -> usize {
        self.memory.as_ref().map_or(0, |memory| memory.minimum * WASM_PAGE)
    }

    /// Returns the memory of a fresh instance.
    fn fresh_memory(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.size()];
        for (offset, segment) in &self.data {
            let at = match offset {
                Offset::Constant(at) => *at,
                Offset::Imported => self.imported.unwrap() as usize,
            };
            bytes[at..at + segment.len()].copy_from_slice(segment);
        }
        bytes
    }

    fn text(&self) -> String {
        let mut text = String::from("(module\n");
        if self.imported.is_some() {
            text += "(import \"host\" \"offset\" (global $imported i32))\n";
        }
        self.write_functions(&mut text);
        if let Some(MemoryDescription { minimum, maximum }) = &self.memory {
            let maximum = maximum.map_or(String::new(), |maximum| maximum.to_string());
            writeln!(text, "(memory (export \"memory\") {minimum} {maximum})").unwrap();
            text += MEMORY_FUNCTIONS;
        }
        for (i, global) in self.globals.iter().enumerate() {
            let GlobalDescription { mutable, ty, init, .. } = global;
            let ty = if *mutable { format!("(mut {ty})") } else { (*ty).to_string() };
            writeln!(text, "(global $g{i} (export \"g{i}\") {ty} {init})").unwrap();
        }
        self.write_data(&mut text);
        self.write_tables(&mut text);
        self.write_mess(&mut text);
        text + ")"
    }

    fn write_functions(&self, text: &mut String) {
        for i in 0..FUNCS {
            writeln!(text, "(func $f{i} (result i32) (i32.const {}))", RESULTS + i as i32).unwrap();
        }
        let names: String = (0..FUNCS).map(|i| format!(" $f{i}")).collect();
        writeln!(text, "(func $canary (result i32) (i32.const {CANARY_RESULT}))").unwrap();
        writeln!(text, "(elem declare func $canary{names})").unwrap();
        writeln!(text, "(func (export \"trap\") unreachable)").unwrap();
    }

    fn write_data(&self, text: &mut String) {
        for (offset, segment) in &self.data {
            let offset = match offset {
                // Half of the offsets are to be computed first.
                Offset::Constant(at) if at % 2 == 1 => {
                    format!("(offset (i32.add (i32.const {}) (i32.const 1)))", at - 1)
                }
                Offset::Constant(at) => format!("(i32.const {at})"),
                Offset::Imported => "(global.get $imported)".to_string(),
            };
            writeln!(text, "(data {offset} {})", quoted(segment)).unwrap();
        }
        for (i, segment) in self.passive_data.iter().enumerate() {
            writeln!(text, "(data $d{i} {})", quoted(segment)).unwrap();
            writeln!(
                text,
                "(func (export \"init{i}\") (param i32 i32 i32)
                   (memory.init $d{i} (local.get 0) (local.get 1) (local.get 2)))"
            )
            .unwrap();
        }
    }

    fn write_tables(&self, text: &mut String) {
        for (i, table) in self.tables.iter().enumerate() {
            let TableDescription { minimum, maximum, functions, elements } = table;
            let maximum = maximum.map_or(String::new(), |maximum| maximum.to_string());
            let (ty, value) =
                if *functions { ("funcref", "(ref.func $canary)") } else { ("externref", "(local.get 2)") };
            writeln!(text, "(table $t{i} (export \"t{i}\") {minimum} {maximum} {ty})").unwrap();
            for (at, segment) in elements {
                writeln!(text, "(elem (table $t{i}) (i32.const {at}) funcref {})", items(segment)).unwrap();
            }
            writeln!(
                text,
                "(func (export \"tset{i}\") (param i32 i32 externref) (table.set $t{i} (local.get 0) {value}))
                 (func (export \"tfill{i}\") (param i32 i32 externref)
                   (table.fill $t{i} (local.get 0) {value} (local.get 1)))
                 (func (export \"tcopy{i}\") (param i32 i32 externref)
                   (table.copy $t{i} $t{i} (i32.const 0) (local.get 0) (local.get 1)))
                 (func (export \"tgrow{i}\") (param i32 i32 externref) (result i32)
                   (table.grow $t{i} {value} (local.get 0)))"
            )
            .unwrap();
            if *functions {
                writeln!(
                    text,
                    "(func (export \"call{i}\") (param i32) (result i32) (call_indirect $t{i} (result i32) (local.get 0)))"
                )
                .unwrap();
                for segment in 0..self.passive_elements.len() {
                    writeln!(
                        text,
                        "(func (export \"tinit{i}_{segment}\") (param i32 i32 i32)
                           (table.init $t{i} $e{segment} (local.get 0) (local.get 1) (local.get 2)))"
                    )
                    .unwrap();
                }
            }
        }
        for (i, segment) in self.passive_elements.iter().enumerate() {
            writeln!(text, "(elem $e{i} funcref {})", items(segment)).unwrap();
        }
    }

    /// Functions that spoil globals and segments, and what makes instantiation fail.
    fn write_mess(&self, text: &mut String) {
        let mut body = String::new();
        for (i, global) in self.globals.iter().enumerate().filter(|(_, global)| global.mutable) {
            let value = match global.ty {
                "funcref" => "(ref.func $canary)",
                "externref" => "(local.get 0)",
                "i32" => "(i32.const 0xcccc)",
                "i64" => "(i64.const 0xcccccccccc)",
                "f32" => "(f32.const nan:0x4ccccc)",
                _ => "(f64.const nan:0xccccccccccccc)",
            };
            writeln!(body, "(global.set $g{i} {value})").unwrap();
        }
        writeln!(text, "(func $gset (export \"gset\") (param externref) {body})").unwrap();
        let data: String = (0..self.passive_data.len()).map(|i| format!("(data.drop $d{i})")).collect();
        let elements: String = (0..self.passive_elements.len()).map(|i| format!("(elem.drop $e{i})")).collect();
        writeln!(text, "(func $drop (export \"drop\") {data} {elements})").unwrap();
        let fill = match self.memory {
            Some(_) => format!(
                "(drop (memory.grow (i32.const 1)))
                 (memory.fill (i32.const 0) (i32.const {CANARY}) (i32.mul (memory.size) (i32.const {WASM_PAGE})))"
            ),
            None => String::new(),
        };
        match self.failure {
            None => {}
            Some(Failure::DataOutOfBounds) => {
                writeln!(text, "(data (i32.const {}) \"xy\")", (self.size() as u32).wrapping_sub(1) as i32).unwrap();
            }
            Some(Failure::ElementOutOfBounds) => {
                let table = self.tables.iter().position(|table| table.functions).unwrap();
                let at = self.tables[table].minimum;
                writeln!(text, "(elem (table $t{table}) (i32.const {at}) func $f0)").unwrap();
            }
            Some(Failure::Start) => {
                let start = format!("{fill} (call $gset (ref.null extern)) (call $drop) unreachable");
                writeln!(text, "(func $start {start}) (start $start)").unwrap();
            }
        }
    }
}

impl MemoryDescription {
    fn random(random: &mut Random) -> Self {
        let minimum = match random.below(20) {
            0..2 => 0,
            2..9 => 1,
            9..17 => 2 + random.below(4),
            // More than a mebibyte, where images are laid out another way.
            17..19 => 17 + random.below(10),
            // So much that what is written regularly can be too scattered for a list of pages.
            _ => 210,
        };
        let maximum = random.percent(60).then(|| minimum + *random.pick(&[0, 1, 3, 20]));
        Self { minimum, maximum }
    }

    /// Pages by which it can grow, and no more than tests want to look at.
    fn room(&self) -> usize {
        self.maximum.map_or(20, |maximum| (maximum - self.minimum).min(20))
    }
}

impl GlobalDescription {
    fn random(random: &mut Random) -> Self {
        let (ty, init, fresh) = match random.below(8) {
            0 => {
                let value = random.next() as i32;
                let fresh = Fresh::Bits(u64::from(value.wrapping_add(5) as u32));
                ("i32", format!("(i32.add (i32.const {value}) (i32.const 5))"), fresh)
            }
            1 => {
                let value = random.next() as i64;
                ("i64", format!("(i64.const {value})"), Fresh::Bits(value as u64))
            }
            2 => {
                let value = random.below(1000) as f32 / 8.0;
                ("f32", format!("(f32.const {value})"), Fresh::Bits(u64::from(value.to_bits())))
            }
            3 => {
                let value = random.below(1000) as f64 / -8.0;
                ("f64", format!("(f64.const {value})"), Fresh::Bits(value.to_bits()))
            }
            4 => ("funcref", "(ref.null func)".to_string(), Fresh::Null),
            5 => {
                let func = random.below(FUNCS);
                ("funcref", format!("(ref.func $f{func})"), Fresh::Func(func))
            }
            6 => ("externref", "(ref.null extern)".to_string(), Fresh::Null),
            _ => ("i32", "(i32.const 0)".to_string(), Fresh::Bits(0)),
        };
        Self { mutable: random.percent(75), ty, init, fresh }
    }
}

impl TableDescription {
    fn random(random: &mut Random) -> Self {
        // Some have more elements than fit into a page.
        let minimum = *random.pick(&[0, 1, 3, 10, 10, 700]);
        let maximum = random.percent(60).then(|| minimum + *random.pick(&[0, 0, 4, 900]));
        let functions = random.percent(70);
        let segment = |random: &mut Random| {
            let elements = random_elements(random, 6.min(minimum + 1));
            (random.below(minimum - elements.len() + 1), elements)
        };
        let count = if functions { random.below(4) } else { 0 };
        let elements = (0..count).map(|_| segment(random)).collect();
        Self { minimum, maximum, functions, elements }
    }

    /// Returns the elements of a fresh instance.
    fn fresh(&self) -> Vec<Option<usize>> {
        let mut fresh = vec![None; self.minimum];
        for (at, elements) in &self.elements {
            fresh[*at..at + elements.len()].copy_from_slice(elements);
        }
        fresh
    }

    /// Elements by which it can grow, and no more than tests want to look at.
    fn room(&self) -> usize {
        self.maximum.map_or(1_500, |maximum| maximum - self.minimum)
    }
}

fn random_bytes(random: &mut Random, below: usize) -> Vec<u8> {
    let len = random.below(below);
    // Zeros among them matter: a later segment may write zeros over an earlier one.
    (0..len).map(|_| (random.next() as u8).checked_rem(90).unwrap_or(0)).collect()
}

fn random_segment(random: &mut Random, size: usize, imported: Option<i32>) -> (Offset, Vec<u8>) {
    let longest = *random.pick(&[1, 10, 100, 5_000]);
    let mut bytes = random_bytes(random, longest.min(size + 1));
    if let Some(at) = imported.filter(|_| random.percent(30)) {
        bytes.truncate(size - at as usize);
        return (Offset::Imported, bytes);
    }
    let last = size - bytes.len();
    let at = match random.below(6) {
        0 => 0,
        1 => last,
        // Over the end of a page, of the host or of Wasm.
        2 => (random.below(size / 4096 + 1) * 4096).saturating_sub(bytes.len() / 2).min(last),
        3 => random.below(last.min(64) + 1),
        _ => random.below(last + 1),
    };
    (Offset::Constant(at), bytes)
}

fn random_elements(random: &mut Random, below: usize) -> Vec<Option<usize>> {
    let len = random.below(below.max(1));
    (0..len).map(|_| random.percent(80).then(|| random.below(FUNCS))).collect()
}

fn items(elements: &[Option<usize>]) -> String {
    let item = |element: &Option<usize>| match element {
        Some(func) => format!("(ref.func $f{func}) "),
        None => "(ref.null func) ".to_string(),
    };
    elements.iter().map(item).collect()
}

fn quoted(bytes: &[u8]) -> String {
    let escaped: String = bytes.iter().map(|byte| format!("\\{byte:02x}")).collect();
    format!("\"{escaped}\"")
}

const MEMORY_FUNCTIONS: &str = r#"
  (func (export "peek") (param i32) (result i32) (i32.load8_u (local.get 0)))
  (func (export "poke") (param i32 i32) (i32.store8 (local.get 0) (local.get 1)))
  (func (export "straddle") (param i32) (i64.store (local.get 0) (i64.const 0xcccccccccccccccc)))
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
  (func (export "fill") (param i32 i32 i32) (memory.fill (local.get 0) (local.get 1) (local.get 2)))
  (func (export "copy") (param i32 i32 i32) (memory.copy (local.get 0) (local.get 1) (local.get 2)))
"#;

// A module that is ready to be used, and what its fresh instances look like.

struct Tenant {
    description: Description,
    memory: Vec<u8>,
    module: Module,
}

impl Tenant {
    fn random(random: &mut Random, engine: &Engine, slots: usize) -> Self {
        let description = Description::random(random, slots);
        let text = description.text();
        let module = Module::new(engine, &text).unwrap_or_else(|error| panic!("{error:?}\n{text}"));
        Self { memory: description.fresh_memory(), description, module }
    }

    /// Returns a fresh instance in a store of its own, or `None` if instantiation fails as it
    /// should.
    fn move_in(&self, engine: &Engine) -> Option<(Store<()>, Instance)> {
        let mut store = Store::new(engine, ());
        let imports: Vec<_> = self.description.imported.iter().map(|value| offset_global(&mut store, *value)).collect();
        match (Instance::new(&mut store, &self.module, &imports), self.description.failure) {
            (Ok(instance), None) => Some((store, instance)),
            (Err(error), Some(failure)) => {
                let expected = match failure {
                    Failure::DataOutOfBounds => Trap::MemoryOutOfBounds,
                    Failure::ElementOutOfBounds => Trap::TableOutOfBounds,
                    Failure::Start => Trap::UnreachableCodeReached,
                };
                assert_eq!(error.downcast_ref(), Some(&expected), "{error:?}");
                None
            }
            (Ok(_), Some(_)) => panic!("instantiation had to fail"),
            (Err(error), None) => panic!("instantiation failed: {error:?}"),
        }
    }
}

fn offset_global(store: &mut Store<()>, value: i32) -> minirt::Extern {
    let ty = GlobalType { content: ValType::I32, mutable: false };
    Global::new(store, ty, Val::I32(value)).unwrap().into()
}

// Comparing with the model.

impl Tenant {
    fn assert_fresh(&self, store: &mut Store<()>, it: Instance, random: &mut Random) {
        self.assert_fresh_memory(store, it, random);
        self.assert_fresh_globals(store, it);
        self.assert_fresh_tables(store, it, random);
        self.assert_segments_are_there(store, it);
        self.assert_growing_gives_zeros(store, it, random);
    }

    fn assert_fresh_memory(&self, store: &mut Store<()>, it: Instance, random: &mut Random) {
        if self.description.memory.is_none() {
            return;
        }
        let memory = it.get_memory(&*store, "memory").unwrap();
        let data = memory.data(&*store);
        assert_eq!(data.len(), self.memory.len(), "the size of the memory");
        if data != self.memory {
            let at = data.iter().zip(&self.memory).position(|(a, b)| a != b).unwrap();
            panic!("byte {at:#x} is {:#x} and not {:#x}", data[at], self.memory[at]);
        }
        let size = data.len();
        if size > 0 {
            let at = random.below(size);
            assert_eq!(peek(store, it, at).unwrap(), i32::from(self.memory[at]), "as the guest sees it, at {at:#x}");
        }
        for at in [size, size + 4095, size + random.below(22 * WASM_PAGE), u32::MAX as usize] {
            let trap = peek(store, it, at).expect_err("there is nothing behind the memory");
            assert_eq!(trap.downcast_ref(), Some(&Trap::MemoryOutOfBounds), "at {at:#x}: {trap:?}");
        }
    }

    fn assert_fresh_globals(&self, store: &mut Store<()>, it: Instance) {
        for (i, global) in self.description.globals.iter().enumerate() {
            let value = it.get_global(&*store, &format!("g{i}")).unwrap().get(&*store);
            assert_eq!(fresh(store, value), global.fresh, "global {i}");
        }
    }

    fn assert_fresh_tables(&self, store: &mut Store<()>, it: Instance, random: &mut Random) {
        for (i, description) in self.description.tables.iter().enumerate() {
            let table = it.get_table(&*store, &format!("t{i}")).unwrap();
            let model = description.fresh();
            assert_eq!(table.size(&*store), model.len() as u64, "the size of table {i}");
            assert!(table.get(&*store, model.len() as u64).is_none());
            for (at, element) in model.iter().enumerate() {
                let value = table.get(&*store, at as u64).unwrap();
                let expected = element.map_or(Fresh::Null, Fresh::Func);
                assert_eq!(fresh(store, value.into()), expected, "element {at} of table {i}");
            }
            if description.functions {
                let at = random.below(model.len() + 10);
                let result = call_i32(store, it, &format!("call{i}"), &[at as i32]);
                let expected = match model.get(at) {
                    Some(Some(func)) => Ok(RESULTS + *func as i32),
                    Some(None) => Err(Trap::IndirectCallToNull),
                    None => Err(Trap::UndefinedElement),
                };
                assert_eq!(
                    result.map_err(|error| *error.downcast_ref().unwrap()),
                    expected,
                    "calling {at} of table {i}"
                );
            }
        }
    }

    /// Checks that no segment is dropped: using the last element of a dropped one would trap.
    fn assert_segments_are_there(&self, store: &mut Store<()>, it: Instance) {
        for (i, segment) in self.description.passive_data.iter().enumerate() {
            let init = format!("init{i}");
            call_with(store, it, &init, [0, segment.len(), 0]).unwrap();
            if segment.len() <= self.memory.len() {
                call_with(store, it, &init, [0, 0, segment.len()]).unwrap();
                let memory = it.get_memory(&*store, "memory").unwrap();
                assert_eq!(&memory.data(&*store)[..segment.len()], segment, "passive segment {i}");
            }
        }
        for (table, description) in self.description.tables.iter().enumerate().filter(|(_, table)| table.functions) {
            for (i, segment) in self.description.passive_elements.iter().enumerate() {
                let init = format!("tinit{table}_{i}");
                call_with(store, it, &init, [0, segment.len(), 0]).unwrap();
                if segment.len() <= description.minimum {
                    call_with(store, it, &init, [0, 0, segment.len()]).unwrap();
                    for (at, element) in segment.iter().enumerate() {
                        let value = it.get_table(&*store, &format!("t{table}")).unwrap().get(&*store, at as u64);
                        let expected = element.map_or(Fresh::Null, Fresh::Func);
                        assert_eq!(fresh(store, value.unwrap().into()), expected, "passive segment {i}");
                    }
                }
            }
        }
    }

    fn assert_growing_gives_zeros(&self, store: &mut Store<()>, it: Instance, random: &mut Random) {
        let Some(description) = self.description.memory.as_ref().filter(|_| random.percent(50)) else { return };
        let delta = random.below(description.room() + 1);
        assert_eq!(call_with_result(store, it, "grow", delta), self.description.memory_pages() as i32);
        let memory = it.get_memory(&*store, "memory").unwrap();
        let data = memory.data(&*store);
        assert_eq!(data.len(), self.memory.len() + delta * WASM_PAGE);
        assert!(is_zero(&data[self.memory.len()..]), "grown memory is not zero");
        if delta > 0 {
            assert_eq!(peek(store, it, self.memory.len() + delta * WASM_PAGE - 1).unwrap(), 0);
        }
        assert!(peek(store, it, self.memory.len() + delta * WASM_PAGE).is_err());
        if description.maximum.is_some_and(|maximum| maximum == description.minimum + delta) {
            assert_eq!(call_with_result(store, it, "grow", 1), -1, "the limit still holds");
        }
    }
}

impl Description {
    fn memory_pages(&self) -> usize {
        self.size() / WASM_PAGE
    }
}

/// Returns a value of the store in the terms of the model. A function is known by what it returns.
fn fresh(store: &mut Store<()>, value: Val) -> Fresh {
    match value {
        Val::I32(value) => Fresh::Bits(u64::from(value as u32)),
        Val::I64(value) => Fresh::Bits(value as u64),
        Val::F32(bits) => Fresh::Bits(u64::from(bits)),
        Val::F64(bits) => Fresh::Bits(bits),
        Val::FuncRef(None) | Val::ExternRef(None) => Fresh::Null,
        Val::FuncRef(Some(func)) => {
            let mut results = [Val::I32(0)];
            func.call(store, &[], &mut results).unwrap();
            Fresh::Func((results[0].unwrap_i32() - RESULTS) as usize)
        }
        other => panic!("a fresh instance has no {other:?}"),
    }
}

fn peek(store: &mut Store<()>, it: Instance, at: usize) -> minirt::Result<i32> {
    call_i32(store, it, "peek", &[at as u32 as i32])
}

fn call_with(store: &mut Store<()>, it: Instance, name: &str, args: [usize; 3]) -> minirt::Result<()> {
    call(store, it, name, &args.map(|arg| Val::I32(arg as i32))).map(drop)
}

fn call_with_result(store: &mut Store<()>, it: Instance, name: &str, arg: usize) -> i32 {
    call_i32(store, it, name, &[arg as i32]).unwrap()
}

// Making a mess.

impl Tenant {
    fn make_a_mess(&self, store: &mut Store<()>, it: Instance, random: &mut Random) {
        // Most programs write to the same pages each time: `few` is a place that depends on the
        // module alone, and so do the scattered pages.
        let few = self.memory.len() / 3;
        let apart = HOST_PAGE * (2 + (3 * self.memory.len() / WASM_PAGE + 6) % 7);
        let scattered: Vec<usize> = (0..self.memory.len()).step_by(apart).collect();
        let steps = 1 + random.below(6);
        for _ in 0..steps {
            match random.below(12) {
                0..4 => self.write_to_pages(store, it, &[few, 0], random),
                10..12 => self.write_to_pages(store, it, &scattered, random),
                4..6 => {
                    let pages: Vec<usize> = (0..1 + random.below(40)).map(|_| random.next() as u32 as usize).collect();
                    self.write_to_pages(store, it, &pages, random);
                }
                6 => self.fill_memory(store, it, random),
                7 => self.spoil_tables(store, it, random),
                8 => self.spoil_globals(store, it, random),
                _ => _ = call(store, it, "drop", &[]).unwrap(),
            }
        }
        if random.percent(10) {
            assert!(call(store, it, "trap", &[]).is_err());
        }
    }

    /// Writes at these places, or as near as the memory allows.
    fn write_to_pages(&self, store: &mut Store<()>, it: Instance, places: &[usize], random: &mut Random) {
        let Some(memory) = it.get_memory(&*store, "memory") else { return };
        let size = memory.data_size(&*store);
        if size == 0 {
            return;
        }
        for place in places {
            let at = place % size;
            match random.below(5) {
                0 => memory.write(&mut *store, at, &[CANARY; 100][..100.min(size - at)]).unwrap(),
                1 => _ = call(store, it, "straddle", &[Val::I32(((at | 4095).min(size - 5) - 3) as i32)]).unwrap(),
                2 => call_with(store, it, "fill", [at, CANARY.into(), (size - at).min(5000)]).unwrap(),
                3 => call_with(store, it, "copy", [at, 0, (size - at).min(500)]).unwrap(),
                _ => call_i32_pair(store, it, "poke", at, CANARY.into()),
            }
        }
    }

    /// Fills all of memory, and often grows it first.
    fn fill_memory(&self, store: &mut Store<()>, it: Instance, random: &mut Random) {
        let Some(memory) = it.get_memory(&*store, "memory") else { return };
        let room = self.description.memory.as_ref().unwrap().room();
        let delta = random.below(room + 1);
        if random.percent(50) {
            let _ = memory.grow(&mut *store, delta as u64); // It may have grown before.
        } else {
            call_with_result(store, it, "grow", delta);
        }
        let size = memory.data_size(&*store);
        match random.below(3) {
            0 => memory.data_mut(&mut *store).fill(CANARY),
            1 => memory.write(&mut *store, 0, &vec![CANARY; size]).unwrap(),
            _ => call_with(store, it, "fill", [0, CANARY.into(), size]).unwrap(),
        }
    }

    fn spoil_tables(&self, store: &mut Store<()>, it: Instance, random: &mut Random) {
        for (i, description) in self.description.tables.iter().enumerate() {
            let table = it.get_table(&*store, &format!("t{i}")).unwrap();
            let value = ExternRef::new(&mut *store, "canary").unwrap();
            let canary = if description.functions {
                let canary = Func::wrap(&mut *store, || CANARY_RESULT);
                Ref::Func(Some(canary))
            } else {
                Ref::Extern(Some(value))
            };
            let by_guest = |store: &mut Store<()>, name: &str, a: usize, b: usize| {
                let args = [Val::I32(a as i32), Val::I32(b as i32), Val::ExternRef(Some(value))];
                call(store, it, &format!("{name}{i}"), &args).unwrap();
            };
            let delta = random.below(description.room() + 1);
            match random.below(3) {
                0 => by_guest(store, "tgrow", delta, 0),
                1 => _ = table.grow(&mut *store, delta as u64, canary),
                _ => {}
            }
            let size = table.size(&*store) as usize;
            match random.below(4) {
                _ if size == 0 => {}
                0 => by_guest(store, "tset", random.below(size), 0),
                1 => by_guest(store, "tfill", 0, size),
                2 => by_guest(store, "tcopy", size / 2, size - size / 2),
                _ => (0..size as u64).for_each(|at| table.set(&mut *store, at, canary).unwrap()),
            }
        }
    }

    fn spoil_globals(&self, store: &mut Store<()>, it: Instance, random: &mut Random) {
        let value = ExternRef::new(&mut *store, "canary").unwrap();
        if random.percent(50) {
            call(store, it, "gset", &[Val::ExternRef(Some(value))]).unwrap();
            return;
        }
        for (i, description) in self.description.globals.iter().enumerate().filter(|(_, global)| global.mutable) {
            let canary = match description.ty {
                "i32" => Val::I32(-1),
                "i64" => Val::I64(-1),
                "f32" => Val::F32(u32::MAX),
                "f64" => Val::F64(u64::MAX),
                "funcref" => Val::FuncRef(Some(Func::wrap(&mut *store, || CANARY_RESULT))),
                _ => Val::ExternRef(Some(value)),
            };
            it.get_global(&*store, &format!("g{i}")).unwrap().set(&mut *store, canary).unwrap();
        }
    }
}

fn call_i32_pair(store: &mut Store<()>, it: Instance, name: &str, a: usize, b: usize) {
    call(store, it, name, &[Val::I32(a as i32), Val::I32(b as i32)]).unwrap();
}

// Taking turns.

/// Says how to see a failure again.
struct Reproduce<'a> {
    seed: u64,
    case: String,
    tenant: u64,
    module: Option<&'a Tenant>,
}

impl Drop for Reproduce<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self { seed, case, tenant, .. } = self;
            eprintln!("{case}, tenant {tenant}; to see it again: MINIRT_SEED={seed}");
            if let Some(module) = self.module {
                eprintln!("{}", module.description.text());
            }
        }
    }
}

/// A tenant that stays for a while, beside the one whose turn it is.
type Neighbour<'a> = (&'a Tenant, Store<()>, Instance);

fn take_turns(strategy: ResetStrategy, images: bool) {
    take_turns_in(|| config(strategy, images), &format!("{strategy:?}, images {images}"));
}

fn take_turns_in(config: impl Fn() -> Config, name: &str) {
    let seed = number_from_environment("MINIRT_SEED").unwrap_or(0x6d69_6e69);
    let tenants = number_from_environment("MINIRT_SWAPS").unwrap_or(TENANTS);
    let keep = [256 << 20, 64 * 4096, 0];
    for slots in 1..=3 {
        let mut random = Random(seed ^ (slots as u64) << 32);
        let engine = Engine::new(config().max_instances(slots).keep_resident(keep[slots - 1])).unwrap();
        let modules: Vec<Tenant> = (0..MODULES).map(|_| Tenant::random(&mut random, &engine, slots)).collect();
        let case = format!("{name}, {slots} slots");
        let mut reproduce = Reproduce { seed, case, tenant: 0, module: None };
        let mut neighbours: Vec<Neighbour<'_>> = Vec::new();
        let mut which = 0;
        for tenant in 0..tenants.div_ceil(3) {
            if random.percent(50) {
                which = random.below(MODULES);
            }
            let module = &modules[which];
            (reproduce.tenant, reproduce.module) = (tenant, Some(module));
            let wanted = 1 + usize::from(module.description.imported.is_some());
            while free(&engine, slots) < wanted || (!neighbours.is_empty() && random.percent(40)) {
                neighbours.swap_remove(random.below(neighbours.len()));
            }
            let Some((mut store, it)) = module.move_in(&engine) else { continue };
            if random.percent(95) {
                live(module, &mut store, it, &mut random);
            }
            if random.percent(30) && free(&engine, slots) > 0 {
                neighbours.push((module, store, it));
            }
        }
    }
}

fn free(engine: &Engine, slots: usize) -> usize {
    slots - engine.stats().live
}

/// Lives a tenant's life; sometimes it is reset in place and lives another.
fn live(module: &Tenant, store: &mut Store<()>, it: Instance, random: &mut Random) {
    module.assert_fresh(store, it, random);
    module.make_a_mess(store, it, random);
    while random.percent(25) {
        it.reset(&mut *store).unwrap();
        module.assert_fresh(store, it, random);
        module.make_a_mess(store, it, random);
    }
}

#[test]
fn every_tenant_is_fresh_when_slots_adapt() {
    [true, false].into_iter().for_each(|images| take_turns(ResetStrategy::Adaptive, images));
}

#[test]
fn every_tenant_is_fresh_when_slots_are_tracked() {
    [true, false].into_iter().for_each(|images| take_turns(ResetStrategy::HotSet, images));
}

#[test]
fn every_tenant_is_fresh_when_slots_are_scanned() {
    [true, false].into_iter().for_each(|images| take_turns(ResetStrategy::Scan, images));
}

#[test]
fn every_tenant_is_fresh_when_slots_are_discarded() {
    [true, false].into_iter().for_each(|images| take_turns(ResetStrategy::Discard, images));
}

#[test]
fn every_tenant_is_fresh_when_writes_are_attributed() {
    for (strategy, images) in
        [(ResetStrategy::Adaptive, true), (ResetStrategy::Discard, true), (ResetStrategy::Scan, false)]
    {
        let attributing = || {
            let mut config = config(strategy, images);
            config.attribute_writes(true);
            config
        };
        take_turns_in(attributing, &format!("{strategy:?}, images {images}, attributed"));
    }
}
