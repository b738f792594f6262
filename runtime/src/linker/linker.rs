//! Defines by name what modules can import.

use super::instance_pre::InstancePre;
use super::similar;
use super::unknown_import::UnknownImportError;
use crate::func::{Caller, HostFunc, IntoFunc, IntoHost};
use crate::instance::imports::{ImportValue, Size, ValueType, check_type, closures_of};
use crate::instance::instantiate::instantiate;
use crate::module::Module;
use crate::store::resolve::handle_of;
use crate::store::{AsContext, AsContextMut, Extern, Func, Instance, StoreInner};
use crate::value::Val;
use crate::{Engine, ImportType};
use anyhow::{Context, Result, bail, ensure};
use minirt_compiler::Printable;
use minirt_compiler::module::FuncType;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::marker::PhantomData;
use std::sync::Arc;

/// Definitions by module and name, from which instances get their imports.
///
/// Host functions belong to the linker, and serve any number of stores. Everything else belongs to
/// one store.
///
/// # Examples
/// ```
/// use minirt::{Engine, Linker, Module, Store};
///
/// let engine = Engine::default();
/// let mut linker = Linker::new(&engine);
/// linker.func_wrap("math", "square", |x: f64| x * x)?;
/// let module = Module::new(&engine, r#"(module
///     (import "math" "square" (func $square (param f64) (result f64)))
///     (func (export "sum") (param f64 f64) (result f64)
///         (f64.add (call $square (local.get 0)) (call $square (local.get 1)))))"#)?;
/// let mut store = Store::new(&engine, ());
/// let instance = linker.instantiate(&mut store, &module)?;
/// let sum = instance.get_typed_func::<(f64, f64), f64>(&store, "sum")?;
/// assert_eq!(sum.call(&mut store, (3.0, 4.0))?, 25.0);
/// # Ok::<(), minirt::Error>(())
/// ```
pub struct Linker<T> {
    engine: Engine,
    pub(super) modules: BTreeMap<String, BTreeMap<String, Definition>>,
    shadowing: bool,
    data: PhantomData<fn(T) -> T>,
}

/// A definition, and its type at that time.
#[derive(Clone)]
pub(super) struct Definition {
    value: ImportValue,
    ty: ValueType,
}

impl<T> Clone for Linker<T> {
    fn clone(&self) -> Self {
        Self {
            engine: self.engine.clone(),
            modules: self.modules.clone(),
            shadowing: self.shadowing,
            data: PhantomData,
        }
    }
}

impl<T> std::fmt::Debug for Linker<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: BTreeMap<_, Vec<_>> = self.modules.iter().map(|(m, names)| (m, names.keys().collect())).collect();
        f.debug_tuple("Linker").field(&names).finish()
    }
}

impl<T> Linker<T> {
    /// Creates a linker without definitions.
    pub fn new(engine: &Engine) -> Self {
        Self { engine: engine.clone(), modules: BTreeMap::new(), shadowing: false, data: PhantomData }
    }

    /// Returns the engine whose modules it serves.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Sets whether a name may be defined again, which replaces the older definition. Default:
    /// `false`.
    pub fn allow_shadowing(&mut self, allow: bool) -> &mut Self {
        self.shadowing = allow;
        self
    }

    pub(super) fn insert(&mut self, module: &str, name: &str, definition: Definition) -> Result<&mut Self> {
        // Usually it is the module of the definition before.
        if !self.modules.contains_key(module) {
            self.modules.insert(module.to_owned(), BTreeMap::new());
        }
        let names = self.modules.get_mut(module).expect("it is there now");
        match names.entry(name.to_owned()) {
            Entry::Vacant(place) => _ = place.insert(definition),
            Entry::Occupied(mut place) if self.shadowing => _ = place.insert(definition),
            Entry::Occupied(_) => bail!("{} is defined already", shown(module, name)),
        }
        Ok(self)
    }

    /// Defines a host function from a closure. Its type follows from the closure's.
    ///
    /// # Errors
    /// Returns an error if the name is taken and shadowing is not allowed.
    pub fn func_wrap<P, R>(&mut self, module: &str, name: &str, closure: impl IntoFunc<T, P, R>) -> Result<&mut Self> {
        let IntoHost(host) = closure.into_host();
        self.insert_host(module, name, host)
    }

    fn insert_host(&mut self, module: &str, name: &str, mut host: HostFunc) -> Result<&mut Self> {
        let types = self.engine.type_registry().register_func(&host.ty);
        let type_id = types[0];
        // Instances keep the closure alive, and need the type for just as long.
        host.closure = Arc::new((host.closure, types));
        self.insert(module, name, Definition { value: ImportValue::Host(host, type_id), ty: ValueType::Func(type_id) })
    }

    fn insert_extern(&mut self, store: &StoreInner, module: &str, name: &str, item: Extern) -> Result<&mut Self> {
        let same = Engine::same(&self.engine, &store.engine);
        ensure!(same, "the store belongs to another engine than the linker; use one engine for both");
        let value = ImportValue::Extern(item);
        let ty = value.type_in(store).with_context(|| format!("{} cannot be defined", shown(module, name)))?;
        self.insert(module, name, Definition { value, ty })
    }

    /// Defines a host function of a type that is only known at run time. The closure gets the
    /// arguments, and a slice for its results that is filled with defaults. Results that do not fit
    /// the type are an error of the call.
    ///
    /// # Errors
    /// Returns an error if the name is taken and shadowing is not allowed.
    ///
    /// # Panics
    /// Panics if the type belongs to another engine.
    pub fn func_new(
        &mut self,
        module: &str,
        name: &str,
        ty: FuncType,
        closure: impl Fn(Caller<'_, T>, &[Val], &mut [Val]) -> Result<()> + Send + Sync + 'static,
    ) -> Result<&mut Self> {
        let host = HostFunc::dynamic(ty, closure);
        self.insert_host(module, name, host)
    }

    /// Defines something that `store` owns. Only instances of that store can import it.
    ///
    /// # Errors
    /// Returns an error if the name is taken and shadowing is not allowed, if `item` belongs to
    /// another store, or if the store belongs to another engine.
    pub fn define(
        &mut self,
        store: impl AsContext<Data = T>,
        module: &str,
        name: &str,
        item: impl Into<Extern>,
    ) -> Result<&mut Self> {
        self.insert_extern(&store.as_context().0.inner, module, name, item.into())
    }

    /// Defines all exports of an instance under a module name.
    ///
    /// # Errors
    /// Returns an error if a name is taken and shadowing is not allowed (exports before that one
    /// stay defined), if the instance belongs to another store, or if the store belongs to another
    /// engine.
    pub fn instance(&mut self, store: impl AsContext<Data = T>, module: &str, instance: Instance) -> Result<&mut Self> {
        let inner = &store.as_context().0.inner;
        let own = instance.store == inner.id;
        ensure!(own, "`{}` cannot be defined: the instance belongs to another store", Printable::new(module));
        for export in &inner.instance(instance.index).prototype.info().exports {
            let item = handle_of(inner, instance.index, export.entity);
            self.insert_extern(inner, module, &export.name, item)?;
        }
        Ok(self)
    }

    /// Returns the definition of a name, if there is one. A host function becomes one of the store.
    pub fn get(&self, mut store: impl AsContextMut<Data = T>, module: &str, name: &str) -> Option<Extern> {
        match &self.modules.get(module)?.get(name)?.value {
            ImportValue::Extern(item) => Some(*item),
            ImportValue::Host(host, _) => Some(Func::from_host(&mut store.as_context_mut().0.inner, host).into()),
        }
    }

    /// Creates an instance, with the definitions of the linker as its imports.
    ///
    /// # Errors
    /// Returns an error if an import is not defined ([`UnknownImportError`]), or the module belongs
    /// to another engine; and the same as [`Instance::new`].
    ///
    /// # Panics
    /// Panics with the panic of a host function called by the start function.
    pub fn instantiate(&self, mut store: impl AsContextMut<Data = T>, module: &Module) -> Result<Instance> {
        let imports = self.definitions(module)?.map(|definition| Ok(definition?.value.clone()));
        let imports = imports.collect::<Result<Vec<_>>>()?;
        instantiate(&mut store.as_context_mut().0.inner, module, &imports, closures_of(&imports).as_ref())
    }

    /// Looks a module's imports up and checks their types, once for many instances.
    ///
    /// # Errors
    /// Returns an error if an import is not defined ([`UnknownImportError`]) or has another type
    /// ([`IncompatibleImportError`](crate::IncompatibleImportError)), or if the module belongs to
    /// another engine. The sizes of memories and tables are only checked when an instance is made,
    /// because they may still grow.
    pub fn instantiate_pre(&self, module: &Module) -> Result<InstancePre<T>> {
        let mut imports = Vec::with_capacity(module.imports().len());
        for (definition, import) in self.definitions(module)?.zip(&module.info().imports) {
            let Definition { value, ty } = definition?;
            check_type(&self.engine, module.prototype(), import, *ty, Size::Earlier)?;
            imports.push(value.clone());
        }
        Ok(InstancePre::new(module, imports))
    }

    /// Returns the definition of each of a module's imports.
    fn definitions<'a>(
        &'a self,
        module: &'a Module,
    ) -> Result<impl Iterator<Item = Result<&'a Definition, UnknownImportError>>> {
        let same = Engine::same(&self.engine, module.engine());
        ensure!(same, "the module was compiled by another engine than the linker's; use one engine for both");
        Ok(module.imports().map(|import| self.definition(import)))
    }

    pub(super) fn definition(&self, import: ImportType<'_>) -> Result<&Definition, UnknownImportError> {
        let (module, name) = (import.module(), import.name());
        let names = self.modules.get(module);
        names.and_then(|names| names.get(name)).ok_or_else(|| {
            let known = match names {
                Some(names) => format!("`{}` has: {}", Printable::new(module), similar::list(names, name)),
                None => format!("modules that are defined: {}", similar::list(&self.modules, module)),
            };
            let ty = import.ty();
            let remark = format!("the module asks for `{}`; {known}", self.engine.shown(&ty));
            UnknownImportError::new(module, name, ty, remark)
        })
    }
}

/// Returns a name as messages show it.
pub(super) fn shown(module: &str, name: &str) -> String {
    format!("`{}::{}`", Printable::new(module), Printable::new(name))
}
