//! What fuel and epochs cost the code: loops and calls, the shortest there are and some that do
//! work.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use minirt::{Config, Engine, Instance, Module, Store};

const MODULE: &str = r#"(module
  (memory 16)
  ;; One addition a turn: what metering costs the most.
  (func (export "count") (param $n i32) (result i32) (local $sum i32)
    (loop $next
      (local.set $sum (i32.add (local.get $sum) (local.get $n)))
      (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $sum))
  ;; Calls that do next to nothing.
  (func $fib (export "fib") (param $n i32) (result i32)
    (if (result i32) (i32.lt_u (local.get $n) (i32.const 2))
      (then (local.get $n))
      (else (i32.add (call $fib (i32.sub (local.get $n) (i32.const 1)))
                     (call $fib (i32.sub (local.get $n) (i32.const 2)))))))
  ;; The sieve of Eratosthenes over 64 KiB, n times: short loops that store, with a branch inside.
  (func (export "sieve") (param $n i32) (result i32) (local $i i32) (local $j i32) (local $primes i32)
    (loop $again
      (memory.fill (i32.const 0) (i32.const 1) (i32.const 65536))
      (local.set $i (i32.const 2))
      (local.set $primes (i32.const 0))
      (loop $next
        (if (i32.load8_u (local.get $i)) (then
          (local.set $primes (i32.add (local.get $primes) (i32.const 1)))
          (local.set $j (i32.shl (local.get $i) (i32.const 1)))
          (block $done
            (loop $strike
              (br_if $done (i32.ge_u (local.get $j) (i32.const 65536)))
              (i32.store8 (local.get $j) (i32.const 0))
              (local.set $j (i32.add (local.get $j) (local.get $i)))
              (br $strike)))))
        (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 65536))))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $primes))
  ;; A product of two 64 by 64 matrices, n times: loops with some arithmetic.
  (func (export "matrix") (param $n i32) (result i32) (local $i i32) (local $j i32) (local $k i32) (local $sum f64)
    (loop $again
      (local.set $i (i32.const 0))
      (loop $rows
        (local.set $j (i32.const 0))
        (loop $columns
          (local.set $k (i32.const 0))
          (local.set $sum (f64.const 0))
          (loop $terms
            (local.set $sum (f64.add (local.get $sum) (f64.mul
              (f64.load (i32.shl (i32.add (i32.shl (local.get $i) (i32.const 6)) (local.get $k)) (i32.const 3)))
              (f64.load offset=32768
                (i32.shl (i32.add (i32.shl (local.get $k) (i32.const 6)) (local.get $j)) (i32.const 3))))))
            (br_if $terms (i32.lt_u (local.tee $k (i32.add (local.get $k) (i32.const 1))) (i32.const 64))))
          (f64.store offset=65536
            (i32.shl (i32.add (i32.shl (local.get $i) (i32.const 6)) (local.get $j)) (i32.const 3)) (local.get $sum))
          (br_if $columns (i32.lt_u (local.tee $j (i32.add (local.get $j) (i32.const 1))) (i32.const 64))))
        (br_if $rows (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 64))))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $i)))"#;

fn metering(c: &mut Criterion) {
    for (name, argument) in [("count", 1_000_000), ("fib", 25), ("sieve", 1), ("matrix", 1)] {
        let mut group = c.benchmark_group(name);
        for (how, fuel, epochs) in
            [("off", false, false), ("fuel", true, false), ("epochs", false, true), ("both", true, true)]
        {
            let engine = Engine::new(Config::new().consume_fuel(fuel).epoch_interruption(epochs)).unwrap();
            let module = Module::new(&engine, MODULE).unwrap();
            let mut store = Store::new(&engine, ());
            store.set_epoch_deadline(1);
            let instance = Instance::new(&mut store, &module, &[]).unwrap();
            let func = instance.get_typed_func::<i32, i32>(&store, name).unwrap();
            group.bench_function(BenchmarkId::from_parameter(how), |b| {
                b.iter(|| {
                    if fuel {
                        store.set_fuel(u64::MAX).unwrap();
                    }
                    func.call(&mut store, argument).unwrap()
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, metering);
criterion_main!(benches);
