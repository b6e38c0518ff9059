//! A program of its own on `quarry-engine` alone: it adds a document to an index, searches two channels, and
//! evaluates.
//!
//! ```text
//! quarry-embed INDEX COLLECTION MODEL
//! ```
//!
//! INDEX is an index of the texts of COLLECTION, a BEIR folder; MODEL the folder of the model it was made with.
#![allow(clippy::print_stdout, reason = "a program prints")]

use std::error::Error;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use quarry_engine::evaluate::{
    EvaluateOptions, Measure, QueryOptions, ScoredDoc, evaluate_run, open_qrels, open_queries,
};
use quarry_engine::write::Add;
use quarry_engine::{
    Channel, Collection, Document, EngineError, Models, OpenOptions, Query, Search, SearchOptions,
    Writer,
};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(index), Some(collection), Some(model)) =
        (arguments.next(), arguments.next(), arguments.next())
    else {
        return Err("usage: quarry-embed INDEX COLLECTION MODEL".into());
    };

    // Open. Text queries go by the copies of tokenizer and query table that the index keeps.
    let opened = Collection::open(&index, &OpenOptions::default())?;

    // Add: the writer encodes as the index was built, and commits a generation.
    let models = Models { bundled: Some(model), ..Models::default() };
    let document = Document {
        id: "embedded-1".into(),
        title: "Tidal mills".into(),
        text: "A tidal mill stores the flood behind a dam and grinds grain with the ebb.".into(),
        ..Document::default()
    };
    let writer = Writer::open(&index, models)?;
    let added = writer.add_documents([Ok::<_, EngineError>(document)], &Add::default(), &|_| {})?;
    println!("generation {}, {} document added", added.generation, added.added);
    opened.reload_if_newer()?;

    // Search two channels.
    let ten = NonZeroUsize::new(10).unwrap_or(NonZeroUsize::MIN);
    let plain = SearchOptions::new(ten).with_fields(["title"]);
    for channel in [Channel::Sparse, Channel::Bm25] {
        let query = Query::text("mills that grind with the tide");
        let answer = opened.search(&Search::new(query, plain.clone().on(channel)))?;
        let best = answer.hits.first().ok_or("nothing was found")?;
        println!("{}: {} {:.3}", channel.name(), best.id, best.score);
    }

    // Evaluate.
    let (qrels, options) = (open_qrels(&collection, "test")?, QueryOptions::default());
    let queries = open_queries(&collection, &options)?;
    let measures: [Measure; 1] = ["nDCG@10".parse()?];
    let texts: Vec<Query> = queries.iter().map(|query| Query::text(&query.text)).collect();
    let mut run = quarry_engine::evaluate::Run::new("embed");
    for (query, answer) in queries.iter().zip(opened.search_batch(&texts, &plain)?) {
        let hits = answer?.hits.into_iter();
        run.insert(
            &query.id,
            hits.map(|hit| ScoredDoc { id: hit.id, score: hit.score }).collect(),
        )?;
    }
    let found = evaluate_run(&run, &qrels, &measures, EvaluateOptions::default());
    for (measure, mean) in found.evaluation.means() {
        println!("{measure} {mean:.4}");
    }
    Ok(())
}
