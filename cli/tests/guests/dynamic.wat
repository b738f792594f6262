;; Much of it depends on what is imported.
(module
  (import "env" "base" (global $base i32))
  (import "env" "table" (table 4 funcref))
  (import "env" "f" (func $f (param i32)))
  (memory 1)
  (global $copy i32 (global.get $base))
  (elem (table 0) (i32.const 0) func $f)
  (data (i32.const 0) "static")
  (func $start)
  (start $start))
