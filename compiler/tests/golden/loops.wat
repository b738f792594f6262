;; Loops. A counter and its next value share a register, an address needs no instruction to be
;; extended, and a load is part of what needs its value.
(module
  (memory 1)

  ;; The comparison is with the value before the step, as compilers write it.
  (func $sum (param $at i32) (result i32) (local $i i32) (local $sum i32)
    (loop $again
      (local.set $sum (i32.add (local.get $sum) (i32.load (i32.add (local.get $at) (local.get $i)))))
      (i32.eq (local.get $i) (i32.const 396))
      (local.set $i (i32.add (local.get $i) (i32.const 4)))
      (br_if $again (i32.eqz)))
    (local.get $sum))

  ;; Each turn loads where the next one looks.
  (func $length (param $list i32) (result i32) (local $length i32)
    (block $end
      (loop $again
        (br_if $end (i32.eqz (local.get $list)))
        (local.set $length (i32.add (local.get $length) (i32.const 1)))
        (local.set $list (i32.load (local.get $list)))
        (br $again)))
    (local.get $length))

  ;; A pointer.
  (func $clear (param $at i32) (param $end i32)
    (loop $again
      (i32.store8 (local.get $at) (i32.const 0))
      (br_if $again
        (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 1))) (local.get $end)))))

  ;; All operands are loaded first.
  (func $product (param $a i32) (param $b i32) (result i32) (local $0 i32) (local $1 i32) (local $2 i32) (local $3 i32)
    (local.set $0 (i32.load (local.get $a)))
    (local.set $1 (i32.load offset=4 (local.get $a)))
    (local.set $2 (i32.load (local.get $b)))
    (local.set $3 (i32.load offset=4 (local.get $b)))
    (i32.add (i32.mul (local.get $0) (local.get $2)) (i32.mul (local.get $1) (local.get $3))))

  ;; The opposite of a comparison is a comparison.
  (func $unless (param $a f64) (param $b f64) (result i32)
    (if (result i32) (i32.eqz (f64.ge (local.get $a) (local.get $b)))
      (then (i32.const 1)) (else (i32.const 7)))))
;; --------
;; $sum
;;   pushq %rbp
;;   movq %rsp, %rbp
;; block0:
;;   uninit  %rax
;;   xorl %eax, %eax
;;   movq %rax, %r8
;;   jmp     label1
;; block1:
;;   leal (%rsi, %r8), %r11d
;;   movl 0x40000000(%rdi, %r11), %r11d
;;   leal (%rax, %r11), %eax
;;   leal 4(%r8), %r8d
;;   cmpl $0x190, %r8d
;;   jnz     label2; j label3
;; block2:
;;   jmp     label1
;; block3:
;;   jmp     label4
;; block4:
;;   movq %rbp, %rsp
;;   popq %rbp
;;   retq
;;
;; $length
;;   pushq %rbp
;;   movq %rsp, %rbp
;; block0:
;;   uninit  %rax
;;   xorl %eax, %eax
;;   movl %esi, %esi
;;   jmp     label1
;; block1:
;;   testl %esi, %esi
;;   jz      label3; j label2
;; block2:
;;   movl 0x40000000(%rdi, %rsi), %esi
;;   leal 1(%rax), %eax
;;   jmp     label1
;; block3:
;;   movq %rbp, %rsp
;;   popq %rbp
;;   retq
;;
;; $clear
;;   pushq %rbp
;;   movq %rsp, %rbp
;; block0:
;;   movl %esi, %esi
;;   jmp     label1
;; block1:
;;   movb $0x0, 0x40000000(%rdi, %rsi)
;;   leal 1(%rsi), %esi
;;   cmpl %edx, %esi
;;   jb      label2; j label3
;; block2:
;;   jmp     label1
;; block3:
;;   jmp     label4
;; block4:
;;   movq %rbp, %rsp
;;   popq %rbp
;;   retq
;;
;; $product
;;   pushq %rbp
;;   movq %rsp, %rbp
;; block0:
;;   leaq 0x40000000(%rdi), %r11
;;   movl %esi, %ecx
;;   movl %edx, %eax
;;   movl 0x40000000(%rdi, %rcx), %r10d
;;   imull (%r11, %rax), %r10d
;;   movl 0x40000004(%rdi, %rcx), %ecx
;;   imull 4(%r11, %rax), %ecx
;;   leal (%r10, %rcx), %eax
;;   movq %rbp, %rsp
;;   popq %rbp
;;   retq
;;
;; $unless
;;   pushq %rbp
;;   movq %rsp, %rbp
;; block0:
;;   ucomisd %xmm1, %xmm0
;;   jb      label2; j label1
;; block1:
;;   movl $0x7, %eax
;;   jmp     label3
;; block2:
;;   movl $0x1, %eax
;;   jmp     label3
;; block3:
;;   movq %rbp, %rsp
;;   popq %rbp
;;   retq
;;
