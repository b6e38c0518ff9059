//! Micro-clusters: a few similar documents that stand together in the segment's order, each with a
//! summary vector, and impact-ordered lists over the summaries.
//!
//! A cluster is a run of rows. Its summary is the largest level of each term over its documents, cut
//! to the largest components. The lists are laid out as [`crate::impact`] lays out those over
//! documents: its rows are the clusters here. A search adds up the lists' best bands into a sum for
//! each cluster and scores the documents of the best clusters, which lie side by side in the forward
//! index. Blocks shared by all lists with a summary each: Mallia, Suel and Tonellotto, "Faster
//! Learned Sparse Retrieval with Block-Max Pruning", SIGIR 2024.

use std::ops::Range;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::container::{Part, PartWriter, Verify, Written};
use crate::error::IndexError;
use crate::impact::{EncodedList, ImpactLists, ImpactMeta, ImpactWriter, check_rows};
use crate::part::SegmentPart;

/// Name of the part kind.
pub const KIND: &str = "clusters";
/// Version written.
pub const VERSION: u32 = 1;
/// Versions read (end exclusive).
pub(crate) const READABLE: Range<u32> = 1..VERSION + 1;

/// How clusters are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterParams {
    /// Target number of documents per cluster.
    pub size: u32,
    /// Maximum number of components of a summary.
    pub components: u32,
}

/// What the part says of itself, beside the layout of its lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClustersMeta {
    /// How they were made.
    pub params: ClusterParams,
    /// Seed of the random choices.
    pub(crate) seed: u64,
    /// Number of clusters: the rows of the lists.
    pub clusters: u32,
    /// Documents of the largest cluster.
    pub most: u32,
}

/// Writes the lists in order of term, then the clusters.
#[derive(Debug)]
pub struct ClustersWriter {
    lists: ImpactWriter,
    ends: Vec<u32>,
    params: ClusterParams,
    seed: u64,
}

impl ClustersWriter {
    /// Begins the part for `lists` terms over clusters that end where `ends` says: each is the first
    /// row that is not in it.
    ///
    /// # Errors
    /// When there are more clusters than [`crate::impact::MOST_DOCUMENTS`], or the disk refuses.
    pub fn create(
        path: &Path,
        params: ClusterParams,
        seed: u64,
        lists: u32,
        ends: Vec<u32>,
    ) -> Result<Self, IndexError> {
        check_rows("clusters of a segment", ends.len() as u64)?;
        let part = PartWriter::create(path, KIND, VERSION)?;
        let lists = ImpactWriter::begin(part, lists, ends.len() as u64)?;
        Ok(Self { lists, ends, params, seed })
    }

    /// The layout of the lists, for [`crate::impact::encode`].
    #[must_use]
    pub fn layout(&self) -> &ImpactMeta {
        self.lists.meta()
    }

    /// Appends the next term's list over the clusters.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn push(&mut self, list: &EncodedList) -> Result<(), IndexError> {
        self.lists.push(list)
    }

    /// Ends the part.
    ///
    /// # Errors
    /// When the disk refuses or a list is missing.
    pub fn finish(self) -> Result<Written, IndexError> {
        let (mut part, _) = self.lists.end()?;
        let mut most = 0;
        let mut start = 0;
        for end in &self.ends {
            most = most.max(end.saturating_sub(start));
            start = *end;
        }
        let clusters = u32::try_from(self.ends.len()).unwrap_or(u32::MAX);
        let meta = ClustersMeta { params: self.params, seed: self.seed, clusters, most };
        part.put_section("ends", &self.ends)?;
        part.put_json("clusters", &meta)?;
        part.finish(u64::from(start))
    }
}

/// Where clusters begin and end, borrowed once a query.
#[derive(Debug, Clone, Copy)]
pub struct Runs<'a>(&'a [u32]);

impl<'a> Runs<'a> {
    /// The rows of a cluster; empty for a number beyond the last cluster.
    #[must_use]
    #[inline]
    pub fn rows(&self, cluster: u32) -> Range<u32> {
        let at = cluster as usize;
        let start = at.checked_sub(1).map_or(Some(&0), |before| self.0.get(before));
        match (start, self.0.get(at)) {
            (Some(start), Some(end)) => *start..*end,
            _ => 0..0,
        }
    }

    /// The ends, for prefetching.
    #[must_use]
    #[inline]
    pub fn ends(&self) -> &'a [u32] {
        self.0
    }
}

/// The clusters of an open segment.
#[derive(Debug, Clone)]
pub struct Clusters {
    summaries: ImpactLists,
    meta: ClustersMeta,
}

impl Clusters {
    /// The lists over the clusters' summaries.
    #[must_use]
    #[inline]
    pub fn summaries(&self) -> &ImpactLists {
        &self.summaries
    }

    /// What the part says of itself.
    #[must_use]
    #[inline]
    pub fn meta(&self) -> &ClustersMeta {
        &self.meta
    }

    /// Where the clusters begin and end.
    ///
    /// # Errors
    /// When the section is missing, which an open part's is not.
    pub fn runs(&self) -> Result<Runs<'_>, IndexError> {
        Ok(Runs(self.summaries.part().array("ends")?))
    }
}

impl SegmentPart for Clusters {
    // Checks that the clusters cover the rows. Postings are not checked: searches bound what a damaged one
    // can do.
    fn read(part: Part, _: Verify) -> Result<Self, IndexError> {
        let path = &part.path().to_path_buf();
        let meta: ClustersMeta = part.json("clusters")?;
        let ends: &[u32] = part.array("ends")?;
        let corrupt = |what: &str| Err(IndexError::corrupt(path, what));
        if ends.len() as u64 != u64::from(meta.clusters) {
            return corrupt("the number of clusters does not fit");
        }
        let (mut start, mut most) = (0, 0);
        for end in ends {
            if *end <= start {
                return corrupt("a cluster is empty");
            }
            most = most.max(*end - start);
            start = *end;
        }
        if u64::from(start) != part.documents() || most != meta.most {
            return corrupt("the clusters do not fit the number of documents");
        }
        Ok(Self { summaries: ImpactLists::of(part, u64::from(meta.clusters))?, meta })
    }

    fn part(&self) -> &Part {
        self.summaries.part()
    }

    fn part_mut(&mut self) -> &mut Part {
        self.summaries.part_mut()
    }

    fn terms(&self) -> u32 {
        self.summaries.meta().lists
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::resealed;
    use crate::impact::{BandData, decode, encode};
    use proptest::prelude::*;
    use quarry_vectors::TermId;
    use std::fs;
    use xxhash_rust::xxh3::xxh3_64;

    const PARAMS: ClusterParams = ClusterParams { size: 3, components: 2 };

    /// Three clusters of seven documents and two lists.
    fn golden(path: &Path) {
        let mut writer = ClustersWriter::create(path, PARAMS, 9, 2, vec![3, 4, 7]).unwrap();
        let band = |docs: &[u32], high, typical| BandData { docs: docs.to_vec(), high, typical };
        let lists = [vec![band(&[1], 9, 9), band(&[0, 2], 4, 3)], vec![band(&[2], 7, 7)]];
        for bands in lists {
            let list = encode(writer.layout(), &bands);
            writer.push(&list).unwrap();
        }
        writer.finish().unwrap();
    }

    fn bytes() -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        golden(&folder.path().join("part"));
        fs::read(folder.path().join("part")).unwrap()
    }

    fn opened(bytes: &[u8], verify: Verify) -> Result<Clusters, IndexError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("part");
        fs::write(&path, bytes).unwrap();
        Clusters::read(Part::open(&path, KIND, READABLE, verify)?, verify)
    }

    fn walk(clusters: &Clusters) {
        let runs = clusters.runs().unwrap();
        for cluster in (0..clusters.meta().clusters.saturating_add(2).min(1000)).chain([u32::MAX]) {
            let _ = runs.rows(cluster).count();
        }
        let view = clusters.summaries().view().unwrap();
        for term in (0..view.meta().lists.min(1000) + 1).map(TermId) {
            let _ = decode(view.meta(), view.postings(term)).len();
        }
    }

    #[test]
    fn what_was_written_is_read() {
        let clusters = opened(&bytes(), Verify::Full).unwrap();
        let meta = ClustersMeta { params: PARAMS, seed: 9, clusters: 3, most: 3 };
        assert_eq!((clusters.meta(), clusters.part().documents()), (&meta, 7));
        let runs = clusters.runs().unwrap();
        let rows: Vec<_> = (0..4).map(|at| runs.rows(at)).collect();
        assert_eq!(rows, [0..3, 3..4, 4..7, 0..0]);
        let view = clusters.summaries().view().unwrap();
        let mut found = decode(view.meta(), view.postings(TermId(0)));
        found.sort_unstable();
        assert_eq!(found, [(0, 1), (1, 0), (2, 1)]);
        assert_eq!(decode(view.meta(), view.postings(TermId(1))), [(2, 0)]);
    }

    /// The bytes of version 1: a change of them is a change of the format.
    #[test]
    fn the_bytes_of_version_1() {
        assert_eq!(
            (VERSION, bytes().len(), xxh3_64(&bytes())),
            (1, 1024, 8_034_279_087_379_825_485)
        );
    }

    #[test]
    fn clusters_that_do_not_fit_are_refused() {
        let whole = bytes();
        let at = whole.windows(12).position(|w| w == [3, 0, 0, 0, 4, 0, 0, 0, 7, 0, 0, 0]).unwrap();
        for ends in [[3u32, 3, 7], [4, 3, 7], [0, 4, 7], [3, 4, 8], [3, 4, 6], [2, 4, 7], [1, 2, 7]]
        {
            let mut spoilt = whole.clone();
            spoilt[at..at + 12].copy_from_slice(bytemuck::cast_slice(&ends));
            match opened(&resealed(spoilt), Verify::Full) {
                // Other clusters of the same documents are as good, if the largest is as large.
                Ok(_) => assert_eq!(ends, [2, 4, 7]),
                Err(error) => assert!(matches!(error, IndexError::Corrupt { .. }), "{error:?}"),
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let many = vec![1; usize::try_from(crate::impact::MOST_DOCUMENTS).unwrap() + 1];
        let made = ClustersWriter::create(&path, PARAMS, 9, 1, many);
        assert!(matches!(made, Err(IndexError::Limit { .. })));
    }

    #[test]
    fn a_flipped_bit_is_refused() {
        let whole = bytes();
        for at in 0..whole.len() {
            let mut spoilt = whole.clone();
            spoilt[at] ^= 1 << (at % 8);
            assert!(opened(&spoilt, Verify::Full).is_err(), "byte {at}");
            if let Ok(clusters) = opened(&spoilt, Verify::Envelope) {
                walk(&clusters);
            }
        }
    }

    proptest! {
        #[test]
        fn nonsense_under_a_valid_checksum_does_not_panic(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        ) {
            let mut spoilt = bytes();
            for (at, value) in changes {
                let at = at.index(spoilt.len());
                spoilt[at] = value;
            }
            for verify in [Verify::Full, Verify::Envelope] {
                if let Ok(clusters) = opened(&resealed(spoilt.clone()), verify) {
                    walk(&clusters);
                }
            }
        }
    }
}
