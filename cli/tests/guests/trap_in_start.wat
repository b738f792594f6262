;; Traps before it is complete: in the module's start function.
(module $early
  (func $setup unreachable)
  (start $setup)
  (func (export "_start")))
