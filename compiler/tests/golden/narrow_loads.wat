;; A narrow load is one instruction, whether its value is used once or several times.
(module
  (memory 1)
  (func $once (param i32) (result i64) (i64.load16_s (local.get 0)))
  (func $compared (param i32) (result i32) (i32.eq (i32.load8_u (local.get 0)) (i32.const 10)))
  (func $twice (param i32) (result i32) (local $byte i32)
    (local.set $byte (i32.load8_u (local.get 0)))
    (i32.store8 offset=1 (local.get 0) (local.get $byte))
    (i32.mul (local.get $byte) (local.get $byte))))
;; --------
;; $once
;;   pushq %rbp
;;   movq %rsp, %rbp
;; block0:
;;   movl %esi, %esi
;;   movswq 0x40000000(%rdi, %rsi), %rax
;;   movq %rbp, %rsp
;;   popq %rbp
;;   retq
;;
;; $compared
;;   pushq %rbp
;;   movq %rsp, %rbp
;; block0:
;;   movl %esi, %esi
;;   movzbq 0x40000000(%rdi, %rsi), %rsi
;;   cmpl $0xa, %esi
;;   sete %dil
;;   movzbl %dil, %eax
;;   movq %rbp, %rsp
;;   popq %rbp
;;   retq
;;
;; $twice
;;   pushq %rbp
;;   movq %rsp, %rbp
;; block0:
;;   movl %esi, %esi
;;   movzbq 0x40000000(%rdi, %rsi), %rax
;;   movb %al, 0x40000001(%rdi, %rsi)
;;   imull %eax, %eax
;;   movq %rbp, %rsp
;;   popq %rbp
;;   retq
;;
