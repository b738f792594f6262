;; Imports a reference that is never null, so that there is no default value for it.
(module
  (import "nowhere" "global" (global (ref func)))
  (func (export "_start")))
