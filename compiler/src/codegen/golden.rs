//! The machine code of a handful of functions, so that a lost optimisation shows in a diff.
//!
//! Each file in `tests/golden` is a module, and behind it, as comments, the code of its functions
//! as Cranelift prints it. `MINIRT_BLESS=1` writes down what it is now.

use super::inline::Inlinees;
use super::piece::{Piece, Worker};
use super::translate::ModuleContext;
use crate::instance::layout::{Layout, PAGE_MIN};
use crate::module::parse::{Parsed, parse};
use crate::{Features, Inlining, Metering, Settings, flags};
use cranelift_codegen::isa::{OwnedTargetIsa, lookup_by_name};
use cranelift_codegen::settings::Configurable;
use std::fmt::Write;
use std::path::Path;

/// Where the code begins in a file.
const BEGIN: &str = "\n;; --------\n";

/// Returns the same processor wherever the test runs.
fn isa() -> OwnedTargetIsa {
    let mut builder = lookup_by_name("x86_64-unknown-linux-gnu").unwrap();
    builder.enable("x86-64-v3").unwrap();
    builder.finish(flags(&Settings::default())).unwrap()
}

fn code_of(wat: &str) -> String {
    let bytes = wat::parse_str(wat).unwrap();
    let Parsed { info, bodies } = parse(&bytes, Features::default()).unwrap();
    let (layout, isa) = (Layout::new(&info, PAGE_MIN).unwrap(), isa());
    let module = ModuleContext {
        info: &info,
        layout: &layout,
        isa: &*isa,
        inlining: Inlining::default(),
        features: Features::default(),
        metering: Metering::default(),
    };
    let bodies: Vec<_> = bodies.into_iter().map(|body| body.body).collect();
    let inlinees = Inlinees::new(&module, &bodies);
    let mut worker = Worker::default();
    let mut code = String::new();
    for index in 0..bodies.len() {
        let func = info.num_imported_funcs + index as u32;
        let name = info.func_name(func).unwrap_or_default();
        let disassembly = worker.disassembly(&module, &inlinees, index, Piece::Body(index as u32)).unwrap();
        writeln!(code, ";; ${name}").unwrap();
        for line in disassembly.lines() {
            writeln!(code, ";; {line}").unwrap();
        }
        writeln!(code, ";;").unwrap();
    }
    code
}

#[test]
fn the_code_of_these_functions_is_as_it_was() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "there are no files");
    let bless = std::env::var_os("MINIRT_BLESS").is_some();
    let mut complaints = String::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let wat = text.split_once(BEGIN).map_or(text.trim_end(), |(wat, _)| wat);
        let actual = format!("{wat}{BEGIN}{}", code_of(wat));
        if bless {
            std::fs::write(&file, actual).unwrap();
        } else if actual != text {
            let different = actual.lines().zip(text.lines()).find(|(actual, expected)| actual != expected);
            let (actual, expected) = different.unwrap_or(("(more or fewer lines)", "(the end)"));
            writeln!(complaints, "{}\nexpected: {expected}\n     got: {actual}", file.display()).unwrap();
        }
    }
    assert!(complaints.is_empty(), "{complaints}MINIRT_BLESS=1 accepts it");
}
