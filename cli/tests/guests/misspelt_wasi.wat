;; Imports a WASI function that does not exist.
(module
  (import "wasi_snapshot_preview1" "fd_wirte" (func (param i32 i32 i32 i32) (result i32)))
  (func (export "_start")))
