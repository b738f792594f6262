//! What the three runtimes have in common: they name things alike, so one text serves all.

/// Defines `Live`, a live instance. The module around it says how values and errors look: `to_val`, `to_value`,
/// `reference` and `outcome`.
macro_rules! live {
    ($runtime:ident) => {
        pub(crate) struct Live {
            pub(crate) store: $runtime::Store<()>,
            pub(crate) instance: $runtime::Instance,
            exports: Vec<String>,
        }

        impl Live {
            pub(crate) fn new(
                store: $runtime::Store<()>,
                instance: $runtime::Instance,
                shape: &$crate::shape::Shape,
            ) -> Self {
                Self { store, instance, exports: shape.exports.clone() }
            }

            fn export(&mut self, name: &str) -> $runtime::Extern {
                self.instance.get_export(&mut self.store, name).expect("an export of the module")
            }

            fn content(&mut self, name: &str) -> Option<$crate::value::Content> {
                use $crate::value::Content;
                Some(match self.export(name) {
                    $runtime::Extern::Global(global) => {
                        let value = global.get(&mut self.store);
                        Content::Global(to_value(&mut self.store, value))
                    }
                    $runtime::Extern::Memory(memory) => Content::Memory(memory.data(&self.store).to_vec()),
                    $runtime::Extern::Table(table) => {
                        let elements = (0..table.size(&self.store)).map(|index| {
                            let element = table.get(&mut self.store, index).expect("an element below the size");
                            reference(&mut self.store, element)
                        });
                        Content::Table(elements.collect())
                    }
                    _ => return None,
                })
            }

            fn memory(&mut self, name: &str) -> $runtime::Memory {
                self.export(name).into_memory().expect("a memory")
            }
        }

        impl $crate::guest::Guest for Live {
            fn call(
                &mut self,
                name: &str,
                arguments: &[$crate::value::Value],
                results: usize,
            ) -> $crate::value::Outcome {
                let func = self.export(name).into_func().expect("a function");
                let arguments: Vec<_> = arguments.iter().map(|value| to_val(&mut self.store, *value)).collect();
                let mut values = vec![$runtime::Val::I32(0); results];
                if let Err(error) = func.call(&mut self.store, &arguments, &mut values) {
                    return outcome(&error);
                }
                let values = values.into_iter().map(|value| to_value(&mut self.store, value));
                $crate::value::Outcome::Returned(values.collect())
            }

            fn look(&mut self) -> $crate::value::State {
                let names = self.exports.clone();
                names.into_iter().filter_map(|name| self.content(&name).map(|it| (name, it))).collect()
            }

            fn set_i32(&mut self, name: &str, value: u32) {
                let global = self.export(name).into_global().expect("a global");
                global.set(&mut self.store, $runtime::Val::I32(value as i32)).expect("a mutable global of i32");
            }

            fn write(&mut self, memory: &str, at: u64, bytes: &[u8], how: $crate::plan::HowToWrite) {
                use $crate::plan::HowToWrite;
                let memory = self.memory(memory);
                let size = memory.data(&self.store).len();
                let Some(place) = $crate::guest::place(at, bytes.len(), size) else { return };
                let bytes = &bytes[..place.len()];
                match how {
                    HowToWrite::Method => memory.write(&mut self.store, place.start, bytes).expect("a place inside"),
                    HowToWrite::Slice => memory.data_mut(&mut self.store)[place].copy_from_slice(bytes),
                }
            }

            fn grow(&mut self, memory: &str) -> Option<u64> {
                self.memory(memory).grow(&mut self.store, 1).ok()
            }
        }
    };
}

pub(crate) use live;
