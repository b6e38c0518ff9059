//! A set of a segment's rows: those that a search may find.

use quarry_index::Segment;
use quarry_index::impact::WINDOW;
use quarry_vectors::DocId;
use roaring::RoaringBitmap;

/// Words of a window's bits; the last bit is of no row.
const WORDS: usize = (WINDOW + 1) / 64;

/// Rows as bits, window by window as the impact-ordered lists have them, so that a window's sums
/// are masked word by word. Takes an eighth of a byte a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RowSet {
    words: Vec<u64>,
    rows: usize,
    count: usize,
}

impl RowSet {
    /// The rows of `bitmap` below `rows`.
    pub(crate) fn of(rows: usize, bitmap: &RoaringBitmap) -> Self {
        let mut set = Self { words: vec![0; rows.div_ceil(WINDOW) * WORDS], rows, count: 0 };
        for row in bitmap.iter().take_while(|row| (*row as usize) < rows) {
            let (word, bit) = place(row as usize);
            set.words[word] |= bit;
            set.count += 1;
        }
        set
    }

    /// The rows that are in both; those of `self` have the same segment as those of `other`.
    pub(crate) fn and(&self, other: &Self) -> Self {
        let words: Vec<u64> = self.words.iter().zip(&other.words).map(|(a, b)| a & b).collect();
        let count = words.iter().map(|word| word.count_ones() as usize).sum();
        Self { words, rows: self.rows, count }
    }

    /// Number of rows.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Whether a row is in it.
    #[inline]
    pub(crate) fn contains(&self, doc: DocId) -> bool {
        let (word, bit) = place(doc.index());
        self.words.get(word).is_some_and(|bits| bits & bit != 0)
    }

    /// The bits of a window's rows: at least as many as the window has.
    ///
    /// # Panics
    /// When the segment has no such window.
    pub(crate) fn window(&self, window: usize) -> &[u64] {
        &self.words[window * WORDS..][..WORDS]
    }

    /// All rows, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> {
        self.words.iter().enumerate().flat_map(|(at, word)| {
            let first = at / WORDS * WINDOW + at % WORDS * 64;
            let mut left = *word;
            std::iter::from_fn(move || {
                let bit = left.trailing_zeros();
                left &= left.wrapping_sub(1);
                let row = u32::try_from(first).unwrap_or(u32::MAX);
                (bit < 64).then(|| row + bit)
            })
        })
    }
}

fn place(row: usize) -> (usize, u64) {
    let (window, at) = (row / WINDOW, row % WINDOW);
    (window * WORDS + at / 64, 1 << (at % 64))
}

/// The rows that are not deleted; `None` where none is.
pub(crate) fn live(segment: &Segment) -> Option<RowSet> {
    let deleted = segment.deleted()?;
    let rows = segment.documents().len();
    let mut live = RoaringBitmap::new();
    live.insert_range(0..u32::try_from(rows).unwrap_or(u32::MAX));
    Some(RowSet::of(rows, &(live - deleted)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_row_set_has_the_bitmaps_rows(
            rows in 1usize..200_000,
            some in prop::collection::btree_set(0u32..210_000, 0..200),
            near in prop::collection::btree_set(65_500u32..65_600, 0..50),
        ) {
            let bitmap: RoaringBitmap = some.union(&near).copied().collect();
            let set = RowSet::of(rows, &bitmap);
            let want: Vec<u32> = bitmap.iter().filter(|r| (*r as usize) < rows).collect();
            prop_assert_eq!(set.len(), want.len());
            prop_assert_eq!(set.iter().collect::<Vec<_>>(), want);
            let odd: RoaringBitmap = bitmap.iter().filter(|row| row % 2 == 1).collect();
            let even_too: RoaringBitmap = near.iter().copied().chain(odd.iter()).collect();
            let both = set.and(&RowSet::of(rows, &even_too));
            prop_assert_eq!(both, RowSet::of(rows, &(&bitmap & &even_too)));
            for row in near {
                let inside = (row as usize) < rows && bitmap.contains(row);
                prop_assert_eq!(set.contains(DocId(row)), inside);
            }
        }
    }
}
