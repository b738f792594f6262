//! Finds out where a function should start, so that its short loops lie well.
//!
//! A processor of x86-64 keeps decoded instructions by windows of 32 bytes. A short loop that lies
//! in one window more than it has to can take a tenth longer. Cranelift aligns functions and not
//! loops, so where a loop lies is chance. But a function need not start at a multiple of anything:
//! moved by some bytes, its loops move with it.

/// Bytes that the processor decodes together.
const WINDOW: u32 = 32;
/// A longer loop hardly depends on where it lies.
const SHORT: u32 = 3 * WINDOW;

/// Returns how many bytes behind a multiple of [`WINDOW`] a function should start, given where its
/// blocks start, in order, where its code ends, and between which blocks it branches. That is a
/// multiple of the `alignment` which the constants in its code need.
pub(super) fn shift(blocks: &[u32], end: u32, edges: &[(u32, u32)], alignment: u32) -> u32 {
    let end_of = |block: u32| blocks[blocks.partition_point(|start| *start <= block)..].first().copied().unwrap_or(end);
    let back = edges.iter().filter(|(from, to)| to <= from).map(|(from, to)| (*to, end_of(*from)));
    let loops: Vec<(u32, u32)> = back.filter(|(start, end)| end - start <= SHORT).collect();
    // Only the innermost are executed often.
    let contains = |outer: &(u32, u32), inner: &(u32, u32)| outer != inner && outer.0 <= inner.0 && inner.1 <= outer.1;
    let innermost: Vec<_> = loops.iter().filter(|outer| !loops.iter().any(|inner| contains(outer, inner))).collect();
    let windows = |shift: u32| -> u32 {
        innermost.iter().map(|(start, end)| (end + shift - 1) / WINDOW - (start + shift) / WINDOW).sum()
    };
    (0..WINDOW).step_by(alignment.max(1) as usize).min_by_key(|shift| windows(*shift)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_loop_lies_in_as_few_windows_as_it_can() {
        // 25 bytes from 0x18a on.
        let blocks = [0, 0x18a, 0x1a3];
        assert_eq!(shift(&blocks, 0x1b0, &[(0, 0x18a), (0x18a, 0x18a), (0x18a, 0x1a3)], 1), 0x1a0 - 0x18a);
        assert_eq!(shift(&[0, 32, 57], 60, &[(32, 32)], 1), 0, "it lies well already");
    }

    #[test]
    fn constants_stay_aligned() {
        // 25 bytes that begin in the second half of a window, and would lie well 16 bytes later, or
        // 6.
        let blocks = [0, 58, 83];
        assert_eq!(shift(&blocks, 90, &[(58, 58)], 1), 6);
        assert_eq!(shift(&blocks, 90, &[(58, 58)], 8), 8);
        let blocks = [0, 52, 77];
        assert_eq!(shift(&blocks, 90, &[(52, 52)], 16), 16);
        assert_eq!(shift(&blocks, 90, &[(52, 52)], 64), 0);
    }

    #[test]
    fn the_innermost_loop_decides() {
        // The outer one would lie well where it is.
        let blocks = [0, 32, 60, 80, 90];
        assert_eq!(shift(&blocks, 100, &[(80, 32), (60, 60)], 1), 4);
    }

    #[test]
    fn without_short_loops_a_function_stays_where_it_is() {
        assert_eq!(shift(&[0, 10], 20, &[(0, 10)], 1), 0);
        assert_eq!(shift(&[0, 10, 200], 220, &[(10, 10)], 1), 0);
        assert_eq!(shift(&[], 0, &[], 1), 0);
    }
}
