//! The modules of a crate in the order of their `mod` lines, and which file a path leads to.

use crate::source::{Content, Declared, Import, Path};
use std::collections::BTreeMap;

/// A crate's sources by their path below `src`, without `.rs`: `lib`, `cow/mod`, `cow/policy`.
pub(crate) type Sources = BTreeMap<String, String>;

/// A crate's modules. A file or room that stands above another has the smaller position.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) files: Vec<File>,
    modules: Vec<Module>,
}

/// A file and where it stands: rooms in the order of their `mod` lines, in each room its files
/// likewise, and last what declares them (`cow/mod` after all of `cow`, `lib` after everything).
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) name: String,
    pub(crate) position: usize,
}

#[derive(Debug)]
struct Module {
    file: usize,
    parent: Option<usize>,
    children: Vec<(String, usize)>,
    content: Content,
}

/// The meaning of a name inside a module.
enum Found<'a> {
    Child(usize),
    Import(&'a Import),
    Item,
    Nothing,
}

impl Tree {
    /// Arranges sources that start at `lib` or `main`. What only tests declare is left out.
    pub(crate) fn new(sources: &Sources) -> Result<Tree, String> {
        let root =
            ["lib", "main"].into_iter().find(|name| sources.contains_key(*name)).ok_or("no lib.rs or main.rs")?;
        let mut tree = Tree { files: Vec::new(), modules: Vec::new() };
        let mut position = 0;
        tree.add_file(sources, root, "", None, &mut position)?;
        Ok(tree)
    }

    /// Adds a file and everything that it declares; `folder` is where the files of its modules are.
    fn add_file(
        &mut self,
        sources: &Sources,
        name: &str,
        folder: &str,
        parent: Option<usize>,
        position: &mut usize,
    ) -> Result<usize, String> {
        let content = Content::parse(&sources[name]).map_err(|error| format!("{name}.rs: {error}"))?;
        let file = self.files.len();
        self.files.push(File { name: name.into(), position: 0 });
        let module = self.add_module(sources, file, content, folder, parent, position)?;
        self.files[file].position = *position;
        *position += 1;
        Ok(module)
    }

    fn add_module(
        &mut self,
        sources: &Sources,
        file: usize,
        mut content: Content,
        folder: &str,
        parent: Option<usize>,
        position: &mut usize,
    ) -> Result<usize, String> {
        let declared = std::mem::take(&mut content.modules);
        let module = self.modules.len();
        self.modules.push(Module { file, parent, children: Vec::new(), content });
        for Declared { name, body } in declared {
            let path = format!("{folder}{name}");
            let inside = format!("{path}/");
            let child = match body {
                Some(body) => self.add_module(sources, file, body, &inside, Some(module), position)?,
                None => {
                    let candidates = [path.clone(), format!("{path}/mod")];
                    let found = candidates.iter().find(|candidate| sources.contains_key(*candidate));
                    let found = found.ok_or_else(|| format!("`mod {name}` without {path}.rs"))?;
                    self.add_file(sources, found, &inside, Some(module), position)?
                }
            };
            self.modules[module].children.push((name, child));
        }
        Ok(module)
    }

    /// Returns whether a file stands for a room (or the crate): names that it brings in with `use`
    /// are other files' names.
    fn is_head(&self, module: usize) -> bool {
        let name = &self.files[self.modules[module].file].name;
        ["lib", "main", "mod"].contains(&name.rsplit('/').next().unwrap_or(name))
    }

    /// Returns every path in the sources, with the file that it stands in and the files that it
    /// leads to.
    pub(crate) fn uses(&self) -> Vec<(usize, &Path, Vec<usize>)> {
        let mut uses = Vec::new();
        for (index, module) in self.modules.iter().enumerate() {
            let imports = module.content.imports.iter().map(|import| &import.path);
            for path in imports.chain(&module.content.paths) {
                let mut files = Vec::new();
                self.resolve(index, &path.segments, 0, &mut files);
                files.retain(|&file| file != module.file);
                uses.push((module.file, path, files));
            }
        }
        uses.extend(self.uses_of_own_functions());
        uses
    }

    /// Returns every `self.name()` and `Self::name` that another file's `impl` block of the same
    /// type defines.
    fn uses_of_own_functions(&self) -> Vec<(usize, &Path, Vec<usize>)> {
        let mut blocks = Vec::new();
        for (index, module) in self.modules.iter().enumerate() {
            for block in &module.content.impls {
                let mut defined_in = Vec::new();
                self.resolve(index, &block.of, 0, &mut defined_in);
                blocks.push((module.file, (defined_in, block.of.last()), block));
            }
        }
        let mut uses = Vec::new();
        for (user, of, block) in &blocks {
            let others: Vec<_> = blocks.iter().filter(|(_, other, _)| !of.0.is_empty() && other == of).collect();
            for path in &block.own {
                let defines = others.iter().filter(|(_, _, other)| other.functions.contains(&path.segments[1]));
                let files: Vec<usize> = defines.map(|(file, ..)| *file).collect();
                if !files.contains(user) {
                    uses.push((*user, path, files));
                }
            }
        }
        uses
    }

    /// Adds the files that a path leads to from a module: none for another crate's names and for
    /// the standard library's.
    fn resolve(&self, from: usize, segments: &[String], depth: usize, files: &mut Vec<usize>) {
        // An import can refer to itself only by an error that the compiler reports; the depth ends
        // that here.
        if depth > 32 {
            return;
        }
        let mut at = from;
        let mut entered = false;
        for (index, segment) in segments.iter().enumerate() {
            let (name, rest) = (segment.as_str(), &segments[index + 1..]);
            match name {
                "crate" => (at, entered) = (0, true),
                "self" => entered = true,
                "super" => (at, entered) = (self.modules[at].parent.unwrap_or(0), true),
                "*" => break,
                _ => match self.find(at, name) {
                    Found::Child(child) => (at, entered) = (child, true),
                    // A file's own imports count where they are written, so what is read through a
                    // file is a use of it.
                    Found::Import(import) if !entered || self.is_head(at) => {
                        let path: Vec<String> = import.path.segments.iter().chain(rest).cloned().collect();
                        return self.resolve(at, &path, depth + 1, files);
                    }
                    Found::Import(_) | Found::Item => return files.push(self.modules[at].file),
                    // Through `*`, or made by a macro, or of another crate.
                    Found::Nothing if !entered => return,
                    Found::Nothing => return self.resolve_through_globs(at, &segments[index..], depth, files),
                },
            }
        }
        // The path names a module. To name a room is to use none of its files yet; a path through
        // it will.
        if entered && (!self.is_head(at) || segments.last().is_some_and(|last| last == "*")) {
            files.push(self.modules[at].file);
        }
    }

    fn resolve_through_globs(&self, at: usize, segments: &[String], depth: usize, files: &mut Vec<usize>) {
        let before = files.len();
        let globs = self.modules[at].content.imports.iter().filter(|import| import.name == "*");
        for glob in globs.filter(|_| self.is_head(at)) {
            let path: Vec<String> = glob.path.segments.iter().chain(segments).cloned().collect();
            self.resolve(at, &path, depth + 1, files);
        }
        if files.len() == before {
            files.push(self.modules[at].file);
        }
    }

    fn find(&self, module: usize, name: &str) -> Found<'_> {
        let Module { children, content, .. } = &self.modules[module];
        if let Some((_, child)) = children.iter().find(|(child, _)| child == name) {
            return Found::Child(*child);
        }
        if let Some(import) = content.imports.iter().find(|import| import.name == name) {
            return Found::Import(import);
        }
        if content.items.iter().any(|item| item == name) { Found::Item } else { Found::Nothing }
    }
}
