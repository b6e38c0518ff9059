//! The tables of `quarry eval --sets`: means over the queries of a collection, a collection a row, a
//! system a column. Collections of one folder are averaged into one row, which counts once in the mean.

use quarry_datasets::measures::{Evaluation, Measure};
use serde_json::{Map, Value, json};

use crate::output::{line, note, table};

/// A collection's values.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    name: String,
    group: Option<String>,
    /// By system, then by measure.
    means: Vec<Vec<f64>>,
    /// Queries that the means are over, and those of them without a ranking, by system.
    queries: Vec<usize>,
    unanswered: Vec<usize>,
}

impl Row {
    /// The values of every system on a collection.
    pub(crate) fn of(name: &str, group: Option<&str>, evaluations: &[Evaluation]) -> Self {
        Self {
            name: name.to_owned(),
            group: group.map(str::to_owned),
            means: evaluations.iter().map(|e| e.means().map(|(_, mean)| mean).collect()).collect(),
            queries: evaluations.iter().map(|e| e.queries().len()).collect(),
            unanswered: evaluations.iter().map(Evaluation::unanswered).collect(),
        }
    }
}

/// Rows of the table: collections that stand alone, and folders of them with their parts.
fn grouped(rows: &[Row]) -> Vec<(Row, Vec<&Row>)> {
    let mut out: Vec<(Row, Vec<&Row>)> = Vec::new();
    for row in rows {
        let Some(group) = &row.group else {
            out.push((row.clone(), Vec::new()));
            continue;
        };
        match out.last_mut().filter(|(last, parts)| last.name == *group && !parts.is_empty()) {
            Some((_, parts)) => parts.push(row),
            None => out.push((Row { name: group.clone(), group: None, ..row.clone() }, vec![row])),
        }
    }
    for (row, parts) in out.iter_mut().filter(|(_, parts)| !parts.is_empty()) {
        row.means = mean_of(&parts.iter().copied());
        let sum = |of: &dyn Fn(&Row) -> &[usize], at: usize| {
            parts.iter().filter_map(|part| of(part).get(at)).sum()
        };
        row.queries = (0..row.queries.len()).map(|at| sum(&|r| &r.queries, at)).collect();
        row.unanswered = (0..row.unanswered.len()).map(|at| sum(&|r| &r.unanswered, at)).collect();
    }
    out
}

/// The mean of rows, each counting once.
fn mean_of<'a>(rows: &(impl Iterator<Item = &'a Row> + Clone)) -> Vec<Vec<f64>> {
    let Some(first) = rows.clone().next() else { return Vec::new() };
    #[expect(clippy::cast_precision_loss, reason = "a handful of collections")]
    let many = rows.clone().count() as f64;
    let at = |system: usize, measure: usize| {
        let values = rows.clone().filter_map(|row| row.means.get(system)?.get(measure));
        values.sum::<f64>() / many
    };
    first
        .means
        .iter()
        .enumerate()
        .map(|(system, means)| (0..means.len()).map(|measure| at(system, measure)).collect())
        .collect()
}

/// One table a measure.
pub(crate) fn print_tables(
    rows: &[Row],
    measures: &[Measure],
    systems: &[&str],
) -> anyhow::Result<()> {
    let grouped = grouped(rows);
    let mean = mean_of(&grouped.iter().map(|(row, _)| row));
    for (at, measure) in measures.iter().enumerate() {
        if at > 0 {
            line("")?;
        }
        let mut lines = vec![vec![measure.to_string()]];
        lines[0].extend(systems.iter().map(|&name| name.to_owned()));
        lines[0].push("queries".to_owned());
        let cells = |name: String, means: &[Vec<f64>], queries: Option<&usize>| {
            let mut cells = vec![name];
            cells.extend(means.iter().map(|of_system| {
                of_system.get(at).map_or_else(String::new, |mean| format!("{mean:.4}"))
            }));
            cells.extend(queries.map(usize::to_string));
            cells
        };
        for (row, parts) in &grouped {
            lines.push(cells(row.name.clone(), &row.means, row.queries.first()));
            for part in parts {
                lines.push(cells(format!("  {}", part.name), &part.means, part.queries.first()));
            }
        }
        lines.push(cells("mean".to_owned(), &mean, None));
        crate::output::text(&table(&lines))?;
    }
    let unanswered: usize = rows.iter().flat_map(|row| &row.unanswered).sum();
    if unanswered > 0 {
        note(format!("note: {unanswered} times a judged query had no ranking and counts as zero"));
    }
    Ok(())
}

/// The same as JSON: of each collection and system the means; parts of a collection stand within it, what
/// was left out under `skipped`, with the reason.
pub(crate) fn print_json(
    rows: &[Row],
    measures: &[Measure],
    systems: &[&str],
    skipped: &[(String, String)],
) -> anyhow::Result<()> {
    let values = |row: &Row| {
        let mut of_row = Map::new();
        for (at, (system, means)) in systems.iter().zip(&row.means).enumerate() {
            let mut of_system: Map<String, Value> =
                measures.iter().zip(means).map(|(m, mean)| (m.to_string(), json!(mean))).collect();
            of_system.insert("queries".into(), json!(row.queries.get(at)));
            of_system.insert("unanswered".into(), json!(row.unanswered.get(at)));
            of_row.insert((*system).to_owned(), Value::Object(of_system));
        }
        of_row
    };
    let mut out = Map::new();
    for (row, parts) in grouped(rows) {
        let mut of_row = values(&row);
        if !parts.is_empty() {
            let parts = parts.iter().map(|part| (part.name.clone(), Value::Object(values(part))));
            of_row.insert("parts".into(), Value::Object(parts.collect()));
        }
        out.insert(row.name, Value::Object(of_row));
    }
    if !skipped.is_empty() {
        let reasons = skipped.iter().map(|(name, reason)| (name.clone(), json!(reason)));
        out.insert("skipped".into(), Value::Object(reasons.collect()));
    }
    crate::output::json(&out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, group: Option<&str>, mean: f64) -> Row {
        Row {
            name: name.to_owned(),
            group: group.map(str::to_owned),
            means: vec![vec![mean]],
            queries: vec![2],
            unanswered: vec![1],
        }
    }

    #[test]
    fn parts_of_a_collection_count_once() {
        let rows = [
            row("a", None, 1.0),
            row("cqa/x", Some("cqa"), 0.2),
            row("cqa/y", Some("cqa"), 0.4),
            row("z", None, 0.4),
        ];
        let grouped = grouped(&rows);
        let names: Vec<&str> = grouped.iter().map(|(row, _)| row.name.as_str()).collect();
        assert_eq!(names, ["a", "cqa", "z"]);
        let (cqa, parts) = &grouped[1];
        assert!((cqa.means[0][0] - 0.3).abs() < 1e-12 && parts.len() == 2, "{cqa:?}");
        assert_eq!((cqa.queries[0], cqa.unanswered[0]), (4, 2));
        let mean = mean_of(&grouped.iter().map(|(row, _)| row))[0][0];
        assert!((mean - 1.7 / 3.0).abs() < 1e-12, "{mean}");
    }
}
