//! Texts, as token ids, through a graph on several sessions of one thread.
//!
//! 1. form batches from the lengths alone  2. each worker takes the next batch and runs it on its
//!    own session  3. what was read off is put back in the order of the texts
//!
//! Several sessions of one thread beat one session of several threads: no operator waits for
//! another thread. Which worker runs a batch changes nothing, as all sessions are alike.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::graph::{Fixed, Graph, InputRow, Output, Tensors};
use crate::{EncoderError, batches};

/// Sessions, one a thread of a pool, each with scratch space `S`.
pub(crate) struct Sessions<S> {
    pool: ThreadPool,
    workers: Vec<Mutex<Worker<S>>>,
    /// The token that fills up short rows.
    pad: u32,
    /// Largest padded size of a batch, in tokens.
    limit: usize,
    /// Sizes that the graph takes alone: batches are filled up to them.
    fixed: Fixed,
    /// Where [`Self::run_one`] begins to look for a free worker.
    turn: AtomicUsize,
}

/// What has the tokens of a text.
pub(crate) trait AsRow {
    /// The tokens as a graph takes them.
    fn row(&self) -> InputRow<'_>;
}

impl AsRow for Vec<u32> {
    fn row(&self) -> InputRow<'_> {
        InputRow { ids: self, attended: self.len(), pooled_from: 0, pooled_to: self.len() }
    }
}

/// A session and its scratch space.
struct Worker<S> {
    graph: Graph,
    tensors: Tensors,
    scratch: S,
}

impl<S: Default + Send> Sessions<S> {
    /// Opens `sessions` graphs, and no more than the machine has cores: each holds the model's weights, and
    /// more of them encode no faster.
    pub(crate) fn open(
        sessions: Option<NonZeroUsize>,
        pad: u32,
        open: impl Fn() -> Result<Graph, EncoderError>,
    ) -> Result<Self, EncoderError> {
        let cores = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let sessions = sessions.unwrap_or(cores).min(cores).get();
        let pool = ThreadPoolBuilder::new()
            .num_threads(sessions)
            .thread_name(|at| format!("encode-{at}"))
            .build()
            .map_err(|source| EncoderError::Threads { threads: sessions, source })?;
        let worker = |_| {
            let (graph, tensors, scratch) = (open()?, Tensors::default(), S::default());
            Ok(Mutex::new(Worker { graph, tensors, scratch }))
        };
        let workers = (0..sessions).map(worker).collect::<Result<Vec<_>, EncoderError>>()?;
        let fixed = workers.first().map_or_else(Fixed::default, |w| lock(w).graph.fixed());
        let turn = AtomicUsize::new(0);
        Ok(Self { pool, workers, pad, limit: batches::TOKENS, fixed, turn })
    }

    /// Batches of at most `tokens` in place of the default, if that is less.
    pub(crate) fn limited(mut self, tokens: usize) -> Self {
        self.limit = self.limit.min(tokens.max(1));
        self
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.workers.len()
    }

    /// `work` on every item, on the pool's threads.
    pub(crate) fn map<'a, I: Sync, T: Send>(
        &self,
        items: &'a [I],
        work: impl Fn(&'a I) -> Result<T, EncoderError> + Sync + Send,
    ) -> Result<Vec<T>, EncoderError> {
        self.pool.install(|| items.par_iter().map(work).collect())
    }

    /// Runs `texts`; `read` makes something of each one's part of the
    /// output, given its position. A text without tokens is not run and gets the default.
    pub(crate) fn run<R: AsRow + Sync, T: Default + Clone + Send>(
        &self,
        texts: &[R],
        read: impl Fn(&mut S, usize, Output<'_>) -> Result<T, EncoderError> + Sync,
    ) -> Result<Vec<T>, EncoderError> {
        let mut lengths: Vec<usize> = texts.iter().map(|text| text.row().ids.len()).collect();
        if let Some(length) = self.fixed.length {
            lengths.iter_mut().filter(|l| **l > 0 && **l < length).for_each(|l| *l = length);
        }
        let batches = match self.fixed.rows {
            None => batches::form(&lengths, self.limit),
            // All rows are run, whatever is in them.
            Some(rows) => {
                let all = batches::form(&lengths, usize::MAX).concat();
                all.chunks(rows).map(<[usize]>::to_vec).collect()
            }
        };
        let next = AtomicUsize::new(0);
        let stop = AtomicBool::new(false);
        let done = self.pool.broadcast(|thread| {
            let mut worker = lock(&self.workers[thread.index()]);
            let mut found = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let Some(batch) = batches.get(next.fetch_add(1, Ordering::Relaxed)) else { break };
                let rows: Vec<InputRow<'_>> = batch.iter().map(|&at| texts[at].row()).collect();
                let read_row =
                    |scratch: &mut S, row, part: Output<'_>| read(scratch, batch[row], part);
                let results = worker.run(&rows, (self.pad, self.fixed), read_row);
                if results.is_err() {
                    stop.store(true, Ordering::Relaxed);
                }
                found.extend(batch.iter().copied().zip(results?));
            }
            Ok::<_, EncoderError>(found)
        });
        let mut out = vec![T::default(); texts.len()];
        for of_one_worker in done {
            for (at, found) in of_one_worker? {
                out[at] = found;
            }
        }
        Ok(out)
    }

    /// Runs one text in the caller's thread, on the first session that is free.
    pub(crate) fn run_one<T>(
        &self,
        row: InputRow<'_>,
        read: impl Fn(&mut S, Output<'_>) -> Result<T, EncoderError>,
    ) -> Result<T, EncoderError> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.workers.len();
        let (before, from) = self.workers.split_at(turn);
        let free = from.iter().chain(before).find_map(|worker| worker.try_lock().ok());
        let mut worker = free.unwrap_or_else(|| lock(&self.workers[turn]));
        let fill = (self.pad, self.fixed);
        let mut found = worker.run(&[row], fill, |scratch, _, part| read(scratch, part))?;
        found.pop().ok_or(EncoderError::OutputShape { expected: vec![1], found: vec![0] })
    }
}

/// A worker whose last run panicked has nothing half done that a next run would read.
fn lock<S>(worker: &Mutex<Worker<S>>) -> MutexGuard<'_, Worker<S>> {
    worker.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<S> Worker<S> {
    /// Runs one batch, its longest row first; results come in the batch's order.
    fn run<T>(
        &mut self,
        rows: &[InputRow<'_>],
        (pad, fixed): (u32, Fixed),
        read: impl Fn(&mut S, usize, Output<'_>) -> Result<T, EncoderError>,
    ) -> Result<Vec<T>, EncoderError> {
        let longest = rows.first().map_or(0, |row| row.ids.len());
        let length = fixed.length.unwrap_or(longest);
        if longest > length {
            return Err(EncoderError::Parameter {
                parameter: "max_tokens",
                expected: format!("1 to {length}, the length that the graph was exported with"),
                found: u32::try_from(longest).unwrap_or(u32::MAX),
            });
        }
        // A fixed number of rows is filled up with the last one again.
        let count = fixed.rows.unwrap_or(rows.len());
        let again = rows.last().copied().into_iter().cycle();
        self.tensors.fill(rows.iter().copied().chain(again).take(count), length, pad);
        let Self { graph, tensors, scratch } = self;
        graph.run(tensors, |output| {
            let parts = output.parts(count).take(rows.len());
            parts.enumerate().map(|(row, part)| read(scratch, row, part)).collect()
        })
    }
}
