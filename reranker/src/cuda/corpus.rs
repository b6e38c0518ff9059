//! Token embeddings in device memory: as many of the first documents as fit, whole.
//!
//! A form's rows go up through two pinned buffers, so that reading the file and the copy overlap.
//! What lies outside is scored on the CPU by whoever asks.

use std::ops::Range;
use std::sync::Arc;

use quarry_index::tokens::Int8Rows;
use rayon::prelude::*;

use super::CudaError;
use super::driver::Gpu;
use super::memory::{DeviceBuffer, HostBuffer};
use super::stream::Stream;

/// Bytes of a pinned buffer of the upload.
const STEP: usize = 32 << 20;
/// Device memory left to queries, scores and the driver: a part of the free memory, and at least this.
const LEAST_SPARE: usize = 256 << 20;
const SPARE_PART: usize = 20;

/// Rows on the host: all documents of an index.
#[derive(Debug, Clone, Copy)]
pub struct HostRows<'a> {
    /// Row numbers where documents begin, and the number of rows at the end.
    pub starts: &'a [u64],
    /// Dimensions of a stored row.
    pub stride: usize,
    /// Rows in int8.
    pub int8: Option<Int8Rows<'a>>,
    /// Rows in half precision.
    pub fp16: Option<&'a [u16]>,
}

/// How rows are scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// One byte a dimension.
    Int8,
    /// Half precision.
    Fp16,
}

impl Kind {
    /// As kernels are called.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Int8 => "i8",
            Self::Fp16 => "f16",
        }
    }

    /// As the index calls such rows.
    #[must_use]
    pub fn form(self) -> &'static str {
        match self {
            Self::Int8 => "int8",
            Self::Fp16 => "fp16",
        }
    }

    /// Bytes of a row.
    #[must_use]
    pub fn row_bytes(self, stride: usize) -> usize {
        match self {
            Self::Int8 => stride,
            Self::Fp16 => 2 * stride,
        }
    }

    /// Whether there are kernels for rows of `stride` dimensions.
    ///
    /// # Errors
    /// When there are not.
    pub fn supports(self, stride: usize) -> Result<(), CudaError> {
        let known = match self {
            Self::Int8 => [32, 64, 96, 128, 256].contains(&stride),
            Self::Fp16 => [32, 64, 96, 128].contains(&stride),
        };
        if known { Ok(()) } else { Err(CudaError::Unsupported { form: self.form(), stride }) }
    }
}

/// One form's rows of the first documents.
#[derive(Debug)]
pub struct Resident {
    /// The documents whose rows are here: those before this number.
    pub documents: usize,
    pub(super) rows: DeviceBuffer,
    /// Int8 only.
    pub(super) scales: Option<DeviceBuffer>,
    pub(super) errors: Option<DeviceBuffer>,
}

/// Token embeddings on a device.
#[derive(Debug)]
pub struct Corpus {
    pub(super) gpu: Arc<Gpu>,
    pub(super) starts: DeviceBuffer,
    /// Row numbers of resident documents, on the host.
    pub(super) host_starts: Vec<u64>,
    pub(super) stride: usize,
    documents: usize,
    int8: Option<Resident>,
    fp16: Option<Resident>,
}

impl Corpus {
    /// Copies as much as `budget` bytes allow (`None`: what is free, less a reserve): int8 first.
    /// Segments follow one another; a form is taken when all have it. Where the device refuses memory
    /// that it called free, fewer documents go up, and a line of the log says so.
    ///
    /// # Errors
    /// When there is no kernel for the rows, or the device fails.
    pub fn upload(
        gpu: &Arc<Gpu>,
        segments: &[HostRows<'_>],
        budget: Option<usize>,
    ) -> Result<Self, CudaError> {
        let stride = segments.first().map_or(0, |s| s.stride);
        if segments.iter().any(|s| s.stride != stride) {
            return Err(CudaError::NotResident("segments have rows of different lengths"));
        }
        let mut starts = vec![0u64];
        for segment in segments {
            let base = starts[starts.len() - 1];
            starts.extend(segment.starts.iter().skip(1).map(|s| base + s));
        }
        let documents = starts.len() - 1;
        let free = gpu.memory()?.free;
        let spare = LEAST_SPARE.max(free / SPARE_PART);
        let mut left = budget.unwrap_or(usize::MAX).min(free.saturating_sub(spare));
        let starts_bytes = size_of_val(&starts[..]);
        left = left.saturating_sub(starts_bytes);
        let device_starts = DeviceBuffer::new(gpu, starts_bytes)?;
        let mut uploader = Uploader::new(gpu)?;
        uploader.upload(&device_starts, 0, bytemuck::cast_slice(&starts))?;

        let mut form = |kind: Kind, parts: &[(usize, Vec<&[u8]>)]| -> Result<Resident, CudaError> {
            kind.supports(stride)?;
            let each: usize = parts.iter().map(|(bytes, _)| bytes).sum();
            let (documents, buffers) = loop {
                let documents = fitting_documents(&starts, each, left);
                let tokens = usize::try_from(starts[documents]).unwrap_or(0);
                let buffers: Result<Vec<_>, CudaError> =
                    parts.iter().map(|(bytes, _)| DeviceBuffer::new(gpu, tokens * bytes)).collect();
                match buffers {
                    Err(why @ CudaError::Memory { .. }) if documents > 0 => {
                        left = tokens * each / 4 * 3;
                        tracing::warn!("{why}; fewer documents' {} rows go up", kind.form());
                    }
                    other => {
                        left = left.saturating_sub(tokens * each);
                        break (documents, other?);
                    }
                }
            };
            let tokens = usize::try_from(starts[documents]).unwrap_or(0);
            for (buffer, (bytes, pieces)) in buffers.iter().zip(parts) {
                let mut at = 0;
                for piece in pieces {
                    let take = piece.len().min(tokens * bytes - at);
                    uploader.upload(buffer, at, &piece[..take])?;
                    at += take;
                }
            }
            let mut buffers = buffers.into_iter();
            let rows = buffers.next().ok_or(CudaError::NotResident("no rows were given"))?;
            Ok(Resident { documents, rows, scales: buffers.next(), errors: buffers.next() })
        };
        let int8: Option<Vec<_>> = segments.iter().map(|s| s.int8).collect();
        let int8 = match int8.filter(|all| !all.is_empty()) {
            Some(all) => Some(form(
                Kind::Int8,
                &[
                    (stride, all.iter().map(|r| bytemuck::cast_slice(r.rows)).collect()),
                    (4, all.iter().map(|r| bytemuck::cast_slice(r.scales)).collect()),
                    (4, all.iter().map(|r| bytemuck::cast_slice(r.errors)).collect()),
                ],
            )?),
            None => None,
        };
        let fp16: Option<Vec<_>> = segments.iter().map(|s| s.fp16).collect();
        let fp16 = match fp16.filter(|all| !all.is_empty()) {
            Some(all) => {
                let pieces = all.iter().map(|r| bytemuck::cast_slice(r)).collect();
                match form(Kind::Fp16, &[(2 * stride, pieces)]) {
                    Err(CudaError::Unsupported { .. }) if int8.is_some() => None,
                    other => Some(other?),
                }
            }
            None => None,
        };
        uploader.finish()?;
        Ok(Self {
            gpu: Arc::clone(gpu),
            starts: device_starts,
            host_starts: starts,
            stride,
            documents,
            int8,
            fp16,
        })
    }

    /// Documents of the index, resident or not.
    #[must_use]
    pub fn documents(&self) -> usize {
        self.documents
    }

    /// Dimensions of a stored row.
    #[must_use]
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// The device.
    #[must_use]
    pub fn gpu(&self) -> &Arc<Gpu> {
        &self.gpu
    }

    /// Rows of resident documents `documents`.
    #[must_use]
    pub fn tokens(&self, documents: Range<usize>) -> u64 {
        self.host_starts[documents.end] - self.host_starts[documents.start]
    }

    /// A form's rows, when any are here.
    #[must_use]
    pub fn resident(&self, kind: Kind) -> Option<&Resident> {
        match kind {
            Kind::Int8 => self.int8.as_ref(),
            Kind::Fp16 => self.fp16.as_ref(),
        }
    }
}

/// How many of the first documents have at most `budget` bytes, at `each` bytes a row.
fn fitting_documents(starts: &[u64], each: usize, budget: usize) -> usize {
    let most = budget / each.max(1);
    starts.partition_point(|s| usize::try_from(*s).is_ok_and(|s| s <= most)).saturating_sub(1)
}

/// Copies slices of host memory to the device through two pinned buffers.
struct Uploader {
    lanes: [(Stream, HostBuffer); 2],
    next: usize,
}

impl Uploader {
    fn new(gpu: &Arc<Gpu>) -> Result<Self, CudaError> {
        let lane = || Ok((Stream::new(gpu)?, HostBuffer::new(gpu, STEP)?));
        Ok(Self { lanes: [lane()?, lane()?], next: 0 })
    }

    fn upload(&mut self, to: &DeviceBuffer, at: usize, from: &[u8]) -> Result<(), CudaError> {
        for (i, piece) in from.chunks(STEP).enumerate() {
            let (stream, buffer) = &mut self.lanes[self.next];
            self.next = 1 - self.next;
            stream.wait()?;
            let target = &mut buffer.bytes_mut()[..piece.len()];
            target.par_chunks_mut(1 << 20).zip(piece.par_chunks(1 << 20)).for_each(|(to, from)| {
                to.copy_from_slice(from);
            });
            stream.upload(to, at + i * STEP, buffer, piece.len())?;
        }
        Ok(())
    }

    fn finish(&self) -> Result<(), CudaError> {
        self.lanes.iter().try_for_each(|(stream, _)| stream.wait())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_documents_fit() {
        let starts = [0, 3, 3, 10, 12];
        assert_eq!(fitting_documents(&starts, 4, 0), 0);
        assert_eq!(fitting_documents(&starts, 4, 12), 2);
        assert_eq!(fitting_documents(&starts, 4, 39), 2);
        assert_eq!(fitting_documents(&starts, 4, 40), 3);
        assert_eq!(fitting_documents(&starts, 4, usize::MAX), 4);
    }
}
