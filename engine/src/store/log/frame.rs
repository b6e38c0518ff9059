//! The bytes of a log file: a head, then frames, each one group of operations that was written at once.
//!
//! ```text
//! head   64 bytes: magic, version u32, 0 u32, index uuid, number of the first operation u64, zeros, XXH3-64
//! frame  48 bytes: magic, bytes of JSON u64, number of the first operation u64, operations u32, 0 u32,
//!        bytes of the file that were synced before u64, XXH3-64 of these 40 bytes and the JSON; then the JSON
//! ```
//!
//! A frame that is not whole is the end of the file if a crash can have left it so ([`torn`]), and nothing says that it was
//! synced. Otherwise the file is damaged.
//!
//! What a crash leaves: the file is only appended to, so of what was not synced each sector has its bytes, or the file ends
//! before it, or it reads as zeros. JSON has no byte 0. So a frame that is all there and has no zeros where its JSON lies was
//! not torn but changed, even if it is the last. A file system that shows other bytes after a power cut (ext4 with
//! `data=writeback`) makes a torn end look like damage; then it is refused rather than dropped.

use std::ops::Range;

use uuid::Uuid;
use xxhash_rust::xxh3::{Xxh3Default, xxh3_64};

/// Bytes of a file's head.
pub(super) const HEAD: usize = 64;
const HEAD_MAGIC: [u8; 8] = *b"QUARRYLG";
/// Version written. 1 had no keys of requests.
const VERSION: u32 = 2;
const OLDEST: u32 = 1;
const FRAME: usize = 48;
/// Least bytes that a disk writes at once.
const SECTOR: usize = 512;
const FRAME_MAGIC: [u8; 8] = *b"QRYFRAME";

/// The head of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) index: Uuid,
    /// Number of the first operation.
    pub(super) first: u64,
}

impl Head {
    pub(super) fn bytes(self) -> [u8; HEAD] {
        let mut bytes = [0; HEAD];
        bytes[..8].copy_from_slice(&HEAD_MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[16..32].copy_from_slice(self.index.as_bytes());
        bytes[32..40].copy_from_slice(&self.first.to_le_bytes());
        let sum = xxh3_64(&bytes[..56]);
        bytes[56..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Reads it from the beginning of a file, or says what is wrong.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        let head = bytes.get(..HEAD).ok_or("it ends within its head")?;
        if head[..8] != HEAD_MAGIC {
            return Err("it does not begin as a log does".to_owned());
        }
        if number(head, 56) != xxh3_64(&head[..56]) {
            return Err("its head does not have its checksum".to_owned());
        }
        let version = number(head, 8) & u64::from(u32::MAX);
        if !(u64::from(OLDEST)..=u64::from(VERSION)).contains(&version) {
            let known = format!("{OLDEST} to {VERSION}");
            return Err(format!("it has version {version}, and this quarry reads {known}"));
        }
        let mut index = [0; 16];
        index.copy_from_slice(&head[16..32]);
        Ok(Self { index: Uuid::from_bytes(index), first: number(head, 32) })
    }
}

/// What a frame's head says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    /// Number of its first operation.
    pub(super) first: u64,
    /// Number of its operations.
    pub(super) count: u32,
    /// Bytes of the file that were synced before it was written.
    pub(super) synced: u64,
}

impl Frame {
    /// The frame with its operations.
    pub(super) fn bytes(self, json: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(FRAME + json.len());
        bytes.extend_from_slice(&FRAME_MAGIC);
        bytes.extend_from_slice(&(json.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&self.first.to_le_bytes());
        bytes.extend_from_slice(&self.count.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&self.synced.to_le_bytes());
        let sum = checksum(&bytes, json);
        bytes.extend_from_slice(&sum.to_le_bytes());
        bytes.extend_from_slice(json);
        bytes
    }

    /// The whole frame at `at`, and where its operations lie.
    fn at(bytes: &[u8], at: usize) -> Option<(Self, Range<usize>)> {
        let head = bytes.get(at..at.checked_add(FRAME)?)?;
        if head[..8] != FRAME_MAGIC {
            return None;
        }
        let length = usize::try_from(number(head, 8)).ok()?;
        let json = at + FRAME..(at + FRAME).checked_add(length)?;
        if checksum(&head[..40], bytes.get(json.clone())?) != number(head, 40) {
            return None;
        }
        let count = u32::try_from(number(head, 24) & u64::from(u32::MAX)).ok()?;
        Some((Self { first: number(head, 16), count, synced: number(head, 32) }, json))
    }
}

/// The whole frames of a file, in order.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frames {
    pub(super) frames: Vec<(Frame, Range<usize>)>,
    /// Where the last of them ends.
    pub(super) end: usize,
}

/// Reads the frames of a file; `Err` is the place of a damaged one.
pub(super) fn frames(bytes: &[u8]) -> Result<Frames, usize> {
    let (mut frames, mut end) = (Vec::new(), HEAD);
    while let Some((frame, json)) = Frame::at(bytes, end) {
        end = json.end;
        frames.push((frame, json));
    }
    let known = |frame: &Frame| frame.synced > end as u64;
    let behind = || {
        let starts = bytes.get(end..).unwrap_or_default().windows(FRAME_MAGIC.len()).enumerate();
        let starts = starts.filter(|(_, window)| *window == FRAME_MAGIC);
        starts.filter_map(|(start, _)| Frame::at(bytes, end + start))
    };
    let rest = bytes.get(end..).unwrap_or_default();
    match !rest.is_empty() && (behind().any(|(frame, _)| known(&frame)) || !torn(rest)) {
        true => Err(end),
        false => Ok(Frames { frames, end }),
    }
}

/// Whether a crash can have left what stands in the place of a frame, which is not whole.
fn torn(rest: &[u8]) -> bool {
    // It ends within the head, or the head's sector was lost.
    if rest.len() < FRAME || rest[..8] == [0; 8] {
        return true;
    }
    let json = &rest[FRAME..];
    let next =
        (1..json.len()).find(|at| json[*at..].starts_with(&FRAME_MAGIC) && json[at - 1] == b']');
    let json = json.get(..next.unwrap_or(json.len())).unwrap_or_default();
    if rest[..8] != FRAME_MAGIC {
        return lost(json);
    }
    match usize::try_from(number(rest, 8)).ok().and_then(|length| json.get(..length)) {
        Some(json) if !json.is_empty() => lost(json),
        // It is cut, or the length is wrong; what was cut is no JSON.
        _ => lost(json) || serde_json::from_slice::<serde::de::IgnoredAny>(json).is_err(),
    }
}

/// Whether a JSON lacks sectors.
fn lost(json: &[u8]) -> bool {
    let ends = [json.first(), json.last()];
    ends.contains(&Some(&0)) || json.split(|byte| *byte != 0).any(|zeros| zeros.len() >= SECTOR)
}

fn checksum(head: &[u8], json: &[u8]) -> u64 {
    let mut hash = Xxh3Default::new();
    hash.update(head);
    hash.update(json);
    hash.digest()
}

/// Eight bytes at `at`, which the caller has.
fn number(bytes: &[u8], at: usize) -> u64 {
    let mut eight = [0; 8];
    let from = bytes.get(at..).unwrap_or_default();
    let n = from.len().min(8);
    eight[..n].copy_from_slice(&from[..n]);
    u64::from_le_bytes(eight)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic fails the test")]
mod tests {
    use super::*;

    fn file(synced: [u64; 3]) -> (Vec<u8>, Vec<usize>) {
        let mut bytes = Head { index: Uuid::nil(), first: 5 }.bytes().to_vec();
        let mut ends = Vec::new();
        for (at, synced) in (0..).zip(synced) {
            let frame = Frame { first: 5 + 2 * at, count: 2, synced };
            bytes.extend(frame.bytes(format!("[{at},{at}]").as_bytes()));
            ends.push(bytes.len());
        }
        (bytes, ends)
    }

    #[test]
    fn whole_files_cut_files_and_damage() {
        let (bytes, ends) = file([64, 64, 64]);
        assert_eq!(Head::read(&bytes), Ok(Head { index: Uuid::nil(), first: 5 }));
        let read = frames(&bytes).unwrap();
        assert_eq!(read.frames.iter().map(|f| f.0.first).collect::<Vec<_>>(), [5, 7, 9]);
        assert_eq!(&bytes[read.frames[1].1.clone()], b"[1,1]");
        // Cut anywhere, the whole frames before stay.
        for cut in HEAD..bytes.len() {
            let read = frames(&bytes[..cut]).unwrap();
            assert_eq!(read.frames.len(), ends.iter().filter(|end| **end <= cut).count(), "{cut}");
        }
        // Any sector of what was not synced may be lost, with all behind it or alone.
        for from in HEAD..bytes.len() {
            for to in [bytes.len(), (from + 64).min(bytes.len())] {
                let mut bytes = bytes.clone();
                bytes[from..to].fill(0);
                let read = frames(&bytes).unwrap();
                let whole = ends.iter().filter(|end| **end <= from).count();
                assert_eq!(read.frames.len(), whole, "{from}..{to}");
            }
        }
        // A bit that changed is damage, also in the last frame, wherever it lies.
        for at in HEAD..bytes.len() {
            for bit in 0..8 {
                let mut bytes = bytes.clone();
                bytes[at] ^= 1 << bit;
                let begin = ends.iter().rev().find(|end| **end <= at).copied().unwrap_or(HEAD);
                assert_eq!(frames(&bytes), Err(begin), "bit {bit} of byte {at}");
            }
        }
        // The third frame says that the first two were synced, the second that the first was.
        let (bytes, ends) = file([64, 0, 0]);
        let (mut whole, _) = file([64, ends[0] as u64, ends[1] as u64]);
        assert_eq!(bytes.len(), whole.len());
        assert_eq!(frames(&whole).unwrap().frames.len(), 3);
        whole[ends[0] + 50] ^= 1;
        assert_eq!(frames(&whole), Err(ends[0]));
        whole[ends[0] + 50] ^= 1;
        whole[HEAD + 9] ^= 1;
        assert_eq!(frames(&whole), Err(HEAD));
        whole[HEAD + 9] ^= 1;
        whole[ends[1]..].fill(0);
        assert_eq!(frames(&whole).unwrap().frames.len(), 2);
        // Zeros at the end, as a power cut leaves them.
        let (mut bytes, _) = file([64, 64, 64]);
        bytes.resize(bytes.len() + 4096, 0);
        assert_eq!(frames(&bytes).unwrap().frames.len(), 3);
    }

    #[test]
    fn heads_of_others() {
        let bytes = Head { index: Uuid::max(), first: 1 }.bytes();
        for at in 0..HEAD {
            let mut bytes = bytes;
            bytes[at] ^= 1;
            assert!(Head::read(&bytes).is_err(), "{at}");
        }
        assert!(Head::read(&bytes[..63]).is_err());
        assert!(Head::read(b"").is_err());
    }
}
