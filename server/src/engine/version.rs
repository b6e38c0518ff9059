//! Converts an index and its generation to the API's type.

use quarry_engine::Version;

use crate::api::IndexVersion;

pub(super) fn version(version: Version) -> IndexVersion {
    IndexVersion { id: version.index.to_string(), generation: version.generation }
}
