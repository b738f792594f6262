//! The machine code of a module, as embedders and profilers see it.

use minirt::{Config, Engine, Module, ModuleFunction, ProfilingStrategy};

const FUNCTIONS: &str = r#"(module $named
    (import "" "" (func $imported))
    (func $first (param i32) (result i32) (i32.div_u (i32.const 7) (local.get 0)))
    (func (export "second"))
    (func $third (export "other\nname") (call $imported))
    (func))"#;

fn end(function: &ModuleFunction) -> usize {
    function.offset + function.len
}

#[test]
fn functions_have_their_names_and_their_own_part_of_the_text() {
    let module = Module::new(&Engine::default(), FUNCTIONS).unwrap();
    let functions: Vec<_> = module.functions().collect();
    let names: Vec<_> = functions.iter().map(|function| (function.index, function.name.as_deref())).collect();
    assert_eq!(names, [(1, Some("first")), (2, Some("second")), (3, Some("third")), (4, None)]);
    assert!(functions.windows(2).all(|pair| end(&pair[0]) <= pair[1].offset));
    assert!(functions.iter().all(|function| function.len > 0 && end(function) <= module.text().len()));
}

#[test]
fn the_address_map_leads_from_code_to_instructions() {
    let engine = Engine::default();
    let binary = wat::parse_str(FUNCTIONS).unwrap();
    let module = Module::from_binary(&engine, &binary).unwrap();
    let map: Vec<_> = module.address_map().unwrap().collect();
    assert!(map.is_sorted_by_key(|(offset, _)| *offset));
    let first = module.functions().next().unwrap();
    let opcodes = map.iter().filter(|(offset, _)| (first.offset..end(&first)).contains(offset));
    let opcodes: Vec<u8> = opcodes.filter_map(|(_, wasm)| Some(binary[(*wasm)? as usize])).collect();
    assert!(opcodes.contains(&0x6e), "i32.div_u has code: {opcodes:x?}");
}

/// Returns the lines of the file for `perf` whose functions are in the text of a module: offset,
/// size and name.
fn perf_map(module: &Module) -> Vec<(usize, usize, String)> {
    let text = module.text();
    let map = std::fs::read_to_string(format!("/tmp/perf-{}.map", std::process::id())).unwrap();
    let entry = |line: &str| {
        let [address, size, name] = line.splitn(3, ' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let number = |text| usize::from_str_radix(text, 16).unwrap();
        let offset = number(address).checked_sub(text.as_ptr() as usize)?;
        (offset < text.len()).then(|| (offset, number(size), name.to_owned()))
    };
    map.lines().filter_map(entry).collect()
}

#[test]
fn perf_finds_the_names_of_functions_in_its_file() {
    let engine = Engine::new(Config::new().profiler(ProfilingStrategy::PerfMap)).unwrap();
    let module = Module::new(&engine, FUNCTIONS).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), module.serialize().unwrap()).unwrap();
    // SAFETY: the file was made above, and nobody changes it.
    let loaded = unsafe { Module::deserialize_file(&engine, file.path()) }.unwrap();
    for module in [&module, &loaded] {
        let map = perf_map(module);
        let names: Vec<&str> = map.iter().map(|(.., name)| &**name).collect();
        let expected = ["named!first", "named!second", "named!third", "named!<wasm function 4>", "named!<trampolines>"];
        assert_eq!(names, expected);
        for (function, (offset, size, _)) in module.functions().zip(&map) {
            assert_eq!((function.offset, function.len), (*offset, *size));
        }
    }
    // Only what is not part of a file has names for perf.
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let text = loaded.text().as_ptr() as usize;
    let holds = |line: &&str| {
        let (range, _) = line.split_once(' ').unwrap();
        let (start, end) = range.split_once('-').unwrap();
        let number = |text| usize::from_str_radix(text, 16).unwrap();
        (number(start)..number(end)).contains(&text)
    };
    let mapping = maps.lines().find(holds).unwrap();
    assert!(!mapping.contains(&*file.path().to_string_lossy()), "{mapping}");
    let _ = std::fs::remove_file(format!("/tmp/perf-{}.map", std::process::id()));
}
