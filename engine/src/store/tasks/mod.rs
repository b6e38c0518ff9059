//! Long work, done beside requests: it waits, runs, can be cancelled, and is reported.
//!
//! 1. [`Tasks::begin`] queues a task, or refuses it where too many wait  2. at most [`AT_ONCE`] threads take tasks in their
//!    order; a job tells its progress and asks whether it goes on ([`Work`], in `work.rs`)  3. what a task became is kept,
//!    the last [`KEPT`] of those that ended, in a file too (`history.rs`): one that a crash ended is found there as not
//!    ended, and reported as failed
//!
//! Cancelling writes nothing that it needs: it works with a full disk.

mod history;
mod record;
mod work;

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

pub use record::{Task, TaskKind, TaskState};
pub(super) use work::Work;

use super::StoreError;
use history::History;

/// Tasks that run at the same time.
const AT_ONCE: usize = 2;
/// Most tasks that wait.
const WAITING: usize = 32;
/// Tasks that ended and are still known.
const KEPT: usize = 200;

/// What a task does. It gives its result.
pub(super) type Job = Box<dyn FnOnce(&Work) -> Result<Value, StoreError> + Send>;

/// The tasks of a store.
#[derive(Debug)]
pub(super) struct Tasks {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    all: Mutex<All>,
    /// A task has ended.
    ended: Condvar,
    history: History,
}

#[derive(Debug, Default)]
struct All {
    /// In the order in which they began.
    entries: VecDeque<Entry>,
    running: usize,
    /// No more tasks run.
    closed: bool,
}

struct Entry {
    task: Task,
    /// What is left to begin.
    job: Option<Job>,
    cancelled: Arc<AtomicBool>,
    /// When its stage began.
    stage_since: Instant,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry").field("task", &self.task).finish_non_exhaustive()
    }
}

impl Entry {
    fn of(task: Task) -> Self {
        let cancelled = Arc::new(AtomicBool::new(false));
        Self { task, job: None, cancelled, stage_since: Instant::now() }
    }

    /// The task as it is now, with the time that its stage may still take.
    fn seen(&self) -> Task {
        let mut task = self.task.clone();
        if let (TaskState::Running, Some(total), 1..) = (task.state, task.total, task.done) {
            let (left, done) = (total.saturating_sub(task.done), u128::from(task.done));
            let eta = self.stage_since.elapsed().as_millis() * u128::from(left) / done;
            task.eta_ms = Some(u64::try_from(eta).unwrap_or(u64::MAX));
        }
        task
    }

    fn settle(&mut self, state: TaskState, error: Option<String>) {
        self.job = None;
        self.task.state = state;
        self.task.error = error;
        self.task.ended_at = Some(now());
    }
}

impl Tasks {
    /// Reads what became of earlier tasks from a file in `folder`, the store's own.
    pub(super) fn open(folder: &Path) -> Self {
        let (history, tasks) = History::open(folder);
        let mut all = All::default();
        for mut task in tasks {
            if !task.state.is_end() {
                task.state = TaskState::Failed;
                task.error =
                    Some("the server ended before it did; nothing of it is left".to_owned());
            }
            all.entries.push_back(Entry::of(task));
        }
        Self { shared: Arc::new(Shared { all: Mutex::new(all), ended: Condvar::new(), history }) }
    }

    /// Queues a task about a collection, and gives it as it is now.
    pub(super) fn begin(
        &self,
        kind: TaskKind,
        collection: &str,
        job: Job,
    ) -> Result<Task, StoreError> {
        let mut all = self.shared.all();
        let waiting = all.entries.iter().filter(|e| e.task.state == TaskState::Queued).count();
        if all.closed || waiting >= WAITING {
            return Err(StoreError::TooManyTasks { most: WAITING });
        }
        let id = Uuid::new_v4().simple().to_string();
        let entry = Entry { job: Some(job), ..Entry::of(Task::new(id, kind, collection, now())) };
        let task = entry.seen();
        all.entries.push_back(entry);
        let ended = all.entries.iter().filter(|e| e.task.state.is_end()).count();
        for _ in KEPT..ended {
            if let Some(at) = all.entries.iter().position(|e| e.task.state.is_end()) {
                all.entries.remove(at);
            }
        }
        let starts = all.running < AT_ONCE;
        all.running += usize::from(starts);
        drop(all);
        self.shared.keep();
        if starts {
            let shared = Arc::clone(&self.shared);
            let thread = std::thread::Builder::new().name("task".to_owned());
            if let Err(error) = thread.spawn(move || shared.run()) {
                // It runs when a thread of another task is free.
                self.shared.all().running -= 1;
                tracing::error!(%error, "no thread for a task");
            }
        }
        Ok(task)
    }

    /// The tasks, newest first.
    pub(super) fn list(&self) -> Vec<Task> {
        self.shared.all().entries.iter().rev().map(Entry::seen).collect()
    }

    /// A task.
    pub(super) fn get(&self, id: &str) -> Option<Task> {
        self.shared.all().entries.iter().find(|e| e.task.id == id).map(Entry::seen)
    }

    /// Ends a task that waits, and asks one that runs to end; gives it as it is then. One that has ended stays as it is.
    pub(super) fn cancel(&self, id: &str) -> Option<Task> {
        let mut all = self.shared.all();
        let entry = all.entries.iter_mut().find(|e| e.task.id == id)?;
        entry.cancelled.store(true, Ordering::SeqCst);
        let waits = entry.task.state == TaskState::Queued;
        if waits {
            entry.settle(TaskState::Cancelled, None);
        }
        let task = entry.seen();
        drop(all);
        if waits {
            self.shared.ended.notify_all();
            self.shared.keep();
        }
        Some(task)
    }

    /// Ends all tasks, and waits for those that run, at most this long.
    pub(super) fn close(&self, patience: Duration) {
        let until = Instant::now() + patience;
        let mut all = self.shared.all();
        all.closed = true;
        for entry in &mut all.entries {
            entry.cancelled.store(true, Ordering::SeqCst);
            if entry.task.state == TaskState::Queued {
                entry.settle(TaskState::Failed, Some(stopped()));
            }
        }
        while all.running > 0 {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let waited = self.shared.ended.wait_timeout(all, left);
            all = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        drop(all);
        self.shared.keep();
    }
}

impl Shared {
    fn all(&self) -> MutexGuard<'_, All> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what is known of the tasks.
    fn keep(&self) {
        self.history.write(|| self.all().entries.iter().map(|e| e.task.clone()).collect());
    }

    /// Does tasks until none waits.
    fn run(self: Arc<Self>) {
        while let Some((id, job, cancelled)) = self.next() {
            let work = Work::new(id.clone(), cancelled, Arc::clone(&self) as Arc<dyn work::Told>);
            // A fault of a job ends its task alone.
            let done = catch_unwind(AssertUnwindSafe(|| job(&work)));
            self.ended(&id, done.unwrap_or(Err(StoreError::Interrupted)));
        }
    }

    /// The next task that waits; `None` ends the thread.
    fn next(&self) -> Option<(String, Job, Arc<AtomicBool>)> {
        let mut all = self.all();
        let closed = all.closed;
        let waits = |e: &&mut Entry| !closed && e.task.state == TaskState::Queued;
        let Some(entry) = all.entries.iter_mut().find(waits) else {
            all.running -= 1;
            self.ended.notify_all();
            return None;
        };
        entry.task.state = TaskState::Running;
        entry.task.started_at = Some(now());
        entry.stage_since = Instant::now();
        let job = entry.job.take()?;
        Some((entry.task.id.clone(), job, Arc::clone(&entry.cancelled)))
    }

    fn ended(&self, id: &str, outcome: Result<Value, StoreError>) {
        let mut all = self.all();
        let closed = all.closed;
        if let Some(entry) = all.entries.iter_mut().find(|e| e.task.id == id) {
            let task = &mut entry.task;
            match outcome {
                Ok(result) => {
                    task.result = Some(result);
                    entry.settle(TaskState::Done, None);
                }
                Err(StoreError::Cancelled) if closed => {
                    entry.settle(TaskState::Failed, Some(stopped()));
                }
                Err(StoreError::Cancelled) => entry.settle(TaskState::Cancelled, None),
                Err(error) => {
                    tracing::error!(task = id, collection = task.collection, %error, "a task failed");
                    let said = error.shown().unwrap_or_else(|| {
                        "it failed; the server's log has the cause under the task's id".to_owned()
                    });
                    entry.settle(TaskState::Failed, Some(said));
                }
            }
        }
        self.ended.notify_all();
        drop(all);
        self.keep();
    }
}

impl work::Told for Shared {
    fn stage(&self, id: &str, stage: &str, total: Option<u64>) {
        let mut all = self.all();
        if let Some(entry) = all.entries.iter_mut().find(|e| e.task.id == id) {
            stage.clone_into(&mut entry.task.stage);
            (entry.task.done, entry.task.total) = (0, total);
            entry.stage_since = Instant::now();
        }
    }

    fn done(&self, id: &str, done: u64) {
        let mut all = self.all();
        if let Some(entry) = all.entries.iter_mut().find(|e| e.task.id == id) {
            entry.task.done = done;
        }
    }
}

fn stopped() -> String {
    "the server was stopped before it ended; nothing of it is left".to_owned()
}

fn now() -> OffsetDateTime {
    let now = OffsetDateTime::now_utc();
    now.replace_nanosecond(now.nanosecond() / 1_000_000 * 1_000_000).unwrap_or(now)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic fails the test")]
mod tests {
    use std::sync::mpsc::channel;

    use serde_json::json;

    use super::*;

    fn ended(tasks: &Tasks, id: &str) -> Task {
        loop {
            let task = tasks.get(id).unwrap();
            if task.state.is_end() {
                return task;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// A job that goes on until it is cancelled, and says that it runs.
    fn endless() -> (Job, std::sync::mpsc::Receiver<()>) {
        let (tell, told) = channel();
        let job: Job = Box::new(move |work: &Work| {
            work.stage("waiting", Some(100));
            work.done(50);
            let _ = tell.send(());
            loop {
                work.check()?;
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        (job, told)
    }

    #[test]
    fn tasks_run_fail_and_are_cancelled() {
        let folder = tempfile::tempdir().unwrap();
        let tasks = Tasks::open(folder.path());
        let begin = |job| tasks.begin(TaskKind::Merge, "docs", job).unwrap().id;
        let good = begin(Box::new(|_: &Work| Ok(json!({"segments": 1}))));
        let good = ended(&tasks, &good);
        assert_eq!((good.state, &good.result), (TaskState::Done, &Some(json!({"segments": 1}))));
        let wrong = begin(Box::new(|_: &Work| Err(StoreError::NoIds)));
        assert_eq!(ended(&tasks, &wrong).error.unwrap(), "no ids are given");
        let hidden = StoreError::LogStopped { why: "/secret/place".to_owned() };
        let hidden = begin(Box::new(|_: &Work| Err(hidden)));
        assert!(!ended(&tasks, &hidden).error.unwrap().contains("secret"));
        let fault = begin(Box::new(|_: &Work| panic!("a fault")));
        assert_eq!(ended(&tasks, &fault).state, TaskState::Failed);
        // Two run; the third waits, and is cancelled before it begins.
        let [(first, one), (second, two)] = [endless(), endless()];
        let (first, second) = (begin(first), begin(second));
        one.recv().unwrap();
        two.recv().unwrap();
        let third = begin(Box::new(|_: &Work| unreachable!()));
        let seen = tasks.get(&first).unwrap();
        assert_eq!((seen.state, seen.stage.as_str()), (TaskState::Running, "waiting"));
        assert!((seen.done, seen.total) == (50, Some(100)) && seen.eta_ms.is_some());
        assert_eq!(tasks.get(&third).unwrap().state, TaskState::Queued);
        assert_eq!(tasks.cancel(&third).unwrap().state, TaskState::Cancelled);
        tasks.cancel(&first).unwrap();
        assert_eq!(ended(&tasks, &first).state, TaskState::Cancelled);
        assert_eq!(tasks.cancel(&good.id).unwrap().state, TaskState::Done);
        assert!(tasks.cancel("none").is_none() && tasks.get("none").is_none());
        // A crash: another one reads what the file has, and what runs is reported as failed.
        let after = Tasks::open(folder.path());
        let states =
            |tasks: &Tasks| tasks.list().into_iter().map(|t| (t.id, t.state)).collect::<Vec<_>>();
        assert_eq!(states(&after).len(), 7);
        let lost = after.get(&second).unwrap();
        assert!(lost.state == TaskState::Failed && lost.error.unwrap().contains("ended before"));
        assert_eq!(after.get(&good.id).unwrap(), good);
        // A stop ends it, and says so.
        tasks.close(Duration::from_secs(60));
        assert_eq!(tasks.get(&second).unwrap().state, TaskState::Failed);
        let refused = tasks.begin(TaskKind::Merge, "docs", Box::new(|_: &Work| Ok(json!(null))));
        assert!(refused.is_err());
    }

    #[test]
    fn what_waits_and_what_is_kept_has_a_limit() {
        let folder = tempfile::tempdir().unwrap();
        let tasks = Tasks::open(folder.path());
        for _ in 0..KEPT + 20 {
            let id =
                tasks.begin(TaskKind::Merge, "d", Box::new(|_: &Work| Ok(json!(1)))).unwrap().id;
            ended(&tasks, &id);
        }
        assert!(tasks.list().len() <= KEPT + 1);
        let (jobs, told): (Vec<_>, Vec<_>) = (0..AT_ONCE).map(|_| endless()).unzip();
        for job in jobs {
            tasks.begin(TaskKind::Merge, "d", job).unwrap();
        }
        told.iter().for_each(|told| told.recv().unwrap());
        let begin = || tasks.begin(TaskKind::Merge, "d", endless().0);
        let waiting: Vec<Task> = (0..WAITING).map(|_| begin().unwrap()).collect();
        assert!(matches!(begin(), Err(StoreError::TooManyTasks { .. })));
        tasks.cancel(&waiting[0].id).unwrap();
        begin().unwrap();
        tasks.close(Duration::from_secs(60));
    }

    #[test]
    fn another_programs_file_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(history::FILE);
        std::fs::write(&path, "a diary").unwrap();
        let tasks = Tasks::open(folder.path());
        let id = tasks.begin(TaskKind::Merge, "d", Box::new(|_: &Work| Ok(json!(1)))).unwrap().id;
        ended(&tasks, &id);
        tasks.close(Duration::from_secs(60));
        assert_eq!(std::fs::read_to_string(path).unwrap(), "a diary");
    }
}
