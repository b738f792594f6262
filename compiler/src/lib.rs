//! Compiles WebAssembly: from bytes to machine code, layout and initial image.
//!
//! The pipeline, in the order in which [`Compiler::compile`] goes through it:
//!
//! 1. `parse` reads and validates the sections into a plain description ([`module::ModuleInfo`]).
//! 2. [`instance::layout`] decides where everything of an instance will sit, relative to vmctx.
//! 3. `validate` checks the function bodies. A module that is refused has been refused by now.
//! 4. `translate` turns each body into Cranelift IR, and Cranelift compiles it, on several threads
//!    where that pays.
//! 5. `link` puts the functions into one position-independent text ([`instance::code::Code`]).
//! 6. `initialise` computes what an instance looks like at the start
//!    ([`instance::image::InitialImage`]).
//!
//! [`artifact`] turns the result into a file and back.
//!
//! The result is data. This crate never maps memory, never runs what it made, and does not know the
//! runtime.

// `codegen::memory_provider` alone has an exception, and says why.
#![deny(unsafe_code)]
#![warn(missing_docs)]

// In reading order: a file uses only what stands above it.
pub mod base;
mod settings;
pub mod module;
pub mod instance;
mod codegen;
pub mod artifact;
#[cfg(test)]
mod tests;

pub use artifact::{Artifact, ArtifactError};
pub use base::error::{CompileError, CompileErrorKind, Feature};
pub use base::printable::Printable;
pub use base::trap::Trap;
pub use instance::compiled::Compiled;
pub use settings::{Features, Inlining, Machine, Metering, OptLevel, Settings};

use artifact::Target;
use base::bytes::Bytes;
use codegen::piece::{self, Piece};
use codegen::{compile, link, translate};
use cranelift_codegen::isa::{self, OwnedTargetIsa};
use cranelift_codegen::settings::Configurable;
use instance::code::Code;
use instance::initialise;
use instance::layout::{ELEMENT_SIZE, HOST, Layout};
use module::validate::{self, Limits};
use module::{FuncType, ModuleInfo, parse};
use std::sync::{Arc, OnceLock};
use translate::ModuleContext;

/// Compiles modules: for the processor it runs on, or for another machine.
pub struct Compiler {
    isa: OwnedTargetIsa,
    settings: Settings,
    /// What artifacts are made for. To put it together takes as long as to load a small one.
    target: OnceLock<Arc<Target>>,
}

impl Compiler {
    /// Returns a compiler for this machine's processor, which uses all of its features, or for the
    /// machine that the settings name.
    ///
    /// # Errors
    /// Returns an error if Cranelift does not know the processor, or was built without it.
    pub fn new(settings: &Settings) -> Result<Self, CompileError> {
        let isa = match settings.target {
            None => cranelift_native::builder().map_err(CompileError::internal)?,
            Some(machine) => backend(machine)?,
        };
        let isa = isa.finish(flags(settings)).map_err(|error| CompileError::internal(error.to_string()))?;
        Ok(Self { isa, settings: settings.clone(), target: OnceLock::new() })
    }

    fn target(&self) -> &Arc<Target> {
        self.target.get_or_init(|| Arc::new(Target::of(&*self.isa, self.settings.metering)))
    }

    /// Validates a module in the binary format.
    ///
    /// # Errors
    /// Returns an error if it breaks a rule of the specification, uses a feature that minirt does
    /// not have or that is switched off, or has a function that exceeds
    /// [`Settings::max_function_instructions`].
    pub fn validate(&self, bytes: &[u8]) -> Result<(), CompileError> {
        let valid = parse::parse(bytes, self.settings.features)
            .and_then(|parsed| validate::bodies(parsed.bodies, self.limits(&parsed.info)));
        valid.map_err(|error| self.settings.features.explain(error))
    }

    /// Compiles a module in the binary format.
    ///
    /// # Errors
    /// Returns the errors of [`Compiler::validate`], and an error if the module exceeds another
    /// limit.
    pub fn compile(&self, bytes: &[u8]) -> Result<Compiled, CompileError> {
        self.compile_all(bytes).map_err(|error| self.settings.features.explain(error))
    }

    fn limits<'m>(&self, info: &'m ModuleInfo) -> Limits<'m> {
        Limits { info, features: self.settings.features, instructions: self.settings.max_function_instructions }
    }

    /// Checks that a module's instances are not too large for the settings, or for this process.
    fn check_size(&self, info: &ModuleInfo, layout: Layout) -> Result<Layout, CompileError> {
        // The room in which tables can grow is not taken by anybody yet.
        let in_front = layout.table_space.start.wrapping_sub(HOST) as u64;
        let own_tables = info.tables.iter().skip(info.num_imported_tables as usize);
        let size = in_front + own_tables.map(|table| table.minimum * ELEMENT_SIZE).sum::<u64>();
        let most = self.settings.max_instance_size;
        let of_what = "imports, globals, functions and tables";
        if size > most {
            let message = format!("the instance's state ({of_what}) takes {size} bytes; the limit is {most}");
            return Err(CompileError::limit(message));
        }
        // Allocating what is not there would end the process.
        if Vec::<u8>::new().try_reserve_exact(layout.state_size as usize).is_err() {
            let message = format!("there is no memory for the instance's state ({of_what}) of {size} bytes");
            return Err(CompileError::limit(message));
        }
        Ok(layout)
    }

    fn compile_all(&self, bytes: &[u8]) -> Result<Compiled, CompileError> {
        let parse::Parsed { mut info, bodies } = parse::parse(bytes, self.settings.features)?;
        let layout = match Layout::new(&info, self.settings.page_size).and_then(|layout| self.check_size(&info, layout))
        {
            Ok(layout) => layout,
            // A body that is not valid is more useful news than a limit that is exceeded.
            Err(limit) => return Err(validate::bodies(bodies, self.limits(&info)).err().unwrap_or(limit)),
        };
        let pieces = piece::pieces(&info, self.settings.metering);
        let module = self.context(&info, &layout);
        let compiled = compile::compile(&module, &pieces, bodies, self.limits(&info), self.settings.parallel)?;
        let code = link::link(&self.isa, &pieces, &compiled)?;
        let image = initialise::initialise(&info, &layout);
        initialise::forget_segments(&mut info, &layout, &image.remaining);
        Ok(Compiled { module: info, layout, image, code })
    }

    /// Returns what a module in the binary format is translated to, as text: Cranelift's IR for
    /// each function and trampoline, before Cranelift optimises it. This is for people.
    ///
    /// # Errors
    /// Returns the errors of [`Compiler::compile`].
    pub fn clif(&self, bytes: &[u8]) -> Result<String, CompileError> {
        let clif = || {
            let parse::Parsed { info, bodies } = parse::parse(bytes, self.settings.features)?;
            let layout = Layout::new(&info, self.settings.page_size)?;
            let pieces = piece::pieces(&info, self.settings.metering);
            compile::clif(&self.context(&info, &layout), &pieces, bodies, self.limits(&info))
        };
        clif().map_err(|error| self.settings.features.explain(error))
    }

    fn context<'m>(&'m self, info: &'m ModuleInfo, layout: &'m Layout) -> ModuleContext<'m> {
        let Settings { inlining, features, metering, .. } = self.settings;
        ModuleContext { info, layout, isa: &*self.isa, inlining, features, metering }
    }

    /// Compiles a module that is described rather than read, and has no functions.
    ///
    /// # Errors
    /// Returns an error if it exceeds a limit.
    pub fn without_code(&self, mut info: ModuleInfo) -> Result<Compiled, CompileError> {
        info.find_equal_types();
        let layout = Layout::new(&info, self.settings.page_size)?;
        let image = initialise::initialise(&info, &layout);
        Ok(Compiled { module: info, layout, image, code: Code::default() })
    }

    /// Returns the code with which Wasm calls host functions of a type: one exit trampoline, at
    /// offset 0 of the text.
    ///
    /// # Errors
    /// Returns an error if Cranelift fails, which is a bug.
    pub fn exit_trampoline(&self, ty: &FuncType) -> Result<Code, CompileError> {
        let compiled = piece::compile_exit(&*self.isa, ty)?;
        link::link(&self.isa, &[Piece::Exit(0)], &[compiled])
    }

    /// Returns a compiled module as the bytes of an artifact, to be written to a file. The same
    /// module gives the same bytes.
    ///
    /// `compiled` must be made by a compiler of this process. It can have the image of a snapshot.
    pub fn serialize(&self, compiled: &Compiled) -> Vec<u8> {
        artifact::write(compiled, self.target())
    }

    /// Returns what artifacts are made with and for, and which features modules may use: compilers
    /// for which it is equal accept the same modules, and can exchange artifacts.
    pub fn compatibility(&self) -> impl std::hash::Hash + use<> {
        (Arc::clone(self.target()), self.settings.features, self.settings.page_size)
    }

    /// Reads an artifact. With `check_all`, reads every byte of it and compares it with its digest.
    /// Otherwise only the description is compared, which takes the same time however much code and
    /// memory there is.
    ///
    /// # Errors
    /// Returns an error if it is not an artifact, was made for another version or machine, or is
    /// not as it was written.
    pub fn deserialize(&self, file: &Bytes, check_all: bool) -> Result<Artifact, ArtifactError> {
        artifact::read(file, self.target(), self.settings.page_size, check_all)
    }
}

impl std::fmt::Debug for Compiler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compiler").field("target", &self.isa.triple().to_string()).finish_non_exhaustive()
    }
}

/// Returns Cranelift's way of making code for a machine.
fn backend(machine: Machine) -> Result<isa::Builder, CompileError> {
    let mut isa = isa::lookup_by_name(machine.triple()).map_err(|error| {
        let triple = machine.triple();
        CompileError::internal(format!(
            "this build of minirt makes no code for {triple} ({error}); the feature `cross` does"
        ))
    })?;
    if let Some(level) = codegen::isa::baseline(machine) {
        isa.enable(level).map_err(|error| CompileError::internal(error.to_string()))?;
    }
    Ok(isa)
}

fn flags(settings: &Settings) -> cranelift_codegen::settings::Flags {
    let level = match settings.opt_level {
        OptLevel::None => "none",
        OptLevel::Speed => "speed",
        OptLevel::SpeedAndSize => "speed_and_size",
    };
    let verify = if cfg!(debug_assertions) { "true" } else { "false" };
    let mut builder = cranelift_codegen::settings::builder();
    for (name, value) in [
        ("opt_level", level),
        ("enable_verifier", verify),
        // Backtraces walk frame pointers; nothing unwinds.
        ("preserve_frame_pointers", "true"),
        ("unwind_info", "false"),
        // Calls inside a module are distances either way, and there is nothing else to refer to.
        ("is_pic", "false"),
        // Results that do not fit registers go through memory that the caller provides.
        ("enable_multi_ret_implicit_sret", "true"),
        // Where a function should start depends on its loops.
        ("machine_code_cfg_info", "true"),
        // The end of the stack is a comparison in the prologue, not a guard page.
        ("enable_probestack", "false"),
    ] {
        builder.set(name, value).expect("these are settings of this version of Cranelift");
    }
    cranelift_codegen::settings::Flags::new(builder)
}
