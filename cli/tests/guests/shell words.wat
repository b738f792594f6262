;; Names that a shell would take for more than names, and that are wider than they have letters.
(module
  (memory 2)
  (func (export "a; b $(c)") (i32.store (i32.const 9000) (i32.const 1)))
  (func (export "漢字漢字漢字漢字") (i32.store (i32.const 29000) (i32.const 1))))
