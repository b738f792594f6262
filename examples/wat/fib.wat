;; Fibonacci numbers, in the slow way and in the fast one.
;;
;;     minirt run --invoke fib examples/wat/fib.wat 30        prints 832040
;;     minirt run --invoke fib_fast examples/wat/fib.wat 90   prints 2880067194370816120
(module
  ;; Two calls for each number: a measure of how fast calls are.
  (func $fib (export "fib") (param $n i32) (result i32)
    (if (result i32) (i32.lt_u (local.get $n) (i32.const 2))
      (then (local.get $n))
      (else
        (i32.add
          (call $fib (i32.sub (local.get $n) (i32.const 1)))
          (call $fib (i32.sub (local.get $n) (i32.const 2)))))))

  ;; A loop over two neighbouring numbers. The loop's label takes both as
  ;; parameters, so that they stay on the stack from turn to turn.
  (func (export "fib_fast") (param $n i32) (result i64)
    (local $next i64)
    (i64.const 0)
    (i64.const 1)
    (loop $turn (param i64 i64) (result i64)
      (local.set $next)
      (if (param i64) (result i64) (local.get $n)
        (then
          (local.set $n (i32.sub (local.get $n) (i32.const 1)))
          (call $step (local.get $next))
          (br $turn)))))

  ;; From a pair of neighbours to the pair that follows.
  (func $step (param $this i64) (param $next i64) (result i64 i64)
    (local.get $next)
    (i64.add (local.get $this) (local.get $next))))
