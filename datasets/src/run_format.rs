//! Writing rankings as lines of a run file.

use std::io::Write;

use quarry_vectors::ScoredDoc;
use serde::{Deserialize, Serialize};

use crate::error::DatasetError;

/// Whether a run may hold this score: measures read it in 32 bits, as `trec_eval` does.
pub(crate) fn is_score(score: f64) -> bool {
    score.abs() <= f64::from(f32::MAX)
}

/// How a run file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunFormat {
    /// `query Q0 document rank score tag`, separated by spaces: no name may contain white space.
    Trec,
    /// The same columns separated by tabs: names may contain spaces.
    TrecTabs,
    /// `query TAB document TAB rank`: names may contain spaces.
    MsMarco,
    /// `{"query": ..., "document": ..., "rank": ..., "score": ..., "tag": ...}`: any name.
    JsonLines,
}

/// A line of [`RunFormat::JsonLines`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RunRecord<'a> {
    #[serde(borrow)]
    pub(crate) query: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) document: std::borrow::Cow<'a, str>,
    pub(crate) rank: u64,
    pub(crate) score: f64,
    #[serde(borrow, default)]
    pub(crate) tag: std::borrow::Cow<'a, str>,
}

impl RunFormat {
    /// Whether an id or a tag can stand in such a run, so that it is read back as it was.
    ///
    /// # Errors
    /// When it cannot, naming a form that takes it.
    pub fn check(self, what: &'static str, name: &str) -> Result<(), DatasetError> {
        let fail = |reason, form| {
            Err(DatasetError::Unwritable { what, name: name.to_owned(), reason, form })
        };
        if name.is_empty() {
            return fail("it is empty", None);
        }
        // trec_eval takes a vertical tab for white space, too.
        let space = |b: u8| b.is_ascii_whitespace() || b == 0x0b;
        let breaks_columns = |b: u8| matches!(b, b'\t' | b'\n' | b'\r');
        match self {
            Self::JsonLines => Ok(()),
            Self::TrecTabs | Self::MsMarco if !name.bytes().any(breaks_columns) => Ok(()),
            Self::TrecTabs | Self::MsMarco => {
                fail("it contains a tab or the end of a line", Some("jsonl"))
            }
            Self::Trec if !name.bytes().any(space) => Ok(()),
            Self::Trec if name.bytes().any(breaks_columns) => {
                fail("it contains white space", Some("jsonl"))
            }
            Self::Trec => fail("it contains white space", Some("tabs (or jsonl)")),
        }
    }
}

/// Writes one query's ranking, best first, with ranks from 1. `tag` is not used by MS MARCO's form.
///
/// Scores are written with as many digits as reading them back to the same `f64` takes.
///
/// # Errors
/// When writing fails, or a name cannot stand there ([`RunFormat::check`]).
pub fn write_ranking(
    out: &mut impl Write,
    query: &str,
    ranking: &[ScoredDoc],
    tag: &str,
    format: RunFormat,
) -> Result<(), DatasetError> {
    format.check("query", query)?;
    if format != RunFormat::MsMarco {
        format.check("tag", tag)?;
    }
    // Written at once: a formatter that writes each column on its own takes as long as a search.
    let mut lines: Vec<u8> = Vec::new();
    for (rank, ScoredDoc { id, score }) in (1u64..).zip(ranking) {
        format.check("document", id)?;
        match format {
            RunFormat::Trec => writeln!(lines, "{query} Q0 {id} {rank} {score} {tag}"),
            RunFormat::TrecTabs => writeln!(lines, "{query}\tQ0\t{id}\t{rank}\t{score}\t{tag}"),
            RunFormat::MsMarco => writeln!(lines, "{query}\t{id}\t{rank}"),
            RunFormat::JsonLines => {
                let (query, document, tag) = (query.into(), id.into(), tag.into());
                let record = RunRecord { query, document, rank, score: *score, tag };
                serde_json::to_writer(&mut lines, &record).map_err(std::io::Error::other)
            }
        }
        .map_err(DatasetError::Write)?;
        if format == RunFormat::JsonLines {
            lines.push(b'\n');
        }
    }
    out.write_all(&lines).map_err(DatasetError::Write)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Run;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<Run, DatasetError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run");
        std::fs::write(&path, text).unwrap();
        Run::read(&path)
    }

    fn ids<'a>(run: &'a Run, query: &str) -> Vec<&'a str> {
        run.ranking(query).unwrap().iter().map(|hit| hit.id.as_str()).collect()
    }

    #[test]
    fn trec_runs_go_by_score_then_id() {
        let run = read("q Q0 a 1 0.5 t\nq Q0 b 2 0.5 t\nr 0 z 9 -1 t\nq Q0 c 3 1e1 t\nq Q0 m 4 -0.0 t\nq Q0 n 5 0 t\n").unwrap();
        assert_eq!(ids(&run, "q"), ["c", "b", "a", "n", "m"]);
        assert_eq!((run.queries(), run.tag()), (&["q".to_owned(), "r".to_owned()][..], "t"));
        assert!(run.ranking("x").is_none());
    }

    #[test]
    fn msmarco_runs_go_by_rank() {
        let run = read("q\tb\t2\nq\ta\t10\nq\tc\t1\n").unwrap();
        assert_eq!(ids(&run, "q"), ["c", "b", "a"]);
        assert_eq!(run.ranking("q").unwrap()[2].score, 1.0 / 3.0);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, want) in [
            ("q Q0 a 1 1 t\nq Q0 a 2 1 t\n", "line 2: document \"a\" stands twice"),
            ("q Q0 a 1 NaN t\n", "line 1: expected a finite score, found \"NaN\""),
            ("q Q0 a 1 1\n", "line 1: expected query, Q0, document"),
            (
                "q 0 a 1\n",
                "line 1: expected query, Q0, document, rank, score, tag (or query, document, rank); these look like judgements",
            ),
            ("{\"query\":\"q\",\"document\":\"a\",\"rank\":1}\n", "line 1: expected {\"query\": "),
            ("q\ta\t1\nq\tb\n", "line 2: expected query, document and rank"),
            ("q\ta\t1\nq\tb\t1\n", "line 2: expected a rank that is new"),
            ("q\ta\tone\n", "line 1: expected a rank, found \"one\""),
        ] {
            let message = read(text).unwrap_err().to_string();
            assert!(message.contains(want), "{text:?}: {message}");
        }
        let mut run = Run::new("t");
        let hit = |id: &str, score| ScoredDoc { id: id.to_owned(), score };
        assert!(run.insert("q", vec![hit("a", f64::NAN)]).is_err());
        assert!(run.insert("q", vec![hit("a", 1.0), hit("a", 2.0)]).is_err());
        run.insert("q", vec![hit("a", 1.0), hit("b b", 2.0)]).unwrap();
        assert!(run.insert("q", vec![]).is_err());
        let error = run.write(&mut Vec::new(), RunFormat::Trec).unwrap_err().to_string();
        assert!(
            error.contains("document \"b b\"") && error.contains("--run-format tabs"),
            "{error}"
        );
        run.write(&mut Vec::new(), RunFormat::TrecTabs).unwrap();
    }

    #[test]
    fn names_that_a_form_cannot_hold() {
        use RunFormat::{JsonLines, MsMarco, Trec, TrecTabs};
        for (name, trec, tabs, any) in [
            ("a/b#c?\u{2028}é", true, true, true),
            ("a b", false, true, true),
            (" lead", false, true, true),
            ("v\u{b}t", false, true, true),
            ("t\tt", false, false, true),
            ("n\nn", false, false, true),
            ("r\r", false, false, true),
            ("", false, false, false),
        ] {
            for (format, want) in
                [(Trec, trec), (TrecTabs, tabs), (MsMarco, tabs), (JsonLines, any)]
            {
                assert_eq!(format.check("document", name).is_ok(), want, "{format:?} {name:?}");
                let hit = ScoredDoc { id: name.to_owned(), score: 0.1 };
                let mut run = Run::new("tag");
                if run.insert(name, vec![hit]).is_err() || !want {
                    continue;
                }
                let mut lines = Vec::new();
                run.write(&mut lines, format).unwrap();
                let back = read(std::str::from_utf8(&lines).unwrap()).unwrap();
                assert_eq!(ids(&back, name), [name], "{format:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn written_runs_read_back(scores in prop::collection::vec(any::<f64>().prop_filter("a score", |s| is_score(*s)), 1..30)) {
            let mut run = Run::new("tag");
            let hits = scores.iter().enumerate().map(|(i, s)| ScoredDoc { id: format!("d{i}"), score: *s });
            run.insert("q", hits.collect()).unwrap();
            let written = |format| {
                let mut lines = Vec::new();
                run.write(&mut lines, format).unwrap();
                read(std::str::from_utf8(&lines).unwrap()).unwrap()
            };
            for format in [RunFormat::Trec, RunFormat::TrecTabs, RunFormat::JsonLines] {
                prop_assert_eq!(&written(format), &run);
            }
            let back = written(RunFormat::MsMarco);
            prop_assert_eq!(ids(&back, "q"), ids(&run, "q"));
        }
    }
}
