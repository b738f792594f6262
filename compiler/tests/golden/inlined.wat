;; Small functions that call nothing: their code stands where they are called.
(module
  (memory 1)
  (func $is_digit (param i32) (result i32)
    (i32.lt_u (i32.sub (local.get 0) (i32.const 48)) (i32.const 10)))
  (func $digits (param $at i32) (result i32) (local $byte i32) (local $count i32)
    (loop $next
      (local.set $byte (i32.load8_u (local.get $at)))
      (local.set $count (i32.add (local.get $count) (call $is_digit (local.get $byte))))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br_if $next (local.get $byte)))
    (local.get $count)))
;; --------
;; $is_digit
;;   pushq %rbp
;;   movq %rsp, %rbp
;; block0:
;;   subl $0x30, %esi
;;   cmpl $0xa, %esi
;;   setb %sil
;;   movzbl %sil, %eax
;;   movq %rbp, %rsp
;;   popq %rbp
;;   retq
;;
;; $digits
;;   pushq %rbp
;;   movq %rsp, %rbp
;; block0:
;;   uninit  %rax
;;   xorl %eax, %eax
;;   movl %esi, %esi
;;   jmp     label1
;; block1:
;;   movzbq 0x40000000(%rdi, %rsi), %rcx
;;   jmp     label2
;; block2:
;;   jmp     label3
;; block3:
;;   leal 1(%rsi), %esi
;;   movq %rcx, %rdx
;;   subl $0x30, %edx
;;   cmpl $0xa, %edx
;;   setb %dl
;;   movzbl %dl, %edx
;;   leal (%rax, %rdx), %eax
;;   testl %ecx, %ecx
;;   jnz     label4; j label5
;; block4:
;;   jmp     label1
;; block5:
;;   jmp     label6
;; block6:
;;   movq %rbp, %rsp
;;   popq %rbp
;;   retq
;;
