//! Imports between the files of a crate point one way: no file uses one that uses it, directly or through others.
//!
//! A file uses another when a path in it (`use`, or in an expression or type) leads there. A path through a
//! re-export (`pub use`) leads to the file that defines the name, so the faces of a crate or folder (`lib.rs`,
//! `mod.rs`) may hand names on. Tests inside a file are left out.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};
use syn::{Attribute, Item, UseTree, Visibility};

/// A module path below the crate's root: `["update", "tokens"]`.
type Module = Vec<String>;

/// What is known of a module's names.
#[derive(Default)]
struct Names {
    /// A name that is handed on or imported, and the path that it stands for.
    aliases: BTreeMap<String, Vec<String>>,
    /// Paths whose names are all handed on (`pub use a::*`).
    globs: Vec<Vec<String>>,
    /// What the file defines itself.
    defined: BTreeSet<String>,
}

/// A file of a crate: its paths to other places of the crate, absolute.
#[derive(Default)]
struct Room {
    names: Names,
    uses: Vec<Vec<String>>,
}

#[test]
fn files_use_each_other_one_way() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let mut crates: Vec<PathBuf> = fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("Cargo.toml").is_file() && path.join("src").is_dir())
        .collect();
    crates.sort();
    assert!(crates.len() >= 10, "{crates:?}");
    let mut circles = Vec::new();
    for folder in crates {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        circles
            .extend(circles_of(&rooms(&folder.join("src"))).into_iter().map(|c| (name.clone(), c)));
    }
    assert!(circles.is_empty(), "files that use each other in a circle: {circles:#?}");
}

/// The search for circles finds one: through a re-export, an inline path and `super`.
#[test]
fn a_circle_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("lib.rs", "mod a; mod b; mod c; mod d; pub use b::B; pub use c::*;");
    write("a.rs", "use crate::B; pub struct A(B);");
    write("b.rs", "pub struct B; fn f() { crate::c::C::new(); }");
    write("c/mod.rs", "mod inner; pub use inner::C;");
    write("c/inner.rs", "use super::super::a; pub struct C(a::A);");
    write("d.rs", "use crate::C; #[cfg(test)] mod tests { use crate::a::A; } fn f(c: C) {}");
    let found = circles_of(&rooms(folder.path()));
    assert_eq!(found, [["a -> b", "b -> c::inner", "c::inner -> a"]]);
}

/// Every module of a crate that is a file, by its path.
fn rooms(src: &Path) -> BTreeMap<Module, Room> {
    let mut files = Vec::new();
    list(src, &mut Vec::new(), &mut files);
    let modules: BTreeSet<Module> = files.iter().map(|(module, _)| module.clone()).collect();
    files
        .into_iter()
        .map(|(module, path)| {
            let text = fs::read_to_string(&path).unwrap();
            let file = syn::parse_file(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            let mut room = Room::default();
            let mut reader = Reader { module: &module, modules: &modules, room: &mut room };
            for item in &file.items {
                reader.visit_item(item);
            }
            (module, room)
        })
        .collect()
}

fn list(folder: &Path, at: &mut Module, files: &mut Vec<(Module, PathBuf)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            // Binaries of their own, each a crate.
            if !(at.is_empty() && stem == "bin") {
                at.push(stem);
                list(&path, at, files);
                at.pop();
            }
        } else if path.extension().is_some_and(|e| e == "rs") {
            let mut module = at.clone();
            if !matches!(stem.as_str(), "lib" | "main" | "mod") {
                module.push(stem);
            }
            files.push((module, path));
        }
    }
}

struct Reader<'a> {
    module: &'a Module,
    modules: &'a BTreeSet<Module>,
    room: &'a mut Room,
}

impl Reader<'_> {
    /// A path as it stands in this file, from the crate's root; none where it leads out of the crate.
    fn absolute(&self, path: &[String]) -> Option<Vec<String>> {
        let mut here = self.module.clone();
        let mut rest = path;
        match rest.first()?.as_str() {
            "crate" => {
                here.clear();
                rest = &rest[1..];
            }
            "self" => rest = &rest[1..],
            "super" => {
                while let Some((first, after)) = rest.split_first()
                    && first == "super"
                {
                    here.pop();
                    rest = after;
                }
            }
            first => {
                if let Some(known) = self.room.names.aliases.get(first) {
                    here.clone_from(known);
                    rest = &rest[1..];
                } else {
                    let mut child = here.clone();
                    child.push(first.to_owned());
                    if !self.modules.contains(&child) {
                        return None;
                    }
                }
            }
        }
        here.extend(rest.iter().cloned());
        Some(here)
    }

    fn imported(&mut self, tree: &UseTree, before: &mut Vec<String>, handed_on: bool) {
        match tree {
            UseTree::Path(path) => {
                before.push(path.ident.to_string());
                self.imported(&path.tree, before, handed_on);
                before.pop();
            }
            UseTree::Name(name) => self.name(before, &name.ident.to_string(), None, handed_on),
            UseTree::Rename(name) => {
                let renamed = name.rename.to_string();
                self.name(before, &name.ident.to_string(), Some(renamed), handed_on);
            }
            UseTree::Glob(_) => {
                if let Some(path) = self.absolute(before) {
                    if handed_on {
                        self.room.names.globs.push(path);
                    } else {
                        self.room.uses.push(path);
                    }
                }
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.imported(tree, before, handed_on);
                }
            }
        }
    }

    fn name(&mut self, before: &[String], name: &str, renamed: Option<String>, handed_on: bool) {
        let mut path = before.to_vec();
        if name != "self" {
            path.push(name.to_owned());
        }
        if let Some(path) = self.absolute(&path) {
            let known = renamed.unwrap_or_else(|| path.last().cloned().unwrap_or_default());
            if !handed_on {
                self.room.uses.push(path.clone());
            }
            self.room.names.aliases.insert(known, path);
        }
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        let (attributes, name): (&[Attribute], _) = match item {
            Item::Const(item) => (&item.attrs, Some(&item.ident)),
            Item::Enum(item) => (&item.attrs, Some(&item.ident)),
            Item::Fn(item) => (&item.attrs, Some(&item.sig.ident)),
            Item::Impl(item) => (&item.attrs, None),
            Item::Macro(item) => (&item.attrs, item.ident.as_ref()),
            Item::Mod(item) => (&item.attrs, None),
            Item::Static(item) => (&item.attrs, Some(&item.ident)),
            Item::Struct(item) => (&item.attrs, Some(&item.ident)),
            Item::Trait(item) => (&item.attrs, Some(&item.ident)),
            Item::Type(item) => (&item.attrs, Some(&item.ident)),
            Item::Use(item) => (&item.attrs, None),
            _ => (&[], None),
        };
        if !attributes.iter().any(is_test) {
            self.room.names.defined.extend(name.map(ToString::to_string));
            visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let handed_on = !matches!(item.vis, Visibility::Inherited);
        self.imported(&item.tree, &mut Vec::new(), handed_on);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> = path.segments.iter().map(|s| s.ident.to_string()).collect();
        let ours = segments.len() > 1 || self.room.names.aliases.contains_key(&segments[0]);
        if ours
            && path.leading_colon.is_none()
            && let Some(path) = self.absolute(&segments)
        {
            self.room.uses.push(path);
        }
        visit::visit_path(self, path);
    }
}

/// `#[test]`, `#[cfg(test)]`, `#[cfg(all(test, ...))]`.
fn is_test(attribute: &Attribute) -> bool {
    attribute.path().is_ident("test")
        || (attribute.path().is_ident("cfg")
            && attribute.meta.require_list().is_ok_and(|list| {
                list.tokens.to_string().split(|c: char| !c.is_alphanumeric()).any(|w| w == "test")
            }))
}

/// The file that a path leads to.
fn leads_to(rooms: &BTreeMap<Module, Room>, path: &[String], hops: usize) -> Option<Module> {
    let mut module = Module::new();
    for (at, segment) in path.iter().enumerate() {
        let mut child = module.clone();
        child.push(segment.clone());
        if rooms.contains_key(&child) {
            module = child;
            continue;
        }
        let names = &rooms.get(&module)?.names;
        if names.defined.contains(segment) || hops == 0 {
            return Some(module);
        }
        let on =
            |known: &[String], rest: &[String]| leads_to(rooms, &[known, rest].concat(), hops - 1);
        if let Some(known) = names.aliases.get(segment) {
            return on(known, &path[at + 1..]);
        }
        let defines = |file: &Module| {
            rooms.get(file).is_some_and(|room| room.names.defined.contains(segment))
        };
        let handed = names.globs.iter().filter_map(|glob| on(glob, &path[at..])).find(defines);
        return Some(handed.unwrap_or(module));
    }
    Some(module)
}

/// Files that reach each other, each group once: its uses, `a -> b`, in alphabetical order.
fn circles_of(rooms: &BTreeMap<Module, Room>) -> Vec<Vec<String>> {
    let edges: BTreeMap<&Module, BTreeSet<Module>> = rooms
        .iter()
        .map(|(from, room)| {
            let to = room.uses.iter().filter_map(|path| leads_to(rooms, path, 16));
            (from, to.filter(|to| to != from).collect())
        })
        .collect();
    let reached: BTreeMap<&Module, BTreeSet<&Module>> =
        edges.keys().map(|from| (*from, reach(&edges, from))).collect();
    let mut circles = BTreeSet::new();
    for (from, to) in &reached {
        let circle: BTreeSet<&Module> =
            to.iter().copied().filter(|other| reached[*other].contains(from)).collect();
        let ties =
            edges.iter().filter(|(file, _)| circle.contains(*file)).flat_map(|(file, to)| {
                to.iter()
                    .filter(|to| circle.contains(to))
                    .map(|to| format!("{} -> {}", shown(file), shown(to)))
            });
        if !circle.is_empty() {
            circles.insert(ties.collect());
        }
    }
    circles.into_iter().collect()
}

fn shown(module: &Module) -> String {
    if module.is_empty() { "the root".into() } else { module.join("::") }
}

/// All that a file uses, directly or through others; itself where it comes back to it.
fn reach<'a>(
    edges: &'a BTreeMap<&Module, BTreeSet<Module>>,
    from: &Module,
) -> BTreeSet<&'a Module> {
    let mut found = BTreeSet::new();
    let mut open: Vec<&Module> = edges[from].iter().collect();
    while let Some(module) = open.pop() {
        if found.insert(module) {
            open.extend(edges.get(module).into_iter().flatten());
        }
    }
    found
}
