//! Adds the workers to a module, with types, globals, tables and tags of their own.

use super::types::{EQ, EXN, Types, field, reference, sub_type};
use super::values::{Code, Data, Surroundings, Table, Tag};
use crate::rng::Rng;
use anyhow::{Result, anyhow};
use std::convert::Infallible;
use wasm_encoder::reencode::{Error, Reencode, RoundtripReencoder, utils};
use wasm_encoder::{
    ArrayType, CodeSection, CompositeInnerType, ConstExpr, ExportKind, ExportSection, Function, FunctionSection,
    GlobalSection, GlobalType, HeapType, Module, RefType, SectionId, StorageType, StructType, SubType, TableSection,
    TableType, TagKind, TagSection, TagType, TypeSection, ValType,
};
use wasmparser::{DataKind, Parser, Payload, TypeRef};

/// What the workers' global is called that every number changes which they read.
const SUM: &str = "worker sum";

/// Returns a module with workers. `fuel` is the global of wasm-smith that counts loops and calls;
/// `calm` says whether its functions rarely trap.
pub(crate) fn with_workers(wasm: &[u8], fuel: u32, calm: bool, rng: Rng) -> Result<Vec<u8>> {
    let mut added = Added::plan(wasm, fuel, calm, rng).map_err(|error| anyhow!("{error}"))?;
    let mut module = Module::new();
    added.parse_core_module(&mut module, Parser::new(0), wasm).map_err(|error| anyhow!("{error}"))?;
    Ok(module.finish())
}

/// What is added to a module.
struct Added {
    around: Surroundings,
    rng: Rng,
    /// Groups of types, which come behind those of the module.
    types: Vec<Vec<SubType>>,
    /// The types of workers.
    workers: Vec<u32>,
    /// The types that tags have: of functions.
    tags: Vec<u32>,
    /// Whether the module has sections of tables and tags, or they were added.
    has_tables: bool,
    has_tags: bool,
}

/// Returns how a module's types are encoded.
fn types_of(section: wasmparser::TypeSectionReader<'_>) -> Result<Vec<SubType>, Error<Infallible>> {
    let mut all = Vec::new();
    for group in section {
        for ty in group?.into_types() {
            all.push(RoundtripReencoder.sub_type(ty)?);
        }
    }
    Ok(all)
}

impl Added {
    fn plan(wasm: &[u8], fuel: u32, calm: bool, mut rng: Rng) -> Result<Self, Error<Infallible>> {
        // Most modules are small: compiling takes nearly all the time, and many small ones show
        // more.
        let statements = rng.pick(&[4, 4, 4, 20]);
        let mut around = Surroundings { fuel, calm, statements, ..Surroundings::default() };
        let (mut types, mut globals, mut tables, mut tags) = (Vec::new(), 0, 0, 0);
        let (mut has_tables, mut has_tags, mut counts_data) = (false, false, false);
        for payload in Parser::new(0).parse_all(wasm) {
            match payload? {
                Payload::TypeSection(section) => types = types_of(section)?,
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        match import?.ty {
                            TypeRef::Func(ty) | TypeRef::FuncExact(ty) => around.functions.push(ty),
                            TypeRef::Global(_) => globals += 1,
                            TypeRef::Table(_) => tables += 1,
                            TypeRef::Tag(_) => tags += 1,
                            TypeRef::Memory(_) => {}
                        }
                    }
                    around.imported = around.functions.len() as u32;
                }
                Payload::FunctionSection(section) => {
                    for ty in section {
                        around.functions.push(ty?);
                    }
                }
                Payload::GlobalSection(section) => globals += section.count(),
                Payload::TableSection(section) => (tables, has_tables) = (tables + section.count(), true),
                Payload::TagSection(section) => (tags, has_tags) = (tags + section.count(), true),
                Payload::DataCountSection { .. } => counts_data = true,
                Payload::DataSection(section) if counts_data => {
                    for (index, data) in (0..).zip(section) {
                        let data = data?;
                        if matches!(data.kind, DataKind::Passive) {
                            around.data.push(Data { index, len: data.data.len() as u32 });
                        }
                    }
                }
                _ => {}
            }
        }
        around.made = around.functions.len() as u32;
        around.sum = globals;
        let own = Rng::new(rng.next(), 0);
        let (types_of_own, workers, of_tags) = (Vec::new(), Vec::new(), Vec::new());
        let mut added = Self { around, rng: own, types: types_of_own, workers, tags: of_tags, has_tables, has_tags };
        added.add_types(types, &mut rng);
        added.add_places(globals + 1, tables, &mut rng);
        added.add_tags(tags, &mut rng);
        added.add_workers(&mut rng);
        Ok(added)
    }

    /// Adds types of objects that lead to others, so that there always are some.
    fn add_types(&mut self, mut all: Vec<SubType>, rng: &mut Rng) {
        let first = all.len() as u32;
        let any = StorageType::Val(reference(true, rng.pick(&[HeapType::ANY, EQ])));
        let node = StorageType::Val(reference(true, HeapType::Concrete(first)));
        let (narrow, wide) = (StorageType::I8, StorageType::Val(ValType::I64));
        let structure = |extends, fields: &[StorageType]| {
            let fields = fields.iter().map(|ty| field(*ty)).collect();
            sub_type(extends, CompositeInnerType::Struct(StructType { fields }))
        };
        let array = |element| sub_type(None, CompositeInnerType::Array(ArrayType(field(element))));
        let external = StorageType::Val(reference(true, HeapType::EXTERN));
        let group = vec![
            structure(None, &[node, any, narrow]),
            structure(Some(first), &[node, any, narrow, wide, external, StorageType::I16]),
            array(node),
            array(any),
            array(rng.pick(&[narrow, StorageType::I16, wide])),
        ];
        all.extend(group.iter().cloned());
        self.types.push(group);
        for _ in 0..rng.below(4) {
            let more = [any, narrow, node].map(field);
            let some = 1 + rng.below(3) as usize;
            if let Some(ty) = Types::extended(&all, rng, &more[..some]) {
                all.push(ty.clone());
                self.types.push(vec![ty]);
            }
        }
        self.around.types = Types::new(all);
    }

    /// Adds a type of functions, and returns its index.
    fn add_func(&mut self, params: &[ValType], results: &[ValType]) -> u32 {
        let ty = wasm_encoder::FuncType::new(params.to_vec(), results.to_vec());
        let ty = SubType { is_final: true, ..sub_type(None, CompositeInnerType::Func(ty)) };
        let index = self.around.types.push(ty.clone());
        self.types.push(vec![ty]);
        index
    }

    fn add_places(&mut self, global: u32, table: u32, rng: &mut Rng) {
        let globals = (global..global + 4 + rng.below(8) as u32).map(|index| (index, self.around.types.pick(rng)));
        self.around.globals = globals.collect();
        let tables = (table..table + 1 + rng.below(3) as u32).map(|index| {
            let heap = match self.around.types.pick(rng) {
                heap if self.around.types.is_internal(heap) => heap,
                _ => HeapType::ANY,
            };
            Table { index, heap, len: 2 + rng.below(10) as u32 }
        });
        self.around.tables = tables.collect();
    }

    fn add_tags(&mut self, first: u32, rng: &mut Rng) {
        let exception = reference(true, EXN);
        for index in first..first + 1 + rng.below(3) as u32 {
            let payload: Vec<_> = (0..rng.below(4)).map(|_| self.pick(rng)).collect();
            let with_reference: Vec<_> = payload.iter().copied().chain([exception]).collect();
            let ty = self.add_func(&payload, &[]);
            self.tags.push(ty);
            let caught = self.add_func(&[], &payload);
            let caught_with_reference = self.add_func(&[], &with_reference);
            self.around.tags.push(Tag { index, payload, caught, caught_with_reference });
        }
    }

    /// Picks the type of a value that can be made.
    fn pick(&self, rng: &mut Rng) -> ValType {
        match rng.below(8) {
            0 => ValType::I32,
            1 => ValType::I64,
            2 => ValType::F64,
            3 => reference(false, HeapType::I31),
            _ => reference(true, self.around.types.pick(rng)),
        }
    }

    fn add_workers(&mut self, rng: &mut Rng) {
        // What the host can make.
        let given = [
            ValType::I32,
            ValType::I64,
            ValType::F32,
            reference(true, HeapType::ANY),
            reference(true, EQ),
            reference(true, HeapType::EXTERN),
            reference(false, HeapType::I31),
        ];
        for _ in 0..rng.pick(&[1, 2, 2, 3, 5]) {
            let params: Vec<_> = (0..rng.below(4)).map(|_| rng.pick(&given)).collect();
            let results: Vec<_> = (0..rng.below(4)).map(|_| self.pick(rng)).collect();
            let ty = self.add_func(&params, &results);
            self.workers.push(ty);
            self.around.functions.push(ty);
        }
    }

    /// Returns a number for code that is to be generated.
    fn code(&mut self, params: &[ValType], constant: bool) -> Code<'_> {
        let rng = Rng::new(self.rng.next(), 1);
        Code::new(&self.around, rng, params, constant)
    }

    /// Returns a constant expression that makes objects.
    fn constant(&mut self, heap_type: HeapType) -> ConstExpr {
        let mut code = self.code(&[], true);
        code.value(reference(true, heap_type), 3);
        ConstExpr::extended(code.out)
    }

    fn worker(&mut self, ty: u32) -> Function {
        let ty = self.around.types.func(ty).cloned().expect("a type of functions");
        let mut code = self.code(ty.params(), false);
        // Some locals from the start, to be found again.
        for heap in [HeapType::ANY, EQ, EXN] {
            code.local(reference(true, heap));
        }
        for _ in 0..4 {
            let heap = code.around.types.pick(&mut code.rng);
            code.local(reference(true, heap));
        }
        code.worker(ty.results());
        let mut function = Function::new_with_locals_types(code.locals[ty.params().len()..].iter().copied());
        code.out.iter().for_each(|instruction| _ = function.instruction(instruction));
        function
    }
}

impl Reencode for Added {
    type Error = Infallible;

    fn parse_type_section(
        &mut self,
        types: &mut TypeSection,
        section: wasmparser::TypeSectionReader<'_>,
    ) -> Result<(), Error<Infallible>> {
        utils::parse_type_section(self, types, section)?;
        for group in &self.types {
            match &group[..] {
                [one] => types.ty().subtype(one),
                several => types.ty().rec(several.to_vec()),
            }
        }
        Ok(())
    }

    fn parse_function_section(
        &mut self,
        functions: &mut FunctionSection,
        section: wasmparser::FunctionSectionReader<'_>,
    ) -> Result<(), Error<Infallible>> {
        utils::parse_function_section(self, functions, section)?;
        self.workers.iter().for_each(|ty| _ = functions.function(*ty));
        Ok(())
    }

    fn parse_table_section(
        &mut self,
        tables: &mut TableSection,
        section: wasmparser::TableSectionReader<'_>,
    ) -> Result<(), Error<Infallible>> {
        utils::parse_table_section(self, tables, section)?;
        self.put_tables(tables);
        Ok(())
    }

    fn parse_tag_section(
        &mut self,
        tags: &mut TagSection,
        section: wasmparser::TagSectionReader<'_>,
    ) -> Result<(), Error<Infallible>> {
        utils::parse_tag_section(self, tags, section)?;
        self.put_tags(tags);
        Ok(())
    }

    fn intersperse_section_hook(
        &mut self,
        module: &mut Module,
        _: Option<SectionId>,
        before: Option<SectionId>,
    ) -> Result<(), Error<Infallible>> {
        // There always is a section of globals: the fuel is one.
        let follows_tables = matches!(before, Some(SectionId::Memory | SectionId::Tag | SectionId::Global));
        if follows_tables && !self.has_tables {
            let mut tables = TableSection::new();
            self.put_tables(&mut tables);
            module.section(&tables);
        }
        if before == Some(SectionId::Global) && !self.has_tags {
            let mut tags = TagSection::new();
            self.put_tags(&mut tags);
            module.section(&tags);
        }
        Ok(())
    }

    fn parse_global_section(
        &mut self,
        globals: &mut GlobalSection,
        section: wasmparser::GlobalSectionReader<'_>,
    ) -> Result<(), Error<Infallible>> {
        utils::parse_global_section(self, globals, section)?;
        let sum = GlobalType { val_type: ValType::I64, mutable: true, shared: false };
        globals.global(sum, &ConstExpr::i64_const(0));
        for (_, heap) in self.around.globals.clone() {
            let ty = GlobalType { val_type: reference(true, heap), mutable: true, shared: false };
            globals.global(ty, &self.constant(heap));
        }
        Ok(())
    }

    fn parse_export_section(
        &mut self,
        exports: &mut ExportSection,
        section: wasmparser::ExportSectionReader<'_>,
    ) -> Result<(), Error<Infallible>> {
        // Workers are called first.
        for index in 0..self.workers.len() as u32 {
            exports.export(&format!("worker {index}"), ExportKind::Func, self.around.made + index);
        }
        exports.export(SUM, ExportKind::Global, self.around.sum);
        for (index, _) in &self.around.globals {
            exports.export(&format!("worker global {index}"), ExportKind::Global, *index);
        }
        for table in &self.around.tables {
            exports.export(&format!("worker table {}", table.index), ExportKind::Table, table.index);
        }
        utils::parse_export_section(self, exports, section)
    }

    fn parse_code_section(
        &mut self,
        code: &mut CodeSection,
        section: wasmparser::CodeSectionReader<'_>,
    ) -> Result<(), Error<Infallible>> {
        utils::parse_code_section(self, code, section)?;
        for ty in self.workers.clone() {
            code.function(&self.worker(ty));
        }
        Ok(())
    }
}

impl Added {
    fn put_tables(&mut self, tables: &mut TableSection) {
        self.has_tables = true;
        for Table { heap, len, .. } in self.around.tables.clone() {
            let element_type = RefType { nullable: true, heap_type: heap };
            let ty = TableType { element_type, table64: false, minimum: len.into(), maximum: None, shared: false };
            match self.rng.one_in(2) {
                true => tables.table(ty),
                false => tables.table_with_init(ty, &self.constant(heap)),
            };
        }
    }

    fn put_tags(&mut self, tags: &mut TagSection) {
        self.has_tags = true;
        for func_type_idx in &self.tags {
            tags.tag(TagType { kind: TagKind::Exception, func_type_idx: *func_type_idx });
        }
    }
}
