//! The hub of models and its cache, as the environment names them.

use std::env;
use std::path::PathBuf;

use anyhow::bail;
use quarry_engine::Hub;

/// The hub and cache that the environment names, as Python's `huggingface_hub` reads it.
pub(crate) fn hub() -> anyhow::Result<Hub> {
    let set = |name: &str| env::var(name).ok().filter(|v| !v.is_empty());
    let home = match (set("HF_HOME"), set("XDG_CACHE_HOME"), set("HOME")) {
        (Some(home), _, _) => PathBuf::from(home),
        (None, Some(cache), _) => PathBuf::from(cache).join("huggingface"),
        (None, None, Some(home)) => PathBuf::from(home).join(".cache/huggingface"),
        (None, None, None) => bail!("HOME is not set, so there is no cache; set HF_HOME"),
    };
    let token = set("HF_TOKEN").or_else(|| {
        let kept = std::fs::read_to_string(home.join("token")).ok()?;
        Some(kept.trim().to_owned()).filter(|t| !t.is_empty())
    });
    let yes = |v: String| matches!(v.to_ascii_lowercase().as_str(), "1" | "true" | "yes" | "on");
    Ok(Hub {
        endpoint: set("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".to_owned()),
        cache: set("HF_HUB_CACHE").map_or_else(|| home.join("hub"), PathBuf::from),
        token,
        offline: set("HF_HUB_OFFLINE").is_some_and(yes),
    })
}
