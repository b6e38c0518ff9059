//! Rewrites serde's messages about a body, which name Rust types, in terms of JSON.

/// `invalid type: string "x", expected u32 at line 1 column 9` becomes
/// `expected a whole number from 0 to 4294967295, found the string "x" at line 1 column 9`.
pub(super) fn in_json_words(message: &str) -> String {
    let (what, at) = message.split_at(message.rfind(" at line ").unwrap_or(message.len()));
    if let Some(rest) = what.strip_prefix("unknown variant ") {
        return format!("unknown value {rest}{at}");
    }
    // serde says this of a value that must be one of some names; the body is valid JSON.
    if what == "expected value" {
        return format!("expected a string{at}");
    }
    // serde reads a list as the fields of an object in order, and finds it too short.
    if what.starts_with("invalid length ") && what.contains(", expected struct ") {
        return format!("expected an object, found a list{at}");
    }
    let rest = ["invalid type: ", "invalid value: "].iter().find_map(|p| what.strip_prefix(p));
    match rest.and_then(|rest| rest.rsplit_once(", expected ")) {
        Some((found, wanted)) => {
            format!("expected {}, found {}{at}", kind(wanted), value(found))
        }
        None => message.to_owned(),
    }
}

/// The expected type, in terms of JSON.
fn kind(wanted: &str) -> String {
    let whole = |most: u64| format!("a whole number from 0 to {most}");
    match wanted {
        "u8" => whole(u8::MAX.into()),
        "u16" => whole(u16::MAX.into()),
        "u32" => whole(u32::MAX.into()),
        "u64" | "usize" => whole(u64::MAX),
        "f32" | "f64" => "a number".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a map" => "an object".to_owned(),
        "string or map" | "variant identifier" => "a string".to_owned(),
        _ if wanted.starts_with("struct ") => "an object".to_owned(),
        _ if wanted.starts_with("enum ") => "a string".to_owned(),
        _ => wanted.to_owned(),
    }
}

/// The value found, in terms of JSON.
fn value(found: &str) -> String {
    let plain = |kind| found.strip_prefix(kind).map(|rest: &str| rest.trim_matches('`'));
    if found.starts_with("string ") {
        return format!("the {found}");
    }
    if let Some(number) = plain("integer ").or_else(|| plain("floating point ")) {
        return format!("the number {number}");
    }
    if let Some(value) = plain("boolean ") {
        return value.to_owned();
    }
    match found {
        "sequence" => "a list".to_owned(),
        "map" => "an object".to_owned(),
        "unit value" => "null".to_owned(),
        _ => found.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::in_json_words;

    #[test]
    fn types_have_the_names_of_json() {
        for (serde, json) in [
            (
                "invalid type: string \"x\", expected u32 at line 1 column 9",
                "expected a whole number from 0 to 4294967295, found the string \"x\" at line 1 column 9",
            ),
            (
                "invalid value: integer `-1`, expected u8",
                "expected a whole number from 0 to 255, found the number -1",
            ),
            (
                "invalid type: string \"a, expected b\", expected struct QueryInput",
                "expected an object, found the string \"a, expected b\"",
            ),
            ("invalid type: map, expected a sequence", "expected a list, found an object"),
            ("invalid type: null, expected f32", "expected a number, found null"),
            ("invalid type: boolean `true`, expected a string", "expected a string, found true"),
            (
                "unknown variant `x`, expected `sparse` or `bm25` at line 1 column 3",
                "unknown value `x`, expected `sparse` or `bm25` at line 1 column 3",
            ),
            (
                "invalid length 0, expected struct SearchRequest with 16 elements at line 1 column 2",
                "expected an object, found a list at line 1 column 2",
            ),
            ("missing field `query`", "missing field `query`"),
        ] {
            assert_eq!(in_json_words(serde), json);
        }
    }
}
