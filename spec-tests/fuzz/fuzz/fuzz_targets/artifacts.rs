//! Any bytes as an artifact. The digests are made to fit, so that what reads the description sees
//! them. It may refuse them, or read them, but nothing is run: artifacts are machine code.

#![no_main]

use libfuzzer_sys::fuzz_target;
use minirt_compiler::{Compiler, Settings};
use std::sync::LazyLock;
use xxhash_rust::xxh3::xxh3_128;

static COMPILER: LazyLock<Compiler> = LazyLock::new(|| Compiler::new(&Settings::default()).expect("a compiler"));

/// Where the header has what: `artifact/header` of the compiler draws it.
const DIGEST: std::ops::Range<usize> = 16..32;
const REST_DIGEST: std::ops::Range<usize> = 32..48;
const METADATA: usize = 80;

fuzz_target!(|bytes: &[u8]| {
    let mut file = bytes.to_vec();
    if let Some(length) = file.get(48..56) {
        let metadata = u64::from_le_bytes(length.try_into().expect("eight bytes")) as usize;
        let end = METADATA.saturating_add(metadata).min(file.len());
        if end >= METADATA {
            let rest = xxh3_128(&file[end..]);
            file[REST_DIGEST].copy_from_slice(&rest.to_le_bytes());
            let front = xxh3_128(&file[REST_DIGEST.start..end]);
            file[DIGEST].copy_from_slice(&front.to_le_bytes());
        }
    }
    for check_all in [false, true] {
        if let Ok(artifact) = COMPILER.deserialize(&file.clone().into(), check_all) {
            let code = &artifact.compiled.code;
            for at in [0, 1, code.text.len() as u32 / 2, code.text.len() as u32] {
                let _ = (code.tables.trap_at(at), code.tables.func_at(at), code.tables.wasm_offset(at));
            }
            let _ = artifact.compiled.module.func_name(0);
            let again = COMPILER.serialize(&artifact.compiled);
            assert!(COMPILER.deserialize(&again.into(), true).is_ok(), "what was read cannot be written and read");
        }
    }
});
