;; Writes pages that are too scattered to be listed one by one: every fourth page in four places.
(module
  (memory (export "memory") 512)
  (func $place (param $from i32) (local $count i32)
    (local.set $count (i32.const 100))
    (loop $next
      (i32.store (local.get $from) (i32.const 1))
      (local.set $from (i32.add (local.get $from) (i32.const 16384)))
      (br_if $next (local.tee $count (i32.sub (local.get $count) (i32.const 1))))))
  (func (export "run")
    (call $place (i32.const 0x0010000)) (call $place (i32.const 0x0810000))
    (call $place (i32.const 0x1010000)) (call $place (i32.const 0x1810000))))
