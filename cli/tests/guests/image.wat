;; Everything about it is known before anything is imported.
(module $sparse
  (memory (export "memory") 300)
  (data (i32.const 0) "near")
  (data (i32.const 0x00ff0000) "far")
  (table (export "table") 4 8 funcref)
  (global (export "global") (mut i64) (i64.const 7))
  (func $f (export "f") (param i32 f64) (result i64) (i64.const 1))
  (elem (i32.const 0) $f $f))
