//! Requests to a hub: who is told the token, what is believed of whom, and how much is taken.
//!
//! 1. redirects are followed hop by hop (`quarry-transfer`)  2. the token goes to the hub alone: scheme, host
//!    and port are those of its address; so it never crosses a plain connection, unless the hub's own address
//!    is one  3. what a file is (commit, checksum, length) is read from the hub's own answers; from other
//!    hosts the length at most  4. no more bytes are taken of a file than the hub says it has

use std::io::Read;
use std::ops::ControlFlow;
use std::path::Path;

use quarry_transfer::header::{AUTHORIZATION, ETAG, RANGE};
use quarry_transfer::{
    Body, Download, DownloadEvent, HeaderMap, HeaderValue, Origin, Response, StatusCode,
    TransferError, Uri, content_length, content_range, encode_segment, origin,
};

/// The longest description of a model.
const DESCRIPTION: u64 = 32 << 20;

/// A hub's address, and the token for it.
#[derive(Debug)]
pub(super) struct Client {
    http: quarry_transfer::Client,
    hub: Uri,
    origin: Origin,
    token: Option<HeaderValue>,
}

/// A file of a model at a commit.
#[derive(Debug, Clone, Copy)]
pub(super) struct RemoteFile<'a> {
    pub(super) model: &'a str,
    pub(super) commit: &'a str,
    pub(super) file: &'a str,
}

/// What a hub says of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) commit: String,
    pub(super) etag: String,
    pub(super) size: u64,
}

/// What headers said on the way.
#[derive(Debug, Default)]
struct Said {
    commit: Option<String>,
    /// Of a large file, which lies elsewhere; it wins over `etag`.
    linked_etag: Option<String>,
    etag: Option<String>,
    linked_size: Option<u64>,
    /// The length by the answer itself, whoever gave it.
    size: Option<u64>,
}

impl Client {
    pub(super) fn new(endpoint: &str, token: Option<&str>) -> Result<Self, String> {
        let wrong = || format!("{endpoint}: expected an address such as https://huggingface.co");
        let hub: Uri = endpoint.parse().map_err(|_| wrong())?;
        let origin = origin(&hub).filter(|origin| !origin.host.is_empty()).ok_or_else(wrong)?;
        if !matches!(origin.scheme.as_str(), "http" | "https") {
            return Err(wrong());
        }
        let token = token.map(|token| {
            let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
                .map_err(|_| "the token has characters that no token may have".to_owned())?;
            value.set_sensitive(true);
            Ok::<_, String>(value)
        });
        Ok(Self { http: quarry_transfer::Client::new(), hub, origin, token: token.transpose()? })
    }

    /// The address below the hub's that has these parts; each may hold any character.
    fn address<'p>(&self, parts: impl IntoIterator<Item = &'p str>) -> Result<Uri, String> {
        let (scheme, host) = (self.hub.scheme_str(), self.hub.authority());
        let mut address = format!(
            "{}://{}{}",
            scheme.unwrap_or_default(),
            host.map_or("", |host| host.as_str()),
            self.hub.path().trim_end_matches('/')
        );
        for name in parts {
            address.push('/');
            address.push_str(&encode_segment(name));
        }
        address.parse().map_err(|e| format!("{address} is not an address: {e}"))
    }

    /// What the hub says of a model's newest commit, as JSON.
    pub(super) fn description(&self, model: &str) -> Result<Vec<u8>, String> {
        let parts = ["api", "models"].into_iter().chain(model.split('/'));
        let address = self.address(parts.chain(["revision", "main"]))?;
        let response = self.http.get(&address, &|to| self.headers(to)).map_err(said_by)?;
        good(response.status())?;
        let mut body = Vec::new();
        let reader = response.into_body().into_reader();
        reader.take(DESCRIPTION + 1).read_to_end(&mut body).map_err(|e| e.to_string())?;
        if body.len() as u64 > DESCRIPTION {
            return Err(format!("its description is longer than {DESCRIPTION} bytes"));
        }
        Ok(body)
    }

    fn file(&self, of: RemoteFile<'_>) -> Result<Uri, String> {
        let parts = of.model.split('/').chain(["resolve", of.commit]);
        self.address(parts.chain(of.file.split('/')))
    }

    /// The token, for the hub alone.
    fn headers(&self, to: &Uri) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Some(token) = self.token.as_ref().filter(|_| self.is_hub(to)) {
            headers.insert(AUTHORIZATION, token.clone());
        }
        headers
    }

    fn is_hub(&self, address: &Uri) -> bool {
        origin(address).as_ref() == Some(&self.origin)
    }

    /// What the hub says of a file; `None` if it has no such file.
    pub(super) fn facts(&self, of: RemoteFile<'_>) -> Result<Option<Facts>, String> {
        let address = self.file(of)?;
        let headers = |to: &Uri| {
            let mut headers = self.headers(to);
            headers.insert(RANGE, HeaderValue::from_static("bytes=0-0"));
            headers
        };
        let mut said = Said::default();
        let mut observe = |from: &Uri, response: &Response<Body>| {
            said.hear(response.headers(), response.status(), self.is_hub(from));
            if said.is_whole() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let response = self.http.get_observed(&address, &headers, &mut observe).map_err(said_by)?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        if !response.status().is_redirection() {
            good(response.status())?;
        }
        let Said { commit, linked_etag, etag, linked_size, size } = said;
        let lacks = |what: &str| format!("{NOT_A_HUB}: it lacks {what}");
        Ok(Some(Facts {
            commit: commit.ok_or_else(|| lacks("x-repo-commit"))?,
            etag: linked_etag.or(etag).ok_or_else(|| lacks("an etag"))?,
            size: linked_size.or(size).ok_or_else(|| lacks("the file's length"))?,
        }))
    }

    /// Completes the partial file `part`, in one attempt, to the `size` that the hub says.
    pub(super) fn download(
        &self,
        of: RemoteFile<'_>,
        size: u64,
        part: &Path,
        progress: &dyn Fn(DownloadEvent),
    ) -> Result<(), String> {
        let address = self.file(of)?;
        let headers = |to: &Uri| self.headers(to);
        let download =
            Download { address: &address, headers: &headers, part, bytes: size, progress };
        self.http.download(&download).map_err(said_by)
    }
}

const NOT_A_HUB: &str = "the server's answer is not that of a hub";

/// An error as part of a message.
fn said_by(error: TransferError) -> String {
    match error {
        TransferError::RedirectTarget { .. } => format!("{NOT_A_HUB}: {error}"),
        other => other.to_string(),
    }
}

fn good(status: StatusCode) -> Result<(), String> {
    if status.is_success() { Ok(()) } else { Err(format!("the server answers {status}")) }
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(|value| value.trim().to_owned())
}

impl Said {
    fn hear(&mut self, headers: &HeaderMap, status: StatusCode, is_hub: bool) {
        if is_hub {
            let tag = |name| {
                let tag = text(headers, name)?;
                Some(tag.trim_start_matches("W/").trim_matches('"').to_owned())
            };
            self.commit = text(headers, "x-repo-commit").or(self.commit.take());
            self.linked_etag = tag("x-linked-etag").or(self.linked_etag.take());
            self.etag = tag(ETAG.as_str()).or(self.etag.take());
            let size = text(headers, "x-linked-size").and_then(|size| size.parse().ok());
            self.linked_size = size.or(self.linked_size);
        }
        self.size = match status {
            StatusCode::PARTIAL_CONTENT => content_range(headers).total,
            StatusCode::OK => content_length(headers),
            _ => None,
        };
    }

    /// Whether it tells all of a file that lies elsewhere.
    fn is_whole(&self) -> bool {
        self.commit.is_some() && self.linked_etag.is_some() && self.linked_size.is_some()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn names_are_encoded() {
        let client = Client::new("https://hub.example/base/", None).unwrap();
        let file = RemoteFile { model: "org/name", commit: "c0", file: "a b/é#1?x%2f.json" };
        let address = client.file(file).unwrap();
        assert_eq!(
            address.to_string(),
            "https://hub.example/base/org/name/resolve/c0/a%20b/%C3%A9%231%3Fx%252f.json"
        );
    }

    #[test]
    fn another_host_is_not_believed() {
        let mut headers = HeaderMap::new();
        headers.insert("x-repo-commit", "evil".parse().unwrap());
        headers.insert(ETAG, "W/\"abc\"".parse().unwrap());
        let mut said = Said::default();
        said.hear(&headers, StatusCode::OK, false);
        assert!(said.commit.is_none() && said.etag.is_none());
        said.hear(&headers, StatusCode::OK, true);
        assert_eq!((said.commit.as_deref(), said.etag.as_deref()), (Some("evil"), Some("abc")));
    }
}
