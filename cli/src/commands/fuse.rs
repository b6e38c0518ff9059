//! `quarry fuse RUN RUN...`

use std::num::NonZeroUsize;
use std::path::PathBuf;

use quarry_engine::evaluate::{FuseOptions, Run, WeightedRun, fuse_runs};
use quarry_engine::{
    DEFAULT_RRF_K, DEFAULT_WINDOW, EngineError, LEAST_WEIGHT, MOST_RRF_K, MOST_WEIGHT,
};

use crate::applies::Given;
use crate::channels::FusionArg;
use crate::exit::{BadInput, Usage};
use crate::output::note;
use crate::outputs::expect_apart;
use crate::runs::{RunFormatArg, RunTarget};
use crate::told::told;

/// Fuse runs of several systems into one, without an index
///
/// Rankings of one query are added up, scores brought to one scale before. Of equal sums the document
/// that the heaviest run ranks higher comes first.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Runs: two or more, in any form that `quarry eval --run` reads
    #[arg(required = true, num_args = 2.., value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// How scores come to one scale
    #[arg(long, value_enum, default_value_t = FusionArg::Max)]
    fusion: FusionArg,
    /// Weights of the runs, in their order, such as 1,0.3 [default: 1 each]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    weights: Vec<f64>,
    /// Hits of each ranking that are fused
    #[arg(long, value_name = "N", default_value_t = NonZeroUsize::new(DEFAULT_WINDOW).unwrap_or(NonZeroUsize::MIN))]
    window: NonZeroUsize,
    /// Of rrf: what is added to a rank, at least 0
    #[arg(long, value_name = "X", default_value_t = DEFAULT_RRF_K)]
    rrf_k: f64,
    /// Hits kept of each fused ranking
    #[arg(long, short, value_name = "N", default_value = "1000")]
    k: NonZeroUsize,
    /// Write the run here instead of printing it
    #[arg(long, value_name = "FILE")]
    run: Option<PathBuf>,
    /// Form of the run
    #[arg(long, value_enum, default_value_t = RunFormatArg::Trec)]
    run_format: RunFormatArg,
    /// Replace the run if it is there
    #[arg(long, requires = "run")]
    overwrite: bool,
}

impl Args {
    /// Refuses what does nothing or cannot be.
    pub(crate) fn check(&self, given: Given<'_>) -> Result<(), Usage> {
        given.only_if(self.fusion == FusionArg::Rrf, &["rrf_k"], "it is of --fusion rrf")?;
        let (runs, weights) = (self.runs.len(), self.weights.len());
        if weights != 0 && weights != runs {
            return Err(Usage(format!(
                "--weights: {weights} for {runs} runs; give one a run, such as 1,0.3"
            )));
        }
        let fits = |weight: f64| weight == 0.0 || (LEAST_WEIGHT..=MOST_WEIGHT).contains(&weight);
        if let Some(weight) = self.weights.iter().find(|weight| !fits(**weight)) {
            return Err(Usage(format!(
                "--weights: {weight:e} is not 0, nor a number from {LEAST_WEIGHT} to {MOST_WEIGHT}"
            )));
        }
        if weights != 0 && self.weights.iter().all(|weight| *weight == 0.0) {
            return Err(Usage("--weights: all are 0, so nothing would be left".into()));
        }
        if !(0.0..=MOST_RRF_K).contains(&self.rrf_k) {
            return Err(Usage(format!(
                "--rrf-k: {:e} is not a number from 0 to {MOST_RRF_K}",
                self.rrf_k
            )));
        }
        Ok(())
    }
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    if let Some(out) = &args.run {
        let inputs: Vec<_> = args.runs.iter().map(|run| Some(run.as_path())).collect();
        expect_apart(out, &inputs)?;
    }
    let target = RunTarget::begin(args.run.as_deref(), args.run_format, args.overwrite)?;
    let runs: Vec<Run> = args.runs.iter().map(|run| Run::read(run)).collect::<Result<_, _>>()?;
    let options = FuseOptions {
        method: args.fusion.into(),
        window: args.window,
        rrf_k: args.rrf_k,
        depth: args.k,
    };
    let weight = |at: usize| args.weights.get(at).copied().unwrap_or(1.0);
    let weighted: Vec<WeightedRun<'_>> =
        runs.iter().enumerate().map(|(at, run)| WeightedRun { run, weight: weight(at) }).collect();
    let tag = format!("quarry-fuse-{}", options.method.name());
    let fused = fuse_runs(&tag, &weighted, &options).map_err(|error| match error {
        EngineError::NotAboveZero { .. } => BadInput(error.to_string()).into(),
        error => told(error),
    })?;
    if fused.queries().is_empty() {
        return Err(BadInput("the runs have no ranking of any query".to_owned()).into());
    }
    for (run, path) in runs.iter().zip(&args.runs) {
        let lacking = fused.queries().iter().filter(|query| run.ranking(query).is_none()).count();
        if lacking > 0 {
            let queries = fused.queries().len();
            note(format!(
                "note: {} has no ranking of {lacking} of {queries} queries",
                path.display()
            ));
        }
    }
    target.write(&fused)
}
