;; One instruction that takes long: it fills 4 GiB.
(module
  (memory (export "memory") 65535)
  (func (export "_start") (memory.fill (i32.const 0) (i32.const 7) (i32.const 0xffff0000))))
