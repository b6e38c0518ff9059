//! Addresses, as far as requests need them: names in paths, redirect targets, and origins.

use ureq::http::Uri;

/// Scheme, host and port of an address, in lower case, with the scheme's usual port filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// `http` or `https`.
    pub scheme: String,
    /// The host, without user and password.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// The target of a redirect from `from`, with characters that an address may not contain percent-encoded.
/// `None` unless it is an http or https address with a host.
#[must_use]
pub fn resolve(from: &Uri, to: &str) -> Option<Uri> {
    let before = to.split(['/', '?', '#']).next().unwrap_or_default();
    let whole = if before.contains(':') {
        // It has its own scheme.
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

/// A name as one segment of a path: everything but unreserved characters is percent-encoded, `/` too.
#[must_use]
pub fn encode_segment(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            encode(byte, &mut out);
        }
    }
    out
}

/// The origin of an address; `None` if it has no scheme or no host.
#[must_use]
pub fn origin(address: &Uri) -> Option<Origin> {
    let scheme = address.scheme_str()?.to_ascii_lowercase();
    let usual = if scheme == "https" { 443 } else { 80 };
    let host = address.host()?.to_ascii_lowercase();
    Some(Origin { scheme, host, port: address.port_u16().unwrap_or(usual) })
}

/// Percent-encodes what no address may contain; existing `%XX` stay.
fn legal(address: &str) -> String {
    let mut out = String::with_capacity(address.len());
    for byte in address.bytes() {
        match byte {
            b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' => encode(byte, &mut out),
            0x21..=0x7e => out.push(char::from(byte)),
            _ => encode(byte, &mut out),
        }
    }
    out
}

fn encode(byte: u8, out: &mut String) {
    use std::fmt::Write;
    // Writing to a string cannot fail.
    let _ = write!(out, "%{byte:02X}");
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn redirects_are_resolved() {
        let from: Uri = "https://hub.example:8443/a/b?c".parse().unwrap();
        for (to, want) in [
            ("/d?e=%20f", "https://hub.example:8443/d?e=%20f"),
            ("//cdn.example/c", "https://cdn.example/c"),
            ("d/e", "https://hub.example:8443/a/d/e"),
            ("?x", "https://hub.example:8443/a/b?x"),
            ("http://cdn.example/a b|c", "http://cdn.example/a%20b%7Cc"),
            ("/d:e", "https://hub.example:8443/d:e"),
        ] {
            assert_eq!(resolve(&from, to).unwrap().to_string(), want);
        }
        for to in
            ["", "file:///etc/passwd", "javascript:x", "ftp://a/b", "http:", "https://", "x:y/z"]
        {
            assert_eq!(resolve(&from, to), None, "{to}");
        }
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let of = |address: &str| origin(&address.parse().unwrap()).unwrap();
        assert_eq!(of("https://Hub.example/a"), of("https://hub.example:443/b?c"));
        for other in ["http://hub.example", "https://hub.example:444", "https://hub.example.evil"] {
            assert_ne!(of("https://hub.example"), of(other), "{other}");
        }
        // What precedes an `@` is not the host.
        assert_eq!(of("https://hub.example@evil.example/a").host, "evil.example");
    }

    #[test]
    fn any_name_is_one_segment() {
        assert_eq!(encode_segment("a b\u{e9}#1?x%2f/.json"), "a%20b%C3%A9%231%3Fx%252f%2F.json");
    }
}
