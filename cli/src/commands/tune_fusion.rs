//! `quarry tune --fusion`: weights of channels, chosen by a collection's judgements.

use std::path::{Path, PathBuf};

use quarry_datasets::measures::{EvaluateOptions, Measure};
use quarry_datasets::{Ignored, QueryOptions, Run, open_qrels, open_queries};
use quarry_engine::evaluate::{
    FuseOptions, IndexJudgements, TunedWeights, WeightedRun, depth, tune_weights,
};

use super::judged::{expect_judged, is_arguana, tell_of_index};
use crate::applies::Given;
use crate::channels::{Channel, ChannelArgs, FusionArg};
use crate::collections::place;
use crate::dense::{DenseArgs, OF_DENSE};
use crate::exit::{BadInput, Usage};
use crate::output::{counted, line, table};
use crate::retrieve::{self, SearchArgs};
use crate::told::told;

/// Options of it.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct FusionTuning {
    /// Choose weights of several channels instead, by the judgements of --collection, for fusion by METHOD
    /// [default METHOD: max]
    #[arg(
        long,
        value_enum,
        value_name = "METHOD",
        num_args = 0..=1,
        default_missing_value = "max",
        requires = "collection",
        conflicts_with_all = ["queries", "model", "json"]
    )]
    fusion: Option<FusionArg>,
    /// With --fusion: folder with queries and judgements (BEIR's or MS MARCO's), or the name of a pulled collection
    #[arg(long, value_name = "FOLDER", requires = "fusion")]
    collection: Option<PathBuf>,
    /// With --fusion: split of the collection whose judgements are used
    #[arg(long, value_name = "NAME", default_value = "test")]
    split: String,
    /// With --fusion: channels to fuse
    #[arg(
        long,
        value_name = "LIST",
        value_enum,
        value_delimiter = ',',
        default_value = "sparse,bm25"
    )]
    channel: Vec<Channel>,
    /// With --fusion: measure that chooses, as ir_measures names it
    #[arg(long, value_name = "NAME", default_value = "nDCG@10")]
    measure: String,
    #[command(flatten)]
    dense: DenseArgs,
}

impl FusionTuning {
    /// Refuses options that would do nothing.
    pub(super) fn check(&self, given: Given<'_>) -> Result<(), Usage> {
        let why = "it is about --fusion, which chooses weights by judgements";
        given.only_if(self.fusion.is_some(), &["split", "channel", "measure"], why)?;
        given.only_if(self.fusion.is_some(), &OF_DENSE, why)?;
        let dense = self.channel.contains(&Channel::Dense);
        given.only_if(dense, &OF_DENSE, "it is of the channel dense; add dense to --channel")
    }

    /// How to fuse, if that is what is tuned.
    pub(super) fn method(&self) -> Option<FusionArg> {
        self.fusion
    }

    /// Searches each channel once, and fuses what was found with every combination of weights.
    pub(super) fn run(&self, dir: &Path, method: FusionArg) -> anyhow::Result<()> {
        let Some(collection) = &self.collection else {
            return Err(Usage("--fusion: give --collection FOLDER".to_owned()).into());
        };
        let collection = &place(collection)?;
        let measure: Measure = self.measure.parse()?;
        let channels = ChannelArgs::fused(&self.channel, method);
        let weights = channels.weights()?;
        if weights.len() < 2 {
            let text = "--channel: weights are of several channels, such as sparse,bm25";
            return Err(Usage(text.to_owned()).into());
        }
        let options = QueryOptions { split: Some(self.split.clone()), ..QueryOptions::default() };
        let queries = open_queries(collection, &options)?;
        let qrels = open_qrels(collection, &self.split)?;
        expect_judged(queries.iter().map(|query| query.id.as_str()), &qrels, "the search")?;
        let ignored = Ignored::new(is_arguana(Some(collection)));
        let window = channels.window();
        let mut runs: Vec<Run> = Vec::with_capacity(weights.len());
        for weighted in &weights {
            let same = |channel: &&Channel| weighted.channel == (**channel).into();
            let Some(channel) = self.channel.iter().find(same) else { continue };
            let channels = ChannelArgs::one(*channel);
            let of_dense = *channel == Channel::Dense;
            let dense = if of_dense { self.dense.clone() } else { DenseArgs::default() };
            let search = SearchArgs { channels, dense, ..SearchArgs::default() };
            let opened = retrieve::open(dir, &search)?;
            if runs.is_empty() {
                let judged = IndexJudgements::of(opened.searcher(), &qrels);
                if judged.missing == judged.documents {
                    let text = format!(
                        "{}: no document that {} judges is in the index; expected the collection that was indexed",
                        dir.display(),
                        collection.display()
                    );
                    return Err(BadInput(text).into());
                }
                tell_of_index(&judged, "");
            }
            runs.push(opened.run(&queries, &search, window.max(depth(&[measure])), &ignored)?);
        }
        let runs: Vec<WeightedRun<'_>> = runs
            .iter()
            .zip(&weights)
            .map(|(run, weighted)| WeightedRun { run, weight: weighted.weight })
            .collect();
        let how = FuseOptions { method: method.into(), window, ..FuseOptions::default() };
        let options = EvaluateOptions { ignored: Some(&ignored), ..EvaluateOptions::default() };
        let tuned = tune_weights(&runs, &qrels, measure, &how, options).map_err(told)?;
        let names: Vec<&str> = weights.iter().map(|weighted| weighted.channel.name()).collect();
        let given: Vec<f64> = weights.iter().map(|weighted| weighted.weight).collect();
        show(&Shown { names: &names, given: &given, tuned: &tuned, measure, method })
    }
}

/// What is shown.
struct Shown<'a> {
    /// Of the channels.
    names: &'a [&'a str],
    /// Their default weights.
    given: &'a [f64],
    tuned: &'a TunedWeights,
    measure: Measure,
    method: FusionArg,
}

fn show(shown: &Shown<'_>) -> anyhow::Result<()> {
    let Shown { names, given, tuned, measure, method } = *shown;
    let list = |weights: &[f64]| -> String {
        let each = names.iter().zip(weights).map(|(name, weight)| format!("{name}={weight}"));
        each.collect::<Vec<_>>().join(",")
    };
    let mut rows = vec![vec![String::new(), measure.to_string(), "weights".to_owned()]];
    let mut row = |name: &str, value: f64, weights: String| {
        rows.push(vec![name.to_owned(), format!("{value:.4}"), weights]);
    };
    for (name, value) in names.iter().zip(&tuned.alone) {
        row(name, *value, String::new());
    }
    row("default", tuned.given, list(given));
    row("chosen", tuned.chosen, list(&tuned.weights));
    row(
        "left out",
        tuned.left_out,
        "chosen by four fifths of the queries, for the rest".to_owned(),
    );
    crate::output::text(&table(&rows))?;
    let queries = counted(tuned.queries as u64, "judged query");
    if tuned.left_out <= tuned.given {
        let text = "chosen weights gain nothing on queries left out; keep the defaults";
        return Ok(line(format!("{queries}; {text}"))?);
    }
    let fusion = match method {
        FusionArg::Max => String::new(),
        method => format!(" --fusion {}", quarry_engine::FusionMethod::from(method).name()),
    };
    let (names, weights) = (names.join(","), list(&tuned.weights));
    Ok(line(format!("{queries}; use: --channel {names}{fusion} --weights {weights}"))?)
}
