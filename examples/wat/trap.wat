;; Reads past the end of its memory, four calls deep, to show a backtrace.
;;
;;     minirt run --invoke main examples/wat/trap.wat
;;     minirt run --invoke sum examples/wat/trap.wat 3      prints 60
;;
;; main asks for more numbers than there are. The trap names the functions
;; load_number, add_up, sum and main, from the innermost to the outermost.
(module
  ;; One page of 65536 bytes, of which the first twelve hold three numbers.
  (memory 1 1)
  (data (i32.const 0) "\0a\00\00\00" "\14\00\00\00" "\1e\00\00\00")

  (func $load_number (param $index i32) (result i32)
    (i32.load (i32.mul (local.get $index) (i32.const 4))))

  (func $add_up (param $count i32) (result i32)
    (local $total i32)
    (block $done
      (loop $next
        (br_if $done (i32.eqz (local.get $count)))
        (local.set $count (i32.sub (local.get $count) (i32.const 1)))
        (local.set $total
          (i32.add (local.get $total) (call $load_number (local.get $count))))
        (br $next)))
    (local.get $total))

  (func $sum (export "sum") (param $count i32) (result i32)
    (call $add_up (local.get $count)))

  ;; 16385 numbers of four bytes each: the last one begins where the memory ends.
  (func $main (export "main") (result i32)
    (call $sum (i32.const 16385))))
