;; A 64-bit index, and an offset beyond the guard.
(module
  (memory i64 1)
  (func $load (param i64) (result i64) (i64.load offset=16 (local.get 0)))
  (func $far (param i64) (result i64) (i64.load offset=0x40000000 (local.get 0))))
;; --------
;; $load
;;   pushq %rbp
;;   movq %rsp, %rbp
;; block0:
;;   movq %rsi, %r9
;;   shrq $0x20, %r9
;;   movq $0xffffffffc0000000, %r8
;;   testq %r9, %r9
;;   cmovneq %r8, %rsi
;;   movq 0x40000010(%rdi, %rsi), %rax
;;   movq %rbp, %rsp
;;   popq %rbp
;;   retq
;;
;; $far
;;   pushq %rbp
;;   movq %rsp, %rbp
;; block0:
;;   movq -0x5fffffc0(%rdi), %rax
;;   leaq 0x40000008(%rsi), %rcx
;;   cmpq %rax, %rcx
;;   seta %r9b
;;   movq %rsi, %rcx
;;   shrq $0x20, %rcx
;;   uninit  %rax
;;   xorq %rax, %rax
;;   testq %rcx, %rcx
;;   setne %cl
;;   orl %ecx, %r9d
;;   testb %r9b, %r9b
;;   jnz #trap=heap_oob
;;   leaq 0x40000000(%rsi), %rcx
;;   testb %r9b, %r9b
;;   cmovneq %rax, %rcx
;;   movq 0x40000000(%rdi, %rcx), %rax
;;   movq %rbp, %rsp
;;   popq %rbp
;;   retq
;;
