//! What a fresh instance costs: instantiate, call, drop, with a warm slot.
//!
//! `k` is the number of pages that the call dirties. `round_trip/none` runs nothing at all.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use minirt::{Engine, Linker, Module, Store};

/// Stores to one address in each of the first `k` host pages.
const MODULE: &str = r#"(module
  (memory PAGES)
  (data (i32.const 0) "initial")
  (func (export "nop"))
  (func (export "touch") (param $k i32)
    (local $at i32)
    (loop $next
      (if (local.get $k) (then
        (i32.store offset=64 (local.get $at) (i32.const 1))
        (local.set $at (i32.add (local.get $at) (i32.const 4096)))
        (local.set $k (i32.sub (local.get $k) (i32.const 1)))
        (br $next))))))"#;

fn round_trips(c: &mut Criterion) {
    let engine = Engine::default();
    let linker: Linker<()> = Linker::new(&engine);
    let mut group = c.benchmark_group("round_trip");
    for (memory, pages, touched) in [("64KiB", 1, &[0u32, 1, 8][..]), ("16MiB", 256, &[1, 8, 64, 512])] {
        let module = Module::new(&engine, MODULE.replace("PAGES", &pages.to_string())).unwrap();
        let pre = linker.instantiate_pre(&module).unwrap();
        group.bench_function(BenchmarkId::new("none", memory), |b| {
            b.iter(|| {
                let mut store = Store::new(&engine, ());
                pre.instantiate(&mut store).unwrap();
            });
        });
        for k in touched {
            group.bench_with_input(BenchmarkId::new(format!("k={k}"), memory), k, |b, k| {
                b.iter(|| {
                    let mut store = Store::new(&engine, ());
                    let instance = pre.instantiate(&mut store).unwrap();
                    let touch = instance.get_typed_func::<u32, ()>(&store, "touch").unwrap();
                    touch.call(&mut store, *k).unwrap();
                });
            });
        }
    }
    group.finish();
}

fn calls(c: &mut Criterion) {
    let engine = Engine::default();
    let text = r#"(module (import "h" "f" (func $f (param i32) (result i32)))
      (func (export "nop"))
      (func (export "host") (param $n i32) (loop $next
        (drop (call $f (local.get $n)))
        (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))"#;
    let module = Module::new(&engine, text).unwrap();
    let mut linker = Linker::new(&engine);
    linker.func_wrap("h", "f", |x: i32| x).unwrap();
    let mut store = Store::new(&engine, ());
    let instance = linker.instantiate(&mut store, &module).unwrap();
    let nop = instance.get_typed_func::<(), ()>(&store, "nop").unwrap();
    c.bench_function("call/host_to_wasm", |b| b.iter(|| nop.call(&mut store, ()).unwrap()));
    let host = instance.get_typed_func::<u32, ()>(&store, "host").unwrap();
    c.bench_function("call/wasm_to_host_x1000", |b| b.iter(|| host.call(&mut store, 1000).unwrap()));
}

criterion_group!(benches, round_trips, calls);
criterion_main!(benches);
