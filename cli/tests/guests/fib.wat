;; Functions whose machine code is the same on all x86-64 processors.
(module $fib
  (func $fib (export "fib") (param $n i32) (result i32)
    (if (i32.lt_u (local.get $n) (i32.const 2)) (then (return (local.get $n))))
    (i32.add
      (call $fib (i32.sub (local.get $n) (i32.const 1)))
      (call $fib (i32.sub (local.get $n) (i32.const 2)))))
  (func (export "one") (result i32) (i32.const 1))
  (func $choose (param $n i32) (result i32)
    (block (block (block (br_table 0 1 2 (local.get $n))) (return (i32.const 1))) (return (i32.const 2)))
    (i32.const 3)))
