//! Other names of collections, which can be switched: kept in a file of the store's own, written aside and renamed.

use std::collections::BTreeMap;

use quarry_index::Storage;
use serde::{Deserialize, Serialize};

use super::error::io;
use super::{CollectionName, StoreError};

const FILE: &str = "aliases.json";
const MAGIC: &str = "quarry-aliases";
const VERSION: u32 = 1;
/// Most aliases.
const MOST: usize = 10_000;

/// The collections that aliases name.
pub(super) type Aliases = BTreeMap<CollectionName, CollectionName>;

/// A change of the aliases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AliasAction {
    /// The alias names this collection from now on.
    Set {
        /// The alias.
        alias: CollectionName,
        /// The collection.
        collection: CollectionName,
    },
    /// The alias is no more.
    Remove(CollectionName),
}

#[derive(Debug, Serialize, Deserialize)]
struct Record {
    magic: String,
    version: u32,
    aliases: BTreeMap<String, String>,
}

/// Reads them from the store's own folder; none if there is no file.
pub(super) fn read(own: &Storage) -> Result<Aliases, StoreError> {
    let path = own.path(FILE);
    let wrong = |what: String| StoreError::DamagedAliases { path: path.clone(), what };
    match path.symlink_metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Aliases::new()),
        Err(error) => return Err(io(&path)(error)),
        Ok(_) => {}
    }
    let record: Record =
        serde_json::from_slice(&own.read(FILE)?).map_err(|error| wrong(error.to_string()))?;
    if (record.magic.as_str(), record.version) != (MAGIC, VERSION) {
        let found = format!("`{}` of version {}", record.magic, record.version);
        return Err(wrong(format!("it is {found}, and `{MAGIC}` of version {VERSION} is read")));
    }
    let name = |text: String| text.parse::<CollectionName>().map_err(&wrong);
    let pairs = record.aliases.into_iter().map(|(alias, of)| Ok((name(alias)?, name(of)?)));
    pairs.collect()
}

/// Writes them, durably.
pub(super) fn write(own: &Storage, aliases: &Aliases) -> Result<(), StoreError> {
    let text = |name: &CollectionName| name.to_string();
    let aliases = aliases.iter().map(|(alias, of)| (text(alias), text(of))).collect();
    let record = Record { magic: MAGIC.to_owned(), version: VERSION, aliases };
    let json = serde_json::to_vec_pretty(&record).map_err(|error| StoreError::DamagedAliases {
        path: own.path(FILE),
        what: error.to_string(),
    })?;
    own.replace(FILE, &json)?;
    Ok(own.sync()?)
}

/// The aliases after some actions, all of them or an error. `is_there` says whether there is a collection, or something
/// else, of this name in the store.
pub(super) fn changed(
    before: &Aliases,
    actions: &[AliasAction],
    is_there: impl Fn(&CollectionName) -> bool,
    is_open: impl Fn(&CollectionName) -> bool,
) -> Result<Aliases, StoreError> {
    let mut after = before.clone();
    for action in actions {
        match action {
            AliasAction::Set { alias, .. } if is_there(alias) => {
                return Err(StoreError::Shadows { name: alias.to_string() });
            }
            AliasAction::Set { collection, .. } if !is_open(collection) => {
                return Err(StoreError::NotFound { name: collection.to_string() });
            }
            AliasAction::Set { alias, collection } => {
                after.insert(alias.clone(), collection.clone());
            }
            AliasAction::Remove(alias) => {
                if after.remove(alias).is_none() {
                    return Err(StoreError::NoAlias { name: alias.to_string() });
                }
            }
        }
    }
    match after.len() > MOST {
        true => Err(StoreError::TooManyAliases { most: MOST }),
        false => Ok(after),
    }
}

/// The aliases of a collection.
pub(super) fn of(aliases: &Aliases, collection: &CollectionName) -> Vec<CollectionName> {
    let named = aliases.iter().filter(|(_, of)| *of == collection);
    named.map(|(alias, _)| alias.clone()).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic fails the test")]
mod tests {
    use super::*;

    fn name(text: &str) -> CollectionName {
        text.parse().unwrap()
    }

    fn set(alias: &str, collection: &str) -> AliasAction {
        AliasAction::Set { alias: name(alias), collection: name(collection) }
    }

    fn change(before: &Aliases, actions: &[AliasAction]) -> Result<Aliases, StoreError> {
        let there = |found: &CollectionName| ["v1", "v2"].contains(&found.as_str());
        changed(before, actions, there, there)
    }

    #[test]
    fn all_or_none() {
        let none = Aliases::new();
        let one = change(&none, &[set("docs", "v1")]).unwrap();
        let two = change(&one, &[set("docs", "v2"), set("old", "v1")]).unwrap();
        assert_eq!(of(&two, &name("v2")), [name("docs")]);
        assert_eq!(of(&two, &name("v1")), [name("old")]);
        assert!(matches!(change(&two, &[set("v1", "v2")]), Err(StoreError::Shadows { .. })));
        assert!(matches!(change(&two, &[set("a", "v3")]), Err(StoreError::NotFound { .. })));
        // No alias of an alias.
        assert!(matches!(change(&two, &[set("a", "docs")]), Err(StoreError::NotFound { .. })));
        let gone = [AliasAction::Remove(name("docs")), AliasAction::Remove(name("docs"))];
        assert!(matches!(change(&two, &gone), Err(StoreError::NoAlias { .. })));
        assert_eq!(change(&two, &gone[..1]).unwrap().len(), 1);
    }

    #[test]
    fn the_file_is_read_back_and_damage_refused() {
        let folder = tempfile::tempdir().unwrap();
        let own = Storage::of(folder.path());
        assert!(read(&own).unwrap().is_empty());
        let aliases = change(&Aliases::new(), &[set("docs", "v1"), set("old", "v2")]).unwrap();
        write(&own, &aliases).unwrap();
        assert_eq!(read(&own).unwrap(), aliases);
        let whole = own.read(FILE).unwrap();
        for bytes in
            [&b"{}"[..], b"", &whole[..20], b"{\"magic\":\"x\",\"version\":1,\"aliases\":{}}"]
        {
            std::fs::write(own.path(FILE), bytes).unwrap();
            assert!(matches!(read(&own), Err(StoreError::DamagedAliases { .. })));
        }
        let bad = String::from_utf8(whole).unwrap().replace("\"v1\"", "\"../v1\"");
        std::fs::write(own.path(FILE), bad).unwrap();
        assert!(read(&own).is_err());
    }
}
