;; Exits with how often the reactor it imports from was initialised.
(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (import "reactor" "ready" (func $ready (result i32)))
  (func (export "_start") (call $exit (call $ready))))
