//! Validates function bodies, and checks that minirt has what they use and that they keep to its
//! limits.
//!
//! All bodies of a module are validated before any is compiled, so a module that will be refused
//! costs no more than that.

use super::convert::Known;
use super::info::ModuleInfo;
use super::parse::Body;
use super::visitor::{Check, Found, Visitor};
use crate::base::error::CompileError;
use crate::base::printable::Printable;
use crate::settings::Features;
use wasmparser::FuncValidatorAllocations;

/// The limits that bodies must keep to, besides the rules of the specification.
#[derive(Clone, Copy)]
pub(crate) struct Limits<'m> {
    pub(crate) info: &'m ModuleInfo,
    pub(crate) features: Features,
    /// The most instructions of a function. One counts as one more for each value that it passes on
    /// ([`Found::values`]), and what is inside many loops as [`weight`] says.
    pub(crate) instructions: u64,
}

/// Returns how many instructions one counts as that is inside `loops` loops. Cranelift asks for
/// each of them how far out an instruction may move, in time that their number squared limits: with
/// 1,000 loops, 10,000 instructions took 26 s. What people write has some ten.
fn weight(loops: u64) -> u64 {
    1 + loops * loops / 1024
}

impl<'m> Limits<'m> {
    /// Returns no limits beyond wasmparser's own.
    #[cfg(test)]
    pub(crate) fn none(info: &'m ModuleInfo) -> Self {
        Self { info, features: Features::default(), instructions: u64::MAX }
    }

    /// Checks how many instructions a function counts as because of values that flow into each
    /// other.
    pub(crate) fn check_flow(&self, func: u32, instructions: u64) -> Result<(), CompileError> {
        if instructions <= self.instructions {
            return Ok(());
        }
        Err(CompileError::limit(format!(
            "{} has a variable that changes in so many places that it counts as {instructions} instructions, where \
             {} are allowed; its compilation would take long",
            self.named(func),
            self.instructions
        )))
    }

    #[cold]
    fn exceeded(&self, func: u32) -> CompileError {
        CompileError::limit(format!(
            "{} has more than {} instructions, where calls, constructs and branches count one more \
             for each value that they pass on, and those inside more than 31 loops count more than once; its \
             compilation would take long",
            self.named(func),
            self.instructions
        ))
    }

    fn named(&self, func: u32) -> String {
        let name = self.info.func_name(func).filter(|name| !name.is_empty());
        let name = name.map_or_else(String::new, |name| format!(" `{}`", Printable::new(name)));
        format!("function {func}{name}")
    }
}

/// Validates bodies, given in order.
///
/// # Errors
/// Returns the error of the first body that breaks a rule of the specification or uses what minirt
/// does not have, with the offset of the instruction in the module, or that exceeds a limit.
pub(crate) fn bodies<'a>(bodies: impl IntoIterator<Item = Body<'a>>, limits: Limits<'_>) -> Result<(), CompileError> {
    let mut allocations = FuncValidatorAllocations::default();
    bodies.into_iter().try_for_each(|it| body(it, limits, &mut allocations))
}

fn body(it: Body<'_>, limits: Limits<'_>, allocations: &mut FuncValidatorAllocations) -> Result<(), CompileError> {
    let Body { validator, body } = it;
    let func = validator.index;
    let known = Known { types: &limits.info.types, features: limits.features };
    let mut validator = validator.into_validator(std::mem::take(allocations));
    let mut locals = body.get_locals_reader()?;
    for _ in 0..locals.get_count() {
        let offset = locals.original_position();
        let (count, ty) = locals.read()?;
        validator.define_locals(offset, count, ty)?;
        ty.check(known).map_err(|missing| missing.at(offset as usize))?;
    }
    let mut reader = body.get_binary_reader_for_operators()?;
    let (mut found, mut instructions) = (Found::default(), 0);
    while !reader.eof() {
        let offset = reader.original_position();
        let valid = validator.visitor(offset);
        reader.visit_operator(&mut Visitor { valid, info: limits.info, known, found: &mut found })??;
        if let Some(missing) = found.missing {
            return Err(missing.at(offset as usize));
        }
        instructions += weight(found.loops);
    }
    reader.finish_expression(&validator.visitor(reader.original_position()))?;
    if instructions + found.values > limits.instructions {
        return Err(limits.exceeded(func));
    }
    *allocations = validator.into_allocations();
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::base::error::CompileErrorKind;
    use crate::{Compiler, Settings};

    /// Returns a function that calls another of `values` parameters and results, `calls` times.
    fn calls(values: usize, calls: usize) -> Vec<u8> {
        let types = " i32".repeat(values);
        let arguments = "(i32.const 0)".repeat(values);
        let call = format!("(call $f {arguments}) {}", "drop ".repeat(values));
        let text = format!(
            "(module (func $f (param{types}) (result{types}) unreachable) (func $\"caller\\1b\" {}))",
            call.repeat(calls)
        );
        wat::parse_str(text).unwrap()
    }

    /// Returns a function with so many loops after each other that change one variable.
    fn loops(count: usize) -> Vec<u8> {
        let all = "(loop (br_if 0 (local.tee 0 (i32.eqz (local.get 0)))))".repeat(count);
        wat::parse_str(format!("(module (func $f (param i32) (result i32) {all} (local.get 0)))")).unwrap()
    }

    #[test]
    fn a_variable_that_changes_in_many_places_counts_as_many_instructions() {
        let compiler = Compiler::new(&Settings { max_function_instructions: 28_000, ..Settings::default() }).unwrap();
        compiler.compile(&loops(2_000)).unwrap();
        // 24,000 instructions, and 8,000 values of one variable.
        let error = compiler.compile(&loops(4_000)).unwrap_err();
        assert_eq!(error.kind(), CompileErrorKind::Limit);
        assert!(error.to_string().contains("function 0 `f` has a variable that changes in so many places"), "{error}");
    }

    #[test]
    fn a_function_that_would_take_long_to_compile_is_refused_by_name_and_the_limit_can_be_set() {
        let compiler =
            |most| Compiler::new(&Settings { max_function_instructions: most, ..Settings::default() }).unwrap();
        // Each call: ten constants, ten drops, and 21; at the end of a body, `end`.
        let module = calls(10, 5);
        assert!(compiler(5 * 41 + 1).compile(&module).is_ok());
        for refused in [compiler(5 * 41).compile(&module).map(drop), compiler(5 * 41).validate(&module)] {
            let error = refused.unwrap_err();
            assert_eq!(error.kind(), CompileErrorKind::Limit);
            assert!(error.to_string().contains("function 1 `caller\\u{1b}` has more than 205 instructions"), "{error}");
        }
    }

    /// Returns a function with `depth` loops in each other, after another that is not in them, and
    /// `instructions` in the innermost.
    fn nested(depth: usize, instructions: usize) -> Vec<u8> {
        let (begin, end) = ("(loop ".repeat(depth), ")".repeat(depth));
        let inner = "nop ".repeat(instructions);
        wat::parse_str(format!("(module (func (block (loop) (if (i32.const 0) (then (loop)))) {begin}{inner}{end}))"))
            .unwrap()
    }

    #[test]
    fn instructions_inside_many_loops_count_more_than_once() {
        let fits = |module: &[u8], most| {
            let settings = Settings { max_function_instructions: most, ..Settings::default() };
            Compiler::new(&settings).unwrap().validate(module).is_ok()
        };
        // Nine in front of the loops, the end of the body, and `loop` and `end` of each.
        assert!(fits(&nested(31, 100), 10 + 62 + 100) && !fits(&nested(31, 100), 10 + 62 + 99));
        // In the innermost of 32 are the 100, and its `loop`. Its `end` is outside.
        assert!(fits(&nested(32, 100), 10 + 64 + 201) && !fits(&nested(32, 100), 10 + 64 + 200));
    }

    /// Returns a function in which an instruction passes on 1,000 values that stay where they are.
    fn passes(instruction: &str, times: usize) -> Vec<u8> {
        let (types, values) = (" i32".repeat(1000), "(i32.const 0)".repeat(1000));
        wat::parse_str(format!(
            "(module (type $all (func (param{types}) (result{types}))) (tag $t (param{types}))
                (func (type $all) {values} (block (type $all) {})))",
            instruction.repeat(times)
        ))
        .unwrap()
    }

    #[test]
    fn constructs_and_branches_count_the_values_that_they_pass_on() {
        let fits = |module: &[u8], most| {
            let settings = Settings { max_function_instructions: most, ..Settings::default() };
            let valid = Compiler::new(&settings).unwrap().validate(module);
            valid.map_err(|error| assert_eq!(error.kind(), CompileErrorKind::Limit, "{error}")).is_ok()
        };
        let twice = [
            // With how many instructions and values each counts as.
            ("(block (type $all))", 2 + 2000),
            ("(loop (type $all))", 2 + 2000),
            ("(if (type $all) (i32.const 0) (then))", 3 + 2000),
            ("(try_table (type $all))", 2 + 2000),
            ("(br_if 0 (i32.const 0))", 2 + 1000),
            ("(br 0)", 1 + 1000),
            ("(br_table 0 0 1 (i32.const 0))", 2 + 3000),
            ("(block (br_table 0 0 (i32.const 0)))", 4),
            ("(loop (unreachable) (br_on_null 1 (ref.null func)) (unreachable))", 6 + 1000),
            ("(block (try_table (catch $t 2) (catch_all 0)))", 4 + 1000),
        ];
        for (instruction, each) in twice {
            // Besides, there are 1,000 constants, the block around them, and two ends.
            let least = 1000 + 1 + 2000 + 2 + 2 * each;
            let module = passes(instruction, 2);
            assert!(fits(&module, least) && !fits(&module, least - 1), "{instruction}");
        }
    }

    #[test]
    fn a_small_module_cannot_keep_the_compiler_busy_for_a_minute() {
        for module in [calls(1000, 1000), nested(1000, 10_000), passes("(br_if 0 (i32.const 0))", 2_000)] {
            let error = Compiler::new(&Settings::default()).unwrap().compile(&module).unwrap_err();
            assert_eq!(error.kind(), CompileErrorKind::Limit);
        }
    }
}
