;; Traps three calls deep, in functions with names and one without.
(module $trap
  (memory (export "memory") 1)
  (func $read (param i32) (result i32) (i32.load (local.get 0)))
  (func (param i32) (result i32) (call $read (local.get 0)))
  (func $main (export "_start") (drop (call 1 (i32.const 65533)))))
