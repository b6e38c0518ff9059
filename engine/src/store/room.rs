//! What is free of disk and memory, and what is too little.

use std::fmt;

/// What a floor is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// The disk of the store's folder.
    Disk,
    /// Memory.
    Memory,
}

impl Resource {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Disk => "disk",
            Self::Memory => "memory",
        }
    }
}

/// There is less of a resource than its floor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Low {
    /// Of what.
    pub resource: Resource,
    /// Bytes that are free.
    pub free: u64,
    /// The floor, in bytes.
    pub least: u64,
}

impl fmt::Display for Low {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { resource, free, least } = self;
        let name = resource.name();
        write!(f, "{free} bytes of {name} are free, and the floor is {least}")
    }
}

/// What is free, and the floors; `None` where it cannot be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Room {
    /// Free bytes of the disk.
    pub disk: Option<u64>,
    /// Free bytes of memory.
    pub memory: Option<u64>,
    /// The floor of the disk.
    pub least_disk: u64,
    /// The floor of memory.
    pub least_memory: u64,
}

impl Room {
    /// The first floor that is not kept.
    #[must_use]
    pub fn low(&self) -> Option<Low> {
        let below = |resource, free: Option<u64>, least| {
            free.filter(|free| *free < least).map(|free| Low { resource, free, least })
        };
        below(Resource::Disk, self.disk, self.least_disk)
            .or_else(|| below(Resource::Memory, self.memory, self.least_memory))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic fails the test")]
mod tests {
    use super::*;

    #[test]
    fn the_first_floor_that_is_not_kept_is_told() {
        let room = Room { disk: Some(10), memory: Some(5), least_disk: 10, least_memory: 5 };
        assert_eq!(room.low(), None);
        let low = Room { least_memory: 6, ..room }.low().unwrap();
        assert_eq!(low.to_string(), "5 bytes of memory are free, and the floor is 6");
        let low = Room { least_memory: 6, disk: Some(9), ..room }.low().unwrap();
        assert_eq!((low.resource, low.free), (Resource::Disk, 9));
        assert_eq!(Room { least_disk: 1, ..Room::default() }.low(), None);
    }
}
