//! The Common Index File Format: weights as impacts, postings by term.
//!
//! 1. count each term's postings and find the largest weight  2. decide the scale, sum the impacts:
//!    the header stands first  3. for each run of terms, in bytewise order, whose postings fit the
//!    memory: go through the documents once and keep their postings, then write the lists
//! 4. go through them again for the document records
//!
//! impact = round(weight * scale), at least 1: a component never vanishes. Where many weights are too small
//! for the scale that the heaviest one asks for, their impacts would say nothing: that is refused.

use std::io::Write;

use prost::Message;

use super::{Pass, cannot, put};
use crate::ciff::{DocRecord, Header, Posting, PostingsList, VERSION};
use crate::error::DatasetError;

/// Bytes a posting takes in memory.
const KEPT_BYTES: u64 = 8;
/// Bits an impact may have: a 32-bit float holds whole numbers of this many bits.
const BITS: std::ops::RangeInclusive<u32> = 2..=24;
/// At most one posting in this many may have an impact that is off by more than half its weight.
const ONE_IN: u64 = 10;
/// Lists that a report names.
const NAMED: usize = 5;

/// How a CIFF file is written.
#[derive(Debug, Clone)]
pub struct CiffExport<'a> {
    /// The token of each term, by its number.
    pub tokens: &'a [String],
    /// Bits of an impact, 2 to 24: the largest is 2^bits - 1.
    pub bits: u32,
    /// Impacts a unit of weight. `None` takes one with which nothing is lost, where there is one: that of
    /// `step`, or 1 for whole weights; else what makes the largest weight the largest impact.
    pub scale: Option<f64>,
    /// The step that weights may be whole multiples of, as an index stores them.
    pub step: Option<f64>,
    /// Bytes that postings may take at a time; a longer list is held alone.
    pub memory: u64,
    /// Stands in the header, before what it says of the scale.
    pub description: &'a str,
}

/// What was written.
#[derive(Debug, Clone, PartialEq)]
pub struct CiffReport {
    /// Documents.
    pub documents: u64,
    /// Postings of all lists.
    pub postings: u64,
    /// Terms that have one.
    pub lists: u64,
    /// Impacts a unit of weight: divided by it, impacts are weights again.
    pub scale: f64,
    /// Largest |weight - impact / scale|.
    pub max_error: f64,
    /// Postings whose impact is off by more than half their weight.
    pub distorted: u64,
    /// The lists that have most of them.
    pub distorted_lists: Vec<DistortedList>,
    /// Times that the documents were gone through.
    pub passes: u64,
    /// The header's description.
    pub description: String,
}

/// A list with postings whose impacts are off by more than half their weight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DistortedList {
    /// Its token.
    pub token: String,
    /// Its postings.
    pub postings: u32,
    /// Those of them.
    pub distorted: u32,
}

/// Writes all documents.
///
/// # Errors
/// When more than a tenth of all postings would be off by more than half their weight, a number does not fit CIFF's 31 bits, two terms have one token, the scale is too large for the
/// bits, or the disk refuses.
pub fn write_ciff<E: From<DatasetError>>(
    out: &mut impl Write,
    export: &CiffExport<'_>,
    pass: Pass<'_, E>,
) -> Result<CiffReport, E> {
    if !BITS.contains(&export.bits) {
        return Err(cannot(format!("impacts of {} bits; 2 to 24 are possible", export.bits)).into());
    }
    let Counted { df, heaviest, kept_by } = count(export, pass)?;
    let order = order(export.tokens, &df)?;
    let quantizer = Quantizer::new(export, kept_by, heaviest.weight)?;
    let finest = Quantizer::spread(*BITS.end(), heaviest.weight);
    let mut distorted_at_best = 0u64;
    let mut report = CiffReport {
        documents: 0,
        postings: df.iter().map(|n| u64::from(*n)).sum(),
        lists: order.len() as u64,
        scale: quantizer.scale,
        max_error: 0.0,
        distorted: 0,
        distorted_lists: Vec::new(),
        passes: 3,
        description: format!(
            "{}; impacts of {} bits, weight = impact / {}",
            export.description, export.bits, quantizer.scale
        ),
    };
    let mut total = 0u64;
    let mut distorted = vec![0u32; export.tokens.len()];
    pass(&mut |_, vector| {
        report.documents += 1;
        for (term, weight) in vector.iter() {
            let impact = quantizer.impact(weight)?;
            total += u64::from(impact);
            let error = (f64::from(weight) - f64::from(impact) / quantizer.scale).abs();
            report.max_error = report.max_error.max(error);
            let error_at_best = (f64::from(weight) - finest.nearest(weight)).abs();
            distorted_at_best += u64::from(error_at_best > 0.5 * f64::from(weight));
            if error > 0.5 * f64::from(weight)
                && let Some(count) = distorted.get_mut(term as usize)
            {
                *count += 1;
            }
        }
        Ok(())
    })?;
    report.distorted = distorted.iter().map(|n| u64::from(*n)).sum();
    if report.distorted.saturating_mul(ONE_IN) > report.postings {
        let more_bits = distorted_at_best.saturating_mul(ONE_IN) <= report.postings;
        return Err(too_coarse(export, (&report, more_bits), &heaviest).into());
    }
    let mut worst: Vec<u32> =
        order.iter().copied().filter(|t| distorted[*t as usize] > 0).collect();
    worst.sort_by_key(|term| std::cmp::Reverse(distorted[*term as usize]));
    let named = worst.iter().take(NAMED).map(|term| DistortedList {
        token: export.tokens[*term as usize].clone(),
        postings: df[*term as usize],
        distorted: distorted[*term as usize],
    });
    report.distorted_lists = named.collect();
    let header = header(&report, total)?;
    message(out, &header)?;
    let mut rest = order.as_slice();
    while !rest.is_empty() {
        let (run, later) = rest.split_at(fitting(rest, &df, export.memory));
        lists(out, (run, &df), (export.tokens, &quantizer), pass)?;
        report.passes += 1;
        rest = later;
    }
    let mut docid = 0;
    pass(&mut |id, vector| {
        let mut length = 0u64;
        for weight in vector.weights() {
            length += u64::from(quantizer.impact(*weight)?);
        }
        let doclength =
            i32(length, "impacts of a document together; fewer bits make them smaller")?;
        message(out, &DocRecord { docid, collection_docid: id.to_owned(), doclength })?;
        docid += 1;
        Ok(())
    })?;
    if docid != header.num_docs {
        return Err(cannot("the documents changed while they were written".into()).into());
    }
    Ok(report)
}

/// The largest weight, and the document that has it.
#[derive(Debug, Default)]
struct Heaviest {
    weight: f32,
    document: String,
}

/// The refusal of impacts that say too little of the weights.
fn too_coarse(
    export: &CiffExport<'_>,
    (report, more_bits): (&CiffReport, bool),
    heaviest: &Heaviest,
) -> DatasetError {
    let advice = if export.scale.is_some() {
        "give a larger --scale, or none"
    } else if export.bits < *BITS.end() && more_bits {
        "give --bits 24"
    } else {
        "export as csr (--format csr), which keeps floats"
    };
    cannot(format!(
        "impacts of {} bits cannot hold these weights: {} of {} postings would be off by more than half \
         their weight, since the heaviest, {} in document `{}`, asks for a scale of {}; {advice}",
        export.bits,
        report.distorted,
        report.postings,
        heaviest.weight,
        heaviest.document,
        report.scale
    ))
}

/// What the first pass finds.
struct Counted {
    /// Postings of each term.
    df: Vec<u32>,
    heaviest: Heaviest,
    /// A scale with which every weight is a whole impact of the bits there are, to the bit.
    kept_by: Option<f64>,
}

fn count<E: From<DatasetError>>(export: &CiffExport<'_>, pass: Pass<'_, E>) -> Result<Counted, E> {
    let most = f64::from((1u32 << export.bits) - 1);
    let mut scales: Vec<f64> =
        export.step.map(|step| 1.0 / step).into_iter().chain([1.0]).collect();
    let (mut df, mut heaviest) = (vec![0u32; export.tokens.len()], Heaviest::default());
    pass(&mut |id, vector| {
        for (term, weight) in vector.iter() {
            let Some(df) = df.get_mut(term as usize) else {
                return Err(cannot(format!("term {term} of `{id}` has no token")).into());
            };
            *df = df.checked_add(1).ok_or_else(|| cannot("2^32 documents".into()))?;
            if weight > heaviest.weight {
                heaviest = Heaviest { weight, document: id.to_owned() };
            }
            scales.retain(|scale| {
                let impact = (f64::from(weight) * scale).round();
                #[expect(clippy::cast_possible_truncation, reason = "compared with a weight")]
                let again = (impact / scale) as f32;
                (1.0..=most).contains(&impact) && again.to_bits() == weight.to_bits()
            });
        }
        Ok(())
    })?;
    Ok(Counted { df, heaviest, kept_by: scales.first().copied() })
}

/// The terms that have postings, by bytes of their tokens.
fn order(tokens: &[String], df: &[u32]) -> Result<Vec<u32>, DatasetError> {
    let token = |term: u32| tokens[term as usize].as_str();
    let mut order: Vec<u32> = (0..).zip(df).filter(|(_, df)| **df > 0).map(|(t, _)| t).collect();
    order.sort_unstable_by(|a, b| token(*a).cmp(token(*b)));
    if let Some(pair) = order.windows(2).find(|w| token(w[0]) == token(w[1])) {
        return Err(cannot(format!("two terms have the token {:?}", token(pair[0]))));
    }
    if order.first().is_some_and(|term| token(*term).is_empty()) {
        return Err(cannot("a term has an empty token".into()));
    }
    Ok(order)
}

/// How many of the terms fit the memory together, one at least.
fn fitting(terms: &[u32], df: &[u32], memory: u64) -> usize {
    let mut bytes = 0;
    let fits = |term: &&u32| {
        bytes += KEPT_BYTES * u64::from(df[**term as usize]);
        bytes <= memory
    };
    terms.iter().take_while(fits).count().max(1)
}

/// Writes the lists of `terms`, ascending by token.
fn lists<E: From<DatasetError>>(
    out: &mut impl Write,
    (terms, df): (&[u32], &[u32]),
    (tokens, quantizer): (&[String], &Quantizer),
    pass: Pass<'_, E>,
) -> Result<(), E> {
    // Of each term of the run the place of its next posting.
    let mut next = vec![usize::MAX; df.len()];
    let mut end = 0;
    for term in terms {
        next[*term as usize] = end;
        end += df[*term as usize] as usize;
    }
    let changed = || cannot("the documents changed while they were written".into());
    let mut postings = vec![(0u32, 0u32); end];
    let mut document = 0u32;
    pass(&mut |_, vector| {
        for (term, weight) in vector.iter() {
            let place = next.get_mut(term as usize).ok_or_else(changed)?;
            if *place != usize::MAX {
                *postings.get_mut(*place).ok_or_else(changed)? =
                    (document, quantizer.impact(weight)?);
                *place += 1;
            }
        }
        document = document.wrapping_add(1);
        Ok(())
    })?;
    let mut rest = postings.as_slice();
    for term in terms {
        let (list, later) = rest.split_at(df[*term as usize] as usize);
        rest = later;
        let mut before = 0;
        let mut cf = 0i64;
        let mut gaps = Vec::with_capacity(list.len());
        for (document, impact) in list {
            // The first gap is the docid itself.
            let gap = document.checked_sub(before).ok_or_else(changed)?;
            before = *document;
            cf += i64::from(*impact);
            gaps.push(Posting {
                docid: i32(u64::from(gap), "docids")?,
                tf: i32(u64::from(*impact), "impacts")?,
            });
        }
        let df = i64::from(df[*term as usize]);
        let term = tokens[*term as usize].clone();
        message(out, &PostingsList { term, df, cf, postings: gaps })?;
    }
    Ok(())
}

fn header(report: &CiffReport, total: u64) -> Result<Header, DatasetError> {
    let lists = i32(report.lists, "lists")?;
    let documents = i32(report.documents, "documents")?;
    #[expect(clippy::cast_precision_loss, reason = "a mean")]
    let average = if documents == 0 { 0.0 } else { total as f64 / f64::from(documents) };
    Ok(Header {
        version: VERSION,
        num_postings_lists: lists,
        num_docs: documents,
        total_postings_lists: lists,
        total_docs: documents,
        total_terms_in_collection: i64::try_from(total)
            .map_err(|_| cannot("impacts that add up to 2^63".into()))?,
        average_doclength: average,
        description: report.description.clone(),
    })
}

/// From weights to impacts.
struct Quantizer {
    scale: f64,
    most: u32,
}

impl Quantizer {
    /// That which makes the largest weight the largest impact.
    fn spread(bits: u32, largest: f32) -> Self {
        let most = (1u32 << bits) - 1;
        let scale = if largest > 0.0 { f64::from(most) / f64::from(largest) } else { 1.0 };
        Self { scale, most }
    }

    /// What the impact of a weight stands for.
    fn nearest(&self, weight: f32) -> f64 {
        (f64::from(weight) * self.scale).round().max(1.0) / self.scale
    }

    fn new(
        export: &CiffExport<'_>,
        kept_by: Option<f64>,
        largest: f32,
    ) -> Result<Self, DatasetError> {
        let Self { scale, most } = Self::spread(export.bits, largest);
        let scale = export.scale.or(kept_by).unwrap_or(scale);
        if !(scale.is_finite() && scale > 0.0) {
            return Err(cannot(format!("a scale of {scale}")));
        }
        Ok(Self { scale, most })
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to lie between 0 and 2^24"
    )]
    fn impact(&self, weight: f32) -> Result<u32, DatasetError> {
        let impact = (f64::from(weight) * self.scale).round().max(1.0);
        if impact <= f64::from(self.most) {
            return Ok(impact as u32);
        }
        let (most, scale) = (self.most, self.scale);
        Err(cannot(format!("weight {weight} times {scale} exceeds the largest impact, {most}")))
    }
}

fn message(out: &mut impl Write, message: &impl Message) -> Result<(), DatasetError> {
    put(out, &message.encode_length_delimited_to_vec())
}

fn i32(number: u64, what: &str) -> Result<i32, DatasetError> {
    i32::try_from(number)
        .map_err(|_| cannot(format!("{number} exceeds CIFF's limit of 2147483647 {what}")))
}
