;; How long collections stop a guest, by what is live, and what they cost code that makes objects.
;;
;;     minirt run --invoke run runtime/benches/pauses.wat SHAPE LIVE GARBAGE
;;
;; SHAPE is 0 for a list of LIVE nodes, 1 for a tree of LIVE nodes, and 2 for arrays of 4 KiB in as
;; many bytes. A node has 16 bytes. Beside that, it makes GARBAGE nodes that nobody needs, and looks
;; at the clock after every 512 of them. The clock counts this thread's processor time, so other
;; processes hardly matter.
;;
;; Prints how many pauses of more than 8 us there were, their sum, the longest one, and the time of
;; all. Pauses in which the heap grows are among them. Times are in nanoseconds.
(module
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
  (memory (export "memory") 1)
  (type $node (struct (field $next (mut (ref null $node))) (field $value i32)))
  (type $tree (struct (field (ref null $tree)) (field (ref null $tree))))
  (type $bytes (array (mut i8)))
  (type $all (array (mut (ref null $bytes))))
  (global $kept (mut anyref) (ref.null any))
  (func $now (result i64)
    (drop (call $clock (i32.const 3) (i64.const 0) (i32.const 0)))
    (i64.load (i32.const 0)))
  (func $list (param $n i32) (result anyref) (local $list (ref null $node))
    (loop
      (local.set $list (struct.new $node (local.get $list) (local.get $n)))
      (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $list))
  (func $tree (param $nodes i32) (result (ref null $tree)) (local $half i32)
    (if (i32.eqz (local.get $nodes)) (then (return (ref.null $tree))))
    (local.set $half (i32.shr_u (i32.sub (local.get $nodes) (i32.const 1)) (i32.const 1)))
    (struct.new $tree
      (call $tree (local.get $half))
      (call $tree (i32.sub (i32.sub (local.get $nodes) (i32.const 1)) (local.get $half)))))
  (func $arrays (param $n i32) (result anyref) (local $all (ref $all))
    (local.set $n (i32.shr_u (local.get $n) (i32.const 8)))
    (local.set $all (array.new_default $all (i32.add (local.get $n) (i32.const 1))))
    (loop
      (array.set $all (local.get $all) (local.get $n) (array.new_default $bytes (i32.const 4088)))
      (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $all))
  (func $make (param $shape i32) (param $live i32) (result anyref)
    (block $arrays
      (block $tree
        (block $list (br_table $list $tree $arrays (local.get $shape)))
        (return (call $list (local.get $live))))
      (return (call $tree (local.get $live))))
    (call $arrays (local.get $live)))
  (func (export "run") (param $shape i32) (param $live i32) (param $garbage i32)
    (result i64 i64 i64 i64)
    (local $i i32) (local $before i64) (local $now i64) (local $gap i64) (local $start i64)
    (local $count i64) (local $sum i64) (local $longest i64)
    (if (local.get $live)
      (then (global.set $kept (call $make (local.get $shape) (local.get $live)))))
    (local.set $start (local.tee $before (call $now)))
    (loop $again
      (local.set $i (i32.const 512))
      (loop
        (drop (struct.new $node (ref.null $node) (local.get $i)))
        (br_if 0 (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))
      (local.set $now (call $now))
      (local.set $gap (i64.sub (local.get $now) (local.get $before)))
      (local.set $before (local.get $now))
      (if (i64.gt_u (local.get $gap) (i64.const 8000)) (then
        (local.set $count (i64.add (local.get $count) (i64.const 1)))
        (local.set $sum (i64.add (local.get $sum) (local.get $gap)))
        (if (i64.gt_u (local.get $gap) (local.get $longest))
          (then (local.set $longest (local.get $gap))))))
      (local.set $garbage (i32.sub (local.get $garbage) (i32.const 512)))
      (br_if $again (i32.gt_s (local.get $garbage) (i32.const 0))))
    (local.get $count) (local.get $sum) (local.get $longest)
    (i64.sub (local.get $now) (local.get $start))))
