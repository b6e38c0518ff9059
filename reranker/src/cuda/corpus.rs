//! Token embeddings in device memory: as many of the first documents as fit, whole.
//!
//! A form's rows go up through two pinned buffers, so that reading the file and the copy overlap.
//! What lies outside is scored on the processor by whoever asks.

use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;

use super::CudaError;
use super::driver::{DeviceBuffer, Gpu, HostBuffer, Stream};

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
    /// Rows in int8, a scale and an error bound each.
    pub int8: Option<(&'a [i8], &'a [f32], &'a [f32])>,
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

    /// Bytes of a row.
    #[must_use]
    pub fn row_bytes(self, stride: usize) -> usize {
        match self {
            Self::Int8 => stride,
            Self::Fp16 => 2 * stride,
        }
    }

    /// Whether there are kernels for rows of so many dimensions.
    ///
    /// # Errors
    /// When there are not.
    pub fn supports(self, stride: usize) -> Result<(), CudaError> {
        let known = match self {
            Self::Int8 => [32, 64, 96, 128, 256].contains(&stride),
            Self::Fp16 => [32, 64, 96, 128].contains(&stride),
        };
        let form = if self == Self::Int8 { "int8" } else { "fp16" };
        if known { Ok(()) } else { Err(CudaError::Unsupported { form, stride }) }
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
    ///
    /// # Errors
    /// When there is no kernel for the rows, the device fails, or not even one document fits.
    pub fn upload(gpu: &Arc<Gpu>, rows: HostRows<'_>, budget: Option<usize>) -> Result<Self, CudaError> {
        let documents = rows.starts.len().saturating_sub(1);
        let free = gpu.memory()?.0;
        let spare = LEAST_SPARE.max(free / SPARE_PART);
        let mut left = budget.unwrap_or(usize::MAX).min(free.saturating_sub(spare));
        let starts_bytes = size_of_val(rows.starts);
        left = left.saturating_sub(starts_bytes);
        let starts = DeviceBuffer::new(gpu, starts_bytes)?;
        let mut uploader = Uploader::new(gpu)?;
        uploader.upload(&starts, bytemuck::cast_slice(rows.starts))?;

        let mut form = |kind: Kind, parts: &[&[u8]]| -> Result<Resident, CudaError> {
            kind.supports(rows.stride)?;
            let row = kind.row_bytes(rows.stride);
            let each = if kind == Kind::Int8 { row + 8 } else { row };
            let fitting = fitting_documents(rows.starts, each, left);
            let tokens = usize::try_from(rows.starts[fitting]).unwrap_or(0);
            left -= tokens * each;
            let mut buffers = parts.iter().zip([row, 4, 4]).map(|(part, bytes)| {
                let buffer = DeviceBuffer::new(gpu, tokens * bytes)?;
                uploader.upload(&buffer, &part[..tokens * bytes])?;
                Ok(buffer)
            });
            let rows = buffers.next().unwrap_or(Err(CudaError::NotResident("no rows were given")))?;
            let scales = buffers.next().transpose()?;
            let errors = buffers.next().transpose()?;
            Ok(Resident { documents: fitting, rows, scales, errors })
        };
        let int8 = match rows.int8 {
            Some((values, scales, errors)) => {
                let parts: [&[u8]; 3] = [
                    bytemuck::cast_slice(values),
                    bytemuck::cast_slice(scales),
                    bytemuck::cast_slice(errors),
                ];
                Some(form(Kind::Int8, &parts)?)
            }
            None => None,
        };
        let fp16 = match rows.fp16 {
            Some(values) => match form(Kind::Fp16, &[bytemuck::cast_slice(values)]) {
                Err(CudaError::Unsupported { .. }) if int8.is_some() => None,
                other => Some(other?),
            },
            None => None,
        };
        uploader.finish()?;
        let gpu = Arc::clone(gpu);
        let host_starts = rows.starts.to_vec();
        Ok(Self { gpu, starts, host_starts, stride: rows.stride, documents, int8, fp16 })
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

    fn upload(&mut self, to: &DeviceBuffer, from: &[u8]) -> Result<(), CudaError> {
        for (i, piece) in from.chunks(STEP).enumerate() {
            let (stream, buffer) = &mut self.lanes[self.next];
            self.next = 1 - self.next;
            stream.wait()?;
            let target = &mut buffer.bytes_mut()[..piece.len()];
            target.par_chunks_mut(1 << 20).zip(piece.par_chunks(1 << 20)).for_each(|(to, from)| {
                to.copy_from_slice(from);
            });
            stream.upload(to, i * STEP, buffer, piece.len())?;
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
