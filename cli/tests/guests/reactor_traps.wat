;; A reactor that cannot get ready.
(module $reactor
  (func (export "_initialize") unreachable)
  (func (export "twice") (param i32) (result i32) (i32.mul (local.get 0) (i32.const 2))))
