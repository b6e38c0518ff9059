//! A collection that is searched and changed at the same time.
//!
//! 1. a group of changes becomes a generation that runs ahead of the sealed one: its files are not synced (`apply.rs`)
//! 2. what changed is appended to the log, and synced once for the whole group (`log`)  3. searches see the generation,
//!    and the changes are answered  4. [`Live::tend`] seals: it syncs the files, makes the generation the one that others
//!    open, and clears the log  5. opened after a crash, the changes that the log has are made again
//!
//! Where 2 fails, the generation is left behind, and nothing has changed. Merges are in `live/merging.rs`.

mod merging;
mod unmade;

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use quarry_index::claim::Claim;
use quarry_index::folder::{claim, link, seal, sync_ahead};
use quarry_indexer::tidy;

use super::apply::apply;
use super::change::{Ack, Change, Changed, Spent};
use super::encoding::EncodeQueue;
use super::floors::Floors;
use super::guard::Guard;
use super::head::{Applied, Head, Numbers, Step, Task};
use super::idempotency::{Answers, KeptAnswer, RequestKey};
use super::log::{Keyed, Log, Operation};
use super::merges::Merges;
use super::order::Order;
use super::queue::{Asked, Queue};
use super::snapshots::Moment;
use super::texts::{self, Prepared};
use super::unmade::Unmade;
use super::watcher::{Watcher, Watchers};
use super::{CollectionSettings, StoreError};
use crate::kept_encoders::KeptEncoders;
use crate::snapshot::Snapshot;
use crate::write::{TextEncoders, Writer};
use crate::{Collection, OpenOptions};

/// Bytes of log from which it is sealed at once.
const SEAL_BYTES: u64 = 32 << 20;
/// Longest time that a change waits to be sealed.
const SEAL_AFTER: Duration = Duration::from_secs(2);
/// Longest time that a change waits to be synced, if its caller did not.
const SYNC_AFTER: Duration = Duration::from_millis(500);

type Outcome = Result<Changed, StoreError>;

/// A collection of a store. Changes are made one after another; searches do not wait for them.
pub struct Live {
    name: String,
    folder: PathBuf,
    /// Merges are prepared in folders in it.
    work: PathBuf,
    collection: Arc<Collection>,
    writer: Writer,
    settings: Option<CollectionSettings>,
    queue: Queue,
    order: Order,
    encoding: Arc<EncodeQueue<TextEncoders>>,
    floors: Arc<Floors>,
    merges: Merges,
    watchers: Watchers,
    removed: AtomicBool,
    claim: Mutex<Option<Arc<Claim>>>,
    log: Mutex<Log>,
    /// Answers to requests with a key.
    answers: Mutex<Answers>,
    /// A log that somebody put into the folder.
    late: Mutex<Option<PathBuf>>,
    /// Since when changes wait to be sealed.
    waiting: Mutex<Option<Instant>>,
    /// Number of the last change that searches see.
    visible: Mutex<u64>,
    /// Changes of the log that are not made yet.
    unmade: Mutex<Option<Unmade>>,
    seen: Condvar,
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What the collections of a store share.
#[derive(Debug, Clone)]
pub(super) struct Shared {
    pub(super) kept: Arc<KeptEncoders>,
    pub(super) encoding: Arc<EncodeQueue<TextEncoders>>,
    pub(super) floors: Arc<Floors>,
}

/// How far a collection's changes have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Number of the last change that searches see.
    pub visible: u64,
    /// Number of the last change that is in a sealed generation.
    pub sealed: u64,
    /// Bytes of the log.
    pub log_bytes: u64,
    /// How long the oldest change has waited to be sealed.
    pub unsealed: Duration,
    /// Changes of the log that wait for room on the disk.
    pub unmade: usize,
}

impl Live {
    /// Opens the collection in `folder`, and keeps it for writing; others are told `address`. Merges are prepared in
    /// `work`. Changes that its log has and no sealed generation are made again.
    pub(super) fn open(
        name: &str,
        folder: &Path,
        (address, work): (&str, &Path),
        (options, shared): (&OpenOptions, &Shared),
    ) -> Result<Self, StoreError> {
        let claim = claim(folder, address)?;
        let settings = CollectionSettings::read(folder)?;
        let collection = Arc::new(Collection::open(folder, options)?);
        let writer =
            Writer::open(folder, options.models.clone())?.keeping(Arc::clone(&shared.kept));
        let manifest = collection.snapshot().index().manifest().clone();
        let (log, pending) = Log::open(folder, manifest.uuid, manifest.applied_sequence)?;
        claim.run_ahead();
        let waits = !pending.operations.is_empty();
        let mut answers = Answers::open(folder, manifest.uuid);
        for operation in &pending.operations {
            if let Operation::Keyed(keyed) = operation {
                answers.keep(keyed.answer.clone());
            }
        }
        let mut head = Head {
            collection: &collection,
            writer: &writer,
            claim: &claim,
            snapshot: collection.snapshot(),
            next: log.last() + 1,
        };
        let unmade = Unmade::made(&mut head, folder, manifest.applied_sequence, pending)?;
        let snapshot = head.snapshot;
        collection.show(snapshot);
        let visible = unmade.as_ref().map_or_else(|| log.last(), |unmade| unmade.applied);
        Ok(Self {
            name: name.to_owned(),
            folder: folder.to_owned(),
            work: work.to_owned(),
            collection,
            writer,
            settings,
            queue: Queue::default(),
            order: Order::default(),
            encoding: Arc::clone(&shared.encoding),
            floors: Arc::clone(&shared.floors),
            unmade: Mutex::new(unmade),
            merges: Merges::default(),
            watchers: Watchers::default(),
            removed: AtomicBool::new(false),
            claim: Mutex::new(Some(Arc::new(claim))),
            log: Mutex::new(log),
            answers: Mutex::new(answers),
            late: Mutex::new(None),
            waiting: Mutex::new(waits.then(Instant::now)),
            visible: Mutex::new(visible),
            seen: Condvar::new(),
        })
    }

    /// The collection, for searches.
    #[must_use]
    pub fn collection(&self) -> &Arc<Collection> {
        &self.collection
    }

    /// How it was made; `None` if a store did not make it.
    #[must_use]
    pub fn settings(&self) -> Option<&CollectionSettings> {
        self.settings.as_ref()
    }

    /// How far its changes have come.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let log_bytes = self.log().bytes();
        let visible = *locked(&self.visible);
        let sealed = match log_bytes {
            0 => visible,
            _ => self.collection.snapshot().index().manifest().applied_sequence,
        };
        let unsealed = locked(&self.waiting).map_or(Duration::ZERO, |since| since.elapsed());
        Progress { visible, sealed, log_bytes, unsealed, unmade: self.unmade() }
    }

    /// Waits until searches see the change of this number. Returns whether they do, at the latest at `deadline`.
    #[must_use]
    pub fn wait_for(&self, sequence: u64, deadline: Instant) -> bool {
        let mut visible = locked(&self.visible);
        while *visible < sequence {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let waited = self.seen.wait_timeout(visible, left);
            visible = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Makes a change. When this returns, every later search sees it, and it is as safe as `ack` says. Changes that wait
    /// at the same time are made together where they can be. Blocks.
    ///
    /// Then merges the smallest segments in the background if there are more than
    /// [`MOST_SEGMENTS`](quarry_indexer::MOST_SEGMENTS).
    ///
    /// # Errors
    /// If no ids are given, the collection was removed, or encoding or writing fails: nothing is changed then. A
    /// document that does not fit is no error, but named in the answer. With [`Ack::Sealed`], an error of sealing comes
    /// after the change was made and logged.
    pub fn change(self: &Arc<Self>, change: Change, ack: Ack) -> Result<Changed, StoreError> {
        self.change_if(change, Guard::default(), ack)
    }

    /// [`Self::change`] under conditions. They are compared with the documents as all changes before left them, also those
    /// that are made together with this one.
    ///
    /// # Errors
    /// As [`Self::change`]; [`StoreError::OtherRequest`]. A document whose condition does not hold is named in the answer.
    pub fn change_if(
        self: &Arc<Self>,
        change: Change,
        guard: Guard,
        ack: Ack,
    ) -> Result<Changed, StoreError> {
        let started = Instant::now();
        if change.adds() {
            self.floors.check()?;
        }
        self.check_made()?;
        let order = self.order.enter(change.ids());
        let snapshot = self.collection.snapshot();
        let place =
            texts::Place { writer: &self.writer, snapshot: &snapshot, queue: &self.encoding };
        let Prepared { change, texts, queued, encode } = texts::prepare(change, &place)?;
        drop(snapshot);
        order.wait();
        self.wait_for_merge();
        let asked = Asked { change, texts, guard, ack };
        let outcome = self.queue.run(asked, |all| self.answer(all));
        drop(order);
        self.merge_if_many();
        let mut changed = outcome?;
        let log = changed.spent.log;
        let write = started.elapsed().saturating_sub(queued + encode + log);
        changed.spent = Spent { queued, encode, write, log };
        if ack == Ack::Sealed {
            self.seal().map_err(|error| StoreError::NotSealed { source: Arc::new(error) })?;
            changed.version = self.collection.snapshot().version();
        }
        Ok(changed)
    }

    /// Makes changes, but for those that were made before under the same key; the caller has the turn.
    fn answer(&self, all: Vec<Asked>) -> Vec<Outcome> {
        let mut outcomes: Vec<Option<Outcome>> = all.iter().map(|_| None).collect();
        let mut left: Vec<(usize, Asked)> = all.into_iter().enumerate().collect();
        while !left.is_empty() {
            // Of those with one key the first; the others then find its answer.
            let mut keys: HashSet<String> = HashSet::new();
            let (mut now, mut later) = (Vec::new(), Vec::new());
            for (at, asked) in left {
                let known = match &asked.guard.key {
                    None => Ok(None),
                    Some(key) if keys.contains(&key.key) => {
                        later.push((at, asked));
                        continue;
                    }
                    Some(key) => locked(&self.answers).find(key),
                };
                match known.transpose() {
                    Some(known) => outcomes[at] = Some(known),
                    None => {
                        keys.extend(asked.guard.key.iter().map(|key| key.key.clone()));
                        now.push((at, asked));
                    }
                }
            }
            let (places, asked): (Vec<usize>, Vec<Asked>) = now.into_iter().unzip();
            for (at, outcome) in places.into_iter().zip(self.make(asked)) {
                outcomes[at] = Some(outcome);
            }
            left = later;
        }
        outcomes.into_iter().map(|one| one.unwrap_or(Err(StoreError::Interrupted))).collect()
    }

    /// Makes changes; the caller has the turn.
    fn make(&self, changes: Vec<Asked>) -> Vec<Outcome> {
        let count = changes.len();
        if count == 0 {
            return Vec::new();
        }
        let all_fail = |error: &dyn Fn() -> StoreError| (0..count).map(|_| Err(error())).collect();
        if self.removed.load(Ordering::SeqCst) || !self.holds() {
            return all_fail(&|| StoreError::Removed);
        }
        if let Some(path) = locked(&self.late).clone() {
            return all_fail(&|| StoreError::LateLog { path: path.clone() });
        }
        if let Err(StoreError::Unmade { changes }) = self.check_made() {
            return all_fail(&|| StoreError::Unmade { changes });
        }
        let claim = locked(&self.claim).clone();
        let Some(claim) = claim.as_deref() else { return all_fail(&|| StoreError::Removed) };
        let synced = changes.iter().any(|asked| asked.ack >= Ack::Synced);
        let keys: Vec<Option<RequestKey>> = changes.iter().map(|a| a.guard.key.clone()).collect();
        let task = |Asked { change, texts, guard, .. }| Task {
            step: Step::Change(change),
            texts,
            guard,
            numbers: Numbers::Next,
        };
        let tasks = changes.into_iter().map(task).collect();
        let place = claim.place();
        let mut head = Head {
            collection: &self.collection,
            writer: &self.writer,
            claim,
            snapshot: self.collection.snapshot(),
            next: self.log().last() + 1,
        };
        let mut applied = apply(&mut head, tasks);
        let logging = Instant::now();
        let (last, operations) = match self.record(&mut applied, &keys, synced) {
            Ok(recorded) => recorded,
            Err(error) => {
                claim.rewind(place);
                let source = Arc::new(error);
                let failed = || StoreError::NotLogged { source: Arc::clone(&source) };
                return applied.into_iter().map(|one| one.outcome.and(Err(failed()))).collect();
            }
        };
        self.collection.show(head.snapshot);
        // Whoever is told finds the change.
        operations.iter().for_each(|operation| self.watchers.tell(operation));
        *locked(&self.visible) = last;
        self.seen.notify_all();
        let log = logging.elapsed();
        let timed = |changed: Changed| Changed { spent: Spent { log, ..changed.spent }, ..changed };
        applied.into_iter().map(|one| one.outcome.map(timed)).collect()
    }

    /// Appends what was changed to the log, and numbers the changes; gives the number of the last, and what was appended. Of
    /// those with a key the answer is logged too, and kept.
    fn record(
        &self,
        applied: &mut [Applied],
        keys: &[Option<RequestKey>],
        synced: bool,
    ) -> Result<(u64, Vec<Operation>), StoreError> {
        let mut log = self.log();
        let (bytes, before) = (log.bytes(), log.last());
        let mut last = before;
        let mut operations = Vec::new();
        let mut answers = Vec::new();
        for (one, key) in applied.iter_mut().zip(keys) {
            let key = key.as_ref().filter(|_| one.outcome.is_ok());
            last += u64::from(one.operation.is_some() || key.is_some());
            let did = one.operation.take();
            let Ok(changed) = &mut one.outcome else { continue };
            changed.sequence = last;
            match key {
                None => operations.extend(did),
                Some(key) => {
                    let answer = KeptAnswer::of(key.clone(), changed);
                    answers.push(answer.clone());
                    operations.push(Operation::Keyed(Box::new(Keyed { answer, did })));
                }
            }
        }
        if !operations.is_empty() {
            log.append(&operations)?;
            locked(&self.waiting).get_or_insert_with(Instant::now);
        }
        if synced && let Err(error) = log.sync() {
            log.take_back(bytes, before);
            return Err(error);
        }
        let mut kept = locked(&self.answers);
        answers.into_iter().for_each(|answer| kept.keep(answer));
        Ok((last, operations))
    }

    /// Syncs and seals what has waited long enough: called a few times a second.
    ///
    /// # Errors
    /// If the disk refuses; what is logged stays in the log.
    pub fn tend(&self) -> Result<(), StoreError> {
        if self.unmade() > 0 {
            return self.make_up();
        }
        let Some(since) = *locked(&self.waiting) else { return Ok(()) };
        if since.elapsed() >= SEAL_AFTER || self.log().bytes() >= SEAL_BYTES {
            return self.seal();
        }
        if since.elapsed() >= SYNC_AFTER && self.log().is_behind() {
            self.log().sync()?;
        }
        Ok(())
    }

    /// Makes the newest generation the one that other processes open, synced, and clears the log. Blocks.
    ///
    /// # Errors
    /// If the disk refuses; what is logged stays in the log.
    pub fn seal(&self) -> Result<(), StoreError> {
        if self.removed.load(Ordering::SeqCst) || !self.holds() {
            return Err(StoreError::Removed);
        }
        // Most of the time goes into this; changes need not wait for it.
        sync_ahead(&self.folder)?;
        let _turn = self.queue.turn();
        if self.removed.load(Ordering::SeqCst) {
            return Err(StoreError::Removed);
        }
        self.seal_now()
    }

    /// The caller has the turn.
    fn seal_now(&self) -> Result<(), StoreError> {
        self.check_made()?;
        let mut log = self.log();
        log.check()?;
        // Before the log goes, which has them too.
        locked(&self.answers).write(&self.folder)?;
        seal(&self.folder, log.last())?;
        log.clear()?;
        *locked(&self.waiting) = None;
        drop(log);
        Ok(self.collection.reload_own().map(drop)?)
    }

    /// Opens what was put into the folder by hand, such as a backup; not while changes wait to be sealed. Returns whether
    /// there was something.
    ///
    /// # Errors
    /// If it cannot be opened; the old generation stays. [`StoreError::LateLog`] if a log was put there: changes are
    /// refused until it is gone.
    pub fn reload_if_newer(&self) -> Result<bool, StoreError> {
        let Some(_turn) = self.queue.free_turn() else { return Ok(false) };
        if self.unmade() > 0 {
            return Ok(false);
        }
        let mut log = self.log();
        let late = log.other()?;
        *locked(&self.late) = late.clone();
        if let Some(path) = late {
            return Err(StoreError::LateLog { path });
        }
        if log.bytes() > 0 || !self.collection.reload_if_newer()? {
            return Ok(false);
        }
        let manifest = self.collection.snapshot().index().manifest().clone();
        *log = Log::open(&self.folder, manifest.uuid, manifest.applied_sequence)?.0;
        *locked(&self.answers) = Answers::open(&self.folder, manifest.uuid);
        *locked(&self.visible) = log.last();
        self.seen.notify_all();
        self.watchers.lose();
        Ok(true)
    }

    /// Removes files that no generation in use names. What is not removed here, the next writer removes.
    pub(super) fn tidy(&self) {
        let _turn = self.queue.turn();
        let _ = tidy(&self.folder);
    }

    /// Whether the collection's folder is still the one that was opened.
    pub(super) fn holds(&self) -> bool {
        locked(&self.claim).as_ref().is_some_and(|claim| claim.holds())
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        locked(&self.log)
    }

    /// The generation that searches see, and who is told of all changes after it.
    pub(super) fn watch(&self) -> Result<(Arc<Watcher>, Arc<Snapshot>), StoreError> {
        let _turn = self.hold()?;
        Ok((self.watchers.add(), self.collection.snapshot()))
    }

    /// Lets no change be made until what it gives is dropped.
    pub(super) fn hold(&self) -> Result<MutexGuard<'_, ()>, StoreError> {
        let turn = self.queue.turn();
        match self.removed.load(Ordering::SeqCst) || !self.holds() {
            true => Err(StoreError::Removed),
            false => Ok(turn),
        }
    }

    /// Ends all changes; calls `withdraw` when none is made, and lets the folder go.
    pub(super) fn remove<T>(
        &self,
        withdraw: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let _turn = self.queue.turn();
        if self.removed.load(Ordering::SeqCst) {
            return Err(StoreError::Removed);
        }
        let withdrawn = withdraw()?;
        self.removed.store(true, Ordering::SeqCst);
        drop(locked(&self.claim).take());
        Ok(withdrawn)
    }

    /// [`Self::save`], if the collection was made by a store.
    pub(super) fn link(&self, to: &Path) -> Result<(), StoreError> {
        if self.settings.is_none() {
            return Err(StoreError::NotOurs {
                name: self.name.clone(),
                found: "its folder has no collection.json".to_owned(),
            });
        }
        self.save(to).map(drop)
    }

    /// Seals what was made, and gives the files a second name in `to`, a new folder, as a collection made in the same way.
    pub(super) fn save(&self, to: &Path) -> Result<Moment, StoreError> {
        // Most of what is to be synced, without holding others up.
        sync_ahead(&self.folder)?;
        let _turn = self.queue.turn();
        if self.removed.load(Ordering::SeqCst) || !self.holds() {
            return Err(StoreError::Removed);
        }
        self.seal_now()?;
        link(&self.folder, to)?;
        if let Some(settings) = &self.settings {
            settings.write(to)?;
        }
        let snapshot = self.collection.snapshot();
        let manifest = snapshot.index().manifest();
        Ok(Moment {
            collection: self.name.clone(),
            index: manifest.uuid,
            generation: manifest.generation,
            sequence: manifest.applied_sequence,
            documents: manifest.documents(),
        })
    }

    /// Ends all changes, and seals what was made: the folder is then like any other index's.
    ///
    /// # Errors
    /// If the disk refuses; what is logged stays in the log.
    pub fn close(&self) -> Result<(), StoreError> {
        let _turn = self.queue.turn();
        if self.removed.swap(true, Ordering::SeqCst) || !self.holds() {
            return Ok(());
        }
        // What is not made stays in the log for the next start.
        let sealed = if self.unmade() > 0 { Ok(()) } else { self.seal_now() };
        drop(locked(&self.claim).take());
        // What is not tidied here, the next writer tidies.
        let _ = tidy(&self.folder);
        sealed
    }
}

fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
