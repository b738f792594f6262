(module $exception
  (tag $oops (export "oops") (param i32 f64))
  (func $throw (param i32) (throw $oops (local.get 0) (f64.const 0.5)))
  (func $main (export "_start") (call $throw (i32.const 42)))
  (func (export "caught") (result i32 f64)
    (block $b (result i32 f64) (try_table (catch $oops $b) (call $throw (i32.const 7))) (unreachable))))
