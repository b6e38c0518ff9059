//! Requests to a hub: who is told the token, what is believed of whom, and how much is taken.
//!
//! 1. redirections are followed here, hop by hop  2. the token goes to the hub alone: scheme, host and
//!    port are those of its address; so it never crosses a plain connection, unless the hub's own address
//!    is one  3. what a file is (commit, checksum, length) is read from the hub's own answers; of other
//!    hosts the length at most  4. no more bytes are taken of a file than the hub says it has

use std::io::{Read, Write};
use std::time::Duration;

use ureq::http::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderMap, LOCATION, RANGE,
};
use ureq::http::{Response, StatusCode, Uri};

use super::address::{join, origin, part};

/// Silence after which a connection counts as broken.
const SILENCE: Duration = Duration::from_secs(60);
/// Redirections that are followed.
const HOPS: usize = 10;
/// The longest description of a model.
const DESCRIPTION: u64 = 32 << 20;

/// A hub's address, and the token for it.
#[derive(Debug)]
pub(super) struct Client {
    agent: ureq::Agent,
    hub: Uri,
    token: Option<String>,
}

/// What a hub says of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) commit: String,
    pub(super) etag: String,
    pub(super) size: u64,
}

/// An answer that is no redirection, and what the hops before it said.
struct Answer {
    response: Response<ureq::Body>,
    said: Said,
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
        let whole = hub.host().is_some_and(|host| !host.is_empty());
        if !matches!(hub.scheme_str(), Some("http" | "https")) || !whole {
            return Err(wrong());
        }
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .accept_encoding("identity")
            .user_agent(concat!("quarry/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(SILENCE))
            .timeout_recv_response(Some(SILENCE))
            .timeout_per_read(Some(SILENCE))
            .build()
            .into();
        Ok(Self { agent, hub, token: token.map(str::to_owned) })
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
            address.push_str(&part(name));
        }
        address.parse().map_err(|e| format!("{address}: no address: {e}"))
    }

    /// What the hub says of a model's newest commit, as JSON.
    pub(super) fn description(&self, model: &str) -> Result<Vec<u8>, String> {
        let parts = ["api", "models"].into_iter().chain(model.split('/'));
        let address = self.address(parts.chain(["revision", "main"]))?;
        let answer = self.ask(address, None, &|_| false)?;
        good(answer.response.status())?;
        let mut body = Vec::new();
        let reader = answer.response.into_body().into_reader();
        reader.take(DESCRIPTION + 1).read_to_end(&mut body).map_err(|e| e.to_string())?;
        if body.len() as u64 > DESCRIPTION {
            return Err(format!("its description is longer than {DESCRIPTION} bytes"));
        }
        Ok(body)
    }

    fn file(&self, model: &str, commit: &str, file: &str) -> Result<Uri, String> {
        let parts = model.split('/').chain(["resolve", commit]);
        self.address(parts.chain(file.split('/')))
    }

    /// What the hub says of a file; none where it has no such file.
    pub(super) fn facts(
        &self,
        model: &str,
        commit: &str,
        file: &str,
    ) -> Result<Option<Facts>, String> {
        let address = self.file(model, commit, file)?;
        let answer = self.ask(address, Some("bytes=0-0"), &Said::is_whole)?;
        if answer.response.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        if !answer.response.status().is_redirection() {
            good(answer.response.status())?;
        }
        let Said { commit, linked_etag, etag, linked_size, size } = answer.said;
        let lacks = |what: &str| format!("the server's answer is none of a hub: it lacks {what}");
        Ok(Some(Facts {
            commit: commit.ok_or_else(|| lacks("x-repo-commit"))?,
            etag: linked_etag.or(etag).ok_or_else(|| lacks("an etag"))?,
            size: linked_size.or(size).ok_or_else(|| lacks("the file's length"))?,
        }))
    }

    /// Appends the bytes of a file from `have` on to `out`, as far as the `size` that the hub says: gives
    /// how many there are then. `restart` is called where the server sends all of it again.
    pub(super) fn download(
        &self,
        address: (&str, &str, &str),
        (have, size): (u64, u64),
        out: &mut dyn Write,
        restart: &mut dyn FnMut() -> Result<(), String>,
        arrived: &dyn Fn(u64),
    ) -> Result<u64, String> {
        let address = self.file(address.0, address.1, address.2)?;
        let answer = self.ask(address, Some(&format!("bytes={have}-")), &|_| false)?;
        let (headers, status) = (answer.response.headers(), answer.response.status());
        let mut at = match status {
            StatusCode::OK => {
                restart()?;
                0
            }
            StatusCode::PARTIAL_CONTENT if range(headers).0 == Some(have) => have,
            StatusCode::PARTIAL_CONTENT => return Err("the server sends another part".to_owned()),
            StatusCode::RANGE_NOT_SATISFIABLE => {
                return Err(format!("{have} bytes arrived of {size}, and the server has no more"));
            }
            status => {
                good(status)?;
                return Err(format!("the server answers {status}"));
            }
        };
        let mut body = answer.response.into_body().into_reader().take(size - at);
        let mut buffer = vec![0; 1 << 16];
        loop {
            let n = match body.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => n,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(format!("{at} bytes arrived of {size}: {e}")),
            };
            out.write_all(&buffer[..n]).map_err(|e| format!("it cannot be written: {e}"))?;
            at += n as u64;
            arrived(n as u64);
        }
        if at < size {
            return Err(format!("{at} bytes arrived of {size}"));
        }
        Ok(at)
    }

    /// Follows redirections to an answer, or until what they said is `enough`.
    fn ask(
        &self,
        address: Uri,
        range: Option<&str>,
        enough: &dyn Fn(&Said) -> bool,
    ) -> Result<Answer, String> {
        let (mut address, mut said) = (address, Said::default());
        for _ in 0..=HOPS {
            let is_hub = origin(&address).is_some() && origin(&address) == origin(&self.hub);
            let mut request = self.agent.get(address.clone());
            if let Some(range) = range {
                request = request.header(RANGE, range);
            }
            if let Some(token) = self.token.as_ref().filter(|_| is_hub) {
                request = request.header(AUTHORIZATION, format!("Bearer {token}"));
            }
            let response = request.call().map_err(|e| e.to_string())?;
            said.hear(response.headers(), response.status(), is_hub);
            if !response.status().is_redirection() || enough(&said) {
                return Ok(Answer { response, said });
            }
            let to = response.headers().get(LOCATION).and_then(|to| to.to_str().ok());
            address = next(&address, to.unwrap_or_default())?;
        }
        Err(format!("more than {HOPS} redirections"))
    }
}

/// Where a redirection leads.
fn next(from: &Uri, to: &str) -> Result<Uri, String> {
    let found = join(from, to)
        .ok_or_else(|| format!("the server's answer is none of a hub: a redirection to {to:?}"))?;
    if from.scheme_str() == Some("https") && found.scheme_str() != Some("https") {
        return Err(format!("a redirection from https to plain http: {found}"));
    }
    Ok(found)
}

fn good(status: StatusCode) -> Result<(), String> {
    if status.is_success() { Ok(()) } else { Err(format!("the server answers {status}")) }
}

/// Begin of the part that an answer has, and the whole length.
fn range(headers: &HeaderMap) -> (Option<u64>, Option<u64>) {
    let Some(text) = text(headers, CONTENT_RANGE.as_str()) else { return (None, None) };
    let Some((part, total)) = text.trim_start_matches("bytes").trim().split_once('/') else {
        return (None, None);
    };
    let start = part.split_once('-').and_then(|(start, _)| start.trim().parse().ok());
    (start, total.trim().parse().ok())
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
            StatusCode::PARTIAL_CONTENT => range(headers).1,
            StatusCode::OK => text(headers, CONTENT_LENGTH.as_str()).and_then(|n| n.parse().ok()),
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
        let address = client.file("org/name", "c0", "a b/é#1?x%2f.json").unwrap();
        assert_eq!(
            address.to_string(),
            "https://hub.example/base/org/name/resolve/c0/a%20b/%C3%A9%231%3Fx%252f.json"
        );
    }

    #[test]
    fn redirections_stay_encrypted() {
        let from: Uri = "https://hub.example/a/b".parse().unwrap();
        assert!(next(&from, "https://cdn.example/c").is_ok());
        assert!(next(&from, "http://cdn.example/c").unwrap_err().contains("plain http"));
        assert!(next(&from, "").is_err());
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
