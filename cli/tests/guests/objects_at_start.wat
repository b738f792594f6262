;; Objects in the image, and no code.
(module
  (type $text (array (mut i8)))
  (type $list (struct (field $next (mut (ref null $list))) (field $text (ref $text))))
  (global (export "first") (mut (ref null $list))
    (struct.new $list
      (struct.new $list (ref.null $list) (array.new $text (i32.const 97) (i32.const 9000)))
      (array.new_default $text (i32.const 20000))))
  (table (export "all") 2 2 (ref null $list))
  (tag (export "full") (param (ref $list))))
