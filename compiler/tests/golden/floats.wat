;; Floating-point constants that have to be in registers are made before the outermost loop, each
;; once; others are operands in memory. What is calculated with them leaves the loops that do not
;; change it.
(module
  (func $escape (param $x f64) (param $y f64) (result i32) (local $n i32)
    (loop $again (result i32)
      (if (f64.gt (f64.mul (local.get $x) (local.get $y)) (f64.const 4))
        (then (return (local.get $n))))
      (local.set $x (f64.sub (f64.const 2) (local.get $x)))
      (local.set $y (f64.div (f64.const 2) (local.get $y)))
      (br_if $again (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 1000)))
      (local.get $n)))
  (func $rows (param $width f64) (result f64) (local $x f64) (local $sum f64) (local $row i32) (local $column i32)
    (loop $rows
      (local.set $x (f64.div (f64.mul (f64.convert_i32_u (local.get $row)) (f64.const 3)) (local.get $width)))
      (local.set $column (i32.const 0))
      (loop $columns
        (local.set $sum (f64.add (f64.mul (local.get $sum) (local.get $sum)) (local.get $x)))
        (br_if $columns (i32.lt_u (local.tee $column (i32.add (local.get $column) (i32.const 1))) (i32.const 100))))
      (br_if $rows (i32.lt_u (local.tee $row (i32.add (local.get $row) (i32.const 1))) (i32.const 100))))
    (local.get $sum))
  (func $straight (param $x f64) (result f64)
    (f64.sub (f64.const 2) (local.get $x))))
;; --------
;; $escape
;;   pushq %rbp
;;   movq %rsp, %rbp
;; block0:
;;   movdqa %xmm0, %xmm2
;;   uninit  %rax
;;   xorl %eax, %eax
;;   movabsq $0x4000000000000000, %rcx
;;   movq %rcx, %xmm0
;;   jmp     label1
;; block1:
;;   movdqa %xmm2, %xmm3
;;   mulsd %xmm1, %xmm3
;;   ucomisd (%rip), %xmm3
;;   jnbe    label6; j label2
;; block2:
;;   leal 1(%rax), %eax
;;   movdqa %xmm0, %xmm3
;;   subsd %xmm2, %xmm3
;;   movdqa %xmm0, %xmm2
;;   divsd %xmm1, %xmm2
;;   cmpl $0x3e8, %eax
;;   jb      label3; j label4
;; block3:
;;   movdqa %xmm2, %xmm1
;;   movdqa %xmm3, %xmm2
;;   jmp     label1
;; block4:
;;   jmp     label5
;; block5:
;;   movq %rbp, %rsp
;;   popq %rbp
;;   retq
;; block6:
;;   movq %rbp, %rsp
;;   popq %rbp
;;   retq
;;
;; $rows
;;   pushq %rbp
;;   movq %rsp, %rbp
;; block0:
;;   movdqa %xmm0, %xmm1
;;   uninit  %rdx
;;   xorl %edx, %edx
;;   uninit  %xmm0
;;   xorpd %xmm0, %xmm0
;;   jmp     label1
;; block1:
;;   uninit  %r10
;;   xorl %r10d, %r10d
;;   uninit  %xmm2
;;   xorpd %xmm2, %xmm2
;;   movl %edx, %eax
;;   cvtsi2sdq %rax, %xmm2
;;   mulsd (%rip), %xmm2
;;   divsd %xmm1, %xmm2
;;   jmp     label2
;; block2:
;;   leal 1(%r10), %r10d
;;   mulsd %xmm0, %xmm0
;;   addsd %xmm2, %xmm0
;;   cmpl $0x64, %r10d
;;   jb      label3; j label4
;; block3:
;;   jmp     label2
;; block4:
;;   jmp     label5
;; block5:
;;   leal 1(%rdx), %edx
;;   cmpl $0x64, %edx
;;   jb      label6; j label7
;; block6:
;;   jmp     label1
;; block7:
;;   jmp     label8
;; block8:
;;   movq %rbp, %rsp
;;   popq %rbp
;;   retq
;;
;; $straight
;;   pushq %rbp
;;   movq %rsp, %rbp
;; block0:
;;   movdqa %xmm0, %xmm5
;;   movabsq $0x4000000000000000, %rsi
;;   movq %rsi, %xmm0
;;   movdqa %xmm5, %xmm7
;;   subsd %xmm7, %xmm0
;;   movq %rbp, %rsp
;;   popq %rbp
;;   retq
;;
