;; Named as the official suite names the files that need SIMD: skipped when met in a folder.
(module (func (export "splat") (result v128) (i32x4.splat (i32.const 1))))
(assert_return (invoke "splat") (v128.const i32x4 1 1 1 1))
