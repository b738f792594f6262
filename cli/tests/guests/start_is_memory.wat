;; Its `_start` is no function.
(module (memory (export "_start") 1))
