;; Every type of value, as it came.
(module
  (func (export "i32") (param i32) (result i32) (local.get 0))
  (func (export "i64") (param i64) (result i64) (local.get 0))
  (func (export "f32") (param f32) (result f32) (local.get 0))
  (func (export "f64") (param f64) (result f64) (local.get 0))
  (func (export "v128") (param v128) (result v128) (local.get 0))
  (func (export "f32_bits") (param f32) (result i32) (i32.reinterpret_f32 (local.get 0)))
  (func (export "funcref") (param funcref) (result funcref) (local.get 0))
  (func (export "externref") (param externref) (result externref) (local.get 0))
  (func (export "all") (result i32 i64 f32 f64 v128 funcref externref)
    (i32.const -1) (i64.const -1) (f32.const -nan:0x1) (f64.const -0) (v128.const i32x4 1 2 3 4)
    (ref.null func) (ref.null extern)))
