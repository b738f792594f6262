(module (global $n (mut i32) (i32.const 0)) (func (export "run") (global.set $n (i32.const 1))))
