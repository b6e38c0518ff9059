//! The parser of filters beside tantivy's own: what both take means the same.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

use std::ops::Bound;

use quarry_searcher::filter_syntax::{
    Expression, MAX_FILTER_BYTES, MAX_FILTER_DEPTH, Occur, Test, parse,
};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tantivy::query::Occur as TheirOccur;
use tantivy::query_grammar::{UserInputAst, UserInputBound, UserInputLeaf, parse_query};

/// Random expressions; every value is another, as tantivy drops parts that it has seen.
struct Writer {
    random: SmallRng,
    values: usize,
    starred: bool,
}

impl Writer {
    fn value(&mut self) -> String {
        self.values += 1;
        let n = self.values;
        match self.random.random_range(0..7) {
            0 => format!("-{n}.5"),
            1 => format!("\"two words {n}\""),
            2 => format!("'it is \\' {n}'"),
            3 => format!("a\\:b\\ c{n}"),
            4 => format!("x-y/{n}"),
            _ => format!("w{n}"),
        }
    }

    fn leaf(&mut self, deep: usize, field: &str) -> String {
        let most = if deep == 0 { 7 } else { 10 };
        match self.random.random_range(0..most) {
            0 if !std::mem::replace(&mut self.starred, true) => "*".to_owned(),
            1 => {
                let (a, b) = (self.values, self.values + 1);
                self.values += 2;
                let (open, close) = (["[", "{"], ["]", "}"]);
                let (open, close) = (open[a % 2], close[a / 2 % 2]);
                let ends = [format!("a{a} TO b{b}"), format!("* TO {a}.5"), format!("-{a} TO *")];
                format!("{field}{open}{}{close}", ends[a % 3])
            }
            2 => {
                self.values += 1;
                let sign = [">=", "<=", ">", "<", "< "][self.values % 5];
                format!("{field}{sign}{}", self.values)
            }
            3 => format!("{field}IN [{} {}]", self.value(), self.value()),
            7 => format!("({})", self.expression(deep - 1, field)),
            8 => format!("NOT {}", self.leaf(deep - 1, field)),
            9 if !field.is_empty() => format!("g.h:({})", self.expression(deep - 1, "")),
            _ => format!("{field}{}", self.value()),
        }
    }

    fn expression(&mut self, deep: usize, field: &str) -> String {
        let mut text = String::new();
        for at in 0..self.random.random_range(1..5) {
            if at > 0 {
                text += [" ", "  ", " AND ", " OR "][self.random.random_range(0..4)];
            }
            text += ["", "", "", "-", "+"][self.random.random_range(0..5)];
            text += &self.leaf(deep, field);
        }
        text
    }
}

fn bound(theirs: UserInputBound) -> Bound<String> {
    match theirs {
        UserInputBound::Inclusive(value) => Bound::Included(value),
        UserInputBound::Exclusive(value) => Bound::Excluded(value),
        UserInputBound::Unbounded => Bound::Unbounded,
    }
}

fn translated(theirs: UserInputAst) -> Expression {
    let occur = |occur: TheirOccur| match occur {
        TheirOccur::Must => Occur::Must,
        TheirOccur::Should => Occur::Should,
        TheirOccur::MustNot => Occur::MustNot,
    };
    match theirs {
        UserInputAst::Clause(parts) => Expression::Clause(
            parts.into_iter().map(|(o, part)| (o.map(occur), translated(part))).collect(),
        ),
        UserInputAst::Boost(..) => panic!("no boost was written"),
        UserInputAst::Leaf(leaf) => {
            let (field, test) = match *leaf {
                UserInputLeaf::All => return Expression::All,
                UserInputLeaf::Literal(l) => (l.field_name, Test::Any(vec![l.phrase])),
                UserInputLeaf::Set { field, elements } => (field, Test::Any(elements)),
                UserInputLeaf::Exists { field } => (Some(field), Test::Exists),
                UserInputLeaf::Range { field, lower, upper } => {
                    (field, Test::Range(bound(lower), bound(upper)))
                }
                UserInputLeaf::Regex { .. } => panic!("no pattern was written"),
            };
            Expression::Test { field: field.unwrap(), test }
        }
    }
}

#[test]
fn both_parsers_read_the_same() {
    let (mut read, mut deepest) = (0, 0);
    for seed in 0..4000u32 {
        let mut writer =
            Writer { random: SmallRng::seed_from_u64(seed.into()), values: 0, starred: false };
        let text = writer.expression((seed % 5) as usize, "f:");
        let theirs = parse_query(&text).unwrap_or_else(|_| panic!("tantivy refuses {text}"));
        let ours = parse(&text).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(ours, translated(theirs), "{text}");
        read += 1;
        deepest = deepest.max(text.matches('(').count());
    }
    assert!(read == 4000 && deepest > 5);
}

#[test]
fn nesting_and_size_have_bounds() {
    let nested = |begin: &str, depth: usize, end: &str| {
        format!("{}a:1{}", begin.repeat(depth), end.repeat(depth))
    };
    for (begin, end) in [
        ("(", ")"),
        ("-(", ")"),
        ("NOT ", ""),
        ("a:(", ")"),
        ("(b:2 AND ", ")"),
        ("+(", " OR b:2)"),
    ] {
        parse(&nested(begin, MAX_FILTER_DEPTH, end)).unwrap();
        for depth in [MAX_FILTER_DEPTH + 1, 479, 5_000] {
            let error = parse(&nested(begin, depth, end)).unwrap_err();
            assert!(error.contains("deep"), "{begin}: {error}");
        }
    }
    for begin in ["(", "-(", "NOT ", "NOT(", "a:(", "\"", "a:[", "a:IN [", "\\", "+", "'(", "/("] {
        let open = begin.repeat(MAX_FILTER_BYTES / begin.len());
        assert!(parse(&open).is_err(), "{begin}");
    }
    assert!(parse(&"a:1 ".repeat(MAX_FILTER_BYTES / 4)).is_ok());
    let error = parse(&"a:1 ".repeat(MAX_FILTER_BYTES / 4 + 1)).unwrap_err();
    assert!(error.contains("bytes"), "{error}");
    // Wide ones are no deeper.
    let wide = vec!["(a:1 AND NOT b:\"x)(\")"; 2_000].join(" OR ");
    parse(&wide).unwrap();
}

#[test]
fn what_is_refused_says_why_and_where() {
    for (text, why) in [
        ("", "empty"),
        ("  \t", "empty"),
        ("ice", "at character 1: a value without a field; write FIELD:VALUE"),
        ("a:1 ice", "at character 5"),
        ("a:1 AND", "at character 5: a value without a field"),
        ("a:1 AND ", "behind the operator"),
        ("AND a:1", "before this operator"),
        ("(a:1", "at character 1: this `(` is not closed"),
        ("a:1)", "at character 4: this `)` closes nothing"),
        ("()", "an expression was expected"),
        ("a:", "a value was expected"),
        ("a:\"x", "at character 3: this quote is not closed"),
        ("a:ice^2", "no weights"),
        ("a:\"ice\"~2", "compared whole"),
        ("a:\"ice\"*", "compared whole"),
        ("a:ic*", "compared whole"),
        ("a:*ce", "compared whole"),
        ("a:/i.*/", "patterns"),
        ("a:/usr/bin/", "patterns"),
        ("a:OR", "quotes"),
        ("a:[1998 TO", "a value was expected"),
        ("a:[1998 2000]", "`TO` was expected"),
        ("a:[1998 TO 2000", "`]` or `}`"),
        ("a:IN [1 2", "`]` was expected"),
        ("a:IN []", "no value"),
        ("a:IN [1, 2]", "comma"),
        ("a:b\"c", "does not belong here"),
    ] {
        let error = parse(text).unwrap_err();
        assert!(error.contains(why), "{text}: {error}");
    }
    for text in
        ["a:/usr/bin", "path:b:c", "d:2020-01-05T00:00:00Z", "a:\"/x/\"", "ä\u{1F600}:ö", "a:b\\*"]
    {
        parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
    }
}

#[test]
fn no_text_makes_it_panic() {
    let pieces = [
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "a:",
        "b.c:",
        "*",
        "NOT ",
        "AND ",
        " OR ",
        "IN [",
        " TO ",
        "-",
        "+",
        "\"",
        "'",
        "\\",
        "/",
        ">=",
        "<",
        "^2",
        "~3",
        ":",
        " ",
        "\t",
        "\u{85}",
        "ö",
        "\u{1F600}",
        "\0",
        "1",
        "x",
    ];
    for seed in 0..20_000 {
        let mut random = SmallRng::seed_from_u64(seed);
        let text: String = (0..random.random_range(1..14))
            .map(|_| pieces[random.random_range(0..pieces.len())])
            .collect();
        drop(parse(&text));
    }
}
