;; Two memories, the second with 64-bit addresses. Each page that is written is known.
(module
  (memory $small (export "small") 1)
  (memory $wide (export "wide") i64 2 4)
  (data (memory $wide) (i64.const 70000) "in the second memory's second page of Wasm")
  (func $near (i32.store $small (i32.const 4096) (i32.const 1)))
  (func $far (i64.store $wide (i64.const 100000) (i64.const 1)))
  (func (export "run")
    (call $near)
    (call $far)
    (drop (memory.grow $wide (i64.const 1)))))
