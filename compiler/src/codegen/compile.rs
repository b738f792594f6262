//! Validates and compiles all functions of a module, in parallel where there is enough to do.

use super::inline::Inlinees;
use super::parallel::run_all;
use super::piece::{CompiledFunction, Piece, Worker};
use super::translate::ModuleContext;
use crate::base::error::CompileError;
use crate::base::printable::Printable;
use crate::module::parse::Body;
use crate::module::validate::{self, Limits};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Condvar, Mutex, PoisonError};
use wasmparser::FunctionBody;

/// Bytes of bodies, besides the largest one, for which it pays to start a thread.
const WORTH_A_THREAD: usize = 512;

/// Bytes of bodies that are validated as one job.
const VALIDATED_TOGETHER: usize = 16 * 1024;

/// Validates all bodies, then compiles all pieces, in their order. Nothing is compiled of a module
/// with a body that is refused.
///
/// # Errors
/// Returns the first error in a body, or the first limit that one exceeds; or Cranelift's error,
/// which is a bug here.
pub(crate) fn compile(
    module: &ModuleContext<'_>,
    pieces: &[Piece],
    bodies: Vec<Body<'_>>,
    limits: Limits<'_>,
    parallel: bool,
) -> Result<Vec<CompiledFunction>, CompileError> {
    let code: Vec<FunctionBody<'_>> = bodies.iter().map(|body| body.body.clone()).collect();
    let inlinees = Inlinees::new(module, &code);
    let size_of = |piece: Piece| match piece {
        Piece::Body(defined) => code.get(defined as usize).map_or(0, size),
        Piece::NewEpoch | Piece::Entry(_) | Piece::Exit(_) => 0,
    };
    let largest = code.iter().map(size).max().unwrap_or_default();
    let besides = code.iter().map(size).sum::<usize>() - largest;
    let helpers = if parallel { besides / WORTH_A_THREAD } else { 0 };
    let mut compile: Vec<(usize, Piece)> = pieces.iter().copied().enumerate().collect();
    if helpers == 0 {
        validate::bodies(bodies, limits)?;
        let mut worker = Worker::default();
        return compile.into_iter().map(|(index, piece)| worker.run(module, limits, &inlinees, index, piece)).collect();
    }
    // The largest first, so that no thread starts a long one when all others are done.
    compile.sort_by_key(|(_, piece)| std::cmp::Reverse(size_of(*piece)));
    let compile = compile.into_iter().map(|(index, piece)| Job::Compile(index, piece));
    let validate: Vec<_> =
        together(bodies).into_iter().enumerate().map(|(index, bodies)| Job::Validate(index, bodies)).collect();
    let validation = Validation { left: Mutex::new(validate.len()), ..Validation::default() };
    let jobs = validate.into_iter().chain(compile).collect();
    let done = run_all(jobs, helpers, Worker::default, |worker, job| match job {
        Job::Validate(index, bodies) => {
            let _one_less = validation.one_less();
            let refuse = |_: &CompileError| validation.refused.store(true, Relaxed);
            Done::Validated(index, validate::bodies(bodies, limits).inspect_err(refuse))
        }
        Job::Compile(..) if validation.has_refused() => Done::Skipped,
        Job::Compile(index, piece) => Done::Compiled(index, worker.run(module, limits, &inlinees, index, piece)),
    });
    in_order(done)
}

/// The state of the validation of all bodies. A piece is compiled when it is complete, because
/// it may need the code of any other.
#[derive(Default)]
struct Validation {
    /// How many groups of bodies are left.
    left: Mutex<usize>,
    complete: Condvar,
    refused: AtomicBool,
}

/// A group of bodies that is being validated.
struct OneLess<'a>(&'a Validation);

impl Validation {
    /// Counts a group as validated when the result is dropped.
    fn one_less(&self) -> OneLess<'_> {
        OneLess(self)
    }

    /// Waits until all bodies are validated, and returns whether one was refused.
    fn has_refused(&self) -> bool {
        let left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.complete.wait_while(left, |left| *left > 0).unwrap_or_else(PoisonError::into_inner));
        self.refused.load(Relaxed)
    }
}

impl Drop for OneLess<'_> {
    fn drop(&mut self) {
        *self.0.left.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.complete.notify_all();
    }
}

/// Validates all bodies, and returns the Cranelift IR of all pieces as text, in their order. Each
/// begins with a comment that says what it is. Pieces call each other by their place, as `u0:0` and
/// so on.
///
/// # Errors
/// Returns the same errors as [`compile`], as far as they occur before Cranelift compiles anything.
pub(crate) fn clif(
    module: &ModuleContext<'_>,
    pieces: &[Piece],
    bodies: Vec<Body<'_>>,
    limits: Limits<'_>,
) -> Result<String, CompileError> {
    let code: Vec<FunctionBody<'_>> = bodies.iter().map(|body| body.body.clone()).collect();
    validate::bodies(bodies, limits)?;
    let inlinees = Inlinees::new(module, &code);
    let mut worker = Worker::default();
    let mut text = String::new();
    for (index, piece) in pieces.iter().enumerate() {
        let clif = worker.clif(module, &inlinees, index, *piece)?;
        text += &format!("; u0:{index}: {}\n{clif}\n", described(module, *piece));
    }
    Ok(text)
}

fn described(module: &ModuleContext<'_>, piece: Piece) -> String {
    match piece {
        Piece::Body(defined) => {
            let func = module.info.num_imported_funcs + defined;
            let name =
                module.info.func_name(func).map_or_else(String::new, |name| format!(" `{}`", Printable::new(name)));
            format!("function {func}{name}")
        }
        Piece::NewEpoch => "what is called when the epoch deadline has passed".to_owned(),
        Piece::Entry(ty) => format!("entry trampoline of type {ty}"),
        Piece::Exit(ty) => format!("exit trampoline of type {ty}"),
    }
}

/// A job for a thread. Jobs are begun in order: first all validation, then the pieces.
enum Job<'a> {
    /// Bodies, and the group's place among all.
    Validate(usize, Vec<Body<'a>>),
    /// A piece, and its place among all.
    Compile(usize, Piece),
}

/// The outcome of a job.
enum Done {
    Validated(usize, Result<(), CompileError>),
    Compiled(usize, Result<CompiledFunction, CompileError>),
    /// Not compiled, because the module is refused.
    Skipped,
}

/// Returns the functions in order, or the first error in a body.
fn in_order(done: Vec<Done>) -> Result<Vec<CompiledFunction>, CompileError> {
    let (mut refusals, mut compiled) = (Vec::new(), Vec::with_capacity(done.len()));
    for done in done {
        match done {
            Done::Validated(index, result) => refusals.extend(result.err().map(|error| (index, error))),
            Done::Compiled(index, result) => compiled.push((index, result)),
            Done::Skipped => {}
        }
    }
    // Each is the first of its group, and all groups have been validated.
    if let Some((_, first)) = refusals.into_iter().min_by_key(|(index, _)| *index) {
        return Err(first);
    }
    compiled.sort_by_key(|(index, _)| *index);
    compiled.into_iter().map(|(_, result)| result).collect()
}

/// Returns the bodies in groups that are worth a job.
fn together(bodies: Vec<Body<'_>>) -> Vec<Vec<Body<'_>>> {
    let mut groups: Vec<Vec<Body<'_>>> = Vec::new();
    let mut room = 0;
    for body in bodies {
        let size = size(&body.body);
        match groups.last_mut() {
            Some(group) if size <= room => {
                room -= size;
                group.push(body);
            }
            _ => {
                room = VALIDATED_TOGETHER.saturating_sub(size);
                groups.push(vec![body]);
            }
        }
    }
    groups
}

fn size(body: &FunctionBody<'_>) -> usize {
    let range = body.range();
    (range.end - range.start) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::error::CompileErrorKind;
    use crate::codegen::piece::pieces;
    use crate::instance::layout::{Layout, PAGE_MIN};
    use crate::module::parse::parse;
    use crate::{Compiler, Feature, Features, Settings};

    /// Returns the error of compiling a module together with a body that it does not have.
    fn refused(wat: &str) -> CompileErrorKind {
        let compiler = Compiler::new(&Settings::default()).unwrap();
        let bytes = wat::parse_str(wat).unwrap();
        let mut features = Features::default();
        features.set(Feature::Gc, false);
        let parsed = parse(&bytes, features).unwrap();
        let (info, layout) = (&parsed.info, &Layout::new(&parsed.info, PAGE_MIN).unwrap());
        let module = compiler.context(info, layout);
        let mut pieces = pieces(info, compiler.settings.metering);
        pieces.insert(0, Piece::Body(u32::MAX));
        let limits = Limits { features, ..Limits::none(info) };
        let Err(error) = compile(&module, &pieces, parsed.bodies, limits, false) else { panic!("a body is missing") };
        error.kind()
    }

    #[test]
    fn nothing_is_compiled_of_a_module_with_a_body_that_is_refused() {
        // The missing body is compiled first, which is an internal error.
        assert_eq!(refused("(module (func))"), CompileErrorKind::Internal);
        let malformed = CompileErrorKind::Malformed { cut_off: false };
        assert_eq!(refused("(module (func) (func (i32.const 0)))"), malformed);
        let unsupported = CompileErrorKind::Unsupported(Feature::Gc);
        assert_eq!(refused("(module (func) (func (drop (ref.i31 (i32.const 0)))))"), unsupported);
    }

    #[test]
    fn groups_have_every_body_once_and_in_order() {
        let func = |i: usize| format!("(func {})", "(nop)".repeat(i * 700 % 40_000));
        let bytes = wat::parse_str(format!("(module {})", (0..60).map(func).collect::<String>())).unwrap();
        let bodies = || parse(&bytes, Features::default()).unwrap().bodies;
        let starts = |bodies: &[Body<'_>]| bodies.iter().map(|it| it.body.range().start).collect::<Vec<_>>();
        let groups = together(bodies());
        assert_eq!(groups.iter().flat_map(|group| starts(group)).collect::<Vec<_>>(), starts(&bodies()));
        let len = |group: &Vec<Body<'_>>| group.iter().map(|it| size(&it.body)).sum::<usize>();
        assert!(groups.len() > 10 && groups.iter().all(|group| group.len() == 1 || len(group) <= VALIDATED_TOGETHER));
    }
}
