;; Names that would move the cursor or imitate lines of minirt.
(module $"a\1b[2Jb\0aerror: none"
  (import "m\1b[31m" "x\0ay" (func))
  (func $"f\1b[1A\0a  help: all is well" (export "go\0d\0agone") unreachable)
  (func (export "_start") (call $"f\1b[1A\0a  help: all is well")))
