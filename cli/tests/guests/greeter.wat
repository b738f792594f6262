;; To be preloaded: prints with the memory that it exports itself, and imports from another preloaded module.
(module $greeter
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "env" "twice" (func $twice (param i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 8) "\10\00\00\00\06\00\00\00hello\n")
  (func $greet (export "greet")
    (drop (call $fd_write (i32.const 1) (i32.const 8) (i32.const 1) (call $twice (i32.const 16))))))
