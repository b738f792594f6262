//! Calls and panics at the end: in destructors of thread-local data, and of what callbacks own.

use crate::child::passes;
use crate::common::expect_trap;
use minirt::{AsContextMut, Config, Engine, Instance, Module, Store, Trap, UpdateDeadline};
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Sender, channel};

/// Calls Wasm when it is dropped, and says what came of it.
struct Last {
    engine: Engine,
    module: Module,
    say: Sender<Option<Trap>>,
}

impl Last {
    fn call(&self) -> Option<Trap> {
        let mut store = Store::new(&self.engine, ());
        let instance = Instance::new(&mut store, &self.module, &[]).unwrap();
        let f = instance.get_typed_func::<(), ()>(&store, "f").unwrap();
        f.call(&mut store, ()).unwrap_err().downcast_ref().copied()
    }
}

impl Drop for Last {
    fn drop(&mut self) {
        let _ = self.say.send(self.call());
    }
}

thread_local!(static FIRST_MADE: RefCell<Option<Last>> = const { RefCell::new(None) });
thread_local!(static LAST_MADE: RefCell<Option<Last>> = const { RefCell::new(None) });

#[test]
fn wasm_can_be_called_in_a_destructor_of_thread_local_data() {
    let test = wasm_can_be_called_in_a_destructor_of_thread_local_data;
    for case in ["made before the first call", "made after the first call", "without another call"] {
        passes(test, case, |case| {
            let engine = Engine::default();
            for text in [
                r#"(module (func (export "f") unreachable))"#,
                r#"(module (func $f (export "f") (call $f) (call $f)))"#,
                r#"(module (memory 1) (func (export "f") (drop (i32.load (i32.const -1)))))"#,
            ] {
                let module = Module::new(&engine, text).unwrap();
                let (say, said) = channel();
                let last = || Last { engine: engine.clone(), module: module.clone(), say: say.clone() };
                let expected = last().call();
                assert_eq!(said.recv().unwrap(), expected);
                let thread = || match case {
                    "made before the first call" => {
                        FIRST_MADE.with(|it| *it.borrow_mut() = Some(last()));
                        last().call();
                    }
                    "made after the first call" => {
                        last().call();
                        LAST_MADE.with(|it| *it.borrow_mut() = Some(last()));
                    }
                    _ => FIRST_MADE.with(|it| *it.borrow_mut() = Some(last())),
                };
                std::thread::scope(|scope| {
                    // The scope's own handle would not wait for destructors.
                    std::thread::Builder::new().spawn_scoped(scope, thread).unwrap().join().unwrap();
                });
                let calls = if case == "without another call" { 1 } else { 2 };
                assert!((0..calls).all(|_| said.recv().unwrap() == expected));
            }
        });
    }
}

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("a drop that panics");
        }
    }
}

fn epochs() -> (Engine, Module) {
    let engine = Engine::new(Config::new().epoch_interruption(true)).unwrap();
    let module = Module::new(&engine, r#"(module (func (export "f") (loop (br 0))))"#).unwrap();
    (engine, module)
}

#[test]
fn an_epoch_callback_whose_captures_panic_when_dropped_is_a_panic_of_the_call() {
    for answer in ["interrupt", "an error", "a panic"] {
        let (engine, module) = epochs();
        let mut store = Store::new(&engine, ());
        store.set_epoch_deadline(0);
        let bomb = Bomb;
        store.epoch_deadline_callback(move |mut store| {
            let _ = &bomb;
            store.epoch_deadline_trap();
            match answer {
                "interrupt" => Ok(UpdateDeadline::Interrupt),
                "an error" => Err(minirt::Error::msg("the callback's own")),
                _ => panic!("the callback's own"),
            }
        });
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        let f = instance.get_typed_func::<(), ()>(&store, "f").unwrap();
        let ended = catch_unwind(AssertUnwindSafe(|| f.call(&mut store, ())));
        match answer {
            "interrupt" => {
                let payload = ended.unwrap_err();
                assert_eq!(payload.downcast_ref::<&str>(), Some(&"a drop that panics"));
            }
            "an error" => assert_eq!(ended.unwrap().unwrap_err().root_cause().to_string(), "the callback's own"),
            _ => assert_eq!(ended.unwrap_err().downcast_ref::<&str>(), Some(&"the callback's own")),
        }
        // The store goes on, without a callback.
        expect_trap(f.call(&mut store, ()), Trap::Interrupt);
    }
}

#[test]
fn an_epoch_callback_may_replace_itself() {
    let (engine, module) = epochs();
    let mut store = Store::new(&engine, 0);
    store.set_epoch_deadline(0);
    store.epoch_deadline_callback(|mut store| {
        *store.data_mut() += 1;
        store.as_context_mut().epoch_deadline_trap();
        Ok(UpdateDeadline::Continue(0))
    });
    let instance = Instance::new(&mut store, &module, &[]).unwrap();
    let f = instance.get_typed_func::<(), ()>(&store, "f").unwrap();
    expect_trap(f.call(&mut store, ()), Trap::Interrupt);
    assert_eq!(*store.data(), 1);
}
