//! Generates modules from seeds.

use crate::arrays;
use crate::plan::FUEL;
use crate::rng::Rng;
use crate::workers::with_workers;
use anyhow::{Context, Result, ensure};
use arbitrary::Unstructured;
use wasm_smith::{Config, InstructionKind, InstructionKinds, MemoryOffsetChoices, Module};
use wasmparser::{Operator, Parser, Payload};

const WASM_PAGE: u64 = 1 << 16;

/// Loops and calls that a start function may spend.
const START_FUEL: u32 = 1000;

/// What a module can have that is worth modules of its own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Family {
    /// It throws or catches exceptions.
    Exceptions,
    /// It makes structures, arrays or `i31`, or casts.
    Gc,
}

/// Modules that are made at the most until one is of the family.
const ATTEMPTS: u64 = 200;

/// The ordinary modules of one in so many seeds have structures and arrays.
const ONE_IN: u64 = 4;

/// Generates the module of a seed, or nothing if the generator runs out of choices. For a family,
/// it is another module, and one that is of it.
pub(crate) fn module(seed: u64, family: Option<Family>) -> Result<Option<Vec<u8>>> {
    let Some(family) = family else {
        let gc = Rng::new(seed, 5).one_in(ONE_IN);
        return generate(&mut Rng::new(seed, 0), None, |config, _| if gc { with_gc(config) } else { config });
    };
    for attempt in 0..ATTEMPTS {
        let numbers = &mut Rng::new(seed, family.numbers() + attempt);
        let made = generate(numbers, Some(family), |config, rng| family.change(config, rng))?;
        if let Some(wasm) = made
            && family.has(&wasm)?
        {
            return Ok(Some(wasm));
        }
    }
    Ok(None)
}

impl Family {
    /// What distinguishes the numbers that a module of the family is made from.
    fn numbers(self) -> u64 {
        match self {
            Self::Exceptions => 100,
            Self::Gc => 100 + ATTEMPTS,
        }
    }

    fn change(self, config: Config, rng: &mut Rng) -> Config {
        match self {
            Self::Exceptions => Config { exceptions_enabled: true, min_tags: 1, ..config },
            Self::Gc => mostly_gc(config, rng),
        }
    }

    /// Returns whether there is an instruction in a module that belongs to the family.
    fn has(self, wasm: &[u8]) -> Result<bool> {
        for payload in Parser::new(0).parse_all(wasm) {
            let Payload::CodeSectionEntry(body) = payload? else { continue };
            for operator in body.get_operators_reader()? {
                if self.is_of(&operator?) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn is_of(self, operator: &Operator<'_>) -> bool {
        match self {
            Self::Exceptions => {
                matches!(operator, Operator::Throw { .. } | Operator::ThrowRef | Operator::TryTable { .. })
            }
            Self::Gc => matches!(
                operator,
                Operator::StructNew { .. }
                    | Operator::StructNewDefault { .. }
                    | Operator::ArrayNew { .. }
                    | Operator::ArrayNewDefault { .. }
                    | Operator::ArrayNewFixed { .. }
                    | Operator::ArrayNewData { .. }
                    | Operator::ArrayNewElem { .. }
                    | Operator::RefI31
                    | Operator::RefTestNonNull { .. }
                    | Operator::RefTestNullable { .. }
                    | Operator::RefCastNonNull { .. }
                    | Operator::RefCastNullable { .. }
                    | Operator::BrOnCast { .. }
                    | Operator::BrOnCastFail { .. }
            ),
        }
    }
}

/// Leaves most instructions out that have nothing to do with objects. Where traps are ruled out,
/// wasm-smith neither reads fields nor elements, so they rarely are.
fn mostly_gc(config: Config, rng: &mut Rng) -> Config {
    use InstructionKind::{Aggregate, Control, NumericInt, Parametric, Reference, Table, Variable};
    let few = [
        &[Aggregate, Control, NumericInt, Parametric, Reference, Table, Variable][..],
        &[Aggregate, Parametric, Reference, Table, Variable],
        &[Aggregate, Control, Parametric, Reference, Variable],
    ];
    let allowed_instructions = match rng.below(4) {
        3 => InstructionKinds::all(),
        some => InstructionKinds::new(few[some as usize]),
    };
    Config {
        allowed_instructions,
        disallow_traps: rng.one_in(2),
        // Workers do most of the work. Tags that are exported rule out resets.
        max_funcs: rng.pick(&[1, 2, 3, 10]),
        max_instructions: rng.pick(&[10, 20, 60, 150]),
        min_funcs: 1,
        max_tags: rng.pick(&[0, 0, 0, 2]),
        min_types: 1,
        ..with_gc(config)
    }
}

/// Enough types for some to extend others.
fn with_gc(config: Config) -> Config {
    Config { gc_enabled: true, limit_arrays_in_const_exprs: true, max_type_size: 300, max_types: 20, ..config }
}

/// Generates a module. All those of the family of objects have workers: functions that use them.
fn generate(
    rng: &mut Rng,
    family: Option<Family>,
    change: impl FnOnce(Config, &mut Rng) -> Config,
) -> Result<Option<Vec<u8>>> {
    let len = 500 + rng.below(12_000) as usize;
    let entropy = rng.bytes(len);
    let config = config(rng);
    let config = change(config, rng);
    let (gc, calm) = (config.gc_enabled, config.disallow_traps);
    let Ok(mut module) = Module::new(config, &mut Unstructured::new(&entropy)) else { return Ok(None) };
    let fuel = module.ensure_termination(START_FUEL).context("no fuel")?;
    let wasm = module.to_bytes();
    let wasm = if gc { arrays::with_small_sizes(&wasm)? } else { wasm };
    let wasm = match family {
        Some(Family::Gc) => with_workers(&wasm, fuel, calm, Rng::new(rng.next(), 7))?,
        _ => wasm,
    };
    with_export(&wasm, FUEL, fuel).map(Some)
}

/// WebAssembly 3.0 and two proposals, as far as wasm-smith makes it: what minirt, wasmtime and
/// (without exceptions, structures and arrays) mostly wasmi can run. Relaxed SIMD is left out
/// because its results may differ.
fn config(rng: &mut Rng) -> Config {
    let simd = rng.one_in(3);
    Config {
        allow_start_export: rng.one_in(3),
        bulk_memory_enabled: true,
        canonicalize_nans: true,
        custom_page_sizes_enabled: rng.one_in(4),
        disallow_traps: rng.one_in(2),
        exceptions_enabled: rng.one_in(2),
        export_everything: true,
        extended_const_enabled: true,
        gc_enabled: false,
        max_data_segments: 6,
        max_element_segments: 6,
        max_funcs: 10,
        max_globals: 8,
        max_imports: rng.pick(&[0, 0, 0, 3, 6]),
        max_instructions: rng.pick(&[20, 60, 150, 300]),
        max_memories: rng.pick(&[1, 1, 2, 3]),
        max_memory32_bytes: 4 * WASM_PAGE,
        max_memory64_bytes: u128::from(4 * WASM_PAGE),
        max_table_elements: rng.pick(&[10, 100, 1200]),
        max_tables: 3,
        max_type_size: 100,
        max_types: 10,
        max_values: 6,
        memory64_enabled: rng.one_in(2),
        memory_max_size_required: true,
        memory_offset_choices: MemoryOffsetChoices(90, 9, 1),
        min_funcs: 3,
        min_memories: u32::from(!rng.one_in(8)),
        multi_value_enabled: true,
        reference_types_enabled: true,
        relaxed_simd_enabled: false,
        saturating_float_to_int_enabled: true,
        shared_everything_threads_enabled: false,
        sign_extension_ops_enabled: true,
        simd_enabled: simd,
        table_max_size_required: true,
        tail_call_enabled: true,
        threads_enabled: false,
        wide_arithmetic_enabled: rng.one_in(4),
        compact_imports_enabled: false,
        ..Config::default()
    }
}

/// The ids of the sections that come before that of exports, and its own.
const BEFORE_EXPORTS: [u8; 8] = [0, 1, 2, 3, 4, 5, TAGS, 6];
/// Tags stand between memories and globals.
const TAGS: u8 = 13;
const EXPORTS: u8 = 7;
const GLOBAL: u8 = 3;

/// Exports a global of a module under one more name. wasm-smith does not export the global of
/// `ensure_termination`, and without it nothing could be called any more when the fuel is gone.
fn with_export(wasm: &[u8], name: &str, global: u32) -> Result<Vec<u8>> {
    let mut entry = leb128(name.len());
    entry.extend(name.as_bytes());
    entry.push(GLOBAL);
    entry.extend(leb128(global as usize));
    let (mut out, mut at, mut done) = (wasm[..8].to_vec(), 8, false);
    while at < wasm.len() || !done {
        let id = wasm.get(at).copied();
        if id == Some(EXPORTS) {
            let mut body = at + 1;
            let end = read_leb128(wasm, &mut body)? + body;
            let count = read_leb128(wasm, &mut body)?;
            section(&mut out, &[&leb128(count + 1), &wasm[body..end], &entry]);
            (at, done) = (end, true);
        } else if !done && id.is_none_or(|id| !BEFORE_EXPORTS.contains(&id)) {
            section(&mut out, &[&leb128(1), &entry]);
            done = true;
        } else {
            let mut body = at + 1;
            let end = read_leb128(wasm, &mut body)? + body;
            out.extend(&wasm[at..end]);
            at = end;
        }
    }
    Ok(out)
}

fn section(out: &mut Vec<u8>, parts: &[&[u8]]) {
    out.push(EXPORTS);
    out.extend(leb128(parts.iter().map(|part| part.len()).sum()));
    parts.iter().for_each(|part| out.extend(*part));
}

fn leb128(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn read_leb128(bytes: &[u8], at: &mut usize) -> Result<usize> {
    let mut value = 0;
    for shift in (0..35).step_by(7) {
        ensure!(*at < bytes.len(), "a section ends too soon");
        let byte = bytes[*at];
        *at += 1;
        value |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    anyhow::bail!("a number in the module is too long")
}
