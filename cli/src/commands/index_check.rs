//! Options of `quarry index` and `quarry add` that would do nothing, beside others or for the input given.

use quarry_datasets::CollectionFormat;
use quarry_vectors::{Document, InputVector};

use super::index::{Args, InputArgs, ListsArg};
use crate::applies::Given;
use crate::exit::Usage;

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
        use crate::retrieve::Channel;
        if self.channel == Channel::Maxsim {
            let text = "--channel maxsim: an index is built for sparse or bm25; --tokens adds token embeddings";
            return Err(Usage(text.to_owned()));
        }
        let vectors = self.channel == Channel::Sparse;
        let why = "--channel bm25 builds no vectors; leave one of the two out";
        let of_vectors = [
            "device",
            "encode_memory",
            "max_tokens",
            "top_k",
            "lists",
            "levels",
            "scale",
            "vocab",
            "texts",
            "doc_ids",
            "vector_field",
        ];
        given.only_if(vectors, &of_vectors, why)?;
        given.only_if(vectors, &OF_SEISMIC, why)?;
        given.only_if(vectors, &OF_CLUSTERS, why)?;
        let has = |list| self.lists.contains(&list);
        given.only_if(has(ListsArg::Seismic), &OF_SEISMIC, "it needs --lists seismic")?;
        let clusters = has(ListsArg::Clusters) || has(ListsArg::Auto);
        given.only_if(clusters, &OF_CLUSTERS, "it needs --lists clusters")
    }

    /// Refuses options that would do nothing, now that the input is known: whether a model encodes it, and
    /// its first document.
    pub(crate) fn check_with(
        &self,
        (format, encodes): (CollectionFormat, bool),
        first: Option<&Document>,
    ) -> Result<(), Usage> {
        let refuse = |given: bool, option: &str, why: &str| match given {
            true => Err(Usage(format!("{option} does nothing here: {why}"))),
            false => Ok(()),
        };
        let input = self.input.display();
        let texts = format!("{input} brings texts, and it is about given vectors");
        let vectors = format!("{input} brings its vectors, and it is about encoding texts");
        let brings = first.is_some_and(|document| document.vector.is_some());
        if first.is_some() && !brings {
            refuse(self.scale.is_some(), "--scale", &texts)?;
            refuse(self.vocab.is_some(), "--vocab", &texts)?;
            refuse(self.vector_field.is_some(), "--vector-field", &texts)?;
        }
        if first.is_some() && !encodes {
            let given = !self.filled_in;
            refuse(given && self.max_tokens.is_some(), "--max-tokens", &vectors)?;
            refuse(given && self.top_k.is_some(), "--top-k", &vectors)?;
            refuse(self.run_on.is_given(), "--device and --encode-memory", &vectors)?;
        }
        let named = matches!(first.map(|d| &d.vector), Some(Some(InputVector::Tokens(_))));
        let why = "the vectors name their tokens; it names term numbers";
        refuse(named && self.vocab.is_some(), "--vocab", why)?;
        let table = format == CollectionFormat::MsMarco;
        let why = "it is about MS MARCO's tables, id TAB text";
        refuse(self.raw_encoding && !table, "--raw-encoding", why)?;
        let bm25 = self.channel == crate::retrieve::Channel::Bm25;
        refuse(brings && bm25 && !self.filled_in, "--channel bm25", &vectors)
    }
}
