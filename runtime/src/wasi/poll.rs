//! Implements `poll_oneoff`: waits for clocks and descriptors.
//!
//! Timeouts are turned into times of the monotonic clock when the call begins, so a real-time clock
//! that is set meanwhile does not matter. Regular files and streams in memory are always ready.

use super::call::{Call, timespec};
use super::clock::{clock, now};
use super::ctx::WasiCtx;
use super::descriptor::{Descriptor, Object};
use super::errno::{Errno, Result};
use super::failure::Failure;
use super::params::{Clockid, GuestPtr, Size, Timestamp};
use super::records::{Event, Ready, Record, Subscription, Until};
use super::rights::Rights;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::ClockId;
use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

/// The most subscriptions in one call; the host keeps a record of each meanwhile.
const LIMIT: u32 = 4096;

pub(super) fn poll_oneoff(
    call: &mut Call<'_>,
    subscriptions: GuestPtr<Subscription>,
    events: GuestPtr<Event>,
    Size(count): Size,
) -> Result<Size, Failure> {
    if count == 0 || count > LIMIT {
        return Err(Errno::INVAL.into());
    }
    let mut guest = call.guest();
    guest.slice_mut(events.array(count, Event::SIZE)?)?;
    let bytes = guest.slice(subscriptions.array(count, Subscription::SIZE as u32)?)?;
    let start = now(ClockId::Monotonic);
    let decode = |bytes| Subscription::decode(bytes).map(|subscription| Waiting::new(subscription, start));
    let waiting = bytes.as_chunks().0.iter().map(decode).collect::<Result<Vec<_>>>()?;
    let happened = wait(call, &waiting, start)?;
    let mut guest = call.guest();
    for (index, event) in (0..).zip(&happened) {
        guest.write(events.entry(index, Event::SIZE), event)?;
    }
    Ok(Size(happened.len() as u32))
}

/// A subscription, and when its time has come, on the monotonic clock.
struct Waiting {
    subscription: Subscription,
    deadline: Result<Option<u64>>,
}

impl Waiting {
    fn new(subscription: Subscription, start: u64) -> Self {
        let deadline = match subscription.until {
            Until::Clock { id, timeout, absolute } => deadline(id, timeout, absolute, start).map(Some),
            Until::Readable(_) | Until::Writable(_) => Ok(None),
        };
        Self { subscription, deadline }
    }
}

fn deadline(id: Clockid, Timestamp(timeout): Timestamp, absolute: bool, start: u64) -> Result<u64> {
    let left = match (clock(id)?, absolute) {
        (ClockId::Realtime | ClockId::Monotonic, false) => timeout,
        (clock @ (ClockId::Realtime | ClockId::Monotonic), true) => timeout.saturating_sub(now(clock)),
        _ => return Err(Errno::NOTSUP),
    };
    Ok(start.saturating_add(left))
}

/// Waits until something has happened, and returns all that has.
fn wait(call: &mut Call<'_>, waiting: &[Waiting], start: u64) -> Result<Vec<Event>, Failure> {
    let earliest = waiting.iter().filter_map(|waiting| waiting.deadline.ok().flatten()).min();
    let mut time = start;
    loop {
        let left = earliest.map(|deadline| Duration::from_nanos(deadline.saturating_sub(time)));
        let slice = call.slice(left);
        let happened = look(call.ctx(), waiting, slice)?;
        if !happened.is_empty() {
            return Ok(happened);
        }
        call.checkpoint()?;
        time = now(ClockId::Monotonic);
    }
}

/// A subscription, as far as it is known before the host is asked.
enum Known<'a> {
    Settled(Result<Ready>),
    Deadline(u64),
    Host(BorrowedFd<'a>, PollFlags),
}

/// Waits for a time at most, and returns what has happened then.
fn look(ctx: &WasiCtx, waiting: &[Waiting], longest: Option<Duration>) -> Result<Vec<Event>> {
    let known: Vec<_> = waiting.iter().map(|waiting| known(ctx, waiting)).collect();
    // Each descriptor once: the kernel takes no more of them than a process may have open.
    let mut asked = BTreeMap::new();
    for (fd, events) in known.iter().filter_map(host) {
        asked.entry(fd.as_raw_fd()).or_insert((fd, PollFlags::empty())).1 |= events;
    }
    let mut fds: Vec<_> = asked.values().map(|(fd, events)| PollFd::from_borrowed_fd(*fd, *events)).collect();
    let settled = known.iter().any(|known| matches!(known, Known::Settled(_)));
    let longest = if settled { Some(Duration::ZERO) } else { longest };
    match poll(&mut fds, longest.map(timespec).as_ref()) {
        // A signal in between changes nothing.
        Ok(_) | Err(rustix::io::Errno::INTR) => (),
        Err(error) => return Err(error.into()),
    }
    let end = now(ClockId::Monotonic);
    let found: BTreeMap<RawFd, PollFlags> = asked.into_keys().zip(fds.iter().map(PollFd::revents)).collect();
    let happened = known.into_iter().zip(waiting).filter_map(|(known, waiting)| {
        let Subscription { userdata, until } = waiting.subscription;
        outcome(known, end, &found).map(|outcome| Event { userdata, until, outcome })
    });
    Ok(happened.collect())
}

fn host<'a>(known: &Known<'a>) -> Option<(BorrowedFd<'a>, PollFlags)> {
    match known {
        Known::Host(fd, events) => Some((*fd, *events)),
        _ => None,
    }
}

fn known<'a>(ctx: &'a WasiCtx, waiting: &Waiting) -> Known<'a> {
    let known = match (waiting.deadline, waiting.subscription.until) {
        (Err(error), _) => Err(error),
        (Ok(Some(deadline)), _) => Ok(Known::Deadline(deadline)),
        (Ok(None), Until::Writable(fd)) => {
            ctx.table.get(fd).and_then(|descriptor| ready(descriptor, Rights::FD_WRITE, PollFlags::OUT))
        }
        (Ok(None), Until::Readable(fd)) => {
            ctx.table.get(fd).and_then(|descriptor| ready(descriptor, Rights::FD_READ, PollFlags::IN))
        }
        (Ok(None), Until::Clock { .. }) => Err(Errno::INVAL),
    };
    known.unwrap_or_else(|error| Known::Settled(Err(error)))
}

fn ready(descriptor: &Descriptor, right: Rights, events: PollFlags) -> Result<Known<'_>> {
    descriptor.require_data(right | Rights::POLL_FD_READWRITE)?;
    match (&descriptor.object, descriptor.host()) {
        (_, Some(fd)) => Ok(Known::Host(fd, events)),
        (Object::Stream(stream), None) => {
            let available = stream.available();
            Ok(Known::Settled(Ok(Ready { available, hangup: false })))
        }
        _ => Err(Errno::BADF),
    }
}

fn outcome(known: Known<'_>, end: u64, found: &BTreeMap<RawFd, PollFlags>) -> Option<Result<Ready>> {
    match known {
        Known::Settled(outcome) => Some(outcome),
        Known::Deadline(deadline) => (deadline <= end).then_some(Ok(Ready::default())),
        Known::Host(fd, events) => {
            // What has gone wrong is told to all who ask about the descriptor.
            let wanted = events | PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL;
            let found = *found.get(&fd.as_raw_fd())? & wanted;
            let available = if found.contains(PollFlags::IN) { rustix::io::ioctl_fionread(fd).unwrap_or(1) } else { 0 };
            (!found.is_empty()).then_some(Ok(Ready { available, hangup: found.contains(PollFlags::HUP) }))
        }
    }
}
