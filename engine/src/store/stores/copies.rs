//! Collections made of others: as they are, by second names of their files; or otherwise, by a task (`copying`).

use std::sync::Arc;

use super::super::copying::{Copying, copy};
use super::super::live::{Live, Shared};
use super::super::tasks::{Task, TaskKind, Work};
use super::super::{CollectionModel, CollectionName, CollectionSettings, StoreError};
use super::Store;
use super::names::Reserved;

impl Store {
    /// Begins to make a collection of another one's documents, with other settings. It is there when it has all of them, and
    /// what changed meanwhile.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Exists`], [`StoreError::Setting`] if a model is not there or a setting cannot
    /// be had, [`StoreError::TooManyTasks`].
    pub fn begin_copy(
        self: &Arc<Self>,
        name: &CollectionName,
        (from, settings): (&CollectionName, &CollectionSettings),
    ) -> Result<Task, StoreError> {
        let old = self.get(from);
        let old = old.ok_or_else(|| StoreError::NotFound { name: from.to_string() })?;
        let reserved = {
            let _one = self.changing();
            self.expect_free(name)?;
            Reserved::take(&self.reserved, name)
        };
        // Refused at once where it cannot be had at all.
        self.planned(&self.folder.staged(), settings)?;
        let (store, name, settings) = (Arc::clone(self), name.clone(), settings.clone());
        let collection = name.to_string();
        let job = move |work: &Work| {
            let reserved = reserved;
            let made = store.copied(&name, (&old, &settings), work);
            drop(reserved);
            made
        };
        self.tasks.begin(TaskKind::Copy, &collection, Box::new(job))
    }

    fn copied(
        &self,
        name: &CollectionName,
        (old, settings): (&Arc<Live>, &CollectionSettings),
        work: &Work,
    ) -> Result<serde_json::Value, StoreError> {
        work.check()?;
        work.stage("making the collection", None);
        let staged = self.folder.staged();
        let made = self
            .build(&staged, settings)
            .and_then(|()| settings.write(&staged))
            .and_then(|()| self.filled(name, (old, settings), (&staged, work)));
        if made.is_err() {
            // The first error matters more; what is left goes at the next start.
            let _ = self.folder.discard(&staged);
        }
        made
    }

    fn filled(
        &self,
        name: &CollectionName,
        (old, settings): (&Arc<Live>, &CollectionSettings),
        (staged, work): (&std::path::Path, &Work),
    ) -> Result<serde_json::Value, StoreError> {
        let at = (self.options.address.as_str(), self.folder.own());
        // Its models are others than those of the collections that are written to meanwhile, and its texts are not to
        // fill the queue for these.
        let shared = Shared {
            kept: Arc::default(),
            encoding: Arc::new(self.shared.encoding.another()),
            floors: Arc::clone(&self.shared.floors),
        };
        let new = Live::open(name.as_str(), staged, at, (&self.options.open, &shared))?;
        let new = Arc::new(new);
        let vectors = settings.model == CollectionModel::None;
        let copying = Copying { old, new: &new, vectors, work };
        let done = copy(&copying, |level| {
            let _one = self.changing();
            work.check()?;
            self.expect_no_alias(name)?;
            let turn = level()?;
            self.folder.publish(staged, name)?;
            // Opening reads every file.
            drop(turn);
            self.open_now(name).map(drop)
        });
        if done.is_err() {
            new.end_merges();
            // Lets the folder go, which is then removed.
            let _ = new.remove(|| Ok(()));
        }
        done
    }
}
