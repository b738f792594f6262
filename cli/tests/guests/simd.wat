;; Needs a feature that is not there.
(module (func (export "_start") (drop (v128.const i32x4 1 2 3 4))))
