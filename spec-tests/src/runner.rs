//! One script, from its text to a report. Whatever goes wrong on the way is counted.

use crate::directive::{Mismatch, check, is_assertion};
use crate::report::{FileReport, Place};
use crate::session::Session;
use crate::source::Source;
use minirt::Engine;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use wast::lexer::Lexer;
use wast::parser::{ParseBuffer, parse};
use wast::token::Span;
use wast::{Wast, WastDirective};

/// Runs a script in a fresh store of `engine`.
pub fn run(engine: &Engine, source: &Source) -> FileReport {
    match &source.text {
        Ok(text) => match source.skip {
            None => run_without(engine, &source.name, text, source.leave_out),
            Some(why) => skip(&source.name, text, why),
        },
        Err(why) => {
            let mut report = FileReport { name: source.name.clone(), ..FileReport::default() };
            report.fail(None, "a file that can be read", why);
            report
        }
    }
}

/// Runs a script that is given as text in a fresh store of `engine`.
pub fn run_text(engine: &Engine, name: &str, text: &str) -> FileReport {
    run_without(engine, name, text, &[])
}

/// Does the same without the directives in which one of the texts `leave_out` stands.
fn run_without(engine: &Engine, name: &str, text: &str, leave_out: &[&str]) -> FileReport {
    let mut report = FileReport { name: name.to_owned(), ..FileReport::default() };
    let parsed = with_directives(text, |directives| {
        let directives = chosen(text, directives, leave_out, &mut report);
        run_directives(engine, text, directives, &mut report);
    });
    if let Err(error) = parsed {
        report.fail(Some(place(error.span(), text)), "a script that can be parsed", error.message());
    }
    report
}

fn skip(name: &str, text: &str, why: &'static str) -> FileReport {
    let mut report = FileReport { name: name.to_owned(), skipped: Some(why), ..FileReport::default() };
    let count = |directives: Vec<WastDirective<'_>>| assertions(&directives);
    // A file that does not even parse has no assertions to miss.
    report.tally.skipped = with_directives(text, count).unwrap_or(0);
    report
}

fn with_directives<R>(text: &str, then: impl FnOnce(Vec<WastDirective<'_>>) -> R) -> Result<R, wast::Error> {
    let mut lexer = Lexer::new(text);
    // The suite's names hold every sort of character, on purpose.
    lexer.allow_confusing_unicode(true);
    let buffer = ParseBuffer::new_with_lexer(lexer)?;
    Ok(then(parse::<Wast<'_>>(&buffer)?.directives))
}

fn assertions(directives: &[WastDirective<'_>]) -> usize {
    directives.iter().filter(|directive| is_assertion(directive)).count()
}

/// Returns the directives that are to be run, and counts the assertions among the others as
/// skipped.
fn chosen<'a>(
    text: &str,
    directives: Vec<WastDirective<'a>>,
    leave_out: &[&str],
    report: &mut FileReport,
) -> Vec<WastDirective<'a>> {
    let starts: Vec<usize> = directives.iter().map(|directive| directive.span().offset()).collect();
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    let texts: Vec<&str> = starts.iter().zip(ends).map(|(start, end)| &text[*start..end]).collect();
    let runs = |text: &str| !leave_out.iter().any(|mark| text.contains(mark));
    let (run, left_out): (Vec<_>, Vec<_>) = directives.into_iter().zip(texts).partition(|(_, text)| runs(text));
    report.tally.skipped += left_out.iter().filter(|(directive, _)| is_assertion(directive)).count();
    run.into_iter().map(|(directive, _)| directive).collect()
}

fn run_directives(engine: &Engine, text: &str, directives: Vec<WastDirective<'_>>, report: &mut FileReport) {
    let mut left = assertions(&directives);
    let session = guarded(|| Session::new(engine));
    let mut session = match session.map(|made| made.map_err(|error| format!("{error:#}"))) {
        Ok(Ok(session)) => session,
        Ok(Err(why)) | Err(why) => {
            report.fail(None, "a store with the module `spectest`", format!("{why}\n{}", unreached(left)));
            report.tally.failed += left;
            return;
        }
    };
    for mut directive in directives {
        let at = Some(place(directive.span(), text));
        let counts = is_assertion(&directive);
        left -= usize::from(counts);
        match guarded(|| check(&mut session, &mut directive)) {
            Ok(Ok(())) => report.tally.passed += usize::from(counts),
            Ok(Err(Mismatch { expected, got })) => report.fail(at, expected, got),
            Err(panic) => {
                // The store may be in any state now: the rest of the script says nothing.
                report.fail(at, "no panic", format!("{panic}\n{}", unreached(left)));
                report.tally.failed += left;
                // Dropping the store could panic once more.
                return std::mem::forget(session);
            }
        }
    }
    if let Err(panic) = guarded(|| drop(session)) {
        report.fail(None, "a store that can be dropped", panic);
    }
}

fn unreached(assertions: usize) -> String {
    format!("the {assertions} assertions after it count as failed")
}

fn guarded<R>(action: impl FnOnce() -> R) -> Result<R, String> {
    catch_unwind(AssertUnwindSafe(action)).map_err(|payload| format!("a panic: {}", panic_text(&*payload)))
}

fn panic_text(payload: &(dyn Any + Send)) -> &str {
    let literal = payload.downcast_ref::<&str>().copied();
    literal.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("of unknown reason")
}

fn place(span: Span, text: &str) -> Place {
    let (line, column) = span.linecol_in(text);
    Place { line: line + 1, column: column + 1 }
}
