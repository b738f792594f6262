;; Lets a preloaded module print, twice.
(module
  (import "greeter" "greet" (func $greet))
  (memory (export "memory") 1)
  (func (export "_start") (call $greet) (call $greet)))
