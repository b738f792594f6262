//! Looks at each instruction while it is validated: for features that minirt lacks, and for limits.

use super::convert::{BlockType, FromParser, Known, MemArg, Missing};
use super::info::ModuleInfo;
use super::instruction::{needs, unavailable};
use super::types::{FuncType, HeapType, RefType, ValType};
use wasmparser::{
    BrTable, Catch, FrameKind, FrameStack, ModuleArity, Ordering, ResumeTable, TryTable, VisitOperator,
    VisitSimdOperator,
};

/// Validates an instruction with `valid`, and notes what is found.
pub(super) struct Visitor<'m, V> {
    pub(super) valid: V,
    pub(super) info: &'m ModuleInfo,
    pub(super) known: Known<'m>,
    pub(super) found: &'m mut Found,
}

/// Findings in a body that is valid so far.
#[derive(Default)]
pub(super) struct Found {
    /// The last instruction that minirt does not have, or whose types it does not have.
    pub(super) missing: Option<Missing>,
    /// Values that instructions pass on: parameters and results of calls and constructs, and what
    /// branches take along.
    pub(super) values: u64,
    /// How many loops the next instruction is inside.
    pub(super) loops: u64,
}

macro_rules! visit {
    ($(@$proposal:ident $op:ident $({ $($field:ident: $ty:ty),* })? => $visit:ident ($($arity:tt)*))*) => {
        $(
            #[inline]
            fn $visit(&mut self $($(, $field: $ty)*)?) -> Self::Output {
                $($(
                    if let Err(missing) = $field.check(self.known) {
                        self.found.missing = Some(missing);
                    }
                )*)?
                visit!(@gate self $proposal $op);
                if let Some(feature) = needs::$op {
                    self.found.missing = Some(unavailable(stringify!($op), feature));
                }
                visit!(@end self $op);
                visit!(@passes self $op $($($field)*)?);
                self.valid.$visit($($($field),*)?)?;
                visit!(@seen self $op $($($field)*)?);
                Ok(())
            }
        )*
    };

    // What is there, but may be off.
    (@gate $self:ident gc $op:ident) => {
        if let Err(missing) = $self.known.gc(|| concat!("the instruction ", stringify!($op)).to_owned()) {
            $self.found.missing = Some(missing);
        }
    };
    (@gate $self:ident $other:ident $op:ident) => {};

    // Afterwards the validator no longer knows what has ended.
    (@end $self:ident End) => {
        if $self.valid.current_frame() == Some(FrameKind::Loop) {
            $self.found.loops -= 1;
        }
    };
    (@end $self:ident $other:ident) => {};

    // Constructs and branches.
    (@passes $self:ident Block $ty:ident) => { $self.begins($ty) };
    (@passes $self:ident Loop $ty:ident) => { $self.begins($ty) };
    (@passes $self:ident If $ty:ident) => { $self.begins($ty) };
    (@passes $self:ident Try $ty:ident) => { $self.begins($ty) };
    (@passes $self:ident TryTable $table:ident) => { $self.begins_try(&$table) };
    (@passes $self:ident Catch $tag:ident) => { $self.catches($tag) };
    (@passes $self:ident Br $depth:ident) => { $self.branches($depth) };
    (@passes $self:ident BrIf $depth:ident) => { $self.branches($depth) };
    (@passes $self:ident BrTable $targets:ident) => {
        $self.branches($targets.default());
        $targets.targets().flatten().for_each(|depth| $self.branches(depth));
    };
    (@passes $self:ident BrOnNull $depth:ident) => { $self.branches($depth) };
    (@passes $self:ident BrOnNonNull $depth:ident) => { $self.branches($depth) };
    (@passes $self:ident BrOnCast $depth:ident $from:ident $to:ident) => { $self.branches($depth) };
    (@passes $self:ident BrOnCastFail $depth:ident $from:ident $to:ident) => { $self.branches($depth) };
    (@passes $self:ident $other:ident $($field:ident)*) => {};

    // Calls, with the index of what they call; and loops.
    (@seen $self:ident Call $func:ident) => { $self.called($self.info.func_type($func)) };
    (@seen $self:ident ReturnCall $func:ident) => { $self.called($self.info.func_type($func)) };
    (@seen $self:ident CallIndirect $ty:ident $table:ident) => { $self.called($self.info.type_at($ty)) };
    (@seen $self:ident ReturnCallIndirect $ty:ident $table:ident) => { $self.called($self.info.type_at($ty)) };
    (@seen $self:ident CallRef $ty:ident) => { $self.called($self.info.type_at($ty)) };
    (@seen $self:ident ReturnCallRef $ty:ident) => { $self.called($self.info.type_at($ty)) };
    (@seen $self:ident Loop $ty:ident) => { $self.found.loops += 1 };
    (@seen $self:ident $other:ident $($field:ident)*) => {};
}

impl<V> Visitor<'_, V> {
    fn called(&mut self, ty: &FuncType) {
        self.found.values += (ty.params().len() + ty.results().len()) as u64;
    }
}

/// These look at instructions before it is known whether they are valid: what is not there counts
/// nothing.
impl<V: ModuleArity> Visitor<'_, V> {
    fn begins(&mut self, ty: wasmparser::BlockType) {
        let (params, results) = self.valid.block_type_arity(ty).unwrap_or_default();
        self.found.values += u64::from(params) + u64::from(results);
    }

    fn begins_try(&mut self, table: &TryTable) {
        self.begins(table.ty);
        for catch in &table.catches {
            if let Catch::One { tag, .. } | Catch::OneRef { tag, .. } = catch {
                self.catches(*tag);
            }
        }
    }

    fn catches(&mut self, tag: u32) {
        self.found.values += u64::from(self.valid.tag_type_arity(tag).map_or(0, |(params, _)| params));
    }

    fn branches(&mut self, depth: u32) {
        let Some((ty, kind)) = self.valid.label_block(depth) else { return };
        let (params, results) = self.valid.block_type_arity(ty).unwrap_or_default();
        self.found.values += u64::from(if kind == FrameKind::Loop { params } else { results });
    }
}

impl<'a, V: VisitOperator<'a, Output = wasmparser::Result<()>> + ModuleArity + FrameStack> VisitOperator<'a>
    for Visitor<'_, V>
{
    type Output = wasmparser::Result<()>;

    /// Returns a visitor of vector instructions, all of which minirt has.
    fn simd_visitor(&mut self) -> Option<&mut dyn VisitSimdOperator<'a, Output = Self::Output>> {
        self.valid.simd_visitor()
    }

    wasmparser::for_each_visit_operator!(visit);
}

macro_rules! assert_there {
    ($(@$proposal:ident $op:ident $({ $($field:ident: $ty:ty),* })? => $visit:ident ($($arity:tt)*))*) => {
        const _: () = assert!(true $(&& needs::$op.is_none())*);
    };
}
wasmparser::for_each_visit_simd_operator!(assert_there);

impl<V: FrameStack> FrameStack for Visitor<'_, V> {
    fn current_frame(&self) -> Option<FrameKind> {
        self.valid.current_frame()
    }
}

/// An immediate argument of an instruction.
pub(super) trait Check {
    /// Checks that minirt has the types in it.
    fn check(&self, known: Known<'_>) -> Result<(), Missing>;
}

macro_rules! check {
    ($($ty:ty as $as:ty,)*) => {
        $(impl Check for $ty {
            #[inline]
            fn check(&self, known: Known<'_>) -> Result<(), Missing> {
                <$as>::from_parser(*self, known).map(drop)
            }
        })*
    };
    ($($plain:ty,)*) => {
        $(impl Check for $plain {
            #[inline]
            fn check(&self, _: Known<'_>) -> Result<(), Missing> {
                Ok(())
            }
        })*
    };
}

check! {
    wasmparser::ValType as ValType,
    wasmparser::HeapType as HeapType,
    wasmparser::RefType as RefType,
    wasmparser::BlockType as BlockType,
    wasmparser::MemArg as MemArg,
}

// What has no types in it.
check! {
    u32,
    i32,
    i64,
    wasmparser::Ieee32,
    wasmparser::Ieee64,
    Ordering,
    BrTable<'_>,
    ResumeTable,
}

impl Check for TryTable {
    fn check(&self, known: Known<'_>) -> Result<(), Missing> {
        self.ty.check(known)
    }
}

impl Check for Vec<wasmparser::ValType> {
    fn check(&self, known: Known<'_>) -> Result<(), Missing> {
        self.iter().try_for_each(|ty| ty.check(known))
    }
}
