//! Types of the documents' other fields: given with `--field`, or those that were seen first.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

mod common;

use std::fs;

use common::{fails, ok, quarry, said, text};
use serde_json::Value;

fn record(id: &str, fields: &str) -> String {
    format!("{{\"_id\":\"{id}\",\"text\":\"rock\",{fields}}}\n")
}

#[test]
fn fields_have_the_type_that_was_given_or_seen() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (input, more, index) = (at("a.jsonl"), at("b.jsonl"), at("index"));
    let code = "2020-01-01T00:00:00Z";
    let lines = [
        record(
            "1",
            &format!(
                "\"year\":\"1998\",\"code\":\"{code}\",\"topic\":\"ice\",\"day\":\"2020-01-31\""
            ),
        ),
        record("2", "\"year\":2003,\"code\":7,\"topic\":\"sea\",\"day\":\"2020-02-01T10:00:00Z\""),
    ];
    fs::write(&input, lines.concat()).unwrap();
    let build = ["index", text(&input), "--out", text(&index), "--channel", "bm25"];
    let typed = ["year:integer", "code:keyword", "day:date", "yaer:float"].map(|f| ["--field", f]);
    let output = quarry(&[&build[..], typed.as_flattened()].concat()).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("no document has the fields of --field: yaer"));
    let found = |filter: &str| -> Vec<String> {
        let asked = ["search", text(&index), "rock", "--channel", "bm25", "--json", "--filter"];
        let answer: Value = serde_json::from_str(&ok(&[&asked[..], &[filter]].concat())).unwrap();
        let ids = answer["hits"].as_array().unwrap().iter().map(|h| h["id"].as_str().unwrap());
        let mut ids: Vec<String> = ids.map(str::to_owned).collect();
        ids.sort();
        ids
    };
    let check = |more: &[&str]| {
        let with = |id: &'static str| -> Vec<String> {
            [&[id], more].concat().into_iter().map(str::to_owned).collect()
        };
        assert_eq!(found("year:[1990 TO 2000]"), with("1"));
        assert_eq!(found("code:7"), ["2"]);
        assert_eq!(found(&format!("code:\"{code}\"")), with("1"));
        assert_eq!(found("day:[2020-01-31T00:00:00Z TO 2020-01-31T23:00:00Z]"), with("1"));
    };
    check(&[]);
    // What is added follows.
    fs::write(
        &more,
        record("3", &format!("\"year\":\"1999\",\"code\":\"{code}\",\"day\":\"2020-01-31\"")),
    )
    .unwrap();
    ok(&["add", text(&index), text(&more)]);
    check(&["3"]);
    ok(&["merge", text(&index)]);
    check(&["3"]);

    let before = ok(&["inspect", text(&index), "--json"]);
    for (fields, want) in [
        (
            "\"year\":\"late\"",
            "line 2, document `5`: field `year` is \"late\", which does not fit its type, integer",
        ),
        ("\"day\":\"yesterday\"", "does not fit its type, date"),
        ("\"topic\":4", "field `topic` is a number here, 4, and a string in documents before"),
    ] {
        fs::write(&more, record("4", "\"year\":1") + &record("5", fields)).unwrap();
        let message = fails(&["add", text(&index), text(&more)], 4);
        assert!(message.contains(want) && message.contains("b.jsonl"), "{message}");
        assert!(ok(&["inspect", text(&index), "--json"]) == before, "a refused batch changed it");
    }
    fs::write(&more, record("6", "\"topic\":\"ice\"")).unwrap();
    let message = fails(&["add", text(&index), text(&more), "--field", "year:float"], 2);
    assert!(message.contains("year:float; in the index it is integer"), "{message}");
    ok(&["add", text(&index), text(&more), "--field", "year:integer", "--field", "price:float"]);
    for filter in ["year:1.5", "year:-0.5", "year:1e300", "year:9223372036854775808.5"] {
        let search = ["search", text(&index), "x", "--channel", "bm25", "--filter", filter];
        let message = fails(&search, 1);
        assert!(message.contains("`year` has whole numbers of 64 bits"), "{filter}: {message}");
    }
    let manifest: Value = serde_json::from_str(&ok(&["inspect", text(&index), "--json"])).unwrap();
    let fields = &manifest["manifest"]["fields"];
    assert_eq!(fields["year"]["given"], "integer");
    assert_eq!(fields["topic"]["seen"], "string");
    assert_eq!(fields["price"]["given"], "float");
}

#[test]
fn a_field_that_changes_its_kind_is_refused_unless_it_may() {
    let folder = tempfile::tempdir().unwrap();
    let (input, index) = (folder.path().join("a.jsonl"), folder.path().join("index"));
    fs::write(
        &input,
        record("1", "\"x\":[1,2.5],\"y\":null") + &record("2", "\"y\":true,\"x\":\"big\""),
    )
    .unwrap();
    let build = ["index", text(&input), "--out", text(&index), "--channel", "bm25", "--overwrite"];
    let message = fails(&build, 4);
    let wanted = [
        "a.jsonl",
        "line 2, document `2`",
        "`x` is a string here",
        "a number in",
        "--field x:TYPE",
    ];
    assert!(wanted.iter().all(|want| message.contains(want)), "{message}");
    let message = fails(&[&build[..], &["--field", "x:integer"]].concat(), 4);
    assert!(message.contains("line 1, document `1`: field `x` is 2.5"), "{message}");
    ok(&[&build[..], &["--field", "x:any"]].concat());
    ok(&[&build[..], &["--field", "x:keyword"]].concat());
    for (field, want) in
        [("x", "NAME:TYPE"), (":integer", "NAME:TYPE"), ("x:text", "keyword, integer, float")]
    {
        let message = fails(&[&build[..], &["--field", field]].concat(), 2);
        assert!(message.contains(want), "{message}");
    }
    let twice = ["--field", "x:any", "--field", "x:float"];
    assert!(fails(&[&build[..], &twice].concat(), 2).contains("two types"));
}
