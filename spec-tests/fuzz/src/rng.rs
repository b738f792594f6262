//! Numbers and values from a seed: the same on every machine, so that a seed names a test.

use minirt_runtimes::value::{Kind, Object, Type, Value};

/// SplitMix64.
pub(crate) struct Rng(u64);

impl Rng {
    /// Streams of one seed differ by `purpose`, so that asking more often in one place changes
    /// nothing in another.
    pub(crate) fn new(seed: u64, purpose: u64) -> Self {
        let mut mixer = Self(seed ^ purpose.wrapping_mul(0xa076_1d64_78bd_642f));
        Self(mixer.next())
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns a number below `end`, which is not 0.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// Returns true once in `n` times.
    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len.div_ceil(8)).flat_map(|_| self.next().to_le_bytes()).take(len).collect()
    }

    /// Returns a value of a type, often an interesting one. `None` if the host has none.
    pub(crate) fn value(&mut self, ty: Type) -> Option<Value> {
        Some(match ty {
            Type::I32 => Value::I32(self.number() as u32),
            Type::I64 => Value::I64(self.number()),
            Type::F32 if self.one_in(2) => Value::F32((self.number() as i32 as f32).to_bits()),
            Type::F32 => Value::F32(quiet_32(self.next() as u32)),
            Type::F64 if self.one_in(2) => Value::F64((self.number() as i64 as f64).to_bits()),
            Type::F64 => Value::F64(quiet_64(self.next())),
            Type::V128 => Value::V128(u128::from(self.number()) << 64 | u128::from(self.number())),
            Type::Ref { kind, nullable, open } => return self.reference(kind, nullable, open),
        })
    }

    fn reference(&mut self, kind: Kind, nullable: bool, open: bool) -> Option<Value> {
        // The same numbers for the same seed, whatever may be null.
        let number = (open && !self.one_in(3)).then(|| self.below(100) as u32);
        let number = if open && !nullable { number.or(Some(0)) } else { number };
        match kind {
            _ if !nullable && number.is_none() => None,
            Kind::Func => Some(Value::Func { null: true }),
            Kind::Exn => Some(Value::Exn { null: true }),
            Kind::Extern => Some(Value::Extern(number.map(Object::Host))),
            Kind::Any => Some(Value::Any(number.map(Object::I31))),
        }
    }

    /// Returns a number that is often an interesting one.
    fn number(&mut self) -> u64 {
        const EDGES: [u64; 10] =
            [0, 1, u64::MAX, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 1 << 63, u64::MAX >> 1, 0xfffc, 0x1_0000];
        match self.below(3) {
            0 => self.pick(&EDGES),
            1 => self.below(1 << 17),
            _ => self.next(),
        }
    }
}

/// Signalling NaNs may become quiet whenever a host touches them, so there are none among the
/// arguments.
fn quiet_32(bits: u32) -> u32 {
    if f32::from_bits(bits).is_nan() { f32::NAN.to_bits() } else { bits }
}

fn quiet_64(bits: u64) -> u64 {
    if f64::from_bits(bits).is_nan() { f64::NAN.to_bits() } else { bits }
}
