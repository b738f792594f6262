;; Accesses of the memory: one in a leaf, several in a loop, and some around a call.
(module
  (import "" "elsewhere" (func $elsewhere (param i32) (result i32)))
  (memory 1)
  (func $once (param i32) (result i32) (i32.load offset=8 (local.get 0)))
  (func $sum (param $at i32) (param $end i32) (result i32) (local $sum i32)
    (loop $next
      (local.set $sum (i32.add (local.get $sum) (i32.load (local.get $at))))
      (local.set $at (i32.add (local.get $at) (i32.const 4)))
      (br_if $next (i32.lt_u (local.get $at) (local.get $end))))
    (local.get $sum))
  (func $around_a_call (param $at i32)
    (loop $next
      (i32.store (local.get $at) (call $elsewhere (i32.load offset=4 (local.get $at))))
      (br_if $next (local.tee $at (i32.load offset=12 (local.get $at)))))))
;; --------
;; $once
;;   pushq %rbp
;;   movq %rsp, %rbp
;; block0:
;;   movl %esi, %esi
;;   movl 0x40000008(%rdi, %rsi), %eax
;;   movq %rbp, %rsp
;;   popq %rbp
;;   retq
;;
;; $sum
;;   pushq %rbp
;;   movq %rsp, %rbp
;; block0:
;;   uninit  %rax
;;   xorl %eax, %eax
;;   movl %esi, %r8d
;;   jmp     label1
;; block1:
;;   movl 0x40000000(%rdi, %r8), %ecx
;;   leal 4(%r8), %r8d
;;   leal (%rax, %rcx), %eax
;;   cmpl %edx, %r8d
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
;; $around_a_call
;;   pushq %rbp
;;   movq %rsp, %rbp
;;   movq -0x5ffffff8(%rdi), %r10
;;   movq 0x18(%r10), %r10
;;   addq $0x30, %r10
;;   cmpq %rsp, %r10
;;   jnbe #trap=stk_ovf
;;   subq $0x20, %rsp
;;   movq %r12, (%rsp)
;;   movq %r13, 8(%rsp)
;;   movq %r14, 0x10(%rsp)
;;   movq %r15, 0x18(%rsp)
;; block0:
;;   movq -0x5fffffd0(%rdi), %r15
;;   movq -0x5fffffc0(%rdi), %r12
;;   movq -0x5fffffa0(%rdi), %r13
;;   movl %esi, %r14d
;;   jmp     label1
;; block1:
;;   movl 4(%r15, %r14), %esi
;;   movq %r13, %rdi
;;   call    *%r12
;;   movl %eax, (%r15, %r14)
;;   movl 0xc(%r15, %r14), %r14d
;;   testl %r14d, %r14d
;;   jnz     label2; j label3
;; block2:
;;   jmp     label1
;; block3:
;;   jmp     label4
;; block4:
;;   movq (%rsp), %r12
;;   movq 8(%rsp), %r13
;;   movq 0x10(%rsp), %r14
;;   movq 0x18(%rsp), %r15
;;   addq $0x20, %rsp
;;   movq %rbp, %rsp
;;   popq %rbp
;;   retq
;;
