;; A list in the image, to which each run adds, and a little that is thrown away.
(module
  (type $text (array (mut i8)))
  (type $list (struct (field $next (mut (ref null $list))) (field $text (ref $text))))
  (global $first (export "first") (mut (ref null $list))
    (struct.new $list
      (struct.new $list (ref.null $list) (array.new $text (i32.const 97) (i32.const 9000)))
      (array.new_default $text (i32.const 20000))))
  (table (export "all") 2 2 (ref null $list))
  (tag (export "full") (param (ref $list)))
  (func $add (param $size i32)
    (global.set $first
      (struct.new $list (global.get $first) (array.new $text (i32.const 98) (local.get $size)))))
  (func $shout (param $at i32)
    (array.set $text (struct.get $list $text (struct.get $list $next (global.get $first)))
      (local.get $at) (i32.const 65)))
  ;; Returns how many there are, and the bytes of all.
  (func (export "count") (result i32 i32)
    (local $list (ref null $list)) (local $count i32) (local $bytes i32)
    (local.set $list (global.get $first))
    (loop $next
      (local.set $count (i32.add (local.get $count) (i32.const 1)))
      (local.set $bytes
        (i32.add (local.get $bytes) (array.len (struct.get $list $text (local.get $list)))))
      (local.set $list (struct.get $list $next (local.get $list)))
      (br_if $next (i32.eqz (ref.is_null (local.get $list)))))
    (local.get $count) (local.get $bytes))
  (func (export "run")
    (call $shout (i32.const 8500))
    (call $add (i32.const 8000)))
  (func (export "grow")
    (call $add (i32.const 30000))
    (call $add (i32.const 9000))))
