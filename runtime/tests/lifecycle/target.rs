//! Artifacts that an engine makes for other machines than its own.

use crate::common::call_i32;
use minirt::{ArtifactError, Config, Engine, Instance, Module, Store};
use std::env::consts::ARCH;

const TARGETS: [&str; 2] = ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"];

const TEXT: &str = r#"(module
  (memory 3) (data (i32.const 5000) "\07") (data (i32.const 140000) "\09") (table 3 100 funcref) (elem (i32.const 1) $f)
  (func $f (export "f") (param i32) (result i32)
    (i32.store (i32.const 9000) (i32.add (i32.load (i32.const 9000)) (local.get 0)))
    (i32.add (i32.load (i32.const 9000)) (i32.add (i32.load8_u (i32.const 5000)) (i32.load8_u (i32.const 140000)))))
  (func (export "through") (param i32) (result i32)
    (drop (table.grow (ref.null func) (i32.const 5)))
    (call_indirect (param i32) (result i32) (local.get 0) (i32.const 1))))"#;

fn engine(target: &str, page_size: u64) -> minirt::Result<Engine> {
    Engine::new(Config::new().target(target)?.target_page_size(page_size))
}

fn here() -> &'static str {
    TARGETS.into_iter().find(|target| target.starts_with(ARCH)).unwrap()
}

fn works(engine: &Engine, module: &Module, before: i32) {
    for _ in 0..40 {
        let mut store = Store::new(engine, ());
        let it = Instance::new(&mut store, module, &[]).unwrap();
        assert_eq!(call_i32(&mut store, it, "f", &[1]).unwrap(), before + 1 + 16);
        assert_eq!(call_i32(&mut store, it, "through", &[10]).unwrap(), before + 11 + 16);
    }
}

#[test]
fn an_artifact_for_this_kind_of_machine_works_with_pages_as_large_as_here_or_larger() {
    let local = Engine::default();
    let sizes = [4096, 16_384, 65_536].map(|size| (size, engine(here(), size).unwrap()));
    let mut worked = 0;
    for (size, foreign) in sizes {
        let artifact = foreign.precompile_module(TEXT.as_bytes()).unwrap();
        // SAFETY: it was made by this process.
        let module = match unsafe { Module::deserialize(&local, &artifact) } {
            Ok(module) => module,
            Err(error) => {
                let found = error.downcast_ref::<ArtifactError>();
                assert!(
                    matches!(found, Some(ArtifactError::OtherPageSize { found, here }) if *found == size && here > found)
                );
                continue;
            }
        };
        worked += 1;
        works(&local, &module, 0);
        // SAFETY: as above.
        works(&local, &unsafe { Module::deserialize(&local, module.serialize().unwrap()) }.unwrap(), 0);
        // What is frozen here has pages as they are here.
        let mut store = Store::new(&local, ());
        let it = Instance::new(&mut store, &module, &[]).unwrap();
        assert_eq!(call_i32(&mut store, it, "f", &[100]).unwrap(), 116);
        let frozen = it.snapshot(&mut store).unwrap().module().serialize().unwrap();
        // SAFETY: as above.
        works(&local, &unsafe { Module::deserialize(&local, frozen) }.unwrap(), 100);
    }
    assert!(worked > 0, "pages of 64 KiB are never too small");
}

#[test]
fn an_engine_with_a_target_runs_nothing() {
    let foreign = engine(here(), 4096).unwrap();
    let refused = format!("the engine makes artifacts for {}, and no modules to run here", here());
    assert_eq!(Module::new(&foreign, TEXT).unwrap_err().to_string(), refused);
    let artifact = Engine::default().precompile_module(TEXT.as_bytes()).unwrap();
    // SAFETY: it was made by this process.
    assert!(unsafe { Module::deserialize(&foreign, artifact) }.is_err());
}

#[test]
fn a_machine_that_minirt_does_not_run_on_is_no_target() {
    for triple in ["", "x86_64", "riscv64gc-unknown-linux-gnu", "aarch64-apple-darwin", "\u{1b}[31m"] {
        let error = Config::new().target(triple).unwrap_err().to_string();
        assert!(error.contains("it runs on x86_64-unknown-linux-gnu and aarch64"), "{error}");
        assert!(!error.contains('\u{1b}'), "{error}");
    }
    for size in [0, 1, 5000, 1 << 17] {
        let artifact = engine(here(), size).and_then(|foreign| foreign.precompile_module(TEXT.as_bytes()));
        assert!(artifact.unwrap_err().to_string().contains("host pages have"), "{size}");
    }
}

#[test]
fn an_artifact_for_another_kind_of_machine_is_refused_by_name() {
    let other = TARGETS.into_iter().find(|target| *target != here()).unwrap();
    let foreign = match engine(other, 4096) {
        Ok(foreign) => foreign,
        Err(error) => return assert!(format!("{error:#}").contains("the feature `cross`"), "{error:#}"),
    };
    let artifact = foreign.precompile_module(TEXT.as_bytes()).unwrap();
    // SAFETY: it was made by this process.
    let error = unsafe { Module::deserialize(&Engine::default(), artifact) }.unwrap_err();
    let expected = format!("was made for {other}, and this is {ARCH}-unknown-linux");
    assert!(error.to_string().contains(&expected), "{error}");
}
