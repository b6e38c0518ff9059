//! A model's newest commit is fetched into the cache.
//!
//! 1. ask the hub for the commit and the names of the files  2. choose the files that an encoder
//!    needs  3. fetch each one that the cache has not, resuming an interrupted transfer, and compare
//!    its length and checksum with what the hub says (the etag is the SHA-256 of a large file, git's
//!    SHA-1 of a small one); one that differs is removed  4. only then name the commit in
//!    `refs/main`, so that a cache never names a commit whose files are not all there

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use quarry_transfer::DownloadEvent;
use serde::Deserialize;
use sha1::Digest;

use super::cache::{Place, is_hash};
use super::client::{Client, Facts, RemoteFile};
use super::{GRAPHS, Hub, HubEvent};
use crate::recognise::multivector::is_multivector;
use crate::{EncoderError, MANIFEST_FILE, files, graphs};

/// How often a transfer is tried; each try goes on where the last one broke off.
const TRIES: usize = 3;
/// The most files that are fetched of a model.
const FILES: usize = 1000;

/// What a hub says of a model.
#[derive(Deserialize)]
struct Description {
    sha: String,
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
}

impl Hub {
    /// Fetches what the cache lacks of a model's newest commit; gives its folder.
    ///
    /// # Errors
    /// [`EncoderError::Hub`] when the hub cannot be asked, has no such model, lists a file that no
    /// model folder may have, or a file does not arrive whole.
    pub fn pull(
        &self,
        name: &str,
        progress: &dyn Fn(HubEvent<'_>),
    ) -> Result<PathBuf, EncoderError> {
        let fail = |doing: &str, reason: String| EncoderError::Hub {
            name: name.to_owned(),
            doing: doing.to_owned(),
            reason,
        };
        if !Self::is_name(name) {
            return Err(fail("no name", "expected a name such as org/name".to_owned()));
        }
        if self.offline {
            let reason = format!(
                "it is not in the cache {}, and HF_HUB_OFFLINE forbids fetching it",
                self.cache.display()
            );
            return Err(fail("offline", reason));
        }
        let client = Client::new(&self.endpoint, self.token.as_deref())
            .map_err(|reason| fail("starting", reason))?;
        let asked = format!("asking {}", self.endpoint);
        let described = client.description(name).map_err(|reason| {
            let hint = "is the name right, does it need a token (HF_TOKEN), and is the address \
                        (HF_ENDPOINT) reachable?";
            fail(&asked, format!("{reason}; {hint}"))
        })?;
        let described: Description = serde_json::from_slice(&described)
            .map_err(|e| fail(&asked, format!("its answer describes no model: {e}")))?;
        let commit = described.sha;
        if !is_hash(&commit) {
            return Err(fail(&asked, format!("{commit:?} is not a commit")));
        }
        let names: Vec<String> = described.siblings.into_iter().map(|s| s.rfilename).collect();
        let place = Place::of(&self.cache, name);
        let folder = place.snapshot(&commit);
        let fetch = Fetch { client: &client, name, commit: &commit, place: &place, progress };
        let get = |file: &str| match folder.join(file).exists() {
            true => Ok(()),
            false => fetch.file(file).map_err(|reason| fail(file, reason)),
        };
        // Which files are needed can hang on the architecture; what cannot be run is not fetched.
        let has = |file: &str| names.iter().any(|name| name == file);
        let graphless = !GRAPHS.iter().any(|file| has(file)) && !has(MANIFEST_FILE);
        let mut built = false;
        if has("config.json") && (graphless || is_multivector(&names)) {
            get("config.json")?;
            let path = folder.join("config.json");
            match graphs::Body::parse(&files::read(&path)?, &path) {
                Ok(_) => built = true,
                Err(error) if graphless => return Err(fail("config.json", error.to_string())),
                Err(_) => {}
            }
        }
        let chosen = choose(&names, built);
        if !chosen.iter().any(|f| f.ends_with(".onnx") || f.ends_with(".safetensors")) {
            return Err(fail(
                &asked,
                "it has neither model.onnx nor onnx/model.onnx nor model.safetensors".to_owned(),
            ));
        }
        if chosen.len() > FILES {
            return Err(fail(&asked, format!("it lists {} files; {FILES} at most", chosen.len())));
        }
        for file in chosen {
            get(file)?;
        }
        place.set_main(&commit).map_err(|e| fail("naming the commit", e.to_string()))?;
        Ok(folder)
    }
}

/// One model's transfers.
struct Fetch<'a> {
    client: &'a Client,
    name: &'a str,
    commit: &'a str,
    place: &'a Place,
    progress: &'a dyn Fn(HubEvent<'_>),
}

impl Fetch<'_> {
    /// Fetches a file and checks it.
    fn file(&self, file: &str) -> Result<(), String> {
        let Some(facts) = self.client.facts(self.remote(file))? else {
            if is_side(file) {
                (self.progress)(HubEvent::Absent { name: file });
                return Ok(());
            }
            return Err("the hub lists it and does not have it: 404 Not Found".to_owned());
        };
        // The etag becomes a file's name, and says what the content must be.
        if !is_hash(&facts.etag) {
            return Err(format!("the hub gives the etag {:?}: no checksum", facts.etag));
        }
        if facts.commit != self.commit {
            return Err("the model changed meanwhile; try again".to_owned());
        }
        let cannot = |e: std::io::Error| format!("the cache cannot be written: {e}");
        let lock = self.place.lock(&facts.etag).map_err(cannot)?;
        let _lock = lock.ok_or("another process is fetching it; wait for it to end")?;
        let blob = self.place.blob(&facts.etag);
        if !blob.exists() || check(&blob, &facts).is_err() {
            self.content(file, &facts, &blob)?;
        }
        self.place.link(self.commit, file, &facts.etag).map_err(cannot)
    }

    fn remote<'f>(&'f self, file: &'f str) -> RemoteFile<'f> {
        RemoteFile { model: self.name, commit: self.commit, file }
    }

    /// Fetches a file's content.
    fn content(&self, file: &str, facts: &Facts, blob: &Path) -> Result<(), String> {
        let part = blob.with_extension("part");
        let mut last = String::new();
        for _ in 0..TRIES {
            match self.attempt(file, facts, &part) {
                Err(reason) => last = reason,
                Ok(()) => match check(&part, facts) {
                    Ok(()) => {
                        return fs::rename(&part, blob)
                            .map_err(|e| format!("the cache cannot be written: {e}"));
                    }
                    Err(reason) => {
                        remove(&part)?;
                        last = format!("{reason}; it was removed");
                    }
                },
            }
        }
        Err(format!("{last} ({TRIES} tries)"))
    }

    /// Goes on with a transfer until all bytes are there.
    fn attempt(&self, file: &str, facts: &Facts, part: &Path) -> Result<(), String> {
        let progress = |event| match event {
            DownloadEvent::From(have) => {
                (self.progress)(HubEvent::File { name: file, bytes: facts.size });
                (self.progress)(HubEvent::Bytes(have));
            }
            DownloadEvent::Bytes(bytes) => (self.progress)(HubEvent::Bytes(bytes)),
        };
        self.client.download(self.remote(file), facts.size, part, &progress)
    }
}

fn remove(path: &Path) -> Result<(), String> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("{}: cannot be removed: {e}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Whether a file is a note or a setting that no model is recognised by: where one is needed all the same,
/// who opens the model says that it is missing.
fn is_side(file: &str) -> bool {
    const NEEDED: [&str; 7] = [
        "config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "vocab.txt",
        "modules.json",
        MANIFEST_FILE,
    ];
    let name = file.rsplit('/').next().unwrap_or_default();
    (name.ends_with(".json") || name.ends_with(".txt")) && !NEEDED.contains(&name)
}

/// Compares a file with its length and etag.
fn check(blob: &Path, Facts { size, etag, .. }: &Facts) -> Result<(), String> {
    let broken = |e: &dyn std::fmt::Display| format!("it cannot be read back: {e}");
    let found = fs::metadata(blob).map_err(|e| broken(&e))?.len();
    if found != *size {
        return Err(format!("{found} bytes arrived of {size}"));
    }
    let sum = if etag.len() == 64 {
        files::sha256_of(blob).map_err(|e| broken(&e))?
    } else {
        git_sha1(blob, *size).map_err(|e| broken(&e))?
    };
    if sum != etag.to_ascii_lowercase() {
        return Err(format!("what arrived has the checksum {sum}, the hub says {etag}"));
    }
    Ok(())
}

/// The name that git gives a file's content.
fn git_sha1(path: &Path, size: u64) -> std::io::Result<String> {
    let mut digest = sha1::Sha1::new();
    digest.update(format!("blob {size}\0"));
    let mut file = fs::File::open(path)?;
    let mut buffer = vec![0; 1 << 16];
    loop {
        let n = file.read(&mut buffer)?;
        if n == 0 {
            return Ok(format!("{:x}", digest.finalize()));
        }
        digest.update(&buffer[..n]);
    }
}

/// The files of a model that an encoder needs: configuration, tokenizer, tables, and the graph; the
/// weights only where there is no graph. Of a model of token embeddings whose graph can be `built`,
/// the weights and no graph, as it is recognised. A name that reaches out of the folder is never
/// chosen.
fn choose(names: &[String], built: bool) -> Vec<&str> {
    let has = |name: &&str| names.iter().any(|n| n == *name);
    let late = is_multivector(names);
    let weights = |n: &String| n.ends_with("model.safetensors") && !n.contains("_Dense/");
    let built = late && built && names.iter().any(weights);
    let graph: &[&str] = match () {
        () if built => &[],
        () if late && !has(&"model.onnx") && !has(&"onnx/model.onnx") => &["vespa_colbert.onnx"],
        () => &["model.onnx", "onnx/model.onnx"],
    };
    let has_graph = graph.iter().any(has);
    let wanted = |name: &&str| {
        let file = name.rsplit('/').next().unwrap_or_default();
        let small =
            file.ends_with(".json") || file.ends_with(".txt") || *name == "artifact.metadata";
        let weights = file.ends_with("model.safetensors")
            && (!has_graph
                || ["SparseStaticEmbedding", "_Dense/"].iter().any(|m| name.contains(m)));
        // Weights beside a graph are called model.onnx_data, or model.onnx.data.
        let of_graph = graph.iter().any(|g| name.starts_with(g));
        files::is_inside(name)
            && !name.split('/').any(|part| part.starts_with('.'))
            && (small || weights || of_graph || file == "query_table.safetensors")
    };
    names.iter().map(String::as_str).filter(wanted).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn what_an_encoder_needs_is_chosen() {
        let names = |list: &[&str]| list.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        let all = names(&[
            ".gitattributes",
            "README.md",
            "config.json",
            "tokenizer.json",
            "vocab.txt",
            "model.safetensors",
            "pytorch_model.bin",
            "onnx/model.onnx",
            "onnx/model.onnx_data",
            "onnx/model_quantized.onnx",
            "query_0_SparseStaticEmbedding/model.safetensors",
            "../evil.json",
            "a/../../evil.json",
            "/etc/evil.json",
        ]);
        let want = [
            "config.json",
            "tokenizer.json",
            "vocab.txt",
            "onnx/model.onnx",
            "onnx/model.onnx_data",
            "query_0_SparseStaticEmbedding/model.safetensors",
        ];
        assert_eq!(choose(&all, true).len(), 6);
        assert_eq!(choose(&all, false), want);
        assert_eq!(choose(&names(&["config.json", "model.safetensors"]), false).len(), 2);
        // Token embeddings: weights where a graph is built of them, else a graph.
        let late = names(&[
            "artifact.metadata",
            "config.json",
            "1_Dense/config.json",
            "1_Dense/model.safetensors",
            "model.safetensors",
            "model.onnx",
            "model_int8.onnx",
            "vespa_colbert.onnx",
        ]);
        let built = choose(&late, true);
        assert!(
            built.contains(&"model.safetensors") && built.contains(&"1_Dense/model.safetensors")
        );
        assert!(built.contains(&"artifact.metadata") && !built.iter().any(|n| n.contains(".onnx")));
        let exported = choose(&late, false);
        assert!(exported.contains(&"model.onnx") && !exported.contains(&"model.safetensors"));
        let vespa = names(&["artifact.metadata", "config.json", "vespa_colbert.onnx"]);
        assert_eq!(choose(&vespa, true).len(), 3);
    }

    #[test]
    fn git_names_a_file_by_its_content() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        fs::write(&path, "hello\n").unwrap();
        assert_eq!(git_sha1(&path, 6).unwrap(), "ce013625030ba8dba906f756967f9e9ca394464a");
    }
}
