//! Loops whose counters wrap around, compare before or after their step, and are addresses: with
//! and without optimisation, they do the same. And places where very many branches meet.

use minirt::{Config, Engine, Instance, Module, OptLevel, Store, Trap};

const LOOPS: &str = r#"(module
  (memory (export "memory") 1)
  (data (i32.const 0) "\08\00\00\00\ff\00\00\00\10\00\00\00\00\00\00\80\18\00\00\00\05\00\00\00\00\00\00\00\07\00\00\00")

  ;; Counts from the end of the numbers over to their start.
  (func (export "wraps") (param $from i32) (result i32) (local $turns i32)
    (loop $again
      (local.set $turns (i32.add (local.get $turns) (i32.const 1)))
      (i32.eq (local.get $from) (i32.const 4))
      (local.set $from (i32.add (local.get $from) (i32.const 4)))
      (br_if $again (i32.eqz)))
    (i32.add (i32.mul (local.get $turns) (i32.const 1000)) (local.get $from)))

  ;; The same in 64 bits, downwards; the old and the new value are both results.
  (func (export "down") (param $from i64) (result i64 i64) (local $old i64)
    (loop $again
      (local.set $old (local.get $from))
      (i64.ne (local.get $from) (i64.const -3))
      (local.set $from (i64.sub (local.get $from) (i64.const 1)))
      (br_if $again))
    (local.get $old) (local.get $from))

  ;; Three ways back, of which two make the same step.
  (func (export "ways") (param $n i32) (result i32) (local $i i32) (local $sum i32)
    (block $end
      (loop $again
        (br_if $end (i32.ge_u (local.get $i) (local.get $n)))
        (if (i32.and (local.get $i) (i32.const 1))
          (then
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br $again)))
        (local.set $sum (i32.add (local.get $sum) (i32.load8_u (local.get $i))))
        (if (i32.eq (local.get $i) (i32.const 6))
          (then
            (local.set $i (i32.add (local.get $i) (i32.const 2)))
            (br $again)))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $again)))
    (local.get $sum))

  ;; A list: the next element, then a number.
  (func (export "list") (param $at i32) (result i32) (local $sum i32)
    (loop $again
      (local.set $sum (i32.add (local.get $sum) (i32.load offset=4 (local.get $at))))
      (br_if $again (local.tee $at (i32.load (local.get $at)))))
    (local.get $sum))

  ;; An index that leaves the 32 bits, and one that leaves the memory.
  (func (export "leaves") (param $at i32) (param $step i32) (result i32)
    (loop $again
      (br_if $again
        (i32.lt_u (i32.load8_u (local.get $at)) (i32.const 255))
        (local.set $at (i32.add (local.get $at) (local.get $step)))))
    (local.get $at))

  ;; A store lies between a load and what needs it.
  (func (export "store") (param $at i32) (result i32) (local $old i32) (local $other i32)
    (local.set $old (i32.load (local.get $at)))
    (local.set $other (i32.load offset=8 (local.get $at)))
    (i32.store (local.get $at) (i32.const 77))
    (i32.sub (local.get $old) (local.get $other)))

  ;; The opposite of each comparison of floats.
  (func (export "unless") (param $a f64) (param $b f64) (result i32)
    (i32.eqz (f64.lt (local.get $a) (local.get $b)))
    (i32.shl (i32.const 1)) (i32.or (i32.eqz (f64.le (local.get $a) (local.get $b))))
    (i32.shl (i32.const 1)) (i32.or (i32.eqz (f64.gt (local.get $a) (local.get $b))))
    (i32.shl (i32.const 1)) (i32.or (i32.eqz (f64.ge (local.get $a) (local.get $b))))
    (i32.shl (i32.const 1)) (i32.or (i32.eqz (f64.eq (local.get $a) (local.get $b))))
    (i32.shl (i32.const 1)) (i32.or (i32.eqz (f64.ne (local.get $a) (local.get $b))))))
"#;

#[test]
fn loops_do_the_same_with_and_without_optimisation() {
    for level in [OptLevel::None, OptLevel::Speed, OptLevel::SpeedAndSize] {
        let engine = Engine::new(Config::new().cranelift_opt_level(level)).unwrap();
        let module = Module::new(&engine, LOOPS).unwrap();
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        macro_rules! call {
            ($name:literal, $arguments:expr) => {
                instance.get_typed_func(&mut store, $name).unwrap().call(&mut store, $arguments)
            };
        }
        assert_eq!(call!("wraps", -8).ok(), Some(4008), "{level:?}");
        assert_eq!(call!("wraps", 4).ok(), Some(1008), "{level:?}");
        assert_eq!(call!("down", 0_i64).ok(), Some((-3_i64, -4_i64)), "{level:?}");
        assert_eq!(call!("ways", 9).ok(), Some(279), "{level:?}");
        assert_eq!(call!("list", 0).ok(), Some(i32::MIN + 267), "{level:?}");
        assert_eq!(call!("leaves", (0, 4)).ok(), Some(8), "{level:?}");
        assert_eq!(call!("leaves", (8, -4)).ok(), Some(0), "{level:?}");
        for step in [0x10000, -4] {
            let outcome: Result<i32, _> = call!("leaves", (0, step));
            assert_eq!(outcome.unwrap_err().downcast_ref(), Some(&Trap::MemoryOutOfBounds), "{level:?}");
        }
        assert_eq!(call!("store", 0).ok(), Some(8 - 16), "{level:?}");
        assert_eq!(call!("store", 0).ok(), Some(77 - 16), "{level:?}");
        let last = 0x10000 - 4;
        let outcome: Result<i32, _> = call!("store", last);
        assert_eq!(outcome.unwrap_err().downcast_ref(), Some(&Trap::MemoryOutOfBounds), "{level:?}");
        let memory = instance.get_memory(&mut store, "memory").unwrap();
        assert_eq!(memory.data(&store)[last as usize..], [0; 4], "{level:?}: it stored before it trapped");
        for (a, b, expected) in [(1.0, 2.0, 14), (2.0, 1.0, 50), (1.0, 1.0, 41), (f64::NAN, 1.0, 62)] {
            assert_eq!(call!("unless", (a, b)).ok(), Some(expected), "{level:?}: {a} and {b}");
        }
    }
}

/// A `switch` of this many cases, more than the compiler keeps in registers where they go on.
const CASES: usize = 1100;

/// Returns a `br_table` on local 0, and each case. `end` is what follows a case; it is given how
/// many blocks are left around it.
fn switch(case: impl Fn(usize) -> String, end: impl Fn(usize) -> String) -> String {
    let targets: String = (0..CASES).map(|it| format!(" {it}")).collect();
    let cases: String = (0..CASES).map(|it| format!(" end {} {}", case(it), end(CASES - 1 - it))).collect();
    format!("{} local.get 0 br_table {targets} {cases}", "block ".repeat(CASES))
}

#[test]
fn where_very_many_branches_meet_each_brings_its_values() {
    let set = |case| format!("i32.const {} local.set 1 f64.const {case} local.set 2", case * 7);
    let meet = switch(set, |left| format!("br {left}"));
    let add = |case| format!("local.get 1 i32.const {case} i32.add local.set 1 i32.const {} local.set 0", case + 1);
    // The last case ends the loop.
    let again = switch(add, |left| if left > 0 { format!("br {left}") } else { String::new() });
    let wat = format!(
        r#"(module
          (func (export "meet") (param i32) (result i32 f64) (local i32 f64)
            block {meet} end local.get 1 local.get 2)
          (func (export "again") (param i32) (result i32) (local i32)
            loop {again} end local.get 1))"#
    );
    let engine = Engine::default();
    let module = Module::new(&engine, &wat).unwrap();
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[]).unwrap();
    let meet = instance.get_typed_func::<i32, (i32, f64)>(&mut store, "meet").unwrap();
    let again = instance.get_typed_func::<i32, i32>(&mut store, "again").unwrap();
    for case in 0..CASES as i32 {
        assert_eq!(meet.call(&mut store, case).ok(), Some((case * 7, f64::from(case))));
        assert_eq!(again.call(&mut store, case).ok(), Some((case..CASES as i32).sum()));
    }
}
