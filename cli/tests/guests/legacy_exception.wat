(module $old
  (tag $oops (param i32))
  (func $throw (param i32) (throw $oops (local.get 0)))
  (func (export "thrown") (call $throw (i32.const 42)))
  (func (export "caught") (result i32)
    try (result i32) (call $throw (i32.const 7)) (i32.const 0) catch $oops end))
