//! Floors of free disk and memory: below them a store takes no more documents, and all else goes on.
//!
//! 1. free bytes are measured when a change asks, at most ten times a second  2. below a floor, changes that add are
//!    refused, and segments are not merged; searches, deletions and sealing go on, with the room that the floor keeps free
//! 3. it ends by itself with the first measurement above
//!
//! Free memory is what the system could give without swapping, or what the limits of the control groups leave, where that is
//! less. Cached files count as free there: they are given back.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::StoreError;
use super::room::{Resource, Room};

/// Time for which a measurement holds.
const HOLDS: Duration = Duration::from_millis(100);
/// The default floor of the disk: this, or this part of the disk if that is less.
const DISK: (u64, u64) = (1 << 30, 20);
/// The default floor of memory: this, or this part of it if that is less.
const MEMORY: (u64, u64) = (128 << 20, 50);

/// The floors of a store.
#[derive(Debug)]
pub(super) struct Floors {
    folder: PathBuf,
    least_disk: u64,
    least_memory: u64,
    measured: Mutex<Option<(Instant, Room)>>,
}

impl Floors {
    /// Floors for a store in `folder`; what is `None` is set by the size of the disk and of memory.
    pub(super) fn new(folder: &Path, disk: Option<u64>, memory: Option<u64>) -> Self {
        let of =
            |all: Option<u64>, (most, part): (u64, u64)| all.map_or(0, |all| most.min(all / part));
        let whole_disk = || fs4::total_space(folder).ok();
        Self {
            folder: folder.to_owned(),
            least_disk: disk.unwrap_or_else(|| of(whole_disk(), DISK)),
            least_memory: memory.unwrap_or_else(|| of(memory::total(), MEMORY)),
            measured: Mutex::default(),
        }
    }

    /// What is free now, or was a moment ago.
    pub(super) fn room(&self) -> Room {
        let mut measured = self.measured.lock().unwrap_or_else(PoisonError::into_inner);
        match *measured {
            Some((at, room)) if at.elapsed() < HOLDS => room,
            _ => {
                let room = Room {
                    disk: fs4::available_space(&self.folder).ok(),
                    memory: memory::available(),
                    least_disk: self.least_disk,
                    least_memory: self.least_memory,
                };
                *measured = Some((Instant::now(), room));
                room
            }
        }
    }

    /// Refuses what adds while a floor is not kept.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        self.room().low().map_or(Ok(()), |low| Err(StoreError::Low(low)))
    }

    /// Whether there is room for files that others will replace.
    pub(super) fn has_room_to_merge(&self) -> bool {
        self.room().low().is_none_or(|low| low.resource != Resource::Disk)
    }
}

/// Memory that is free, as the system and its control groups say.
mod memory {
    use super::{Path, PathBuf, fs};

    const GROUPS: &str = "/sys/fs/cgroup";

    /// Bytes that can be had.
    pub(super) fn available() -> Option<u64> {
        least(of_system("MemAvailable:"), groups(|limit, used| limit.saturating_sub(used)))
    }

    /// Bytes that there are in all.
    pub(super) fn total() -> Option<u64> {
        least(of_system("MemTotal:"), groups(|limit, _| limit))
    }

    fn least(one: Option<u64>, other: Option<u64>) -> Option<u64> {
        one.into_iter().chain(other).min()
    }

    fn of_system(name: &str) -> Option<u64> {
        line(&fs::read_to_string("/proc/meminfo").ok()?, name)?.checked_mul(1 << 10)
    }

    /// The least of the process's control group and those above it.
    fn groups(of: impl Fn(u64, u64) -> u64) -> Option<u64> {
        let named = fs::read_to_string("/proc/self/cgroup").ok()?;
        let mut least = None;
        for line in named.lines() {
            let mut parts = line.splitn(3, ':').skip(1);
            let (kinds, path) = (parts.next()?, parts.next()?);
            let version_two = kinds.is_empty();
            let root = match version_two {
                true => PathBuf::from(GROUPS),
                false if kinds.split(',').any(|kind| kind == "memory") => {
                    Path::new(GROUPS).join("memory")
                }
                false => continue,
            };
            let own = root.join(path.trim_start_matches('/'));
            // In a container the path may be that of the machine outside, and only the root is there.
            for group in own.ancestors().take_while(|group| group.starts_with(&root)) {
                let free = group_of(group, version_two).map(|(limit, used)| of(limit, used));
                least = least.into_iter().chain(free).min();
            }
        }
        least
    }

    /// The limit of a group, and what is used of it but for files that can be given back.
    fn group_of(group: &Path, version_two: bool) -> Option<(u64, u64)> {
        let (limit, used, inactive, active) = match version_two {
            true => ("memory.max", "memory.current", "inactive_file", "active_file"),
            false => (
                "memory.limit_in_bytes",
                "memory.usage_in_bytes",
                "total_inactive_file",
                "total_active_file",
            ),
        };
        let number = |name: &str| -> Option<u64> {
            fs::read_to_string(group.join(name)).ok()?.trim().parse().ok()
        };
        // `max`, which is none, is no number.
        let limit = number(limit)?;
        let stat = fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
        let cached =
            line(&stat, inactive).unwrap_or(0).saturating_add(line(&stat, active).unwrap_or(0));
        Some((limit, number(used)?.saturating_sub(cached)))
    }

    /// The number behind a name that begins a line.
    fn line(text: &str, name: &str) -> Option<u64> {
        let mut lines = text.lines().map(str::split_whitespace);
        lines.find_map(|mut words| (words.next()? == name).then(|| words.next()?.parse().ok())?)
    }

    #[cfg(test)]
    #[allow(clippy::unwrap_used, reason = "a panic fails the test")]
    mod tests {
        use super::*;

        #[test]
        fn cached_files_are_free() {
            let group = tempfile::tempdir().unwrap();
            let write = |name: &str, text: &str| fs::write(group.path().join(name), text).unwrap();
            assert_eq!(group_of(group.path(), true), None);
            write("memory.max", "max\n");
            write("memory.current", "900\n");
            assert_eq!(group_of(group.path(), true), None);
            write("memory.max", "1000\n");
            assert_eq!(group_of(group.path(), true), Some((1000, 900)));
            write("memory.stat", "anon 100\nactive_file 300\ninactive_file 400\nfile 800\n");
            assert_eq!(group_of(group.path(), true), Some((1000, 200)));
            write("memory.limit_in_bytes", "50");
            write("memory.usage_in_bytes", "40");
            assert_eq!(group_of(group.path(), false), Some((50, 40)));
            assert_eq!(line("MemTotal:       32 kB\nMemFree: 7 kB\n", "MemFree:"), Some(7));
        }

        #[test]
        #[cfg(target_os = "linux")]
        fn this_machine_has_memory() {
            let (free, all) = (available().unwrap(), total().unwrap());
            assert!(0 < free && free <= all, "{free} {all}");
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic fails the test")]
mod tests {
    use super::super::room::Low;
    use super::*;

    #[test]
    fn floors_follow_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let floors = Floors::new(folder.path(), None, None);
        assert!(floors.least_disk <= 1 << 30);
        let floors = Floors::new(folder.path(), Some(u64::MAX), Some(0));
        assert!(matches!(
            floors.check(),
            Err(StoreError::Low(Low { resource: Resource::Disk, .. }))
        ));
        assert!(!floors.has_room_to_merge());
        // A new measurement is another answer.
        *floors.measured.lock().unwrap() = Some((Instant::now(), Room::default()));
        floors.check().unwrap();
    }
}
