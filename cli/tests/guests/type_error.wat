;; Parses, but is not valid.
(module (func (export "_start") (i32.const 1)))
