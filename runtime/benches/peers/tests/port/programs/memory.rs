//! Linear memory from the host's side: read, written, grown, shared between instances, asked about.

use super::super::api::{Engine, Instance, Memory, MemoryType, Module, Result, Store};

pub(crate) fn run() -> Result<Vec<String>> {
    let engine = Engine::default();
    let mut store = Store::new(&engine, 5_u8);
    let module = Module::new(
        &engine,
        wat::parse_str(
            r#"(module
        (memory (export "memory") 2 4) (data (i32.const 0x1000) "\01\02\03\04")
        (func (export "load") (param i32) (result i32) (i32.load8_s (local.get 0)))
        (func (export "store") (param i32 i32) (i32.store8 (local.get 0) (local.get 1))))"#,
        )?,
    )?;
    let instance = Instance::new(&mut store, &module, &[])?;
    let memory = instance.get_memory(&mut store, "memory").expect("exported");
    let load = instance.get_typed_func::<i32, i32>(&mut store, "load")?;
    let write = instance.get_typed_func::<(i32, i32), ()>(&mut store, "store")?;
    let mut lines = vec![format!("{} {} {}", memory.size(&store), memory.data_size(&store), memory.page_size(&store))];
    lines.push(format!("{}", memory.data(&store)[0x1001]));
    lines.push(format!("{}", memory.data_mut(&mut store)[0x1003]));
    lines.push(format!("{} {}", load.call(&mut store, 0x1003)?, load.call(&mut store, 0x1ffff)?));
    lines.push(format!("{}", load.call(&mut store, 0x20000).is_err()));
    write.call(&mut store, (0x1002, 250))?;
    lines.push(format!("{}", memory.data(&store)[0x1002]));
    lines.push(format!("{}", load.call(&mut store, 0x1002)?));

    let mut buffer = [0; 3];
    memory.read(&store, 0x1000, &mut buffer)?;
    memory.write(&mut store, 0x1ffff, &buffer[..1])?;
    lines.push(format!("{buffer:?} {}", load.call(&mut store, 0x1ffff)?));
    lines.push(format!(
        "{} {}",
        memory.read(&store, 0x1ffff, &mut buffer).is_err(),
        memory.write(&mut store, usize::MAX, &[1]).is_err()
    ));
    let (bytes, data) = memory.data_and_store_mut(&mut store);
    bytes[0] = *data;
    *data = bytes[0x1001];
    lines.push(format!("{} {}", memory.data(&store)[0], store.data()));

    lines.push(format!("{:?} {:?}", memory.grow(&mut store, 1).ok(), memory.grow(&mut store, 2).ok()));
    lines.push(format!("{} {}", memory.size(&store), load.call(&mut store, 0x20000)?));
    let ty = memory.ty(&store);
    lines.push(format!("{:?} {}", ty.maximum(), ty.is_64()));

    let shared = Memory::new(&mut store, MemoryType::new(1, Some(2)))?;
    let user = Module::new(
        &engine,
        wat::parse_str(
            r#"(module (import "" "" (memory 1 3))
        (func (export "add") (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 7)))))"#,
        )?,
    )?;
    for _ in 0..3 {
        let user = Instance::new(&mut store, &user, &[shared.into()])?;
        user.get_typed_func::<(), ()>(&mut store, "add")?.call(&mut store, ())?;
    }
    lines.push(format!("{}", shared.data(&store)[0]));
    let larger = Module::new(&engine, wat::parse_str(r#"(module (import "" "" (memory 2)))"#)?)?;
    lines.push(format!("{}", Instance::new(&mut store, &larger, &[shared.into()]).is_err()));
    shared.grow(&mut store, 1)?;
    lines.push(format!("{}", Instance::new(&mut store, &larger, &[shared.into()]).is_ok()));
    Ok(lines)
}
