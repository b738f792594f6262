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
;;   movl %edx, %r8d
;;   movdqu 0x40000008(%rdi, %r8), %xmm7
;;   movdqu 0x40000000(%rdi, %r8), %xmm0
;;   movl %esi, %r8d
;;   movdqu %xmm7, 0x40000008(%rdi, %r8)
;;   movdqu %xmm0, 0x40000000(%rdi, %r8)
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
;;   movq %rbp, %rsp
;;   popq %rbp
;;   retq
;;
