;; Never ends, in different ways.
(module $endless
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\10\00\00\00\01\00\00\00") ;; one byte, to 16
  (func $spin (export "spin") (loop $again (br $again)))
  (func (export "_start") (call $spin))
  (func $deep (export "deep") (call $deep))
  ;; Waits for standard input.
  (func (export "wait") (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8))))
  ;; Sleeps for a minute: a subscription at 64 to the monotonic clock.
  (func (export "sleep")
    (i32.store (i32.const 80) (i32.const 1))
    (i64.store (i32.const 88) (i64.const 60000000000))
    (drop (call $poll (i32.const 64) (i32.const 128) (i32.const 1) (i32.const 192))))
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0))))
