//! Atomic instructions, on memories that are not shared.

use crate::common::{engines, instance};
use minirt::{Engine, Instance, Module, Store, Trap, Val};
use std::fmt::Write;

/// The widths of an access in bytes, for a value type of so many.
const WIDTHS: [(&str, u32, &[u32]); 2] = [("i32", 4, &[4, 1, 2]), ("i64", 8, &[8, 1, 2, 4])];

/// What read-modify-write instructions do, with a model of each.
type Model = fn(u64, u64) -> u64;
const UPDATES: [(&str, Model); 6] = [
    ("add", |a, b| a.wrapping_add(b)),
    ("sub", |a, b| a.wrapping_sub(b)),
    ("and", |a, b| a & b),
    ("or", |a, b| a | b),
    ("xor", |a, b| a ^ b),
    ("xchg", |_, b| b),
];

const VALUES: [u64; 6] = [0, 1, 0x7f, 0xfedc_ba98_7654_3210, 0x8000_0000_8000_0080, u64::MAX];

/// `8` and `_u` for accesses that are narrower than their type.
fn suffix(bytes: u32, width: u32) -> (String, &'static str) {
    if width == bytes { (String::new(), "") } else { ((8 * width).to_string(), "_u") }
}

/// Returns a module with a function for each instruction, at a constant offset of 8.
fn module() -> String {
    let mut text = String::from("(module (memory (export \"m\") 1)");
    for (ty, bytes, widths) in WIDTHS {
        for width in widths {
            let (bits, unsigned) = suffix(bytes, *width);
            let mut function = |op: &str, values: usize, result: bool| {
                let params = format!("(param {ty})").repeat(values);
                let results = if result { format!("(result {ty})") } else { String::new() };
                let operands: String = (0..values).map(|i| format!("(local.get {})", i + 1)).collect();
                writeln!(
                    text,
                    "(func (export \"{op}\") (param i32) {params} {results} ({op} offset=8 (local.get 0) {operands}))"
                )
                .unwrap();
            };
            function(&format!("{ty}.atomic.load{bits}{unsigned}"), 0, true);
            function(&format!("{ty}.atomic.store{bits}"), 1, false);
            for (name, _) in UPDATES {
                function(&format!("{ty}.atomic.rmw{bits}.{name}{unsigned}"), 1, true);
            }
            function(&format!("{ty}.atomic.rmw{bits}.cmpxchg{unsigned}"), 2, true);
        }
    }
    text + r#"
      (func (export "notify") (param i32) (result i32) (memory.atomic.notify offset=8 (local.get 0) (i32.const 1)))
      (func (export "wait32") (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const 0)) drop)
      (func (export "wait64") (memory.atomic.wait64 (i32.const 0) (i64.const 0) (i64.const 0)) drop)
      (func (export "fence") atomic.fence))"#
}

struct Guest {
    store: Store<()>,
    instance: Instance,
}

impl Guest {
    fn new(engine: &Engine) -> Self {
        let (store, instance) = instance(engine, &module());
        Self { store, instance }
    }

    /// Puts a value at the address that index 8 and the offset give.
    fn put(&mut self, value: u64) {
        let memory = self.instance.get_memory(&self.store, "m").unwrap();
        memory.write(&mut self.store, 16, &value.to_le_bytes()).unwrap();
    }

    fn get(&self) -> u64 {
        let mut bytes = [0; 8];
        let memory = self.instance.get_memory(&self.store, "m").unwrap();
        memory.read(&self.store, 16, &mut bytes).unwrap();
        u64::from_le_bytes(bytes)
    }

    fn call(&mut self, name: &str, index: i32, values: &[u64]) -> minirt::Result<Option<u64>> {
        let func = self.instance.get_func(&self.store, name).unwrap();
        let wide = name.starts_with("i64");
        let value = |value: &u64| if wide { Val::I64(*value as i64) } else { Val::I32(*value as i32) };
        let arguments: Vec<Val> = std::iter::once(Val::I32(index)).chain(values.iter().map(value)).collect();
        let mut results = vec![Val::I32(0); func.ty(&self.store).results().len()];
        func.call(&mut self.store, &arguments, &mut results)?;
        Ok(results.first().map(|result| match result {
            Val::I32(v) => u64::from(*v as u32),
            Val::I64(v) => *v as u64,
            other => panic!("{other:?}"),
        }))
    }

    fn trap(&mut self, name: &str, index: i32, values: &[u64]) -> Trap {
        *self.call(name, index, values).expect_err(name).downcast_ref::<Trap>().unwrap()
    }
}

fn low(value: u64, width: u32) -> u64 {
    value & (u64::MAX >> (64 - 8 * width))
}

/// Returns what memory holds after the lowest bytes of `before` were replaced.
fn stored(before: u64, value: u64, width: u32) -> u64 {
    before & !low(u64::MAX, width) | low(value, width)
}

#[test]
fn every_instruction_reads_changes_and_returns_what_the_proposal_says() {
    for (_, engine) in engines() {
        let mut guest = Guest::new(&engine);
        for (ty, bytes, widths) in WIDTHS {
            for (width, before) in widths.iter().flat_map(|width| VALUES.map(|value| (*width, value))) {
                let (bits, unsigned) = suffix(bytes, width);
                for value in VALUES {
                    guest.put(before);
                    let load = guest.call(&format!("{ty}.atomic.load{bits}{unsigned}"), 8, &[]).unwrap();
                    assert_eq!(load, Some(low(before, width)));
                    guest.call(&format!("{ty}.atomic.store{bits}"), 8, &[value]).unwrap();
                    assert_eq!(guest.get(), stored(before, value, width));
                    for (name, model) in UPDATES {
                        guest.put(before);
                        let name = format!("{ty}.atomic.rmw{bits}.{name}{unsigned}");
                        assert_eq!(guest.call(&name, 8, &[value]).unwrap(), Some(low(before, width)), "{name}");
                        assert_eq!(guest.get(), stored(before, model(before, value), width), "{name}");
                    }
                    let name = format!("{ty}.atomic.rmw{bits}.cmpxchg{unsigned}");
                    for expected in [low(before, width), low(before, bytes), value] {
                        guest.put(before);
                        let found = guest.call(&name, 8, &[expected, value]).unwrap();
                        assert_eq!(found, Some(low(before, width)), "{name}");
                        // All bits of what is expected count, also those that the access does not
                        // have.
                        let same = low(expected, bytes) == low(before, width);
                        let after = if same { stored(before, value, width) } else { before };
                        assert_eq!(guest.get(), after, "{name} {expected:#x}");
                    }
                }
            }
        }
    }
}

#[test]
fn misaligned_accesses_and_those_outside_trap_and_change_nothing() {
    for (_, engine) in engines() {
        let mut guest = Guest::new(&engine);
        for (ty, bytes, widths) in WIDTHS {
            for width in widths {
                let (bits, unsigned) = suffix(bytes, *width);
                let mut names = vec![
                    (format!("{ty}.atomic.load{bits}{unsigned}"), 0),
                    (format!("{ty}.atomic.store{bits}"), 1),
                    (format!("{ty}.atomic.rmw{bits}.cmpxchg{unsigned}"), 2),
                ];
                names.extend(UPDATES.map(|(name, _)| (format!("{ty}.atomic.rmw{bits}.{name}{unsigned}"), 1)));
                for (name, values) in names {
                    let values = &[0x0123_4567_89ab_cdef; 2][..values];
                    guest.put(VALUES[3]);
                    for misaligned in (1..*width as i32).map(|i| 8 + i) {
                        assert_eq!(guest.trap(&name, misaligned, values), Trap::HeapMisaligned, "{name} {misaligned}");
                    }
                    for outside in [65_536 - 8, -8, i32::MIN] {
                        assert_eq!(guest.trap(&name, outside, values), Trap::MemoryOutOfBounds, "{name} {outside}");
                    }
                    assert_eq!(guest.get(), VALUES[3], "{name}");
                }
            }
        }
    }
}

#[test]
fn nobody_waits_for_a_memory_that_is_not_shared() {
    for (_, engine) in engines() {
        let mut guest = Guest::new(&engine);
        assert_eq!(guest.call("notify", 8, &[]).unwrap(), Some(0));
        assert_eq!(guest.trap("notify", 9, &[]), Trap::HeapMisaligned);
        assert_eq!(guest.trap("notify", 65_536, &[]), Trap::MemoryOutOfBounds);
        for wait in ["wait32", "wait64"] {
            let func = guest.instance.get_func(&guest.store, wait).unwrap();
            let error = func.call(&mut guest.store, &[], &mut []).unwrap_err();
            assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::AtomicWaitNonSharedMemory));
        }
        let fence = guest.instance.get_func(&guest.store, "fence").unwrap();
        fence.call(&mut guest.store, &[], &mut []).unwrap();
    }
}

#[test]
fn shared_memories_are_refused_by_name() {
    for text in ["(module (memory 1 1 shared))", "(module (import \"a\" \"b\" (memory 1 1 shared)))"] {
        let error = format!("{:#}", Module::new(&Engine::default(), text).unwrap_err());
        assert!(error.contains("shared memories"), "{error}");
    }
}
