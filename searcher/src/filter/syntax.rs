//! The syntax of filters: tantivy's query language, less what has no meaning in a filter.
//!
//! ```text
//! expression = operand { [AND | OR] operand }
//! operand    = [+ | -] leaf
//! leaf       = ( expression ) | * | NOT leaf | FIELD : test | FIELD : ( expression )
//! test       = word | "words" | * | IN [ value ... ] | [low TO high] | {low TO high} | >= value | ...
//! ```
//!
//! One pass from left to right. Length and nesting have bounds, so that untrusted text can exhaust neither
//! time nor stack. AND binds before OR; operands side by side are
//! alternatives, unless one has `+` or `-`. Boosts, patterns, prefixes and slop are refused.

use std::ops::Bound;

/// Maximum length of a filter in bytes.
pub const MAX_FILTER_BYTES: usize = 64 << 10;
/// Maximum nesting of parentheses and NOTs.
pub const MAX_FILTER_DEPTH: usize = 32;

/// Characters that a value can have only in quotes.
const NO_VALUE: &[char] = &['^', '`', '{', '}', '"', '\'', '[', ']', '(', ')'];
/// Characters that a field's name can have only after a backslash.
const NO_NAME: &[char] =
    &['+', '^', '`', ':', '{', '}', '"', '\'', '[', ']', '(', ')', '!', '\\', '*', ' '];

/// A parsed filter.
#[derive(Debug, Clone, PartialEq)]
pub enum Expression {
    /// All documents.
    All,
    /// Documents by a field.
    Test {
        /// The field's path.
        field: String,
        /// What its value has to be.
        test: Test,
    },
    /// Several expressions and how each counts.
    Clause(Vec<(Option<Occur>, Expression)>),
}

/// How a part of a clause counts; a part without it is an alternative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occur {
    /// It must hold.
    Must,
    /// It is an alternative, which counts only where nothing must hold.
    Should,
    /// It must not hold.
    MustNot,
}

/// What the value of a field has to be.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// One of these.
    Any(Vec<String>),
    /// Between two ends.
    Range(Bound<String>, Bound<String>),
    /// There.
    Exists,
}

/// Reads a filter.
///
/// # Errors
/// A message that names the fault and its character position, from 1.
pub fn parse(text: &str) -> Result<Expression, String> {
    if text.len() > MAX_FILTER_BYTES {
        return Err(format!("it has {} bytes, at most {MAX_FILTER_BYTES} are read", text.len()));
    }
    if text.trim().is_empty() {
        return Err("it is empty; leave it out to allow all documents".to_owned());
    }
    let mut parser = Parser { text, at: 0, depth: 0 };
    let read = parser.expression(None).and_then(|expression| match parser.peek() {
        None => Ok(expression),
        Some(_) => Err("this `)` closes nothing".to_owned()),
    });
    read.map_err(|what| {
        let before = text.get(..parser.at).unwrap_or(text);
        format!("at character {}: {what}", before.chars().count() + 1)
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    And,
    Or,
}

/// An operand with the operator before it.
type Operand = (Option<Operator>, Option<Occur>, Expression);

struct Parser<'a> {
    text: &'a str,
    /// The byte that is read next.
    at: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Takes what stands next if it is `text`.
    fn take(&mut self, text: &str) -> bool {
        let there = self.rest().starts_with(text);
        self.at += if there { text.len() } else { 0 };
        there
    }

    /// Takes a keyword that white space follows, and the white space.
    fn keyword(&mut self, word: &str) -> bool {
        let there = self.rest().strip_prefix(word);
        let there = there.is_some_and(|rest| rest.starts_with(char::is_whitespace));
        if there {
            self.at += word.len();
            self.space();
        }
        there
    }

    fn space(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    /// Whether nothing of a value stands next.
    fn at_end(&self) -> bool {
        self.peek().is_none_or(|c| c.is_whitespace() || c == ')')
    }

    fn within<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, String>,
    ) -> Result<T, String> {
        if self.depth == MAX_FILTER_DEPTH {
            return Err(format!(
                "parentheses and NOTs more than {MAX_FILTER_DEPTH} deep; a flatter expression says the same"
            ));
        }
        self.depth += 1;
        let value = read(self)?;
        self.depth -= 1;
        Ok(value)
    }

    fn expression(&mut self, field: Option<&str>) -> Result<Expression, String> {
        let mut operands: Vec<Operand> = Vec::new();
        loop {
            self.space();
            if self.peek().is_none_or(|c| c == ')') {
                break;
            }
            let operator = if self.keyword("AND") {
                Some(Operator::And)
            } else if self.keyword("OR") {
                Some(Operator::Or)
            } else {
                None
            };
            if operator.is_some() && operands.is_empty() {
                return Err("nothing stands before this operator".to_owned());
            }
            if operator.is_some() && self.peek().is_none_or(|c| c == ')') {
                return Err("nothing stands behind the operator".to_owned());
            }
            let occur = if self.take("-") {
                Some(Occur::MustNot)
            } else if self.take("+") {
                Some(Occur::Must)
            } else {
                None
            };
            operands.push((operator, occur, self.leaf(field)?));
        }
        match operands.is_empty() {
            true => Err("an expression was expected, such as FIELD:VALUE".to_owned()),
            false => Ok(joined(operands)),
        }
    }

    fn leaf(&mut self, field: Option<&str>) -> Result<Expression, String> {
        if self.peek() == Some('(') {
            return self.group(field);
        }
        if self.keyword("NOT") {
            let negated = self.within(|parser| parser.leaf(field))?;
            return Ok(Expression::Clause(vec![(Some(Occur::MustNot), negated)]));
        }
        if let Some(name) = self.name() {
            if self.peek() == Some('(') {
                return self.group(Some(&name));
            }
            let test = self.test(true)?;
            return Ok(Expression::Test { field: name, test });
        }
        if self.rest().starts_with('*')
            && self.rest()[1..].starts_with(|c: char| c.is_whitespace() || c == ')')
            || self.rest() == "*"
        {
            self.at += 1;
            return Ok(match field {
                None => Expression::All,
                Some(field) => Expression::Test { field: field.to_owned(), test: Test::Exists },
            });
        }
        match field {
            Some(field) => {
                Ok(Expression::Test { field: field.to_owned(), test: self.test(false)? })
            }
            None => Err(self.without_field()),
        }
    }

    fn without_field(&self) -> String {
        let rest = self.rest();
        let word = rest.split(|c: char| c.is_whitespace() || c == '(').next().unwrap_or(rest);
        let operator = ["and", "or", "not", "&&", "||"].contains(&word.to_lowercase().as_str());
        // Where one in capitals is read as a value, something else is missing.
        let operator = (operator && word.to_uppercase() != word
            || word.starts_with(['!', '&', '|']))
            && !word.is_empty();
        match operator {
            true => format!("`{word}` is not an operator; those are AND, OR and NOT, in capitals"),
            false => "a value without a field; write FIELD:VALUE".to_owned(),
        }
    }

    fn group(&mut self, field: Option<&str>) -> Result<Expression, String> {
        self.within(|parser| {
            let opened = parser.at;
            parser.at += 1;
            let inner = parser.expression(field)?;
            if !parser.take(")") {
                parser.at = opened;
                return Err("this `(` is not closed".to_owned());
            }
            Ok(inner)
        })
    }

    /// The name of a field with its colon, if that stands next.
    fn name(&mut self) -> Option<String> {
        let mut name = String::new();
        let mut rest = self.rest().char_indices().peekable();
        let mut end = 0;
        while let Some((at, c)) = rest.next() {
            end = at;
            match (c, rest.peek()) {
                ('\\', Some((_, next))) if NO_NAME.contains(next) => {
                    name.push(*next);
                    rest.next();
                }
                ('\\', _) if !name.is_empty() => name.push(c),
                (c, _) if NO_NAME.contains(&c) || c.is_whitespace() => break,
                ('-', _) if name.is_empty() => break,
                _ => name.push(c),
            }
        }
        let after = self.rest().get(end..).unwrap_or_default().trim_start();
        if name.is_empty() || !after.starts_with(':') {
            return None;
        }
        self.at = self.text.len() - after.len() + 1;
        self.space();
        Some(name)
    }

    /// A test of a field; `named` when the field's name stands right before it.
    fn test(&mut self, named: bool) -> Result<Test, String> {
        let rest = self.rest();
        if rest.starts_with(['[', '{']) {
            return self.range();
        }
        for (sign, bounds) in [
            (">=", (|v| (Bound::Included(v), Bound::Unbounded)) as fn(String) -> _),
            ("<=", |v| (Bound::Unbounded, Bound::Included(v))),
            (">", |v| (Bound::Excluded(v), Bound::Unbounded)),
            ("<", |v| (Bound::Unbounded, Bound::Excluded(v))),
        ] {
            if self.take(sign) {
                self.space();
                let (low, high) = bounds(self.end_of_range()?);
                self.ended()?;
                return Ok(Test::Range(low, high));
            }
        }
        let set = rest.strip_prefix("IN").map(str::trim_start);
        if let Some(set) = set.filter(|set| set.starts_with('[')) {
            self.at = self.text.len() - set.len() + 1;
            return self.set();
        }
        if self.take("*") {
            return match self.at_end() {
                true => Ok(Test::Exists),
                false => Err(WILDCARD.to_owned()),
            };
        }
        let value = self.value(named)?;
        self.ended()?;
        Ok(Test::Any(vec![value]))
    }

    fn range(&mut self) -> Result<Test, String> {
        let bound = |value: String, quoted: bool, excluded: bool| match value.as_str() {
            "*" if !quoted => Bound::Unbounded,
            _ if excluded => Bound::Excluded(value),
            _ => Bound::Included(value),
        };
        let excluded = self.peek() == Some('{');
        self.at += 1;
        self.space();
        let quoted = self.at_quote();
        let low = bound(self.end_of_range()?, quoted, excluded);
        self.space();
        if !self.take("TO") || self.peek().is_some_and(|c| !c.is_whitespace()) {
            return Err("`TO` was expected, as in [1998 TO 1999]".to_owned());
        }
        self.space();
        let quoted = self.at_quote();
        let high = self.end_of_range()?;
        self.space();
        let high = match self.peek() {
            Some(']') => bound(high, quoted, false),
            Some('}') => bound(high, quoted, true),
            _ => return Err("`]` or `}` was expected at the end of the range".to_owned()),
        };
        self.at += 1;
        self.ended()?;
        Ok(Test::Range(low, high))
    }

    fn at_quote(&self) -> bool {
        self.rest().starts_with(['"', '\''])
    }

    fn end_of_range(&mut self) -> Result<String, String> {
        if self.at_quote() {
            return self.quoted();
        }
        let closing = |c: char| c.is_whitespace() || "{}[]()\"".contains(c);
        let rest = self.rest();
        let value = &rest[..rest.find(closing).unwrap_or(rest.len())];
        if value.is_empty() {
            return Err("a value was expected".to_owned());
        }
        self.at += value.len();
        Ok(value.to_owned())
    }

    fn set(&mut self) -> Result<Test, String> {
        let mut values = Vec::new();
        loop {
            self.space();
            if self.take("]") {
                break;
            }
            if self.peek().is_none() {
                return Err("`]` was expected at the end of the values".to_owned());
            }
            let quoted = self.at_quote();
            let value = self.value(true)?;
            if value.ends_with(',') && !quoted {
                return Err(
                    "values are separated by spaces; put one that ends in a comma in quotes"
                        .to_owned(),
                );
            }
            if self.peek().is_some_and(|c| !c.is_whitespace() && c != ']') {
                return Err(self.misplaced());
            }
            values.push(value);
        }
        self.ended()?;
        match values.is_empty() {
            true => Err("no value stands between [ and ]".to_owned()),
            false => Ok(Test::Any(values)),
        }
    }

    /// A word, or what stands in quotes.
    fn value(&mut self, colons: bool) -> Result<String, String> {
        if self.at_quote() {
            return self.quoted();
        }
        let begin = self.at;
        let word = self.rest().split(|c: char| c.is_whitespace() || c == ')').next();
        if word.is_some_and(|w| w.len() > 1 && w.starts_with('/') && w.ends_with('/')) {
            return Err("patterns are not supported; put a value with slashes in quotes".to_owned());
        }
        let mut value = String::new();
        let mut escaped = false;
        for c in self.rest().chars() {
            if escaped {
                // A backslash before what needs none is one itself.
                if !(c.is_whitespace() || NO_VALUE.contains(&c) || ":\\-*".contains(c)) {
                    value.push('\\');
                }
                value.push(c);
                escaped = false;
            } else if c == '\\' {
                escaped = true;
            } else if c == '*' {
                return Err(WILDCARD.to_owned());
            } else if c.is_whitespace() || NO_VALUE.contains(&c) || (c == ':' && !colons) {
                break;
            } else {
                value.push(c);
            }
            self.at += c.len_utf8();
        }
        let written = &self.text[begin..self.at];
        match written {
            "" => Err("a value was expected".to_owned()),
            "AND" | "OR" | "NOT" | "IN" => {
                self.at = begin;
                Err(format!("the value {written} must stand in quotes"))
            }
            // Elsewhere that is a search by similar words.
            _ if is_fuzzy(written) => {
                self.at = begin + written.rfind('~').unwrap_or_default();
                Err(self.misplaced())
            }
            _ => Ok(value),
        }
    }

    fn quoted(&mut self) -> Result<String, String> {
        let opened = self.at;
        let quote = self.peek();
        self.at += 1;
        let mut value = String::new();
        let mut escaped = false;
        for c in self.rest().chars() {
            self.at += c.len_utf8();
            match c {
                _ if escaped => {
                    value.push(c);
                    escaped = false;
                }
                '\\' => escaped = true,
                c if Some(c) == quote => return Ok(value),
                c => value.push(c),
            }
        }
        self.at = opened;
        Err("this quote is not closed".to_owned())
    }

    /// Refuses what follows a test right away.
    fn ended(&self) -> Result<(), String> {
        if self.at_end() { Ok(()) } else { Err(self.misplaced()) }
    }

    fn misplaced(&self) -> String {
        match self.peek() {
            Some('^') => "a filter has no weights; leave out `^` and its number".to_owned(),
            Some('~') => "values are compared whole; leave out `~` and its number, or put the value in quotes".to_owned(),
            Some('*') => WILDCARD.to_owned(),
            Some(c) => format!("{c:?} does not belong here; put a value that has it in quotes"),
            None => "the expression ends too early".to_owned(),
        }
    }
}

/// Whether a word ends in `~`, or in `~` and a number.
fn is_fuzzy(word: &str) -> bool {
    word.rsplit_once('~').is_some_and(|(before, number)| {
        !before.ends_with('\\') && number.bytes().all(|b| b.is_ascii_digit() || b == b'.')
    })
}

const WILDCARD: &str = "values are compared whole, so that `*` stands for nothing else; put a value that has it in quotes";

/// Operands with their operators as one expression, as tantivy joins them: AND binds first.
fn joined(operands: Vec<Operand>) -> Expression {
    let operators: Vec<Option<Operator>> = operands.iter().map(|o| o.0).skip(1).collect();
    let mut groups: Vec<Vec<(Option<Occur>, Expression)>> = Vec::new();
    for (at, (operator, occur, operand)) in operands.into_iter().enumerate() {
        let next = operators.get(at).copied().flatten();
        if operator == Some(Operator::And) {
            let entry = (occur.or(Some(Occur::Must)), operand);
            match groups.last_mut() {
                Some(group) => group.push(entry),
                None => groups.push(vec![entry]),
            }
            continue;
        }
        let implied = match (next, operator) {
            (Some(Operator::And), _) => Some(Occur::Must),
            (Some(Operator::Or), _) | (None, Some(Operator::Or)) => Some(Occur::Should),
            (None, _) => None,
        };
        groups.push(vec![match (occur, implied) {
            // `a OR -b` is an alternative too: all that is not b.
            (Some(Occur::MustNot), Some(Occur::Should)) => {
                let without = Expression::Clause(vec![(Some(Occur::MustNot), operand)]);
                (Some(Occur::Should), without)
            }
            _ => (occur.or(implied), operand),
        }]);
    }
    let mut clause: Vec<(Option<Occur>, Expression)> = if groups.len() == 1 {
        groups.pop().unwrap_or_default()
    } else {
        let one = |mut group: Vec<_>| match group.len() {
            1 => group.pop(),
            _ => Some((Some(Occur::Should), Expression::Clause(group))),
        };
        groups.into_iter().filter_map(one).collect()
    };
    if let [(occur, _)] = clause.as_slice()
        && *occur != Some(Occur::MustNot)
        && let Some((_, only)) = clause.pop()
    {
        return only;
    }
    for (occur, part) in &mut clause {
        // `a NOT b` is `a -b`.
        if occur.is_none()
            && let Expression::Clause(inner) = part
            && inner.len() == 1
            && let Some(only) = inner.pop()
        {
            (*occur, *part) = only;
        }
    }
    Expression::Clause(clause)
}
