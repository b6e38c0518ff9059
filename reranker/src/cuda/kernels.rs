//! The kernels' machine code, embedded: `cuda/build.py` describes the file and makes it.

use super::CudaError;

const PACKED: &[u8] = include_bytes!("../../cuda/kernels.bin.zst");
const MAGIC: &str = "quarry-kernels 1";

/// A device's compute capability.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capability {
    /// The generation, such as 9.
    pub major: i32,
    /// The version within it.
    pub minor: i32,
}

/// The embedded file, unpacked.
#[derive(Debug)]
pub struct Kernels {
    bytes: Vec<u8>,
    sources: String,
    parts: Vec<(String, std::ops::Range<usize>)>,
}

impl Kernels {
    /// Unpacks the embedded file.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn unpack() -> Result<Self, CudaError> {
        Self::read(PACKED)
    }

    /// Unpacks such a file.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn read(packed: &[u8]) -> Result<Self, CudaError> {
        let bad = |what: &str| CudaError::Kernels(what.to_owned());
        let bytes = zstd::decode_all(packed).map_err(|e| CudaError::Kernels(e.to_string()))?;
        let end = bytes.windows(2).position(|w| w == b"\n\n").ok_or_else(|| bad("no head"))? + 2;
        let head = std::str::from_utf8(&bytes[..end]).map_err(|_| bad("head is not text"))?;
        let mut lines = head.lines();
        if lines.next() != Some(MAGIC) {
            return Err(bad("another format"));
        }
        let sources = lines.next().unwrap_or_default().to_owned();
        let mut parts = Vec::new();
        let mut at = end;
        for line in lines.take_while(|l| !l.is_empty()) {
            let (name, length) =
                line.split_once(' ').ok_or_else(|| bad("a part without length"))?;
            let length: usize = length.parse().map_err(|_| bad("a length is not a number"))?;
            let stop = at.checked_add(length).filter(|s| *s <= bytes.len());
            let stop = stop.ok_or_else(|| bad("it ends early"))?;
            parts.push((name.to_owned(), at..stop));
            at = stop;
        }
        Ok(Self { bytes, sources, parts })
    }

    /// SHA-256 of the sources that it was built from.
    #[must_use]
    pub fn sources(&self) -> &str {
        &self.sources
    }

    /// The best code of a source (`gather`, `exhaustive`) for a compute capability: machine code for
    /// it or an earlier minor version, else PTX, which the driver compiles. PTX ends with a zero.
    ///
    /// # Errors
    /// When there is none.
    pub fn image(&self, source: &str, capability: Capability) -> Result<Vec<u8>, CudaError> {
        let Capability { major, minor } = capability;
        let part = |name: String| self.parts.iter().find(|p| p.0 == name).map(|p| p.1.clone());
        let cubin = (0..=minor).rev().find_map(|m| part(format!("{source}.sm_{major}{m}")));
        if let Some(range) = cubin {
            return Ok(self.bytes[range].to_vec());
        }
        let ptx = part(format!("{source}.ptx_80"))
            .ok_or_else(|| CudaError::Kernels(format!("nothing for sm_{major}{minor}")))?;
        let mut image = self.bytes[ptx].to_vec();
        image.push(0);
        Ok(image)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::fmt::Write;
    use std::path::Path;

    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn embedded_kernels_are_built_from_the_sources_beside_them() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cuda");
        let mut sources: Vec<_> = std::fs::read_dir(&folder)
            .unwrap()
            .map(|e| e.unwrap().path())
            .filter(|p| p.extension().is_some_and(|e| e == "cu" || e == "cuh"))
            .collect();
        sources.sort();
        let mut digest = Sha256::new();
        for path in &sources {
            let text = std::fs::read(path).unwrap();
            let name = path.file_name().unwrap().to_str().unwrap();
            digest.update(format!("{name} {}\n", text.len()));
            digest.update(text);
        }
        let mut found = String::new();
        for byte in digest.finalize() {
            write!(found, "{byte:02x}").unwrap();
        }
        let kernels = Kernels::unpack().unwrap();
        assert_eq!(kernels.sources(), found, "run reranker/cuda/build.py: the sources changed");
    }

    #[test]
    fn there_is_code_for_every_architecture() {
        let kernels = Kernels::unpack().unwrap();
        let of = |(major, minor)| Capability { major, minor };
        for source in ["gather", "exhaustive"] {
            for capability in
                [(8, 0), (8, 6), (8, 7), (8, 9), (9, 0), (10, 0), (10, 3), (12, 0), (12, 1)]
            {
                let image = kernels.image(source, of(capability)).unwrap();
                assert_eq!(&image[..4], b"\x7fELF", "{source} {capability:?}");
            }
            let later = kernels.image(source, of((13, 0))).unwrap();
            assert!(later.starts_with(b"//") && later.ends_with(&[0]));
        }
    }
}
