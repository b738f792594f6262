//! Whole modules as definitions, and second names.

use super::linker::Linker;
use crate::module::{ImportType, Module};
use crate::store::AsContextMut;
use crate::{Caller, Extern, ExternType, Func, FuncType, Global, Memory, Ref, Table, Val};
use anyhow::{Context, Result, bail};

/// What a command exports to be started (WASI, application ABI).
const START: &str = "_start";
/// What a reactor exports to be called once, before anything else.
const INITIALIZE: &str = "_initialize";

impl<T: 'static> Linker<T> {
    /// Defines the exports of a module under a module name, as WASI's application ABI says.
    ///
    /// A *command*, which exports `_start`, lives for one call: each call of one of its functions makes an instance of
    /// its own, which takes room in the store until that is dropped. Only its functions are defined. Any other module
    /// is a *reactor*: one instance is made now, its export `_initialize` is called if there is one, and all its
    /// exports are defined.
    ///
    /// # Errors
    /// When an import of the module is not defined; as [`Instance::new`](crate::Instance::new); when `_initialize`
    /// fails; and when a name is taken and shadowing is not allowed.
    ///
    /// # Panics
    /// When something that the module imports belongs to another store. For a command this is noticed at the call.
    pub fn module(
        &mut self,
        mut store: impl AsContextMut<Data = T>,
        module_name: &str,
        module: &Module,
    ) -> Result<&mut Self> {
        if matches!(module.get_export(START), Some(ExternType::Func(_))) {
            return self.command(module_name, module);
        }
        let instance = self.instantiate(&mut store, module)?;
        if instance.get_func(&store, INITIALIZE).is_some() {
            let initialize = instance.get_typed_func::<(), ()>(&store, INITIALIZE)?;
            initialize.call(&mut store, ()).with_context(|| format!("could not initialise `{module_name}`"))?;
        }
        self.instance(store, module_name, instance)
    }

    fn command(&mut self, module_name: &str, module: &Module) -> Result<&mut Self> {
        let pre = self.instantiate_pre(module)?;
        for export in module.exports() {
            let ExternType::Func(ty) = export.ty() else { continue };
            let (pre, name) = (pre.clone(), export.name().to_owned());
            let call = move |mut caller: Caller<'_, T>, params: &[Val], results: &mut [Val]| {
                let instance = pre.instantiate(&mut caller)?;
                let func = instance.get_func(&caller, &name).expect("the module exports it");
                func.call(&mut caller, params, results)
            };
            self.func_new(module_name, export.name(), ty, call)?;
        }
        Ok(self)
    }

    /// Defines functions for those imports of a module that nothing is defined for: each is an error when it is called.
    ///
    /// # Errors
    /// When what is missing is not a function.
    pub fn define_unknown_imports_as_traps(&mut self, module: &Module) -> Result<()> {
        for import in module.imports() {
            if self.has(import.module(), import.name()) {
                continue;
            }
            let ExternType::Func(ty) = import.ty() else { return self.look_up(import).map(drop) };
            self.unknown(import, ty)?;
        }
        Ok(())
    }

    fn unknown(&mut self, import: ImportType<'_>, ty: FuncType) -> Result<()> {
        let what = format!("unknown import: `{}::{}` was called, but is not defined", import.module(), import.name());
        self.func_new(import.module(), import.name(), ty, move |_, _, _| bail!("{what}")).map(drop)
    }

    /// Defines what nothing is defined for among the imports of a module: functions return zeros and nulls, globals
    /// are that, memories are empty and tables full of nulls, as small as the module allows.
    ///
    /// # Errors
    /// When a type asks for references that are never null, or as the `new` of what is missing.
    pub fn define_unknown_imports_as_default_values(
        &mut self,
        mut store: impl AsContextMut<Data = T>,
        module: &Module,
    ) -> Result<()> {
        for import in module.imports() {
            let (from, name) = (import.module(), import.name());
            if !self.has(from, name) {
                self.default_value(&mut store, import)
                    .with_context(|| format!("`{from}::{name}` ({}) can not be a default value", import.ty()))?;
            }
        }
        Ok(())
    }

    fn default_value(&mut self, mut store: impl AsContextMut<Data = T>, import: ImportType<'_>) -> Result<()> {
        let zero = |ty| Val::default_for_ty(ty).with_context(|| format!("{ty} has none"));
        let item: Extern = match import.ty() {
            ExternType::Func(ty) => {
                ty.results().iter().try_for_each(|ty| zero(*ty).map(drop))?;
                // The results are given as defaults.
                return self.func_new(import.module(), import.name(), ty, |_, _, _| Ok(())).map(drop);
            }
            ExternType::Global(ty) => {
                let value = zero(ty.content)?;
                Global::new(&mut store, ty, value)?.into()
            }
            ExternType::Table(ty) => Table::new(&mut store, ty, Ref::null(ty.element.heap))?.into(),
            ExternType::Memory(ty) => Memory::new(&mut store, ty)?.into(),
        };
        self.define(store, import.module(), import.name(), item).map(drop)
    }

    /// The function that running a module name means: the one without a name that is defined under it, or its `_start`.
    /// If there is neither, a function that does nothing.
    ///
    /// # Errors
    /// When what is defined so is not a function.
    pub fn get_default(&self, mut store: impl AsContextMut<Data = T>, module: &str) -> Result<Func> {
        for name in ["", START] {
            if let Some(item) = self.get(&mut store, module, name) {
                let func = item.into_func();
                return func.with_context(|| format!("`{module}::{name}` can not be run: it is not a function"));
            }
        }
        Ok(Func::wrap(store, || {}))
    }
}

impl<T> Linker<T> {
    fn has(&self, module: &str, name: &str) -> bool {
        self.modules.get(module).is_some_and(|names| names.contains_key(name))
    }

    /// Defines a second name for what has one.
    ///
    /// # Errors
    /// When nothing is defined under the first, or the second is taken and shadowing is not allowed.
    pub fn alias(&mut self, module: &str, name: &str, as_module: &str, as_name: &str) -> Result<&mut Self> {
        let Some(given) = self.modules.get(module).and_then(|names| names.get(name)).cloned() else {
            bail!("`{module}::{name}` can not get another name: it is not defined");
        };
        self.insert(as_module, as_name, given)
    }

    /// Defines everything of a module name under a second one.
    ///
    /// # Errors
    /// When nothing is defined under the first, or a name under the second is taken and shadowing is not allowed.
    pub fn alias_module(&mut self, module: &str, as_module: &str) -> Result<()> {
        let Some(names) = self.modules.get(module).cloned() else {
            bail!("`{module}` can not get another name: nothing is defined under it");
        };
        names.into_iter().try_for_each(|(name, given)| self.insert(as_module, &name, given).map(drop))
    }

    /// What is defined for an import, by its name; a host function becomes the store's.
    pub fn get_by_import(&self, store: impl AsContextMut<Data = T>, import: &ImportType<'_>) -> Option<Extern> {
        self.get(store, import.module(), import.name())
    }

    /// Everything that is defined, as module name, name and definition, sorted by names. Host functions become the
    /// store's.
    pub fn iter<'a>(
        &'a self,
        mut store: impl AsContextMut<Data = T> + 'a,
    ) -> impl Iterator<Item = (&'a str, &'a str, Extern)> + 'a {
        let names = self.modules.iter().flat_map(|(module, names)| names.keys().map(move |name| (module, name)));
        names.filter_map(move |(module, name)| {
            Some((module.as_str(), name.as_str(), self.get(&mut store, module, name)?))
        })
    }
}
