;; Calls: direct, through a table whose size is constant, of an import, and in the tail position.
(module
  (import "" "imported" (func $imported (param i32) (result i32)))
  (type $unary (func (param i32) (result i32)))
  (table 2 2 funcref)
  (elem (i32.const 0) $direct $imported)
  (func $direct (param i32) (result i32) (i32.add (call $direct (local.get 0)) (i32.const 1)))
  (func $indirect (param i32) (result i32) (call_indirect (type $unary) (local.get 0) (local.get 0)))
  (func $of_an_import (param i32) (result i32) (call $imported (local.get 0)))
  (func $tail (param i32) (result i32) (return_call $direct (local.get 0))))
;; --------
;; $direct
;;   pushq %rbp
;;   movq %rsp, %rbp
;;   movq -0x5ffffff8(%rdi), %r10
;;   movq 0x18(%r10), %r10
;;   addq $0x10, %r10
;;   cmpq %rsp, %r10
;;   jnbe #trap=stk_ovf
;; block0:
;;   call    User(userextname0)
;;   leal 1(%rax), %eax
;;   movq %rbp, %rsp
;;   popq %rbp
;;   retq
;;
;; $indirect
;;   pushq %rbp
;;   movq %rsp, %rbp
;;   movq -0x5ffffff8(%rdi), %r10
;;   movq 0x18(%r10), %r10
;;   addq $0x10, %r10
;;   cmpq %rsp, %r10
;;   jnbe #trap=stk_ovf
;; block0:
;;   movl %esi, %r10d
;;   movl $0xbffffe8, %eax
;;   cmpq $0x2, %r10
;;   cmovaeq %rax, %r10
;;   movq -0x5fffff40(%rdi, %r10, 8), %rax
;;   leaq (%rdi, %rax), %rcx
;;   movl 0x10(%rdi, %rax), %edx
;;   cmpl -0x5fffff70(%rdi), %edx
;;   jnz #trap=user6
;;   movq 8(%rdi, %rax), %rdx
;;   movq (%rdi, %rax), %rax
;;   leaq (%rcx, %rdx), %rdi
;;   call    *%rax
;;   movq %rbp, %rsp
;;   popq %rbp
;;   retq
;;
;; $of_an_import
;;   pushq %rbp
;;   movq %rsp, %rbp
;;   movq -0x5ffffff8(%rdi), %r10
;;   movq 0x18(%r10), %r10
;;   addq $0x10, %r10
;;   cmpq %rsp, %r10
;;   jnbe #trap=stk_ovf
;; block0:
;;   movq -0x5fffffc0(%rdi), %r8
;;   movq -0x5fffffa0(%rdi), %rdi
;;   call    *%r8
;;   movq %rbp, %rsp
;;   popq %rbp
;;   retq
;;
;; $tail
;;   pushq %rbp
;;   movq %rsp, %rbp
;;   movq -0x5ffffff8(%rdi), %r10
;;   movq 0x18(%r10), %r10
;;   addq $0x10, %r10
;;   cmpq %rsp, %r10
;;   jnbe #trap=stk_ovf
;; block0:
;;   return_call_known User(userextname0) (0) tmp=%r11 %rdi=%rdi %rsi=%rsi
;;
