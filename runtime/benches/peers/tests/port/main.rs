//! Programs for both crates: what was written for wasmtime runs on minirt when the name of the
//! crate is changed.
//!
//! Each file of `programs` is compiled twice, with one crate and with the other as `api`, and says
//! what it has found. Types are made with an engine in wasmtime, and `Store::gc` takes a reason;
//! nothing else differs here. (What does elsewhere is in README.) wasmtime has objects with the
//! feature `exceptions`, and WASI with the feature `wasi`: there, streams in memory are types of a
//! crate of its own.

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

    #[cfg(feature = "exceptions")]
    mod objects {
        use super::api::{ArrayType, Engine, FieldType, Result, Store, StructType};

        pub(crate) fn struct_type<const N: usize>(engine: &Engine, fields: [FieldType; N]) -> Result<StructType> {
            StructType::new(engine, fields)
        }

        pub(crate) fn array_type(engine: &Engine, field: FieldType) -> ArrayType {
            ArrayType::new(engine, field)
        }

        pub(crate) fn collect(store: &mut Store<()>) -> Result<()> {
            store.gc(None)
        }
    }
    #[cfg(feature = "exceptions")]
    pub(crate) use objects::*;

    #[cfg(feature = "wasi")]
    pub(crate) mod wasi {
        use wasmtime_wasi::p2::pipe::{MemoryInputPipe, MemoryOutputPipe};
        pub(crate) use wasmtime_wasi::{FsPerms, I32Exit, WasiCtxBuilder, p1};

        pub(crate) fn input(text: &'static str) -> MemoryInputPipe {
            MemoryInputPipe::new(text)
        }

        pub(crate) struct Output(MemoryOutputPipe);

        impl Output {
            pub(crate) fn new(limit: usize) -> Self {
                Self(MemoryOutputPipe::new(limit))
            }

            pub(crate) fn stream(&self) -> MemoryOutputPipe {
                self.0.clone()
            }

            pub(crate) fn contents(&self) -> Vec<u8> {
                self.0.contents().to_vec()
            }
        }
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

    #[cfg(feature = "exceptions")]
    mod objects {
        use super::api::{ArrayType, Engine, FieldType, Result, Store, StructType};

        pub(crate) fn struct_type<const N: usize>(_engine: &Engine, fields: [FieldType; N]) -> Result<StructType> {
            Ok(StructType::new(fields))
        }

        pub(crate) fn array_type(_engine: &Engine, field: FieldType) -> ArrayType {
            ArrayType::new(field)
        }

        pub(crate) fn collect(store: &mut Store<()>) -> Result<()> {
            store.gc();
            Ok(())
        }
    }
    #[cfg(feature = "exceptions")]
    pub(crate) use objects::*;

    #[cfg(feature = "wasi")]
    pub(crate) mod wasi {
        pub(crate) use super::api::wasi::{FsPerms, I32Exit, WasiCtxBuilder, p1};
        use super::api::wasi::{Input, OutputBuffer};

        pub(crate) fn input(text: &'static str) -> Input {
            Input::Bytes(text.into())
        }

        pub(crate) struct Output(OutputBuffer);

        impl Output {
            pub(crate) fn new(limit: usize) -> Self {
                Self(OutputBuffer::new(limit))
            }

            pub(crate) fn stream(&self) -> super::api::wasi::Output {
                super::api::wasi::Output::Buffer(self.0.clone())
            }

            pub(crate) fn contents(&self) -> Vec<u8> {
                self.0.contents()
            }
        }
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

#[cfg(feature = "exceptions")]
the_same_on_both! {
    objects: objects::run;
}

#[cfg(feature = "wasi")]
the_same_on_both! {
    wasi_commands: wasi::commands;
    wasi_directories: wasi::directories;
}
