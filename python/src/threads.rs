//! The package's own threads, one pool a process, and calls that Ctrl-C can end.
//!
//! A forked child has none of its parent's threads, so that work handed to the parent's pool would wait for ever: the pool
//! belongs to a process id, and a child makes its own. Python's lock is released while the pool works.

use std::mem;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::time::Duration;
use std::{process, thread};

use pyo3::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::errors;

/// How often it is looked for Ctrl-C.
const LOOK: Duration = Duration::from_millis(50);

static POOL: Mutex<State> = Mutex::new(State { threads: None, pool: None });

struct State {
    /// As wanted; rayon's own number unless set.
    threads: Option<NonZeroUsize>,
    pool: Option<(u32, Arc<ThreadPool>)>,
}

/// The pool of this process, made by the first call.
fn pool(py: Python<'_>) -> PyResult<Arc<ThreadPool>> {
    // Another thread may have held the lock when this process was forked off: it is never given back then, and this call
    // makes a pool for itself.
    let mut state = match POOL.try_lock() {
        Ok(state) => state,
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        Err(TryLockError::WouldBlock) => return made(py, None),
    };
    let here = process::id();
    if let Some((owner, pool)) = &state.pool
        && *owner == here
    {
        return Ok(Arc::clone(pool));
    }
    let pool = made(py, state.threads)?;
    // The parent's threads are not here to be ended.
    mem::forget(state.pool.replace((here, Arc::clone(&pool))));
    Ok(pool)
}

fn made(py: Python<'_>, threads: Option<NonZeroUsize>) -> PyResult<Arc<ThreadPool>> {
    let threads = threads.map_or(0, NonZeroUsize::get);
    let pool = ThreadPoolBuilder::new().num_threads(threads).thread_name(|n| format!("quarry-{n}"));
    let failed =
        |error| errors::other(py, "threads", &format!("threads cannot be started: {error}"));
    pool.build().map(Arc::new).map_err(failed)
}

/// Sets the number of threads of this process and of children that are forked later; `None`: the machine's cores.
#[pyfunction]
#[pyo3(signature = (threads))]
pub(crate) fn set_threads(threads: Option<NonZeroUsize>) {
    let mut state = POOL.lock().unwrap_or_else(PoisonError::into_inner);
    state.threads = threads;
    if state.pool.as_ref().is_some_and(|(owner, _)| *owner != process::id()) {
        mem::forget(state.pool.take());
    }
    state.pool = None;
}

/// Short work, on the pool and without Python's lock.
pub(crate) fn short<T: Send>(py: Python<'_>, work: impl FnOnce() -> T + Send) -> PyResult<T> {
    let pool = pool(py)?;
    Ok(py.detach(|| pool.install(work)))
}

/// One query: on the caller's thread, without Python's lock, so that who calls from many threads decides how many run.
pub(crate) fn here<T: Send>(py: Python<'_>, work: impl FnOnce() -> T + Send) -> T {
    py.detach(work)
}

/// Long work, on the pool and without Python's lock. When a signal handler raises, as Ctrl-C's does, the flag is set, the
/// work's end is awaited, and what was raised is returned.
pub(crate) fn interruptible<T: Send>(
    py: Python<'_>,
    work: impl FnOnce(&Arc<AtomicBool>) -> T + Send,
) -> PyResult<T> {
    let pool = pool(py)?;
    let cancel = Arc::new(AtomicBool::new(false));
    py.detach(|| {
        thread::scope(|scope| {
            let (done, waiting) = mpsc::channel();
            let (pool, flag) = (&pool, &cancel);
            let worker = scope.spawn(move || {
                // That nobody waits any more cannot be.
                let _ = done.send(pool.install(|| work(flag)));
            });
            let mut raised = None;
            loop {
                match waiting.recv_timeout(LOOK) {
                    Ok(found) => return raised.map_or(Ok(found), Err),
                    Err(RecvTimeoutError::Timeout) if raised.is_some() => {}
                    Err(RecvTimeoutError::Timeout) => {
                        if let Err(error) = Python::attach(|py| py.check_signals()) {
                            cancel.store(true, Ordering::Relaxed);
                            raised = Some(error);
                        }
                    }
                    // It panicked: so does this, and Python is told.
                    Err(RecvTimeoutError::Disconnected) => match worker.join() {
                        Err(panic) => std::panic::resume_unwind(panic),
                        Ok(()) => {
                            return Python::attach(|py| {
                                Err(errors::other(
                                    py,
                                    "internal",
                                    "the work ended without a result",
                                ))
                            });
                        }
                    },
                }
            }
        })
    })
}
