;; Functions that call each other.
(module $calls
  (memory (export "memory") 1)
  (func $inner (param $n i32) (result i32)
    (i32.store (i32.const 0) (local.get $n))
    (call $store (local.get $n))
    (i32.load (i32.const 0)))
  (func $store (param $n i32)
    (loop $again
      (i32.store offset=4 (local.get $n) (local.get $n))
      (br_if $again (local.tee $n (i32.shr_u (local.get $n) (i32.const 1))))))
  (func $middle (param $n i32) (result i32)
    (i32.add (call $inner (local.get $n)) (call $inner (i32.const 1))))
  (func (export "_start")
    (drop (call $middle (i32.const 1000)))))
