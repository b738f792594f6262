;; What is measured of structures and arrays: each function does its work once, and traps if the result is wrong.
(module
  ;; Binary trees: 100 of depth 16, each made and counted.
  (type $tree (struct (field $left (ref null $tree)) (field $right (ref null $tree))))
  (func $grow (param $depth i32) (result (ref $tree))
    (if (result (ref $tree)) (local.get $depth)
      (then
        (struct.new $tree
          (call $grow (i32.sub (local.get $depth) (i32.const 1)))
          (call $grow (i32.sub (local.get $depth) (i32.const 1)))))
      (else (struct.new $tree (ref.null $tree) (ref.null $tree)))))
  (func $count (param $tree (ref null $tree)) (result i32)
    (if (result i32) (ref.is_null (local.get $tree))
      (then (i32.const 0))
      (else
        (i32.add (i32.const 1)
          (i32.add
            (call $count (struct.get $tree $left (local.get $tree)))
            (call $count (struct.get $tree $right (local.get $tree))))))))
  (func (export "trees") (local $n i32) (local $nodes i32)
    (local.set $n (i32.const 100))
    (loop $next
      (local.set $nodes (i32.add (local.get $nodes) (call $count (call $grow (i32.const 16)))))
      (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (call $expect (local.get $nodes) (i32.const 13107100)))

  ;; Linked lists: 20 of 100,000 cells, each made, reversed in place and added up.
  (type $cell (struct (field $number i32) (field $next (mut (ref null $cell)))))
  (func $chain (param $length i32) (result (ref null $cell)) (local $list (ref null $cell))
    (loop $next
      (local.set $list (struct.new $cell (local.get $length) (local.get $list)))
      (br_if $next (local.tee $length (i32.sub (local.get $length) (i32.const 1)))))
    (local.get $list))
  (func $reverse (param $list (ref null $cell)) (result (ref null $cell))
    (local $done (ref null $cell)) (local $rest (ref null $cell))
    (block $end
      (loop $next
        (br_if $end (ref.is_null (local.get $list)))
        (local.set $rest (struct.get $cell $next (local.get $list)))
        (struct.set $cell $next (local.get $list) (local.get $done))
        (local.set $done (local.get $list))
        (local.set $list (local.get $rest))
        (br $next)))
    (local.get $done))
  (func $sum (param $list (ref null $cell)) (result i32) (local $sum i32)
    (block $end
      (loop $next
        (br_if $end (ref.is_null (local.get $list)))
        (local.set $sum (i32.add (local.get $sum) (struct.get $cell $number (local.get $list))))
        (local.set $list (struct.get $cell $next (local.get $list)))
        (br $next)))
    (local.get $sum))
  (func (export "lists") (local $n i32)
    (local.set $n (i32.const 20))
    (loop $next
      (call $expect (call $sum (call $reverse (call $chain (i32.const 100000)))) (i32.const 705082704))
      (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))

  ;; A hash map of boxed integers: 200,000 updates of 20,000 keys, with a new box for each key and value.
  (type $boxed (struct (field $value i32)))
  (type $entry (struct
    (field $key (ref $boxed)) (field $value (mut (ref $boxed))) (field $next (ref null $entry))))
  (type $buckets (array (mut (ref null $entry))))
  (func $add_one (param $map (ref $buckets)) (param $key (ref $boxed))
    (local $bucket i32) (local $at (ref null $entry))
    (local.set $bucket (i32.and (struct.get $boxed $value (local.get $key)) (i32.const 16383)))
    (local.set $at (array.get $buckets (local.get $map) (local.get $bucket)))
    (block $absent
      (loop $next
        (br_if $absent (ref.is_null (local.get $at)))
        (if (i32.eq
              (struct.get $boxed $value (struct.get $entry $key (local.get $at)))
              (struct.get $boxed $value (local.get $key)))
          (then
            (struct.set $entry $value (local.get $at)
              (struct.new $boxed
                (i32.add (struct.get $boxed $value (struct.get $entry $value (local.get $at))) (i32.const 1))))
            (return)))
        (local.set $at (struct.get $entry $next (local.get $at)))
        (br $next)))
    (array.set $buckets (local.get $map) (local.get $bucket)
      (struct.new $entry (local.get $key) (struct.new $boxed (i32.const 1))
        (array.get $buckets (local.get $map) (local.get $bucket)))))
  (func $total (param $map (ref $buckets)) (result i32)
    (local $bucket i32) (local $at (ref null $entry)) (local $total i32)
    (local.set $bucket (array.len (local.get $map)))
    (loop $buckets
      (local.set $bucket (i32.sub (local.get $bucket) (i32.const 1)))
      (local.set $at (array.get $buckets (local.get $map) (local.get $bucket)))
      (block $end
        (loop $next
          (br_if $end (ref.is_null (local.get $at)))
          (local.set $total
            (i32.add (local.get $total) (struct.get $boxed $value (struct.get $entry $value (local.get $at)))))
          (local.set $at (struct.get $entry $next (local.get $at)))
          (br $next)))
      (br_if $buckets (local.get $bucket)))
    (local.get $total))
  (func (export "map") (local $n i32) (local $map (ref null $buckets))
    (local.set $map (array.new_default $buckets (i32.const 16384)))
    (local.set $n (i32.const 200000))
    (loop $next
      (call $add_one (ref.as_non_null (local.get $map))
        (struct.new $boxed (i32.rem_u (i32.mul (local.get $n) (i32.const 7919)) (i32.const 20000))))
      (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (call $expect (call $total (ref.as_non_null (local.get $map))) (i32.const 200000)))

  ;; Fields: four reads and three writes in each of 3,000,000 turns.
  (type $point (struct (field $x (mut i32)) (field $y (mut i64)) (field $z (mut f64)) (field $byte (mut i8))))
  (global $point (mut (ref null $point)) (ref.null $point))
  (func (export "fields") (local $n i32) (local $p (ref null $point))
    (global.set $point (struct.new_default $point))
    (local.set $p (global.get $point))
    (local.set $n (i32.const 3000000))
    (loop $next
      (struct.set $point $x (local.get $p)
        (i32.add (struct.get $point $x (local.get $p)) (struct.get_u $point $byte (local.get $p))))
      (struct.set $point $y (local.get $p) (i64.add (struct.get $point $y (local.get $p)) (i64.const 3)))
      (struct.set $point $byte (local.get $p) (i32.add (struct.get_s $point $byte (local.get $p)) (i32.const 1)))
      (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (call $expect (i32.wrap_i64 (struct.get $point $y (local.get $p))) (i32.const 9000000)))

  ;; Arrays: 300 times over 10,000 numbers, two reads and a write each, and the same over bytes.
  (type $numbers (array (mut i32)))
  (type $bytes (array (mut i8)))
  (func (export "arrays") (local $n i32) (local $i i32) (local $last i32) (local $numbers (ref null $numbers))
    (local.set $numbers (array.new $numbers (i32.const 1) (i32.const 10000)))
    (local.set $n (i32.const 300))
    (local.set $last (i32.const 9999))
    (loop $round
      (local.set $i (i32.const 0))
      (loop $next
        (array.set $numbers (local.get $numbers) (local.get $i)
          (i32.sub
            (array.get $numbers (local.get $numbers) (i32.sub (local.get $last) (local.get $i)))
            (array.get $numbers (local.get $numbers) (local.get $i))))
        (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 10000))))
      (br_if $round (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (call $expect (array.get $numbers (local.get $numbers) (i32.const 0)) (i32.const 1)))
  (func (export "bytes") (local $n i32) (local $i i32) (local $sum i32) (local $bytes (ref null $bytes))
    (local.set $bytes (array.new $bytes (i32.const 255) (i32.const 10000)))
    (local.set $n (i32.const 300))
    (loop $round
      (local.set $i (i32.const 0))
      (loop $next
        (array.set $bytes (local.get $bytes) (local.get $i)
          (i32.add (array.get_u $bytes (local.get $bytes) (local.get $i)) (i32.const 1)))
        (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 10000))))
      (br_if $round (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (call $expect (array.get_u $bytes (local.get $bytes) (i32.const 7)) (i32.const 43)))

  ;; Casts: 1,000,000 turns, each down a hierarchy of five levels, one after the other.
  (rec
    (type $one (sub (struct (field $a i32))))
    (type $two (sub $one (struct (field $a i32) (field $b i32))))
    (type $three (sub $two (struct (field $a i32) (field $b i32) (field $c i32))))
    (type $four (sub $three (struct (field $a i32) (field $b i32) (field $c i32) (field $d i32))))
    (type $five (sub $four (struct (field $a i32) (field $b i32) (field $c i32) (field $d i32) (field $e i32)))))
  (type $objects (array (mut anyref)))
  (func $objects (result (ref $objects)) (local $objects (ref null $objects)) (local $i i32)
    (local.set $objects (array.new_default $objects (i32.const 1000)))
    (loop $next
      (array.set $objects (local.get $objects) (local.get $i)
        (struct.new $five (i32.const 1) (i32.const 1) (i32.const 1) (i32.const 1) (i32.const 1)))
      (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 1000))))
    (ref.as_non_null (local.get $objects)))
  (func (export "casts") (local $n i32) (local $i i32) (local $sum i32) (local $objects (ref null $objects))
    (local.set $objects (call $objects))
    (local.set $n (i32.const 1000))
    (loop $round
      (local.set $i (i32.const 0))
      (loop $next
        (local.set $sum (i32.add (local.get $sum)
          (struct.get $five $e (ref.cast (ref $five) (ref.cast (ref $four) (ref.cast (ref $three)
            (ref.cast (ref $two) (ref.cast (ref $one)
              (array.get $objects (local.get $objects) (local.get $i))))))))))
        (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 1000))))
      (br_if $round (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (call $expect (local.get $sum) (i32.const 1000000)))

  ;; What a `match` over five classes becomes: 1,000,000 turns, in which the fifth test holds.
  (rec
    (type $base (sub (struct)))
    (type $a (sub final $base (struct (field i32))))
    (type $b (sub final $base (struct (field i64))))
    (type $c (sub final $base (struct (field f32))))
    (type $d (sub final $base (struct (field f64))))
    (type $e (sub final $base (struct (field i8)))))
  (func $which (param $object (ref null $base)) (result i32)
    (block $e (result (ref $e))
      (block $d (result (ref $d))
        (block $c (result (ref $c))
          (block $b (result (ref $b))
            (block $a (result (ref $a))
              (br_on_cast $a (ref null $base) (ref $a) (local.get $object))
              (br_on_cast $b (ref null $base) (ref $b))
              (br_on_cast $c (ref null $base) (ref $c))
              (br_on_cast $d (ref null $base) (ref $d))
              (br_on_cast $e (ref null $base) (ref $e))
              unreachable)
            drop
            (return (i32.const 1)))
          drop
          (return (i32.const 2)))
        drop
        (return (i32.const 3)))
      drop
      (return (i32.const 4)))
    drop
    (i32.const 5))
  (global $object (mut (ref null $base)) (ref.null $base))
  (func (export "tests") (local $n i32) (local $sum i32)
    (global.set $object (struct.new $e (i32.const 3)))
    (local.set $n (i32.const 1000000))
    (loop $next
      (local.set $sum (i32.add (local.get $sum) (call $which (global.get $object))))
      (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (call $expect (local.get $sum) (i32.const 5000000)))

  (func $expect (param $found i32) (param $expected i32)
    (if (i32.ne (local.get $found) (local.get $expected)) (then unreachable))))
