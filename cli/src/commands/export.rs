//! `quarry export DIR --format FORMAT --out FILE`

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::ValueEnum;
use quarry_datasets::OutputFile;
use quarry_datasets::export::{
    CiffExport, CiffReport, Exported, VectorRecord, Visit, write_ciff, write_csr, write_json_line,
    write_name, write_seismic_bin,
};
use quarry_datasets::read_vocabulary;
use quarry_engine::{Collection, OpenOptions};
use quarry_index::lexicon::Lexicon;
use quarry_index::text::StoredDocument;
use quarry_index::{Index, Segment, Verify};
use quarry_vectors::{DocId, SparseVector, TermId};
use serde_json::json;

use crate::applies::Given;
use crate::bytes::parse_bytes;
use crate::exit::Usage;
use crate::output::{bytes, counted, line, note};
use crate::outputs::expect_apart;
use crate::progress::Progress;
use crate::queries::{OF_QUERIES, QueryArgs};
use crate::told::told;
use crate::{models, queries};

/// Write the vectors of an index, or of queries, in the format of another engine
///
/// Weights are those that the index stores. Documents come segment by segment, in the order of the collection,
/// or by cluster if the index has clusters; deleted ones are left out. If the format has no room for names,
/// FILE.ids.txt has one id a line, and FILE.vocab.txt the token of each term. A FILE that ends in .gz or
/// .zst is compressed.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder of the index
    dir: PathBuf,
    /// Format of FILE
    #[arg(long, value_enum)]
    format: FormatArg,
    /// File to write the vectors to
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Replace existing files
    #[arg(long)]
    overwrite: bool,
    /// Write the vectors of this file's queries instead of documents, by the terms of the index
    #[arg(long, value_name = "FILE")]
    queries: Option<PathBuf>,
    #[command(flatten)]
    query_args: QueryArgs,
    /// With --queries: file of the tokens that term numbers stand for, one a line, for .bin and .csr
    #[arg(long, value_name = "FILE", requires = "queries")]
    vocab: Option<PathBuf>,
    /// With --queries: model of the queries, if they go through a network
    #[arg(long, value_name = "MODEL", requires = "queries")]
    model: Option<String>,
    /// Write each passage as a document of its own, named ID#0, ID#1 and so on
    #[arg(long)]
    passages: bool,
    /// With jsonl: also write titles, texts and other fields
    #[arg(long)]
    texts: bool,
    /// With ciff: number of bits of an impact, 2 to 24
    #[arg(long, value_name = "N", default_value_t = 8)]
    bits: u32,
    /// With ciff: impact of a weight of 1 [default: lossless if the index's levels fit --bits, else such that
    /// the largest weight has the largest impact]
    #[arg(long, value_name = "X")]
    scale: Option<f64>,
    /// With ciff: most memory for postings; less memory needs more passes
    #[arg(long, value_name = "BYTES", default_value = "1GiB", value_parser = parse_bytes)]
    memory: u64,
    /// Print a report as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FormatArg {
    /// Common Index File Format: an inverted index with whole impacts.
    Ciff,
    /// BigANN's sparse matrix, with ids and vocabulary beside it.
    Csr,
    /// Seismic's inner binary format, with ids and vocabulary beside it.
    Seismic,
    /// One JSON object a line: {"id": ..., "vector": {token: weight}}.
    Jsonl,
}

impl Args {
    /// Refuses options that would do nothing.
    pub(crate) fn check(&self, given: Given<'_>) -> Result<(), Usage> {
        let ciff = self.format == FormatArg::Ciff;
        given.only_if(ciff, &["bits", "scale", "memory"], "it is about --format ciff")?;
        let queries = self.queries.is_some();
        given.only_if(queries, &OF_QUERIES, "it is about --queries")?;
        given.only_if(!queries, &["passages"], "queries have none; leave one of the two out")?;
        let texts = self.format == FormatArg::Jsonl && !queries;
        given.only_if(texts, &["texts"], "only documents as jsonl have room for texts")?;
        if queries && ciff {
            let text = "--queries: CIFF holds documents; take csr, seismic or jsonl";
            return Err(Usage(text.to_owned()));
        }
        if !(2..=24).contains(&self.bits) {
            return Err(Usage(format!("--bits {}: 2 to 24 were expected", self.bits)));
        }
        if self.scale.is_some_and(|scale| !(scale.is_finite() && scale > 0.0)) {
            return Err(Usage("--scale: a finite number above 0 was expected".to_owned()));
        }
        Ok(())
    }
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    // What is damaged here would be whole elsewhere.
    let index = Arc::new(Index::open(&args.dir, Verify::Full)?);
    let Some(lexicon) = index.lexicon().filter(|_| index.has_sparse()) else {
        bail!("{}: the index has no vectors to export", args.dir.display());
    };
    let split = index.segments().iter().any(|s| s.documents().has_passages());
    if split && !args.passages && args.queries.is_none() {
        bail!(
            "{}: documents are split into passages, and each passage has its vector; --passages writes \
             each as a document of its own, named ID#0, ID#1 and so on",
            args.dir.display()
        );
    }
    let progress = Progress::new(false);
    let asked = match &args.queries {
        Some(file) => Some(of_queries(&index, args, file)?),
        None => None,
    };
    let what = if asked.is_some() { "query" } else { "document" };
    let source = Source { index: &index, asked: asked.as_deref(), progress: &progress };
    let passes = Cell::new(0);
    let pass = |visit: Visit<'_, anyhow::Error>| source.pass(&passes, visit);
    // Terms that stand for larger numbers are written as these.
    let by_number = |visit: Visit<'_, anyhow::Error>| match lexicon.spread() {
        None => pass(visit),
        Some(_) => pass(&mut |id, vector| {
            let numbers = vector.iter().map(|(term, w)| (lexicon.number(TermId(term)), w));
            visit(id, &SparseVector::from_pairs(numbers)?)
        }),
    };
    let tokens: Vec<String> = (0..lexicon.len()).map(|t| lexicon.token(TermId(t))).collect();
    let named = matches!(args.format, FormatArg::Csr | FormatArg::Seismic);
    let names = ["ids.txt", "vocab.txt"].map(|end| beside_path(&args.out, end));
    for out in names.iter().filter(|_| named).chain([&args.out]) {
        expect_apart(out, &[args.queries.as_deref(), args.vocab.as_deref()])?;
    }
    if named {
        names.iter().try_for_each(|path| OutputFile::check(path, args.overwrite))?;
    }
    let mut out = OutputFile::create(&args.out, args.overwrite)?;
    let mut ciff = None;
    let written = match args.format {
        FormatArg::Ciff => {
            let report = write_ciff(&mut out, &ciff_export(args, &index, &tokens), &pass)?;
            let exported = Exported { documents: report.documents, components: report.postings };
            ciff = Some(report);
            exported
        }
        FormatArg::Csr => write_csr(&mut out, columns(lexicon), &by_number)?,
        FormatArg::Seismic => write_seismic_bin(&mut out, &by_number)?,
        FormatArg::Jsonl => write_lines(&mut out, (&source, &passes), args.texts, &tokens)?,
    };
    let files = if named {
        beside((&names, args.overwrite), lexicon.is_named().then_some(tokens.as_slice()), &pass)?
    } else {
        Vec::new()
    };
    progress.finish();
    // What names the vectors is there before they are.
    for (path, file) in files {
        file.commit()?;
        note(format!("wrote {}", path.display()));
    }
    let size = out.commit()?;
    report(args, (what, written, size), ciff.as_ref())
}

fn report(
    args: &Args,
    (what, written, size): (&str, Exported, u64),
    ciff: Option<&CiffReport>,
) -> anyhow::Result<()> {
    if args.json {
        return crate::output::json(&json!({
            "documents": written.documents,
            "components": written.components,
            "bytes": size,
            "lists": ciff.map(|c| c.lists),
            "scale": ciff.map(|c| c.scale),
            "max_error": ciff.map(|c| c.max_error),
            "distorted": ciff.map(|c| c.distorted),
            "passes": ciff.map(|c| c.passes),
            "description": ciff.map(|c| c.description.as_str()),
        }));
    }
    line(format!(
        "{}: {}, {}, {}",
        args.out.display(),
        counted(written.documents, what),
        counted(written.components, "component"),
        bytes(size)
    ))?;
    if let Some(ciff) = ciff {
        line(format!(
            "{}; impacts of {} bits, weight = impact / {}; largest error {:.2e}",
            counted(ciff.lists, "list"),
            args.bits,
            ciff.scale,
            ciff.max_error
        ))?;
        for list in &ciff.distorted_lists {
            note(format!(
                "note: {} of {} impacts of `{}` are off by more than half their weight; {}",
                list.distorted,
                list.postings,
                list.token,
                if args.bits < 24 { "--bits 24 keeps more" } else { "--format csr keeps floats" }
            ));
        }
    }
    Ok(())
}

/// One more than the largest number of a term.
fn columns(lexicon: &Lexicon) -> u32 {
    let largest = lexicon.spread().and_then(|spread| spread.numbers.iter().max());
    largest.map_or(0, |n| n.saturating_add(1)).max(lexicon.len())
}

/// The vectors of queries, by id.
fn of_queries(
    index: &Arc<Index>,
    args: &Args,
    file: &Path,
) -> anyhow::Result<Vec<(String, SparseVector)>> {
    let read = args.query_args.read(file, Some("test"))?;
    let mut options = OpenOptions::default();
    options.models = models::models();
    options.queries = models::of_queries(args.model.as_deref());
    let collection = Collection::of_index(Arc::clone(index), &options).map_err(told)?;
    let names = args.vocab.as_deref().map(read_vocabulary).transpose()?;
    let vectors = queries::vectors(&collection.snapshot(), &read, names.as_deref())?;
    Ok(read.into_iter().map(|query| query.id).zip(vectors).collect())
}

fn ciff_export<'a>(args: &Args, index: &Index, tokens: &'a [String]) -> CiffExport<'a> {
    // Levels of one step are impacts as they are, where the bits have room for all of them.
    let mut steps = index.segments().iter().filter_map(Segment::forward);
    let step = steps.next().map(|first| first.meta().quantization.scale);
    let step = step.filter(|step| steps.all(|f| f.meta().quantization.scale == *step));
    CiffExport {
        tokens,
        bits: args.bits,
        scale: args.scale,
        step,
        memory: args.memory,
        description: concat!("quarry ", env!("CARGO_PKG_VERSION")),
    }
}

/// What is exported: documents of an index, or queries.
struct Source<'a> {
    index: &'a Index,
    asked: Option<&'a [(String, SparseVector)]>,
    progress: &'a Progress,
}

impl Source<'_> {
    /// Goes through all vectors once, with a bar.
    fn pass(&self, passes: &Cell<u64>, visit: Visit<'_, anyhow::Error>) -> anyhow::Result<()> {
        passes.set(passes.get() + 1);
        if let Some(asked) = self.asked {
            return asked.iter().try_for_each(|(id, vector)| visit(id, vector));
        }
        self.documents(passes.get(), &mut |_, _, id, vector| visit(id, vector))
    }

    /// Goes through the documents that are not deleted.
    fn documents(
        &self,
        pass: u64,
        visit: &mut dyn FnMut(&Segment, DocId, &str, &SparseVector) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let total = self.index.segments().iter().map(|s| s.entry().rows).sum();
        self.progress.stage(&format!("pass {pass}"), 0);
        let mut done = 0u64;
        for segment in self.index.segments() {
            let forward = segment.forward().context("a segment without vectors")?;
            forward.scan(|doc, record| {
                done += 1;
                if done.is_multiple_of(4096) || done == total {
                    self.progress.set(done, Some(total), "documents", "");
                }
                if segment.deleted().is_some_and(|deleted| deleted.contains(doc.0)) {
                    return Ok(());
                }
                let id = segment.documents().id(doc);
                let vector = forward.vector_of(doc, &record)?;
                match self.passage_name(segment, doc, id)? {
                    Some(name) => visit(segment, doc, &name, &vector),
                    None => visit(segment, doc, id, &vector),
                }
            })?;
        }
        Ok(())
    }

    /// The name of a passage; none for a whole document.
    fn passage_name(
        &self,
        segment: &Segment,
        doc: DocId,
        id: &str,
    ) -> anyhow::Result<Option<String>> {
        // A document that was not split has bytes 0..0.
        let Some(passage) = segment.documents().passage(doc).filter(|p| !p.bytes.is_empty()) else {
            return Ok(None);
        };
        let name = format!("{id}#{}", passage.ordinal);
        let taken = |s: &Segment| s.documents().find(&name).next().is_some();
        if self.index.segments().iter().any(taken) {
            bail!(
                "passage {} of `{id}` would be named `{name}`, as a document is",
                passage.ordinal
            );
        }
        Ok(Some(name))
    }
}

fn write_lines(
    out: &mut OutputFile,
    (source, passes): (&Source<'_>, &Cell<u64>),
    texts: bool,
    tokens: &[String],
) -> anyhow::Result<Exported> {
    let mut written = Exported::default();
    let mut pairs: Vec<(String, f32)> = Vec::new();
    let mut push = |id: &str, vector: &SparseVector, stored: &StoredDocument| {
        pairs.clear();
        for (term, weight) in vector.iter() {
            let token = tokens.get(term as usize).context("a term beyond the vocabulary")?;
            pairs.push((token.clone(), weight));
        }
        let StoredDocument { title, text, fields } = stored;
        write_json_line(out, &VectorRecord { id, title, text, fields, vector: &pairs })?;
        written.documents += 1;
        written.components += vector.len() as u64;
        Ok(())
    };
    let none = StoredDocument::default();
    if source.asked.is_some() {
        source.pass(passes, &mut |id, vector| push(id, vector, &none))?;
    } else {
        source.documents(1, &mut |segment, doc, id, vector| match segment.text() {
            Some(text) if texts => push(id, vector, &text.stored(doc)?),
            _ => push(id, vector, &none),
        })?;
    }
    Ok(written)
}

/// The files of names beside FILE, not yet there.
fn beside<'a>(
    ([ids, tokens], overwrite): (&'a [PathBuf; 2], bool),
    vocabulary: Option<&[String]>,
    pass: &dyn Fn(Visit<'_, anyhow::Error>) -> anyhow::Result<()>,
) -> anyhow::Result<Vec<(&'a Path, OutputFile)>> {
    let hint = "its name cannot stand in a file of lines; --format jsonl or ciff takes any name";
    let mut file = OutputFile::create(ids, overwrite)?;
    pass(&mut |id, _| Ok(write_name(&mut file, "id", id)?)).context(hint)?;
    let mut files = vec![(ids.as_path(), file)];
    if let Some(vocabulary) = vocabulary {
        let mut file = OutputFile::create(tokens, overwrite)?;
        vocabulary
            .iter()
            .try_for_each(|token| write_name(&mut file, "token", token))
            .context(hint)?;
        files.push((tokens.as_path(), file));
    }
    Ok(files)
}

/// `x.csr.gz` becomes `x.csr.ids.txt`.
fn beside_path(out: &Path, end: &str) -> PathBuf {
    let plain = match out.extension() {
        Some(found) if found == "gz" || found == "zst" => out.with_extension(""),
        _ => out.to_path_buf(),
    };
    let mut name = plain.into_os_string();
    name.push(".");
    name.push(end);
    PathBuf::from(name)
}
