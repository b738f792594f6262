//! Structures, arrays, small integers and values of the host, of the guest and of the host.

use super::super::api::{
    AnyRef, ArrayRef, ArrayRefPre, Config, Engine, ExternRef, FieldType, HeapType, I31, Instance, Module, Mutability,
    OwnedRooted, Result, RootScope, Rooted, StorageType, Store, StructRef, StructRefPre, Val, ValType,
};
use super::super::{array_type, collect, struct_type};

const GUEST: &str = r#"(module
    (type $pair (struct (field (mut i8)) (field (mut anyref))))
    (type $longs (array (mut i64)))
    (func (export "pair") (result (ref $pair)) (struct.new $pair (i32.const 200) (ref.i31 (i32.const 7))))
    (func (export "first") (param anyref) (result i32) (struct.get_s $pair 0 (ref.cast (ref $pair) (local.get 0))))
    (func (export "sum") (param (ref $longs)) (result i64) (local $i i32) (local $sum i64)
        (loop
            (local.set $sum (i64.add (local.get $sum) (array.get $longs (local.get 0) (local.get $i))))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br_if 0 (i32.lt_u (local.get $i) (array.len (local.get 0)))))
        (local.get $sum))
    (func (export "same") (param externref) (result externref) (extern.convert_any (any.convert_extern (local.get 0)))))"#;

pub(crate) fn run() -> Result<Vec<String>> {
    let mut config = Config::new();
    config.wasm_function_references(true).wasm_gc(true);
    let engine = Engine::new(&config)?;
    let mut store = Store::new(&engine, ());
    let mut lines = Vec::new();
    let instance = Instance::new(&mut store, &Module::new(&engine, wat::parse_str(GUEST)?)?, &[])?;

    // An array of the host's, for the guest.
    let field = FieldType::new(Mutability::Var, StorageType::ValType(ValType::I64));
    let longs = ArrayRefPre::new(&mut store, array_type(&engine, field));
    let array = ArrayRef::new(&mut store, &longs, &Val::I64(5), 1000)?;
    array.set(&mut store, 999, Val::I64(-1))?;
    let sum = instance.get_typed_func::<Rooted<ArrayRef>, i64>(&mut store, "sum")?;
    lines.push(format!("{} {}", sum.call(&mut store, array)?, array.len(&store)?));
    let few = ArrayRef::new_fixed(&mut store, &longs, &[Val::I64(1), Val::I64(2), Val::I64(3)])?;
    let elems: Vec<i64> = few.elems(&mut store)?.map(|elem| elem.unwrap_i64()).collect();
    lines.push(format!("{elems:?} {}", sum.call(&mut store, few)?));
    lines.push(format!(
        "{} {} {}",
        few.get(&mut store, 3).is_err(),
        few.set(&mut store, 0, Val::I32(1)).is_err(),
        ArrayRef::new(&mut store, &longs, &Val::F32(0), 1).is_err()
    ));
    let bytes = FieldType::new(Mutability::Var, StorageType::I8);
    let bytes = ArrayRefPre::new(&mut store, array_type(&engine, bytes));
    let text = ArrayRef::new_from_i8_slice(&mut store, &bytes, b"text")?;
    let mut copy = [0; 4];
    text.copy_to_i8_slice(&mut store, &mut copy)?;
    lines.push(format!("{copy:?} {}", sum.call(&mut store, text).is_err()));

    // A structure of the guest's, for the host.
    let pair = instance.get_typed_func::<(), Rooted<StructRef>>(&mut store, "pair")?.call(&mut store, ())?;
    let first = instance.get_typed_func::<Option<Rooted<AnyRef>>, i32>(&mut store, "first")?;
    lines.push(format!("{:?} {}", pair.field(&mut store, 0)?.i32(), first.call(&mut store, Some(pair.to_anyref()))?));
    let Val::AnyRef(Some(seven)) = pair.field(&mut store, 1)? else { panic!("it is not null") };
    lines.push(format!("{} {}", seven.unwrap_i31(&store)?.get_u32(), seven.is_struct(&store)?));
    pair.set_field(&mut store, 0, Val::I32(0x1ff))?;
    pair.set_field(&mut store, 1, pair.into())?;
    let Val::AnyRef(Some(itself)) = pair.field(&mut store, 1)? else { panic!("it is not null") };
    lines.push(format!(
        "{} {:?}",
        Rooted::ref_eq(&store, &itself, &pair.to_anyref())?,
        pair.field(&mut store, 0)?.i32()
    ));
    lines.push(format!(
        "{} {} {}",
        pair.field(&mut store, 2).is_err(),
        pair.set_field(&mut store, 0, Val::I64(1)).is_err(),
        first.call(&mut store, None).is_err()
    ));
    lines.push(format!("{:?}", pair.fields(&mut store)?.len()));

    // A type of the host's own.
    let constant = FieldType::new(Mutability::Const, StorageType::I16);
    let ty = struct_type(&engine, [constant])?;
    let shorts = StructRefPre::new(&mut store, ty.clone());
    let short = StructRef::new(&mut store, &shorts, &[Val::I32(-1)])?;
    lines.push(format!("{:?} {}", short.field(&mut store, 0)?.i32(), short.matches_ty(&store, &ty)?));
    lines.push(format!(
        "{} {}",
        short.set_field(&mut store, 0, Val::I32(0)).is_err(),
        StructRef::new(&mut store, &shorts, &[]).is_err()
    ));
    let any = short.to_anyref();
    lines.push(format!(
        "{} {} {} {}",
        any.is_eqref(&store)?,
        any.matches_ty(&store, &HeapType::Struct)?,
        any.as_array(&store)?.is_some(),
        any.unwrap_struct(&store)?.field(&mut store, 0)?.unwrap_i32()
    ));
    let small = AnyRef::from_i31(&mut store, I31::wrapping_i32(-3));
    lines.push(format!("{:?} {}", small.as_i31(&store)?.map(|value| value.get_i32()), small.is_array(&store)?));

    // Values of the host.
    let value = ExternRef::new(&mut store, 41_u32)?;
    let same = instance.get_typed_func::<Rooted<ExternRef>, Option<Rooted<ExternRef>>>(&mut store, "same")?;
    let back = same.call(&mut store, value)?.expect("not null");
    if let Some(number) = back.data_mut(&mut store)?.and_then(|data| data.downcast_mut::<u32>()) {
        *number += 1;
    }
    let number = value.data(&store)?.and_then(|data| data.downcast_ref::<u32>()).copied();
    lines.push(format!("{number:?} {}", Rooted::ref_eq(&store, &back, &value)?));
    let external = ExternRef::convert_any(&mut store, small)?;
    lines.push(format!("{}", external.data(&store)?.is_none()));
    let again = AnyRef::convert_extern(&mut store, external)?;
    lines.push(format!("{:?}", again.as_i31(&store)?.map(|value| value.get_i32())));

    // How long references last.
    let (stale, owned): (Rooted<StructRef>, OwnedRooted<StructRef>) = {
        let mut scope = RootScope::new(&mut store);
        scope.reserve(1);
        let inside = StructRef::new(&mut scope, &shorts, &[Val::I32(9)])?;
        let owned = inside.to_owned_rooted(&mut scope)?;
        (inside, owned)
    };
    collect(&mut store)?;
    lines.push(format!("{} {:?}", stale.field(&mut store, 0).is_err(), owned.field(&mut store, 0)?.i32()));
    let rooted = owned.to_rooted(&mut store);
    lines.push(format!("{}", Rooted::ref_eq(&store, &rooted, &owned)?));
    lines.push(format!("{:?}", rooted.field(&mut store, 0)?.i32()));
    Ok(lines)
}
