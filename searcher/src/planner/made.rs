//! Synthetic queries made of a segment's own documents, where there are no real ones.
//!
//! With the index's query side they are texts, which it encodes: words by chance of a stored text, as
//! questions, and pieces of several texts up to the length of passages. Where no text is stored, words are
//! drawn from the heaviest terms of a topic (`topics.rs`). Without a query side they are vectors: terms
//! drawn from the heaviest of a topic, weighted by it or by how rare they are.

use std::num::NonZeroUsize;

use quarry_index::Segment;
use quarry_index::lexicon::Lexicon;
use quarry_vectors::{DocId, EncodeQuery, SparseVector, TermId};
use rayon::prelude::*;

use crate::error::SearchError;
use crate::planner::choose::Shape;
use crate::planner::topics::{Rarity, Topics};
use crate::random::Random;
use crate::searcher::Searcher;

/// Queries of one kind.
#[derive(Debug, Clone)]
pub(crate) struct Kind {
    pub(crate) queries: Vec<SparseVector>,
    /// Means over them.
    pub(crate) mean: Shape,
}

impl Kind {
    #[expect(clippy::cast_precision_loss, reason = "a mean")]
    pub(crate) fn of(queries: Vec<SparseVector>) -> Self {
        let count = queries.len().max(1) as f64;
        let shapes = || queries.iter().map(Shape::of);
        let terms = shapes().map(|s| s.terms).sum::<f64>() / count;
        let even_terms = shapes().map(|s| s.even_terms).sum::<f64>() / count;
        Self { queries, mean: Shape { terms, even_terms } }
    }
}

/// Mean number of terms.
pub(crate) fn mean_terms(queries: &[SparseVector]) -> f64 {
    let terms: usize = queries.iter().map(SparseVector::len).sum();
    #[expect(clippy::cast_precision_loss, reason = "a mean")]
    let mean = terms as f64 / queries.len().max(1) as f64;
    mean
}

/// What a query's weights are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weights {
    /// Those of the topic.
    Topic,
    /// How rare a term is.
    Rarity,
}

/// How queries of a kind are made without a query side.
#[derive(Debug)]
struct Recipe {
    /// Terms of a query: from, to.
    terms: (usize, usize),
    /// The number of a topic's heaviest terms that they are drawn from.
    among: usize,
    weights: Weights,
}

/// Questions' own words, and shorter and longer expansions. Chosen so that their overlaps come
/// close to those of real questions (docs/figures/overlap.md).
const RECIPES: [Recipe; 6] = [
    Recipe { terms: (4, 16), among: 48, weights: Weights::Rarity },
    Recipe { terms: (32, 64), among: 160, weights: Weights::Rarity },
    Recipe { terms: (24, 24), among: 36, weights: Weights::Topic },
    Recipe { terms: (48, 48), among: 80, weights: Weights::Topic },
    Recipe { terms: (96, 96), among: 160, weights: Weights::Topic },
    Recipe { terms: (192, 192), among: 320, weights: Weights::Topic },
];
/// Multiple of a topic's neighbours in rankings of more than [`FEW`] for questions' own words.
const WIDER: usize = 3;
const FEW: usize = 10;
/// Expansions of up to this many terms are always made; longer ones only if documents have that many terms.
const ALWAYS: usize = 48;

/// How texts for a query side are made.
#[derive(Debug)]
struct Text {
    /// Words: from, to.
    words: (usize, usize),
    /// Number of documents that a text takes one piece of each from; 0 draws words of one document.
    pieces: usize,
}

/// Short and long questions, a few sentences, passages. Long ones are put together of several documents:
/// texts of that length which others wrote have no document of the index that is most of them.
const TEXTS: [Text; 4] = [
    Text { words: (2, 5), pieces: 0 },
    Text { words: (6, 14), pieces: 0 },
    Text { words: (28, 44), pieces: 3 },
    Text { words: (100, 200), pieces: 4 },
];

/// A user's queries by kinds: such that differ in length by more than [`APART`] times stand apart,
/// where there are [`ENOUGH`] of each.
pub(crate) fn kinds_of(given: &[SparseVector]) -> Vec<Kind> {
    let mut sorted: Vec<&SparseVector> = given.iter().collect();
    sorted.sort_by_key(|q| q.len());
    let mut kinds: Vec<Vec<SparseVector>> = Vec::new();
    for query in sorted {
        let fits = |kind: &Vec<SparseVector>| {
            kind.len() < ENOUGH || kind.first().is_none_or(|q| query.len() <= APART * q.len())
        };
        match kinds.last_mut().filter(|kind| fits(kind)) {
            Some(kind) => kind.push(query.clone()),
            None => kinds.push(vec![query.clone()]),
        }
    }
    // Too few of a kind are measured with those before them.
    if let Some(last) = kinds.pop() {
        match kinds.last_mut().filter(|_| last.len() < ENOUGH) {
            Some(kind) => kind.extend(last),
            None => kinds.push(last),
        }
    }
    kinds.into_iter().map(Kind::of).collect()
}

/// Heaviest terms of a topic that words are drawn from, at least.
const OF_HEAVIEST: usize = 48;
/// See [`kinds_of`].
const APART: usize = 4;
const ENOUGH: usize = 64;

/// `count` queries of each kind for rankings of `k`, fewer where documents are empty. The same for the
/// same segment and seed, whatever the number of threads.
///
/// # Errors
/// When the segment has no vectors, its texts cannot be read, or the query side fails.
pub(crate) fn of_documents(
    searcher: &Searcher,
    (number, segment): (usize, &Segment),
    (count, k): (usize, NonZeroUsize),
    side: Option<&dyn EncodeQuery>,
    seed: u64,
) -> Result<Vec<Kind>, SearchError> {
    let mut random = Random(seed);
    let topics = Topics::of(searcher, (number, segment), k, &mut random)?;
    let wider = topics.wider(if k.get() > FEW { WIDER } else { 1 });
    let rarity = Rarity::of(segment)?;
    let mut all = |make: &(dyn Fn(Random) -> Result<SparseVector, SearchError> + Sync)| {
        let starts: Vec<Random> = (0..count).map(|_| Random(random.next())).collect();
        let queries: Vec<SparseVector> =
            starts.into_par_iter().map(make).collect::<Result<_, _>>()?;
        Ok::<_, SearchError>(Kind::of(queries.into_iter().filter(|q| !q.is_empty()).collect()))
    };
    let lexicon = searcher.index().lexicon().ok_or(SearchError::NoSparse)?;
    match side {
        Some(side) => TEXTS
            .iter()
            .map(|text| {
                all(&|mut random| {
                    let text = write(text, (segment, &topics, lexicon), &mut random)?;
                    side.encode_query(&text).map_err(SearchError::Encode)
                })
            })
            .collect(),
        None => {
            let components = mean_components(segment)?;
            RECIPES
                .iter()
                .filter(|r| r.weights == Weights::Rarity || r.terms.1 <= components.max(ALWAYS))
                .map(|recipe| {
                    let of = if recipe.weights == Weights::Rarity { &wider } else { &topics };
                    all(&|mut random| draw(recipe, of, &rarity, &mut random))
                })
                .collect()
        }
    }
}

fn mean_components(segment: &Segment) -> Result<usize, SearchError> {
    let forward = segment.forward().ok_or(SearchError::NoSparse)?;
    let step = forward.len().div_ceil(1000).max(1);
    let rows = || (0..forward.len()).step_by(step);
    let all: usize = rows()
        .filter_map(|row| u32::try_from(row).ok())
        .map(|row| forward.record(DocId(row)).len())
        .sum();
    Ok(all / rows().count().max(1))
}

/// A vector by a recipe.
fn draw(
    recipe: &Recipe,
    topics: &Topics<'_>,
    rarity: &Rarity,
    random: &mut Random,
) -> Result<SparseVector, SearchError> {
    let mut pairs = drawn(recipe.terms, recipe.among, topics, random)?;
    if recipe.weights == Weights::Rarity {
        pairs.iter_mut().for_each(|pair| pair.1 = rarity.weight(pair.0));
    }
    Ok(SparseVector::from_pairs(pairs).unwrap_or_default())
}

/// From, to so many of the heaviest terms of a topic.
fn drawn(
    (from, to): (usize, usize),
    among: usize,
    topics: &Topics<'_>,
    random: &mut Random,
) -> Result<Vec<(u32, f32)>, SearchError> {
    let topic = topics.topic(among, random)?;
    let mut pairs: Vec<(u32, f32)> = topic.heaviest(among).iter().collect();
    let terms = from + random.below(to - from + 1);
    while pairs.len() > terms {
        pairs.swap_remove(random.below(pairs.len()));
    }
    Ok(pairs)
}

/// A text.
fn write(
    text: &Text,
    (segment, topics, lexicon): (&Segment, &Topics<'_>, &Lexicon),
    random: &mut Random,
) -> Result<String, SearchError> {
    let (from, to) = text.words;
    let wanted = from + random.below(to - from + 1);
    let mut written: Vec<String> = Vec::new();
    for piece in 0..text.pieces.max(1) {
        // The last piece has what is left.
        let left = wanted.saturating_sub(written.len());
        let share = left / (text.pieces.max(1) - piece);
        let mut words = stored(segment, random)?;
        if text.pieces == 0 {
            while words.len() > share {
                words.swap_remove(random.below(words.len()));
            }
        } else {
            let first = random.below(words.len().saturating_sub(share) + 1);
            words = words.into_iter().skip(first).take(share).collect();
        }
        written.extend(words);
    }
    if !written.is_empty() {
        return Ok(written.join(" "));
    }
    let terms = drawn((wanted, wanted), OF_HEAVIEST.max(2 * wanted), topics, random)?;
    let tokens = terms.into_iter().map(|(term, _)| lexicon.token(TermId(term)));
    let words: Vec<String> = tokens.filter_map(|token| word(&token).map(str::to_owned)).collect();
    Ok(words.join(" "))
}

/// The word that a token begins, without what tokenizers mark beginnings with; `None` for what goes on
/// with a word, and for what is none.
fn word(token: &str) -> Option<&str> {
    let word = token.trim_start_matches(['\u{2581}', '\u{120}']);
    let special = token.starts_with("##")
        || (token.starts_with('[') && token.ends_with(']'))
        || (token.starts_with('<') && token.ends_with('>'));
    (!special && word.chars().any(char::is_alphanumeric)).then_some(word)
}

/// The words of a document by chance; none where no text is stored.
fn stored(segment: &Segment, random: &mut Random) -> Result<Vec<String>, SearchError> {
    let row = random.below(segment.documents().len());
    let Some(text) = segment.text() else { return Ok(Vec::new()) };
    let stored = text.stored(DocId(u32::try_from(row).unwrap_or(0)))?;
    let words = stored.title.split_whitespace().chain(stored.text.split_whitespace());
    Ok(words.map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by it")]

    use std::collections::BTreeSet;
    use std::path::Path;

    use quarry_indexer::Lists;

    use super::*;
    use crate::options::Options;
    use crate::search::ChannelQuery;
    use crate::testing::built;

    const COPIES: u32 = 12;
    const TEN: NonZeroUsize = NonZeroUsize::new(10).unwrap();

    /// Documents of 50 topics; every document is there in [`COPIES`] nearly equal forms, whose ids
    /// begin with the family's number.
    fn near_copies(out: &Path, families: u32) -> Searcher {
        let mut random = Random(5);
        let documents = (0..families * COPIES).map(|at| {
            let family = at % families;
            let topic = (0..12).map(|i| (family % 50 * 12 + i, 1.0));
            let own = (0..12).map(|i| (600 + family * 12 + i, 0.4));
            #[expect(clippy::cast_precision_loss, reason = "below 100")]
            let mut jitter = || random.below(100) as f32 / 1e3;
            let pairs = topic.chain(own).map(|(term, weight)| (term, weight + jitter()));
            (format!("{family}-{at}"), SparseVector::from_pairs(pairs).unwrap())
        });
        built(out, Lists::IMPACT, documents)
    }

    fn families(searcher: &Searcher, query: &SparseVector) -> usize {
        let found = searcher.search(&ChannelQuery::Sparse(query), &Options::new(TEN)).unwrap();
        let family = |hit| searcher.id(hit).split('-').next().map(str::to_owned);
        found.hits.iter().map(family).collect::<BTreeSet<_>>().len()
    }

    #[test]
    fn near_copies_do_not_fill_a_ranking() {
        let folder = tempfile::tempdir().unwrap();
        let searcher = near_copies(folder.path(), 8_000);
        let segment = &searcher.index().segments()[0];
        let forward = segment.forward().unwrap();
        for doc in [0, 77, 9_999] {
            assert_eq!(
                families(&searcher, &forward.vector(DocId(doc)).unwrap()),
                1,
                "a document's own"
            );
        }
        let kinds = of_documents(&searcher, (0, segment), (64, TEN), None, 3).unwrap();
        // Its documents have too few terms for the two longest.
        assert_eq!(kinds.len(), RECIPES.len() - 2);
        for (kind, recipe) in kinds.iter().zip(&RECIPES) {
            assert_eq!(kind.queries.len(), 64);
            assert!(kind.queries.iter().all(|q| q.len() <= recipe.terms.1));
            let spread: usize = kind.queries.iter().map(|q| families(&searcher, q)).sum();
            assert!(4 * spread > 5 * 64, "{spread} families in the rankings of 64 queries");
        }
    }

    #[test]
    fn empty_documents_make_no_queries() {
        let folder = tempfile::tempdir().unwrap();
        let vectors = (0..40).map(|at| {
            let full = (0..30).map(|i| (at * 7 + i, 1.0));
            SparseVector::from_pairs(full.filter(|_| at % 2 == 0)).unwrap()
        });
        let vectors = vectors.enumerate().map(|(at, v)| (at.to_string(), v));
        let searcher = built(folder.path(), Lists::IMPACT, vectors);
        let segment = &searcher.index().segments()[0];
        for kind in of_documents(&searcher, (0, segment), (64, TEN), None, 3).unwrap() {
            assert!((16..48).contains(&kind.queries.len()), "{} of 64", kind.queries.len());
        }
    }

    #[test]
    fn threads_do_not_matter_and_the_seed_does() {
        let folder = tempfile::tempdir().unwrap();
        let searcher = near_copies(folder.path(), 200);
        let segment = &searcher.index().segments()[0];
        let made = |threads, seed| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let kinds = pool
                .install(|| of_documents(&searcher, (0, segment), (20, TEN), None, seed))
                .unwrap();
            kinds.into_iter().map(|kind| kind.queries).collect::<Vec<_>>()
        };
        assert_eq!(made(1, 3), made(3, 3));
        assert_ne!(made(1, 3), made(1, 4));
    }
}
