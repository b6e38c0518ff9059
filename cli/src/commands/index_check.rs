//! Options of `quarry index` and `quarry add` that would do nothing beside others. Those that would do nothing
//! for the input given, the engine refuses.

use super::index::Args;
use crate::applies::Given;
use crate::exit::Usage;
use crate::input::{InputArgs, ListsArg};

/// Options of Seismic's lists, and of clusters.
pub(crate) const OF_SEISMIC: [&str; 5] =
    ["n_postings", "max_fraction", "min_per_document", "centroid_fraction", "summary_energy"];
pub(crate) const OF_CLUSTERS: [&str; 2] = ["cluster_size", "cluster_components"];

impl Args {
    /// Refuses options that would do nothing.
    pub(crate) fn check(&self, given: Given<'_>) -> Result<(), Usage> {
        if self.overwrite && self.resume {
            let text = "--overwrite discards an unfinished build, --resume goes on with it: give one of them";
            return Err(Usage(text.to_owned()));
        }
        given.only_if(self.shard.is_none(), &["no_tune"], "a shard is never measured")?;
        self.input.check(given)
    }
}

impl InputArgs {
    /// Refuses options that would do nothing, as far as that is known without the input.
    pub(crate) fn check(&self, given: Given<'_>) -> Result<(), Usage> {
        use crate::channels::Channel;
        if self.channel == Channel::Maxsim {
            let text = "--channel maxsim: an index is built for sparse or bm25; --tokens adds token embeddings";
            return Err(Usage(text.to_owned()));
        }
        if self.channel == Channel::Dense {
            let text = "--channel dense: an index is built for sparse or bm25; `quarry dense add` adds dense vectors";
            return Err(Usage(text.to_owned()));
        }
        let vectors = self.channel == Channel::Sparse;
        let why = "--channel bm25 builds no vectors; leave one of the two out";
        let of_vectors = [
            "device",
            "encode_memory",
            "max_tokens",
            "top_k",
            "levels",
            "scale",
            "vocab",
            "texts",
            "doc_ids",
            "vector_field",
        ];
        given.only_if(vectors, &of_vectors, why)?;
        let of_words = |list: &ListsArg| matches!(list, ListsArg::Words | ListsArg::None);
        given.only_if(vectors || self.lists.iter().all(of_words), &["lists"], why)?;
        given.only_if(vectors, &OF_SEISMIC, why)?;
        given.only_if(vectors, &OF_CLUSTERS, why)?;
        let has = |list| self.lists.contains(&list);
        given.only_if(has(ListsArg::Seismic), &OF_SEISMIC, "it needs --lists seismic")?;
        given.only_if(has(ListsArg::Clusters), &OF_CLUSTERS, "it needs --lists clusters")?;
        let overlap = self.passages.filter(|tokens| self.passage_overlap > tokens / 2);
        match overlap {
            Some(tokens) if given.has("passage_overlap") => Err(Usage(format!(
                "--passage-overlap {}: passages of {tokens} tokens share at most half of them, {}",
                self.passage_overlap,
                tokens / 2
            ))),
            _ => Ok(()),
        }
    }
}
