//! Keeps what the embedder holds: its roots, which a collector must find and may move.
//!
//! A handle of the embedder does not contain a reference. It names an entry here, which does.
//!
//! - *Scoped* entries are a stack. Each belongs to the scope in which it was made, and goes when
//!   that ends: a call of a host function, or a `RootScope`. Outside of these it lasts as long as
//!   the store.
//! - *Owned* entries last as long as what the embedder holds for them. Whether it has dropped that
//!   is found out now and then.
//!
//! Each entry has a number that no other entry of the store ever has. So a handle that has outlived
//! its entry is noticed, even if there is another one in the same place.

use super::handle::StoreId;
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// Owned entries below which nobody looks which of them were dropped.
const FEW: usize = 32;

/// Marks the place of an owned entry.
const OWNED: u32 = 1 << 31;

/// Stands for the number of an entry that there is not: the handle itself holds the reference.
const INLINE: NonZeroU64 = NonZeroU64::MAX;

/// Names an entry, or holds a small integer, which needs none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Root {
    pub(crate) store: StoreId,
    number: NonZeroU64,
    /// Where the entry is; or the reference, if it is a small integer.
    place: u32,
}

/// The reason why a handle leads nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stale {
    /// Its scope has ended, or its owner was dropped.
    Ended,
    /// The object is gone: its heap was reset.
    Gone,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    number: NonZeroU64,
    /// The reference as Wasm holds it; 0 if what it led to is gone.
    word: u64,
}

#[derive(Debug)]
struct Owned {
    entry: Entry,
    owner: Weak<()>,
}

/// The roots of a store, in reach of whoever may only read the store, too: reading a global makes a
/// handle. That is why there is a lock. Nobody waits for it, unless several threads read one store.
#[derive(Debug, Default)]
pub(crate) struct Roots(Mutex<RootSet>);

impl Roots {
    /// Returns the roots, which nobody else uses meanwhile.
    pub(crate) fn lock(&self) -> MutexGuard<'_, RootSet> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the roots, without a lock.
    #[inline]
    pub(crate) fn get_mut(&mut self) -> &mut RootSet {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All entries of a store.
#[derive(Debug, Default)]
pub(crate) struct RootSet {
    scoped: Vec<Entry>,
    owned: Vec<Option<Owned>>,
    /// Places among the owned entries that have none.
    free: Vec<u32>,
    /// How many owned entries there are to be before somebody looks which were dropped.
    enough: usize,
    /// How many entries there ever were.
    made: u64,
}

impl Root {
    /// Returns a handle that holds a small integer.
    pub(crate) fn inline(store: StoreId, word: u32) -> Self {
        Self { store, number: INLINE, place: word }
    }

    /// Returns the small integer as Wasm holds it, if that is what the handle holds.
    #[inline]
    pub(crate) fn as_inline(self) -> Option<u64> {
        (self.number == INLINE).then_some(u64::from(self.place))
    }
}

impl RootSet {
    /// Makes an entry of the innermost scope. `word` is a reference as Wasm holds it.
    ///
    /// # Panics
    /// Panics if there are 2^31 entries already.
    pub(crate) fn push(&mut self, store: StoreId, word: u64) -> Root {
        let place = u32::try_from(self.scoped.len()).ok().filter(|place| *place < OWNED);
        let place = place.expect("the host holds too many references; end a scope now and then (`RootScope`)");
        let number = self.next_number();
        self.scoped.push(Entry { number, word });
        Root { store, number, place }
    }

    /// Makes an entry that lasts as long as what is returned with its name.
    ///
    /// # Panics
    /// Panics if there are 2^31 entries already.
    pub(crate) fn own(&mut self, store: StoreId, word: u64) -> (Root, Arc<()>) {
        if self.owned.len() - self.free.len() >= self.enough.max(FEW) {
            self.drop_unowned();
            self.enough = 2 * (self.owned.len() - self.free.len());
        }
        let owner = Arc::new(());
        let entry = Entry { number: self.next_number(), word };
        let owned = Some(Owned { entry, owner: Arc::downgrade(&owner) });
        let place = if let Some(place) = self.free.pop() {
            self.owned[place as usize] = owned;
            place
        } else {
            let place = u32::try_from(self.owned.len()).ok().filter(|place| *place < OWNED);
            self.owned.push(owned);
            place.expect("the host owns too many references")
        };
        (Root { store, number: entry.number, place: place | OWNED }, owner)
    }

    fn next_number(&mut self) -> NonZeroU64 {
        self.made += 1;
        NonZeroU64::new(self.made).filter(|number| *number != INLINE).expect("numbers of 64 bits do not run out")
    }

    /// Forgets owned entries whose owners were dropped.
    fn drop_unowned(&mut self) {
        for (place, owned) in (0..).zip(&mut self.owned) {
            if owned.take_if(|owned| owned.owner.strong_count() == 0).is_some() {
                self.free.push(place);
            }
        }
    }

    /// Returns the reference that a handle stands for.
    ///
    /// # Errors
    /// Returns why there is none.
    pub(crate) fn get(&self, root: Root) -> Result<u64, Stale> {
        if let Some(word) = root.as_inline() {
            return Ok(word);
        }
        let entry = if root.place & OWNED == 0 {
            self.scoped.get(root.place as usize)
        } else {
            self.owned.get((root.place & !OWNED) as usize).and_then(|owned| Some(&owned.as_ref()?.entry))
        };
        match entry.filter(|entry| entry.number == root.number) {
            Some(Entry { word: 0, .. }) => Err(Stale::Gone),
            Some(entry) => Ok(entry.word),
            None => Err(Stale::Ended),
        }
    }

    /// Returns how many scoped entries there are: where a scope begins.
    #[inline]
    pub(crate) fn scope(&self) -> usize {
        self.scoped.len()
    }

    /// Ends a scope that began when there were so many scoped entries. Scopes inside it end with
    /// it.
    #[inline]
    pub(crate) fn end_scope(&mut self, scope: usize) {
        if self.scoped.len() > scope {
            self.scoped.truncate(scope);
        }
    }

    /// Makes room for so many entries more.
    pub(crate) fn reserve(&mut self, additional: usize) {
        self.scoped.reserve(additional);
    }

    /// Calls `visit` with each reference that the embedder holds, to be read or replaced by the
    /// same object's new one. None is null or a small integer.
    pub(crate) fn visit(&mut self, mut visit: impl FnMut(&mut u64)) {
        self.drop_unowned();
        let owned = self.owned.iter_mut().flatten().map(|owned| &mut owned.entry);
        let entries = self.scoped.iter_mut().chain(owned);
        entries.map(|entry| &mut entry.word).filter(|word| **word != 0).for_each(&mut visit);
    }

    /// Notes that the objects are gone to which the references lead that `gone` names.
    pub(crate) fn invalidate(&mut self, gone: impl Fn(u64) -> bool) {
        self.visit(|word| {
            if gone(*word) {
                *word = 0;
            }
        });
    }

    /// Returns how many references the embedder holds of which `which` is true.
    pub(crate) fn count(&mut self, which: impl Fn(u64) -> bool) -> usize {
        let mut count = 0;
        self.visit(|word| count += usize::from(which(*word)));
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(roots: &mut RootSet) -> Vec<u64> {
        let mut all = Vec::new();
        roots.visit(|word| all.push(*word));
        all
    }

    #[test]
    fn an_entry_lasts_as_long_as_its_scope_and_another_in_its_place_is_not_taken_for_it() {
        let (mut roots, store) = (RootSet::default(), StoreId::next());
        let outside = roots.push(store, 8);
        let scope = roots.scope();
        let inside = roots.push(store, 16);
        let inner = roots.scope();
        let innermost = roots.push(store, 24);
        assert_eq!([outside, inside, innermost].map(|root| roots.get(root)), [Ok(8), Ok(16), Ok(24)]);
        roots.end_scope(inner);
        assert_eq!([outside, inside, innermost].map(|root| roots.get(root)), [Ok(8), Ok(16), Err(Stale::Ended)]);
        roots.end_scope(scope);
        roots.end_scope(inner); // It ended with the scope around it.
        let again = roots.push(store, 32);
        assert_eq!((again.place, roots.get(again), roots.get(inside)), (inside.place, Ok(32), Err(Stale::Ended)));
        assert_eq!(words(&mut roots), [8, 32]);
    }

    #[test]
    fn an_owned_entry_lasts_as_long_as_its_owner_and_another_in_its_place_is_not_taken_for_it() {
        let (mut roots, store) = (RootSet::default(), StoreId::next());
        let (first, owner) = roots.own(store, 8);
        let (second, other) = roots.own(store, 16);
        let copy = Arc::clone(&owner);
        drop(owner);
        roots.end_scope(0);
        assert_eq!((words(&mut roots), roots.get(first)), (vec![8, 16], Ok(8)));
        drop(copy);
        assert_eq!(words(&mut roots), [16]);
        assert_eq!([first, second].map(|root| roots.get(root)), [Err(Stale::Ended), Ok(16)]);
        let (third, _owner) = roots.own(store, 24);
        assert_eq!(third.place, first.place);
        assert_eq!([first, third].map(|root| roots.get(root)), [Err(Stale::Ended), Ok(24)]);
        drop(other);
    }

    #[test]
    fn entries_that_were_dropped_do_not_add_up() {
        let (mut roots, store) = (RootSet::default(), StoreId::next());
        let kept: Vec<_> = (1..=100).map(|n| roots.own(store, 8 * n)).collect();
        (0..1_000_000).for_each(|_| drop(roots.own(store, 8)));
        assert!(roots.owned.len() <= 400, "{} places", roots.owned.len());
        for (n, (root, _)) in (1..).zip(&kept) {
            assert_eq!(roots.get(*root), Ok(8 * n));
        }
    }

    #[test]
    fn a_collector_moves_what_entries_lead_to() {
        let (mut roots, store) = (RootSet::default(), StoreId::next());
        let scoped = roots.push(store, 8);
        let (owned, _owner) = roots.own(store, 16);
        roots.visit(|word| *word += 800);
        assert_eq!([scoped, owned].map(|root| roots.get(root)), [Ok(808), Ok(816)]);
    }

    #[test]
    fn what_is_gone_is_not_found_and_not_visited() {
        let (mut roots, store) = (RootSet::default(), StoreId::next());
        let scoped = [8, 10].map(|word| roots.push(store, word));
        let owned = [16, 18].map(|word| roots.own(store, word));
        roots.invalidate(|word| word & 7 == 0);
        assert_eq!(scoped.map(|root| roots.get(root)), [Err(Stale::Gone), Ok(10)]);
        assert_eq!([owned[0].0, owned[1].0].map(|root| roots.get(root)), [Err(Stale::Gone), Ok(18)]);
        assert_eq!((words(&mut roots), roots.count(|word| word > 10)), (vec![10, 18], 1));
    }

    #[test]
    fn a_small_integer_needs_no_entry() {
        let (mut roots, store) = (RootSet::default(), StoreId::next());
        let root = Root::inline(store, 15);
        assert_eq!((roots.get(root), words(&mut roots).len()), (Ok(15), 0));
    }

    #[test]
    fn a_million_entries_go_with_their_scope() {
        let (mut roots, store) = (RootSet::default(), StoreId::next());
        let all: Vec<Root> = (1..=1_000_000).map(|n| roots.push(store, 8 * n)).collect();
        assert!((1..).zip(&all).all(|(n, root)| roots.get(*root) == Ok(8 * n)));
        roots.end_scope(0);
        assert!(all.iter().all(|root| roots.get(*root) == Err(Stale::Ended)));
    }
}
