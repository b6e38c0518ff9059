//! Reads an archive of a snapshot, which is foreign: from a client, or a disk that has aged.
//!
//! 1. the first entry is the record, of bounded length; it names every file with its length, each a name that a collection's
//!    folder has, none twice  2. the entries after it are these files and nothing else: no folders, links, devices, longer names,
//!    other lengths  3. each is written under its name into a new folder, and summed  4. the last entry has the sums, of all
//!    files and no others; they agree, or nothing of it is used
//!
//! Headers are read one by one as they are (`raw`): the extensions of the format, whose lengths nothing bounds, are refused.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use quarry_index::Storage;
use quarry_index::durable::sync_file;
use quarry_index::folder::{LOCK, owns};
use quarry_index::names::is_temporary;
use sha2::{Digest, Sha256};

use super::super::StoreError;
use super::super::error::io;
use super::super::settings::RECORD as SETTINGS;
use super::pack::hex;
use super::record::{RECORD, SUMS, SnapshotRecord};

/// Most files of a snapshot.
const MOST_FILES: usize = 65_536;
/// Most bytes of the record, and of the sums.
const MOST_JSON: u64 = 16 << 20;
/// Bytes that are copied at a time.
const PIECE: usize = 1 << 18;

/// Unpacks an archive into `into`, a folder that is there and empty, and syncs its files. Public for fuzzing.
///
/// # Errors
/// [`StoreError::Archive`] if it is not as an archive of a snapshot is, or breaks off; or the disk refuses. What was written
/// lies in `into`.
pub fn unpack(archive: impl Read, into: &Path) -> Result<SnapshotRecord, StoreError> {
    let mut tar = tar::Archive::new(archive);
    let mut entries = tar.entries().map_err(|error| broken(&error))?.raw(true);
    let mut next = || -> Result<Option<(String, _)>, StoreError> {
        let Some(entry) = entries.next() else { return Ok(None) };
        let entry = entry.map_err(|error| broken(&error))?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        match entry.header().entry_type() {
            tar::EntryType::Regular => Ok(Some((name, entry))),
            _ => Err(bad(format!("`{}` is no plain file", shown(&name)))),
        }
    };
    let first = next()?.filter(|(name, _)| name == RECORD);
    let (_, entry) = first.ok_or_else(|| bad(format!("it does not begin with `{RECORD}`")))?;
    let json = small(entry, RECORD)?;
    let record = SnapshotRecord::parse(&json).map_err(|what| bad(format!("{RECORD}: {what}")))?;
    let mut left = expected(&record)?;
    let mut sums = BTreeMap::from([(RECORD.to_owned(), hex(&Sha256::digest(&json)))]);
    loop {
        let Some((name, entry)) = next()? else {
            return Err(bad(format!("it ends without `{SUMS}`")));
        };
        if name == SUMS {
            if let Some((name, _)) = left.first_key_value() {
                return Err(bad(format!("`{name}` is missing")));
            }
            compare(&small(entry, SUMS)?, &sums)?;
            break;
        }
        let Some(bytes) = left.remove(&name) else {
            let what = format!("`{}` is not among its files, or comes twice", shown(&name));
            return Err(bad(what));
        };
        if entry.size() != bytes {
            let what = format!("`{name}` has {} bytes; {bytes} were expected", entry.size());
            return Err(bad(what));
        }
        let sum = write(entry, bytes, &into.join(&name))?;
        sums.insert(name, sum);
    }
    if next()?.is_some() {
        return Err(bad(format!("it goes on after `{SUMS}`")));
    }
    Storage::of(into).sync()?;
    Ok(record)
}

/// The files that follow, with their lengths.
fn expected(record: &SnapshotRecord) -> Result<BTreeMap<String, u64>, StoreError> {
    if record.files.len() > MOST_FILES {
        return Err(bad(format!("it has more than {MOST_FILES} files")));
    }
    let mut files = BTreeMap::new();
    for file in &record.files {
        let name = file.name.as_str();
        let known = name == SETTINGS || (owns(name) && name != LOCK && !is_temporary(name));
        if !known {
            return Err(bad(format!("`{}` is no file of a collection", shown(name))));
        }
        if files.insert(name.to_owned(), file.bytes).is_some() {
            return Err(bad(format!("`{name}` is named twice")));
        }
    }
    Ok(files)
}

/// Reads an entry of bounded length.
fn small(entry: impl Read, name: &str) -> Result<Vec<u8>, StoreError> {
    let mut bytes = Vec::new();
    entry.take(MOST_JSON + 1).read_to_end(&mut bytes).map_err(|error| broken(&error))?;
    match bytes.len() as u64 > MOST_JSON {
        true => Err(bad(format!("`{name}` has more than {MOST_JSON} bytes"))),
        false => Ok(bytes),
    }
}

/// Writes an entry to a new file, and gives its sum.
fn write(mut entry: impl Read, bytes: u64, path: &Path) -> Result<String, StoreError> {
    let mut file = File::create_new(path).map_err(io(path))?;
    let (mut digest, mut buffer, mut written) = (Sha256::new(), vec![0; PIECE], 0u64);
    loop {
        let count = match entry.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(broken(&error)),
        };
        digest.update(&buffer[..count]);
        file.write_all(&buffer[..count]).map_err(io(path))?;
        written += count as u64;
    }
    if written != bytes {
        return Err(bad("it breaks off".to_owned()));
    }
    sync_file(&file).map_err(io(path))?;
    Ok(hex(&digest.finalize()))
}

/// Compares the sums that an archive has with those of what came.
fn compare(given: &[u8], found: &BTreeMap<String, String>) -> Result<(), StoreError> {
    let text = std::str::from_utf8(given).map_err(|_| bad(format!("`{SUMS}` is not UTF-8")))?;
    let mut seen = 0;
    for line in text.lines() {
        let (sum, name) = line.split_once("  ").unwrap_or((line, ""));
        match found.get(name) {
            Some(own) if own == sum => seen += 1,
            Some(_) => return Err(bad(format!("`{name}` is damaged: its checksum is another"))),
            None => {
                let what = format!("`{SUMS}` names `{}`, which did not come", shown(name));
                return Err(bad(what));
            }
        }
    }
    match seen == found.len() {
        true => Ok(()),
        false => Err(bad(format!("`{SUMS}` has not one line for each file"))),
    }
}

/// A name from outside, bounded and without control characters.
fn shown(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).take(100).collect()
}

fn broken(error: &io::Error) -> StoreError {
    bad(format!("it breaks off, or is no tar: {error}"))
}

fn bad(what: String) -> StoreError {
    StoreError::Archive { what }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic fails the test")]
mod tests {
    use proptest::prelude::*;

    use super::super::record::{Moment, SnapshotFile};
    use super::*;

    const PART: &str = "0123456789abcdef0123456789abcdef-forward.qry";

    fn record(files: &[(&str, u64)]) -> SnapshotRecord {
        let moment = Moment {
            collection: "docs".to_owned(),
            index: uuid::Uuid::nil(),
            generation: 1,
            sequence: 2,
            documents: 3,
        };
        let now = time::OffsetDateTime::UNIX_EPOCH;
        let mut record = SnapshotRecord::new("first", now, moment);
        let file =
            |(name, bytes): &(&str, u64)| SnapshotFile { name: (*name).to_owned(), bytes: *bytes };
        record.files = files.iter().map(file).collect();
        record
    }

    /// An entry: its name, kind and content.
    type Entry<'a> = (&'a str, tar::EntryType, &'a [u8]);

    fn archive(entries: &[Entry<'_>]) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        for (name, kind, content) in entries {
            let mut header = tar::Header::new_gnu();
            // The builder itself refuses names that lead elsewhere.
            header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
            header.set_size(content.len() as u64);
            header.set_entry_type(*kind);
            header.set_cksum();
            tar.append(&header, *content).unwrap();
        }
        tar.into_inner().unwrap()
    }

    fn sums(entries: &[(&str, &[u8])]) -> Vec<u8> {
        let line = |(name, content): &(&str, &[u8])| {
            format!("{}  {name}\n", hex(&Sha256::digest(content)))
        };
        entries.iter().map(line).collect::<String>().into_bytes()
    }

    fn good() -> Vec<u8> {
        let json = record(&[("CURRENT", 7), (PART, 600)]).json(Path::new("")).unwrap();
        let part = [7; 600];
        let all: [(&str, &[u8]); 3] = [(RECORD, &json), ("CURRENT", b"current"), (PART, &part)];
        let sums = sums(&all);
        let plain = tar::EntryType::Regular;
        let last = (SUMS, sums.as_slice());
        let entries = all.iter().chain([&last]);
        archive(&entries.map(|(name, content)| (*name, plain, *content)).collect::<Vec<_>>())
    }

    fn unpacked(bytes: &[u8]) -> Result<SnapshotRecord, String> {
        let outer = tempfile::tempdir().unwrap();
        let into = outer.path().join("into");
        std::fs::create_dir(&into).unwrap();
        let read = unpack(bytes, &into).map_err(|error| error.to_string());
        // Nothing lies outside, and inside only what the record may name.
        assert_eq!(Storage::of(outer.path()).names().unwrap(), ["into"]);
        for name in Storage::of(&into).names().unwrap() {
            assert!(into.join(&name).symlink_metadata().unwrap().is_file());
            assert!(owns(&name) || name == SETTINGS, "{name}");
        }
        read
    }

    #[test]
    fn what_is_no_snapshot_is_refused() {
        let read = unpacked(&good()).unwrap();
        assert_eq!((read.collection.as_str(), read.sequence, read.bytes()), ("docs", 2, 607));
        let plain = tar::EntryType::Regular;
        let whole = |record: &SnapshotRecord, more: &[Entry<'_>]| {
            let json = record.json(Path::new("")).unwrap();
            let mut all = vec![(RECORD, plain, json.as_slice())];
            all.extend_from_slice(more);
            archive(&all)
        };
        let current = record(&[("CURRENT", 7)]);
        let link = tar::EntryType::Symlink;
        for (archive, said) in [
            (Vec::new(), "does not begin"),
            (b"a diary".to_vec(), "breaks off"),
            (archive(&[("CURRENT", plain, b"current")]), "does not begin"),
            (archive(&[(RECORD, plain, b"{}")]), "missing field"),
            (archive(&[(RECORD, link, b"")]), "no plain file"),
            (whole(&record(&[("../x", 1)]), &[]), "no file of a collection"),
            (whole(&record(&[("/etc/passwd", 1)]), &[]), "no file of a collection"),
            (whole(&record(&[("LOCK", 1)]), &[]), "no file of a collection"),
            (whole(&record(&[("log-1.qlog", 1)]), &[]), "no file of a collection"),
            (whole(&record(&[("CURRENT", 1), ("CURRENT", 1)]), &[]), "named twice"),
            (whole(&current, &[("../x", plain, b"x")]), "not among its files"),
            (whole(&current, &[("CURRENT", link, b"")]), "no plain file"),
            (whole(&current, &[("CURRENT", tar::EntryType::GNULongName, b"x")]), "no plain file"),
            (whole(&current, &[("CURRENT", tar::EntryType::Directory, b"")]), "no plain file"),
            (whole(&current, &[("CURRENT", plain, b"short")]), "7 were expected"),
            (whole(&current, &[("CURRENT", plain, &b"current"[..]); 2]), "comes twice"),
            (whole(&current, &[("CURRENT", plain, b"current")]), "ends without"),
            (whole(&current, &[(SUMS, plain, b"")]), "`CURRENT` is missing"),
            (
                whole(&current, &[("CURRENT", plain, b"current"), (SUMS, plain, b"")]),
                "one line for each",
            ),
            (
                whole(&current, &[("CURRENT", plain, b"current"), (SUMS, plain, b"0  x\n")]),
                "did not come",
            ),
        ] {
            let error = unpacked(&archive).unwrap_err();
            assert!(error.contains(said), "{error} lacks {said}");
        }
        let mut more = good();
        more.truncate(more.len() - 1024);
        more.extend(archive(&[("CURRENT", plain, b"current")]));
        assert!(unpacked(&more).unwrap_err().contains("goes on"));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

        /// Where one byte of what is read differs, or the archive ends early, it is refused; at least never taken for another.
        #[test]
        fn damage_is_found(at in 0usize..8192, by in 1u8..=255, cut in any::<bool>()) {
            let whole = good();
            let at = at % whole.len();
            let mut spoilt = whole.clone();
            if cut { spoilt.truncate(at) } else { spoilt[at] ^= by }
            if let Ok(read) = unpacked(&spoilt) {
                // Padding, and the blocks of zeros at the end, say nothing.
                prop_assert_eq!(read, unpacked(&whole).unwrap());
            }
        }

        #[test]
        fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
            prop_assert!(unpacked(&bytes).is_err());
        }
    }
}
