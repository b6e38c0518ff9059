//! Filters in words: tantivy's query syntax over the documents' other fields, such as
//! `year:[1998 TO 1999] AND topic:ice`.
//!
//! 1. parse the expression, and refuse fields that no document has  2. collect the rows of each
//!    segment that match, as a bitmap
//!
//! Values are compared as they were read: whole strings, case and all, numbers and booleans by value.

use std::collections::BTreeSet;

use quarry_index::text::{TextIndex, tokenizers};
use roaring::RoaringBitmap;
use tantivy::Term;
use tantivy::query::{EnableScoring, Occur, QueryParser};
use tantivy::query_grammar::{UserInputAst, UserInputBound, UserInputLeaf, parse_query};
use tantivy::time::OffsetDateTime;
use tantivy::time::format_description::well_known::Rfc3339;

use crate::{Filter, SearchError, Searcher};

/// The text part's field of the documents' other fields.
const FIELDS: &str = "fields";

impl Searcher {
    /// A filter that allows the documents which match `expression`. Cost: reads the postings of the
    /// expression's terms.
    ///
    /// # Errors
    /// [`SearchError::Filter`] when the expression cannot be parsed or names a field that no document
    /// has; [`SearchError::NoText`] when the index stores no documents.
    pub fn filter(&self, expression: &str) -> Result<Filter, SearchError> {
        let refuse =
            |reason: String| SearchError::Filter { expression: expression.to_owned(), reason };
        let texts: Option<Vec<&TextIndex>> =
            self.index().segments().iter().map(quarry_index::Segment::text).collect();
        let texts = texts.ok_or(SearchError::NoText)?;
        if expression.trim().is_empty() {
            return Err(refuse("it is empty; leave it out to allow all documents".into()));
        }
        let mut parsed = parse_query(expression)
            .map_err(|_| refuse("it is no expression of tantivy's query syntax".into()))?;
        let mut fields = BTreeSet::new();
        prepare(&mut parsed, &mut fields).map_err(&refuse)?;
        for field in fields {
            if !texts.iter().any(|text| has_field(text, &field)) {
                return Err(refuse(format!("no document has a field `{field}`")));
            }
        }
        let mut allowed = Vec::with_capacity(texts.len());
        for text in texts {
            let schema = text.reader().schema();
            let parser = QueryParser::new(schema.clone(), vec![text.fields().fields], tokenizers());
            let query = parser.build_query_from_user_input_ast(parsed.clone());
            let query = query.map_err(|e| refuse(e.to_string()))?;
            let weight = query
                .weight(EnableScoring::disabled_from_schema(schema))
                .map_err(|e| refuse(e.to_string()))?;
            let mut rows = RoaringBitmap::new();
            weight
                .for_each_no_score(text.reader(), &mut |docs| rows.extend(docs.iter().copied()))
                .map_err(|e| refuse(e.to_string()))?;
            allowed.push(rows);
        }
        self.filter_of(&allowed)
    }
}

/// Makes an expression what tantivy runs as it reads, and collects the fields that it names.
///
/// Fields are put below the JSON field that holds them; what only excludes excludes from all
/// documents; a range whose ends are an integer and a fraction becomes two ranges, as tantivy takes
/// ends of one type alone.
fn prepare(ast: &mut UserInputAst, names: &mut BTreeSet<String>) -> Result<(), String> {
    match ast {
        UserInputAst::Clause(clauses) => {
            clauses.iter_mut().try_for_each(|(_, ast)| prepare(ast, names))?;
            let excludes = |occur: Option<Occur>| occur == Some(Occur::MustNot);
            if !clauses.is_empty() && clauses.iter().all(|(occur, _)| excludes(*occur)) {
                clauses.push((Some(Occur::Must), UserInputLeaf::All.into()));
            }
            Ok(())
        }
        UserInputAst::Boost(ast, _) => prepare(ast, names),
        UserInputAst::Leaf(leaf) => {
            let field = match &mut **leaf {
                UserInputLeaf::Literal(literal) => literal.field_name.as_mut(),
                UserInputLeaf::Exists { field } => Some(field),
                UserInputLeaf::Range { field, .. }
                | UserInputLeaf::Set { field, .. }
                | UserInputLeaf::Regex { field, .. } => field.as_mut(),
                UserInputLeaf::All => return Ok(()),
            };
            let field = field.ok_or("a value without a field; write FIELD:VALUE")?;
            names.insert(field.clone());
            *field = format!("{FIELDS}.{field}");
            if let UserInputLeaf::Range { field, lower, upper } = &mut **leaf {
                let kinds = [kind(lower), kind(upper)];
                if let [Some(low), Some(high)] = kinds
                    && low != high
                {
                    if !(low.is_number() && high.is_number()) {
                        return Err(format!("a range from {low:?} to {high:?}"));
                    }
                    let part = |lower, upper| {
                        let field = field.clone();
                        (Some(Occur::Must), UserInputLeaf::Range { field, lower, upper }.into())
                    };
                    let parts = vec![
                        part(lower.clone(), UserInputBound::Unbounded),
                        part(UserInputBound::Unbounded, upper.clone()),
                    ];
                    *ast = UserInputAst::Clause(parts);
                }
            }
            Ok(())
        }
    }
}

/// What tantivy takes the end of a range for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Date,
    Integer,
    LargeInteger,
    Fraction,
    Boolean,
    Text,
}

impl Kind {
    fn is_number(self) -> bool {
        matches!(self, Self::Integer | Self::LargeInteger | Self::Fraction)
    }
}

fn kind(bound: &UserInputBound) -> Option<Kind> {
    let text = match bound {
        UserInputBound::Inclusive(text) | UserInputBound::Exclusive(text) => text.trim(),
        UserInputBound::Unbounded => return None,
    };
    #[expect(clippy::cast_precision_loss, reason = "as tantivy compares them")]
    let (least, most, all) = (i64::MIN as f64, i64::MAX as f64, u64::MAX as f64);
    Some(if OffsetDateTime::parse(text, &Rfc3339).is_ok() {
        Kind::Date
    } else if text.parse::<i64>().is_ok() {
        Kind::Integer
    } else if text.parse::<u64>().is_ok() {
        Kind::LargeInteger
    } else if let Ok(value) = text.parse::<f64>() {
        match value.fract() == 0.0 {
            true if value >= least && value <= most => Kind::Integer,
            true if value >= 0.0 && value <= all => Kind::LargeInteger,
            _ => Kind::Fraction,
        }
    } else if text.parse::<bool>().is_ok() {
        Kind::Boolean
    } else {
        Kind::Text
    })
}

/// Whether any document of the segment has a value at the path.
fn has_field(text: &TextIndex, path: &str) -> bool {
    let field = text.fields().fields;
    let Ok(inverted) = text.reader().inverted_index(field) else { return false };
    let prefix = Term::from_field_json_path(field, path, false);
    let prefix = prefix.serialized_value_bytes().to_vec();
    let Ok(mut terms) = inverted.terms().range().ge(&prefix).into_stream() else { return false };
    // A path ends before its values' type; one that goes on is a longer name.
    terms.advance() && terms.key().strip_prefix(prefix.as_slice()).is_some()
}
