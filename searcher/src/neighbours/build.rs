//! A graph of near rows, made by inserting rows in random order.
//!
//! 1. of rows with equal vectors take one  2. shuffle these; the first, about the square root of their number, are the
//!    entries  3. compare each entry with all others  4. batches of further rows, each at most a fiftieth of what is in:
//!    every row walks the graph as it was before the batch and keeps, of the rows found, near ones in different directions
//! 5. link back; a row that has too many neighbours keeps again near ones in different directions
//! 6. chain rows with equal vectors: the one that was taken leads to the next, and so on; else they would fill each
//!    other's places, and lead nowhere
//!
//! Near is by Euclidean distance, for vectors of length one the order of dot products. The result depends on rows,
//! options and seed alone, not on the number of threads.
//!
//! Insertion: Malkov and Yashunin, TPAMI 2020; which neighbours are kept: Jayaram Subramanya et al., "DiskANN",
//! NeurIPS 2019; batches: Manohar et al., "ParlayANN", PPoPP 2024.
//!
//! Memory: 4 bytes for each place of a neighbour, and up to 40 for each row. Cost: some 3,000 comparisons a row.

use quarry_index::neighbours::{NONE, NeighbourGraph};
use rayon::prelude::*;

use super::prune::{Pruner, Selection};
use crate::methods::dense::query::{DenseQuery, DenseScorer, ScoreBuffers};
use crate::methods::dense::walk::{Near, Walk, WalkScratch};
use crate::random::Random;

/// A batch is at most this share of the rows that are in.
const SHARE: usize = 50;

/// How a graph is made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct BuildParams {
    /// Most neighbours of a row.
    pub(crate) degree: usize,
    /// Rows that an insertion keeps while it walks.
    pub(crate) beam: usize,
    pub(crate) seed: u64,
}

/// The vectors that a graph is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Vectors<'a> {
    pub(crate) scorer: DenseScorer<'a>,
    /// Rows of the segment.
    pub(crate) rows: usize,
}

/// A row's neighbours.
fn of(graph: &NeighbourGraph, row: u32) -> &[u32] {
    let all = graph.view().of(row);
    let count = all.iter().position(|row| *row == NONE).unwrap_or(all.len());
    &all[..count]
}

fn set(graph: &mut NeighbourGraph, row: u32, neighbours: &[u32]) {
    let at = row as usize * graph.degree;
    let all = &mut graph.rows[at..at + graph.degree];
    all.fill(NONE);
    all[..neighbours.len()].copy_from_slice(neighbours);
}

/// What a thread works in.
#[derive(Default)]
struct Worker {
    walk: WalkScratch,
    query: DenseQuery,
    found: Vec<Near>,
    pruner: Pruner,
    scores: Vec<f64>,
    buffers: ScoreBuffers,
}

/// Makes the graph of the rows `rows`. `progress` hears how many are in.
pub(crate) fn build(
    vectors: Vectors<'_>,
    rows: &[u32],
    params: BuildParams,
    progress: &(dyn Fn(usize) + Sync),
) -> NeighbourGraph {
    let marked = by_vector(vectors, rows);
    let equal = || marked.chunk_by(|a, b| a.hash == b.hash);
    let mut order: Vec<u32> = equal().map(|rows| rows[0].row).collect();
    let copies: Vec<Vec<u32>> = equal()
        .filter(|rows| rows.len() > 1)
        .map(|rows| rows.iter().map(|marked| marked.row).collect())
        .collect();
    drop(marked);
    order.sort_unstable();
    shuffle(&mut order, params.seed);
    let first = order.len().isqrt();
    let halves = half_squares(vectors, &order);
    let mut graph = NeighbourGraph {
        degree: params.degree,
        rows: vec![NONE; vectors.rows * params.degree],
        entries: order[..first].to_vec(),
    };
    let build = Build { vectors, params, halves };
    let entries: Vec<Vec<u32>> = graph
        .entries
        .par_iter()
        .map_init(Worker::default, |worker, row| build.among(*row, &graph.entries, worker))
        .collect();
    for (row, neighbours) in order[..first].iter().zip(&entries) {
        set(&mut graph, *row, neighbours);
    }
    let mut done = first;
    while done < order.len() {
        progress(done);
        let batch = &order[done..order.len().min(done + (done / SHARE).max(1))];
        build.insert(batch, &mut graph);
        done += batch.len();
    }
    let mut worker = Worker::default();
    for rows in &copies {
        build.chain(rows, &mut graph, &mut worker);
    }
    progress(rows.len());
    graph
}

/// A row, by its vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Marked {
    hash: u64,
    row: u32,
}

/// Rows, those with equal vectors side by side.
fn by_vector(vectors: Vectors<'_>, rows: &[u32]) -> Vec<Marked> {
    let mark = |row: &u32| Marked { hash: vectors.scorer.hash(*row), row: *row };
    let mut marked: Vec<Marked> = rows.par_iter().map(mark).collect();
    marked.sort_unstable();
    marked
}

struct Build<'a> {
    vectors: Vectors<'a>,
    params: BuildParams,
    /// Half the squared length of each row's vector.
    halves: Vec<f64>,
}

impl Build<'_> {
    /// The neighbours of a row among `others`.
    fn among(&self, row: u32, others: &[u32], worker: &mut Worker) -> Vec<u32> {
        let Worker { query, found, pruner, scores, buffers, .. } = worker;
        self.vectors.scorer.query_of(row, query);
        self.vectors.scorer.score(query, others, buffers, scores);
        found.clear();
        found.extend(others.iter().zip(scores).filter(|(other, _)| **other != row).map(
            |(other, score)| Near { score: *score - self.halves[*other as usize], row: *other },
        ));
        pruner.keep(self.selection(row), found)
    }

    fn selection(&self, row: u32) -> Selection<'_> {
        Selection {
            scorer: self.vectors.scorer,
            halves: &self.halves,
            row,
            degree: self.params.degree,
        }
    }

    /// Links each of rows with equal vectors to the next; the first is in the graph. Where that has no place left, its
    /// farthest neighbour makes room.
    fn chain(&self, equal: &[u32], graph: &mut NeighbourGraph, worker: &mut Worker) {
        let mut first = of(graph, equal[0]).to_vec();
        if first.len() == self.params.degree {
            first = self.among(equal[0], &first, worker);
            first.truncate(self.params.degree - 1);
        }
        first.push(equal[1]);
        set(graph, equal[0], &first);
        for pair in equal[1..].windows(2) {
            set(graph, pair[0], &[pair[1]]);
        }
    }

    fn insert(&self, batch: &[u32], graph: &mut NeighbourGraph) {
        let walk = Walk {
            graph: graph.view(),
            scorer: self.vectors.scorer,
            rows: self.vectors.rows,
            offsets: Some(&self.halves),
            beam: self.params.beam,
        };
        let kept: Vec<Vec<u32>> = batch
            .par_iter()
            .map_init(Worker::default, |worker, row| {
                let Worker { walk: scratch, query, found, pruner, .. } = worker;
                self.vectors.scorer.query_of(*row, query);
                found.clear();
                let walked = walk.run(query, std::iter::empty(), |_| true, || false, scratch);
                if walked.is_ok() {
                    found.extend(scratch.found());
                }
                pruner.keep(self.selection(*row), found)
            })
            .collect();
        let mut back = Vec::new();
        for (row, neighbours) in batch.iter().zip(&kept) {
            set(graph, *row, neighbours);
            back.extend(neighbours.iter().map(|neighbour| Link { to: *neighbour, from: *row }));
        }
        back.sort_unstable();
        let groups: Vec<&[Link]> = back.chunk_by(|a, b| a.to == b.to).collect();
        let linked: Vec<Vec<u32>> = groups
            .par_iter()
            .map_init(Worker::default, |worker, links| self.linked(links, graph, worker))
            .collect();
        for (links, neighbours) in groups.iter().zip(&linked) {
            set(graph, links[0].to, neighbours);
        }
    }

    /// The neighbours of a row once others link back to it.
    fn linked(&self, links: &[Link], graph: &NeighbourGraph, worker: &mut Worker) -> Vec<u32> {
        let row = links[0].to;
        let mut all = of(graph, row).to_vec();
        all.extend(links.iter().map(|link| link.from));
        if all.len() > self.params.degree {
            all = self.among(row, &all, worker);
        }
        all
    }
}

/// A link back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Link {
    to: u32,
    from: u32,
}

/// Half the squared length of each vector, as it is stored; 0 for rows that are not in `order`.
fn half_squares(vectors: Vectors<'_>, order: &[u32]) -> Vec<f64> {
    let one = |worker: &mut Worker, row: &u32| {
        vectors.scorer.query_of(*row, &mut worker.query);
        vectors.scorer.score(&worker.query, &[*row], &mut worker.buffers, &mut worker.scores);
        worker.scores[0] / 2.0
    };
    let found: Vec<f64> = order.par_iter().map_init(Worker::default, one).collect();
    let mut halves = vec![0.0; vectors.rows];
    for (row, half) in order.iter().zip(found) {
        halves[*row as usize] = half;
    }
    halves
}

/// Fisher and Yates.
fn shuffle(order: &mut [u32], seed: u64) {
    let mut random = Random(seed);
    for last in (1..order.len()).rev() {
        order.swap(last, random.below(last + 1));
    }
}
