//! The request to look for newer generations at once.

use std::sync::Arc;

use tokio::sync::Notify;

/// Asks a server to look for newer generations at once. Clones ask the same server.
#[derive(Debug, Clone, Default)]
pub struct Reload(Arc<Notify>);

impl Reload {
    /// Asks. Several requests before the server looks count as one.
    pub fn ask(&self) {
        self.0.notify_one();
    }

    /// Completes when someone has asked since the last time.
    pub(super) async fn asked(&self) {
        self.0.notified().await;
    }
}
