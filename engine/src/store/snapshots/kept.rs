//! The snapshots in a store's folder.

use std::fs;
use std::path::{Path, PathBuf};

use quarry_index::Storage;
use time::OffsetDateTime;

use super::super::error::io;
use super::super::live::Live;
use super::super::{CollectionName, StoreError};
use super::record::{RECORD, SnapshotFile, SnapshotRecord};

/// The folder's name in the store's own.
const FOLDER: &str = "snapshots";

/// A folder of snapshots, by collection.
#[derive(Debug)]
pub(in crate::store) struct Snapshots {
    folder: PathBuf,
}

impl Snapshots {
    /// Those in the store's `own` folder. Nothing is made before there is one.
    pub(in crate::store) fn of(own: &Path) -> Self {
        Self { folder: own.join(FOLDER) }
    }

    /// Where a snapshot lies, or would.
    pub(in crate::store) fn path(&self, of: &CollectionName, name: &CollectionName) -> PathBuf {
        self.folder.join(of.as_str()).join(name.as_str())
    }

    /// Makes a snapshot of a collection in `staged`, a folder that is not there yet, and moves it into place. `name`: by
    /// default the time and the number of the last change. One caller at a time.
    pub(in crate::store) fn make(
        &self,
        live: &Live,
        of: &CollectionName,
        (name, staged): (Option<&CollectionName>, &Path),
    ) -> Result<SnapshotRecord, StoreError> {
        let exists = |name: &CollectionName| {
            let path = self.path(of, name);
            path.symlink_metadata().is_ok()
        };
        let taken = |name: &CollectionName| StoreError::SnapshotExists {
            collection: of.to_string(),
            name: name.to_string(),
        };
        if let Some(name) = name.filter(|name| exists(name)) {
            return Err(taken(name));
        }
        let moment = live.save(staged)?;
        let now = OffsetDateTime::now_utc();
        let now = now.replace_nanosecond(0).unwrap_or(now);
        let name = match name {
            Some(name) => name.clone(),
            None => free_name(now, moment.sequence, exists)?,
        };
        let mut record = SnapshotRecord::new(name.as_str(), now, moment);
        let storage = Storage::of(staged);
        for file in storage.list()? {
            let path = storage.path(&file);
            let bytes = fs::metadata(&path).map_err(io(&path))?.len();
            record.files.push(SnapshotFile { name: file, bytes });
        }
        storage.replace(RECORD, &record.json(staged)?)?;
        storage.sync()?;
        let target = self.path(of, &name);
        let folder = self.folder.join(of.as_str());
        fs::create_dir_all(&folder).map_err(io(&folder))?;
        fs::rename(staged, &target).map_err(io(&target))?;
        Storage::of(&folder).sync()?;
        Storage::of(&self.folder).sync()?;
        if let Some(own) = self.folder.parent() {
            Storage::of(own).sync()?;
        }
        Ok(record)
    }

    /// The snapshots of a collection, oldest first. What is no snapshot of ours is passed over.
    pub(in crate::store) fn list(
        &self,
        of: &CollectionName,
    ) -> Result<Vec<SnapshotRecord>, StoreError> {
        let folder = self.folder.join(of.as_str());
        if folder.symlink_metadata().is_err() {
            return Ok(Vec::new());
        }
        let names = Storage::of(&folder).names()?;
        let names = names.iter().filter_map(|name| name.parse::<CollectionName>().ok());
        let mut all: Vec<SnapshotRecord> =
            names.filter_map(|name| self.read(of, &name).ok()).collect();
        all.sort_by(|a, b| {
            (a.created_at, a.sequence, &a.name).cmp(&(b.created_at, b.sequence, &b.name))
        });
        Ok(all)
    }

    /// What a snapshot says of itself.
    pub(in crate::store) fn read(
        &self,
        of: &CollectionName,
        name: &CollectionName,
    ) -> Result<SnapshotRecord, StoreError> {
        let path = self.path(of, name);
        let none = || StoreError::NoSnapshot { collection: of.to_string(), name: name.to_string() };
        let storage = Storage::of(&path);
        if !path.join(RECORD).is_file() {
            return Err(none());
        }
        SnapshotRecord::parse(&storage.read(RECORD)?).map_err(|_| none())
    }
}

/// A name made of the time and the number of a change.
fn free_name(
    now: OffsetDateTime,
    sequence: u64,
    exists: impl Fn(&CollectionName) -> bool,
) -> Result<CollectionName, StoreError> {
    let (year, month, day) = now.to_calendar_date();
    let (hour, minute, second) = now.to_hms();
    let time = format!("{year:04}{:02}{day:02}-{hour:02}{minute:02}{second:02}", u8::from(month));
    let name = |more: String| {
        format!("{time}-{sequence}{more}")
            .parse::<CollectionName>()
            .map_err(|what| StoreError::Setting { param: "name", what })
    };
    let mut found = name(String::new())?;
    let mut number = 2;
    while exists(&found) {
        found = name(format!("-{number}"))?;
        number += 1;
    }
    Ok(found)
}
