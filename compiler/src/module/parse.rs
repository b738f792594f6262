//! Bytes to a description: wasmparser reads and validates, this file keeps what matters.
//!
//! Function bodies are not looked into here; they are handed on together with what validates them.
//! Nothing here knows where things will sit in memory.

use super::const_expr::{ConstExpr, ConstOp};
use super::convert::{heap_type, invalid, module_index, ref_type, value_type};
use super::externs::{GlobalType, MemoryType, TableType};
use super::info::{DataSegment, ElementSegment, Entity, Export, FuncDecl, Import, ModuleInfo, SegmentMode};
use super::names::Names;
use super::types::{FuncType, HeapType, RefType, TypeDef};
use super::unsupported;
use crate::base::error::CompileError;
use crate::settings::Features;
use wasmparser::{
    CompositeInnerType, DataKind, ElementItems, ElementKind, ExternalKind, FuncToValidate, FunctionBody, KnownCustom,
    Name, NameSectionReader, Operator, Parser, Payload, TableInit, TypeRef, ValidPayload, Validator,
    ValidatorResources, WasmFeatures,
};

/// What a module may use: WebAssembly 3.0 without garbage collection and exceptions; and beyond it wide arithmetic and
/// custom page sizes.
///
/// To add a feature, add it here when everything below handles it. wasmparser refuses what is not here, by
/// name and with its offset.
const ALL: WasmFeatures = WasmFeatures::WASM2
    .union(WasmFeatures::RELAXED_SIMD)
    .union(WasmFeatures::WIDE_ARITHMETIC)
    .union(WasmFeatures::CUSTOM_PAGE_SIZES)
    .union(WasmFeatures::TAIL_CALL)
    .union(WasmFeatures::EXTENDED_CONST)
    .union(WasmFeatures::MEMORY64)
    .union(WasmFeatures::MULTI_MEMORY)
    .union(TYPES);

/// Typed function references. What types of functions need beyond that (recursive groups, subtypes, references that are
/// always null) wasmparser knows as garbage collection only; `unsupported` refuses the rest of that.
const TYPES: WasmFeatures = WasmFeatures::FUNCTION_REFERENCES.union(WasmFeatures::GC);

/// The features as wasmparser knows them.
fn flags(features: Features) -> WasmFeatures {
    let Features { multi_memory, memory64, function_references } = features;
    let mut flags = ALL;
    flags.set(WasmFeatures::MULTI_MEMORY, multi_memory);
    flags.set(WasmFeatures::MEMORY64, memory64);
    flags.set(TYPES, function_references);
    flags
}

/// A module whose sections are valid, and whose bodies are still to be validated.
pub(crate) struct Parsed<'a> {
    pub(crate) info: ModuleInfo,
    pub(crate) bodies: Vec<Body<'a>>,
}

/// A function body and what validates it, by index among the defined functions.
pub(crate) struct Body<'a> {
    pub(crate) validator: FuncToValidate<ValidatorResources>,
    pub(crate) body: FunctionBody<'a>,
}

/// Reads and validates a module's sections.
///
/// # Errors
/// When a section breaks a rule of the specification, or uses a feature that is not there.
pub(crate) fn parse(bytes: &[u8], features: Features) -> Result<Parsed<'_>, CompileError> {
    check_preamble(bytes)?;
    let mut reader = Reader { info: ModuleInfo::default(), at: 0 };
    let mut bodies = Vec::new();
    let features = flags(features);
    let mut validator = Validator::new_with_features(features);
    let mut parser = Parser::new(0);
    // Otherwise it would read the encodings of all features, also of those that are not there.
    parser.set_features(features);
    for payload in parser.parse_all(bytes) {
        let payload = payload.map_err(invalid)?;
        if let ValidPayload::Func(validator, body) = validator.payload(&payload).map_err(invalid)? {
            bodies.push(Body { validator, body });
        }
        reader.payload(payload)?;
    }
    let Reader { mut info, .. } = reader;
    info.find_equal_types();
    Ok(Parsed { info, bodies })
}

/// Validates a module with all its bodies.
///
/// # Errors
/// As [`parse`], and when a body is not valid.
pub(crate) fn validate(bytes: &[u8], features: Features) -> Result<(), CompileError> {
    let mut allocations = wasmparser::FuncValidatorAllocations::default();
    for Body { validator, body } in parse(bytes, features)?.bodies {
        let mut validator = validator.into_validator(allocations);
        validator.validate(&body).map_err(invalid)?;
        unsupported::check_body(&body)?;
        allocations = validator.into_allocations();
    }
    Ok(())
}

/// The most bytes that a module may have, as in other engines. Offsets in it fit 32 bits.
const MODULE_MAX: usize = 1 << 30;

/// The first eight bytes, with better words than "bad magic".
fn check_preamble(bytes: &[u8]) -> Result<(), CompileError> {
    const MAGIC: &[u8; 4] = b"\0asm";
    if bytes.len() > MODULE_MAX {
        let message = format!("the module has {} bytes; at most {MODULE_MAX} are possible", bytes.len());
        return Err(CompileError::limit(message));
    }
    if bytes.is_empty() {
        return Err(CompileError::invalid("the input is empty; a WebAssembly module has at least 8 bytes", 0));
    }
    if !bytes.starts_with(&MAGIC[..bytes.len().min(4)]) {
        let start: String = bytes.iter().take(4).map(|b| b.escape_ascii().to_string()).collect();
        let message = format!("not a WebAssembly module: it starts with `{start}` instead of `\\0asm`");
        return Err(CompileError::invalid(message, 0));
    }
    let Some(version) = bytes.get(4..8).and_then(|v| v.try_into().ok()).map(u32::from_le_bytes) else {
        let message = format!("the module is cut off after {} bytes; its preamble alone has 8", bytes.len());
        return Err(CompileError::invalid(message, bytes.len()));
    };
    if Parser::is_component(bytes) {
        let message = "this is a WebAssembly component; minirt runs core modules";
        return Err(CompileError::invalid(message, 4));
    }
    if version != 1 {
        let message = format!("unknown binary version {version}; minirt reads version 1");
        return Err(CompileError::invalid(message, 4));
    }
    Ok(())
}

/// Collects what the payloads say.
struct Reader {
    info: ModuleInfo,
    /// Where the section starts that is being read, or its item.
    at: usize,
}

impl Reader {
    /// Takes in a section that is valid.
    fn payload(&mut self, payload: Payload<'_>) -> Result<(), CompileError> {
        self.at = payload.as_section().map_or(self.at, |(_, range)| range.start as usize);
        match payload {
            Payload::TypeSection(section) => self.types(section),
            Payload::ImportSection(section) => self.imports(section),
            Payload::FunctionSection(section) => self.functions(section),
            Payload::TableSection(section) => self.tables(section),
            Payload::MemorySection(section) => self.memories(section),
            Payload::GlobalSection(section) => self.globals(section),
            Payload::ExportSection(section) => self.exports(section),
            Payload::StartSection { func, .. } => {
                self.info.start = Some(func);
                self.escapes(func);
                Ok(())
            }
            Payload::ElementSection(section) => self.elements(section),
            Payload::DataSection(section) => self.data(section),
            Payload::CustomSection(section) => {
                if let KnownCustom::Name(names) = section.as_known() {
                    // Names are for people: a broken section costs the names, not the module.
                    let _ = self.names(names);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn types(&mut self, section: wasmparser::TypeSectionReader<'_>) -> Result<(), CompileError> {
        for group in section.into_iter_with_offsets() {
            let (offset, group) = group.map_err(invalid)?;
            self.at = offset as usize;
            let before = self.info.types.len();
            for ty in group.into_types() {
                let ty = type_def(ty).map_err(|message| self.unsupported(message))?;
                self.info.types.push(ty);
            }
            self.info.rec_groups.push((self.info.types.len() - before) as u32);
        }
        Ok(())
    }

    fn imports(&mut self, section: wasmparser::ImportSectionReader<'_>) -> Result<(), CompileError> {
        for import in section.into_imports() {
            let import = import.map_err(invalid)?;
            let unsupported = |message| CompileError::invalid(message, self.at);
            let info = &mut self.info;
            let entity = match import.ty {
                TypeRef::Func(ty) => {
                    info.num_imported_funcs += 1;
                    Entity::Func(push(&mut info.funcs, FuncDecl { ty, escapes: true }))
                }
                TypeRef::Table(ty) => {
                    info.num_imported_tables += 1;
                    Entity::Table(push(&mut info.tables, table_type(&ty).map_err(unsupported)?))
                }
                TypeRef::Memory(ty) => {
                    info.num_imported_memories += 1;
                    Entity::Memory(push(&mut info.memories, memory_type(&ty)))
                }
                TypeRef::Global(ty) => {
                    info.num_imported_globals += 1;
                    Entity::Global(push(&mut info.globals, global_type(&ty).map_err(unsupported)?))
                }
                other => return Err(unsupported(format!("imports of {other:?} are not supported yet"))),
            };
            info.imports.push(Import { module: import.module.to_owned(), name: import.name.to_owned(), entity });
        }
        Ok(())
    }

    fn functions(&mut self, section: wasmparser::FunctionSectionReader<'_>) -> Result<(), CompileError> {
        for ty in section {
            self.info.funcs.push(FuncDecl { ty: ty.map_err(invalid)?, escapes: false });
        }
        Ok(())
    }

    fn tables(&mut self, section: wasmparser::TableSectionReader<'_>) -> Result<(), CompileError> {
        for table in section {
            let table = table.map_err(invalid)?;
            let ty = table_type(&table.ty).map_err(|message| self.unsupported(message))?;
            let index = push(&mut self.info.tables, ty);
            if let TableInit::Expr(init) = &table.init {
                let init = self.expression(init)?;
                self.info.table_inits.push((index, init));
            }
        }
        Ok(())
    }

    fn memories(&mut self, section: wasmparser::MemorySectionReader<'_>) -> Result<(), CompileError> {
        for ty in section {
            self.info.memories.push(memory_type(&ty.map_err(invalid)?));
        }
        Ok(())
    }

    fn globals(&mut self, section: wasmparser::GlobalSectionReader<'_>) -> Result<(), CompileError> {
        for global in section {
            let global = global.map_err(invalid)?;
            self.info.globals.push(global_type(&global.ty).map_err(|message| self.unsupported(message))?);
            let init = self.expression(&global.init_expr)?;
            self.info.global_inits.push(init);
        }
        Ok(())
    }

    fn exports(&mut self, section: wasmparser::ExportSectionReader<'_>) -> Result<(), CompileError> {
        for export in section {
            let export = export.map_err(invalid)?;
            let entity = match export.kind {
                ExternalKind::Func => {
                    self.escapes(export.index);
                    Entity::Func(export.index)
                }
                ExternalKind::Table => Entity::Table(export.index),
                ExternalKind::Memory => Entity::Memory(export.index),
                ExternalKind::Global => Entity::Global(export.index),
                other => return Err(self.unsupported(format!("exports of {other:?} are not supported yet"))),
            };
            self.info.exports.push(Export { name: export.name.to_owned(), entity });
        }
        let exports = &self.info.exports;
        self.info.exports_by_name = (0..exports.len() as u32).collect();
        self.info.exports_by_name.sort_unstable_by_key(|at| exports[*at as usize].name.as_str());
        Ok(())
    }

    fn elements(&mut self, section: wasmparser::ElementSectionReader<'_>) -> Result<(), CompileError> {
        for element in section {
            let element = element.map_err(invalid)?;
            let mode = match &element.kind {
                ElementKind::Passive => SegmentMode::Passive,
                ElementKind::Declared => SegmentMode::Declared,
                ElementKind::Active { table_index, offset_expr } => {
                    SegmentMode::Active { target: table_index.unwrap_or(0), offset: self.expression(offset_expr)? }
                }
            };
            let (ty, items) = self.items(element.items)?;
            self.info.elements.push(ElementSegment { ty, mode, items });
        }
        Ok(())
    }

    fn items(&mut self, items: ElementItems<'_>) -> Result<(RefType, Vec<ConstExpr>), CompileError> {
        let mut exprs = Vec::new();
        match items {
            ElementItems::Functions(funcs) => {
                for func in funcs {
                    let func = func.map_err(invalid)?;
                    self.escapes(func);
                    exprs.push(ConstExpr(vec![ConstOp::RefFunc(func)]));
                }
                Ok((RefType { nullable: false, heap: HeapType::Func }, exprs))
            }
            ElementItems::Expressions(ty, items) => {
                for item in items {
                    exprs.push(self.expression(&item.map_err(invalid)?)?);
                }
                Ok((ref_type(ty).map_err(|message| self.unsupported(message))?, exprs))
            }
        }
    }

    fn data(&mut self, section: wasmparser::DataSectionReader<'_>) -> Result<(), CompileError> {
        let mut bytes = Vec::new();
        for data in section {
            let data = data.map_err(invalid)?;
            let mode = match &data.kind {
                DataKind::Passive => SegmentMode::Passive,
                DataKind::Active { memory_index, offset_expr } => {
                    SegmentMode::Active { target: *memory_index, offset: self.expression(offset_expr)? }
                }
            };
            let start = bytes.len();
            bytes.extend_from_slice(data.data);
            self.info.data.push(DataSegment { mode, bytes: start..bytes.len() });
        }
        self.info.data_bytes = bytes.into();
        Ok(())
    }

    /// A valid constant expression.
    fn expression(&mut self, expr: &wasmparser::ConstExpr<'_>) -> Result<ConstExpr, CompileError> {
        let mut ops = Vec::with_capacity(1);
        for op in expr.get_operators_reader().into_iter_with_offsets() {
            let (op, offset) = op.map_err(invalid)?;
            ops.push(match op {
                Operator::End => break,
                Operator::I32Const { value } => ConstOp::I32Const(value),
                Operator::I64Const { value } => ConstOp::I64Const(value),
                Operator::F32Const { value } => ConstOp::F32Const(value.bits()),
                Operator::F64Const { value } => ConstOp::F64Const(value.bits()),
                Operator::V128Const { value } => ConstOp::V128Const(u128::from_le_bytes(*value.bytes())),
                Operator::RefNull { hty } => {
                    ConstOp::RefNull(heap_type(hty).map_err(|message| self.unsupported(message))?)
                }
                Operator::RefFunc { function_index } => {
                    self.escapes(function_index);
                    ConstOp::RefFunc(function_index)
                }
                Operator::GlobalGet { global_index } => ConstOp::GlobalGet(global_index),
                Operator::I32Add => ConstOp::I32Add,
                Operator::I32Sub => ConstOp::I32Sub,
                Operator::I32Mul => ConstOp::I32Mul,
                Operator::I64Add => ConstOp::I64Add,
                Operator::I64Sub => ConstOp::I64Sub,
                Operator::I64Mul => ConstOp::I64Mul,
                other => {
                    let message = format!("{other:?} in a constant expression is not supported yet");
                    return Err(CompileError::invalid(message, offset as usize));
                }
            });
        }
        Ok(ConstExpr(ops))
    }

    /// What wasmparser knows and minirt does not, at the item that is being read.
    fn unsupported(&self, message: String) -> CompileError {
        CompileError::invalid(message, self.at)
    }

    /// Notes that a reference to a function can exist.
    fn escapes(&mut self, func: u32) {
        self.info.funcs[func as usize].escapes = true;
    }

    fn names(&mut self, names: NameSectionReader<'_>) -> Result<(), wasmparser::Error> {
        for name in names {
            match name? {
                Name::Module { name, .. } => self.info.name = Some(name.to_owned()),
                Name::Function(map) => {
                    let names = map.into_iter().map(|n| n.map(|n| (n.index, n.name)));
                    let mut names = names.collect::<Result<Vec<_>, _>>()?;
                    names.sort_by_key(|(index, _)| *index);
                    self.info.func_names = Names::new(names);
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn push<T>(space: &mut Vec<T>, item: T) -> u32 {
    space.push(item);
    space.len() as u32 - 1
}

fn type_def(ty: wasmparser::SubType) -> Result<TypeDef, String> {
    let func = match ty.composite_type.inner {
        CompositeInnerType::Func(func) => func,
        CompositeInnerType::Struct(_) => return Err("gc support is not complete: no struct types yet".to_owned()),
        CompositeInnerType::Array(_) => return Err("gc support is not complete: no array types yet".to_owned()),
        CompositeInnerType::Cont(_) => return Err("stack switching is not supported".to_owned()),
    };
    let convert = |types: &[wasmparser::ValType]| types.iter().map(|ty| value_type(*ty)).collect::<Result<Vec<_>, _>>();
    let func = FuncType::new(convert(func.params())?, convert(func.results())?);
    let supertype = ty.supertype_idxs.first().map(|index| module_index(index.unpack()));
    Ok(TypeDef { func, supertype, is_final: ty.is_final })
}

fn table_type(ty: &wasmparser::TableType) -> Result<TableType, String> {
    let element = ref_type(ty.element_type)?;
    Ok(TableType { element, minimum: ty.initial, maximum: ty.maximum, table64: ty.table64 })
}

fn memory_type(ty: &wasmparser::MemoryType) -> MemoryType {
    let usual = MemoryType::default();
    let page_size_log2 = ty.page_size_log2.map_or(usual.page_size_log2, |log2| log2 as u8);
    MemoryType { minimum: ty.initial, maximum: ty.maximum, memory64: ty.memory64, page_size_log2 }
}

fn global_type(ty: &wasmparser::GlobalType) -> Result<GlobalType, String> {
    Ok(GlobalType { content: value_type(ty.content_type)?, mutable: ty.mutable })
}

#[cfg(test)]
mod tests;
