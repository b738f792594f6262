//! The guests of the tests, in the text format.

/// Says hello.
pub(crate) const HELLO: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "\08\00\00\00\13\00\00\00hello from a guest\n")
    (func (export "_start") (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 100)))))"#;

/// Writes its arguments and its environment, with a NUL after each.
pub(crate) fn words() -> String {
    let print = |what: &str| {
        format!(
            "(drop (call ${what}_sizes (i32.const 0) (i32.const 4)))
             (drop (call ${what} (i32.const 1024) (i32.const 8192)))
             (i32.store (i32.const 16) (i32.const 8192))
             (i32.store (i32.const 20) (i32.load (i32.const 4)))
             (drop (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 24)))"
        )
    };
    let import = |what: &str| {
        format!(
            r#"(import "wasi_snapshot_preview1" "{what}_get" (func ${what} (param i32 i32) (result i32)))
               (import "wasi_snapshot_preview1" "{what}_sizes_get" (func ${what}_sizes (param i32 i32) (result i32)))"#
        )
    };
    format!(
        r#"(module {} {}
            (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 1)
            (func (export "_start") {} {}))"#,
        import("args"),
        import("environ"),
        print("args"),
        print("environ")
    )
}

/// Writes what it reads, until there is no more.
pub(crate) const ECHO: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (func (export "_start")
        (loop $more
            (i32.store (i32.const 0) (i32.const 1024))
            (i32.store (i32.const 4) (i32.const 1024))
            (if (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 4)) (then unreachable))
            (if (i32.load (i32.const 4)) (then
                (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
                (br $more))))))"#;

/// The imports of guests that open files, and a function `$open` of a directory, a path and its
/// length, and whether to create it.
const FILES: &str = r#"
    (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_open"
        (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (func $open (param $dir i32) (param $path i32) (param $len i32) (param $create i32) (result i32)
        ;; 2: fd_read, 64: fd_write
        (call $path_open (local.get $dir) (i32.const 0) (local.get $path) (local.get $len) (local.get $create)
            (select (i64.const 64) (i64.const 2) (local.get $create)) (i64.const 0) (i32.const 0) (i32.const 64)))"#;

/// Copies `in` to `out` in the mounted directory `/data`, which is the first.
pub(crate) fn copy() -> String {
    format!(
        r#"(module {FILES}
            (data (i32.const 512) "in")
            (data (i32.const 520) "out")
            (func $check (param $error i32) (if (local.get $error) (then (call $exit (local.get $error)))))
            (func (export "_start")
                (call $check (call $open (i32.const 3) (i32.const 512) (i32.const 2) (i32.const 0)))
                (i32.store (i32.const 0) (i32.const 1024))
                (i32.store (i32.const 4) (i32.const 1024))
                (call $check (call $read (i32.load (i32.const 64)) (i32.const 0) (i32.const 1) (i32.const 4)))
                (call $check (call $open (i32.const 3) (i32.const 520) (i32.const 3) (i32.const 1)))
                (call $check (call $write (i32.load (i32.const 64)) (i32.const 0) (i32.const 1) (i32.const 8)))))"#
    )
}

/// Opens a path in a directory for reading, and exits with the error.
pub(crate) fn open(dir: i32, path: &str) -> String {
    let length = path.len();
    format!(
        r#"(module {FILES} (data (i32.const 512) "{path}")
            (func (export "_start")
                (call $exit (call $open (i32.const {dir}) (i32.const 512) (i32.const {length}) (i32.const 0)))))"#
    )
}

/// Exits with this code.
pub(crate) fn exit(code: i32) -> String {
    format!(
        r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (memory (export "memory") 1)
            (func (export "_start") (call $exit (i32.const {code}))))"#
    )
}

/// Traps in a function that another calls.
pub(crate) const TRAP: &str = r#"(module (memory (export "memory") 1)
    (func $the_deep_one unreachable)
    (func $the_caller (export "_start") (call $the_deep_one)))"#;

/// Does not end.
pub(crate) const BUSY: &str =
    r#"(module (memory (export "memory") 1) (func (export "_start") (loop $for_ever (br $for_ever))))"#;

/// Asks for a function that is not there.
pub(crate) const MISSING: &str = r#"(module (import "env" "nobody_has_it" (func)) (func (export "_start")))"#;

/// Exits with how often `init` was called, times 7.
pub(crate) const COUNTS: &str = r#"(module
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (func (export "init") (i32.store (i32.const 8) (i32.add (i32.load (i32.const 8)) (i32.const 7))))
    (func (export "_start") (call $exit (i32.load (i32.const 8)))))"#;

/// Draws random bytes before it is frozen.
pub(crate) const RANDOM: &str = r#"(module
    (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
    (memory (export "memory") 1)
    (func (export "init") (drop (call $random (i32.const 0) (i32.const 8))))
    (func (export "_start")))"#;

/// Takes a page after the other and writes to it, for as long as there are any.
pub(crate) const GREEDY: &str = r#"(module (memory (export "memory") 1)
    (func (export "_start") (local $page i32)
        (loop $more
            (local.set $page (memory.grow (i32.const 1)))
            (if (i32.eq (local.get $page) (i32.const -1)) (then (return)))
            (memory.fill (i32.mul (local.get $page) (i32.const 65536)) (i32.const 1) (i32.const 65536))
            (br $more))))"#;

/// Asks for a GiB, and exits with 5 if it does not get it.
pub(crate) const MODEST: &str = r#"(module
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (func (export "_start")
        (if (i32.eq (memory.grow (i32.const 16384)) (i32.const -1)) (then (call $exit (i32.const 5))))))"#;

/// Exits with 9 as soon as there is a file `go` in the mounted directory.
pub(crate) fn waits() -> String {
    format!(
        r#"(module {FILES} (data (i32.const 512) "go")
            (func (export "_start")
                (loop $again
                    (br_if $again (call $open (i32.const 3) (i32.const 512) (i32.const 2) (i32.const 0))))
                (call $exit (i32.const 9))))"#
    )
}

/// A program of the host that does nothing until it is killed, as an executable file.
pub(crate) fn pause() -> Vec<u8> {
    /// Where it is loaded.
    const BASE: u64 = 0x40_0000;
    #[cfg(target_arch = "x86_64")]
    const MACHINE: u16 = 62;
    // mov eax, 34 (pause); syscall; jmp to the beginning
    #[cfg(target_arch = "x86_64")]
    const CODE: &[u8] = &[0xb8, 34, 0, 0, 0, 0x0f, 0x05, 0xeb, 0xf7];
    #[cfg(target_arch = "aarch64")]
    const MACHINE: u16 = 183;
    // mov x0..x4, 0; mov x8, 73 (ppoll); svc 0; b to the beginning
    #[cfg(target_arch = "aarch64")]
    const CODE: &[u8] = &[
        0x00, 0, 0x80, 0xd2, 0x01, 0, 0x80, 0xd2, 0x02, 0, 0x80, 0xd2, 0x03, 0, 0x80, 0xd2, 0x04, 0, 0x80, 0xd2, 0x28,
        0x09, 0x80, 0xd2, 0x01, 0, 0, 0xd4, 0xf9, 0xff, 0xff, 0x17,
    ];
    let size = 120 + CODE.len() as u64;
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let half = |file: &mut Vec<u8>, value: u16| file.extend(value.to_le_bytes());
    half(&mut file, 2);
    half(&mut file, MACHINE);
    file.extend(1u32.to_le_bytes());
    [BASE + 120, 64, 0].iter().for_each(|word: &u64| file.extend(word.to_le_bytes()));
    file.extend(0u32.to_le_bytes());
    [64, 56, 1, 64, 0, 0].iter().for_each(|value| half(&mut file, *value));
    // One segment: all of the file, to be read and executed.
    [1u32, 5].iter().for_each(|word| file.extend(word.to_le_bytes()));
    [0, BASE, BASE, size, size, 4096].iter().for_each(|word: &u64| file.extend(word.to_le_bytes()));
    file.extend(CODE);
    file
}

/// Sleeps for an hour.
pub(crate) const SLEEPS: &str = r#"(module
    (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (func (export "_start")
        ;; A subscription to the monotonic clock, in ns.
        (i32.store (i32.const 16) (i32.const 1))
        (i64.store (i32.const 24) (i64.const 3600000000000))
        (drop (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))))"#;

/// Is initialised by a function with this body, and has no `_start`.
pub(crate) fn initialised(body: &str) -> String {
    format!(
        r#"(module
            (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
            (import "wasi_snapshot_preview1" "environ_get" (func $environ (param i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_prestat_get" (func $preopen (param i32 i32) (result i32)))
            (memory (export "memory") 1)
            (func (export "init") {body}))"#
    )
}

/// Takes a while to be initialised, and exits with 7 then.
pub(crate) const SLOW: &str = r#"(module
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (func (export "init") (local $n i32)
        (loop $more
            (local.set $n (i32.add (local.get $n) (i32.const 1)))
            (i32.store (i32.const 8) (i32.rem_u (local.get $n) (i32.const 1000)))
            (br_if $more (i32.lt_u (local.get $n) (i32.const 1000000000))))
        (i32.store (i32.const 8) (i32.const 7)))
    (func (export "_start") (call $exit (i32.load (i32.const 8)))))"#;

/// Is never done with its initialisation.
pub(crate) const ENDLESS: &str = r#"(module (memory (export "memory") 1)
    (func (export "init") (loop $for_ever (br $for_ever)))
    (func (export "_start")))"#;

/// Fills 24 MiB when it is initialised, no page like another, and exits with 7.
pub(crate) const ROOMY: &str = r#"(module
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 385)
    (func (export "init") (local $at i32)
        (loop $more
            (i64.store (local.get $at) (i64.mul (i64.extend_i32_u (local.get $at)) (i64.const 0x9e3779b97f4a7c15)))
            (local.set $at (i32.add (local.get $at) (i32.const 8)))
            (br_if $more (i32.lt_u (local.get $at) (i32.const 25165824))))
        (i32.store (i32.const 8) (i32.const 7)))
    (func (export "_start") (call $exit (i32.load (i32.const 8)))))"#;
