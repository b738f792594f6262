;; Functions that write pages that are known, and one that is called before all others.
(module $writers
  (memory (export "memory") 2 8)
  (data (i32.const 0) "the image has three pages")
  (data (i32.const 8000) "of which this one straddles two")
  (func $one (i32.store (i32.const 20480) (i32.const 1)))
  (func $four
    (memory.fill (i32.const 40960) (i32.const 1) (i32.const 16384)))
  (func $same (i32.store8 (i32.const 0) (i32.const 116)))
  (func $grown
    (drop (memory.grow (i32.const 1)))
    (i32.store (i32.const 131072) (i32.const 1)))
  (func $ctors (export "_initialize") (call $four))
  (func (export "run") (call $one) (call $same) (call $grown))
  (func (export "trap") (call $one) unreachable)
  (func (export "never") (call $one) (loop (br 0))))
