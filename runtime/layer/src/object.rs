//! Modules, instances, and what instances import and export.

use crate::value::{
    from_extern_type, from_func_type, from_global_type, from_memory_type, from_ref, from_table_type, from_val, size,
    to_func_type, to_ref, to_ref_type, to_val,
};
use crate::{Engine, StoreContext, StoreContextMut};
use anyhow::{Context, Result, ensure};
use minirt::{AsContextMut as _, RootScope};
use wasm_runtime_layer::backend::{
    AsContext, AsContextMut, Export, Extern, Imports, Ref, Val, WasmExternRef, WasmFunc, WasmGlobal, WasmInstance,
    WasmMemory, WasmModule, WasmTable,
};
use wasm_runtime_layer::{ExportType, ExternType, FuncType, GlobalType, ImportType, MemoryType, TableType};

macro_rules! handles {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        $($(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name(pub(crate) minirt::$name);)*
    };
}

handles! {
    /// A function.
    Func,
    /// A global.
    Global,
    /// An instance.
    Instance,
    /// A memory.
    Memory,
    /// A module.
    Module,
    /// A table.
    Table,
}

/// A value of the host that Wasm can hold.
#[derive(Clone, Debug)]
pub struct ExternRef(pub(crate) minirt::OwnedRooted<minirt::ExternRef>);

impl WasmExternRef<Engine> for ExternRef {
    fn new<T: 'static + Send + Sync>(mut ctx: impl AsContextMut<Engine>, object: T) -> Self {
        let mut scope = RootScope::new(ctx.as_context_mut().0);
        let value = minirt::ExternRef::new(&mut scope, object).expect("there is room for a value");
        Self(value.to_owned_rooted(&mut scope).expect("it was just made"))
    }

    fn downcast<'a, 's: 'a, T: 'static, S: 'static>(&'a self, store: StoreContext<'s, S>) -> Result<&'a T> {
        let value = self.0.data(store.0)?.context("the external reference is the guest's own")?;
        value.downcast_ref().context("the external reference is to a value of another type")
    }
}

impl WasmFunc<Engine> for Func {
    fn new<T: 'static>(
        mut ctx: impl AsContextMut<Engine, UserState = T>,
        ty: FuncType,
        func: impl 'static + Send + Sync + Fn(StoreContextMut<'_, T>, &[Val<Engine>], &mut [Val<Engine>]) -> Result<()>,
    ) -> Self {
        let call = move |mut caller: minirt::Caller<'_, T>, params: &[minirt::Val], results: &mut [minirt::Val]| {
            let arguments: Vec<Val<Engine>> = params.iter().map(|value| from_val(value, &mut caller)).collect();
            let mut given: Vec<Val<Engine>> = results.iter().map(|value| from_val(value, &mut caller)).collect();
            func(StoreContextMut(caller.as_context_mut()), &arguments, &mut given)?;
            results.iter_mut().zip(&given).for_each(|(result, value)| *result = to_val(value, &mut caller));
            Ok(())
        };
        Self(minirt::Func::new(ctx.as_context_mut().0, to_func_type(&ty), call))
    }

    fn ty(&self, ctx: impl AsContext<Engine>) -> FuncType {
        from_func_type(&self.0.ty(ctx.as_context().0))
    }

    fn call<T>(
        &self,
        mut ctx: impl AsContextMut<Engine>,
        args: &[Val<Engine>],
        results: &mut [Val<Engine>],
    ) -> Result<()> {
        let mut scope = RootScope::new(ctx.as_context_mut().0);
        let arguments: Vec<minirt::Val> = args.iter().map(|value| to_val(value, &mut scope)).collect();
        let mut returned: Vec<minirt::Val> = results.iter().map(|value| to_val(value, &mut scope)).collect();
        self.0.call(&mut scope, &arguments, &mut returned)?;
        results.iter_mut().zip(&returned).for_each(|(result, value)| *result = from_val(value, &mut scope));
        Ok(())
    }
}

impl WasmGlobal<Engine> for Global {
    /// # Panics
    /// Panics if the value belongs to another store, or there is no memory.
    fn new(mut ctx: impl AsContextMut<Engine>, value: Val<Engine>, mutable: bool) -> Self {
        let mut scope = RootScope::new(ctx.as_context_mut().0);
        let value = to_val(&value, &mut scope);
        let ty = minirt::GlobalType { content: value.ty(), mutable };
        Self(minirt::Global::new(&mut scope, ty, value).expect("a global of the value's own type"))
    }

    fn ty(&self, ctx: impl AsContext<Engine>) -> GlobalType {
        from_global_type(&self.0.ty(ctx.as_context().0))
    }

    fn set(&self, mut ctx: impl AsContextMut<Engine>, new_value: Val<Engine>) -> Result<()> {
        let mut scope = RootScope::new(ctx.as_context_mut().0);
        let value = to_val(&new_value, &mut scope);
        self.0.set(&mut scope, value)
    }

    fn get(&self, mut ctx: impl AsContextMut<Engine>) -> Val<Engine> {
        let mut scope = RootScope::new(ctx.as_context_mut().0);
        let value = self.0.get(&scope);
        from_val(&value, &mut scope)
    }
}

impl WasmMemory<Engine> for Memory {
    fn new(mut ctx: impl AsContextMut<Engine>, ty: MemoryType) -> Result<Self> {
        let (minimum, maximum) = (ty.initial_pages().into(), ty.maximum_pages().map(u64::from));
        let ty = minirt::MemoryType { minimum, maximum, ..minirt::MemoryType::default() };
        Ok(Self(minirt::Memory::new(ctx.as_context_mut().0, ty)?))
    }

    fn ty(&self, ctx: impl AsContext<Engine>) -> MemoryType {
        from_memory_type(&self.0.ty(ctx.as_context().0))
    }

    fn grow(&self, mut ctx: impl AsContextMut<Engine>, additional: u32) -> Result<u32> {
        Ok(size(self.0.grow(ctx.as_context_mut().0, additional.into())?))
    }

    fn current_pages(&self, ctx: impl AsContext<Engine>) -> u32 {
        size(self.0.size(ctx.as_context().0))
    }

    fn read(&self, ctx: impl AsContext<Engine>, offset: usize, buffer: &mut [u8]) -> Result<()> {
        Ok(self.0.read(ctx.as_context().0, offset, buffer)?)
    }

    fn write(&self, mut ctx: impl AsContextMut<Engine>, offset: usize, buffer: &[u8]) -> Result<()> {
        Ok(self.0.write(ctx.as_context_mut().0, offset, buffer)?)
    }
}

impl WasmTable<Engine> for Table {
    fn new(mut ctx: impl AsContextMut<Engine>, ty: TableType, init: Ref<Engine>) -> Result<Self> {
        let ty = minirt::TableType::new(to_ref_type(ty.element()), ty.minimum(), ty.maximum());
        let mut scope = RootScope::new(ctx.as_context_mut().0);
        let init = to_ref(&init, &mut scope);
        Ok(Self(minirt::Table::new(&mut scope, ty, init)?))
    }

    fn ty(&self, ctx: impl AsContext<Engine>) -> TableType {
        from_table_type(&self.0.ty(ctx.as_context().0))
    }

    fn size(&self, ctx: impl AsContext<Engine>) -> u32 {
        size(self.0.size(ctx.as_context().0))
    }

    fn grow(&self, mut ctx: impl AsContextMut<Engine>, delta: u32, init: Ref<Engine>) -> Result<u32> {
        let mut scope = RootScope::new(ctx.as_context_mut().0);
        let init = to_ref(&init, &mut scope);
        Ok(size(self.0.grow(&mut scope, delta.into(), init)?))
    }

    fn get(&self, mut ctx: impl AsContextMut<Engine>, index: u32) -> Option<Ref<Engine>> {
        let mut scope = RootScope::new(ctx.as_context_mut().0);
        let found = self.0.get(&scope, index.into())?;
        Some(from_ref(&found, &mut scope))
    }

    fn set(&self, mut ctx: impl AsContextMut<Engine>, index: u32, elem: Ref<Engine>) -> Result<()> {
        let mut scope = RootScope::new(ctx.as_context_mut().0);
        let elem = to_ref(&elem, &mut scope);
        self.0.set(&mut scope, index.into(), elem)
    }
}

impl WasmInstance<Engine> for Instance {
    fn new(mut store: impl AsContextMut<Engine>, module: &Module, imports: &Imports<Engine>) -> Result<Self> {
        let given = |import: minirt::ImportType<'_>| {
            let (from, name) = (import.module(), import.name());
            let given = imports.get_export(from, name).map(to_extern);
            given.with_context(|| {
                let (from, name) = (minirt::Printable::new(from), minirt::Printable::new(name));
                format!("unknown import: `{from}::{name}` has not been defined")
            })
        };
        let imports = module.0.imports().map(given).collect::<Result<Vec<_>>>()?;
        Ok(Self(minirt::Instance::new(store.as_context_mut().0, &module.0, &imports)?))
    }

    fn exports(&self, store: impl AsContext<Engine>) -> Box<dyn Iterator<Item = Export<Engine>>> {
        let export = |export: minirt::Export| {
            let name = export.name().to_owned();
            from_extern(export.into_extern()).map(|value| Export { name, value })
        };
        let exports: Vec<_> = self.0.exports(store.as_context().0).filter_map(export).collect();
        Box::new(exports.into_iter())
    }

    fn get_export(&self, store: impl AsContext<Engine>, name: &str) -> Option<Extern<Engine>> {
        self.0.get_export(store.as_context().0, name).and_then(from_extern)
    }
}

fn to_extern(value: Extern<Engine>) -> minirt::Extern {
    match value {
        Extern::Global(it) => it.0.into(),
        Extern::Table(it) => it.0.into(),
        Extern::Memory(it) => it.0.into(),
        Extern::Func(it) => it.0.into(),
    }
}

/// Returns `None` for what the layer does not know.
fn from_extern(value: minirt::Extern) -> Option<Extern<Engine>> {
    let func = value.into_func().map(|it| Extern::Func(Func(it)));
    let memory = || value.into_memory().map(|it| Extern::Memory(Memory(it)));
    let table = || value.into_table().map(|it| Extern::Table(Table(it)));
    let global = || value.into_global().map(|it| Extern::Global(Global(it)));
    func.or_else(memory).or_else(table).or_else(global)
}

impl WasmModule<Engine> for Module {
    fn new(engine: &Engine, bytes: &[u8]) -> Result<Self> {
        let module = minirt::Module::new(&engine.0, bytes)?;
        for import in module.imports() {
            let known = from_extern_type(&import.ty()).is_some();
            ensure!(
                known,
                "`{}` is of a kind that wasm_runtime_layer does not know",
                minirt::Printable::new(import.name())
            );
        }
        Ok(Self(module))
    }

    fn exports(&self) -> Box<dyn '_ + Iterator<Item = ExportType<'_>>> {
        Box::new(
            self.0
                .exports()
                .filter_map(|export| from_extern_type(&export.ty()).map(|ty| ExportType { name: export.name(), ty })),
        )
    }

    fn get_export(&self, name: &str) -> Option<ExternType> {
        self.0.get_export(name).as_ref().and_then(from_extern_type)
    }

    fn imports(&self) -> Box<dyn '_ + Iterator<Item = ImportType<'_>>> {
        Box::new(self.0.imports().filter_map(|import| {
            let ty = from_extern_type(&import.ty())?;
            Some(ImportType { module: import.module(), name: import.name(), ty })
        }))
    }
}
