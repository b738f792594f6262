;; Copies standard input to standard output until it ends or cannot be written: 64 KiB at a time.
(module $copy
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 2)
  ;; At 0 where to read to, at 8 what to write, at 16 how much it was.
  (func $write_all (param $from i32) (param $len i32) (local $error i32)
    (loop $more
      (if (local.get $len) (then
        (i32.store (i32.const 8) (local.get $from))
        (i32.store (i32.const 12) (local.get $len))
        (local.set $error (call $fd_write (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 16)))
        (if (local.get $error) (then (call $proc_exit (local.get $error))))
        (local.set $from (i32.add (local.get $from) (i32.load (i32.const 16))))
        (local.set $len (i32.sub (local.get $len) (i32.load (i32.const 16))))
        (br $more)))))
  (func (export "_start") (local $error i32)
    (loop $more
      (i32.store (i32.const 0) (i32.const 65536))
      (i32.store (i32.const 4) (i32.const 65536))
      (local.set $error (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 16)))
      (if (local.get $error) (then (call $proc_exit (local.get $error))))
      (if (i32.load (i32.const 16)) (then
        (call $write_all (i32.const 65536) (i32.load (i32.const 16)))
        (br $more))))))
