//! minirt and wasmtime as machines that run programs.

pub(crate) mod on_minirt {
    use crate::world::world;
    use minirt_runtimes::minirt::{self, Module};

    world!(minirt);

    fn code_size(module: &Module) -> usize {
        module.image_info().code
    }

    fn fail(error: anyhow::Error) -> anyhow::Error {
        error
    }
}

pub(crate) mod on_wasmtime {
    use crate::world::world;
    use minirt_runtimes::wasmtime::{self, Module};

    world!(wasmtime);

    fn code_size(module: &Module) -> usize {
        module.text().len()
    }

    fn fail(error: anyhow::Error) -> wasmtime::Error {
        wasmtime::Error::from_anyhow(error)
    }
}
