//! Filters in words, over the documents' other fields, such as `year:[1998 TO 1999] AND topic:ice`.
//!
//! 1. parse (`syntax.rs`)  2. resolve each field's types and the values to match (`values.rs`); a field
//!    that no document has is an error  3. collect the rows of each segment
//!    that match, test by test, as bitmaps, and join these
//!
//! The rows of a test are read from tantivy's postings, ranges from its columns. Cost: those postings
//! and columns; the deadline is looked at while they are read.

use std::collections::BTreeMap;
use std::time::Instant;

use quarry_index::fields::FieldRules;
use quarry_index::guarded;
use quarry_index::text::TextIndex;
use roaring::RoaringBitmap;
use tantivy::columnar::ColumnType;
use tantivy::query::{EnableScoring, ExistsQuery, Query, RangeQuery};
use tantivy::schema::IndexRecordOption;
use tantivy::{DocSet, TERMINATED, Term};

use crate::error::SearchError;
use crate::filter::Filter;
use crate::filter::syntax::{Expression, Occur, parse};
use crate::filter::values::{Kinds, Wanted, existing};
use crate::searcher::Searcher;

/// The text part's field of the documents' other fields.
pub(super) const FIELDS: &str = "fields";
/// Rows that are read between two looks at the clock.
const BETWEEN_LOOKS: usize = 1 << 14;
/// Characters of an expression, or of a field's name, that an error repeats.
const MOST_REPEATED: usize = 200;

/// An expression whose fields and values are understood.
enum Selection {
    All,
    /// Rows that any of these has, of the field at the path.
    Any(String, Vec<Wanted>),
    Clause(Vec<(Option<Occur>, Selection)>),
}

impl Searcher {
    /// A filter that allows the documents which match `expression`. Cost: reads the postings of the
    /// expression's terms.
    ///
    /// # Errors
    /// As [`Self::filter_until`], without a deadline.
    pub fn filter(&self, expression: &str) -> Result<Filter, SearchError> {
        self.filter_until(expression, None)
    }

    /// Like [`Self::filter`], but fails at `deadline`.
    ///
    /// # Errors
    /// [`SearchError::Filter`] when the expression cannot be parsed, names a field that no document
    /// has, or compares a field with a value that it cannot have; [`SearchError::NoText`] when the
    /// index stores no documents; [`SearchError::Timeout`].
    pub fn filter_until(
        &self,
        expression: &str,
        deadline: Option<Instant>,
    ) -> Result<Filter, SearchError> {
        let refuse =
            |reason: String| SearchError::Filter { expression: repeated(expression), reason };
        let texts: Option<Vec<&TextIndex>> =
            self.index().segments().iter().map(quarry_index::Segment::text).collect();
        let texts = texts.ok_or(SearchError::NoText)?;
        let parsed = parse(expression).map_err(&refuse)?;
        let selection = match texts.first() {
            Some(first) => guarded(first.path(), || self.understood(&texts, parsed, &refuse))?,
            None => self.understood(&texts, parsed, &refuse)?,
        };
        let mut allowed = Vec::with_capacity(texts.len());
        for text in texts {
            allowed.push(guarded(text.path(), || Rows { text, deadline }.of(&selection))?);
        }
        self.filter_of(&allowed)
    }

    /// Resolves an expression against the fields that there are.
    fn understood(
        &self,
        texts: &[&TextIndex],
        expression: Expression,
        refuse: &impl Fn(String) -> SearchError,
    ) -> Result<Selection, SearchError> {
        let there = There { texts, rules: &self.index().manifest().fields };
        resolve(there, expression, &mut BTreeMap::new(), refuse)
    }
}

/// The fields that there are, and the types that they were given.
#[derive(Clone, Copy)]
struct There<'a> {
    texts: &'a [&'a TextIndex],
    rules: &'a FieldRules,
}

fn repeated(text: &str) -> String {
    match text.char_indices().nth(MOST_REPEATED) {
        Some((at, _)) => format!("{}...", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// Its depth is that of the expression, which the parser bounds.
fn resolve(
    there: There<'_>,
    expression: Expression,
    known: &mut BTreeMap<String, Kinds>,
    refuse: &impl Fn(String) -> SearchError,
) -> Result<Selection, SearchError> {
    match expression {
        Expression::All => Ok(Selection::All),
        Expression::Clause(parts) => {
            let part = |(occur, part)| Ok((occur, resolve(there, part, known, refuse)?));
            parts.into_iter().map(part).collect::<Result<_, _>>().map(Selection::Clause)
        }
        Expression::Test { field, test } => {
            // An index without documents has no fields, and nothing to find.
            let Some(first) = there.texts.first() else {
                return Ok(Selection::Any(field, Vec::new()));
            };
            let kinds = match known.get(&field) {
                Some(kinds) => *kinds,
                None => {
                    let kinds = Kinds::of(there.texts, &field)?.ruled(there.rules.get(&field));
                    known.insert(field.clone(), kinds);
                    kinds
                }
            };
            if kinds.none() {
                let others = existing(there.texts)?;
                let field = repeated(&field);
                return Err(refuse(format!("no document has a field `{field}`; {others}")));
            }
            let wanted = kinds.understand(first.fields().fields, &field, &test);
            Ok(Selection::Any(field, wanted.map_err(refuse)?))
        }
    }
}

/// The rows of one segment.
struct Rows<'a> {
    text: &'a TextIndex,
    deadline: Option<Instant>,
}

impl Rows<'_> {
    fn of(&self, selection: &Selection) -> Result<RoaringBitmap, SearchError> {
        match selection {
            Selection::All => Ok(self.all()),
            Selection::Any(path, wanted) => {
                let mut rows = RoaringBitmap::new();
                for one in wanted {
                    self.look()?;
                    match one {
                        Wanted::Term(term) => self.term(term, &mut rows)?,
                        Wanted::Range(low, high) => {
                            self.column(&RangeQuery::new(low.clone(), high.clone()), &mut rows)?;
                        }
                        Wanted::Numbers(_, _, Some(most)) if self.above(path, *most)? => {}
                        Wanted::Numbers(low, high, _) => {
                            self.column(&RangeQuery::new(low.clone(), high.clone()), &mut rows)?;
                        }
                        Wanted::Exists => {
                            let exists = ExistsQuery::new(format!("{FIELDS}.{path}"), true);
                            self.column(&exists, &mut rows)?;
                        }
                    }
                }
                Ok(rows)
            }
            Selection::Clause(parts) => self.clause(parts),
        }
    }

    /// What must hold, else any alternative, else all; without what must not hold.
    fn clause(&self, parts: &[(Option<Occur>, Selection)]) -> Result<RoaringBitmap, SearchError> {
        let of = |wanted: fn(Option<Occur>) -> bool| {
            parts.iter().filter(move |(occur, _)| wanted(*occur)).map(|(_, part)| self.of(part))
        };
        let must = of(|occur| occur == Some(Occur::Must)).reduce(|a, b| Ok(a? & b?));
        let mut rows = match must {
            Some(rows) => rows?,
            None => {
                let any = of(|occur| matches!(occur, None | Some(Occur::Should)));
                any.reduce(|a, b| Ok(a? | b?)).unwrap_or_else(|| Ok(self.all()))?
            }
        };
        for without in of(|occur| occur == Some(Occur::MustNot)) {
            rows -= without?;
        }
        Ok(rows)
    }

    fn all(&self) -> RoaringBitmap {
        (0..self.text.reader().max_doc()).collect()
    }

    fn look(&self) -> Result<(), SearchError> {
        match self.deadline {
            Some(deadline) if Instant::now() >= deadline => Err(SearchError::Timeout),
            _ => Ok(()),
        }
    }

    fn term(&self, term: &Term, rows: &mut RoaringBitmap) -> Result<(), SearchError> {
        let inverted = self.text.reader().inverted_index(self.text.fields().fields);
        let inverted = inverted.map_err(Box::new)?;
        match inverted.read_postings(term, IndexRecordOption::Basic)? {
            Some(mut postings) => self.take(&mut postings, rows),
            None => Ok(()),
        }
    }

    /// Whether a column of whole numbers can have none as small as `most`. tantivy takes such an upper end
    /// for no end.
    #[expect(clippy::cast_precision_loss, reason = "the least number is a power of two")]
    fn above(&self, path: &str, most: f64) -> Result<bool, SearchError> {
        let columns = self.text.reader().fast_fields();
        let columns = columns.dynamic_column_handles(&format!("{FIELDS}.{path}"));
        let columns = columns.map_err(Box::new)?;
        Ok(columns.iter().any(|column| match column.column_type() {
            ColumnType::I64 => most < i64::MIN as f64,
            ColumnType::U64 => most < 0.0,
            _ => false,
        }))
    }

    fn column(&self, query: &dyn Query, rows: &mut RoaringBitmap) -> Result<(), SearchError> {
        let reader = self.text.reader();
        let weight = query.weight(EnableScoring::disabled_from_schema(reader.schema()));
        let mut found = weight.and_then(|weight| weight.scorer(reader, 1.0)).map_err(Box::new)?;
        self.take(&mut *found, rows)
    }

    fn take<D: DocSet + ?Sized>(
        &self,
        found: &mut D,
        rows: &mut RoaringBitmap,
    ) -> Result<(), SearchError> {
        let mut row = found.doc();
        let mut read = 0usize;
        while row != TERMINATED {
            rows.insert(row);
            row = found.advance();
            read += 1;
            if read.is_multiple_of(BETWEEN_LOOKS) {
                self.look()?;
            }
        }
        Ok(())
    }
}
