//! The queue of texts that wait to be encoded, of all collections of a store.
//!
//! 1. a request leaves the rows of its documents in the queue, if there is room for their bytes; else it is refused
//! 2. whoever waits and finds no batch running runs one: rows of all requests with the same encoders, in turns, the
//!    longest of each first, so that those of a batch are about equally long
//! 3. a request goes on when all of its rows are done  4. where a batch fails, its rows are encoded one by one, so that a
//!    row fails alone
//!
//! A small request so waits for a few batches at most, not for a large one before it. Which rows share a batch may change
//! the last digits of their vectors, where the encoder's own results depend on that (`quarry-encoders`); nothing else does.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use quarry_vectors::{EncodeError, Passage, caught};

use crate::write::{EncodedRow, TextEncoders};

/// Most rows of a batch.
const ROWS: usize = 32;
/// Bytes of texts from which a batch is full.
const BATCH_BYTES: usize = 64 << 10;
/// What a new measurement counts: one part in so many.
const SHARE: f64 = 8.0;
/// Longest time that is told to a client.
const LONGEST: Duration = Duration::from_secs(60);

/// What makes rows of texts.
pub(super) trait Encode: Send + Sync {
    /// Whether both make the same of a text.
    fn same(&self, other: &Self) -> bool;
    /// One row a passage.
    fn encode(&self, passages: &[Passage<'_>]) -> Result<Vec<EncodedRow>, EncodeError>;
    /// Tokens read so far.
    fn tokens_read(&self) -> u64;
}

impl Encode for TextEncoders {
    fn same(&self, other: &Self) -> bool {
        self.same(other)
    }

    fn encode(&self, passages: &[Passage<'_>]) -> Result<Vec<EncodedRow>, EncodeError> {
        self.encode(passages)
    }

    fn tokens_read(&self) -> u64 {
        self.tokens_read()
    }
}

/// A row to encode.
#[derive(Debug)]
pub(super) struct Row {
    /// Which of the request's documents.
    pub(super) document: usize,
    pub(super) title: String,
    pub(super) text: String,
    /// Its bytes of the document's text.
    pub(super) bytes: Range<usize>,
}

impl Row {
    fn size(&self) -> usize {
        self.title.len() + self.text.len()
    }
}

/// What a request's rows became.
#[derive(Debug)]
pub(super) struct Done {
    /// By document, in the order of the text; or why a row was not encoded.
    pub(super) rows: Vec<(usize, Result<EncodedRow, String>)>,
    /// Time of the batches that had rows of it.
    pub(super) encode: Duration,
}

/// There is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full {
    /// Bytes that wait.
    pub(super) waiting: u64,
    /// How long it takes until there is room, as measured.
    pub(super) again: Duration,
}

/// What a store has encoded, and what waits.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct EncodeFigures {
    /// Bytes of texts that wait or are being encoded.
    pub waiting_bytes: u64,
    /// Most of them.
    pub most_bytes: u64,
    /// How long the oldest request has waited.
    pub oldest: Duration,
    /// Documents encoded.
    pub documents: u64,
    /// Their rows.
    pub rows: u64,
    /// Tokens that the encoder of sparse vectors has read.
    pub tokens: u64,
    /// Rows that could not be encoded.
    pub failed: u64,
    /// Batches run.
    pub batches: u64,
    /// Time of the batches.
    pub busy: Duration,
}

/// The queue.
#[derive(Debug)]
pub(super) struct EncodeQueue<E> {
    most: usize,
    state: Mutex<State<E>>,
    moved: Condvar,
    /// Encoders are opened by one caller at a time: each opening takes their memory.
    pub(super) opening: Mutex<()>,
}

#[derive(Debug)]
struct State<E> {
    /// By number, in the order in which they came.
    requests: BTreeMap<u64, Request<E>>,
    next: u64,
    /// Number of the request whose turn is first in the next batch.
    turn: u64,
    bytes: usize,
    running: bool,
    /// Bytes a second, measured; 0 before the first batch.
    rate: f64,
    figures: EncodeFigures,
}

#[derive(Debug)]
struct Request<E> {
    encoders: Arc<E>,
    came: Instant,
    /// The shortest first: the last is taken.
    waiting: Vec<Row>,
    running: usize,
    done: Done,
}

/// Rows that are encoded together, and their requests.
struct Batch<E> {
    encoders: Arc<E>,
    rows: Vec<(u64, Row)>,
}

impl<E: Encode> EncodeQueue<E> {
    /// A queue of at most `most` bytes of texts. A request with more is admitted alone.
    pub(super) fn new(most: usize) -> Self {
        let state = State {
            requests: BTreeMap::new(),
            next: 0,
            turn: 0,
            bytes: 0,
            running: false,
            rate: 0.0,
            figures: EncodeFigures::default(),
        };
        let (moved, opening) = (Condvar::new(), Mutex::default());
        Self { most, state: Mutex::new(state), moved, opening }
    }

    /// An empty one of the same size.
    pub(super) fn another(&self) -> Self {
        Self::new(self.most)
    }

    fn state(&self) -> MutexGuard<'_, State<E>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Figures of the queue.
    pub(super) fn figures(&self) -> EncodeFigures {
        let state = self.state();
        let oldest = state.requests.values().next().map(|request| request.came.elapsed());
        EncodeFigures {
            waiting_bytes: state.bytes as u64,
            most_bytes: self.most as u64,
            oldest: oldest.unwrap_or_default(),
            ..state.figures
        }
    }

    /// Whether texts of so many bytes find room.
    pub(super) fn has_room(&self, bytes: usize) -> Result<(), Full> {
        self.state().has_room(bytes, self.most)
    }

    /// Encodes rows, with those of others; returns when all of them are done. Blocks.
    pub(super) fn encode(&self, encoders: Arc<E>, mut rows: Vec<Row>) -> Result<Done, Full> {
        let mut state = self.state();
        let bytes = rows.iter().map(Row::size).sum();
        state.has_room(bytes, self.most)?;
        state.bytes += bytes;
        rows.sort_by_key(Row::size);
        let documents =
            rows.iter().map(|row| row.document).collect::<std::collections::HashSet<_>>();
        let done = Done { rows: Vec::with_capacity(rows.len()), encode: Duration::ZERO };
        let number = state.next;
        state.next += 1;
        let came = Instant::now();
        state.requests.insert(number, Request { encoders, came, waiting: rows, running: 0, done });
        loop {
            let own = state.requests.get(&number);
            if own.is_none_or(|own| own.waiting.is_empty() && own.running == 0) {
                state.bytes = state.bytes.saturating_sub(bytes);
                state.figures.documents += documents.len() as u64;
                let own = state.requests.remove(&number);
                let mut done =
                    own.map_or(Done { rows: Vec::new(), encode: Duration::ZERO }, |own| own.done);
                let at =
                    |row: &Result<EncodedRow, String>| row.as_ref().map_or(0, |r| r.bytes.start);
                done.rows.sort_by_key(|(document, row)| (*document, at(row)));
                return Ok(done);
            }
            let Some(batch) = (!state.running).then(|| state.batch()).flatten() else {
                state = self.moved.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            state.running = true;
            drop(state);
            let tokens = batch.encoders.tokens_read();
            let started = Instant::now();
            let made = run(&batch);
            let took = started.elapsed();
            let tokens = batch.encoders.tokens_read().saturating_sub(tokens);
            state = self.state();
            state.take(batch, made, took);
            state.figures.tokens += tokens;
            state.running = false;
            self.moved.notify_all();
        }
    }
}

impl<E: Encode> State<E> {
    fn has_room(&self, bytes: usize, most: usize) -> Result<(), Full> {
        let over = self.bytes.saturating_add(bytes).saturating_sub(most);
        if over == 0 || self.bytes == 0 {
            return Ok(());
        }
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        let seconds = if self.rate > 0.0 { over.min(self.bytes) as f64 / self.rate } else { 1.0 };
        let again = Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST).min(LONGEST);
        Err(Full { waiting: self.bytes as u64, again })
    }

    /// The next batch: a row of each request in turn. `None` if nothing waits.
    fn batch(&mut self) -> Option<Batch<E>> {
        let waits = |(number, request): (&u64, &Request<E>)| {
            (!request.waiting.is_empty()).then_some(*number)
        };
        let after = self.requests.range(self.turn..).chain(self.requests.range(..self.turn));
        let numbers: Vec<u64> = after.filter_map(waits).collect();
        let first = *numbers.first()?;
        let encoders = Arc::clone(&self.requests.get(&first)?.encoders);
        self.turn = first + 1;
        let (mut rows, mut bytes, mut found) = (Vec::new(), 0, true);
        while std::mem::take(&mut found) {
            for number in &numbers {
                let Some(request) = self.requests.get_mut(number) else { continue };
                if rows.len() >= ROWS || bytes >= BATCH_BYTES || !encoders.same(&request.encoders) {
                    continue;
                }
                let Some(row) = request.waiting.pop() else { continue };
                request.running += 1;
                bytes += row.size();
                rows.push((*number, row));
                found = true;
            }
        }
        Some(Batch { encoders, rows })
    }

    /// Hands out what a batch made.
    fn take(&mut self, batch: Batch<E>, made: Vec<Result<EncodedRow, String>>, took: Duration) {
        let bytes: usize = batch.rows.iter().map(|(_, row)| row.size()).sum();
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        let rate = bytes as f64 / took.as_secs_f64().max(1e-6);
        self.rate = if self.rate > 0.0 { self.rate + (rate - self.rate) / SHARE } else { rate };
        self.figures.batches += 1;
        self.figures.busy += took;
        let mut told: Option<u64> = None;
        let mut rows: Vec<_> = batch.rows.into_iter().zip(made).collect();
        rows.sort_by_key(|((number, _), _)| *number);
        for ((number, row), made) in rows {
            match &made {
                Ok(_) => self.figures.rows += 1,
                Err(_) => self.figures.failed += 1,
            }
            let Some(request) = self.requests.get_mut(&number) else { continue };
            request.running = request.running.saturating_sub(1);
            if told.replace(number) != Some(number) {
                request.done.encode += took;
            }
            let made = made.map(|made| EncodedRow { bytes: row.bytes, ..made });
            request.done.rows.push((row.document, made));
        }
    }
}

/// Encodes a batch; where that fails, each row alone. A panic is a failure.
fn run<E: Encode>(batch: &Batch<E>) -> Vec<Result<EncodedRow, String>> {
    let encode = |rows: &[(u64, Row)]| {
        let passages: Vec<Passage<'_>> =
            rows.iter().map(|(_, row)| Passage { title: &row.title, text: &row.text }).collect();
        let made =
            caught(|| batch.encoders.encode(&passages))?.map_err(|error| error.to_string())?;
        match made.len() == rows.len() {
            true => Ok(made),
            false => Err("the encoder gave another number of vectors than texts".to_owned()),
        }
    };
    match encode(&batch.rows) {
        Ok(made) => made.into_iter().map(Ok).collect(),
        Err(error) if batch.rows.len() == 1 => vec![Err(error)],
        Err(error) => {
            tracing::warn!(
                error,
                "a batch of texts cannot be encoded; they are encoded one by one"
            );
            let alone = |row| {
                let made = encode(std::slice::from_ref(row))?.pop();
                made.ok_or_else(|| "the encoder gave no vector".to_owned())
            };
            batch.rows.iter().map(alone).collect()
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic fails the test")]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use quarry_vectors::SparseVector;

    use super::*;

    /// Gives the length of a text as its weight; tells each batch, and waits for leave to run it.
    struct Slow {
        told: Mutex<Sender<Vec<String>>>,
        leave: Mutex<Receiver<()>>,
    }

    impl Encode for Slow {
        fn same(&self, other: &Self) -> bool {
            std::ptr::eq(self, other)
        }

        fn encode(&self, passages: &[Passage<'_>]) -> Result<Vec<EncodedRow>, EncodeError> {
            let texts = passages.iter().map(|passage| passage.text.to_owned()).collect();
            self.told.lock().unwrap().send(texts).unwrap();
            self.leave.lock().unwrap().recv().unwrap();
            let bad = passages.iter().any(|passage| passage.text.starts_with("bad"));
            assert!(!passages.iter().any(|passage| passage.text == "panic"), "by a panic");
            let row = |passage: &Passage<'_>| EncodedRow {
                sparse: Some(weight(passage.text.len())),
                ..EncodedRow::default()
            };
            match bad {
                true => Err(EncodeError("a bad text".into())),
                false => Ok(passages.iter().map(row).collect()),
            }
        }

        fn tokens_read(&self) -> u64 {
            0
        }
    }

    fn weight(length: usize) -> SparseVector {
        let weight = f32::from(u16::try_from(length).unwrap_or(u16::MAX));
        SparseVector::new(vec![0], vec![weight]).unwrap()
    }

    fn rows(texts: &[&str]) -> Vec<Row> {
        let row = |(document, text): (usize, &&str)| Row {
            document,
            title: String::new(),
            text: (*text).to_owned(),
            bytes: 0..text.len(),
        };
        texts.iter().enumerate().map(row).collect()
    }

    fn lengths(done: &Done) -> Vec<Result<SparseVector, String>> {
        done.rows.iter().map(|(_, row)| row.clone().map(|row| row.sparse.unwrap())).collect()
    }

    #[test]
    fn requests_share_batches_and_rows_fail_alone() {
        let (told, batches) = channel();
        let (go, leave) = channel();
        let encoder = Arc::new(Slow { told: Mutex::new(told), leave: Mutex::new(leave) });
        let queue = Arc::new(EncodeQueue::new(1 << 20));
        let long = "x".repeat(BATCH_BYTES);
        let ask = |texts: Vec<String>| {
            let (queue, encoder) = (Arc::clone(&queue), Arc::clone(&encoder));
            std::thread::spawn(move || {
                let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
                queue.encode(encoder, rows(&texts)).unwrap()
            })
        };
        let waiting = |requests: usize| {
            while queue.state().requests.len() < requests {
                std::thread::yield_now();
            }
        };
        // The first batch is full by its long text; the other requests come meanwhile.
        let first = ask(vec!["a".into(), long.clone(), "abc".into()]);
        assert_eq!(batches.recv().unwrap(), std::slice::from_ref(&long));
        let second = ask(vec!["b".into(), "bad".into()]);
        waiting(2);
        let third = ask(vec!["cc".into()]);
        waiting(3);
        assert!(queue.figures().waiting_bytes > BATCH_BYTES as u64);
        go.send(()).unwrap();
        let together = batches.recv().unwrap();
        assert_eq!(together, ["bad", "cc", "abc", "b", "a"]);
        // It fails; then each is encoded alone.
        (0..6).for_each(|_| go.send(()).unwrap());
        let alone: Vec<String> = (0..5).flat_map(|_| batches.recv().unwrap()).collect();
        assert_eq!(alone, together);
        let first = first.join().unwrap();
        assert_eq!(lengths(&first), [Ok(weight(1)), Ok(weight(long.len())), Ok(weight(3))]);
        let second = lengths(&second.join().unwrap());
        assert_eq!(second[0], Ok(weight(1)));
        assert!(second[1].as_ref().unwrap_err().contains("a bad text"));
        assert_eq!(lengths(&third.join().unwrap()), [Ok(weight(2))]);
        let panicked = ask(vec!["panic".into()]);
        go.send(()).unwrap();
        assert!(lengths(&panicked.join().unwrap())[0].as_ref().unwrap_err().contains("by a panic"));
        let EncodeFigures { waiting_bytes, documents, rows, failed, .. } = queue.figures();
        assert_eq!((waiting_bytes, documents, rows, failed), (0, 7, 5, 2));
    }

    #[test]
    fn bytes_are_bounded() {
        let (told, batches) = channel();
        let (go, leave) = channel();
        let encoder = Arc::new(Slow { told: Mutex::new(told), leave: Mutex::new(leave) });
        let queue = Arc::new(EncodeQueue::new(10));
        let held = {
            let (queue, encoder) = (Arc::clone(&queue), Arc::clone(&encoder));
            // More than the queue holds: alone it is admitted.
            std::thread::spawn(move || queue.encode(encoder, rows(&["twelve bytes"])).unwrap())
        };
        batches.recv().unwrap();
        let full = queue.encode(Arc::clone(&encoder), rows(&["x"])).unwrap_err();
        assert_eq!(full, Full { waiting: 12, again: Duration::from_secs(1) });
        assert!(queue.has_room(0).is_err());
        go.send(()).unwrap();
        held.join().unwrap();
        assert_eq!(queue.has_room(11), Ok(()));
        // From now on the rate is known.
        assert!(queue.state().rate > 0.0);
    }
}
