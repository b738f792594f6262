;; Does not parse.
(module
  (func (export "_start")
    (i32.cons 1)))
