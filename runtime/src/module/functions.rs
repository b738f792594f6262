//! Shows the machine code of a module: where each function is, and which instruction of WebAssembly
//! each part of it is for.

use super::module::Module;
use minirt_compiler::module::{Entity, ModuleInfo};
use rustc_hash::FxHashMap;

/// Where the machine code of a function is ([`Module::functions`]).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ModuleFunction {
    /// The function's index in the module's index space, in which imported functions come first.
    pub index: u32,
    /// The function's name in the module's name section, or else the first name under which it is
    /// exported. It is a guest's choice: [`Printable`](crate::Printable) shows it to people.
    pub name: Option<String>,
    /// Where it starts in [`Module::text`], in bytes.
    pub offset: usize,
    /// How many bytes of code it has.
    pub len: usize,
}

impl Module {
    /// Returns the module's machine code: its functions, then the trampolines between them and the
    /// host.
    pub fn text(&self) -> &[u8] {
        self.prototype().code().as_ref()
    }

    /// Returns where the code of each function is that the module defines, in the order of their
    /// indices.
    ///
    /// # Examples
    /// ```
    /// # use minirt::{Engine, Module};
    /// let module = Module::new(&Engine::default(), r#"(module (func $first) (func (export "second")))"#)?;
    /// let names: Vec<_> = module.functions().map(|function| function.name.unwrap_or_default()).collect();
    /// assert_eq!(names, ["first", "second"]);
    /// # Ok::<(), minirt::Error>(())
    /// ```
    pub fn functions(&self) -> impl ExactSizeIterator<Item = ModuleFunction> + '_ {
        let info = self.info();
        let names = Names::of(info);
        let ranges = self.prototype().code().tables().funcs.iter();
        ranges.enumerate().map(move |(defined, range)| {
            let index = info.num_imported_funcs + defined as u32;
            let name = names.get(index).map(str::to_owned);
            ModuleFunction { index, name, offset: range.start as usize, len: (range.end - range.start) as usize }
        })
    }

    /// Returns where the code of each instruction starts: an offset into [`Module::text`], and the
    /// byte of the module at which the instruction is. Code up to the next entry belongs to it. The
    /// entries are sorted by the offset into the text.
    ///
    /// Code that belongs to no instruction, such as a function's prologue, counts as belonging to
    /// the start of the function's body.
    ///
    /// `None` if the module was compiled without this table, which minirt never does.
    pub fn address_map(&self) -> Option<impl Iterator<Item = (usize, Option<u32>)> + '_> {
        let map = &self.prototype().code().tables().address_map;
        Some(map.iter().map(|entry| (entry.offset as usize, Some(entry.wasm))))
    }
}

/// The names of a module's functions, as people know them.
pub(crate) struct Names<'a> {
    info: &'a ModuleInfo,
    exported: FxHashMap<u32, &'a str>,
}

impl<'a> Names<'a> {
    pub(crate) fn of(info: &'a ModuleInfo) -> Self {
        let mut exported = FxHashMap::default();
        for export in &info.exports {
            if let Entity::Func(index) = export.entity {
                exported.entry(index).or_insert(&*export.name);
            }
        }
        Self { info, exported }
    }

    /// Returns the name of a function in the name section, or else its first export.
    pub(crate) fn get(&self, func: u32) -> Option<&'a str> {
        self.info.func_name(func).or_else(|| self.exported.get(&func).copied())
    }
}
