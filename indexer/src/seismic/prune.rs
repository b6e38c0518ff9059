//! Static pruning: chooses the postings that the lists keep.
//!
//! 1. a global level: the highest one that at least `n_postings` x dimension postings reach
//! 2. in addition, each document's `min_per_document` heaviest postings
//! 3. each list keeps at most `n_postings` x `max_fraction` postings: the heaviest

use std::ops::Range;

use quarry_index::forward::{ForwardIndex, Record};
use quarry_index::seismic::SeismicParams;

use crate::BuildError;

/// A posting during the build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Posting {
    pub(crate) doc: u32,
    pub(crate) level: u16,
}

/// The pruning threshold, and how many postings each list will gather.
#[derive(Debug)]
pub(crate) struct Pruning {
    level: u16,
    heaviest: usize,
    counts: Vec<u32>,
    cap: usize,
}

impl Pruning {
    /// Chooses the threshold. Cost: two scans over all weights.
    pub(crate) fn choose(
        forward: &ForwardIndex,
        params: &SeismicParams,
    ) -> Result<Self, BuildError> {
        let mut histogram = vec![0u64; 1 << 16];
        forward.scan::<BuildError>(|_, record| {
            for (_, level) in record.iter() {
                histogram[usize::from(level)] += 1;
            }
            Ok(())
        })?;
        let target = u64::from(params.n_postings) * u64::from(forward.meta().dimension);
        let mut reached = 0;
        let mut level = 0;
        for (at, count) in (0..=u16::MAX).zip(&histogram).rev() {
            reached += count;
            level = at;
            if reached >= target {
                break;
            }
        }
        let heaviest = params.min_per_document as usize;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a count, at least n_postings"
        )]
        let cap = (f64::from(params.n_postings) * f64::from(params.max_fraction)) as usize;
        let mut counts = vec![0u32; forward.meta().dimension as usize];
        forward.scan::<BuildError>(|_, record| {
            let floor = floor_of(&record, level, heaviest);
            for (term, level) in record.iter() {
                if level >= floor {
                    counts[term as usize] += 1;
                }
            }
            Ok(())
        })?;
        Ok(Self { level, heaviest, counts, cap: cap.max(1) })
    }

    /// Number of postings that will be gathered, before lists are capped.
    pub(crate) fn kept(&self) -> u64 {
        self.counts.iter().map(|c| u64::from(*c)).sum()
    }

    /// Consecutive ranges of terms that gather at most `most` postings each (or one term).
    pub(crate) fn ranges(&self, most: u64) -> Vec<Range<u32>> {
        let mut out = Vec::new();
        let (mut start, mut sum) = (0u32, 0u64);
        for (term, count) in (0u32..).zip(&self.counts) {
            if sum > 0 && sum + u64::from(*count) > most {
                out.push(start..term);
                (start, sum) = (term, 0);
            }
            sum += u64::from(*count);
        }
        let end = u32::try_from(self.counts.len()).unwrap_or(u32::MAX);
        if start < end {
            out.push(start..end);
        }
        out
    }

    /// The kept postings of a range of terms, by term; documents ascending.
    pub(crate) fn gather(
        &self,
        forward: &ForwardIndex,
        range: Range<u32>,
    ) -> Result<Vec<Vec<Posting>>, BuildError> {
        let span = range.start as usize..range.end as usize;
        let mut lists: Vec<Vec<Posting>> =
            self.counts[span].iter().map(|c| Vec::with_capacity(*c as usize)).collect();
        forward.scan::<BuildError>(|doc, record| {
            let floor = floor_of(&record, self.level, self.heaviest);
            for (term, level) in record.iter() {
                if level >= floor && range.contains(&term) {
                    lists[(term - range.start) as usize].push(Posting { doc: doc.0, level });
                }
            }
            Ok(())
        })?;
        for list in &mut lists {
            if list.len() > self.cap {
                list.select_nth_unstable_by(self.cap, |a, b| {
                    b.level.cmp(&a.level).then(a.doc.cmp(&b.doc))
                });
                list.truncate(self.cap);
                list.shrink_to_fit();
                list.sort_unstable_by_key(|p| p.doc);
            }
        }
        Ok(lists)
    }
}

/// The level that a posting of this document must reach: the global level, or the document's
/// `heaviest`-th largest level if that is lower. Level 0 does not occur, so an empty document keeps none.
fn floor_of(record: &Record<'_>, global: u16, heaviest: usize) -> u16 {
    if heaviest == 0 {
        return global;
    }
    if record.len() <= heaviest {
        return 0;
    }
    let reaching = record.iter().filter(|(_, level)| *level >= global).count();
    if reaching >= heaviest {
        return global;
    }
    let mut levels: Vec<u16> = record.iter().map(|(_, level)| level).collect();
    let (_, nth, _) = levels.select_nth_unstable_by(heaviest - 1, |a, b| b.cmp(a));
    (*nth).min(global)
}
