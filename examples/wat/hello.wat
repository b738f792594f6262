;; Prints a greeting through WASI.
;;
;;     minirt run examples/wat/hello.wat
;;
;; A WASI program imports what it needs from wasi_snapshot_preview1, exports its
;; memory, so that the host can reach the buffers it is given, and starts in
;; _start.
(module
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param $fd i32) (param $list i32) (param $list_length i32) (param $written i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param $code i32)))

  (memory (export "memory") 1)

  ;; One entry of a list of buffers: where the text is, and how long.
  (data (i32.const 0) "\10\00\00\00" "\19\00\00\00")
  (data (i32.const 16) "Hello from a small world\0a")

  (func (export "_start")
    (local $error i32)
    (local.set $error
      (call $fd_write
        (i32.const 1)     ;; standard output
        (i32.const 0)     ;; the list of buffers
        (i32.const 1)     ;; has one entry
        (i32.const 8)))   ;; the number of bytes written goes here, and is of no interest
    (if (local.get $error)
      (then (call $proc_exit (i32.const 1))))))
