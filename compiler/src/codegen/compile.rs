//! Validates and compiles all functions of a module, in parallel where there is enough to do.

use super::parallel::run_all;
use super::piece::{CompiledFunction, Piece, Worker};
use super::translate::ModuleContext;
use crate::base::error::CompileError;
use crate::module::parse::Body;
use crate::module::validate::{self, Limits};
use wasmparser::FunctionBody;

/// Below this many bytes of bodies, one thread compiles them faster than it starts others.
const COMPILE_PARALLEL_FROM: usize = 16 * 1024;

/// The same for validation, which takes a fiftieth of the time.
const VALIDATE_PARALLEL_FROM: usize = 256 * 1024;

/// Bytes of bodies that are validated as one job.
const VALIDATED_TOGETHER: usize = 64 * 1024;

/// Validates all bodies, and then compiles all pieces, in their order.
///
/// # Errors
/// The first error in a body, or the limit that one exceeds, before anything was compiled; or Cranelift's, which is a bug here.
pub(crate) fn compile(
    module: &ModuleContext<'_>,
    pieces: &[Piece],
    bodies: Vec<Body<'_>>,
    limits: Limits<'_>,
    parallel: bool,
) -> Result<Vec<CompiledFunction>, CompileError> {
    let code: Vec<FunctionBody<'_>> = bodies.iter().map(|body| body.body.clone()).collect();
    let total: usize = code.iter().map(size).sum();
    validate_all(bodies, limits, parallel && total >= VALIDATE_PARALLEL_FROM)?;
    let body_of = |piece: Piece| match piece {
        Piece::Body(defined) => code.get(defined as usize),
        Piece::NewEpoch | Piece::Entry(_) | Piece::Exit(_) => None,
    };
    let mut jobs: Vec<(usize, Piece)> = pieces.iter().copied().enumerate().collect();
    if !parallel || total < COMPILE_PARALLEL_FROM {
        let mut worker = Worker::default();
        return jobs.into_iter().map(|(index, piece)| worker.run(module, index, piece, body_of(piece))).collect();
    }
    // The largest first, so that none of them is what everybody waits for at the end.
    jobs.sort_by_key(|(_, piece)| std::cmp::Reverse(body_of(*piece).map_or(0, size)));
    let run = |worker: &mut Worker, (index, piece)| (index, worker.run(module, index, piece, body_of(piece)));
    let mut done = run_all(jobs, Worker::default, run);
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

fn validate_all(bodies: Vec<Body<'_>>, limits: Limits<'_>, parallel: bool) -> Result<(), CompileError> {
    if !parallel {
        return validate::bodies(bodies, limits);
    }
    let results = run_all(together(bodies), || (), |(), bodies| validate::bodies(bodies, limits));
    // Each group's error is its first, so the first of these is the module's.
    let first = results.into_iter().filter_map(Result::err).min_by_key(CompileError::offset);
    first.map_or(Ok(()), Err)
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
    use crate::instance::layout::Layout;
    use crate::module::parse::parse;
    use crate::{Compiler, Feature, Features, Settings};

    /// The error of a module that is compiled together with a body that it does not have.
    fn refused(wat: &str, parallel: bool) -> CompileErrorKind {
        let compiler = Compiler::new(&Settings::default()).unwrap();
        let bytes = wat::parse_str(wat).unwrap();
        let parsed = parse(&bytes, Features::default()).unwrap();
        let (info, layout) = (&parsed.info, &Layout::new(&parsed.info).unwrap());
        let module = ModuleContext { info, layout, isa: &*compiler.isa, metering: compiler.metering };
        let mut pieces = pieces(info, compiler.metering);
        pieces.insert(0, Piece::Body(u32::MAX));
        let Err(error) = compile(&module, &pieces, parsed.bodies, Limits::none(&parsed.info), parallel) else {
            panic!("a body is missing")
        };
        error.kind()
    }

    #[test]
    fn nothing_is_compiled_of_a_module_with_a_body_that_is_refused() {
        // What is compiled first is the body that is missing, which is an internal error.
        assert_eq!(refused("(module (func))", false), CompileErrorKind::Internal);
        let large = "(drop (i32.add (i32.const 1) (i32.const 2)))".repeat(60_000);
        for (last, expected) in [
            ("(func (i32.const 0))", CompileErrorKind::Malformed { cut_off: false }),
            ("(func (drop (ref.i31 (i32.const 0))))", CompileErrorKind::Unsupported(Feature::Gc)),
        ] {
            assert_eq!(refused(&format!("(module (func) {last})"), false), expected);
            assert_eq!(refused(&format!("(module (func {large}) {last})"), true), expected);
        }
    }
}
