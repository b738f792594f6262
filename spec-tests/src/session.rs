//! The store, linker and instances that the directives of one script share.
//!
//! Knows actions, not expectations: whether a failure is what the script wants is decided
//! elsewhere.

use crate::spectest;
use crate::value;
use anyhow::{Context, Error, Result, anyhow, bail};
use minirt::{Engine, Instance, Linker, Module, Store, UpdateDeadline, Val};
use std::collections::HashMap;
use wast::token::Id;
use wast::{WastExecute, WastInvoke};

/// The instances and modules that one script has made so far.
pub(crate) struct Session {
    engine: Engine,
    pub(crate) store: Store<()>,
    /// `spectest` and everything registered.
    linker: Linker<()>,
    /// The target of actions without a name: the last module's instance, or none if that module
    /// failed.
    current: Option<Instance>,
    instances: HashMap<String, Instance>,
    /// Modules that are there to be instantiated by name; the empty name is the last of them.
    definitions: HashMap<String, Module>,
}

impl Session {
    pub(crate) fn new(engine: &Engine) -> Result<Self> {
        let mut store = Store::new(engine, ());
        // Where code is metered, it has all the fuel there can be (elsewhere there is none to set).
        // Its epoch deadline has always passed, so it stops to ask wherever it can.
        _ = store.set_fuel(u64::MAX);
        store.epoch_deadline_callback(|_| Ok(UpdateDeadline::Continue(0)));
        let mut linker = Linker::new(engine);
        linker.allow_shadowing(true);
        spectest::define(&mut linker, &mut store)?;
        Ok(Self {
            engine: engine.clone(),
            store,
            linker,
            current: None,
            instances: HashMap::new(),
            definitions: HashMap::new(),
        })
    }

    pub(crate) fn compile(&self, wasm: &[u8]) -> Result<Module> {
        Module::new(&self.engine, wasm)
    }

    pub(crate) fn is_valid(&self, wasm: &[u8]) -> bool {
        Module::validate(&self.engine, wasm).is_ok()
    }

    /// Returns why bytes are not a valid module; `None` if they are.
    pub(crate) fn refusal(&self, wasm: &[u8]) -> Option<Error> {
        let error = Module::validate(&self.engine, wasm).err()?;
        if !wasm.starts_with(b"\0asm") {
            // `Module::new` would take this for the text format, in which the empty text is a
            // module.
            return Some(error);
        }
        self.compile(wasm).err()
    }

    /// `(module $name ..)`
    pub(crate) fn module(&mut self, name: Option<Id<'_>>, wasm: &[u8]) -> Result<()> {
        self.current = None;
        let module = self.compile(wasm)?;
        let instance = self.instantiate(&module)?;
        self.define(name, module);
        self.enter(name, instance);
        Ok(())
    }

    /// `(module definition $name ..)`
    pub(crate) fn define(&mut self, name: Option<Id<'_>>, module: Module) {
        if let Some(name) = name {
            self.definitions.insert(name.name().to_owned(), module.clone());
        }
        self.definitions.insert(String::new(), module);
    }

    /// `(module instance $name $module)`
    pub(crate) fn instance_of(&mut self, name: Option<Id<'_>>, module: Option<Id<'_>>) -> Result<()> {
        self.current = None;
        let module = self.definitions.get(module.map_or("", |id| id.name())).context("no such module is defined")?;
        let instance = self.instantiate(&module.clone())?;
        self.enter(name, instance);
        Ok(())
    }

    pub(crate) fn instantiate(&mut self, module: &Module) -> Result<Instance> {
        self.linker.instantiate(&mut self.store, module)
    }

    /// `(register "name" $module)`
    pub(crate) fn register(&mut self, name: &str, module: Option<Id<'_>>) -> Result<()> {
        let instance = self.instance(module)?;
        self.linker.instance(&mut self.store, name, instance)?;
        Ok(())
    }

    /// `(invoke ..)`, `(get ..)`, or a module that is instantiated for what that does
    pub(crate) fn execute(&mut self, action: &mut WastExecute<'_>) -> Result<Vec<Val>> {
        match action {
            WastExecute::Invoke(call) => self.invoke(call),
            WastExecute::Get { module, global, .. } => self.get(*module, global).map(|value| vec![value]),
            WastExecute::Wat(wat) => {
                let module = self.compile(&wat.encode()?)?;
                self.instantiate(&module).map(|_| Vec::new())
            }
        }
    }

    /// `(invoke $module "name" arguments..)`
    pub(crate) fn invoke(&mut self, call: &WastInvoke<'_>) -> Result<Vec<Val>> {
        let instance = self.instance(call.module)?;
        let func = instance
            .get_func(&mut self.store, call.name)
            .with_context(|| format!("there is no exported function {:?}", call.name))?;
        let arguments =
            call.args.iter().map(|arg| value::argument(arg, &mut self.store)).collect::<Result<Vec<_>>>()?;
        let ty = func.ty(&self.store);
        let mut results = vec![Val::I32(0); ty.results().len()];
        func.call(&mut self.store, &arguments, &mut results)?;
        Ok(results)
    }

    fn get(&mut self, module: Option<Id<'_>>, name: &str) -> Result<Val> {
        let instance = self.instance(module)?;
        let Some(global) = instance.get_global(&mut self.store, name) else {
            bail!("there is no exported global {name:?}");
        };
        Ok(global.get(&mut self.store))
    }

    fn enter(&mut self, name: Option<Id<'_>>, instance: Instance) {
        if let Some(name) = name {
            self.instances.insert(name.name().to_owned(), instance);
        }
        self.current = Some(instance);
    }

    fn instance(&self, name: Option<Id<'_>>) -> Result<Instance> {
        match name {
            Some(id) => {
                self.instances.get(id.name()).copied().ok_or_else(|| anyhow!("there is no instance ${}", id.name()))
            }
            None => self.current.context("there is no instance: the last module failed, or there was none"),
        }
    }
}
