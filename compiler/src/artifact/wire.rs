//! Turns values into bytes and back. Each type defines both in one place, so that the two cannot
//! drift apart.
//!
//! Small values follow each other in the *metadata*. What is large and only used in part
//! ([`Bytes`]) is set aside in the *bulk*, and the metadata says where. Reading uses it in place.
//! Values that are as large, but must be right because code relies on them, stay in the metadata
//! ([`Inline`]).
//!
//! Numbers take as many bytes as they need: most are small indices and lengths.

use crate::base::bytes::{Bytes, Record, RecordTable};
use crate::base::sorted_table::SortedTable;
use std::ops::Range;

/// No value is written as these bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Damaged;

/// Where values go.
#[derive(Default)]
pub(super) struct Writer {
    pub(super) metadata: Vec<u8>,
    pub(super) bulk: Vec<u8>,
}

/// Where values come from.
pub(super) struct Reader<'a> {
    metadata: &'a Bytes,
    /// The bytes that were not read yet. To ask their owner for each value would take longer than
    /// to read it.
    left: &'a [u8],
    bulk: &'a Bytes,
}

impl<'a> Reader<'a> {
    pub(super) fn new(metadata: &'a Bytes, bulk: &'a Bytes) -> Self {
        Self { metadata, left: metadata, bulk }
    }

    #[inline]
    fn bytes(&mut self, len: usize) -> Result<&'a [u8], Damaged> {
        let (bytes, left) = self.left.split_at_checked(len).ok_or(Damaged)?;
        self.left = left;
        Ok(bytes)
    }

    fn left(&self) -> usize {
        self.left.len()
    }

    /// Checks that everything has been read.
    pub(super) fn end(self) -> Result<(), Damaged> {
        if self.left() == 0 { Ok(()) } else { Err(Damaged) }
    }
}

/// A value that can be written and read back.
pub(super) trait Wire: Sized {
    fn put(&self, out: &mut Writer);
    fn take(from: &mut Reader<'_>) -> Result<Self, Damaged>;
}

impl Wire for u8 {
    fn put(&self, out: &mut Writer) {
        out.metadata.push(*self);
    }
    fn take(from: &mut Reader<'_>) -> Result<Self, Damaged> {
        Ok(from.bytes(1)?[0])
    }
}

/// LEB128, as in WebAssembly: seven bits in a byte, the lowest first. The eighth says that more
/// follow.
impl Wire for u64 {
    fn put(&self, out: &mut Writer) {
        let mut rest = *self;
        while rest >= 0x80 {
            out.metadata.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        out.metadata.push(rest as u8);
    }
    #[inline]
    fn take(from: &mut Reader<'_>) -> Result<Self, Damaged> {
        // Most numbers take one byte.
        if let [byte @ 0..0x80, left @ ..] = from.left {
            from.left = left;
            return Ok(u64::from(*byte));
        }
        let mut value = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = u8::take(from)?;
            let bits = u64::from(byte & 0x7f);
            value |= bits << shift;
            if value >> shift != bits {
                return Err(Damaged);
            }
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Damaged)
    }
}

/// The sign is the lowest bit, so that numbers close to zero are short.
impl Wire for i64 {
    fn put(&self, out: &mut Writer) {
        (((self << 1) ^ (self >> 63)) as u64).put(out);
    }
    fn take(from: &mut Reader<'_>) -> Result<Self, Damaged> {
        let bits = u64::take(from)?;
        Ok((bits >> 1) as i64 ^ -((bits & 1) as i64))
    }
}

macro_rules! numbers {
    ($($number:ty as $wide:ty,)*) => {
        $(impl Wire for $number {
            fn put(&self, out: &mut Writer) {
                (*self as $wide).put(out);
            }
            fn take(from: &mut Reader<'_>) -> Result<Self, Damaged> {
                Self::try_from(<$wide>::take(from)?).map_err(|_| Damaged)
            }
        })*
    };
}

numbers! { u32 as u64, usize as u64, i32 as i64, }

impl Wire for u128 {
    fn put(&self, out: &mut Writer) {
        out.metadata.extend_from_slice(&self.to_le_bytes());
    }
    fn take(from: &mut Reader<'_>) -> Result<Self, Damaged> {
        from.bytes(size_of::<Self>())?.try_into().map(Self::from_le_bytes).map_err(|_| Damaged)
    }
}

macro_rules! structs {
    ($($name:ident { $($field:ident)* })*) => {
        $(impl Wire for $name {
            fn put(&self, out: &mut Writer) {
                $(self.$field.put(out);)*
            }
            fn take(from: &mut Reader<'_>) -> Result<Self, Damaged> {
                Ok(Self { $($field: Wire::take(from)?,)* })
            }
        })*
    };
}

pub(super) use structs;

/// Enums are a byte for the variant, then its fields.
macro_rules! enums {
    ($($name:ident { $($code:literal = $variant:ident $(($field:ident))? $({ $($named:ident)* })?,)* })*) => {
        $(impl Wire for $name {
            fn put(&self, out: &mut Writer) {
                match self {
                    $(Self::$variant $(($field))? $({ $($named),* })? => {
                        out.metadata.push($code);
                        $($field.put(out);)?
                        $($($named.put(out);)*)?
                    })*
                }
            }
            fn take(from: &mut Reader<'_>) -> Result<Self, Damaged> {
                match u8::take(from)? {
                    $($code => {
                        $(let $field = Wire::take(from)?;)?
                        $($(let $named = Wire::take(from)?;)*)?
                        Ok(Self::$variant $(($field))? $({ $($named),* })?)
                    })*
                    _ => Err(Damaged),
                }
            }
        })*
    };
}

pub(super) use enums;

impl Wire for bool {
    fn put(&self, out: &mut Writer) {
        u8::from(*self).put(out);
    }
    fn take(from: &mut Reader<'_>) -> Result<Self, Damaged> {
        match u8::take(from)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Damaged),
        }
    }
}

impl<T: Wire> Wire for Option<T> {
    fn put(&self, out: &mut Writer) {
        self.is_some().put(out);
        self.iter().for_each(|value| value.put(out));
    }
    fn take(from: &mut Reader<'_>) -> Result<Self, Damaged> {
        if bool::take(from)? { T::take(from).map(Some) } else { Ok(None) }
    }
}

impl<T: Wire> Wire for Vec<T> {
    fn put(&self, out: &mut Writer) {
        self.len().put(out);
        self.iter().for_each(|item| item.put(out));
    }
    fn take(from: &mut Reader<'_>) -> Result<Self, Damaged> {
        let len = usize::take(from)?;
        // Every value takes at least a byte, so a length that cannot be right reserves nothing.
        if len > from.left() {
            return Err(Damaged);
        }
        (0..len).map(|_| T::take(from)).collect()
    }
}

impl<A: Wire, B: Wire> Wire for (A, B) {
    fn put(&self, out: &mut Writer) {
        self.0.put(out);
        self.1.put(out);
    }
    fn take(from: &mut Reader<'_>) -> Result<Self, Damaged> {
        Ok((A::take(from)?, B::take(from)?))
    }
}

impl<T: Wire> Wire for Range<T> {
    fn put(&self, out: &mut Writer) {
        self.start.put(out);
        self.end.put(out);
    }
    fn take(from: &mut Reader<'_>) -> Result<Self, Damaged> {
        Ok(T::take(from)?..T::take(from)?)
    }
}

impl Wire for String {
    fn put(&self, out: &mut Writer) {
        self.len().put(out);
        out.metadata.extend_from_slice(self.as_bytes());
    }
    fn take(from: &mut Reader<'_>) -> Result<Self, Damaged> {
        let len = usize::take(from)?;
        std::str::from_utf8(from.bytes(len)?).map(str::to_owned).map_err(|_| Damaged)
    }
}

/// Set aside in the bulk, which the digest of the metadata does not cover.
impl Wire for Bytes {
    fn put(&self, out: &mut Writer) {
        (out.bulk.len()..out.bulk.len() + self.len()).put(out);
        out.bulk.extend_from_slice(self);
    }
    fn take(from: &mut Reader<'_>) -> Result<Self, Damaged> {
        let range = <Range<usize> as Wire>::take(from)?;
        from.bulk.part(range).ok_or(Damaged)
    }
}

impl<T: Record> Wire for RecordTable<T> {
    fn put(&self, out: &mut Writer) {
        self.as_bytes().put(out);
    }
    fn take(from: &mut Reader<'_>) -> Result<Self, Damaged> {
        Bytes::take(from).map(Self::from_bytes)
    }
}

impl<T: Record> Wire for SortedTable<T> {
    fn put(&self, out: &mut Writer) {
        self.as_bytes().put(out);
    }
    fn take(from: &mut Reader<'_>) -> Result<Self, Damaged> {
        Bytes::take(from).map(Self::from_bytes)
    }
}

/// Bytes that are used in place, and are part of the metadata, under its digest.
pub(super) struct Inline(pub(super) Bytes);

impl Wire for Inline {
    fn put(&self, out: &mut Writer) {
        self.0.len().put(out);
        out.metadata.extend_from_slice(&self.0);
    }
    fn take(from: &mut Reader<'_>) -> Result<Self, Damaged> {
        let len = usize::take(from)?;
        from.bytes(len)?;
        let end = from.metadata.len() - from.left();
        from.metadata.part(end - len..end).map(Self).ok_or(Damaged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn again<T: Wire>(value: &T) -> (Result<T, Damaged>, usize) {
        let mut out = Writer::default();
        value.put(&mut out);
        let len = out.metadata.len();
        (T::take(&mut Reader::new(&out.metadata.into(), &out.bulk.into())), len)
    }

    #[test]
    fn numbers_come_back_and_small_ones_are_short() {
        let edges = (0..64).flat_map(|bit| [1_u64 << bit, (1 << bit) - 1, u64::MAX >> bit]);
        for number in edges {
            assert_eq!(again(&number).0, Ok(number));
            assert_eq!(again(&(number as i64)).0, Ok(number as i64));
            assert_eq!(again(&(number as i32)).0, Ok(number as i32));
            assert_eq!(again(&(number as i64).wrapping_neg()).0, Ok((number as i64).wrapping_neg()));
        }
        assert_eq!((again(&127_u64).1, again(&128_u64).1, again(&-64_i64).1, again(&u64::MAX).1), (1, 2, 1, 10));
    }

    #[test]
    fn a_number_that_is_too_large_for_its_type_is_refused() {
        let read = |bytes: &[u8]| u64::take(&mut Reader::new(&bytes.to_vec().into(), &Bytes::default()));
        assert_eq!(read(&[&[0xff; 9][..], &[1]].concat()), Ok(u64::MAX));
        assert_eq!(read(&[&[0xff; 9][..], &[2]].concat()), Err(Damaged));
        assert_eq!(read(&[&[0x80; 10][..], &[1]].concat()), Err(Damaged));
        let mut out = Writer::default();
        (1_u64 << 32).put(&mut out);
        assert_eq!(u32::take(&mut Reader::new(&out.metadata.into(), &Bytes::default())), Err(Damaged));
    }
}
