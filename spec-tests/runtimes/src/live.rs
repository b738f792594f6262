//! What the three runtimes have in common: they name things alike.

/// Defines `Live`, a live instance in one runtime. The module around it says what that runtime does
/// in its own way: `type_of`, `results_of`, `to_val`, `to_value`, `import`, `scope`, `collect`,
/// `refusal`, `thrown` and `outcome`.
macro_rules! live {
    ($runtime:ident) => {
        /// A live instance and its store.
        pub struct Live {
            /// The store, with this instance and what it imports.
            pub store: $runtime::Store<()>,
            /// The instance.
            pub instance: $runtime::Instance,
            exports: Vec<String>,
        }

        impl std::fmt::Debug for Live {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct("Live").field("exports", &self.exports).finish_non_exhaustive()
            }
        }

        impl Live {
            /// Puts an instance and its store together. `exports` are those that
            /// [`look`](Guest::look) looks at.
            pub fn new(store: $runtime::Store<()>, instance: $runtime::Instance, exports: Vec<String>) -> Self {
                Self { store, instance, exports }
            }

            /// Instantiates a module with what the host gives it.
            ///
            /// # Errors
            /// How that ended.
            pub fn start(
                mut store: $runtime::Store<()>,
                module: &$runtime::Module,
                host: &dyn Host,
                exports: Vec<String>,
            ) -> Result<Self, Outcome> {
                let imports = module.imports().map(|it| import(&mut store, host, it.module(), it.name(), it.ty()));
                let imports: Vec<_> = imports.collect::<Result<_, _>>().map_err(|error| outcome(&error))?;
                let instance = $runtime::Instance::new(&mut store, module, &imports);
                let instance = instance.map_err(|error| ended(&mut store, &error))?;
                Ok(Self::new(store, instance, exports))
            }

            fn export(&mut self, name: &str) -> $runtime::Extern {
                self.instance.get_export(&mut self.store, name).expect("an export of the module")
            }

            fn memory(&mut self, name: &str) -> $runtime::Memory {
                self.export(name).into_memory().expect("a memory")
            }

            fn content(&mut self, name: &str) -> Option<Content> {
                let export = self.export(name);
                let store = &mut scope(&mut self.store);
                Some(match export {
                    $runtime::Extern::Global(global) => {
                        let value = global.get(&mut *store);
                        Content::Global(to_value(store, &value))
                    }
                    $runtime::Extern::Memory(memory) => Content::Memory(memory.data(&*store).to_vec()),
                    $runtime::Extern::Table(table) => {
                        let elements = (0..table.size(&*store)).map(|index| {
                            let element = table.get(&mut *store, index).expect("an element below the size");
                            to_value(&mut *store, &element.into())
                        });
                        Content::Table(elements.collect())
                    }
                    _ => return None,
                })
            }
        }

        impl Guest for Live {
            fn call(&mut self, name: &str, arguments: &[Value], results: usize) -> Outcome {
                let func = self.export(name).into_func().expect("a function");
                let mut values = vec![$runtime::Val::I32(0); results];
                let error = {
                    let store = &mut scope(&mut self.store);
                    let arguments: Vec<_> = arguments.iter().map(|value| to_val(&mut *store, *value)).collect();
                    match func.call(&mut *store, &arguments, &mut values) {
                        Ok(()) => {
                            let values = values.iter().map(|value| to_value(&mut *store, value));
                            return Outcome::Returned(values.collect());
                        }
                        Err(error) => error,
                    }
                };
                ended(&mut self.store, &error)
            }

            fn look(&mut self) -> State {
                let names = self.exports.clone();
                names.into_iter().filter_map(|name| self.content(&name).map(|it| (name, it))).collect()
            }

            fn set_i32(&mut self, name: &str, value: u32) {
                let global = self.export(name).into_global().expect("a global");
                global.set(&mut self.store, $runtime::Val::I32(value as i32)).expect("a mutable global of i32");
            }

            fn write(&mut self, memory: &str, at: u64, bytes: &[u8], how: HowToWrite) {
                let memory = self.memory(memory);
                let size = memory.data(&self.store).len();
                let Some(place) = place(at, bytes.len(), size) else { return };
                let bytes = &bytes[..place.len()];
                match how {
                    HowToWrite::Method => memory.write(&mut self.store, place.start, bytes).expect("a place inside"),
                    HowToWrite::Slice => memory.data_mut(&mut self.store)[place].copy_from_slice(bytes),
                }
            }

            fn grow(&mut self, memory: &str) -> Option<u64> {
                self.memory(memory).grow(&mut self.store, 1).ok()
            }

            fn collect(&mut self) {
                collect(&mut self.store);
            }
        }

        /// How a call ended that did not return.
        fn ended(store: &mut $runtime::Store<()>, error: &Error) -> Outcome {
            thrown(store, error).map_or_else(|| outcome(error), Outcome::Threw)
        }

        fn host_function(store: &mut $runtime::Store<()>, answer: Answer, ty: $runtime::FuncType) -> $runtime::Func {
            let types = results_of(&ty);
            $runtime::Func::new(store, ty, move |mut caller, arguments, results| {
                let arguments: Vec<_> = arguments.iter().map(|value| to_value(&mut caller, value)).collect();
                let Some(values) = answer(&arguments, &types) else { return Err(refusal()) };
                for (result, value) in results.iter_mut().zip(values) {
                    *result = to_val(&mut caller, value);
                }
                Ok(())
            })
        }
    };
}

/// Defines `external` and `internal`, what references lead to, in the two runtimes that have
/// structures and arrays.
macro_rules! objects {
    ($runtime:ident) => {
        fn external<T: 'static>(
            store: &mut $runtime::StoreContextMut<'_, T>,
            value: $runtime::Rooted<$runtime::ExternRef>,
            budget: &mut u32,
        ) -> Object {
            let data = value.data(&*store).expect("a reference of this store");
            if let Some(data) = data {
                return Object::Host(*data.downcast_ref().expect("a number"));
            }
            let value = $runtime::AnyRef::convert_extern(&mut *store, value);
            internal(store, value.expect("a reference of this store"), budget)
        }

        fn internal<T: 'static>(
            store: &mut $runtime::StoreContextMut<'_, T>,
            value: $runtime::Rooted<$runtime::AnyRef>,
            budget: &mut u32,
        ) -> Object {
            const LIVE: &str = "a live reference of this store";
            if let Some(value) = value.as_i31(&*store).expect(LIVE) {
                return Object::I31(value.get_u32());
            }
            if let Some(value) = value.as_struct(&*store).expect(LIVE) {
                let all: Vec<Val> = value.fields(&mut *store).expect(LIVE).collect();
                return Object::Struct(contents(store, all.len() as u32, all.into_iter(), budget));
            }
            if let Some(value) = value.as_array(&*store).expect(LIVE) {
                let len = value.len(&*store).expect(LIVE);
                let some: Vec<Val> =
                    (0..len.min(*budget)).map(|index| value.get(&mut *store, index).expect(LIVE)).collect();
                return Object::Array(contents(store, len, some.into_iter(), budget));
            }
            let value = $runtime::ExternRef::convert_any(&mut *store, value).expect(LIVE);
            external(store, value, budget)
        }

        fn contents<T: 'static>(
            store: &mut $runtime::StoreContextMut<'_, T>,
            len: u32,
            values: impl Iterator<Item = Val>,
            budget: &mut u32,
        ) -> Contents {
            let mut seen = Vec::new();
            for value in values {
                let Some(left) = budget.checked_sub(1) else { break };
                *budget = left;
                seen.push(value_of(store, &value, budget));
            }
            Contents::of(len, &seen)
        }
    };
}

pub(crate) use {live, objects};
