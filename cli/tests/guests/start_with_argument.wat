;; Its `_start` is not what WASI means by it.
(module (func (export "_start") (param i32)))
