//! Which passages are run together, decided from their lengths alone.
//!
//! Passages are sorted by length, longest first and of equal lengths by position, and cut greedily
//! so that a batch's padded size stays within a limit, at most [`TOKENS`]. Longest first also means that the
//! workers, which take batches in this order, end within a short batch of each other.

/// Largest padded size of a batch, rows times its longest row, in tokens.
pub(crate) const TOKENS: usize = 512;

/// The batches of a slice, as positions. A length of 0 means that there is nothing to run. A text
/// longer than `limit` stands alone.
pub(crate) fn form(lengths: &[usize], limit: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).filter(|&at| lengths[at] > 0).collect();
    order.sort_by_key(|&at| (std::cmp::Reverse(lengths[at]), at));
    let mut batches: Vec<Vec<usize>> = Vec::new();
    for at in order {
        match batches.last_mut() {
            // The first row is the longest.
            Some(batch) if (batch.len() + 1) * lengths[batch[0]] <= limit => batch.push(at),
            _ => batches.push(vec![at]),
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn cover_each_passage_once_within_bounds(lengths in prop::collection::vec(0usize..400, 0..200), limit in 1..=TOKENS) {
            let batches = form(&lengths, limit);
            for batch in &batches {
                let longest = batch.iter().map(|&at| lengths[at]).max().unwrap();
                prop_assert_eq!(longest, lengths[batch[0]]);
                prop_assert!(batch.len() == 1 || longest * batch.len() <= limit);
            }
            let mut all: Vec<usize> = batches.concat();
            all.sort_unstable();
            let want: Vec<usize> = (0..lengths.len()).filter(|&at| lengths[at] > 0).collect();
            prop_assert_eq!(all, want);
        }
    }
}
