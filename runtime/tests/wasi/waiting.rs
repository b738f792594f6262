//! Clocks, randomness, and waiting.

use crate::program::*;
use minirt::wasi::{FsPerms, Input, WasiCtxBuilder};
use std::fs;
use tempfile::TempDir;

#[test]
fn clocks_run_and_unknown_ones_do_not() {
    let mut p = Program::new(&mut WasiCtxBuilder::new());
    for id in 0..4 {
        assert_eq!(p.call("clock_res_get", &[id.into(), OUT.into()]), 0);
        assert!((1..=1_000_000_000).contains(&p.u64(OUT)));
        assert_eq!(p.call("clock_time_get", &[id.into(), 0_i64.into(), OUT.into()]), 0);
        assert!(p.u64(OUT) > 0);
    }
    assert_eq!(p.call("clock_time_get", &[0.into(), 0_i64.into(), OUT.into()]), 0);
    assert!(p.u64(OUT) > 1_700_000_000_000_000_000);
    assert_eq!(p.call("clock_time_get", &[4.into(), 0_i64.into(), OUT.into()]), INVAL);
}

#[test]
fn random_bytes_fill_the_buffer_and_nothing_else() {
    let mut p = Program::new(&mut WasiCtxBuilder::new());
    assert_eq!(p.call("random_get", &[(BYTES + 8).into(), 64.into()]), 0);
    let bytes = p.bytes(80);
    assert!(bytes[8..72].iter().any(|byte| *byte != 0));
    assert_eq!((&bytes[..8], &bytes[72..]), (&[0; 8][..], &[0; 8][..]));
    assert_eq!(p.call("random_get", &[0.into(), (-1).into()]), FAULT);
}

#[test]
fn waiting_for_a_clock_takes_its_time() {
    let mut p = Program::new(&mut WasiCtxBuilder::new());
    let start = std::time::Instant::now();
    let events = p.poll(&[clock_subscription(7, 1, 20_000_000, false), clock_subscription(8, 1, u64::MAX, false)]);
    assert_eq!(events, Ok(vec![(7, 0, 0)]));
    assert!(start.elapsed().as_millis() >= 20);
    // Times that have passed.
    for clock in [0, 1] {
        assert_eq!(p.poll(&[clock_subscription(1, clock, 5, true)]), Ok(vec![(1, 0, 0)]));
    }
    assert_eq!(p.poll(&[clock_subscription(1, 9, 5, true)]), Ok(vec![(1, INVAL, 0)]));
    assert_eq!(p.poll(&[]), Err(INVAL));
    assert_eq!(p.call("poll_oneoff", &[0.into(), 0.into(), 4097.into(), OUT.into()]), INVAL);
}

#[test]
fn what_is_ready_ends_a_wait_at_once() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("file"), "data").unwrap();
    let mut wasi = WasiCtxBuilder::new();
    wasi.stdin(Input::Bytes(b"input".to_vec())).preopened_dir(dir.path(), "/", FsPerms::ReadOnly).unwrap();
    let mut p = Program::new(&mut wasi);
    let fd = p.open(3, "file", 0, READ).unwrap() as u8;
    let never = clock_subscription(1, 1, u64::MAX, false);
    assert_eq!(p.poll(&[never, fd_subscription(2, 1, 0)]), Ok(vec![(2, 0, 1)]));
    assert_eq!(p.u64(BYTES + 16), 5);
    assert_eq!(p.poll(&[fd_subscription(2, 1, fd), never]), Ok(vec![(2, 0, 1)]));
    assert_eq!(p.u64(BYTES + 16), 4);
    assert_eq!(p.poll(&[fd_subscription(2, 2, 1)]), Ok(vec![(2, 0, 2)]));
    let wrong = [fd_subscription(1, 1, 99), fd_subscription(2, 2, fd), never, fd_subscription(3, 2, 0)];
    assert_eq!(p.poll(&wrong), Ok(vec![(1, BADF, 1), (2, NOTCAPABLE, 2), (3, NOTCAPABLE, 2)]));
}
