//! What a server answers from.

use quarry_engine::store::Store;

use crate::Engine;

/// What a server answers from.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one, and it is moved once")]
pub enum Hosted {
    /// One collection, read only, under the name in the configuration.
    One(Engine),
    /// A folder of collections, which requests make, change and remove.
    Many(Store),
}

impl From<Engine> for Hosted {
    fn from(engine: Engine) -> Self {
        Self::One(engine)
    }
}

impl From<Store> for Hosted {
    fn from(store: Store) -> Self {
        Self::Many(store)
    }
}
