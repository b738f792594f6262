//! Call sites: what is known about a function while it waits for another one, by the address where
//! it goes on.
//!
//! A call inside a `try_table` has *handlers*: where an exception goes that the callee throws. A
//! call during which the function holds references that the runtime has to find has a *stack map*:
//! where in its frame they are. Other calls have neither, and are in no table.
//!
//! The tables are used in place, in memory or in an artifact, and looking something up neither
//! allocates nor panics.

use crate::base::bytes::{Record, RecordTable};

/// The call sites of a text. Offsets count bytes from the start of the text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallSites {
    /// Call sites with handlers, sorted by offset.
    pub handled: RecordTable<HandledSite>,
    /// For each of them one record for its frame, then one for each handler.
    pub handlers: RecordTable<Pair>,
    /// Where references are in frames, sorted by the offset of the call site.
    pub references: RecordTable<Reference>,
}

/// A call site with handlers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandledSite {
    /// Where the function goes on when the call returns.
    pub offset: u32,
    /// The place of its first record in [`CallSites::handlers`].
    pub first: u32,
}

/// Two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair(pub u32, pub u32);

/// A reference in a frame while a call lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Where the function goes on when the call returns.
    pub offset: u32,
    /// How many bytes below the frame pointer the reference is, 64 bits wide.
    pub below: u32,
}

/// The condition on which a handler takes an exception.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Catches {
    /// The tag that it has to have, by its index in the module, and `None` for any.
    pub tag: Option<u32>,
    /// Whether the handler is given a reference to it.
    pub reference: bool,
}

/// Stands for any tag. No module has so many, and Cranelift wants less than `u32::MAX` of the
/// whole.
const ANY: u32 = u32::MAX >> 2;

impl Catches {
    /// Returns it as a number.
    pub fn pack(self) -> u32 {
        self.tag.unwrap_or(ANY) << 1 | u32::from(self.reference)
    }

    /// Returns what the number stands for.
    pub fn unpack(number: u32) -> Self {
        let tag = number >> 1;
        Self { tag: (tag != ANY).then_some(tag), reference: number & 1 == 1 }
    }
}

/// One handler of a call site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handler {
    /// The exceptions that it takes.
    pub catches: Catches,
    /// Where its code starts.
    pub offset: u32,
}

/// The frame of a function at a call site, and what may catch an exception there, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame<H> {
    /// From the stack pointer to the frame pointer, in bytes.
    pub size: u32,
    /// Where the function's vmctx is, as a distance from the stack pointer. Without meaning if no
    /// handler asks for a tag.
    pub vmctx: u32,
    /// The handlers.
    pub handlers: H,
}

/// A call with handlers, before it is in a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandledCall {
    /// Where the function goes on when the call returns.
    pub offset: u32,
    /// The handlers that may catch an exception.
    pub frame: Frame<Vec<Handler>>,
}

impl Record for HandledSite {
    fn pack(self) -> [u32; 2] {
        [self.offset, self.first]
    }
    fn unpack([offset, first]: [u32; 2]) -> Self {
        Self { offset, first }
    }
}

impl Record for Pair {
    fn pack(self) -> [u32; 2] {
        [self.0, self.1]
    }
    fn unpack([a, b]: [u32; 2]) -> Self {
        Self(a, b)
    }
}

impl Record for Reference {
    fn pack(self) -> [u32; 2] {
        [self.offset, self.below]
    }
    fn unpack([offset, below]: [u32; 2]) -> Self {
        Self { offset, below }
    }
}

impl CallSites {
    /// Returns the tables of call sites with handlers and of references, each sorted by offset.
    pub fn new(handled: &[HandledCall], references: Vec<Reference>) -> Self {
        let (mut sites, mut records) = (Vec::with_capacity(handled.len()), Vec::new());
        for HandledCall { offset, frame } in handled {
            sites.push(HandledSite { offset: *offset, first: records.len() as u32 });
            records.push(Pair(frame.size, frame.vmctx));
            records.extend(frame.handlers.iter().map(|handler| Pair(handler.catches.pack(), handler.offset)));
        }
        Self {
            handled: sites.into_iter().collect(),
            handlers: records.into_iter().collect(),
            references: references.into_iter().collect(),
        }
    }

    /// Returns what may catch an exception that is thrown by the call from which the function goes
    /// on at `offset`.
    pub fn handlers_at(&self, offset: u32) -> Option<Frame<impl Iterator<Item = Handler> + '_>> {
        let at = self.handled.partition_point(|site| site.offset < offset);
        let site = self.handled.get(at).filter(|site| site.offset == offset)?;
        let Pair(size, vmctx) = self.handlers.get(site.first as usize)?;
        let end = self.handled.get(at + 1).map_or(self.handlers.len(), |next| next.first as usize);
        let handler = |index| self.handlers.get(index);
        let handlers = (site.first as usize + 1..end).map_while(handler);
        let handlers = handlers.map(|Pair(catches, offset)| Handler { catches: Catches::unpack(catches), offset });
        Some(Frame { size, vmctx, handlers })
    }

    /// Returns where the references are that a function holds during the call from which it goes on
    /// at `offset`: how many bytes below its frame pointer.
    pub fn references_at(&self, offset: u32) -> impl Iterator<Item = u32> + '_ {
        let first = self.references.partition_point(|reference| reference.offset < offset);
        let all = (first..).map_while(|index| self.references.get(index));
        all.take_while(move |reference| reference.offset == offset).map(|reference| reference.below)
    }

    /// Returns whether all handlers are inside a text of this length.
    pub(crate) fn are_inside(&self, len: usize) -> bool {
        self.handled.iter().all(|site| {
            let frame = self.handlers_at(site.offset);
            frame.is_some_and(|mut frame| frame.handlers.all(|handler| (handler.offset as usize) < len))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handler(tag: Option<u32>, reference: bool, offset: u32) -> Handler {
        Handler { catches: Catches { tag, reference }, offset }
    }

    fn sites() -> CallSites {
        let first = vec![handler(Some(3), false, 40), handler(None, true, 50)];
        let second = vec![handler(Some(0), true, 90)];
        let handled = [
            (10, Frame { size: 64, vmctx: 8, handlers: first }),
            (30, Frame { size: 32, vmctx: 0, handlers: Vec::new() }),
            (70, Frame { size: 48, vmctx: 16, handlers: second }),
        ];
        let handled = handled.map(|(offset, frame)| HandledCall { offset, frame });
        let references = [(10, 8), (10, 24), (70, 16)].map(|(offset, below)| Reference { offset, below });
        CallSites::new(&handled, references.to_vec())
    }

    #[test]
    fn handlers_are_found_by_where_the_function_goes_on() {
        let sites = sites();
        let found = |offset| sites.handlers_at(offset).map(|it| (it.size, it.vmctx, it.handlers.collect::<Vec<_>>()));
        assert_eq!(found(10), Some((64, 8, vec![handler(Some(3), false, 40), handler(None, true, 50)])));
        assert_eq!(found(30), Some((32, 0, Vec::new())));
        assert_eq!(found(70), Some((48, 16, vec![handler(Some(0), true, 90)])));
        assert_eq!([0, 9, 11, 71, u32::MAX].map(found), [const { None }; 5]);
    }

    #[test]
    fn references_are_found_by_where_the_function_goes_on() {
        let sites = sites();
        let found = |offset| sites.references_at(offset).collect::<Vec<_>>();
        assert_eq!([found(10), found(70), found(30), found(9)], [vec![8, 24], vec![16], vec![], vec![]]);
    }

    #[test]
    fn a_handler_outside_the_text_is_noticed() {
        assert!(sites().are_inside(91));
        assert!(!sites().are_inside(90));
        let broken = CallSites { handlers: RecordTable::default(), ..sites() };
        assert!(!broken.are_inside(91));
    }
}
