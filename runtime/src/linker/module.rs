//! Defines whole modules, defaults for unknown imports, and second names.

use super::linker::{Linker, shown};
use super::unknown_import::UnknownImportError;
use crate::module::{ImportType, Module};
use crate::store::AsContextMut;
use crate::{Caller, Extern, ExternType, Func, FuncType, Global, Memory, Ref, Table, Tag, Val};
use anyhow::{Context, Result, bail};
use minirt_compiler::Printable;

/// The export that starts a command (WASI, application ABI).
const START: &str = "_start";
/// The export of a reactor that is called once, before anything else.
const INITIALIZE: &str = "_initialize";

impl<T: 'static> Linker<T> {
    /// Defines the exports of a module under a module name, as WASI's application ABI says.
    ///
    /// - A *command* exports `_start`, and lives for one call. Only its functions are defined. Each
    ///   call of one makes an instance of its own, which takes room in the store until that is
    ///   dropped.
    /// - Any other module is a *reactor*. This method makes one instance, calls its export
    ///   `_initialize` if there is one, and defines all its exports.
    ///
    /// # Errors
    /// Returns an error if an import of the module is not defined; if `_initialize` fails; if a
    /// name is taken and shadowing is not allowed; and the same as
    /// [`Instance::new`](crate::Instance::new).
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
            initialize.call(&mut store, ()).with_context(|| {
                let module = Printable::new(module_name);
                format!("could not initialise `{module}`")
            })?;
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

    /// Defines a function for each function that a module imports and nobody defines. Calling it is
    /// an error, which downcasts to [`UnknownImportError`]. Other imports that nobody defines stay
    /// undefined.
    ///
    /// # Errors
    /// Returns no error today.
    pub fn define_unknown_imports_as_traps(&mut self, module: &Module) -> Result<()> {
        for import in module.imports() {
            if self.is_defined(import.module(), import.name()) {
                continue;
            }
            if let ExternType::Func(ty) = import.ty() {
                self.define_trap(import, ty)?;
            }
        }
        Ok(())
    }

    fn define_trap(&mut self, import: ImportType<'_>, ty: FuncType) -> Result<()> {
        let remark = "a function that stands in for it was called".to_owned();
        let error = UnknownImportError::new(import.module(), import.name(), import.ty(), remark);
        self.func_new(import.module(), import.name(), ty, move |_, _, _| Err(error.clone().into())).map(drop)
    }

    /// Defines each import of a module that is not defined, with a default value: functions return
    /// zeros and nulls, globals hold them, memories are zero, tables hold nulls, and both are as
    /// small as the module allows. Tags are new ones.
    ///
    /// # Errors
    /// Returns an error if a type asks for references that are never null; and the same as
    /// [`Global::new`], [`Table::new`] and [`Memory::new`].
    pub fn define_unknown_imports_as_default_values(
        &mut self,
        mut store: impl AsContextMut<Data = T>,
        module: &Module,
    ) -> Result<()> {
        for import in module.imports() {
            let (from, name) = (import.module(), import.name());
            if !self.is_defined(from, name) {
                self.default_value(&mut store, import)
                    .with_context(|| format!("{} ({}) cannot be a default value", shown(from, name), import.ty()))?;
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
            ExternType::Tag(ty) => Tag::new(&mut store, &ty)?.into(),
        };
        self.define(store, import.module(), import.name(), item).map(drop)
    }

    /// Returns the function that stands for running a module: the one that is defined under the
    /// module name and an empty name, or else `_start`. If neither is defined, returns a function
    /// that does nothing.
    ///
    /// # Errors
    /// Returns an error if the definition is not a function.
    pub fn get_default(&self, mut store: impl AsContextMut<Data = T>, module: &str) -> Result<Func> {
        for name in ["", START] {
            if let Some(item) = self.get(&mut store, module, name) {
                let func = item.into_func();
                return func.with_context(|| format!("{} cannot be run: it is not a function", shown(module, name)));
            }
        }
        Ok(Func::wrap(store, || {}))
    }
}

impl<T> Linker<T> {
    fn is_defined(&self, module: &str, name: &str) -> bool {
        self.modules.get(module).is_some_and(|names| names.contains_key(name))
    }

    /// Gives a definition a second name.
    ///
    /// # Errors
    /// Returns an error if nothing is defined under the first name, or the second is taken and
    /// shadowing is not allowed.
    pub fn alias(&mut self, module: &str, name: &str, as_module: &str, as_name: &str) -> Result<&mut Self> {
        let Some(definition) = self.modules.get(module).and_then(|names| names.get(name)).cloned() else {
            bail!("{} cannot get another name: it is not defined", shown(module, name));
        };
        self.insert(as_module, as_name, definition)
    }

    /// Gives all definitions under a module name a second module name.
    ///
    /// # Errors
    /// Returns an error if nothing is defined under the first module name, or a name under the
    /// second is taken and shadowing is not allowed.
    pub fn alias_module(&mut self, module: &str, as_module: &str) -> Result<()> {
        let Some(names) = self.modules.get(module).cloned() else {
            bail!("`{}` cannot get another name: nothing is defined under it", Printable::new(module));
        };
        names.into_iter().try_for_each(|(name, definition)| self.insert(as_module, &name, definition).map(drop))
    }

    /// Returns the definition of an import's name, if there is one. A host function becomes one of
    /// the store.
    pub fn get_by_import(&self, store: impl AsContextMut<Data = T>, import: &ImportType<'_>) -> Option<Extern> {
        self.get(store, import.module(), import.name())
    }

    /// Returns all definitions, as module name, name and definition, sorted by names. Host
    /// functions become functions of the store.
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
