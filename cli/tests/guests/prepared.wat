;; Is called twice: to get ready, under a name of its own, and to answer.
(module
  (memory (export "memory") 2)
  (func $prepare (export "prepare") (memory.fill (i32.const 8192) (i32.const 1) (i32.const 40960)))
  (func (export "answer") (result i32) (i32.store8 (i32.const 0) (i32.const 1)) (i32.load8_u (i32.const 8192))))
