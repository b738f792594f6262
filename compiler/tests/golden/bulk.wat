;; Bulk operations of a small constant length are loads and stores.
(module
  (memory 1)
  (func $copy (param i32 i32) (memory.copy (local.get 0) (local.get 1) (i32.const 24)))
  (func $fill (param i32) (memory.fill (local.get 0) (i32.const 0) (i32.const 16))))
;; --------
;; $copy
;;   pushq %rbp
;;   movq %rsp, %rbp
;; block0:
;;   movq -0x5fffffd0(%rdi), %r8
;;   movl %edx, %r9d
;;   movdqu 8(%r8, %r9), %xmm0
;;   movdqu (%r8, %r9), %xmm1
;;   movl %esi, %r9d
;;   movdqu %xmm0, 8(%r8, %r9)
;;   movdqu %xmm1, (%r8, %r9)
;;   jmp     label1
;; block1:
;;   movq %rbp, %rsp
;;   popq %rbp
;;   retq
;;
;; $fill
;;   pushq %rbp
;;   movq %rsp, %rbp
;; block0:
;;   movl %esi, %esi
;;   movq $0x0, 0x40000008(%rdi, %rsi)
;;   movq $0x0, 0x40000000(%rdi, %rsi)
;;   jmp     label1
;; block1:
;;   movq %rbp, %rsp
;;   popq %rbp
;;   retq
;;
