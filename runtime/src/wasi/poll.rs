//! `poll_oneoff`: waiting for clocks and descriptors.
//!
//! Timeouts are turned into one of the monotonic clock when the call begins, so a real-time clock that is set
//! meanwhile does not matter. Regular files and streams in memory are always ready.

use super::clock::{clock, now};
use super::ctx::WasiCtx;
use super::descriptor::{Descriptor, Object};
use super::errno::{Errno, Result};
use super::guest::Guest;
use super::rights::Rights;
use super::times::since_1970;
use super::types::{Event, Subscription, Until};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::ClockId;

/// The most subscriptions in one call; the host keeps a record of each meanwhile.
const LIMIT: u32 = 4096;

pub(super) fn poll_oneoff(
    ctx: &mut WasiCtx,
    guest: &mut Guest<'_>,
    subscriptions: u32,
    events: u32,
    count: u32,
    event_count: u32,
) -> Result<()> {
    if count == 0 || count > LIMIT {
        return Err(Errno::INVAL);
    }
    guest.slice(events, count * Event::SIZE as u32)?;
    let bytes = guest.slice(subscriptions, count * Subscription::SIZE as u32)?;
    let subscriptions = bytes.as_chunks().0.iter().map(Subscription::decode).collect::<Result<Vec<_>>>()?;
    let outcomes = wait(ctx, &subscriptions)?;
    let happened = subscriptions.iter().zip(outcomes).filter_map(|(subscription, outcome)| {
        let Subscription { userdata, until } = *subscription;
        outcome.map(|outcome| Event { userdata, until, outcome })
    });
    let mut written = 0;
    for event in happened {
        guest.write(events + written * Event::SIZE as u32, &event.encode())?;
        written += 1;
    }
    guest.write_u32(event_count, written)
}

/// What an event reports: bytes that can be read, and whether the other side of a pipe is gone.
type Outcome = Result<(u64, bool)>;

/// What a subscription waits for.
enum Waiting<'a> {
    /// Nothing: it is clear already what happened.
    Settled(Outcome),
    /// The monotonic clock, in nanoseconds.
    Deadline(u64),
    Host(PollFd<'a>),
}

/// Waits until at least one subscription has an outcome.
fn wait(ctx: &WasiCtx, subscriptions: &[Subscription]) -> Result<Vec<Option<Outcome>>> {
    let start = now(ClockId::Monotonic);
    let waiting: Vec<_> = subscriptions.iter().map(|s| waiting(ctx, s.until, start)).collect();
    let settled = waiting.iter().any(|w| matches!(w, Waiting::Settled(_)));
    let earliest = waiting.iter().filter_map(|w| match w {
        Waiting::Deadline(deadline) => Some(*deadline),
        _ => None,
    });
    let deadline = if settled { Some(start) } else { earliest.min() };
    let mut fds: Vec<_> = waiting.iter().filter_map(host).collect();
    sleep(&mut fds, deadline)?;
    let (end, mut fds) = (now(ClockId::Monotonic), fds.into_iter());
    Ok(waiting.into_iter().map(|w| outcome(w, end, &mut fds)).collect())
}

fn host<'a>(waiting: &Waiting<'a>) -> Option<PollFd<'a>> {
    match waiting {
        Waiting::Host(fd) => Some(fd.clone()),
        _ => None,
    }
}

fn waiting(ctx: &WasiCtx, until: Until, start: u64) -> Waiting<'_> {
    let waiting = match until {
        Until::Clock { id, timeout, absolute } => deadline(id, timeout, absolute, start).map(Waiting::Deadline),
        Until::Readable(fd) => ctx.table.get(fd).and_then(|d| ready(d, Rights::FD_READ, PollFlags::IN)),
        Until::Writable(fd) => ctx.table.get(fd).and_then(|d| ready(d, Rights::FD_WRITE, PollFlags::OUT)),
    };
    waiting.unwrap_or_else(|error| Waiting::Settled(Err(error)))
}

fn deadline(id: u32, timeout: u64, absolute: bool, start: u64) -> Result<u64> {
    let left = match (clock(id)?, absolute) {
        (ClockId::Realtime | ClockId::Monotonic, false) => timeout,
        (clock @ (ClockId::Realtime | ClockId::Monotonic), true) => timeout.saturating_sub(now(clock)),
        _ => return Err(Errno::NOTSUP),
    };
    Ok(start.saturating_add(left))
}

fn ready(descriptor: &Descriptor, right: Rights, events: PollFlags) -> Result<Waiting<'_>> {
    descriptor.require_data(right | Rights::POLL_FD_READWRITE)?;
    match (&descriptor.object, descriptor.host()) {
        (_, Some(fd)) => Ok(Waiting::Host(PollFd::from_borrowed_fd(fd, events))),
        (Object::Stream(stream), None) => Ok(Waiting::Settled(Ok((stream.available(), false)))),
        _ => Err(Errno::BADF),
    }
}

/// Until a descriptor is ready or the monotonic clock shows this. A signal in between changes nothing.
fn sleep(fds: &mut [PollFd<'_>], deadline: Option<u64>) -> Result<()> {
    loop {
        let left = deadline.map(|deadline| deadline.saturating_sub(now(ClockId::Monotonic)));
        match poll(fds, left.map(since_1970).as_ref()) {
            Ok(0) if left.is_none_or(|left| left > 0) => (),
            Err(rustix::io::Errno::INTR) => (),
            Ok(_) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

fn outcome<'a>(waiting: Waiting<'a>, end: u64, fds: &mut impl Iterator<Item = PollFd<'a>>) -> Option<Outcome> {
    match waiting {
        Waiting::Settled(outcome) => Some(outcome),
        Waiting::Deadline(deadline) => (deadline <= end).then_some(Ok((0, false))),
        Waiting::Host(_) => {
            let fd = fds.next()?;
            let found = fd.revents();
            let available =
                if found.contains(PollFlags::IN) { rustix::io::ioctl_fionread(&fd).unwrap_or(1) } else { 0 };
            (!found.is_empty()).then_some(Ok((available, found.contains(PollFlags::HUP))))
        }
    }
}
