//! Lays out objects: what stands where in a structure or array, and what references to them are.
//!
//! All structures and arrays of a store are in its *heap*: the linear memory of an instance that
//! has nothing else. Offsets count from the heap's *base*, which lies [`BIAS`] bytes before that
//! memory, in its guard. So an access through null faults, whatever the field.
//!
//! ```text
//!  base              base + BIAS                                    base + 4 GiB
//!  +-----------------+---------+-----------------------+------------+
//!  | guard: null     | control | objects, in a row ... | nothing    |
//!  +-----------------+---------+-----------------------+------------+
//!  ^ reference 0                                         no reference leads beyond
//! ```
//!
//! A reference is a 32-bit number, held in 64 bits except within objects. 0 is null. The lowest
//! bits say what else it is: 1 for an `i31`, whose value is above it; [`HOST_TAG`] for a value of
//! the host; and 0 for an object, whose offset it is.
//!
//! An object starts with 8 bytes. The first four are its type's number in the engine, with
//! [`ARRAY_FLAG`] for an array; in the image of a module that is not loaded they have the type's
//! canonical index. The others are an array's length. Fields are in the order in which they are
//! declared, each aligned to its size. So those of a supertype are where they are in its subtypes.
//! Nothing in an object depends on where the heap is: a reference to a function is the distance
//! from the vmctx of the instance that brought the heap.

use super::slot::MEMORY_RESERVED;
use crate::module::{ArrayType, CompositeType, Contents, FieldType, RefKind, StorageType, StructType, ValType};
use std::ops::Range;

/// Bytes from the base of a heap to its first accessible byte. No field of a structure is further
/// away than that.
pub const BIAS: u64 = 1 << 20;
/// The most bytes of a heap. The offset of each has 32 bits.
pub const HEAP_MAX: u64 = MEMORY_RESERVED - BIAS;
/// Where the offset of the next object stands, from the base. 64 bits.
pub const NEXT: u64 = BIAS;
/// Where the offset stands up to which objects can be made, from the base. 64 bits.
pub const LIMIT: u64 = BIAS + 8;
/// The offset of the first object.
pub const FIRST: u64 = BIAS + 16;

/// Where an object's type is.
pub const TYPE: i32 = 0;
/// Where an array's length is.
pub const LENGTH: i32 = 4;
/// Where fields and elements start.
pub const FIELDS: u64 = 8;
/// Marks the type of an array.
pub const ARRAY_FLAG: u32 = 1 << 31;
/// Objects start and end at multiples of this many bytes.
pub const ALIGN: u64 = 8;

/// The lowest bits of a reference: 0 if it leads to an object.
pub const TAG_MASK: u32 = 7;
/// The lowest bits of a reference to a value of the host. Above them is the number of the value.
pub const HOST_TAG: u32 = 2;
/// The lowest bits of a reference to an exception. It never is where one of the others can be.
pub const EXCEPTION_TAG: u32 = 4;

/// Returns the bytes that a field or element takes. It is aligned to as many, but for vectors,
/// which are aligned to 8.
pub const fn storage_size(ty: StorageType) -> u64 {
    match ty {
        StorageType::I8 => 1,
        StorageType::I16 => 2,
        StorageType::ValType(ValType::I32 | ValType::F32) => 4,
        StorageType::ValType(ValType::I64 | ValType::F64) => 8,
        StorageType::ValType(ValType::V128) => 16,
        StorageType::ValType(ValType::Ref(ty)) => match ty.heap.kind() {
            RefKind::Any | RefKind::Extern => 4,
            RefKind::Func | RefKind::Exn => 8,
        },
    }
}

/// Returns where each field of a structure begins and ends.
fn field_ranges(ty: &StructType) -> impl Iterator<Item = Range<u64>> {
    let mut end = FIELDS;
    ty.fields().iter().map(move |field| {
        let size = storage_size(field.element);
        let at = end.next_multiple_of(size.min(ALIGN));
        end = at + size;
        at..end
    })
}

/// Returns where a field of a structure is, if there is one with this index.
pub fn field_offset(ty: &StructType, index: usize) -> Option<u64> {
    field_ranges(ty).nth(index).map(|range| range.start)
}

/// Returns where each field of a structure is, and behind them the size of the whole.
pub fn field_offsets(ty: &StructType) -> Vec<u64> {
    let mut end = FIELDS;
    let mut offsets = Vec::with_capacity(ty.fields().len() + 1);
    offsets.extend(field_ranges(ty).inspect(|range| end = range.end).map(|range| range.start));
    offsets.push(end.next_multiple_of(ALIGN));
    offsets
}

/// Returns the size of an array with so many elements.
pub fn array_size(ty: &ArrayType, len: u32) -> u64 {
    (FIELDS + u64::from(len) * storage_size(ty.element_type())).next_multiple_of(ALIGN)
}

/// Returns the places of what an object holds and their types, and behind them the size of the
/// whole. `len` is the length of an array.
pub fn parts(ty: &CompositeType, len: u32) -> Parts<'_> {
    match ty {
        CompositeType::Struct(ty) => {
            let mut offsets = field_offsets(ty);
            let size = offsets.pop().expect("the size is the last");
            Parts { size, kind: PartsKind::Fields(ty.fields(), offsets) }
        }
        CompositeType::Array(ty) => {
            Parts { size: array_size(ty, len), kind: PartsKind::Elements(ty.element_type(), len) }
        }
        CompositeType::Func(_) => unreachable!("functions are not in the heap"),
    }
}

/// The parts of an object.
#[derive(Debug)]
pub struct Parts<'a> {
    /// Its size in bytes.
    pub size: u64,
    kind: PartsKind<'a>,
}

#[derive(Debug)]
enum PartsKind<'a> {
    Fields(&'a [FieldType], Vec<u64>),
    Elements(StorageType, u32),
}

impl Parts<'_> {
    /// Returns where each part is, as a distance from the object, and what it holds.
    pub fn iter(&self) -> Box<dyn Iterator<Item = (u64, StorageType)> + '_> {
        match &self.kind {
            PartsKind::Fields(fields, offsets) => {
                Box::new(offsets.iter().copied().zip(fields.iter().map(|field| field.element)))
            }
            PartsKind::Elements(ty, len) => {
                let size = storage_size(*ty);
                Box::new((0..u64::from(*len)).map(move |index| (FIELDS + index * size, *ty)))
            }
        }
    }
}

/// Appends an object to others, as they are in a heap: `number` is that of its type. `None` if it
/// needs more than `room` bytes.
pub fn append(objects: &mut Vec<u8>, room: u64, number: u32, ty: &CompositeType, contents: Contents<'_>) -> Option<()> {
    let (flag, len) = match (ty, contents) {
        (CompositeType::Array(_), Contents::Values(values)) => (ARRAY_FLAG, values.len() as u32),
        (CompositeType::Array(_), Contents::Repeat(_, len)) => (ARRAY_FLAG, len),
        (CompositeType::Array(_) | CompositeType::Struct(_) | CompositeType::Func(_), _) => (0, 0),
    };
    let parts = parts(ty, len);
    if parts.size > room {
        return None;
    }
    let start = objects.len();
    objects.resize(start + parts.size as usize, 0);
    let object = &mut objects[start..];
    object[..4].copy_from_slice(&(number | flag).to_le_bytes());
    object[4..8].copy_from_slice(&len.to_le_bytes());
    let mut put = |at: u64, ty: StorageType, value: u128| {
        let size = storage_size(ty) as usize;
        object[at as usize..at as usize + size].copy_from_slice(&value.to_le_bytes()[..size]);
    };
    match contents {
        Contents::Values(values) => parts.iter().zip(values).for_each(|((at, ty), value)| put(at, ty, *value)),
        Contents::Repeat(0, _) | Contents::Default => {}
        Contents::Repeat(value, _) => parts.iter().for_each(|(at, ty)| put(at, ty, value)),
    }
    Some(())
}

/// The most fields of a structure, by wasmparser's limit, are all within reach of null.
const _: () = assert!(FIELDS + 10_000 * 16 < BIAS);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::module::{HeapType, Mutability, RefType};

    #[test]
    fn fields_are_aligned_and_those_of_a_supertype_are_where_they_are_in_its_subtypes() {
        let reference = |heap| ValType::Ref(RefType::new(true, heap)).into();
        let all = [
            StorageType::I8,
            ValType::I64.into(),
            StorageType::I16,
            reference(HeapType::Any),
            reference(HeapType::Func),
            ValType::V128.into(),
            StorageType::I8,
        ]
        .map(|element: StorageType| FieldType::new(Mutability::Var, element));
        let offsets = field_offsets(&StructType::new(all));
        assert_eq!(offsets, [8, 16, 24, 28, 32, 40, 56, 64]);
        let ty = StructType::new(all);
        assert_eq!([0, 6, 7].map(|index| field_offset(&ty, index)), [Some(8), Some(56), None]);
        for len in 0..all.len() {
            assert_eq!(field_offsets(&StructType::new(all[..len].to_vec()))[..len], offsets[..len]);
        }
        assert_eq!(field_offsets(&StructType::new([])), [8]);
    }

    #[test]
    fn the_size_of_an_array_never_wraps() {
        let array = |element: StorageType| ArrayType::new(FieldType::new(Mutability::Var, element));
        assert_eq!(array_size(&array(StorageType::I8), 0), 8);
        assert_eq!(array_size(&array(StorageType::I8), 1), 16);
        assert!(array_size(&array(ValType::V128.into()), u32::MAX) > HEAP_MAX);
    }
}
