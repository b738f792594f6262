//! Prints what references lead to: structures, arrays and small integers.
//!
//! A guest's objects may be as large, as deep and as entangled as it likes. So there is a limit to
//! everything that is shown, and what is inside itself is shown once.

use super::{display, printable};
use minirt::{AnyRef, ArrayRef, AsContextMut, HeapType, Module, Result, RootScope, Rooted, StructRef, Val};

/// How many objects are shown inside each other.
const DEEPEST: usize = 8;

/// The most fields or elements of an object that are shown.
const WIDEST: usize = 32;

/// The most values that are shown of one result.
const MOST: usize = 128;

/// Returns a result as it is printed. Names of types are those of the module.
pub(crate) fn display(value: &Val, store: impl AsContextMut, module: &Module) -> String {
    let mut printer =
        Printer { scope: RootScope::new(store), module, around: Vec::new(), shown: 0, text: String::new() };
    match printer.value(value) {
        Ok(()) => printer.text,
        // No result of a call is stale, so nobody sees this.
        Err(error) => format!("<{error:#}>"),
    }
}

struct Printer<'a, S: AsContextMut> {
    /// References to what is shown end here.
    scope: RootScope<S>,
    module: &'a Module,
    /// The objects that the next one is in.
    around: Vec<Rooted<AnyRef>>,
    /// How many values are shown already.
    shown: usize,
    text: String,
}

impl<S: AsContextMut> Printer<'_, S> {
    fn value(&mut self, value: &Val) -> Result<()> {
        self.shown += 1;
        match value {
            Val::AnyRef(Some(any)) => self.any(*any)?,
            Val::ExternRef(Some(external)) if external.data(&self.scope)?.is_none() => {
                let any = AnyRef::convert_extern(&self.scope, *external)?;
                self.any(any)?;
            }
            other => self.text += &display::display(other),
        }
        Ok(())
    }

    fn any(&mut self, any: Rooted<AnyRef>) -> Result<()> {
        if let Some(value) = any.as_i31(&self.scope)? {
            self.text += &format!("(ref.i31 {})", value.get_i32());
        } else if let Some(structure) = any.as_struct(&self.scope)? {
            self.object("struct", any, |printer| printer.fields(structure))?;
        } else if let Some(array) = any.as_array(&self.scope)? {
            self.object("array", any, |printer| printer.elements(array))?;
        } else {
            self.text += "<externref>";
        }
        Ok(())
    }

    /// Shows an object: `contents` shows what it holds.
    fn object(
        &mut self,
        what: &str,
        any: Rooted<AnyRef>,
        contents: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<()> {
        for around in &self.around {
            if Rooted::ref_eq(&self.scope, around, &any)? {
                self.text += "<cycle>";
                return Ok(());
            }
        }
        self.text += &format!("({what}");
        let ty = any.ty(&self.scope)?;
        if let HeapType::ConcreteStruct(number) | HeapType::ConcreteArray(number) = ty
            && let Some(name) = self.module.type_name(number)
        {
            self.text += &format!(" ${}", printable::name(name));
        }
        if self.around.len() == DEEPEST {
            self.text += " ...";
        } else {
            self.around.push(any);
            contents(self)?;
            self.around.pop();
        }
        self.text.push(')');
        Ok(())
    }

    fn fields(&mut self, structure: Rooted<StructRef>) -> Result<()> {
        let len = structure.ty(&self.scope)?.fields().len();
        self.list(len, |printer, index| structure.field(&printer.scope, index))
    }

    fn elements(&mut self, array: Rooted<ArrayRef>) -> Result<()> {
        let len = array.len(&self.scope)? as usize;
        self.list(len, |printer, index| array.get(&printer.scope, index as u32))
    }

    fn list(&mut self, len: usize, get: impl Fn(&Self, usize) -> Result<Val>) -> Result<()> {
        for index in 0..len {
            if index == WIDEST || self.shown >= MOST {
                self.text += &format!(" ... {} more", len - index);
                break;
            }
            let value = get(self, index)?;
            self.text.push(' ');
            self.value(&value)?;
        }
        Ok(())
    }
}
