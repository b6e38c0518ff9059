//! Requests whose redirects are followed here, so that what is sent depends on who is asked.

use std::ops::ControlFlow;
use std::time::Duration;

use ureq::Body;
use ureq::http::header::LOCATION;
use ureq::http::{HeaderMap, Response, StatusCode, Uri};

use crate::address::resolve;
use crate::error::TransferError;

/// Silence after which a connection counts as broken.
const SILENCE: Duration = Duration::from_secs(60);
/// Redirects that are followed.
const REDIRECTS: usize = 10;

/// Sends requests. Connections are reused between requests of one client.
#[derive(Debug, Clone)]
pub struct Client {
    agent: ureq::Agent,
}

impl Default for Client {
    fn default() -> Self {
        Self::new()
    }
}

impl Client {
    /// A client that waits 60 s for a connection, a response or the next bytes.
    #[must_use]
    pub fn new() -> Self {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .accept_encoding("identity")
            .user_agent(concat!("quarry/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(SILENCE))
            .timeout_recv_response(Some(SILENCE))
            .timeout_per_read(Some(SILENCE))
            .build()
            .into();
        Self { agent }
    }

    /// The response to a GET, whatever its status, after at most 10 redirects. `headers` gives the headers for
    /// each address that is asked.
    ///
    /// # Errors
    /// When no response comes, or a redirect cannot be followed or leads from https to plain http.
    pub fn get(
        &self,
        address: &Uri,
        headers: &dyn Fn(&Uri) -> HeaderMap,
    ) -> Result<Response<Body>, TransferError> {
        self.get_observed(address, headers, &mut |_, _| ControlFlow::Continue(()))
    }

    /// As [`Self::get`]; `observe` sees each response with its address, redirects included, and may end there
    /// with a redirect as the response.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn get_observed(
        &self,
        address: &Uri,
        headers: &dyn Fn(&Uri) -> HeaderMap,
        observe: &mut dyn FnMut(&Uri, &Response<Body>) -> ControlFlow<()>,
    ) -> Result<Response<Body>, TransferError> {
        let mut address = address.clone();
        for _ in 0..=REDIRECTS {
            let mut request = self.agent.get(address.clone());
            for (name, value) in &headers(&address) {
                request = request.header(name, value);
            }
            let response = request.call().map_err(|e| TransferError::Request(Box::new(e)))?;
            let ended = observe(&address, &response).is_break();
            let status = response.status();
            if ended || !status.is_redirection() || status == StatusCode::NOT_MODIFIED {
                return Ok(response);
            }
            let target = response.headers().get(LOCATION).and_then(|to| to.to_str().ok());
            address = follow(&address, target.unwrap_or_default())?;
        }
        Err(TransferError::TooManyRedirects { limit: REDIRECTS })
    }
}

/// The address that a redirect leads to.
fn follow(from: &Uri, target: &str) -> Result<Uri, TransferError> {
    let found = resolve(from, target)
        .ok_or_else(|| TransferError::RedirectTarget { target: target.to_owned() })?;
    if from.scheme_str() == Some("https") && found.scheme_str() != Some("https") {
        return Err(TransferError::RedirectToPlain { target: found.to_string() });
    }
    Ok(found)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn redirects_stay_encrypted() {
        let from: Uri = "https://data.example/a/b".parse().unwrap();
        assert!(follow(&from, "c?d=e").is_ok());
        assert!(follow(&from, "https://cdn.example/c").is_ok());
        let plain = follow(&from, "http://cdn.example/c").unwrap_err();
        assert!(matches!(&plain, TransferError::RedirectToPlain { .. }), "{plain}");
        assert!(matches!(follow(&from, ""), Err(TransferError::RedirectTarget { .. })));
    }
}
