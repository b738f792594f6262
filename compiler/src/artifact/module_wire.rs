//! Turns the description of a module into bytes and back: its structures and enums, field by field.
//!
//! A field or variant that is missing here does not compile.

use super::wire::{Damaged, Reader, Wire, Writer, enums, structs};
use crate::module::{
    ArrayType, CompositeType, ConstExpr, ConstOp, DataSegment, ElementItems, ElementSegment, Entity, Export, FieldType,
    FuncDecl, FuncType, GlobalType, HeapType, Import, MemoryType, ModuleInfo, Names, RefType, SegmentMode, StorageType,
    StructType, TableType, TypeDef, ValType,
};

structs! {
    ModuleInfo {
        name types rec_groups canonical_types imports exports exports_by_name funcs tables memories globals tags
        num_imported_funcs num_imported_tables num_imported_memories num_imported_globals num_imported_tags
        global_inits table_inits elements data data_bytes start func_names type_names
    }
    Import { module name entity }
    Export { name entity }
    TypeDef { composite supertype is_final }
    FieldType { element mutable }
    FuncDecl { ty escapes body }
    TableType { element minimum maximum table64 }
    MemoryType { minimum maximum memory64 page_size_log2 }
    GlobalType { content mutable }
    RefType { nullable heap }
    ElementSegment { index ty mode named items }
    DataSegment { index mode named bytes }
    Names { entries text }
}

enums! {
    ValType { 0 = I32, 1 = I64, 2 = F32, 3 = F64, 4 = V128, 5 = Ref(ty), }
    HeapType {
        0 = Func, 1 = Extern, 2 = NoFunc, 3 = NoExtern, 4 = ConcreteFunc(ty), 5 = Any, 6 = Eq, 7 = I31, 8 = Struct,
        9 = Array, 10 = None, 11 = ConcreteStruct(ty), 12 = ConcreteArray(ty),
        13 = Exn, 14 = NoExn,
    }
    CompositeType { 0 = Func(ty), 1 = Struct(ty), 2 = Array(ty), }
    StorageType { 0 = I8, 1 = I16, 2 = ValType(ty), }
    Entity { 0 = Func(index), 1 = Table(index), 2 = Memory(index), 3 = Global(index), 4 = Tag(index), }
    ElementItems { 0 = Functions(indices), 1 = Expressions(exprs), }
    SegmentMode { 0 = Active { target offset }, 1 = Passive, 2 = Declared, }
    ConstOp {
        0 = I32Const(value), 1 = I64Const(value), 2 = F32Const(bits), 3 = F64Const(bits), 4 = V128Const(value),
        5 = RefNull(heap), 6 = RefFunc(index), 7 = GlobalGet(index), 8 = I32Add, 9 = I32Sub, 10 = I32Mul, 11 = I64Add,
        12 = I64Sub, 13 = I64Mul, 14 = StructNew(ty), 15 = StructNewDefault(ty), 16 = ArrayNew(ty),
        17 = ArrayNewDefault(ty), 18 = ArrayNewFixed { ty len }, 19 = RefI31, 20 = AnyConvertExtern,
        21 = ExternConvertAny,
    }
}

impl Wire for FuncType {
    fn put(&self, out: &mut Writer) {
        self.params().to_vec().put(out);
        self.results().to_vec().put(out);
    }
    fn take(from: &mut Reader<'_>) -> Result<Self, Damaged> {
        Ok(Self::new(Vec::take(from)?, Vec::take(from)?))
    }
}

impl Wire for StructType {
    fn put(&self, out: &mut Writer) {
        self.fields().to_vec().put(out);
    }
    fn take(from: &mut Reader<'_>) -> Result<Self, Damaged> {
        Vec::<FieldType>::take(from).map(Self::new)
    }
}

impl Wire for ArrayType {
    fn put(&self, out: &mut Writer) {
        self.field_type().put(out);
    }
    fn take(from: &mut Reader<'_>) -> Result<Self, Damaged> {
        FieldType::take(from).map(Self::new)
    }
}

impl Wire for ConstExpr {
    fn put(&self, out: &mut Writer) {
        self.0.put(out);
    }
    fn take(from: &mut Reader<'_>) -> Result<Self, Damaged> {
        Vec::take(from).map(Self)
    }
}
