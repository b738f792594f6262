;; Functions of one name, pages of one cell that two functions wrote, and a table beyond the head of the state.
(module $crowded
  (memory 65536)
  (table $table 20000 20000 funcref)
  (elem declare func $low)
  (func $low (@name "twin") (i32.store (i32.const 8192) (i32.const 1)))
  (func $next (@name "twin") (i32.store (i32.const 12288) (i32.const 1)))
  (func $middle (i32.store (i32.const 0x40001000) (i32.const 1)))
  (func $set (table.set $table (i32.const 15000) (ref.func $low)))
  (func (export "_start") (call $low) (call $next) (call $middle) (call $set)))
