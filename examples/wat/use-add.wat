;; Imports from another module, which has to be there first.
;;
;;     minirt run --preload math=examples/wat/add.wat --invoke sum3 examples/wat/use-add.wat 1 2 3
;;
;; prints 6. The module of add.wat goes by the name "math" here, and
;;
;;     minirt run --preload math=examples/wat/add.wat --invoke calls_for_sum3 examples/wat/use-add.wat
;;
;; prints 2, the number of calls that the library has counted.
(module
  (import "math" "add" (func $add (param i32 i32) (result i32)))
  (import "math" "calls" (global $calls (mut i32)))

  (func $sum3 (export "sum3") (param $a i32) (param $b i32) (param $c i32) (result i32)
    (call $add (call $add (local.get $a) (local.get $b)) (local.get $c)))

  (func (export "calls_for_sum3") (result i32)
    (drop (call $sum3 (i32.const 1) (i32.const 2) (i32.const 3)))
    (global.get $calls)))
