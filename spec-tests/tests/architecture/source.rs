//! The text of one file as a list of what it declares and what it names.

use proc_macro2::{TokenStream, TokenTree};
use syn::spanned::Spanned;
use syn::visit::Visit;
use syn::{Attribute, Item, UseTree};

/// One module: a file, or a `mod` with a body inside of one.
#[derive(Debug, Default)]
pub(crate) struct Content {
    /// The modules that it declares, in the order of the text. Those without a body are files of
    /// their own.
    pub(crate) modules: Vec<Declared>,
    /// Its definitions: the names of functions, types, macros, ...
    pub(crate) items: Vec<String>,
    /// The imports by `use`, by the name that it gets here.
    pub(crate) imports: Vec<Import>,
    /// The paths of at least two segments in everything else.
    pub(crate) paths: Vec<Path>,
    /// The `impl` blocks.
    pub(crate) impls: Vec<Impl>,
}

/// An `impl` block: what it adds to a type, and takes from other blocks of the same type.
#[derive(Debug)]
pub(crate) struct Impl {
    /// The type's path; empty for types that have none, like references.
    pub(crate) of: Vec<String>,
    pub(crate) functions: Vec<String>,
    /// The names in `self.name()` and `Self::name`, as paths that begin with `Self`.
    pub(crate) own: Vec<Path>,
}

/// A `mod` line, with the content if it has a body.
#[derive(Debug)]
pub(crate) struct Declared {
    pub(crate) name: String,
    pub(crate) body: Option<Content>,
}

/// One name that a `use` brings in. `*` stands for all names.
#[derive(Debug)]
pub(crate) struct Import {
    pub(crate) name: String,
    pub(crate) path: Path,
}

/// A path as it is written, for example `super::Slot`, and its line.
#[derive(Clone, Debug)]
pub(crate) struct Path {
    pub(crate) segments: Vec<String>,
    pub(crate) line: usize,
}

impl Content {
    /// Reads a file's text. What is compiled for tests alone is left out, and so is documentation.
    pub(crate) fn parse(text: &str) -> syn::Result<Content> {
        let mut content = Content::default();
        for item in &syn::parse_file(text)?.items {
            content.visit_item(item);
        }
        Ok(content)
    }

    fn import(&mut self, tree: &UseTree, mut segments: Vec<String>) {
        match tree {
            UseTree::Path(path) => {
                segments.push(path.ident.to_string());
                self.import(&path.tree, segments);
            }
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.import(tree, segments.clone())),
            UseTree::Glob(glob) => self.add_import("*".into(), segments, glob.span()),
            UseTree::Name(name) => {
                if name.ident != "self" {
                    segments.push(name.ident.to_string());
                }
                self.add_import(segments.last().cloned().unwrap_or_default(), segments, name.span());
            }
            UseTree::Rename(rename) => {
                if rename.ident != "self" {
                    segments.push(rename.ident.to_string());
                }
                self.add_import(rename.rename.to_string(), segments, rename.span());
            }
        }
    }

    fn add_import(&mut self, name: String, segments: Vec<String>, at: proc_macro2::Span) {
        self.imports.push(Import { name, path: Path { segments, line: at.start().line } });
    }

    fn add_path(&mut self, segments: Vec<String>, at: proc_macro2::Span) {
        let path = Path { line: at.start().line, segments };
        match (path.segments.len(), self.impls.last_mut()) {
            (0 | 1, _) => {}
            (_, Some(block)) if path.segments[0] == "Self" => block.own.push(path),
            _ => self.paths.push(path),
        }
    }

    /// Macros take anything, so what looks like a path in their tokens is one.
    fn add_tokens(&mut self, tokens: TokenStream) {
        let mut segments: Vec<String> = Vec::new();
        let mut start = proc_macro2::Span::call_site();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(ident) if colons == 2 && !segments.is_empty() => segments.push(ident.to_string()),
                TokenTree::Ident(ident) => {
                    self.add_path(std::mem::take(&mut segments), start);
                    start = ident.span();
                    segments.push(ident.to_string());
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => {
                    colons += 1;
                    continue;
                }
                TokenTree::Group(group) => {
                    self.add_path(std::mem::take(&mut segments), start);
                    self.add_tokens(group.stream());
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => self.add_path(std::mem::take(&mut segments), start),
            }
            colons = 0;
        }
        self.add_path(segments, start);
    }
}

impl<'ast> Visit<'ast> for Content {
    fn visit_item(&mut self, item: &'ast Item) {
        let (attributes, name) = head(item);
        if attributes.iter().any(is_for_tests) {
            return;
        }
        self.items.extend(name);
        match item {
            Item::Mod(module) => {
                let followed = !module.attrs.iter().any(|attribute| attribute.path().is_ident("path"));
                assert!(followed, "`#[path]` on `mod {}` hides where a file stands", module.ident);
                let body = module.content.as_ref().map(|(_, items)| {
                    let mut content = Content::default();
                    items.iter().for_each(|item| content.visit_item(item));
                    content
                });
                self.modules.push(Declared { name: module.ident.to_string(), body });
            }
            Item::Use(import) => self.import(&import.tree, Vec::new()),
            _ => syn::visit::visit_item(self, item),
        }
    }

    fn visit_item_impl(&mut self, block: &'ast syn::ItemImpl) {
        let of = match &*block.self_ty {
            syn::Type::Path(of) => of.path.segments.iter().map(|segment| segment.ident.to_string()).collect(),
            _ => Vec::new(),
        };
        self.impls.push(Impl { of, functions: Vec::new(), own: Vec::new() });
        syn::visit::visit_item_impl(self, block);
    }

    // `Self` in a trait is none of the types above it.
    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        let impls = std::mem::take(&mut self.impls);
        syn::visit::visit_item_trait(self, item);
        self.impls = impls;
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        if let Some(block) = self.impls.last_mut() {
            block.functions.push(function.sig.ident.to_string());
        }
        syn::visit::visit_impl_item_fn(self, function);
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        if matches!(&*call.receiver, syn::Expr::Path(receiver) if receiver.path.is_ident("self")) {
            self.add_path(vec!["Self".into(), call.method.to_string()], call.method.span());
        }
        syn::visit::visit_expr_method_call(self, call);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.add_path(path.segments.iter().map(|segment| segment.ident.to_string()).collect(), path.span());
        syn::visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.visit_path(&call.path);
        self.add_tokens(call.tokens.clone());
    }

    // `pub(in path)` and attributes name no item of another file.
    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}
    fn visit_attribute(&mut self, _: &'ast Attribute) {}
}

/// Returns the attributes of an item, and its name if other files can use it by name.
fn head(item: &Item) -> (&[Attribute], Option<String>) {
    match item {
        Item::Const(item) => (&item.attrs, Some(item.ident.to_string())),
        Item::Enum(item) => (&item.attrs, Some(item.ident.to_string())),
        Item::ExternCrate(item) => (&item.attrs, None),
        Item::Fn(item) => (&item.attrs, Some(item.sig.ident.to_string())),
        Item::ForeignMod(item) => (&item.attrs, None),
        Item::Impl(item) => (&item.attrs, None),
        Item::Macro(item) => (&item.attrs, item.ident.as_ref().map(ToString::to_string)),
        Item::Mod(item) => (&item.attrs, None),
        Item::Static(item) => (&item.attrs, Some(item.ident.to_string())),
        Item::Struct(item) => (&item.attrs, Some(item.ident.to_string())),
        Item::Trait(item) => (&item.attrs, Some(item.ident.to_string())),
        Item::TraitAlias(item) => (&item.attrs, Some(item.ident.to_string())),
        Item::Type(item) => (&item.attrs, Some(item.ident.to_string())),
        Item::Union(item) => (&item.attrs, Some(item.ident.to_string())),
        Item::Use(item) => (&item.attrs, None),
        _ => (&[], None),
    }
}

/// Returns whether an attribute says that the item is compiled for tests or documentation tests
/// alone.
fn is_for_tests(attribute: &Attribute) -> bool {
    let syn::Meta::List(list) = &attribute.meta else { return attribute.path().is_ident("test") };
    let words: Vec<String> = list.tokens.to_string().split(|c: char| !c.is_alphanumeric()).map(String::from).collect();
    let has = |word: &str| words.iter().any(|other| other == word);
    attribute.path().is_ident("cfg") && (has("test") || has("doctest")) && !has("not")
}
