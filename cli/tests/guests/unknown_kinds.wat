;; Imports what nobody defines, and not only functions.
(module
  (import "nowhere" "f" (func $f (param i32) (result i32)))
  (import "nowhere" "memory" (memory 1))
  (import "nowhere" "global" (global $global i32))
  (import "nowhere" "table" (table 1 funcref))
  (func (export "call") (result i32) (call $f (i32.const 5)))
  (func (export "global") (result i32) (global.get $global)))
