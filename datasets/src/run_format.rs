//! Writing rankings as lines of a run file.

use std::io::Write;

use quarry_vectors::ScoredDoc;

use crate::error::DatasetError;

/// How a run file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunFormat {
    /// `query Q0 document rank score tag`.
    Trec,
    /// `query TAB document TAB rank`.
    MsMarco,
}

/// Writes one query's ranking, best first, with ranks from 1. `tag` is used by TREC alone.
///
/// Scores are written with as many digits as reading them back to the same `f32` takes.
///
/// # Errors
/// When writing fails, or a name is empty or contains white space.
pub fn write_ranking(
    out: &mut impl Write,
    query: &str,
    ranking: &[ScoredDoc],
    tag: &str,
    format: RunFormat,
) -> Result<(), DatasetError> {
    check(query)?;
    if format == RunFormat::Trec {
        check(tag)?;
    }
    for (place, ScoredDoc { id, score }) in ranking.iter().enumerate() {
        check(id)?;
        let rank = place + 1;
        match format {
            RunFormat::Trec => writeln!(out, "{query} Q0 {id} {rank} {score} {tag}"),
            RunFormat::MsMarco => writeln!(out, "{query}\t{id}\t{rank}"),
        }
        .map_err(DatasetError::Write)?;
    }
    Ok(())
}

fn check(name: &str) -> Result<(), DatasetError> {
    if name.is_empty() || name.bytes().any(|b| b.is_ascii_whitespace()) {
        return Err(DatasetError::Unwritable(name.to_owned()));
    }
    Ok(())
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
            ("q\ta\t1\nq\tb\n", "line 2: expected query, document and rank"),
            ("q\ta\t1\nq\tb\t1\n", "line 2: expected a rank that is new"),
            ("q\ta\tone\n", "line 1: expected a rank, found \"one\""),
        ] {
            let message = read(text).unwrap_err().to_string();
            assert!(message.contains(want), "{text:?}: {message}");
        }
        let mut run = Run::new("t");
        let hit = |id: &str, score| ScoredDoc { id: id.to_owned(), score };
        assert!(run.insert("q", vec![hit("a", f32::NAN)]).is_err());
        assert!(run.insert("q", vec![hit("a", 1.0), hit("a", 2.0)]).is_err());
        run.insert("q", vec![hit("a", 1.0), hit("b b", 2.0)]).unwrap();
        assert!(run.insert("q", vec![]).is_err());
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(matches!(
            run.write(file.path(), RunFormat::Trec),
            Err(DatasetError::Unwritable(_))
        ));
    }

    proptest! {
        #[test]
        fn written_runs_read_back(scores in prop::collection::vec(any::<f32>().prop_filter("finite", |s| s.is_finite()), 1..30)) {
            let mut run = Run::new("tag");
            let hits = scores.iter().enumerate().map(|(i, s)| ScoredDoc { id: format!("d{i}"), score: *s });
            run.insert("q", hits.collect()).unwrap();
            let file = tempfile::NamedTempFile::new().unwrap();
            run.write(file.path(), RunFormat::Trec).unwrap();
            prop_assert_eq!(&Run::read(file.path()).unwrap(), &run);
            run.write(file.path(), RunFormat::MsMarco).unwrap();
            let back = Run::read(file.path()).unwrap();
            prop_assert_eq!(ids(&back, "q"), ids(&run, "q"));
        }
    }
}
