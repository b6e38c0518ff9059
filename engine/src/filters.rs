//! Cache of recently used filters, so that a repeated filter need not read postings again. It belongs to one
//! generation, so its entries never become stale.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use quarry_searcher::{Filter, SearchError, Searcher};

use crate::search::SearchOptions;

/// Most filters in the cache.
const MOST: usize = 64;
/// Most bytes of all filters together; a filter takes one bit per row.
const MOST_BYTES: usize = 64 << 20;

/// The filters of one searcher.
#[derive(Debug, Default)]
pub(crate) struct Filters(Lately<Filter>);

impl Filters {
    /// What the two expressions of a search allow, if it has any.
    pub(crate) fn both(
        &self,
        searcher: &Searcher,
        options: &SearchOptions,
    ) -> Result<Option<Arc<Filter>>, SearchError> {
        let given = [options.within.as_deref(), options.filter.as_deref()];
        self.all(searcher, given.into_iter().flatten(), options.deadline)
    }

    /// What several expressions allow together; `None` if there is none.
    pub(crate) fn all<'a>(
        &self,
        searcher: &Searcher,
        expressions: impl IntoIterator<Item = &'a str>,
        deadline: Option<Instant>,
    ) -> Result<Option<Arc<Filter>>, SearchError> {
        let mut all: Option<Arc<Filter>> = None;
        for expression in expressions {
            let one = self.get(searcher, expression, deadline)?;
            all = Some(match all {
                Some(before) => Arc::new(before.and(&one)?),
                None => one,
            });
        }
        Ok(all)
    }

    /// The filter for an expression, from the cache or newly made.
    pub(crate) fn get(
        &self,
        searcher: &Searcher,
        expression: &str,
        deadline: Option<Instant>,
    ) -> Result<Arc<Filter>, SearchError> {
        let rows: usize = searcher.index().segments().iter().map(|s| s.documents().len()).sum();
        let most = MOST.min(MOST_BYTES / (rows / 8).max(1));
        self.0.get(expression, most, || searcher.filter_until(expression, deadline))
    }
}

/// Whether an expression is one of tantivy's query syntax; its fields and values are those of some index.
///
/// # Errors
/// What is wrong with it.
pub fn check_filter(expression: &str) -> Result<(), String> {
    quarry_searcher::filter_syntax::parse(expression).map(drop)
}

/// A cache of values by name, most recently used first.
struct Lately<T>(Mutex<VecDeque<(String, Arc<T>)>>);

impl<T> Default for Lately<T> {
    fn default() -> Self {
        Self(Mutex::new(VecDeque::new()))
    }
}

impl<T> fmt::Debug for Lately<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lately").finish_non_exhaustive()
    }
}

impl<T> Lately<T> {
    fn get<E>(
        &self,
        name: &str,
        most: usize,
        make: impl FnOnce() -> Result<T, E>,
    ) -> Result<Arc<T>, E> {
        if let Some(found) = self.find(name) {
            return Ok(found);
        }
        // Made without the lock: two requests may make the same value, but none waits for another.
        let made = Arc::new(make()?);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(known, _)| known != name);
        kept.push_front((name.to_owned(), Arc::clone(&made)));
        kept.truncate(most);
        Ok(made)
    }

    fn find(&self, name: &str) -> Option<Arc<T>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = kept.iter().position(|(known, _)| known == name)?;
        let entry = kept.remove(at)?;
        let found = Arc::clone(&entry.1);
        kept.push_front(entry);
        Some(found)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn the_most_recently_used_values_are_kept() {
        let (lately, made) = (Lately::default(), Cell::new(0));
        let get = |name: &str, most: usize| {
            let make = || {
                made.set(made.get() + 1);
                Ok::<_, ()>(format!("value of {name}"))
            };
            let value = lately.get(name, most, make).unwrap();
            assert_eq!(*value, format!("value of {name}"));
            made.get()
        };
        assert_eq!([get("a", 2), get("b", 2), get("a", 2), get("c", 2)], [1, 2, 2, 3]);
        assert_eq!([get("a", 2), get("b", 2), get("c", 2)], [3, 4, 5], "b was the oldest, then c");
        assert_eq!([get("x", 0), get("x", 0)], [6, 7], "without room nothing is kept");
        assert!(lately.get("bad", 2, || Err(7)).is_err());
        assert_eq!([get("bad", 2), get("bad", 2)], [8, 8], "what failed is tried again");
    }
}
