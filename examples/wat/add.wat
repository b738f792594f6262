;; A library for use-add.wat: a function, and a global that counts its calls.
;;
;;     minirt run --invoke add examples/wat/add.wat 2 3     prints 5
(module
  (global $calls (export "calls") (mut i32) (i32.const 0))

  (func (export "add") (param $a i32) (param $b i32) (result i32)
    (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
    (i32.add (local.get $a) (local.get $b))))
