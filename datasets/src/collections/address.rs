//! Addresses, as far as requests need them: where a redirection leads.

use ureq::http::Uri;

/// Where a redirection of `from` leads; none where that is no address of http or https.
pub(super) fn join(from: &Uri, to: &str) -> Option<Uri> {
    let before = to.split(['/', '?', '#']).next().unwrap_or_default();
    let whole = if before.contains(':') {
        // It has a scheme of its own.
        to.to_owned()
    } else {
        let (scheme, host) = (from.scheme_str()?, from.authority()?);
        match to.as_bytes() {
            [] => return None,
            [b'/', b'/', ..] => format!("{scheme}:{to}"),
            [b'/', ..] => format!("{scheme}://{host}{to}"),
            [b'?', ..] => format!("{scheme}://{host}{}{to}", from.path()),
            _ => {
                let folder = from.path().rsplit_once('/').map_or("", |(folder, _)| folder);
                format!("{scheme}://{host}{folder}/{to}")
            }
        }
    };
    let found: Uri = legal(&whole).parse().ok()?;
    let known = matches!(found.scheme_str(), Some("http" | "https"));
    (known && found.host().is_some_and(|host| !host.is_empty())).then_some(found)
}

/// The address with what no address may hold in `%XX`.
fn legal(address: &str) -> String {
    let mut out = String::with_capacity(address.len());
    for byte in address.bytes() {
        match byte {
            b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' => {
                encoded(byte, &mut out)
            }
            0x21..=0x7e => out.push(char::from(byte)),
            _ => encoded(byte, &mut out),
        }
    }
    out
}

fn encoded(byte: u8, out: &mut String) {
    use std::fmt::Write;
    // A string takes whatever is written.
    let _ = write!(out, "%{byte:02X}");
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn redirections_lead_somewhere() {
        let from: Uri = "https://hub.example:8443/a/b?c".parse().unwrap();
        for (to, want) in [
            ("/d?e=%20f", "https://hub.example:8443/d?e=%20f"),
            ("//cdn.example/c", "https://cdn.example/c"),
            ("d/e", "https://hub.example:8443/a/d/e"),
            ("?x", "https://hub.example:8443/a/b?x"),
            ("http://cdn.example/a b|c", "http://cdn.example/a%20b%7Cc"),
            ("/d:e", "https://hub.example:8443/d:e"),
        ] {
            assert_eq!(join(&from, to).unwrap().to_string(), want);
        }
        for to in
            ["", "file:///etc/passwd", "javascript:x", "ftp://a/b", "http:", "https://", "x:y/z"]
        {
            assert_eq!(join(&from, to), None, "{to}");
        }
    }
}
