;; Imports what nobody defines: of every kind.
(module $unknown
  (import "nowhere" "f" (func $f (param i32) (result i32)))
  (import "nowhere" "g" (func $g (result i64 f32)))
  (func (export "call") (result i32) (call $f (i32.const 5)))
  (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))
