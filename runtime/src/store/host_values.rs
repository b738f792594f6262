//! Holds the values of the embedder that Wasm has references to.
//!
//! A reference is a number with a mark ([`HOST_TAG`]). A collector marks the values that it finds
//! references to, wherever they may be. The others are dropped, and their numbers used again.

use minirt_compiler::instance::layout::object::{HOST_TAG, TAG_MASK};
use std::any::Any;

/// Bits of a reference below the number.
const TAG_BITS: u32 = TAG_MASK.count_ones();

/// The most values of a store: a reference has 32 bits.
const MOST: usize = 1 << (u32::BITS - TAG_BITS);

/// How many values there are to be at least before somebody looks which of them are needed.
const FEW: usize = 1024;

/// A value of the embedder.
pub(crate) type HostValue = Box<dyn Any + Send + Sync>;

/// All values of a store.
#[derive(Default)]
pub(crate) struct HostValues {
    values: Vec<Option<HostValue>>,
    /// Numbers without a value.
    free: Vec<u32>,
    /// Which values a collector has found: one bit for each.
    marks: Vec<u64>,
    /// How many values there are to be before somebody looks which of them are needed.
    enough: usize,
}

/// Returns the number in a reference. `None` if it is not one to a value of the embedder.
fn number(word: u64) -> Option<usize> {
    (word as u32 & TAG_MASK == HOST_TAG).then_some((word as u32 >> TAG_BITS) as usize)
}

impl HostValues {
    /// Returns whether it is time to look which values are still needed, before one is added.
    pub(crate) fn is_time_to_look(&self) -> bool {
        self.len() >= self.enough.max(FEW)
    }

    /// Adds a value, and returns the reference to it as Wasm holds it. Gives the value back if
    /// there are too many.
    pub(crate) fn add(&mut self, value: HostValue) -> Result<u64, HostValue> {
        let number = match self.free.pop() {
            Some(number) => number,
            None if self.values.len() == MOST => return Err(value),
            None => {
                self.values.push(None);
                self.values.len() as u32 - 1
            }
        };
        self.values[number as usize] = Some(value);
        Ok(u64::from(number << TAG_BITS | HOST_TAG))
    }

    /// Returns the value that a reference leads to.
    pub(crate) fn get(&self, word: u64) -> Option<&HostValue> {
        self.values.get(number(word)?)?.as_ref()
    }

    /// Returns the value that a reference leads to, to be changed.
    pub(crate) fn get_mut(&mut self, word: u64) -> Option<&mut HostValue> {
        self.values.get_mut(number(word)?)?.as_mut()
    }

    /// Returns how many there are.
    pub(crate) fn len(&self) -> usize {
        self.values.len() - self.free.len()
    }

    /// Notes that there is a reference to a value. Any other word means nothing here.
    pub(crate) fn mark(&mut self, word: u64) {
        let Some(number) = number(word).filter(|number| *number < self.values.len()) else { return };
        let words = self.values.len().div_ceil(64);
        if self.marks.len() < words {
            self.marks.resize(words, 0);
        }
        self.marks[number / 64] |= 1 << (number % 64);
    }

    /// Takes out all values that are not marked. The caller drops them when the store can bear the
    /// embedder's code, which may panic.
    #[must_use = "dropping the values runs the embedder's code"]
    pub(crate) fn sweep(&mut self) -> Vec<HostValue> {
        let marks = std::mem::take(&mut self.marks);
        let is_marked =
            |number: u32| marks.get(number as usize / 64).is_some_and(|mark| mark >> (number % 64) & 1 == 1);
        let mut dead = Vec::new();
        for (number, place) in (0..).zip(&mut self.values) {
            if let Some(value) = place.take_if(|_| !is_marked(number)) {
                dead.push(value);
                self.free.push(number);
            }
        }
        self.enough = 2 * self.len();
        dead
    }

    /// Decides when to look the next time: not before there is a value for each 256 bytes that the
    /// last collection has looked at or moved.
    pub(crate) fn set_pace(&mut self, cost: u64) {
        self.enough = self.enough.max(usize::try_from(cost / 256).unwrap_or(usize::MAX));
    }

    /// Returns how many numbers there are, with and without a value.
    pub(crate) fn places(&self) -> usize {
        self.values.len()
    }
}

impl std::fmt::Debug for HostValues {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HostValues").field("len", &self.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(values: &HostValues, word: u64) -> Option<u32> {
        values.get(word).map(|value| *value.downcast_ref::<u32>().unwrap())
    }

    #[test]
    fn what_is_not_marked_is_given_up_and_its_number_used_again() {
        let mut values = HostValues::default();
        let words: Vec<u64> = (0..200_u32).map(|n| values.add(Box::new(n)).unwrap()).collect();
        words.iter().skip(1).step_by(2).for_each(|word| values.mark(*word));
        [0, 7, 8, 12, u64::from(u32::MAX)].iter().for_each(|other| values.mark(*other));
        let dead = values.sweep();
        assert_eq!((dead.len(), values.len()), (100, 100));
        assert!(dead.iter().all(|value| value.downcast_ref::<u32>().unwrap().is_multiple_of(2)));
        for (n, word) in (0..).zip(&words) {
            assert_eq!(found(&values, *word), (n % 2 == 1).then_some(n));
        }
        let again = values.add(Box::new(1000_u32)).unwrap();
        assert!(words.contains(&again));
        assert_eq!((found(&values, again), values.len()), (Some(1000), 101));
        assert_eq!((values.sweep().len(), values.len()), (101, 0), "marks are not kept");
    }

    #[test]
    fn a_value_that_came_after_the_marks_began_can_be_marked() {
        let mut values = HostValues::default();
        let first = values.add(Box::new(1_u32)).unwrap();
        values.mark(first);
        let later: Vec<u64> = (0..100_u32).map(|n| values.add(Box::new(n)).unwrap()).collect();
        later.iter().for_each(|word| values.mark(*word));
        assert!(values.sweep().is_empty());
    }

    #[test]
    fn a_word_that_is_no_reference_to_a_value_leads_to_none() {
        let mut values = HostValues::default();
        let word = values.add(Box::new(5_u32)).unwrap();
        assert_eq!(found(&values, word), Some(5));
        for other in [0, 1, word + 8, word | 1, word ^ 8 ^ HOST_TAG as u64] {
            assert!(values.get(other).is_none() && values.get_mut(other).is_none(), "{other:#x}");
        }
    }
}
