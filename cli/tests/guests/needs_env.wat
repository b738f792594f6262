;; Wants a function of another module.
(module
  (import "env" "twice" (func $twice (param i32) (result i32)))
  (func (export "four_times") (param i32) (result i32) (call $twice (call $twice (local.get 0)))))
