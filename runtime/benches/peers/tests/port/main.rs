//! Programs for both crates: what was written for wasmtime runs on minirt when the name of the crate is changed.
//!
//! Each file of `programs` is compiled twice, with one crate and with the other as `api`, and says what it has found.
//! `FuncType::new` takes an engine in wasmtime; nothing else differs here. (What does elsewhere is in README.)

#[path = "."]
mod on_wasmtime {
    pub(crate) use minirt_runtimes::wasmtime as api;

    use api::{Engine, FuncType, ValType};

    fn func_type<const P: usize, const R: usize>(
        engine: &Engine,
        params: [ValType; P],
        results: [ValType; R],
    ) -> FuncType {
        FuncType::new(engine, params, results)
    }

    #[path = "programs/mod.rs"]
    pub(crate) mod programs;
}

#[path = "."]
mod on_minirt {
    pub(crate) use minirt_runtimes::minirt as api;

    use api::{Engine, FuncType, ValType};

    fn func_type<const P: usize, const R: usize>(
        _engine: &Engine,
        params: [ValType; P],
        results: [ValType; R],
    ) -> FuncType {
        FuncType::new(params, results)
    }

    #[path = "programs/mod.rs"]
    pub(crate) mod programs;
}

macro_rules! the_same_on_both {
    ($($test:ident: $($program:ident)::+;)*) => {
        $(#[test]
        fn $test() {
            let expected = on_wasmtime::programs::$($program)::+().expect("it runs on wasmtime");
            let found = on_minirt::programs::$($program)::+().expect("it runs on minirt");
            println!("{}", expected.join("\n"));
            assert_eq!(expected, found);
            assert!(expected.len() > 3);
        })*
    };
}

the_same_on_both! {
    a_tour: tour::run;
    hello: hello::run;
    linking: linking::run;
    memory: memory::run;
    multi_value: multi_value::run;
    globals_and_tables: globals_and_tables::run;
    traps_and_backtraces: traps::run;
    fuel: stopping::fuel;
    epochs: stopping::epochs;
    limits: stopping::limits;
    threads: threads::run;
    serialisation: artifacts::serialised;
    instance_pre: artifacts::looked_up_once;
}
