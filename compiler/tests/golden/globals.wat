;; Globals in a loop, and the size of a memory that never grows.
(module
  (memory 3 3)
  (global $count (mut i32) (i32.const 0))
  (global $step i32 (i32.const 7))
  (func $counts (param $n i32)
    (loop $next
      (global.set $count (i32.add (global.get $count) (global.get $step)))
      (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
  (func $size (result i32) (memory.size)))
;; --------
;; $counts
;;   pushq %rbp
;;   movq %rsp, %rbp
;; block0:
;;   jmp     label1
;; block1:
;;   addl $0x7, -0x5fffffc0(%rdi)
;;   subl $0x1, %esi
;;   testl %esi, %esi
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
;; $size
;;   pushq %rbp
;;   movq %rsp, %rbp
;; block0:
;;   movl $0x3, %eax
;;   movq %rbp, %rsp
;;   popq %rbp
;;   retq
;;
