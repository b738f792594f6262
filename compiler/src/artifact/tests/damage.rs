//! Damaged artifacts, as many as one likes: `MINIRT_DAMAGED` says how many, `MINIRT_SEED` which.

use super::*;

/// Artifacts that are damaged, unless the environment says otherwise.
const DAMAGED: usize = 5_000;

fn number(name: &str) -> Option<usize> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} has to be a number")))
}

/// Damages a file in one of the ways in which files suffer. Returns whether anybody could have
/// noticed by the digests: not if they were made anew.
fn damage(file: &[u8], other: &[u8], random: &mut impl FnMut(usize) -> usize) -> (Vec<u8>, bool) {
    let mut bad = file.to_vec();
    let len = bad.len();
    match random(8) {
        0 => (0..1 + random(30)).for_each(|_| bad[random(len)] ^= 1 << random(8)),
        1 => bad.truncate(random(len)),
        2 => bad.extend((0..1 + random(9000)).map(|_| 0)),
        3 => {
            // A block that was never written, as after a crash.
            let at = random(len) & !511;
            let end = (at + 512).min(len);
            bad[at..end].fill(0);
        }
        4 => {
            let (at, from, n) = (random(len), random(len), 1 + random(5000));
            let n = n.min(len - at).min(len - from);
            bad.copy_within(from..from + n, at);
        }
        5 => {
            let at = random(len.min(other.len()));
            bad.truncate(at);
            bad.extend(&other[at..]);
        }
        6 => bad = (0..random(300)).map(|at| file[at] ^ (random(4) == 0) as u8).collect(),
        _ => {
            let changed = rewritten(file, |metadata| {
                for _ in 0..1 + random(3) {
                    let at = random(metadata.len());
                    metadata[at] = [0, 1, 0x7f, 0x80, 0xff, random(256) as u8][random(6)];
                }
            });
            return (changed, false);
        }
    }
    (bad, true)
}

#[test]
fn a_damaged_artifact_is_refused_and_one_that_somebody_else_made_is_no_panic() {
    let seed = number("MINIRT_SEED").unwrap_or(22);
    let mut state = (seed as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let files = [RICH, SPARSE, SMALL].map(written);
    let mut read_all_the_same = 0;
    for round in 0..number("MINIRT_DAMAGED").unwrap_or(DAMAGED) {
        let (file, other) = (&files[random(3)], &files[random(3)]);
        let (bad, noticed) = damage(file, other, &mut random);
        let undamaged = files.contains(&bad);
        match read(bad, random(2) == 0 || noticed) {
            Ok(_) if !noticed => read_all_the_same += 1,
            Ok(_) => assert!(undamaged, "round {round} of seed {seed}: it was read"),
            Err(_) => assert!(!undamaged, "round {round} of seed {seed}: it was refused"),
        }
    }
    println!("{read_all_the_same} were read, made by somebody else");
}
