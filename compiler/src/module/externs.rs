//! Defines the types of imports and exports.

use super::types::{FuncType, RefType, ValType};

/// Bytes in a page of linear memory (specification, section 4.2.8).
pub const WASM_PAGE: u64 = 65_536;

/// The type of a linear memory. Sizes count pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MemoryType {
    /// Pages at the start.
    pub minimum: u64,
    /// Pages it may grow to, where a bound was declared.
    pub maximum: Option<u64>,
    /// Whether addresses are 64-bit.
    pub memory64: bool,
    /// The binary logarithm of a page's size in bytes: 16, or 0 where the module asks for pages of
    /// one byte (the custom-page-sizes proposal). Nothing else is valid.
    pub page_size_log2: u8,
}

/// No pages, with 32-bit addresses, and 64 KiB in a page.
impl Default for MemoryType {
    fn default() -> Self {
        Self { minimum: 0, maximum: None, memory64: false, page_size_log2: WASM_PAGE.trailing_zeros() as u8 }
    }
}

impl MemoryType {
    /// Returns the type of a memory with 32-bit addresses that starts with `minimum` pages of 64
    /// KiB.
    ///
    /// # Panics
    /// Panics if the minimum is greater than the maximum, or one of them is greater than 65,536
    /// pages.
    pub fn new(minimum: u32, maximum: Option<u32>) -> Self {
        Self { minimum: minimum.into(), maximum: maximum.map(u64::from), ..Self::default() }.checked()
    }

    /// Returns the type of a memory with 64-bit addresses that starts with `minimum` pages of 64
    /// KiB.
    ///
    /// # Panics
    /// Panics if the minimum is greater than the maximum, or one of them is greater than 2^48
    /// pages.
    pub fn new64(minimum: u64, maximum: Option<u64>) -> Self {
        Self { minimum, maximum, memory64: true, ..Self::default() }.checked()
    }

    fn checked(self) -> Self {
        if let Err(what) = self.check() {
            panic!("invalid memory type: {what}");
        }
        self
    }

    /// Checks the rules for types of memories, which validation has checked for those in a module.
    ///
    /// # Errors
    /// Returns what is wrong.
    pub fn check(&self) -> Result<(), String> {
        let log2 = self.page_size_log2;
        if ![0, 16].contains(&log2) {
            return Err(format!("pages of 2^{log2} bytes, where 65,536 bytes or one are possible"));
        }
        // The number of pages has to be a number of the memory's own addresses.
        let addresses = if self.memory64 { u64::MAX } else { u32::MAX.into() };
        let most = if log2 == 0 { addresses } else { (addresses >> log2) + 1 };
        check_limits(self.minimum, self.maximum, most, "pages")
    }

    /// Returns how many pages it starts with.
    pub fn minimum(&self) -> u64 {
        self.minimum
    }

    /// Returns how many pages it may grow to, if there is a bound.
    pub fn maximum(&self) -> Option<u64> {
        self.maximum
    }

    /// Returns whether addresses are 64-bit.
    pub fn is_64(&self) -> bool {
        self.memory64
    }

    /// Returns how many bytes a page has: 65,536 or 1.
    pub fn page_size(&self) -> u64 {
        1 << self.page_size_log2
    }

    /// Returns the binary logarithm of [`MemoryType::page_size`]: 16 or 0.
    pub fn page_size_log2(&self) -> u8 {
        self.page_size_log2
    }

    /// Returns how many bytes it starts with. Types with more than a `u64` holds are valid, but not
    /// possible.
    pub fn initial_bytes(&self) -> u64 {
        self.minimum.saturating_mul(self.page_size())
    }

    /// Returns whether its size is always a whole number of host pages, so that accesses beyond its
    /// end can fault.
    pub fn ends_at_a_page(&self) -> bool {
        self.page_size() == WASM_PAGE
    }
}

/// The type of a table. Sizes count elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TableType {
    /// The type of its elements.
    pub element: RefType,
    /// Elements at the start.
    pub minimum: u64,
    /// Elements it may grow to, where a bound was declared.
    pub maximum: Option<u64>,
    /// Whether indices are 64-bit.
    pub table64: bool,
}

impl TableType {
    /// Returns the type of a table with 32-bit indices that starts with `minimum` elements.
    pub fn new(element: RefType, minimum: u32, maximum: Option<u32>) -> Self {
        Self { element, minimum: minimum.into(), maximum: maximum.map(u64::from), table64: false }
    }

    /// Returns the type of a table with 64-bit indices that starts with `minimum` elements.
    pub fn new64(element: RefType, minimum: u64, maximum: Option<u64>) -> Self {
        Self { element, minimum, maximum, table64: true }
    }

    /// Checks the rules for types of tables, which validation has checked for those in a module.
    ///
    /// # Errors
    /// Returns what is wrong.
    pub fn check(&self) -> Result<(), String> {
        check_limits(self.minimum, self.maximum, if self.table64 { u64::MAX } else { u32::MAX.into() }, "elements")
    }

    /// Returns the type of its elements.
    pub fn element(&self) -> RefType {
        self.element
    }

    /// Returns how many elements it starts with.
    pub fn minimum(&self) -> u64 {
        self.minimum
    }

    /// Returns how many elements it may grow to, if there is a bound.
    pub fn maximum(&self) -> Option<u64> {
        self.maximum
    }

    /// Returns whether indices are 64-bit.
    pub fn is_64(&self) -> bool {
        self.table64
    }
}

fn check_limits(minimum: u64, maximum: Option<u64>, most: u64, unit: &str) -> Result<(), String> {
    match maximum {
        Some(maximum) if minimum > maximum => Err(format!("a minimum of {minimum} {unit} with a maximum of {maximum}")),
        _ if minimum.max(maximum.unwrap_or(0)) > most => {
            Err(format!("{} {unit}, where at most {most} are possible", minimum.max(maximum.unwrap_or(0))))
        }
        _ => Ok(()),
    }
}

/// The type of a global.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GlobalType {
    /// The type of its value.
    pub content: ValType,
    /// Whether it can change.
    pub mutable: bool,
}

/// Whether a global can change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mutability {
    /// It never changes.
    Const,
    /// It can be set.
    Var,
}

impl Mutability {
    /// Returns whether it never changes.
    pub const fn is_const(self) -> bool {
        matches!(self, Self::Const)
    }

    /// Returns whether it can be set.
    pub const fn is_var(self) -> bool {
        matches!(self, Self::Var)
    }
}

impl GlobalType {
    /// Returns the type of a global that holds `content`.
    pub fn new(content: ValType, mutability: Mutability) -> Self {
        Self { content, mutable: mutability == Mutability::Var }
    }

    /// Returns the type of its value.
    pub fn content(&self) -> ValType {
        self.content
    }

    /// Returns whether it can change.
    pub fn mutability(&self) -> Mutability {
        if self.mutable { Mutability::Var } else { Mutability::Const }
    }
}

/// The type of a tag: what exceptions with it carry. It is a type of functions, of which the
/// parameters are what an exception carries, and results there are none.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TagType {
    ty: FuncType,
}

impl TagType {
    /// Returns the type of tags whose exceptions carry the parameters of a function type.
    pub fn new(ty: FuncType) -> Self {
        Self { ty }
    }

    /// Returns the function type.
    pub fn ty(&self) -> &FuncType {
        &self.ty
    }
}

/// The type of anything that can be imported or exported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExternType {
    /// A function.
    Func(FuncType),
    /// A table.
    Table(TableType),
    /// A linear memory.
    Memory(MemoryType),
    /// A global.
    Global(GlobalType),
    /// A tag.
    Tag(TagType),
}

macro_rules! extern_types {
    ($($name:ident($ty:ty) $get:ident $unwrap:ident,)*) => {
        $(impl From<$ty> for ExternType {
            fn from(ty: $ty) -> Self {
                Self::$name(ty)
            }
        })*
        impl ExternType {
            $(/// Returns the type, if it is of this kind.
            pub fn $get(&self) -> Option<&$ty> {
                if let Self::$name(ty) = self { Some(ty) } else { None }
            }

            /// Returns the type.
            ///
            /// # Panics
            /// Panics if it is of another kind.
            pub fn $unwrap(&self) -> &$ty {
                self.$get().unwrap_or_else(|| panic!("expected a {}, found `{self}`", stringify!($get)))
            })*
        }
    };
}

extern_types! {
    Func(FuncType) func unwrap_func,
    Table(TableType) table unwrap_table,
    Memory(MemoryType) memory unwrap_memory,
    Global(GlobalType) global unwrap_global,
    Tag(TagType) tag unwrap_tag,
}
