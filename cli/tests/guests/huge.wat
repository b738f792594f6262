;; A memory of 4 GiB, of which three pages are written.
(module
  (memory (export "memory") 65536)
  (func $far (export "run")
    (i32.store (i32.const 0) (i32.const 1))
    (i32.store (i32.const 0x7fffffff) (i32.const -1))))
