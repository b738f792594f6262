//! Reads the sections of a module into its description, one after the other.
//!
//! Everything here has been validated. Function bodies are not looked into.

use super::composite::TypeDef;
use super::const_expr::{ConstExpr, ConstOp};
use super::convert::{FromParser, Known, Missing, outline};
use super::externs::{GlobalType, MemoryType, TableType};
use super::info::{
    DataSegment, ElementItems, ElementSegment, Entity, Export, FuncDecl, Import, ModuleInfo, SegmentMode,
};
use super::instruction::Instruction;
use super::names::Names;
use super::types::{HeapType, RefType};
use crate::base::error::{CompileError, Feature};
use crate::settings::Features;
use wasmparser::{
    DataKind, ElementKind, ExternalKind, KnownCustom, Name, NameMap, NameSectionReader, Operator, Payload, TableInit,
    TypeRef,
};

/// Collects what the sections say.
pub(crate) struct Sections {
    pub(crate) info: ModuleInfo,
    features: Features,
    /// Where the section that is being read starts, or its item.
    at: usize,
}

impl Sections {
    pub(crate) fn new(features: Features) -> Self {
        Self { info: ModuleInfo::default(), features, at: 0 }
    }

    fn known(&self) -> Known<'_> {
        Known { types: &self.info.types, features: self.features }
    }

    /// Adds a section to the description.
    ///
    /// # Errors
    /// Returns an error if it uses a feature that minirt does not have.
    pub(crate) fn add(&mut self, payload: Payload<'_>) -> Result<(), CompileError> {
        self.at = payload.as_section().map_or(self.at, |(_, range)| range.start as usize);
        match payload {
            Payload::TypeSection(section) => self.types(section),
            Payload::ImportSection(section) => self.imports(section),
            Payload::FunctionSection(section) => self.functions(section),
            Payload::TableSection(section) => self.tables(section),
            Payload::MemorySection(section) => self.memories(section),
            Payload::TagSection(section) => self.tags(section),
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
            // Validation has used them.
            Payload::Version { .. } | Payload::DataCountSection { .. } | Payload::End(_) => Ok(()),
            Payload::CodeSectionStart { .. } | Payload::CodeSectionEntry(_) => Ok(()),
            other => Err(CompileError::internal(format!("nobody reads the section {other:?}"))),
        }
    }

    /// Returns the error for what minirt does not have, at the item that is being read.
    fn refuse(&self, missing: Missing) -> CompileError {
        missing.at(self.at)
    }

    /// Notes that a reference to a function can exist.
    fn escapes(&mut self, func: u32) {
        self.info.funcs[func as usize].escapes = true;
    }

    fn types(&mut self, section: wasmparser::TypeSectionReader<'_>) -> Result<(), CompileError> {
        for group in section.into_iter_with_offsets() {
            let (offset, group) = group?;
            self.at = offset as usize;
            let before = self.info.types.len();
            self.info.types.extend(group.types().map(outline));
            for (index, ty) in (before..).zip(group.into_types()) {
                let ty = TypeDef::from_parser(ty, self.known()).map_err(|missing| self.refuse(missing))?;
                self.info.types[index] = ty;
            }
            self.info.rec_groups.push((self.info.types.len() - before) as u32);
        }
        Ok(())
    }

    fn imports(&mut self, section: wasmparser::ImportSectionReader<'_>) -> Result<(), CompileError> {
        for import in section.into_imports() {
            let import = import?;
            let entity = self.import(import.ty).map_err(|missing| self.refuse(missing))?;
            let (module, name) = (import.module.to_owned(), import.name.to_owned());
            self.info.imports.push(Import { module, name, entity });
        }
        Ok(())
    }

    /// Makes room for an import in its index space.
    fn import(&mut self, ty: TypeRef) -> Result<Entity, Missing> {
        let (info, features) = (&mut self.info, self.features);
        let known = Known { types: &info.types, features };
        Ok(match ty {
            TypeRef::Func(ty) => {
                info.num_imported_funcs += 1;
                Entity::Func(push(&mut info.funcs, FuncDecl { ty, escapes: true, body: 0 }))
            }
            TypeRef::Table(ty) => {
                info.num_imported_tables += 1;
                Entity::Table(push(&mut info.tables, TableType::from_parser(ty, known)?))
            }
            TypeRef::Memory(ty) => {
                info.num_imported_memories += 1;
                Entity::Memory(push(&mut info.memories, MemoryType::from_parser(ty, known)?))
            }
            TypeRef::Global(ty) => {
                info.num_imported_globals += 1;
                Entity::Global(push(&mut info.globals, GlobalType::from_parser(ty, known)?))
            }
            TypeRef::Tag(ty) => {
                info.num_imported_tags += 1;
                Entity::Tag(push(&mut info.tags, ty.func_type_idx))
            }
            TypeRef::FuncExact(_) => {
                return Err(Missing::new(Feature::CustomDescriptors, "imports of functions of an exact type"));
            }
        })
    }

    fn functions(&mut self, section: wasmparser::FunctionSectionReader<'_>) -> Result<(), CompileError> {
        for ty in section {
            self.info.funcs.push(FuncDecl { ty: ty?, escapes: false, body: 0 });
        }
        Ok(())
    }

    fn tables(&mut self, section: wasmparser::TableSectionReader<'_>) -> Result<(), CompileError> {
        for table in section {
            let table = table?;
            let ty = TableType::from_parser(table.ty, self.known()).map_err(|missing| self.refuse(missing))?;
            let index = push(&mut self.info.tables, ty);
            match &table.init {
                TableInit::RefNull => {}
                TableInit::Expr(init) => {
                    let init = self.expression(init)?;
                    self.info.table_inits.push((index, init));
                }
            }
        }
        Ok(())
    }

    fn memories(&mut self, section: wasmparser::MemorySectionReader<'_>) -> Result<(), CompileError> {
        for ty in section {
            let ty = MemoryType::from_parser(ty?, self.known()).map_err(|missing| self.refuse(missing))?;
            self.info.memories.push(ty);
        }
        Ok(())
    }

    fn tags(&mut self, section: wasmparser::TagSectionReader<'_>) -> Result<(), CompileError> {
        for ty in section {
            self.info.tags.push(ty?.func_type_idx);
        }
        Ok(())
    }

    fn globals(&mut self, section: wasmparser::GlobalSectionReader<'_>) -> Result<(), CompileError> {
        for global in section {
            let global = global?;
            let ty = GlobalType::from_parser(global.ty, self.known()).map_err(|missing| self.refuse(missing))?;
            self.info.globals.push(ty);
            let init = self.expression(&global.init_expr)?;
            self.info.global_inits.push(init);
        }
        Ok(())
    }

    fn exports(&mut self, section: wasmparser::ExportSectionReader<'_>) -> Result<(), CompileError> {
        for export in section {
            let export = export?;
            let entity = match export.kind {
                ExternalKind::Func => {
                    self.escapes(export.index);
                    Entity::Func(export.index)
                }
                ExternalKind::Table => Entity::Table(export.index),
                ExternalKind::Memory => Entity::Memory(export.index),
                ExternalKind::Global => Entity::Global(export.index),
                ExternalKind::Tag => Entity::Tag(export.index),
                ExternalKind::FuncExact => {
                    let missing = Missing::new(Feature::CustomDescriptors, "exports of functions of an exact type");
                    return Err(self.refuse(missing));
                }
            };
            self.info.exports.push(Export { name: export.name.to_owned(), entity });
        }
        let exports = &self.info.exports;
        self.info.exports_by_name = (0..exports.len() as u32).collect();
        self.info.exports_by_name.sort_unstable_by_key(|at| exports[*at as usize].name.as_str());
        Ok(())
    }

    fn elements(&mut self, section: wasmparser::ElementSectionReader<'_>) -> Result<(), CompileError> {
        for (index, element) in (0..).zip(section) {
            let element = element?;
            let mode = match &element.kind {
                ElementKind::Passive => SegmentMode::Passive,
                ElementKind::Declared => SegmentMode::Declared,
                ElementKind::Active { table_index, offset_expr } => {
                    SegmentMode::Active { target: table_index.unwrap_or(0), offset: self.expression(offset_expr)? }
                }
            };
            let (ty, items) = self.items(element.items)?;
            self.info.elements.push(ElementSegment { index, ty, mode, named: true, items });
        }
        Ok(())
    }

    fn items(&mut self, items: wasmparser::ElementItems<'_>) -> Result<(RefType, ElementItems), CompileError> {
        match items {
            wasmparser::ElementItems::Functions(funcs) => {
                let funcs = funcs.into_iter().collect::<Result<Vec<u32>, _>>()?;
                funcs.iter().for_each(|func| self.escapes(*func));
                Ok((RefType { nullable: false, heap: HeapType::Func }, ElementItems::Functions(funcs)))
            }
            wasmparser::ElementItems::Expressions(ty, items) => {
                let exprs = items.into_iter().map(|item| self.expression(&item?)).collect::<Result<Vec<_>, _>>()?;
                let ty = RefType::from_parser(ty, self.known()).map_err(|missing| self.refuse(missing))?;
                let func = |expr: &ConstExpr| match expr.0[..] {
                    [ConstOp::RefFunc(func)] => Some(func),
                    _ => None,
                };
                let funcs = exprs.iter().map(func).collect::<Option<Vec<u32>>>();
                Ok((ty, funcs.map_or(ElementItems::Expressions(exprs), ElementItems::Functions)))
            }
        }
    }

    fn data(&mut self, section: wasmparser::DataSectionReader<'_>) -> Result<(), CompileError> {
        let mut bytes = Vec::new();
        for (index, data) in (0..).zip(section) {
            let data = data?;
            let mode = match &data.kind {
                DataKind::Passive => SegmentMode::Passive,
                DataKind::Active { memory_index, offset_expr } => {
                    SegmentMode::Active { target: *memory_index, offset: self.expression(offset_expr)? }
                }
            };
            let start = bytes.len();
            bytes.extend_from_slice(data.data);
            self.info.data.push(DataSegment { index, mode, named: true, bytes: start..bytes.len() });
        }
        self.info.data_bytes = bytes.into();
        Ok(())
    }

    fn expression(&mut self, expr: &wasmparser::ConstExpr<'_>) -> Result<ConstExpr, CompileError> {
        let mut ops = Vec::with_capacity(1);
        for op in expr.get_operators_reader().into_iter_with_offsets() {
            let (op, offset) = op?;
            match constant(op, self.known()).map_err(|missing| missing.at(offset as usize))? {
                Some(op) => ops.push(op),
                None => break,
            }
        }
        for op in &ops {
            if let ConstOp::RefFunc(func) = op {
                self.escapes(*func);
            }
        }
        Ok(ConstExpr(ops))
    }

    fn names(&mut self, names: NameSectionReader<'_>) -> Result<(), wasmparser::Error> {
        for name in names {
            match name? {
                Name::Module { name, .. } => self.info.name = Some(name.to_owned()),
                Name::Function(map) => self.info.func_names = sorted(map)?,
                Name::Type(map) => self.info.type_names = sorted(map)?,
                _ => {}
            }
        }
        Ok(())
    }
}

/// Returns the names of a map, by number.
fn sorted(map: NameMap<'_>) -> Result<Names, wasmparser::Error> {
    let names = map.into_iter().map(|n| n.map(|n| (n.index, n.name)));
    let mut names = names.collect::<Result<Vec<_>, _>>()?;
    names.sort_by_key(|(index, _)| *index);
    Ok(Names::new(names))
}

/// Returns an instruction of a constant expression, and `None` for its end.
fn constant(op: Operator<'_>, known: Known<'_>) -> Result<Option<ConstOp>, Missing> {
    Ok(Some(match op {
        Operator::End => return Ok(None),
        Operator::I32Const { value } => ConstOp::I32Const(value),
        Operator::I64Const { value } => ConstOp::I64Const(value),
        Operator::F32Const { value } => ConstOp::F32Const(value.bits()),
        Operator::F64Const { value } => ConstOp::F64Const(value.bits()),
        Operator::V128Const { value } => ConstOp::V128Const(u128::from_le_bytes(*value.bytes())),
        Operator::RefNull { hty } => ConstOp::RefNull(HeapType::from_parser(hty, known)?),
        Operator::RefFunc { function_index } => ConstOp::RefFunc(function_index),
        Operator::GlobalGet { global_index } => ConstOp::GlobalGet(global_index),
        Operator::I32Add => ConstOp::I32Add,
        Operator::I32Sub => ConstOp::I32Sub,
        Operator::I32Mul => ConstOp::I32Mul,
        Operator::I64Add => ConstOp::I64Add,
        Operator::I64Sub => ConstOp::I64Sub,
        Operator::I64Mul => ConstOp::I64Mul,
        Operator::StructNew { struct_type_index } => ConstOp::StructNew(struct_type_index),
        Operator::StructNewDefault { struct_type_index } => ConstOp::StructNewDefault(struct_type_index),
        Operator::ArrayNew { array_type_index } => ConstOp::ArrayNew(array_type_index),
        Operator::ArrayNewDefault { array_type_index } => ConstOp::ArrayNewDefault(array_type_index),
        Operator::ArrayNewFixed { array_type_index, array_size } => {
            ConstOp::ArrayNewFixed { ty: array_type_index, len: array_size }
        }
        // These need no type of the module's, so that alone does not refuse them.
        Operator::RefI31 => known.gc(|| "the instruction RefI31".to_owned()).map(|()| ConstOp::RefI31)?,
        Operator::AnyConvertExtern => {
            known.gc(|| "the instruction AnyConvertExtern".to_owned()).map(|()| ConstOp::AnyConvertExtern)?
        }
        Operator::ExternConvertAny => {
            known.gc(|| "the instruction ExternConvertAny".to_owned()).map(|()| ConstOp::ExternConvertAny)?
        }
        other => {
            let known = Instruction::new(other, known)?;
            unreachable!("validation has admitted {known:?} in a constant expression")
        }
    }))
}

fn push<T>(space: &mut Vec<T>, item: T) -> u32 {
    space.push(item);
    space.len() as u32 - 1
}
