//! `quarry inspect DIR`

use std::path::PathBuf;

use anyhow::bail;
use quarry_engine::LEAST_MEASURED;
use quarry_index::folder::has_log;
use quarry_index::seismic::Sizes;
use quarry_index::{Index, Verify};
use quarry_vectors::PooledBy;
use serde_json::json;

use crate::output::{bytes, count, counted, line, note, table};

/// Show what an index holds, and check every byte of it
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder of the index
    dir: PathBuf,
    /// Do not compare checksums
    #[arg(long)]
    no_verify: bool,
    /// Print JSON: the manifest, and the description of each part
    #[arg(long)]
    json: bool,
    /// Draw the cost of each overlap, as an SVG file
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Replace an existing picture
    #[arg(long, requires = "plot")]
    overwrite: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let verify = if args.no_verify { Verify::Envelope } else { Verify::Full };
    let index = Index::open(&args.dir, verify)?;
    let manifest = index.manifest();
    if has_log(&args.dir)? {
        note(
            "a server logged changes here that are not in this generation, and are not checked; `quarry serve --data` on \
             the folder around it makes them",
        );
    }
    if let Some(file) = &args.plot {
        let mut tables = index.segments().iter().filter_map(quarry_index::Segment::calibration);
        let Some(table) = tables.next() else {
            bail!("{}: nothing was measured; run `quarry tune` first", args.dir.display());
        };
        crate::plot::draw(table, file, args.overwrite)?;
        note(format!("wrote {}", file.display()));
    }
    if args.json {
        let segments: Vec<_> = index
            .segments()
            .iter()
            .map(|s| {
                json!({
                    "id": s.entry().id,
                    "rows": s.entry().rows,
                    "forward": s.forward().map(quarry_index::forward::ForwardIndex::meta),
                    "seismic": s.seismic().map(quarry_index::seismic::SeismicLists::meta),
                    "impact": s.impact().map(quarry_index::impact::ImpactLists::meta),
                    "words": s.words().map(|words| json!({
                        "meta": words.meta(), "lists": words.lists().meta()
                    })),
                    "clusters": s.clusters().map(quarry_index::clusters::Clusters::meta),
                    "calibration": s.calibration(),
                    "text": s.text().is_some(),
                    "provenance": s.provenance().map(|p| json!({
                        "meta": p.meta(), "bytes": p.bytes()
                    })),
                    "tokens": s.tokens().map(|t| {
                        let meta = t.meta();
                        let each: serde_json::Map<_, _> = meta
                            .forms
                            .iter()
                            .map(|f| (f.name().to_owned(), json!(f.bytes_a_row(meta.stride))))
                            .collect();
                        json!({ "meta": meta, "bytes": t.bytes(), "bytes_a_row": each })
                    }),
                    "dense": s.dense().map(|d| {
                        let meta = d.meta();
                        let each = meta.storage.bytes_a_row(meta.stride);
                        json!({ "meta": meta, "bytes": d.bytes(), "bytes_a_row": each })
                    }),
                    "neighbours": s.neighbours().map(|g| json!({
                        "meta": g.meta(), "bytes": g.bytes()
                    })),
                })
            })
            .collect();
        return crate::output::json(&json!({
            "manifest": manifest,
            "terms": index.lexicon().map(quarry_index::lexicon::Lexicon::len),
            "segments": segments,
        }));
    }
    let total: u64 = manifest.parts().map(|p| p.bytes).sum();
    line(format!("index       {}", manifest.uuid))?;
    line(format!(
        "generation  {} (format {}, {})",
        manifest.generation, manifest.format, manifest.written_by
    ))?;
    line(format!("documents   {}", count(manifest.documents())))?;
    line(format!("segments    {}", manifest.segments.len()))?;
    if let Some(lexicon) = index.lexicon() {
        let names = if lexicon.is_named() { "" } else { ", without names" };
        line(format!("terms       {}{names}", count(u64::from(lexicon.len()))))?;
    }
    if let Some(name) = manifest.encoders.get("sparse").and_then(|e| e.get("model_name")) {
        line(format!("encoder     {}", name.as_str().unwrap_or("?")))?;
    }
    for segment in index.segments() {
        if let Some(forward) = segment.forward() {
            let meta = forward.meta();
            let how = if meta.quantization.lossless { "lossless" } else { "rounded" };
            line(format!(
                "weights     {}; {:?} levels x {:.6}, {how}; largest error {:.2e}, relative {:.1e}, rms {:.2e}",
                counted(meta.components, "component"),
                meta.quantization.levels,
                meta.quantization.scale,
                meta.max_error,
                meta.max_relative_error,
                meta.mean_square_error.sqrt()
            ))?;
        }
        if let Some(provenance) = segment.provenance() {
            let meta = provenance.meta();
            let each = meta.bytes.checked_div(meta.rows).unwrap_or(0);
            line(format!(
                "provenance  {}, {each} bytes a row ({}); of each component the token that gave {}",
                counted(meta.rows, "row"),
                bytes(provenance.bytes()),
                match meta.pooled_by {
                    PooledBy::Max => "its weight",
                    PooledBy::Sum => "the largest share",
                }
            ))?;
        }
        if let Some(lists) = segment.impact() {
            line(format!("impact      {}", counted(lists.meta().postings, "posting")))?;
        }
        if let Some(words) = segment.words() {
            let (meta, lists) = (words.meta(), words.lists().meta());
            line(format!(
                "words       {} of {} with lists, {}; k1 {}, b {}, {:.1} words a text",
                count(u64::from(lists.lists)),
                counted(meta.words, "word"),
                counted(lists.postings, "posting"),
                meta.k1,
                meta.b,
                meta.mean_length
            ))?;
        }
        if let Some(clusters) = segment.clusters() {
            let meta = clusters.meta();
            line(format!(
                "clusters    {} of at most {}, {}",
                count(u64::from(meta.clusters)),
                counted(meta.most.into(), "document"),
                counted(clusters.summaries().meta().postings, "summary component")
            ))?;
        }
        if let Some(lists) = segment.seismic() {
            let meta = lists.meta();
            let Sizes { postings, summaries } = lists.sizes()?;
            line(format!(
                "seismic     {} ({}) in {}, {} ({})",
                counted(meta.postings, "posting"),
                bytes(postings),
                counted(meta.blocks, "block"),
                counted(meta.summary_components, "summary component"),
                bytes(summaries)
            ))?;
        }
    }
    index.segments().iter().filter_map(|s| s.tokens()).try_for_each(super::tokens::show)?;
    let measured = |s: &&quarry_index::Segment| s.documents().len() >= LEAST_MEASURED;
    index.segments().iter().filter_map(|s| s.dense()).try_for_each(super::dense::show)?;
    let graphs = index.segments().iter().filter_map(|s| s.neighbours());
    graphs.into_iter().try_for_each(super::dense::show_graph)?;
    for table in index.segments().iter().filter(measured).filter_map(|s| s.calibration()) {
        super::tune::show(table)?;
    }
    let mut rows =
        vec![vec!["part".to_owned(), "bytes".to_owned(), "size".to_owned(), "file".to_owned()]];
    for part in manifest.parts() {
        rows.push(vec![part.kind.clone(), count(part.bytes), bytes(part.bytes), part.file.clone()]);
    }
    rows.push(vec!["all".to_owned(), count(total), bytes(total), String::new()]);
    line("")?;
    crate::output::text(&table(&rows))?;
    Ok(())
}
