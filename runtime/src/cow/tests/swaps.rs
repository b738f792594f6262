//! Tenants of slots that take turns while system calls fail: whatever happened before, a clean slot
//! holds its image in every byte, then zeros, then nothing accessible.
//!
//! After most tenants, the test looks at the pages that they and earlier ones have written, and at
//! a few others; after one in [`ALL_OF_IT`], at every byte.
//!
//! `MINIRT_SWAPS` says how many tenants there are in each of eight configurations, `MINIRT_SEED`
//! which. With the first, the test must be the only one that runs: failing calls then also leave
//! holes, as on older kernels.

use super::*;
use crate::sys::inject::{self, Leaves};
use crate::sys::stack::is_readable;
use std::collections::BTreeSet;

/// Tenants in each configuration, unless the environment says otherwise.
const TENANTS: u64 = 1_500;

/// Pages that a memory can grow to.
const MOST_PAGES: usize = 80;

/// One in so many looks at a slot sees all of it. So does one in this many after a call has failed,
/// of a small memory and of a large one.
const ALL_OF_IT: usize = 50;
const ALL_AFTER_FAILURE: [usize; 2] = [4, 200];

/// Pages at which a look begins that does not see all, besides those that were written.
const SAMPLE: usize = 4;

/// Written pages that such a look sees, out of more.
const WRITTEN_SAMPLE: usize = 40;

/// Pages that tenants of a large memory write, this far apart: too many to list.
const SCATTERED: usize = 260;
const APART: usize = 8;

/// How many of a hundred changes of the image are to a large one.
const LARGE: usize = 5;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} has to be a number")))
}

/// Reproducible random numbers (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn error(&mut self) -> Errno {
        [Errno::NOMEM, Errno::AGAIN, Errno::PERM, Errno::MFILE, Errno::NOSYS, Errno::INTR][self.below(6)]
    }
}

/// An image, and what an instance of it must hold.
struct Subject {
    image: Arc<Image>,
    memory: Vec<u8>,
    state: Vec<u8>,
}

/// How much of a slot a look sees.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    All,
    Sample,
}

/// Where the state of these images begins.
const STATE_AT: usize = 64;

impl Subject {
    fn new(random: &mut Random, mapped: bool, large: bool) -> Self {
        let pages = if large { SCATTERED * APART * 9 / 4 } else { [0, 1, 2, 5, 16, 40, 64][random.below(7)] };
        let mut memory = vec![0; pages * page_size()];
        let mut extents = Vec::new();
        let mut page = random.below(4);
        while page < pages && random.percent(80) {
            let len = 1 + random.below((pages - page).min(5));
            let bytes: Vec<u8> = (0..len * page_size()).map(|_| random.next() as u8 | 1).collect();
            memory[page * page_size()..][..bytes.len()].copy_from_slice(&bytes);
            extents.push(Extent { offset: (page * page_size()) as u64, bytes: bytes.into() });
            page += len + 1 + random.below(9);
        }
        let mutable = STATE_AT..STATE_AT + 64 + random.below(100);
        // Often in the pages behind the head, the last of which may be a table's.
        let behind = mutable.end + random.below(2) * random.below(2 * page_size());
        let constants = behind..behind + random.below(page_size());
        let tables = constants.end.max(1000) + random.below(page_size());
        let room = (tables + random.below(4 * page_size()) + 1).next_multiple_of(page_size());
        let mut state = vec![0; STATE_AT + random.below(room - STATE_AT)];
        state[STATE_AT..].iter_mut().for_each(|byte| *byte = (random.next() % 3) as u8);
        let parts = ImageParts {
            state_at: STATE_AT,
            state: SparseBytes::from(&state[STATE_AT..]),
            mutable,
            constants,
            tables: tables..room,
            room,
            extents,
            memory: pages * page_size(),
            memory_file: None,
        };
        state.resize(room, 0);
        // The second of two that share a file, now and then: nothing serves as its guard.
        let others =
            if random.percent(30) { vec![ImageParts { room: page_size(), ..ImageParts::default() }] } else { vec![] };
        let mut images = Image::together(others.into_iter().chain([parts]).collect(), mapped);
        Self { image: Arc::new(images.pop().unwrap()), memory, state }
    }

    /// Returns how much of a slot to look at.
    fn look(&self, failed: bool, random: &mut Random) -> Look {
        let is_large = self.memory.len() > MOST_PAGES * page_size();
        let one_in = if failed { ALL_AFTER_FAILURE[usize::from(is_large)] } else { ALL_OF_IT };
        if random.below(one_in) == 0 { Look::All } else { Look::Sample }
    }

    /// The slot is clean: all bytes are the image's, and what lies behind them is not accessible.
    fn assert_clean(&self, turns: &mut Turns, failed: bool, random: &mut Random) {
        let Turns { slot, written, .. } = turns;
        let look = self.look(failed, random);
        assert_eq!((slot.state, slot.accessible), (State::Clean, self.memory.len()));
        let pages = self.memory.len() / page_size();
        match look {
            Look::All => {
                assert!(memory(slot) == self.memory, "memory");
                written.retain(|page| *page >= pages);
            }
            Look::Sample if pages == 0 => {}
            Look::Sample => {
                let assert_page = |page: usize| {
                    let range = page * page_size()..(page + 1) * page_size();
                    assert!(memory(slot)[range.clone()] == self.memory[range], "page {page}");
                };
                (0..SAMPLE).for_each(|_| assert_page(random.below(pages)));
                let skipped = random.below(written.len().saturating_sub(WRITTEN_SAMPLE) + 1);
                let some = written.iter().skip(skipped).take(WRITTEN_SAMPLE);
                some.filter(|page| **page < pages).for_each(|page| assert_page(*page));
            }
        }
        // SAFETY: the state of a bound slot is accessible, and nobody writes it.
        let state = unsafe { std::slice::from_raw_parts(slot.space.at(STATE_AT), self.state.len() - STATE_AT) };
        assert!(state == &self.state[STATE_AT..], "state");
        let behind = MEMORY_AT + self.memory.len();
        let anywhere = behind + random.below(MOST_PAGES) * page_size();
        let far = [MEMORY_AT - page_size(), SLOT_SIZE as usize - page_size()];
        let far = if look == Look::All { &far[..] } else { &[] };
        for guard in [behind, anywhere, self.state.len()].iter().chain(far) {
            assert!(!is_readable(slot.space.at(*guard) as usize), "{guard:#x} is accessible");
        }
    }
}

/// A slot whose tenants take turns.
struct Turns {
    slot: Slot,
    /// The subject whose image it carries.
    carries: Option<usize>,
    /// Pages of its memory that tenants have written since a look saw all of it.
    written: BTreeSet<usize>,
}

impl Turns {
    fn new() -> Self {
        Self { slot: Slot::new().unwrap(), carries: None, written: BTreeSet::new() }
    }
}

/// A tenant writes, grows, and is written to, as far as the kernel lets it.
fn live(turns: &mut Turns, subject: &Subject, random: &mut Random) -> Result<()> {
    let Turns { slot, written, .. } = turns;
    let mut put = |slot: &mut Slot, at: usize, len: usize| {
        if at >= MEMORY_AT {
            written.extend((at - MEMORY_AT) / page_size()..(at - MEMORY_AT + len).div_ceil(page_size()));
        }
        put(slot, at, len)
    };
    let tables = subject.image.protectable()[0].clone();
    if slot.accessible > SCATTERED * APART * page_size() && random.percent(80) {
        let from = random.below(3);
        for page in (from..).step_by(APART).take(SCATTERED) {
            slot.mark_dirty();
            put(slot, MEMORY_AT + page * page_size() + random.below(page_size()), 1)?;
        }
    }
    let usual = random.percent(70);
    for _ in 0..random.below(12) {
        slot.mark_dirty();
        match random.below(12) {
            0 => slot.grow_memory(slot.accessible.max((random.below(MOST_PAGES) + 1) * page_size()))?,
            1 if !usual => slot.make_all_writable()?,
            2 if !tables.is_empty() => put(slot, tables.start + random.below(tables.len()), 1)?,
            3 if random.percent(20) => {
                slot.make_constants_writable()?;
                let constants = subject.image.constants.clone();
                // SAFETY: they are writable from now on.
                unsafe { std::ptr::write_bytes(slot.space.at(constants.start), 0xcc, constants.len()) };
            }
            3 => {
                let head = subject.image.head[0].clone();
                // SAFETY: the head is always writable.
                unsafe { *slot.space.at(head.start + random.below(head.len())) = 0xcc };
            }
            _ if slot.accessible == 0 => {}
            // Mostly the same pages again.
            _ if usual => put(slot, MEMORY_AT + random.below(3) * 7919 % slot.accessible, 1)?,
            4 => {
                let at = random.below(slot.accessible);
                let len = 1 + random.below((slot.accessible - at).min(5 * page_size()));
                put(slot, MEMORY_AT + at, len)?;
            }
            _ => put(slot, MEMORY_AT + random.below(slot.accessible), 1)?,
        }
    }
    Ok(())
}

/// A write of `len` bytes, by the host or as a guest's store that faults.
fn put(slot: &mut Slot, at: usize, len: usize) -> Result<()> {
    if len == 1 && at.is_multiple_of(3) {
        if is_protected(slot, (at / page_size()) as Page) && !slot.handle_write_fault(slot.space.at(at) as usize, 0) {
            return Err(Errno::ACCESS); // A guest traps there.
        }
    } else {
        slot.make_writable(slot.space.at(at), len)?;
    }
    // SAFETY: memory and tables are accessible, and writable now.
    unsafe { std::ptr::write_bytes(slot.space.at(at), 0xcc, len) };
    Ok(())
}

fn is_protected(slot: &Slot, page: Page) -> bool {
    match (&slot.image, &slot.adaptation.tracking) {
        (Some(image), Some(tracking)) => !tracking.protected_part(image, page..page + 1).is_empty(),
        _ => false,
    }
}

fn take_turns(strategy: ResetStrategy, mapped: bool) {
    let alone = number("MINIRT_SWAPS").is_some();
    let tenants = number("MINIRT_SWAPS").unwrap_or(TENANTS);
    let seed = number("MINIRT_SEED").unwrap_or(22);
    let mut random = Random(seed ^ u64::from(mapped) << 40);
    let mut subjects: Vec<Subject> = (0..12).map(|at| Subject::new(&mut random, mapped, at == 0)).collect();
    let mut slots: Vec<Turns> = Vec::new();
    let (mut failures, mut lost, mut which, mut regions) = (0, 0, 0, 0);
    for tenant in 0..tenants {
        let _context = Context { seed, strategy, mapped, tenant };
        while slots.len() < 2 {
            slots.push(Turns::new());
        }
        if random.percent(30) {
            which = if random.percent(LARGE) { 0 } else { 1 + random.below(subjects.len() - 1) };
        }
        if tenant % 5_000 == 4_999 {
            let at = random.below(subjects.len()); // Images come and go while slots carry them.
            subjects[at] = Subject::new(&mut random, mapped, at == 0);
            slots.iter_mut().filter(|turns| turns.carries == Some(at)).for_each(|turns| turns.carries = None);
        }
        let at = random.below(2);
        let mut turns = slots.swap_remove(at);
        let subject = &subjects[which];
        let failing = random.percent(25);
        if failing {
            let leaves = [Leaves::Nothing, Leaves::Half, Leaves::Hole][random.below(if alone { 3 } else { 2 })];
            inject::arm(random.below(7) as u32, 1 + random.below(3) as u32, random.error(), leaves);
        }
        let resident_budget = [1 << 20, 1 << 20, 20, 3, 0][random.below(5)];
        let rules = ResetRules { strategy, resident_budget };
        let has_image = turns.carries == Some(which);
        let mut outcome = if has_image { Ok(()) } else { turns.slot.bind(&subject.image, strategy) };
        if outcome.is_ok() {
            subject.assert_clean(&mut turns, inject::has_failed(), &mut random);
            let lived = live(&mut turns, subject, &mut random);
            let reset = turns.slot.reset(rules);
            if let Ok(kind) = reset {
                subject.assert_clean(&mut turns, inject::has_failed(), &mut random);
                let slot = &turns.slot;
                let kept = slot.resident_pages();
                assert!(kind == ResetKind::Nothing || kept <= resident_budget, "{kind:?}: {:?}", slot.residue);
            }
            regions +=
                u32::from(turns.slot.adaptation.tracking.as_ref().is_some_and(|tracking| tracking.plan().regions));
            outcome = lived.and(reset.map(drop));
        }
        // Calls may go on failing while the slot is put away.
        let slot = &mut turns.slot;
        let keeps = if slot.state == State::Clean { Ok(Some(which)) } else { slot.unmap().map(|()| None) };
        let failed = if failing { inject::disarm() } else { 0 };
        failures += failed;
        assert!(failed > 0 || (outcome.is_ok() && keeps.is_ok()), "{outcome:?}, and no call has failed");
        match keeps {
            Ok(carries) => slots.push(Turns { carries, ..turns }),
            Err(_) => lost += 1,
        }
    }
    println!(
        "{strategy:?}, mapped {mapped}: {tenants} tenants, {failures} calls failed, {lost} slots lost, {regions} resets \
         in regions"
    );
    assert!(regions > 0 || matches!(strategy, Scan | Discard), "{regions} resets in regions");
    assert!(failures > tenants / 100 && lost < tenants / 5);
}

/// Says how to see a failure again.
struct Context {
    seed: u64,
    strategy: ResetStrategy,
    mapped: bool,
    tenant: u64,
}

impl Drop for Context {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self { seed, strategy, mapped, tenant } = self;
            eprintln!("{strategy:?}, mapped {mapped}, tenant {tenant}; MINIRT_SEED={seed} shows it again");
        }
    }
}

#[test]
fn whatever_fails_a_clean_slot_is_its_image_and_nothing_else() {
    each(take_turns);
}

#[test]
fn a_mapping_that_fails_half_way_leaves_no_hole() {
    /// Another thread's mapping could move into the hole for a moment, so this needs a process of
    /// its own.
    const CASE: &str = "MINIRT_HOLE_CASE";
    if std::env::var_os(CASE).is_none() {
        let name = "cow::tests::swaps::a_mapping_that_fails_half_way_leaves_no_hole";
        let mut again = std::process::Command::new(std::env::current_exe().unwrap());
        let output = again.args([name, "--exact", "--nocapture"]).env(CASE, "1").output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
        return;
    }
    each(|strategy, mapped| {
        let image = image(20, vec![page_of(1, 3)], mapped);
        for call in 0..5 {
            let mut slot = Slot::new().unwrap();
            inject::arm(call, 2, Errno::NOMEM, Leaves::Hole);
            let bound = slot.bind(&image, strategy);
            let unmapped = slot.unmap();
            let failed = inject::disarm();
            assert!(failed > 0 || (bound.is_ok() && unmapped.is_ok()));
            let mapped: usize = lines(&slot).iter().map(|line| mapping(line).len()).sum();
            assert_eq!(mapped, SLOT_SIZE as usize, "{:#?}", lines(&slot));
            slot.bind(&image, strategy).unwrap();
            assert_clean(&slot, &[page_of(1, 3)], 20);
        }
    });
}
