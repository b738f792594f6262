//! Shapes of objects: how large they are, and where in them references are.

use minirt_compiler::instance::layout::object::{ALIGN, FIELDS, field_offsets, storage_size};
use minirt_compiler::module::{CompositeType, RefKind, StorageType, ValType};
use rustc_hash::FxHashMap;

/// The kind of value in a part of an object, as far as a collector cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    /// Nothing that it has to look at.
    Nothing,
    /// A reference of 32 bits.
    Reference,
    /// A reference to an exception, of 64 bits.
    Exception,
}

impl Holds {
    fn of(ty: StorageType) -> Self {
        match ty {
            StorageType::ValType(ValType::Ref(ty)) if ty.heap.is_traced() => match ty.heap.kind() {
                RefKind::Any | RefKind::Extern => Self::Reference,
                RefKind::Exn => Self::Exception,
                RefKind::Func => Self::Nothing,
            },
            _ => Self::Nothing,
        }
    }
}

/// The shape of the objects of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Of a structure that is not large and holds no exceptions, as nearly all are.
    Small {
        /// Its size, in words of 64 bits.
        words: u32,
        /// Its references: bit `n` stands for the 32 bits at `4 * n` bytes.
        references: u64,
    },
    /// Of any other structure.
    Struct {
        /// Its size, in words of 64 bits.
        words: u32,
        /// Its references: their places in the list of offsets. Those of 32 bits come first.
        first: u32,
        /// Where those to exceptions start.
        exceptions: u32,
        /// Where they end.
        end: u32,
    },
    /// Of an array.
    Array {
        /// The size of an element, in bytes.
        element: u32,
        /// The kind of value in each element.
        holds: Holds,
    },
}

impl Shape {
    /// Returns how many words an object has. `len` is an array's length.
    pub(super) fn words(self, len: u32) -> u64 {
        match self {
            Self::Small { words, .. } | Self::Struct { words, .. } => words.into(),
            Self::Array { element, .. } => (FIELDS + u64::from(len) * u64::from(element)).div_ceil(ALIGN),
        }
    }
}

/// How many shapes are at hand: a power of two. Programs have few types of which there are many
/// objects.
const AT_HAND: usize = 64;

/// Stands for no type. No number has the highest bit.
const NO_TYPE: u32 = u32::MAX;

/// The shapes of the types whose objects were seen in a heap. A type keeps its number as long as
/// there are objects of it.
#[derive(Debug, Default)]
pub(crate) struct Shapes {
    known: FxHashMap<u32, Shape>,
    /// Where structures hold references, as distances from the object in bytes.
    offsets: Vec<u32>,
    /// Types that were asked for, each in the place that its number gives. Empty until the first
    /// is.
    at_hand: Vec<(u32, Shape)>,
}

impl Shapes {
    /// Returns the shape of a type, by the engine's number for it. `describe` gives the type if it
    /// is not known yet.
    #[inline]
    pub(super) fn find(&mut self, number: u32, describe: impl FnOnce(u32) -> Option<CompositeType>) -> Option<Shape> {
        match self.at_hand.get(number as usize % AT_HAND) {
            Some((known, shape)) if *known == number => Some(*shape),
            _ => self.look_up(number, describe),
        }
    }

    #[cold]
    fn look_up(&mut self, number: u32, describe: impl FnOnce(u32) -> Option<CompositeType>) -> Option<Shape> {
        let shape = match self.known.get(&number) {
            Some(shape) => *shape,
            None => self.add(number, &describe(number)?)?,
        };
        if self.at_hand.is_empty() {
            self.at_hand = vec![(NO_TYPE, shape); AT_HAND];
        }
        self.at_hand[number as usize % AT_HAND] = (number, shape);
        Some(shape)
    }

    /// Returns a place of a structure's references: a distance from the object in bytes.
    #[inline]
    pub(super) fn offset(&self, place: u32) -> u32 {
        self.offsets[place as usize]
    }

    fn add(&mut self, number: u32, ty: &CompositeType) -> Option<Shape> {
        let shape = match ty {
            CompositeType::Func(_) => return None,
            CompositeType::Array(ty) => {
                let element = ty.element_type();
                Shape::Array { element: storage_size(element) as u32, holds: Holds::of(element) }
            }
            CompositeType::Struct(ty) => {
                let offsets = field_offsets(ty);
                let held = |wanted: Holds| {
                    let fields = ty.fields().iter().zip(&offsets);
                    let held = fields.filter(move |(field, _)| Holds::of(field.element) == wanted);
                    held.map(|(_, offset)| *offset as u32)
                };
                let words = (offsets[ty.fields().len()] / ALIGN) as u32;
                let references = held(Holds::Reference).try_fold(0, |all, at| Some(all | 1_u64.checked_shl(at / 4)?));
                match references {
                    Some(references) if held(Holds::Exception).next().is_none() => Shape::Small { words, references },
                    _ => {
                        let first = self.offsets.len() as u32;
                        self.offsets.extend(held(Holds::Reference));
                        let exceptions = self.offsets.len() as u32;
                        self.offsets.extend(held(Holds::Exception));
                        Shape::Struct { words, first, exceptions, end: self.offsets.len() as u32 }
                    }
                }
            }
        };
        self.known.insert(number, shape);
        Some(shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use minirt_compiler::module::{ArrayType, FieldType, HeapType, Mutability, RefType, StructType};

    fn reference(heap: HeapType) -> StorageType {
        ValType::Ref(RefType::new(true, heap)).into()
    }

    fn field(element: StorageType) -> FieldType {
        FieldType::new(Mutability::Var, element)
    }

    #[test]
    fn a_structure_has_its_references_where_the_layout_puts_them() {
        let fields = [
            reference(HeapType::Exn),
            StorageType::I8,
            reference(HeapType::Any),
            reference(HeapType::Func),
            reference(HeapType::I31),
            reference(HeapType::Extern),
        ];
        let ty = CompositeType::Struct(StructType::new(fields.map(field)));
        let mut shapes = Shapes::default();
        let shape = shapes.find(7, |_| Some(ty)).unwrap();
        let Shape::Struct { words, first, exceptions, end } = shape else { panic!("{shape:?}") };
        assert_eq!(words, 5);
        let offsets = |range: std::ops::Range<u32>| range.map(|place| shapes.offset(place)).collect::<Vec<_>>();
        assert_eq!((offsets(first..exceptions), offsets(exceptions..end)), (vec![20, 36], vec![8]));
        assert_eq!(shapes.find(7, |_| unreachable!("it is known")), Some(shape));
        assert_eq!(shapes.find(8, |_| None), None);
    }

    #[test]
    fn references_of_small_structures_are_bits_and_others_are_listed() {
        let shape = |fields: Vec<StorageType>| {
            let ty = CompositeType::Struct(StructType::new(fields.into_iter().map(field)));
            Shapes::default().find(7, |_| Some(ty)).unwrap()
        };
        let (any, long) = (reference(HeapType::Any), ValType::I64.into());
        assert_eq!(shape(vec![]), Shape::Small { words: 1, references: 0 });
        assert_eq!(shape(vec![any, StorageType::I8, long, any]), Shape::Small { words: 4, references: 0b100_0100 });
        // The last reference with a bit is at 252 bytes.
        let many = |count: usize| [vec![long; count], vec![any, any]].concat();
        assert_eq!(shape(many(30)), Shape::Small { words: 32, references: 0b11 << 62 });
        let large = Shape::Struct { words: 33, first: 0, exceptions: 2, end: 2 };
        assert_eq!(shape(many(31)), large);
    }

    #[test]
    fn types_whose_numbers_have_one_place_at_hand_do_not_take_each_others_shape() {
        let mut shapes = Shapes::default();
        let bytes = |count: usize| {
            move |_| Some(CompositeType::Struct(StructType::new((0..count).map(|_| field(ValType::I64.into())))))
        };
        let same_place = 5 + AT_HAND as u32;
        for _ in 0..2 {
            assert_eq!(shapes.find(5, bytes(1)), Some(Shape::Small { words: 2, references: 0 }));
            assert_eq!(shapes.find(same_place, bytes(2)), Some(Shape::Small { words: 3, references: 0 }));
        }
    }

    #[test]
    fn the_size_of_an_array_never_wraps() {
        let vectors = ArrayType::new(field(ValType::V128.into()));
        let shape = Shapes::default().find(1, |_| Some(CompositeType::Array(vectors))).unwrap();
        assert_eq!([0, 1, u32::MAX].map(|len| shape.words(len)), [1, 3, 1 + 2 * u64::from(u32::MAX)]);
        let bytes = ArrayType::new(field(StorageType::I8));
        let shape = Shapes::default().find(1, |_| Some(CompositeType::Array(bytes))).unwrap();
        assert_eq!([0, 1, 8, 9].map(|len| shape.words(len)), [1, 2, 2, 3]);
    }
}
