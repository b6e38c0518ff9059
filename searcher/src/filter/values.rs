//! What a filter's values mean to the field that they are compared with.
//!
//! 1. look which kinds of values a field has, in the dictionary of its terms  2. a value stands for
//!    what it can be of those kinds: text as it is, numbers by value, a date by the second, a day for
//!    all of it  3. one that the field cannot hold is refused, as it would match nothing

use std::collections::BTreeSet;
use std::ops::Bound;

use quarry_index::fields::{FieldRule, FieldType};
use quarry_index::text::TextIndex;
use tantivy::schema::{Field, Type};
use tantivy::time::format_description::well_known::Rfc3339;
use tantivy::time::{Duration, OffsetDateTime, UtcOffset};
use tantivy::{DateTime, Term};

use crate::filter::syntax::Test;

/// Ends a path in a term of tantivy's, before the type of its value.
const END_OF_PATH: u8 = 0;
/// Stands between the names of a path.
const SEPARATOR: u8 = 1;
/// Paths that are looked at to name those that exist.
const MOST_LOOKED_AT: usize = 1000;
/// Paths that a message names.
const MOST_NAMED: usize = 20;

/// The kinds of values that a field has, over all documents.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Kinds {
    text: bool,
    number: bool,
    boolean: bool,
    date: bool,
    /// Fields within it.
    object: bool,
    /// Its numbers are whole ones of 64 bits, by its type.
    whole: bool,
}

/// Rows by one field: those with the term, or with a value between two.
#[derive(Debug, Clone)]
pub(crate) enum Wanted {
    Term(Term),
    Range(Bound<Term>, Bound<Term>),
    /// A range of numbers, and its upper end where that is a fraction.
    Numbers(Bound<Term>, Bound<Term>, Option<f64>),
    Exists,
}

impl Kinds {
    /// The kinds in these segments. A few look-ups in each one's dictionary.
    pub(crate) fn of(texts: &[&TextIndex], path: &str) -> Result<Self, std::io::Error> {
        let mut kinds = Self::default();
        for text in texts {
            let field = text.fields().fields;
            let prefix = term(field, path).serialized_value_bytes().to_vec();
            let has = |suffix: &[u8], prefix: &[u8]| starts(text, &[prefix, suffix].concat());
            for (there, types) in [
                (&mut kinds.text, [Type::Str].as_slice()),
                (&mut kinds.number, &[Type::I64, Type::U64, Type::F64]),
                (&mut kinds.boolean, &[Type::Bool]),
                (&mut kinds.date, &[Type::Date]),
            ] {
                for of in types {
                    *there = *there || has(&[of.to_code()], &prefix)?;
                }
            }
            let within = prefix.strip_suffix(&[END_OF_PATH]).unwrap_or(&prefix);
            kinds.object = kinds.object || has(&[SEPARATOR], within)?;
        }
        Ok(kinds)
    }

    /// The same, held to the type that the field was given.
    pub(crate) fn ruled(self, rule: Option<&FieldRule>) -> Self {
        Self { whole: rule == Some(&FieldRule::Given(FieldType::Integer)), ..self }
    }

    /// Their names.
    pub(crate) fn names(self) -> Vec<&'static str> {
        let kinds = [
            (self.text, "text"),
            (self.number, "number"),
            (self.boolean, "boolean"),
            (self.date, "date"),
            (self.object, "object"),
        ];
        kinds.into_iter().filter(|kind| kind.0).map(|kind| kind.1).collect()
    }

    /// Whether no document has the field.
    pub(crate) fn none(self) -> bool {
        Self { whole: false, ..self } == Self::default()
    }

    fn shown(self) -> String {
        let kinds = [
            (self.text, "text"),
            (self.number && !self.whole, "numbers"),
            (self.number && self.whole, "whole numbers of 64 bits"),
            (self.boolean, "true and false"),
            (
                self.date,
                "dates (YYYY-MM-DD, or RFC 3339 as 2020-01-05T10:00:00Z, of the years 1678 to 2261)",
            ),
        ];
        let kinds: Vec<&str> = kinds.iter().filter(|k| k.0).map(|k| k.1).collect();
        kinds.join(" and ")
    }

    /// What a test of the field at `path` looks for.
    pub(crate) fn understand(
        self,
        field: Field,
        path: &str,
        test: &Test,
    ) -> Result<Vec<Wanted>, String> {
        if matches!(test, Test::Exists) {
            return Ok(vec![Wanted::Exists]);
        }
        if self.object && !(self.text || self.number || self.boolean || self.date) {
            return Err(format!(
                "`{path}` has fields of its own; name one of them, as `{path}.NAME`"
            ));
        }
        let base = term(field, path);
        match test {
            Test::Exists => Ok(vec![Wanted::Exists]),
            Test::Any(values) => {
                let mut wanted = Vec::with_capacity(values.len());
                for value in values {
                    let before = wanted.len();
                    self.value(&base, value, &mut wanted);
                    if wanted.len() == before {
                        return Err(self.unfit(path, value));
                    }
                }
                Ok(wanted)
            }
            Test::Range(low, high) => self.range(&base, path, low, high),
        }
    }

    fn unfit(self, path: &str, value: &str) -> String {
        format!("`{path}` has {}, and {} cannot be one", self.shown(), shortened(value))
    }

    fn empty(self, path: &str) -> String {
        format!(
            "`{path}` has {}, and none lies in this range: its lower end stands first",
            self.shown()
        )
    }

    fn value(self, base: &Term, value: &str, wanted: &mut Vec<Wanted>) {
        if self.number
            && let Some(number) = Number::parse(value)
            && !(self.whole && matches!(number, Number::Fraction(_)))
        {
            wanted.push(Wanted::Term(number.term(base)));
        }
        if self.boolean
            && let Ok(value) = value.parse::<bool>()
        {
            wanted.push(Wanted::Term(with(base, |term| term.append_type_and_fast_value(value))));
        }
        if self.date {
            match When::parse(value) {
                Some(When::Day(begin, end)) => wanted.push(Wanted::Range(
                    Bound::Included(date(base, begin)),
                    Bound::Excluded(date(base, end)),
                )),
                // Terms are of whole seconds.
                Some(When::Moment(moment)) => {
                    let second = moment.truncate(tantivy::schema::DateTimePrecision::Seconds);
                    wanted.push(Wanted::Term(date(base, second)));
                }
                Some(When::Before | When::After) | None => {}
            }
        }
        if self.text {
            wanted.push(Wanted::Term(with(base, |term| term.append_type_and_str(value))));
        }
    }

    fn range(
        self,
        base: &Term,
        path: &str,
        low: &Bound<String>,
        high: &Bound<String>,
    ) -> Result<Vec<Wanted>, String> {
        if matches!((low, high), (Bound::Unbounded, Bound::Unbounded)) {
            return Ok(vec![Wanted::Exists]);
        }
        let mut wanted = Vec::new();
        if self.number {
            let ends = (bound(low, Number::parse), bound(high, Number::parse));
            if let (Some(low), Some(high)) = ends {
                let key = |number: Number| number.float();
                if is_empty(low.map(key), high.map(key)) {
                    return Err(self.empty(path));
                }
                wanted.push(Number::range(base, low, high));
            }
        }
        if self.date
            && let (Some(low), Some(high)) = (bound(low, When::parse), bound(high, When::parse))
        {
            if let Bound::Included(When::After) | Bound::Excluded(When::After) = low {
                return Err(self.empty(path));
            }
            if let Bound::Included(When::Before) | Bound::Excluded(When::Before) = high {
                return Err(self.empty(path));
            }
            let low = match low {
                Bound::Unbounded => Bound::Unbounded,
                // No date lies before; one that lies after was refused.
                Bound::Included(When::Before | When::After)
                | Bound::Excluded(When::Before | When::After) => Bound::Included(DateTime::MIN),
                Bound::Included(When::Day(begin, _)) => Bound::Included(begin),
                Bound::Excluded(When::Day(_, end)) => Bound::Included(end),
                Bound::Included(When::Moment(moment)) => Bound::Included(moment),
                Bound::Excluded(When::Moment(moment)) => Bound::Excluded(moment),
            };
            let high = match high {
                Bound::Unbounded => Bound::Unbounded,
                Bound::Included(When::Before | When::After)
                | Bound::Excluded(When::Before | When::After) => Bound::Included(DateTime::MAX),
                Bound::Included(When::Day(_, end)) => Bound::Excluded(end),
                Bound::Excluded(When::Day(begin, _)) => Bound::Excluded(begin),
                Bound::Included(When::Moment(moment)) => Bound::Included(moment),
                Bound::Excluded(When::Moment(moment)) => Bound::Excluded(moment),
            };
            if is_empty(low, high) {
                return Err(self.empty(path));
            }
            let term = |moment| date(base, moment);
            wanted.push(Wanted::Range(low.map(term), high.map(term)));
        }
        if self.text {
            if wanted.is_empty() && is_empty(low.as_ref(), high.as_ref()) {
                return Err(self.empty(path));
            }
            let text = |end: &Bound<String>| {
                end.clone().map(|value| with(base, |term| term.append_type_and_str(&value)))
            };
            wanted.push(Wanted::Range(text(low), text(high)));
        }
        if self.number || self.date || self.text {
            let fits = |end: &Bound<String>| match end {
                Bound::Unbounded => true,
                Bound::Included(value) | Bound::Excluded(value) => {
                    self.text
                        || (self.number && Number::parse(value).is_some())
                        || (self.date && When::parse(value).is_some())
                }
            };
            for end in [low, high] {
                if let (false, Bound::Included(value) | Bound::Excluded(value)) = (fits(end), end) {
                    return Err(self.unfit(path, value));
                }
            }
            if wanted.is_empty() {
                return Err(format!("`{path}` has numbers and dates; a range is of one of them"));
            }
            return Ok(wanted);
        }
        Err(format!("`{path}` is true or false, which have no order; write {path}:true"))
    }
}

/// Whether nothing can lie between two ends.
fn is_empty<T: PartialOrd>(low: Bound<T>, high: Bound<T>) -> bool {
    match (low, high) {
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        (Bound::Included(low), Bound::Included(high)) => low > high,
        (
            Bound::Included(low) | Bound::Excluded(low),
            Bound::Included(high) | Bound::Excluded(high),
        ) => low >= high,
    }
}

/// Both ends, or none when one of them is nothing of the kind.
fn bound<T>(end: &Bound<String>, parse: impl Fn(&str) -> Option<T>) -> Option<Bound<T>> {
    Some(match end {
        Bound::Included(value) => Bound::Included(parse(value)?),
        Bound::Excluded(value) => Bound::Excluded(parse(value)?),
        Bound::Unbounded => Bound::Unbounded,
    })
}

/// A number as tantivy has it in terms: the first of these that it fits.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Number {
    Integer(i64),
    Large(u64),
    Fraction(f64),
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked before; ends of ranges are compared as tantivy compares them"
)]
impl Number {
    fn parse(text: &str) -> Option<Self> {
        if let Ok(value) = text.parse() {
            return Some(Self::Integer(value));
        }
        if let Ok(value) = text.parse() {
            return Some(Self::Large(value));
        }
        // A fraction of zeros, whose whole part floats may not hold.
        if let Some((whole, zeros)) = text.split_once('.')
            && zeros.bytes().all(|digit| digit == b'0')
            && whole.ends_with(|c: char| c.is_ascii_digit())
            && (whole.parse::<i64>().is_ok() || whole.parse::<u64>().is_ok())
        {
            return Self::parse(whole);
        }
        let value: f64 = text.parse().ok().filter(|value: &f64| value.is_finite())?;
        // A fraction stays one, though a float may not hold it beside so large a whole part.
        if text.split_once('.').is_some_and(|(_, rest)| {
            rest.bytes().all(|digit| digit.is_ascii_digit())
                && rest.bytes().any(|digit| digit != b'0')
        }) {
            return Some(Self::Fraction(value));
        }
        Some(match value.fract() == 0.0 {
            true if value >= i64::MIN as f64 && value < i64::MAX as f64 => {
                Self::Integer(value as i64)
            }
            true if value >= 0.0 && value < u64::MAX as f64 => Self::Large(value as u64),
            _ => Self::Fraction(value),
        })
    }

    fn float(self) -> f64 {
        match self {
            Self::Integer(value) => value as f64,
            Self::Large(value) => value as f64,
            Self::Fraction(value) => value,
        }
    }

    fn term(self, base: &Term) -> Term {
        with(base, |term| match self {
            Self::Integer(value) => term.append_type_and_fast_value(value),
            Self::Large(value) => term.append_type_and_fast_value(value),
            Self::Fraction(value) => term.append_type_and_fast_value(value),
        })
    }

    /// Numbers between two ends.
    fn range(base: &Term, low: Bound<Self>, high: Bound<Self>) -> Wanted {
        let inner = |end: Bound<Self>| match end {
            Bound::Included(value) | Bound::Excluded(value) => Some(value),
            Bound::Unbounded => None,
        };
        let kind = |number: Self| std::mem::discriminant(&number);
        // tantivy takes both ends of a range for numbers of the first one's type.
        let mixed = inner(low).zip(inner(high)).is_some_and(|(l, h)| kind(l) != kind(h));
        let alike = |number: Self| match mixed {
            true => Self::Fraction(number.float()),
            false => number,
        };
        let (low, high) = (low.map(alike), high.map(alike));
        let most = match inner(high) {
            Some(Self::Fraction(most)) => Some(most),
            _ => None,
        };
        Wanted::Numbers(low.map(|n| n.term(base)), high.map(|n| n.term(base)), most)
    }
}

/// A date in a filter.
#[derive(Debug, Clone, Copy, PartialEq)]
enum When {
    /// From a midnight (UTC) to the next, which is not in it.
    Day(DateTime, DateTime),
    Moment(DateTime),
    /// Before all that a field can have.
    Before,
    /// After it.
    After,
}

impl When {
    fn parse(text: &str) -> Option<Self> {
        let is_day = text.len() == "2020-01-05".len();
        let full = if is_day { format!("{text}T00:00:00Z") } else { text.to_owned() };
        let moment = OffsetDateTime::parse(&full, &Rfc3339).ok()?;
        // Of its last day in UTC the calendar may have no more than the local time.
        let Some(moment) = moment.checked_to_offset(UtcOffset::UTC) else {
            return Some(if moment.year() > 0 { Self::After } else { Self::Before });
        };
        let end = if is_day { moment.checked_add(Duration::days(1)) } else { Some(moment) };
        let held = DateTime::try_from_utc(moment).zip(end.and_then(DateTime::try_from_utc));
        Some(match held {
            Some((begin, end)) if is_day => Self::Day(begin, end),
            Some((moment, _)) => Self::Moment(moment),
            None if moment.year() < 1970 => Self::Before,
            None => Self::After,
        })
    }
}

fn date(base: &Term, moment: DateTime) -> Term {
    with(base, |term| term.append_type_and_fast_value(moment))
}

fn with(base: &Term, append: impl FnOnce(&mut Term)) -> Term {
    let mut term = base.clone();
    append(&mut term);
    term
}

/// The beginning of all terms of a path.
fn term(field: Field, path: &str) -> Term {
    Term::from_field_json_path(field, path, false)
}

/// Whether any term of the other fields begins with `prefix`.
fn starts(text: &TextIndex, prefix: &[u8]) -> Result<bool, std::io::Error> {
    Ok(next(text, prefix)?.is_some_and(|term| term.starts_with(prefix)))
}

/// The first term of the other fields at or behind `from`.
fn next(text: &TextIndex, from: &[u8]) -> Result<Option<Vec<u8>>, std::io::Error> {
    let inverted = text.reader().inverted_index(text.fields().fields);
    let inverted = inverted.map_err(std::io::Error::other)?;
    let mut terms = inverted.terms().range().ge(from).into_stream()?;
    Ok(terms.advance().then(|| terms.key().to_vec()))
}

/// The paths of the fields that exist, at most `most`.
pub(crate) fn paths(texts: &[&TextIndex], most: usize) -> Result<BTreeSet<String>, std::io::Error> {
    let mut paths = BTreeSet::new();
    for text in texts {
        let mut from = Vec::new();
        while paths.len() < most
            && let Some(term) = next(text, &from)?
            && let Some(end) = term.iter().position(|byte| *byte == END_OF_PATH)
        {
            let path = String::from_utf8_lossy(term.get(..end).unwrap_or_default()).into_owned();
            paths.insert(path.replace('.', "\\.").replace(char::from(SEPARATOR), "."));
            from = term;
            from.truncate(end);
            from.push(END_OF_PATH + 1);
        }
    }
    Ok(paths)
}

/// The fields that exist, for a message.
pub(crate) fn existing(texts: &[&TextIndex]) -> Result<String, std::io::Error> {
    let paths = paths(texts, MOST_LOOKED_AT)?;
    let named: Vec<&str> = paths.iter().take(MOST_NAMED).map(String::as_str).collect();
    Ok(match paths.len() {
        0 => "no document has any".to_owned(),
        n if n > MOST_NAMED => format!("there are {}, ...", named.join(", ")),
        _ => format!("there are {}", named.join(", ")),
    })
}

/// At most 60 characters of a value, in quotes.
fn shortened(value: &str) -> String {
    match value.char_indices().nth(60) {
        Some((at, _)) => format!("{:?}...", value.get(..at).unwrap_or(value)),
        None => format!("{value:?}"),
    }
}
