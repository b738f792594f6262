;; Makes cells of 16 bytes, and keeps them or not.
(module
    (type $cell (struct (field i32) (field (ref null $cell))))
    (global $kept (mut (ref null $cell)) (ref.null $cell))
    (func $keep (export "keep") (param $n i32)
        (loop
            (global.set $kept (struct.new $cell (local.get $n) (global.get $kept)))
            (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
    (func $drop (export "drop") (param $n i32)
        (loop
            (drop (struct.new $cell (local.get $n) (ref.null $cell)))
            (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))
