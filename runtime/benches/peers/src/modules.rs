//! The modules that everybody runs.

use anyhow::{Context, Result};
use std::fmt::Write;

/// Bytes in a host page, and in a page of WebAssembly.
pub(crate) const HOST_PAGE: usize = 4096;
const WASM_PAGE: usize = 64 * 1024;

/// Where in each page the guest stores: anywhere but at its start, as real data lies.
pub(crate) const STORE_AT: usize = 64;

/// Functions in a table: about what a C++ or Rust program of some size has.
const FUNCTIONS: usize = 2000;

/// The initial data is this, over and over.
const PATTERN: &[u8; 16] = b"0123456789abcdef";

/// What the four bytes at [`STORE_AT`] are in a fresh instance with data.
pub(crate) const INITIAL: u32 = u32::from_le_bytes([b'0', b'1', b'2', b'3']);
const _: () = assert!(STORE_AT.is_multiple_of(PATTERN.len()));

/// How large a module's memory is, and how much of it has initial data.
#[derive(Clone, Copy)]
pub(crate) struct Memory {
    pub(crate) name: &'static str,
    pub(crate) bytes: usize,
    pub(crate) data: usize,
}

pub(crate) const SMALL: Memory = Memory { name: "64 KiB", bytes: WASM_PAGE, data: HOST_PAGE };
pub(crate) const MIDDLE: Memory = Memory { name: "1 MiB", bytes: 1 << 20, data: 64 << 10 };
/// What a large program has after it has started.
pub(crate) const HUGE: Memory = Memory { name: "80 MiB", bytes: 80 << 20, data: 2 << 20 };
pub(crate) const LARGE: Memory = Memory { name: "16 MiB", bytes: 16 << 20, data: 2 << 20 };

impl Memory {
    /// Returns the initial data.
    pub(crate) fn image(&self) -> Vec<u8> {
        PATTERN.iter().copied().cycle().take(self.data).collect()
    }
}

/// Whether a module has a table that an element segment fills with functions.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Table {
    None,
    /// There is one, and the call that is measured does not need it.
    Idle,
    /// There is one, and the call goes through it once: a runtime that fills tables as they are
    /// used has to.
    Called,
}

impl Table {
    const ALL: [Self; 3] = [Self::None, Self::Idle, Self::Called];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Idle => "2,000",
            Self::Called => "2,000, used",
        }
    }

    pub(crate) fn named(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|table| table.name() == name);
        found.with_context(|| format!("there is no kind of table `{name}`"))
    }
}

/// Returns a module whose `touch` stores to each of the first so many host pages, and whose `peek`
/// loads.
pub(crate) fn toucher(memory: Memory, table: Table) -> Result<Vec<u8>> {
    scattered_toucher(memory, table, 1)
}

/// Does the same, but of so many pages each is the first that `touch` stores to.
pub(crate) fn scattered_toucher(memory: Memory, table: Table, distance: usize) -> Result<Vec<u8>> {
    let stride = distance * HOST_PAGE;
    let mut text = String::from("(module (type $unary (func (param i32) (result i32)))\n");
    writeln!(text, "(memory {}) (data (i32.const 0) \"", memory.bytes / WASM_PAGE)?;
    text.truncate(text.trim_end().len());
    text.extend(memory.image().into_iter().map(char::from));
    text.push_str("\")\n");
    if table != Table::None {
        push_table(&mut text)?;
    }
    let first = match table {
        Table::Called => "(drop (call_indirect (type $unary) (i32.const 7) (i32.const 1000)))",
        Table::None | Table::Idle => "",
    };
    write!(
        text,
        r#"(func (export "touch") (param $k i32) (local $at i32)
             {first}
             (loop $next
               (if (local.get $k) (then
                 (i32.store offset={STORE_AT} (local.get $at) (i32.const 1))
                 (local.set $at (i32.add (local.get $at) (i32.const {stride})))
                 (local.set $k (i32.sub (local.get $k) (i32.const 1)))
                 (br $next)))))
           (func (export "peek") (param $at i32) (result i32) (i32.load (local.get $at))))"#
    )?;
    Ok(wat::parse_str(text)?)
}

/// Adds a table of functions that all differ.
fn push_table(text: &mut String) -> Result<()> {
    for n in 0..FUNCTIONS {
        writeln!(text, "(func $f{n} (type $unary) (i32.add (local.get 0) (i32.const {n})))")?;
    }
    write!(text, "(table {FUNCTIONS} funcref) (elem (i32.const 0) func")?;
    for n in 0..FUNCTIONS {
        write!(text, " $f{n}")?;
    }
    text.push_str(")\n");
    Ok(())
}

/// Calls in one call of `call_typed`, `call_any` or `call_inner`.
pub(crate) const CALLS: u32 = 1000;

/// Copies of each function of [`caller`]. Where in memory a call and its callee happen to lie
/// decides whether a bare call takes 1.0 or 1.7 ns on one and the same processor, whoever compiled
/// it; a mean over several places does not.
pub(crate) const COPIES: u32 = 16;

/// Returns the exported names of a function's copies.
pub(crate) fn copies(name: &'static str) -> impl Iterator<Item = String> {
    (0..COPIES).map(move |copy| format!("{name}{copy}"))
}

/// Returns a module that calls, and is called, and does nothing else.
pub(crate) fn caller() -> Result<Vec<u8>> {
    let mut text = String::from(
        r#"(module
             (import "host" "identity" (func $typed (param i32) (result i32)))
             (import "host" "any_identity" (func $any (param i32) (result i32)))"#,
    );
    for copy in 0..COPIES {
        write!(
            text,
            r#"(func $inner{copy} (export "inner{copy}") (param i32) (result i32) (local.get 0))
               (func (export "nop{copy}"))"#
        )?;
        push_calls(&mut text, "typed", "$typed", copy)?;
        push_calls(&mut text, "any", "$any", copy)?;
        push_calls(&mut text, "inner", &format!("$inner{copy}"), copy)?;
        // Shifts the next copy by some other distance than the last one.
        write!(text, "(func (param i32) (result i32) (local.get 0) ")?;
        (0..copy).try_for_each(|n| write!(text, "(i32.const {}) i32.xor ", 1_000_000 + n))?;
        text.push(')');
    }
    text.push(')');
    Ok(wat::parse_str(text)?)
}

fn push_calls(text: &mut String, name: &str, callee: &str, copy: u32) -> Result<()> {
    Ok(write!(
        text,
        r#"(func (export "call_{name}{copy}") (local $n i32)
             (local.set $n (i32.const {CALLS}))
             (loop $next
               (drop (call {callee} (local.get $n)))
               (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))"#
    )?)
}

/// Functions that come to about 1 MB of machine code.
pub(crate) const BULK: usize = 7500;

/// Returns a module with much code, of functions that all differ, and the `touch` and `peek` of the
/// others.
pub(crate) fn bulky() -> Result<Vec<u8>> {
    let mut text = String::from("(module (memory 1)\n");
    for n in 0..BULK {
        push_function(&mut text, n)?;
    }
    write!(
        text,
        r#"(func (export "touch") (param $k i32)
             (i32.store offset={STORE_AT} (i32.const 0) (call $f{} (i32.const 0) (local.get $k))))
           (func (export "peek") (param $at i32) (result i32) (i32.load (local.get $at))))"#,
        BULK / 2
    )?;
    Ok(wat::parse_str(text)?)
}

/// Adds a loop over memory with a branch, some arithmetic, and now and then a call of the function
/// before.
fn push_function(text: &mut String, n: usize) -> Result<()> {
    let call = match n % 3 {
        0 => "(local.get $sum)".to_owned(),
        _ => format!(
            "(if (result i32) (i32.gt_u (local.get $sum) (i32.const {})) (then (call $f{} (i32.const 0) \
                      (local.get $sum))) (else (local.get $sum)))",
            5 * n + 99,
            n - 1
        ),
    };
    writeln!(
        text,
        r"(func $f{n} (param $count i32) (param $sum i32) (result i32)
            (block $done
              (loop $next
                (br_if $done (i32.eqz (local.get $count)))
                (if (i32.and (local.get $sum) (i32.const {mask}))
                  (then (local.set $sum (i32.xor (local.get $sum) (i32.load offset={load} (local.get $count)))))
                  (else (local.set $sum (i32.rotl (i32.mul (local.get $sum) (i32.const {factor})) (i32.const {turn})))
                    (i32.store offset={store} (local.get $count) (local.get $sum))))
                (local.set $count (i32.sub (local.get $count) (i32.const 1)))
                (br $next)))
            {call})",
        mask = n % 251 + 1,
        load = 4 * (n % 1000),
        factor = 2 * n + 3,
        turn = n % 31 + 1,
        store = 4 * (n % 777),
    )?;
    Ok(())
}
