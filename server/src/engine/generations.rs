//! Sealed generations, as answers have them and as followers read them.

use quarry_engine::store::{Given, GivenFile};

use crate::api::{GenerationFile, GenerationResponse, IndexVersion};

/// A generation of the engine's.
pub(crate) fn shown(given: Given) -> GenerationResponse {
    let Given { index, generation, sequence: seq, current, settings, files } = given;
    let file = |GivenFile { name, bytes, checksum }| GenerationFile { name, bytes, checksum };
    GenerationResponse {
        index: IndexVersion { id: index.to_string(), generation },
        seq,
        current,
        // Names and numbers always serialise.
        settings: settings.and_then(|settings| serde_json::to_value(settings).ok()),
        files: files.into_iter().map(file).collect(),
    }
}

/// What a leader said; what is wrong with it otherwise.
pub(crate) fn given(answer: GenerationResponse) -> Result<Given, String> {
    let GenerationResponse { index, seq: sequence, current, settings, files } = answer;
    let file = |GenerationFile { name, bytes, checksum }| GivenFile { name, bytes, checksum };
    Ok(Given {
        index: index.id.parse().map_err(|_| format!("`{}` is no id of an index", index.id))?,
        generation: index.generation,
        sequence,
        current,
        settings: settings.map(serde_json::from_value).transpose().map_err(|e| e.to_string())?,
        files: files.into_iter().map(file).collect(),
    })
}
