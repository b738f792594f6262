;; Its start function runs in every instance, so that what it writes cannot be in the image.
(module $started
  (memory 1)
  (func $prepare (memory.fill (i32.const 4096) (i32.const 1) (i32.const 8192)))
  (func $work (export "run") (i32.store (i32.const 0) (i32.const 1)))
  (start $prepare))
