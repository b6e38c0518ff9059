//! What is left of a store's collection when the power goes: only what was synced. Everything that was answered as synced
//! is there, at any moment, and what was not synced does no harm whatever the disk made of it.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic fails the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use quarry_engine::store::{
    Ack, Change, CollectionModel, CollectionSettings, Mode, Selection, Store, StoreOptions,
};
use quarry_engine::{Document, InputVector, OpenOptions};
use quarry_index::durable::{Synced, record, recorded};

/// What a disk makes of bytes that were not synced.
#[derive(Debug, Clone, Copy)]
enum Unsynced {
    /// The names are gone, and files end where they were synced.
    Gone,
    /// The names are there, with zeros.
    Zeros,
    /// All is there: the disk was quick.
    There,
}

/// Copies `from` to `to` as the power cut leaves it. Sealing and merging go on beside: a copy during which something
/// changed is none of a moment, and is made again.
fn cut(from: &Path, to: &Path, unsynced: Unsynced) {
    loop {
        let synced = recorded();
        let before = names(from);
        let (mut lengths, mut folders) = (BTreeMap::new(), BTreeMap::new());
        for synced in &synced {
            match synced {
                Synced::File(inode, length) => drop(lengths.insert(*inode, *length)),
                Synced::Folder(inode, there) => drop(folders.insert(*inode, there.clone())),
            }
        }
        let copied = copy(from, to, unsynced, (&lengths, &folders));
        if copied.is_ok()
            && before.is_ok_and(|before| names(from).is_ok_and(|now| now == before))
            && recorded() == synced
        {
            return;
        }
        fs::remove_dir_all(to).unwrap();
    }
}

/// By inode.
type Lengths = BTreeMap<u64, u64>;
type Names = BTreeMap<u64, Vec<String>>;

/// All paths in a folder.
fn names(folder: &Path) -> io::Result<BTreeSet<PathBuf>> {
    let mut all = BTreeSet::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            all.extend(names(&path)?);
        }
        all.insert(path);
    }
    Ok(all)
}

fn copy(from: &Path, to: &Path, unsynced: Unsynced, known: (&Lengths, &Names)) -> io::Result<()> {
    fs::create_dir_all(to)?;
    let own = inode(from)?;
    for entry in fs::read_dir(from)? {
        let name = entry?.file_name();
        let (path, target) = (from.join(&name), to.join(&name));
        let listed = |all: &Vec<String>| all.iter().any(|n| *n == name.to_string_lossy());
        let named = known.1.get(&own).is_some_and(listed);
        if !named && matches!(unsynced, Unsynced::Gone) {
            continue;
        }
        if path.is_dir() {
            copy(&path, &target, unsynced, known)?;
            continue;
        }
        let mut bytes = fs::read(&path)?;
        let length = known.0.get(&inode(&path)?).copied().unwrap_or(0);
        let synced = usize::try_from(length).unwrap();
        match unsynced {
            Unsynced::Gone => bytes.truncate(synced),
            Unsynced::Zeros => bytes.iter_mut().skip(synced).for_each(|byte| *byte = 0),
            Unsynced::There => {}
        }
        fs::write(target, bytes)?;
    }
    Ok(())
}

fn inode(path: &Path) -> io::Result<u64> {
    Ok(path.metadata()?.ino())
}

fn document(id: u32, version: u32) -> Document {
    let vector = [("all".to_owned(), 1.0), (format!("v{version}"), 2.0)];
    Document {
        id: format!("d{id}"),
        text: format!("version {version}"),
        vector: Some(InputVector::Tokens(vector.to_vec())),
        fields: [("number".to_owned(), id.into())].into_iter().collect(),
        line: 1,
        ..Document::default()
    }
}

fn open(data: &Path) -> Store {
    let options = StoreOptions { address: "http://x".to_owned(), open: OpenOptions::default() };
    let store = Store::open(data, options).unwrap();
    for name in store.look().unwrap().0 {
        store.open_collection(&name).unwrap();
    }
    store
}

fn texts(store: &Store) -> BTreeMap<String, String> {
    let collections = store.collections();
    let [(_, live)] = collections.as_slice() else { panic!("{collections:?}") };
    let ids: Vec<String> = (0..20).map(|id| format!("d{id}")).collect();
    let found =
        ids.iter().filter_map(|id| Some((id.clone(), live.collection().document(id).ok()?)));
    found.map(|(id, document)| (id, document.fields["text"].as_str().unwrap().to_owned())).collect()
}

#[test]
fn what_was_synced_survives() {
    record();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().canonicalize().unwrap().join("data");
    let store = open(&data);
    let settings =
        CollectionSettings { model: CollectionModel::None, ..CollectionSettings::default() };
    let name = "docs".parse().unwrap();
    let live = store.make(&name, &settings).unwrap().live;
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    let mut checked = 0;
    let mut check = |known: &BTreeMap<String, String>, later: Option<(&str, &str)>| {
        for unsynced in [Unsynced::Gone, Unsynced::Zeros, Unsynced::There] {
            checked += 1;
            let copied = folder.path().join(format!("copy-{checked}"));
            cut(&data, &copied, unsynced);
            let store = open(&copied);
            let found = texts(&store);
            // What was answered as received alone may be there.
            let mut with = known.clone();
            with.extend(later.map(|(id, text)| (id.to_owned(), text.to_owned())));
            assert!(
                found == *known || found == with,
                "{checked} {unsynced:?}: {found:?}, {known:?}"
            );
            // It is written to again, sealed, and nothing is left to tidy.
            let live = store.collections().remove(0).1;
            let again = Change::Put { documents: vec![document(19, 7)], mode: Mode::Upsert };
            live.change(again, Ack::Sealed).unwrap();
            drop(live);
            store.close();
            let names: BTreeSet<String> = fs::read_dir(copied.join("docs"))
                .unwrap()
                .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
                .collect();
            // A merge that was prepared meanwhile may hold older ones, but none that the power cut emptied.
            for manifest in names.iter().filter(|name| name.starts_with("manifest-")) {
                let bytes = fs::read(copied.join("docs").join(manifest)).unwrap();
                assert!(bytes.iter().any(|byte| *byte != 0), "{unsynced:?} {manifest}");
            }
            assert!(
                !names.iter().any(|name| name.ends_with(".qlog") || name == "build"),
                "{names:?}"
            );
        }
    };
    for step in 0..24u32 {
        let id = step * 7 % 19;
        let (name, version) = (format!("d{id}"), step);
        if step % 5 == 4 {
            let selection = match step % 10 {
                9 => Selection::Filter(format!("number:{id}")),
                _ => Selection::Ids(vec![name.clone()]),
            };
            live.change(Change::Delete(selection), Ack::Synced).unwrap();
            known.remove(&name);
        } else {
            let ack = if step % 7 == 6 { Ack::Sealed } else { Ack::Synced };
            let documents = vec![document(id, version)];
            live.change(Change::Put { documents, mode: Mode::Upsert }, ack).unwrap();
            known.insert(name, format!("version {version}"));
        }
        if step % 3 == 0 {
            check(&known, None);
        }
    }
    let documents = vec![document(18, 99)];
    live.change(Change::Put { documents, mode: Mode::Upsert }, Ack::Received).unwrap();
    check(&known, Some(("d18", "version 99")));
    live.seal().unwrap();
    known.insert("d18".to_owned(), "version 99".to_owned());
    check(&known, None);
}
