//! What metering adds to code, and that nothing of it is there when it is off.

use super::super::tests::{all_features, all_functions, compiled, module, translated};
use crate::instance::layout::header;
use crate::{Compiler, Metering, OptLevel, Settings, Trap};
use cranelift_codegen::verify_function;

const OFF: Metering = Metering { fuel: false, epochs: false };
const FUEL: Metering = Metering { fuel: true, epochs: false };
const EPOCHS: Metering = Metering { fuel: false, epochs: true };
const BOTH: Metering = Metering { fuel: true, epochs: true };

const LOOP: &str = r#"(func (param i32) (result i32) (local i32)
  (loop
    (local.set 1 (i32.add (local.get 1) (i32.load (local.get 0))))
    (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
  (local.get 1))
(func $nop)"#;

fn compiler(metering: Metering, opt_level: OptLevel) -> Compiler {
    let settings = Settings { metering, opt_level, features: all_features(), ..Settings::default() };
    Compiler::new(&settings).expect("the machine that runs the tests")
}

/// The first function in `wat`, as it is translated and as it is compiled.
fn code(metering: Metering, wat: &str) -> (String, String) {
    let compiler = compiler(metering, OptLevel::Speed);
    let func = translated(&compiler, &module(false, wat)).expect("valid").swap_remove(0);
    (func.to_string(), compiled(&compiler, func).0)
}

/// The prices in the order in which they are paid.
fn prices(wat: &str) -> Vec<u64> {
    let (text, _) = code(FUEL, wat);
    let lines: Vec<&str> = text.lines().collect();
    let paid = lines.windows(3).filter(|lines| lines[2].contains("isub") && lines[1].contains("region9"));
    paid.map(|lines| lines[0].rsplit(' ').next().and_then(|price| price.parse().ok()).expect("a constant")).collect()
}

#[test]
fn unmetered_code_is_as_if_there_were_no_meters() {
    let (text, _) = code(OFF, LOOP);
    let body = text.split("block0").nth(1).expect("a body");
    let instructions = body.lines().skip(1).filter(|line| !line.trim().is_empty() && !line.contains("):"));
    let instructions: Vec<&str> =
        instructions.filter_map(|line| line.split_whitespace().find(|word| is_op(word))).collect();
    // The first two are the address of the memory.
    let expected =
        "iconst.i64 iadd iconst.i32 jump uextend.i64 iadd.i64 load.i32 iadd iconst.i32 isub brif jump return";
    assert_eq!(instructions.join(" "), expected, "{text}");
}

/// Whether a word of a line is an operation, and not a place, a value or punctuation.
fn is_op(word: &str) -> bool {
    let ops = ["iconst", "jump", "uextend", "iadd", "load", "isub", "brif", "return", "store", "icmp", "trap", "call"];
    ops.iter().any(|op| word.starts_with(op))
}

#[test]
fn unmetered_code_looks_at_nothing_of_the_allowance_but_the_stack_limit() {
    let distance = header::ALLOWANCE;
    let place = format!("-0x{:x}", distance.unsigned_abs());
    let grouped = format!("-0x{:x}_{:04x}", distance.unsigned_abs() >> 16, distance.unsigned_abs() & 0xffff);
    let looks = |metering| {
        let compiler = compiler(metering, OptLevel::Speed);
        let funcs = translated(&compiler, &module(false, &all_functions())).expect("valid");
        let looks = |func: &cranelift_codegen::ir::Function| {
            let text = func.to_string();
            // How the prologue finds the stack limit stands in front of the code.
            let code = text.lines().filter(|line| !line.trim_start().starts_with("gv"));
            let text = code.collect::<Vec<_>>().join("\n");
            text.contains(&grouped) || text.contains(&place) || text.contains("allowance")
        };
        (funcs.iter().filter(|func| looks(func)).count(), funcs.len())
    };
    assert_eq!(looks(OFF).0, 0);
    for metering in [FUEL, EPOCHS, BOTH] {
        let (look, all) = looks(metering);
        assert_eq!(look, all);
    }
}

#[test]
fn every_instruction_can_be_metered() {
    for metering in [FUEL, EPOCHS, BOTH] {
        for level in [OptLevel::None, OptLevel::Speed] {
            let compiler = compiler(metering, level);
            for func in translated(&compiler, &module(true, &all_functions())).expect("valid") {
                verify_function(&func, &*compiler.isa).unwrap_or_else(|errors| panic!("{errors}\n{func}"));
                compiled(&compiler, func);
            }
        }
    }
}

#[test]
fn each_stretch_is_paid_for_once_at_its_start() {
    // The call and nothing else; a turn; and what follows the loop.
    assert_eq!(prices(LOOP), [1, 10, 1]);
    // Three instructions before the branch, one in each arm; the end of both is free.
    let arms = "(func (param i32) (result i32) (nop) (if (result i32) (i32.eqz (local.get 0))
        (then (i32.const 1)) (else (i32.const 2)))) (func $nop)";
    assert_eq!(prices(arms), [1 + 3, 1, 1]);
    // Behind a call, another stretch begins.
    let calls = "(func (result i32) (call $nop) (i32.const 1) (drop) (i32.const 2)) (func $nop)";
    assert_eq!(prices(calls), [1 + 1, 2]);
    // Nothing is paid for what cannot be reached.
    assert_eq!(prices("(func (unreachable) (i32.const 1) (drop)) (func $nop)"), [1]);
}

#[test]
fn whether_there_was_enough_is_asked_where_code_can_repeat_itself() {
    let traps =
        |metering, wat: &str, trap: Trap| code(metering, wat).0.matches(&format!("user{}", trap.code())).count();
    assert_eq!(traps(FUEL, LOOP, Trap::OutOfFuel), 2);
    let straight = "(func (if (i32.const 1) (then (call $nop))) (call $nop)) (func $nop)";
    assert_eq!(traps(FUEL, straight, Trap::OutOfFuel), 1);
    let fill = "(func (param i32) (memory.fill (i32.const 0) (i32.const 0) (local.get 0))) (func $nop)";
    assert_eq!(traps(FUEL, fill, Trap::OutOfFuel), 2);
    let epochs = |wat| code(EPOCHS, wat).0.matches("atomic_load").count();
    assert_eq!((epochs(LOOP), epochs(straight)), (2, 1));
}

#[cfg(target_arch = "x86_64")]
#[test]
fn the_epoch_is_read_in_every_turn_and_its_address_once() {
    let (_, text) = code(EPOCHS, LOOP);
    let turn = text.split("0x40000000(").next().expect("the guest's load");
    let address = turn.matches("0x10(%").count();
    assert_eq!(address, 1, "{text}");
    assert_eq!(turn.matches("cmpq").count() - turn.matches("%rsp, %r10").count(), 2, "{text}");
}

#[cfg(target_arch = "x86_64")]
#[test]
fn asking_at_a_deadline_costs_a_loop_no_register() {
    let (_, text) = code(EPOCHS, LOOP);
    assert!(!text.contains("(%rsp)"), "nothing is saved or spilled: {text}");
}
