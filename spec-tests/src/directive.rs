//! Checks what each directive of a script demands.
//!
//! A directive that is not understood is a mismatch, never a pass.

use crate::session::Session;
use crate::value;
use anyhow::Error;
use minirt::{CompileError, CompileErrorKind, ThrownException, Trap, Val};
use wast::lexer::Lexer;
use wast::parser::{ParseBuffer, parse};
use wast::{QuoteWat, QuoteWatTest, WastDirective, WastExecute, WastRet, Wat};

/// The demand of a directive, and the outcome that differs.
#[derive(Debug)]
pub(crate) struct Mismatch {
    pub(crate) expected: String,
    pub(crate) got: String,
}

type Verdict = Result<(), Mismatch>;

fn mismatch<R>(expected: impl Into<String>, got: impl Into<String>) -> Result<R, Mismatch> {
    Err(Mismatch { expected: expected.into(), got: got.into() })
}

/// Returns whether a directive is an assertion, and so is counted.
pub(crate) fn is_assertion(directive: &WastDirective<'_>) -> bool {
    use WastDirective as D;
    match directive {
        D::Module(_) | D::ModuleDefinition(_) | D::ModuleInstance { .. } => false,
        D::Register { .. } | D::Invoke(_) | D::Thread(_) | D::Wait { .. } => false,
        D::AssertMalformed { .. } | D::AssertInvalid { .. } | D::AssertInvalidCustom { .. } => true,
        D::AssertTrap { .. } | D::AssertReturn { .. } | D::AssertExhaustion { .. } => true,
        D::AssertUnlinkable { .. } | D::AssertException { .. } | D::AssertSuspension { .. } => true,
        D::AssertMalformedCustom { .. } => true,
    }
}

/// Runs a directive and compares the outcome with its expectation.
pub(crate) fn check(session: &mut Session, directive: &mut WastDirective<'_>) -> Verdict {
    use WastDirective as D;
    match directive {
        D::Module(wat) => module(session, wat),
        D::ModuleDefinition(wat) => definition(session, wat),
        D::ModuleInstance { instance, module, .. } => succeeds(session.instance_of(*instance, *module), "an instance"),
        D::Register { name, module, .. } => succeeds(session.register(name, *module), "a registered instance"),
        D::Invoke(call) => succeeds(session.invoke(call).map(drop), "a call that returns"),
        D::AssertReturn { exec, results, .. } => returns(session, exec, results),
        D::AssertTrap { exec, message, .. } => traps(session.execute(exec), message),
        D::AssertExhaustion { call, message, .. } => traps(session.invoke(call), message),
        D::AssertInvalid { module, message, .. } => invalid(session, module, message),
        D::AssertMalformed { module, message, .. } => malformed(session, module, message),
        D::AssertUnlinkable { module, message, .. } => unlinkable(session, module, message),
        D::AssertInvalidCustom { .. } | D::AssertMalformedCustom { .. } => unknown("custom sections are not checked"),
        D::AssertException { exec, .. } => throws(session.execute(exec)),
        D::AssertSuspension { .. } => unknown("there are no suspensions"),
        D::Thread(_) | D::Wait { .. } => unknown("there are no threads"),
    }
}

fn unknown(why: &str) -> Verdict {
    mismatch("a directive that the runner understands", why)
}

fn succeeds(result: anyhow::Result<()>, expected: &str) -> Verdict {
    result.or_else(|error| mismatch(expected, describe(&error)))
}

fn module(session: &mut Session, wat: &mut QuoteWat<'_>) -> Verdict {
    let name = wat.name();
    let wasm = encoded(wat).map_err(|got| Mismatch { expected: "a module that can be parsed".into(), got })?;
    succeeds(session.module(name, &wasm), "a module that can be instantiated")
}

fn definition(session: &mut Session, wat: &mut QuoteWat<'_>) -> Verdict {
    let name = wat.name();
    let wasm = encoded(wat).map_err(|got| Mismatch { expected: "a module that can be parsed".into(), got })?;
    match session.compile(&wasm) {
        Ok(module) => session.define(name, module),
        // It only has to be valid: exceeding a limit of minirt matters only if it is instantiated.
        Err(_) if session.is_valid(&wasm) => {}
        Err(error) => return mismatch("a valid module", describe(&error)),
    }
    Ok(())
}

fn returns(session: &mut Session, exec: &mut WastExecute<'_>, expected: &[WastRet<'_>]) -> Verdict {
    let wanted = || value::describe_expected(expected);
    let values = match session.execute(exec) {
        Ok(values) => values,
        Err(error) => return mismatch(wanted(), describe(&error)),
    };
    match value::all_match(&session.store, &values, expected) {
        Ok(true) => Ok(()),
        Ok(false) => mismatch(wanted(), value::describe_all(&session.store, &values)),
        Err(not_understood) => mismatch(wanted(), format!("{not_understood:#}")),
    }
}

fn traps(result: anyhow::Result<Vec<Val>>, message: &str) -> Verdict {
    let expected = format!("trap: {message}");
    match result {
        Ok(values) => mismatch(expected, format!("{} values, no trap", values.len())),
        Err(error) => match error.downcast_ref::<Trap>() {
            Some(trap) if same_trap(&trap.to_string(), message) => Ok(()),
            _ => mismatch(expected, describe(&error)),
        },
    }
}

fn throws(result: anyhow::Result<Vec<Val>>) -> Verdict {
    match result {
        Err(error) if error.is::<ThrownException>() => Ok(()),
        Ok(values) => mismatch("an exception", format!("{} values, no exception", values.len())),
        Err(error) => mismatch("an exception", describe(&error)),
    }
}

/// Returns whether minirt's text for a trap is what a script expects. Scripts say less
/// (`uninitialized`) or more (`uninitialized element 7`) than the reason alone, so one of the two
/// must begin with the other.
fn same_trap(text: &str, expected: &str) -> bool {
    // minirt does not tell null references to structures and arrays apart.
    let expected = match expected {
        "null structure reference" | "null array reference" => "null reference",
        other => other,
    };
    !expected.is_empty() && (text.starts_with(expected) || expected.starts_with(text))
}

/// Checks that a module is refused. `wast` parses the script's text, so what it refuses counts,
/// too.
fn invalid(session: &Session, wat: &mut QuoteWat<'_>, message: &str) -> Verdict {
    let expected = format!("an invalid module: {message}");
    match encoded(wat) {
        Ok(wasm) => refused(session, &wasm, &expected),
        Err(_) => Ok(()),
    }
}

fn malformed(session: &Session, wat: &mut QuoteWat<'_>, message: &str) -> Verdict {
    let expected = format!("a malformed module: {message}");
    match encoded(wat) {
        Ok(wasm) => refused(session, &wasm, &expected),
        Err(_) => Ok(()),
    }
}

/// Checks that a module is refused for breaking a rule, not for a limit or a fault of the compiler.
fn refused(session: &Session, wasm: &[u8], expected: &str) -> Verdict {
    match session.refusal(wasm) {
        None => mismatch(expected, "a module that compiles"),
        Some(error) => match error.downcast_ref::<CompileError>() {
            Some(reason) if breaks_a_rule(reason.kind()) => Ok(()),
            _ => mismatch(expected, describe(&error)),
        },
    }
}

/// Returns whether the fault is the module's. Features that the version of the specification does
/// not have are switched off.
fn breaks_a_rule(kind: CompileErrorKind) -> bool {
    use CompileErrorKind::{Disabled, Malformed, Unsupported};
    matches!(kind, Malformed { .. } | Unsupported(_) | Disabled(_))
}

fn unlinkable(session: &mut Session, wat: &mut Wat<'_>, message: &str) -> Verdict {
    let expected = format!("a valid module that cannot be linked: {message}");
    let compiled = wat.encode().map_err(Error::from).and_then(|wasm| session.compile(&wasm));
    let module = match compiled {
        Ok(module) => module,
        Err(error) => return mismatch(expected, describe(&error)),
    };
    match session.instantiate(&module) {
        Ok(_) => mismatch(expected, "an instance"),
        Err(error) if error.is::<Trap>() || !format!("{error:#}").contains(message) => {
            mismatch(expected, describe(&error))
        }
        Err(_) => Ok(()),
    }
}

/// Returns the bytes of a module in any of the forms that scripts have, or why its text is refused.
fn encoded(wat: &mut QuoteWat<'_>) -> Result<Vec<u8>, String> {
    match wat.to_test().map_err(|error| error.message())? {
        QuoteWatTest::Binary(bytes) => Ok(bytes),
        QuoteWatTest::Text(text) => {
            let text = String::from_utf8(text).map_err(|_| "malformed UTF-8 encoding")?;
            from_text(&text).map_err(|error| error.message())
        }
    }
}

fn from_text(text: &str) -> Result<Vec<u8>, wast::Error> {
    let mut lexer = Lexer::new(text);
    lexer.allow_confusing_unicode(true);
    let buffer = ParseBuffer::new_with_lexer(lexer)?;
    parse::<Wat<'_>>(&buffer)?.encode()
}

fn describe(error: &Error) -> String {
    match error.downcast_ref::<Trap>() {
        Some(trap) => format!("trap: {trap}"),
        None => format!("{error:#}"),
    }
}

#[cfg(test)]
mod tests {
    use super::same_trap;

    #[test]
    fn a_trap_is_recognised_by_more_or_less_than_its_text() {
        assert!(same_trap("uninitialized element", "uninitialized"));
        assert!(same_trap("uninitialized element", "uninitialized element 7"));
        assert!(same_trap("unreachable", "unreachable"));
    }

    #[test]
    fn another_trap_is_not_recognised() {
        assert!(!same_trap("unreachable", "integer overflow"));
        assert!(!same_trap("integer overflow", "integer divide by zero"));
        assert!(!same_trap("unreachable", ""));
    }
}
