//! Objects that a host and its guest share: a structure, an array, and a value of the host inside.
//!
//! ```sh
//! cargo run --release -p minirt-examples --example objects
//! ```

use minirt::{
    ArrayRef, ArrayRefPre, ArrayType, Config, Engine, ExternRef, FieldType, HeapType, Instance, Module, Mutability,
    RefType, Result, RootScope, Rooted, Store, StructRef, StructRefPre, StructType, Val, ValType,
};

const GUEST: &str = r#"(module
  (type $order (struct (field $pieces (mut i32)) (field $price f64) (field $customer externref)))
  (type $orders (array (ref null $order)))
  (func (export "double") (param $order (ref $order))
    (struct.set $order $pieces (local.get $order)
      (i32.mul (i32.const 2) (struct.get $order $pieces (local.get $order)))))
  (func (export "total") (param $orders (ref $orders)) (result f64) (local $i i32) (local $sum f64) (local $it (ref null $order))
    (block $done (loop $next
      (br_if $done (i32.ge_u (local.get $i) (array.len (local.get $orders))))
      (local.set $it (array.get $orders (local.get $orders) (local.get $i)))
      (local.set $sum (f64.add (local.get $sum)
        (f64.mul (struct.get $order $price (local.get $it))
                 (f64.convert_i32_s (struct.get $order $pieces (local.get $it))))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br $next)))
    (local.get $sum)))"#;

fn main() -> Result<()> {
    let engine = Engine::new(Config::new().wasm_gc(true))?;
    let module = Module::new(&engine, GUEST)?;
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[])?;
    let double = instance.get_typed_func::<Rooted<StructRef>, ()>(&store, "double")?;
    let total = instance.get_typed_func::<Rooted<ArrayRef>, f64>(&store, "total")?;

    // The same types as the guest's: types are equal if they consist of the same.
    let order = StructType::new([
        FieldType::new(Mutability::Var, ValType::I32),
        FieldType::new(Mutability::Const, ValType::F64),
        FieldType::new(Mutability::Const, ValType::EXTERNREF),
    ]);
    let element = RefType::new(true, HeapType::ConcreteStruct(engine.type_number(&order)));
    let orders = ArrayType::new(FieldType::new(Mutability::Const, ValType::Ref(element)));
    let (order, orders) = (StructRefPre::new(&store, order), ArrayRefPre::new(&store, orders));

    // References that are made here end here, and what only they led to can be collected then.
    let mut scope = RootScope::new(&mut store);
    let mut all: Vec<Val> = Vec::new();
    for (customer, pieces, price) in [("Ada", 1, 2.5), ("Grace", 10, 0.5)] {
        let customer = ExternRef::new(&mut scope, customer.to_owned())?;
        let fields = [Val::I32(pieces), Val::from(price), customer.into()];
        all.push(StructRef::new(&mut scope, &order, &fields)?.into());
    }
    let all = ArrayRef::new_fixed(&mut scope, &orders, &all)?;
    println!("total: {}", total.call(&mut scope, all)?);

    let first = all.get(&scope, 0)?.unwrap_anyref().expect("it is not null").unwrap_struct(&scope)?;
    double.call(&mut scope, first)?;
    let customer = first.field(&scope, 2)?.unwrap_externref().expect("it is not null");
    let customer = customer.data(&scope)?.and_then(|value| value.downcast_ref::<String>()).expect("a text");
    println!("{customer} takes {} now", first.field(&scope, 0)?.unwrap_i32());
    println!("total: {}", total.call(&mut scope, all)?);
    Ok(())
}
