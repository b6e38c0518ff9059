//! A leader, as its followers ask it.

use std::fmt;
use std::io::Read;
use std::path::Path;

use quarry_engine::store::{CollectionName, Given, GivenFile, StoreError};
use quarry_transfer::header::AUTHORIZATION;
use quarry_transfer::{
    Client, Download, HeaderMap, HeaderValue, StatusCode, Uri, encode_segment, origin,
};
use serde::de::DeserializeOwned;

use crate::api::{GenerationResponse, GenerationsResponse};
use crate::engine::given;

/// Most bytes of an answer that is no file.
const MOST_JSON: u64 = 64 << 20;

/// Where a leader is, and the key that it wants.
#[derive(Clone)]
pub struct Leader {
    base: Uri,
    /// As it is sent.
    key: Option<HeaderValue>,
}

impl fmt::Debug for Leader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leader").field("base", &self.base).finish_non_exhaustive()
    }
}

impl Leader {
    /// A leader at an address such as `https://search.example:7878`, which is asked with a key of the scope `admin`.
    ///
    /// # Errors
    /// What is wrong with the address or the key.
    pub fn new(address: &str, key: Option<&str>) -> Result<Self, String> {
        let expected = || format!("`{address}`: http://HOST:PORT or https://HOST was expected");
        let base: Uri = address.parse().map_err(|_| expected())?;
        let plain = matches!(base.path(), "" | "/") && base.query().is_none();
        if !plain || !matches!(base.scheme_str(), Some("http" | "https")) || base.host().is_none() {
            return Err(expected());
        }
        let header = |key: &str| {
            let visible = !key.is_empty() && key.bytes().all(|b| b.is_ascii_graphic());
            let value = HeaderValue::from_str(&format!("Bearer {key}")).ok().filter(|_| visible);
            let mut value = value
                .ok_or_else(|| "a key must be one or more visible ASCII characters".to_owned())?;
            value.set_sensitive(true);
            Ok::<_, String>(value)
        };
        Ok(Self { base, key: key.map(header).transpose()? })
    }

    /// The address, as it is shown.
    pub(crate) fn address(&self) -> String {
        self.base.to_string().trim_end_matches('/').to_owned()
    }

    /// The sealed generations of all collections.
    pub(super) fn generations(&self, client: &Client) -> Result<GenerationsResponse, LeaderError> {
        self.json(client, "/v1/generations")
    }

    /// That of a collection; `None` if it is gone.
    pub(super) fn generation(
        &self,
        client: &Client,
        name: &CollectionName,
    ) -> Result<Option<Given>, LeaderError> {
        let path = format!("/v1/collections/{name}/generation");
        match self.json::<GenerationResponse>(client, &path) {
            Ok(answer) => given(answer).map(Some).map_err(LeaderError),
            Err(LeaderError(said)) if said.contains("collection_not_found") => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Fetches a file to a path.
    pub(super) fn fetch(
        &self,
        client: &Client,
        (name, file): (&CollectionName, &GivenFile),
        path: &Path,
    ) -> Result<(), StoreError> {
        let wrong = |what: String| StoreError::Leader { what };
        let of = encode_segment(&file.name);
        let address = self.at(&format!("/v1/collections/{name}/files/{of}")).map_err(wrong)?;
        let download = Download {
            address: &address,
            headers: &|address| self.headers(address),
            part: path,
            bytes: file.bytes,
            progress: &|_| {},
        };
        client.download(&download).map_err(|error| wrong(format!("{}: {error}", file.name)))
    }

    fn json<T: DeserializeOwned>(&self, client: &Client, path: &str) -> Result<T, LeaderError> {
        let told = |what: &dyn fmt::Display| LeaderError(format!("GET {path}: {what}"));
        let address = self.at(path).map_err(LeaderError)?;
        let answer = client.get(&address, &|address| self.headers(address));
        let answer = answer.map_err(|error| told(&error))?;
        let status = answer.status();
        let mut body = Vec::new();
        let read = answer.into_body().into_reader().take(MOST_JSON).read_to_end(&mut body);
        read.map_err(|error| told(&error))?;
        if status != StatusCode::OK {
            let said = String::from_utf8_lossy(&body);
            let said: String = said.chars().filter(|c| !c.is_control()).take(300).collect();
            return Err(told(&format!("{status}: {said}")));
        }
        serde_json::from_slice(&body).map_err(|error| told(&error))
    }

    fn at(&self, path: &str) -> Result<Uri, String> {
        let address = format!("{}{path}", self.address());
        address.parse().map_err(|_| format!("`{address}` is no address"))
    }

    /// The key goes to the leader alone, whatever it redirects to.
    fn headers(&self, address: &Uri) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let own = origin(address) == origin(&self.base);
        if let Some(value) = self.key.as_ref().filter(|_| own) {
            headers.insert(AUTHORIZATION, value.clone());
        }
        headers
    }
}

/// Why a leader cannot be followed just now.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct LeaderError(pub(super) String);
