//! The cost of a search: counted work times the time that a unit of each kind takes.
//!
//! 1. a cell is one setting over some queries: what was counted, and the time that it took
//! 2. of each query the fastest of several laps, which other work on the machine disturbs least
//! 3. unit times that give the cells' times, none below zero, by least squares of relative errors; cells
//!    that took far longer than the others say are left out: nothing makes a search faster than it is
//!
//! Counts do not depend on the machine's load, so settings of one method always stand in the right order;
//! what was disturbed can only shift a whole method.

use std::time::Instant;

use quarry_index::calibration::{Units, Work};

use crate::error::SearchError;
use crate::method::Method;
use crate::outcome::Stats;

/// A cell that took more than this multiple of the predicted time contradicts the others.
const CONTRADICTS: f64 = 1.25;
/// Rounds of fitting and leaving out.
const ROUNDS: usize = 8;
/// Sweeps over the units in a fit.
const SWEEPS: usize = 400;
/// Numbers of a cell: one, terms, postings, documents, blocks.
const NUMBERS: usize = 5;

/// Times one search. A test has one that reads no clock.
pub(crate) trait Stopwatch {
    /// Runs a search by a method; the microseconds that it took, and what it did.
    fn lap(
        &mut self,
        method: Method,
        run: &mut dyn FnMut() -> Result<Stats, SearchError>,
    ) -> Result<(f64, Stats), SearchError>;
}

/// The clock of the machine.
#[derive(Debug)]
pub(crate) struct Wall;

impl Stopwatch for Wall {
    fn lap(
        &mut self,
        _: Method,
        run: &mut dyn FnMut() -> Result<Stats, SearchError>,
    ) -> Result<(f64, Stats), SearchError> {
        let started = Instant::now();
        let stats = run()?;
        Ok((started.elapsed().as_secs_f64() * 1e6, stats))
    }
}

/// Something measured: mean work and mean time of a query.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Cell {
    pub(crate) work: Work,
    pub(crate) micros: f64,
}

/// The mean work of queries, of what was counted in all.
pub(crate) fn mean(stats: &Stats, terms: f64, queries: usize) -> Work {
    #[expect(clippy::cast_precision_loss, reason = "counts")]
    let of = |count: u64| count as f64 / queries.max(1) as f64;
    Work {
        terms,
        postings: of(stats.postings),
        documents: of(stats.documents_scored),
        blocks: of(stats.blocks_estimated),
    }
}

fn numbers(work: &Work) -> [f64; NUMBERS] {
    [1.0, work.terms, work.postings, work.documents, work.blocks]
}

/// Unit times of a method, fitted to cells of different work.
pub(crate) fn units(method: Method, cells: &[Cell]) -> Units {
    let mut weights = vec![1.0; cells.len()];
    let mut found = [0.0; NUMBERS];
    for _ in 0..ROUNDS {
        found = fit(cells, &weights);
        let mut changed = false;
        for (weight, cell) in weights.iter_mut().zip(cells) {
            let keep = if contradicts(cell, said(&found, &cell.work)) { 0.0 } else { 1.0 };
            changed |= *weight != keep;
            *weight = keep;
        }
        if !changed || weights.iter().all(|w| *w == 0.0) {
            break;
        }
    }
    let [query, terms, postings, documents, blocks] = found;
    let each = Work { terms, postings, documents, blocks };
    Units { method: method.name().to_owned(), query, each }
}

/// Whether a cell took longer than its work can.
pub(crate) fn contradicts(cell: &Cell, said: f64) -> bool {
    cell.micros > said * CONTRADICTS
}

fn said(units: &[f64; NUMBERS], work: &Work) -> f64 {
    units.iter().zip(numbers(work)).map(|(unit, count)| unit * count).sum()
}

/// Units of at least zero with the least squares of (said - took) / took, one at a time.
fn fit(cells: &[Cell], weights: &[f64]) -> [f64; NUMBERS] {
    let usable = |cell: &Cell| cell.micros.is_finite() && cell.micros > 0.0;
    let rows: Vec<([f64; NUMBERS], f64)> = cells
        .iter()
        .zip(weights)
        .filter(|(cell, weight)| **weight > 0.0 && usable(cell))
        .map(|(cell, weight)| (numbers(&cell.work).map(|n| n / cell.micros), *weight))
        .collect();
    let mut units = [0.0; NUMBERS];
    for _ in 0..SWEEPS {
        for at in 0..NUMBERS {
            let (mut with, mut square) = (0.0, 0.0);
            for (row, weight) in &rows {
                let others: f64 = row.iter().zip(&units).map(|(n, unit)| n * unit).sum::<f64>()
                    - row[at] * units[at];
                with += weight * row[at] * (1.0 - others);
                square += weight * row[at] * row[at];
            }
            units[at] = if square > 0.0 { (with / square).max(0.0) } else { 0.0 };
        }
    }
    units
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRUE: Work = Work { terms: 0.2, postings: 0.001, documents: 0.09, blocks: 0.0 };

    fn cells() -> Vec<Cell> {
        let truth = Units { method: "impact".into(), query: 6.0, each: TRUE };
        let mut cells = Vec::new();
        for terms in [6.0, 24.0, 96.0] {
            for postings in [1_000.0, 7_000.0, 40_000.0] {
                for documents in [60.0, 300.0, 2_000.0] {
                    let work = Work { terms, postings, documents, blocks: 0.0 };
                    cells.push(Cell { work, micros: truth.micros(&work) });
                }
            }
        }
        cells
    }

    fn is_true(units: &Units) {
        for cell in cells() {
            let ratio = units.micros(&cell.work) / cell.micros;
            assert!((0.97..1.03).contains(&ratio), "{ratio}: {units:?}");
        }
    }

    #[test]
    fn units_are_found_from_what_was_counted() {
        is_true(&units(Method::Impact, &cells()));
    }

    #[test]
    fn cells_that_contradict_the_others_are_left_out() {
        let mut disturbed = cells();
        for at in [0, 5, 9, 13, 20, 26] {
            disturbed[at].micros *= 1.5 + at as f64;
        }
        let found = units(Method::Impact, &disturbed);
        is_true(&found);
        for (at, cell) in disturbed.iter().enumerate() {
            let contradicting = contradicts(cell, found.micros(&cell.work));
            assert_eq!(contradicting, [0, 5, 9, 13, 20, 26].contains(&at), "{at}");
        }
    }

    #[test]
    fn more_work_never_costs_less() {
        let mut odd = cells();
        // Fewer postings took longer, here and there.
        odd.iter_mut().step_by(2).for_each(|cell| cell.micros *= 1.2);
        let Units { query, each, .. } = units(Method::Impact, &odd);
        let all = [query, each.terms, each.postings, each.documents, each.blocks];
        assert!(all.iter().all(|unit| *unit >= 0.0), "{all:?}");
    }

    #[test]
    fn one_cell_or_none() {
        let one = &cells()[4..5];
        let found = units(Method::Exact, one);
        assert!((found.micros(&one[0].work) / one[0].micros - 1.0).abs() < 0.01);
        assert_eq!(units(Method::Exact, &[]).micros(&one[0].work), 0.0);
        let nothing = [Cell { micros: 0.0, ..one[0] }, Cell { micros: f64::INFINITY, ..one[0] }];
        assert_eq!(units(Method::Exact, &nothing).micros(&one[0].work), 0.0);
    }
}
