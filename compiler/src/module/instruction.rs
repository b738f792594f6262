//! Lists all instructions: the family of each, or the feature that it would need.
//!
//! wasmparser's list of instructions is the authority. `families!` says what minirt has of it;
//! `account_for!` goes through the whole list, and an instruction that is in no family does not
//! compile, unless all of its proposal is refused. The translator has a function for each family,
//! which matches that family's enum without a wildcard. So an instruction can be forgotten in
//! neither place.
//!
//! To add an instruction, add it to a family here and translate it there. To add a proposal, also
//! take it off the list of features in `account_for!`.

use super::convert::{BlockType, FromParser, Known, MemArg, Missing, TryTable};
use super::types::{HeapType, RefType, ValType};
use crate::base::error::Feature;
use wasmparser::{BrTable, Ieee32, Ieee64, Operator, Ordering, V128};

/// Defines an enum for each family, and [`Instruction`] over all of them. Fields have wasmparser's
/// names and minirt's types.
macro_rules! families {
    ($($(#[$doc:meta])* $family:ident $(<$life:lifetime>)? {
        $($op:ident $({ $($field:ident: $ty:ty),* })?)*
    })*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug)]
            #[allow(dead_code, reason = "some fields only matter to validation")]
            #[allow(clippy::enum_variant_names, reason = "the names are wasmparser's")]
            pub(crate) enum $family $(<$life>)? {
                $($op $({ $($field: $ty),* })?,)*
            }

            impl $(<$life>)? $family $(<$life>)? {
                /// Returns the instruction's name, as wasmparser has it.
                #[allow(dead_code, reason = "few families are asked")]
                pub(crate) const fn name(&self) -> &'static str {
                    match self {
                        $(Self::$op { .. } => stringify!($op),)*
                    }
                }
            }
        )*

        /// An instruction that minirt has, by its family.
        #[derive(Clone, Debug)]
        pub(crate) enum Instruction<'a> {
            $($family($family $(<$life>)?),)*
        }

        impl<'a> Instruction<'a> {
            /// Makes the instruction that wasmparser has read.
            ///
            /// # Errors
            /// Returns what is missing if minirt does not have the instruction, or a type that it
            /// names.
            #[inline]
            pub(crate) fn new(op: Operator<'a>, known: Known<'_>) -> Result<Self, Missing> {
                match op {
                    $($(Operator::$op $({ $($field),* })? => Ok(Self::$family($family::$op $({
                        $($field: FromParser::from_parser($field, known)?),*
                    })?)),)*)*
                    other => Err(missing(&other)),
                }
            }
        }

        /// The instructions that are in a family.
        #[allow(non_upper_case_globals)]
        mod known {
            $($(pub(super) const $op: () = ();)*)*
            /// `select` with several types is an encoding that no version of WebAssembly finds
            /// valid.
            pub(super) const TypedSelectMulti: () = ();
        }

        /// Their names.
        #[cfg(test)]
        pub(crate) const NAMES: &[&str] = &[$($(stringify!($op),)*)*];
    };
}

families! {
    /// The beginnings and ends of blocks. They count also where code cannot be reached.
    Structure {
        Block { blockty: BlockType } Loop { blockty: BlockType } If { blockty: BlockType } Else End
        TryTable { try_table: TryTable }
        Try { blockty: BlockType } Catch { tag_index: u32 } CatchAll Delegate { relative_depth: u32 }
    }
    /// Branches, and what only concerns the operand stack.
    Control<'a> {
        Nop Drop Select TypedSelect { ty: ValType }
        Unreachable Br { relative_depth: u32 } BrIf { relative_depth: u32 } BrTable { targets: BrTable<'a> } Return
    }
    /// Instructions that throw exceptions.
    Exception { Throw { tag_index: u32 } ThrowRef Rethrow { relative_depth: u32 } }
    /// Calls.
    Call {
        Call { function_index: u32 } CallIndirect { type_index: u32, table_index: u32 } CallRef { type_index: u32 }
        ReturnCall { function_index: u32 } ReturnCallIndirect { type_index: u32, table_index: u32 }
        ReturnCallRef { type_index: u32 }
    }
    /// Locals and globals.
    Variable {
        LocalGet { local_index: u32 } LocalSet { local_index: u32 } LocalTee { local_index: u32 }
        GlobalGet { global_index: u32 } GlobalSet { global_index: u32 }
    }
    /// References.
    Reference {
        RefNull { hty: HeapType } RefIsNull RefFunc { function_index: u32 } RefAsNonNull
        BrOnNull { relative_depth: u32 } BrOnNonNull { relative_depth: u32 }
    }
    /// Structures.
    Struct {
        StructNew { struct_type_index: u32 } StructNewDefault { struct_type_index: u32 }
        StructGet { struct_type_index: u32, field_index: u32 } StructGetS { struct_type_index: u32, field_index: u32 }
        StructGetU { struct_type_index: u32, field_index: u32 } StructSet { struct_type_index: u32, field_index: u32 }
    }
    /// Arrays: making them, and single elements.
    Array {
        ArrayNew { array_type_index: u32 } ArrayNewDefault { array_type_index: u32 }
        ArrayNewFixed { array_type_index: u32, array_size: u32 }
        ArrayNewData { array_type_index: u32, array_data_index: u32 }
        ArrayNewElem { array_type_index: u32, array_elem_index: u32 }
        ArrayGet { array_type_index: u32 } ArrayGetS { array_type_index: u32 } ArrayGetU { array_type_index: u32 }
        ArraySet { array_type_index: u32 } ArrayLen
    }
    /// Arrays: many elements at a time.
    BulkArray {
        ArrayFill { array_type_index: u32 }
        ArrayCopy { array_type_index_dst: u32, array_type_index_src: u32 }
        ArrayInitData { array_type_index: u32, array_data_index: u32 }
        ArrayInitElem { array_type_index: u32, array_elem_index: u32 }
    }
    /// Small integers, and what has the same representation.
    SmallInteger { RefI31 I31GetS I31GetU AnyConvertExtern ExternConvertAny RefEq }
    /// Casts.
    Cast {
        RefTestNonNull { hty: HeapType } RefTestNullable { hty: HeapType }
        RefCastNonNull { hty: HeapType } RefCastNullable { hty: HeapType }
        BrOnCast { relative_depth: u32, from_ref_type: RefType, to_ref_type: RefType }
        BrOnCastFail { relative_depth: u32, from_ref_type: RefType, to_ref_type: RefType }
    }
    /// Tables: elements and sizes.
    Table {
        TableGet { table: u32 } TableSet { table: u32 } TableSize { table: u32 } TableGrow { table: u32 }
    }
    /// Tables: many elements at a time.
    BulkTable {
        TableFill { table: u32 } TableCopy { dst_table: u32, src_table: u32 } TableInit { elem_index: u32, table: u32 }
        ElemDrop { elem_index: u32 }
    }
    /// Memories: sizes.
    MemorySize { MemorySize { mem: u32 } MemoryGrow { mem: u32 } }
    /// Memories: many bytes at a time.
    BulkMemory {
        MemoryFill { mem: u32 } MemoryCopy { dst_mem: u32, src_mem: u32 } MemoryInit { data_index: u32, mem: u32 }
        DataDrop { data_index: u32 }
    }
    /// Loads of numbers and whole vectors.
    Load {
        I32Load { memarg: MemArg } I64Load { memarg: MemArg } F32Load { memarg: MemArg } F64Load { memarg: MemArg }
        V128Load { memarg: MemArg }
        I32Load8S { memarg: MemArg } I32Load8U { memarg: MemArg }
        I32Load16S { memarg: MemArg } I32Load16U { memarg: MemArg }
        I64Load8S { memarg: MemArg } I64Load8U { memarg: MemArg }
        I64Load16S { memarg: MemArg } I64Load16U { memarg: MemArg }
        I64Load32S { memarg: MemArg } I64Load32U { memarg: MemArg }
    }
    /// Stores of numbers and whole vectors.
    Store {
        I32Store { memarg: MemArg } I64Store { memarg: MemArg } F32Store { memarg: MemArg } F64Store { memarg: MemArg }
        V128Store { memarg: MemArg }
        I32Store8 { memarg: MemArg } I32Store16 { memarg: MemArg }
        I64Store8 { memarg: MemArg } I64Store16 { memarg: MemArg } I64Store32 { memarg: MemArg }
    }
    /// Accesses that no other thread can divide.
    Atomic {
        AtomicFence { ordering: Ordering } MemoryAtomicNotify { memarg: MemArg }
        MemoryAtomicWait32 { memarg: MemArg } MemoryAtomicWait64 { memarg: MemArg }
        I32AtomicLoad { memarg: MemArg } I64AtomicLoad { memarg: MemArg }
        I32AtomicLoad8U { memarg: MemArg } I32AtomicLoad16U { memarg: MemArg }
        I64AtomicLoad8U { memarg: MemArg } I64AtomicLoad16U { memarg: MemArg } I64AtomicLoad32U { memarg: MemArg }
        I32AtomicStore { memarg: MemArg } I64AtomicStore { memarg: MemArg }
        I32AtomicStore8 { memarg: MemArg } I32AtomicStore16 { memarg: MemArg }
        I64AtomicStore8 { memarg: MemArg } I64AtomicStore16 { memarg: MemArg } I64AtomicStore32 { memarg: MemArg }
        I32AtomicRmwAdd { memarg: MemArg } I64AtomicRmwAdd { memarg: MemArg }
        I32AtomicRmw8AddU { memarg: MemArg } I32AtomicRmw16AddU { memarg: MemArg }
        I64AtomicRmw8AddU { memarg: MemArg } I64AtomicRmw16AddU { memarg: MemArg }
        I64AtomicRmw32AddU { memarg: MemArg }
        I32AtomicRmwSub { memarg: MemArg } I64AtomicRmwSub { memarg: MemArg }
        I32AtomicRmw8SubU { memarg: MemArg } I32AtomicRmw16SubU { memarg: MemArg }
        I64AtomicRmw8SubU { memarg: MemArg } I64AtomicRmw16SubU { memarg: MemArg }
        I64AtomicRmw32SubU { memarg: MemArg }
        I32AtomicRmwAnd { memarg: MemArg } I64AtomicRmwAnd { memarg: MemArg }
        I32AtomicRmw8AndU { memarg: MemArg } I32AtomicRmw16AndU { memarg: MemArg }
        I64AtomicRmw8AndU { memarg: MemArg } I64AtomicRmw16AndU { memarg: MemArg }
        I64AtomicRmw32AndU { memarg: MemArg }
        I32AtomicRmwOr { memarg: MemArg } I64AtomicRmwOr { memarg: MemArg }
        I32AtomicRmw8OrU { memarg: MemArg } I32AtomicRmw16OrU { memarg: MemArg }
        I64AtomicRmw8OrU { memarg: MemArg } I64AtomicRmw16OrU { memarg: MemArg }
        I64AtomicRmw32OrU { memarg: MemArg }
        I32AtomicRmwXor { memarg: MemArg } I64AtomicRmwXor { memarg: MemArg }
        I32AtomicRmw8XorU { memarg: MemArg } I32AtomicRmw16XorU { memarg: MemArg }
        I64AtomicRmw8XorU { memarg: MemArg } I64AtomicRmw16XorU { memarg: MemArg }
        I64AtomicRmw32XorU { memarg: MemArg }
        I32AtomicRmwXchg { memarg: MemArg } I64AtomicRmwXchg { memarg: MemArg }
        I32AtomicRmw8XchgU { memarg: MemArg } I32AtomicRmw16XchgU { memarg: MemArg }
        I64AtomicRmw8XchgU { memarg: MemArg } I64AtomicRmw16XchgU { memarg: MemArg }
        I64AtomicRmw32XchgU { memarg: MemArg }
        I32AtomicRmwCmpxchg { memarg: MemArg } I64AtomicRmwCmpxchg { memarg: MemArg }
        I32AtomicRmw8CmpxchgU { memarg: MemArg } I32AtomicRmw16CmpxchgU { memarg: MemArg }
        I64AtomicRmw8CmpxchgU { memarg: MemArg } I64AtomicRmw16CmpxchgU { memarg: MemArg }
        I64AtomicRmw32CmpxchgU { memarg: MemArg }
    }
    /// Constants.
    Constant {
        I32Const { value: i32 } I64Const { value: i64 } F32Const { value: Ieee32 } F64Const { value: Ieee64 }
    }
    /// Arithmetic on integers.
    IntegerArithmetic {
        I32Add I64Add I32Sub I64Sub I32Mul I64Mul I32DivS I64DivS I32DivU I64DivU I32RemS I64RemS I32RemU I64RemU
        I32And I64And I32Or I64Or I32Xor I64Xor I32Shl I64Shl I32ShrS I64ShrS I32ShrU I64ShrU
        I32Rotl I64Rotl I32Rotr I64Rotr I32Clz I64Clz I32Ctz I64Ctz I32Popcnt I64Popcnt
    }
    /// Comparisons of integers.
    IntegerComparison {
        I32Eqz I64Eqz I32Eq I64Eq I32Ne I64Ne I32LtS I64LtS I32LtU I64LtU I32GtS I64GtS I32GtU I64GtU
        I32LeS I64LeS I32LeU I64LeU I32GeS I64GeS I32GeU I64GeU
    }
    /// Arithmetic on integers of 128 bits.
    WideArithmetic { I64Add128 I64Sub128 I64MulWideS I64MulWideU }
    /// Arithmetic on floats.
    FloatArithmetic {
        F32Add F64Add F32Sub F64Sub F32Mul F64Mul F32Div F64Div F32Min F64Min F32Max F64Max F32Copysign F64Copysign
        F32Abs F64Abs F32Neg F64Neg F32Sqrt F64Sqrt F32Ceil F64Ceil F32Floor F64Floor F32Trunc F64Trunc
        F32Nearest F64Nearest
    }
    /// Comparisons of floats.
    FloatComparison { F32Eq F64Eq F32Ne F64Ne F32Lt F64Lt F32Gt F64Gt F32Le F64Le F32Ge F64Ge }
    /// From integers to integers.
    IntegerConversion {
        I32WrapI64 I64ExtendI32S I64ExtendI32U
        I32Extend8S I32Extend16S I64Extend8S I64Extend16S I64Extend32S
    }
    /// From floats, to floats, and the bits of one as the other.
    FloatConversion {
        I32TruncF32S I32TruncF32U I32TruncF64S I32TruncF64U I64TruncF32S I64TruncF32U I64TruncF64S I64TruncF64U
        I32TruncSatF32S I32TruncSatF32U I32TruncSatF64S I32TruncSatF64U
        I64TruncSatF32S I64TruncSatF32U I64TruncSatF64S I64TruncSatF64U
        F32ConvertI32S F32ConvertI32U F32ConvertI64S F32ConvertI64U
        F64ConvertI32S F64ConvertI32U F64ConvertI64S F64ConvertI64U
        F32DemoteF64 F64PromoteF32
        I32ReinterpretF32 I64ReinterpretF64 F32ReinterpretI32 F64ReinterpretI64
    }
    /// Vectors as bits.
    VectorBits { V128Const { value: V128 } V128Not V128And V128Or V128Xor V128AndNot V128Bitselect V128AnyTrue }
    /// Loads that make a vector of something else than sixteen bytes.
    VectorLoad {
        V128Load8x8S { memarg: MemArg } V128Load8x8U { memarg: MemArg }
        V128Load16x4S { memarg: MemArg } V128Load16x4U { memarg: MemArg }
        V128Load32x2S { memarg: MemArg } V128Load32x2U { memarg: MemArg }
        V128Load8Splat { memarg: MemArg } V128Load16Splat { memarg: MemArg }
        V128Load32Splat { memarg: MemArg } V128Load64Splat { memarg: MemArg }
        V128Load32Zero { memarg: MemArg } V128Load64Zero { memarg: MemArg }
    }
    /// Loads and stores of one lane.
    LaneAccess {
        V128Load8Lane { memarg: MemArg, lane: u8 } V128Load16Lane { memarg: MemArg, lane: u8 }
        V128Load32Lane { memarg: MemArg, lane: u8 } V128Load64Lane { memarg: MemArg, lane: u8 }
        V128Store8Lane { memarg: MemArg, lane: u8 } V128Store16Lane { memarg: MemArg, lane: u8 }
        V128Store32Lane { memarg: MemArg, lane: u8 } V128Store64Lane { memarg: MemArg, lane: u8 }
    }
    /// Lanes that go elsewhere, or everywhere.
    LaneMove {
        I8x16Shuffle { lanes: [u8; 16] } I8x16Swizzle
        I8x16Splat I16x8Splat I32x4Splat I64x2Splat F32x4Splat F64x2Splat
    }
    /// One lane out of a vector.
    LaneExtract {
        I8x16ExtractLaneS { lane: u8 } I8x16ExtractLaneU { lane: u8 }
        I16x8ExtractLaneS { lane: u8 } I16x8ExtractLaneU { lane: u8 }
        I32x4ExtractLane { lane: u8 } I64x2ExtractLane { lane: u8 }
        F32x4ExtractLane { lane: u8 } F64x2ExtractLane { lane: u8 }
    }
    /// One lane into a vector.
    LaneReplace {
        I8x16ReplaceLane { lane: u8 } I16x8ReplaceLane { lane: u8 } I32x4ReplaceLane { lane: u8 }
        I64x2ReplaceLane { lane: u8 } F32x4ReplaceLane { lane: u8 } F64x2ReplaceLane { lane: u8 }
    }
    /// All lanes as one i32.
    LaneReduction {
        I8x16AllTrue I16x8AllTrue I32x4AllTrue I64x2AllTrue I8x16Bitmask I16x8Bitmask I32x4Bitmask I64x2Bitmask
    }
    /// Arithmetic on lanes that are integers.
    VectorArithmetic {
        I8x16Add I16x8Add I32x4Add I64x2Add I8x16Sub I16x8Sub I32x4Sub I64x2Sub I16x8Mul I32x4Mul I64x2Mul
        I8x16MinS I16x8MinS I32x4MinS I8x16MinU I16x8MinU I32x4MinU
        I8x16MaxS I16x8MaxS I32x4MaxS I8x16MaxU I16x8MaxU I32x4MaxU I8x16AvgrU I16x8AvgrU
        I8x16Abs I16x8Abs I32x4Abs I64x2Abs I8x16Neg I16x8Neg I32x4Neg I64x2Neg I8x16Popcnt
    }
    /// Arithmetic that ends at the largest or smallest number instead of wrapping around.
    SaturatingArithmetic {
        I8x16AddSatS I16x8AddSatS I8x16AddSatU I16x8AddSatU I8x16SubSatS I16x8SubSatS I8x16SubSatU I16x8SubSatU
        I16x8Q15MulrSatS
    }
    /// Shifts of all lanes.
    VectorShift {
        I8x16Shl I16x8Shl I32x4Shl I64x2Shl I8x16ShrS I16x8ShrS I32x4ShrS I64x2ShrS
        I8x16ShrU I16x8ShrU I32x4ShrU I64x2ShrU
    }
    /// Comparisons of lanes that are integers.
    VectorComparison {
        I8x16Eq I16x8Eq I32x4Eq I64x2Eq I8x16Ne I16x8Ne I32x4Ne I64x2Ne
        I8x16LtS I16x8LtS I32x4LtS I64x2LtS I8x16GtS I16x8GtS I32x4GtS I64x2GtS
        I8x16LeS I16x8LeS I32x4LeS I64x2LeS I8x16GeS I16x8GeS I32x4GeS I64x2GeS
        I8x16LtU I16x8LtU I32x4LtU I8x16GtU I16x8GtU I32x4GtU
        I8x16LeU I16x8LeU I32x4LeU I8x16GeU I16x8GeU I32x4GeU
    }
    /// Lanes of two vectors at half their width.
    Narrowing { I8x16NarrowI16x8S I16x8NarrowI32x4S I8x16NarrowI16x8U I16x8NarrowI32x4U }
    /// Half of the lanes, at twice their width.
    Extension {
        I16x8ExtendLowI8x16S I32x4ExtendLowI16x8S I64x2ExtendLowI32x4S
        I16x8ExtendHighI8x16S I32x4ExtendHighI16x8S I64x2ExtendHighI32x4S
        I16x8ExtendLowI8x16U I32x4ExtendLowI16x8U I64x2ExtendLowI32x4U
        I16x8ExtendHighI8x16U I32x4ExtendHighI16x8U I64x2ExtendHighI32x4U
    }
    /// Products of lanes that are first extended.
    ExtendedProduct {
        I16x8ExtMulLowI8x16S I32x4ExtMulLowI16x8S I64x2ExtMulLowI32x4S
        I16x8ExtMulHighI8x16S I32x4ExtMulHighI16x8S I64x2ExtMulHighI32x4S
        I16x8ExtMulLowI8x16U I32x4ExtMulLowI16x8U I64x2ExtMulLowI32x4U
        I16x8ExtMulHighI8x16U I32x4ExtMulHighI16x8U I64x2ExtMulHighI32x4U
    }
    /// Sums of neighbouring lanes, or of their products, at twice their width.
    ExtendedSum {
        I16x8ExtAddPairwiseI8x16S I32x4ExtAddPairwiseI16x8S I16x8ExtAddPairwiseI8x16U I32x4ExtAddPairwiseI16x8U
        I32x4DotI16x8S
    }
    /// Arithmetic on lanes that are floats.
    VectorFloatArithmetic {
        F32x4Add F64x2Add F32x4Sub F64x2Sub F32x4Mul F64x2Mul F32x4Div F64x2Div
        F32x4Min F64x2Min F32x4Max F64x2Max F32x4PMin F64x2PMin F32x4PMax F64x2PMax
        F32x4Abs F64x2Abs F32x4Neg F64x2Neg F32x4Sqrt F64x2Sqrt
        F32x4Ceil F64x2Ceil F32x4Floor F64x2Floor F32x4Trunc F64x2Trunc F32x4Nearest F64x2Nearest
    }
    /// Comparisons of lanes that are floats.
    VectorFloatComparison {
        F32x4Eq F64x2Eq F32x4Ne F64x2Ne F32x4Lt F64x2Lt F32x4Gt F64x2Gt F32x4Le F64x2Le F32x4Ge F64x2Ge
    }
    /// From lanes that are floats, and to such.
    VectorFloatConversion {
        I32x4TruncSatF32x4S I32x4TruncSatF32x4U I32x4TruncSatF64x2SZero I32x4TruncSatF64x2UZero
        F32x4ConvertI32x4S F32x4ConvertI32x4U F64x2ConvertLowI32x4S F64x2ConvertLowI32x4U
        F32x4DemoteF64x2Zero F64x2PromoteLowF32x4
    }
    /// Instructions for which the specification leaves a choice.
    Relaxed {
        I8x16RelaxedSwizzle
        I32x4RelaxedTruncF32x4S I32x4RelaxedTruncF32x4U I32x4RelaxedTruncF64x2SZero I32x4RelaxedTruncF64x2UZero
        F32x4RelaxedMadd F64x2RelaxedMadd F32x4RelaxedNmadd F64x2RelaxedNmadd
        I8x16RelaxedLaneselect I16x8RelaxedLaneselect I32x4RelaxedLaneselect I64x2RelaxedLaneselect
        F32x4RelaxedMin F64x2RelaxedMin F32x4RelaxedMax F64x2RelaxedMax
        I16x8RelaxedQ15mulrS I16x8RelaxedDotI8x16I7x16S I32x4RelaxedDotI8x16I7x16AddS
    }
}

/// Goes through wasmparser's list.
macro_rules! account_for {
    ($(@$proposal:ident $op:ident $({ $($field:ident: $ty:ty),* })? => $visit:ident ($($arity:tt)*))*) => {
        /// For each instruction, the feature that minirt would need to have it.
        #[allow(non_upper_case_globals, reason = "the names are wasmparser's")]
        pub(super) mod needs {
            use super::{Feature, known};
            $(pub(crate) const $op: Option<Feature> = account_for!(@refused $proposal $op);)*
        }

        #[cold]
        fn missing(op: &Operator<'_>) -> Missing {
            let feature = match op {
                $(Operator::$op { .. } => needs::$op,)*
                _ => None,
            };
            // A name, and perhaps fields.
            let text = format!("{op:?}");
            let name = text.split([' ', '{']).next().unwrap_or_default();
            unavailable(name, feature.unwrap_or_else(|| unreachable!("validation has admitted {name}")))
        }
    };

    // The proposals that are refused, and as what.
    (@refused acquire_release_atomics $op:ident) => { Some(Feature::AcquireReleaseAtomics) };
    (@refused custom_descriptors $op:ident) => { Some(Feature::CustomDescriptors) };
    (@refused memory_control $op:ident) => { Some(Feature::MemoryControl) };
    (@refused shared_everything_threads $op:ident) => { Some(Feature::SharedEverythingThreads) };
    (@refused stack_switching $op:ident) => { Some(Feature::StackSwitching) };
    // All others are there. "Cannot find value ... in module `known`" means an instruction that is
    // in no family.
    (@refused $there:ident $op:ident) => {{
        const { known::$op };
        None
    }};
}

wasmparser::for_each_operator!(account_for);

/// Returns what is missing for an instruction that needs a feature.
#[cold]
pub(super) fn unavailable(name: &str, needs: Feature) -> Missing {
    Missing::new(needs, format!("the instruction {name}"))
}
