//! Every error, by its status, code and parameter.

use serde_json::Value;

use crate::index::{ALL, Parts};
use crate::server::{SEARCH, Server, config};

fn post_errors(server: &Server, cases: &[(&str, u16, &str, Option<&str>)]) {
    for (body, status, code, param) in cases {
        let error = server.post(body).error(*status, code);
        assert_eq!(error["param"].as_str(), *param, "{body}\n{error}");
        let message = error["message"].as_str().unwrap();
        for rust in ["u32", "u64", "f32", "struct", "sequence", "variant", "map,", "enum"] {
            assert!(!message.contains(rust), "{body}\n{message}");
        }
    }
}

#[test]
fn bodies_that_are_refused() {
    let server = Server::start();
    let invalid = "invalid_value";
    post_errors(
        &server,
        &[
            ("", 400, "invalid_json", None),
            ("{", 400, "invalid_json", None),
            (r#"{"query":{"text":"dog"}} x"#, 400, "invalid_json", None),
            ("[]", 400, invalid, None),
            ("{}", 400, invalid, Some("query")),
            (r#"{"query":"dog"}"#, 400, invalid, Some("query")),
            (r#"{"query":{}}"#, 400, invalid, Some("query")),
            (r#"{"query":{"text":"a","sparse":{"tokens":{}}}}"#, 400, invalid, Some("query")),
            (r#"{"query":{"text":7}}"#, 400, invalid, Some("query.text")),
            (r#"{"query":{"text":"a"},"limit":1}"#, 400, "unknown_field", Some("limit")),
            (r#"{"query":{"txt":"a"}}"#, 400, "unknown_field", Some("query.txt")),
            (
                r#"{"query":{"sparse":{"values":[]}}}"#,
                400,
                "unknown_field",
                Some("query.sparse.values"),
            ),
            (r#"{"query":{"sparse":{}}}"#, 400, invalid, Some("query.sparse")),
            (r#"{"query":{"sparse":{"term_ids":[1]}}}"#, 400, invalid, Some("query.sparse")),
            (
                r#"{"query":{"sparse":{"term_ids":[1,2],"weights":[1]}}}"#,
                400,
                invalid,
                Some("query.sparse.weights"),
            ),
            (
                r#"{"query":{"sparse":{"term_ids":[1,-2],"weights":[1,1]}}}"#,
                400,
                invalid,
                Some("query.sparse.term_ids[1]"),
            ),
            (
                r#"{"query":{"sparse":{"term_ids":[1,2],"weights":[1,-0.5]}}}"#,
                400,
                invalid,
                Some("query.sparse.weights[1]"),
            ),
            (
                r#"{"query":{"sparse":{"tokens":{"dog":-1}}}}"#,
                400,
                invalid,
                Some("query.sparse.tokens.dog"),
            ),
            (
                r#"{"query":{"sparse":{"tokens":{"dog":1e39}}}}"#,
                400,
                invalid,
                Some("query.sparse.tokens.dog"),
            ),
            (
                r#"{"query":{"sparse":{"tokens":{"dog":null}}}}"#,
                400,
                invalid,
                Some("query.sparse.tokens.dog"),
            ),
            (r#"{"query":{"sparse":{"tokens":{"dog":NaN}}}}"#, 400, "invalid_json", None),
            (
                r#"{"query":{"sparse":{"term_ids":[0,0],"weights":[3e38,3e38]}}}"#,
                400,
                invalid,
                Some("query.sparse"),
            ),
            (r#"{"query":{"sparse":{"tokens":{"dog":3e38}}}}"#, 400, invalid, Some("query.sparse")),
            (r#"{"query":{"text":"a"},"k":0}"#, 400, invalid, Some("k")),
            (r#"{"query":{"text":"a"},"k":1001}"#, 400, invalid, Some("k")),
            (r#"{"query":{"text":"a"},"k":-1}"#, 400, invalid, Some("k")),
            (r#"{"query":{"text":"a"},"k":1.5}"#, 400, invalid, Some("k")),
            (r#"{"query":{"text":"a"},"timeout_ms":0}"#, 400, invalid, Some("timeout_ms")),
            (r#"{"query":{"text":"a"},"timeout_ms":60001}"#, 400, invalid, Some("timeout_ms")),
            (r#"{"query":{"text":"a"},"channels":[]}"#, 400, invalid, Some("channels")),
            (r#"{"query":{"text":"a"},"channels":["x"]}"#, 400, invalid, Some("channels[0]")),
            (
                r#"{"query":{"text":"a"},"channels":["bm25","bm25"]}"#,
                400,
                invalid,
                Some("channels"),
            ),
            (
                r#"{"query":{"text":"a"},"channels":["sparse","bm25"],"fusion":{"weights":{"bm25":-1}}}"#,
                400,
                invalid,
                Some("fusion.weights"),
            ),
            (
                r#"{"query":{"text":"a"},"channels":["sparse","bm25"],"fusion":{"weights":[1,2]}}"#,
                400,
                invalid,
                Some("fusion.weights"),
            ),
            (
                r#"{"query":{"text":"a"},"channels":["sparse","bm25"],"fusion":{"window":0}}"#,
                400,
                invalid,
                Some("fusion.window"),
            ),
            (r#"{"query":{"text":"a"},"feedback":[]}"#, 400, invalid, Some("feedback")),
            (
                r#"{"query":{"text":"a"},"feedback":{"sparse":[3]}}"#,
                400,
                invalid,
                Some("feedback.sparse"),
            ),
            (
                r#"{"query":{"text":"a"},"feedback":{"condition":"x"}}"#,
                400,
                invalid,
                Some("feedback.condition"),
            ),
            (
                r#"{"query":{"text":"a"},"feedback":{"condition":"both"}}"#,
                400,
                invalid,
                Some("feedback.condition"),
            ),
            (
                r#"{"query":{"text":"a"},"feedback":{"from":"x"}}"#,
                400,
                invalid,
                Some("feedback.from"),
            ),
            (
                r#"{"query":{"text":"a"},"feedback":{"from":"reranked"}}"#,
                400,
                invalid,
                Some("feedback.from"),
            ),
            (
                r#"{"query":{"text":"a"},"feedback":{"from":"own","condition":"both"}}"#,
                400,
                invalid,
                Some("feedback.from"),
            ),
            (
                r#"{"query":{"text":"a"},"feedback":{"depth":101}}"#,
                400,
                invalid,
                Some("feedback.depth"),
            ),
            (
                r#"{"query":{"text":"a"},"feedback":{"channels":["bm25"]}}"#,
                400,
                invalid,
                Some("feedback.channels"),
            ),
            (
                r#"{"query":{"text":"a"},"feedback":{"sparse":{"terms":0}}}"#,
                400,
                invalid,
                Some("feedback.sparse.terms"),
            ),
            (
                r#"{"query":{"text":"a"},"feedback":{"sparse":{"weight":1.5}}}"#,
                400,
                invalid,
                Some("feedback.sparse.weight"),
            ),
            (r#"{"query":{"text":"a"},"method":"x"}"#, 400, invalid, Some("method")),
            (r#"{"query":["a"]}"#, 400, invalid, Some("query")),
            (r#"{"query":{"text":"a"},"rerank":[]}"#, 400, invalid, Some("rerank")),
            (r#"{"query":{"text":"a"},"method":1.5}"#, 400, invalid, Some("method")),
            (
                r#"{"query":{"text":"a"},"k":5,"rerank":{"depth":2}}"#,
                400,
                invalid,
                Some("rerank.depth"),
            ),
            (r#"{"query":{"text":"a"},"query_cut":0}"#, 400, invalid, Some("query_cut")),
            (r#"{"query":{"text":"a"},"postings":0}"#, 400, invalid, Some("postings")),
            (r#"{"query":{"text":"a"},"candidates":0}"#, 400, invalid, Some("candidates")),
            (r#"{"query":{"text":"a"},"heap_factor":0}"#, 400, invalid, Some("heap_factor")),
            (r#"{"query":{"text":"a"},"heap_factor":1.1}"#, 400, invalid, Some("heap_factor")),
        ],
    );
}

#[test]
fn limits_of_size() {
    let server = Server::start();
    let long = |n: usize| format!(r#"{{"query":{{"text":"{}"}}}}"#, "x".repeat(n));
    server.post(&long(32 << 10)).ok();
    let error = server.post(&long((32 << 10) + 1)).error(400, "invalid_value");
    assert_eq!(error["param"], "query.text");

    let terms = |n: usize| {
        let list = |item: &str| vec![item; n].join(",");
        let (ids, weights) = (list("1"), list("0.5"));
        format!(r#"{{"query":{{"sparse":{{"term_ids":[{ids}],"weights":[{weights}]}}}}}}"#)
    };
    server.post(&terms(4096)).ok();
    let error = server.post(&terms(4097)).error(400, "invalid_value");
    assert_eq!(error["param"], "query.sparse.term_ids");

    let fields = vec!["\"f\""; 65].join(",");
    let body = format!(r#"{{"query":{{"text":"a"}},"fields":[{fields}]}}"#);
    assert_eq!(server.post(&body).error(400, "invalid_value")["param"], "fields");

    let spaces = |n: usize| {
        let body = r#"{"query":{"text":"dog"}}"#;
        body.to_owned() + &" ".repeat(n - body.len())
    };
    server.post(&spaces(1 << 20)).ok();
    server.post(&spaces((1 << 20) + 1)).error(413, "body_too_large");
    server.post(&spaces(6 << 20)).error(413, "body_too_large");
}

#[test]
fn what_this_index_cannot_do() {
    let no = "not_supported";
    let server = Server::start();
    post_errors(
        &server,
        &[
            (r#"{"query":{"text":"a"},"method":"seismic"}"#, 422, no, Some("method")),
            (
                r#"{"query":{"sparse":{"tokens":{}}},"channels":["bm25"]}"#,
                422,
                no,
                Some("query.sparse"),
            ),
            (
                r#"{"query":{"text":"a"},"channels":["bm25"],"explain":true}"#,
                422,
                no,
                Some("explain"),
            ),
            (
                r#"{"query":{"text":"a"},"channels":["bm25"],"method":"seismic"}"#,
                422,
                no,
                Some("method"),
            ),
            (
                r#"{"query":{"text":"a"},"channels":["bm25"],"query_cut":3}"#,
                422,
                no,
                Some("query_cut"),
            ),
            (r#"{"query":{"text":"a"},"method":"exact","postings":3}"#, 422, no, Some("postings")),
            (r#"{"query":{"text":"a"},"method":"scan","overlap":0.9}"#, 422, no, Some("overlap")),
            (
                r#"{"query":{"text":"a"},"method":"impact","heap_factor":0.5}"#,
                422,
                no,
                Some("heap_factor"),
            ),
            (
                r#"{"query":{"text":"a"},"method":"seismic","candidates":3}"#,
                422,
                no,
                Some("candidates"),
            ),
            (r#"{"query":{"text":"a"},"fusion":{}}"#, 422, no, Some("fusion")),
            (
                r#"{"query":{"text":"a"},"channels":["sparse","bm25"],"fusion":{"k":3}}"#,
                422,
                no,
                Some("fusion.k"),
            ),
            (r#"{"query":{"text":"a"},"feedback":{"bm25":{}}}"#, 422, no, Some("feedback.bm25")),
            (r#"{"query":{"text":"a"},"rerank":{}}"#, 422, no, Some("rerank")),
            (r#"{"query":{"dense":[1,2]}}"#, 422, no, Some("query.dense")),
            (r#"{"query":{"dense":[1,2]},"channels":["dense"]}"#, 422, no, Some("channels")),
            (r#"{"query":{"text":"a"},"channels":["sparse","dense"]}"#, 422, no, Some("channels")),
            (
                r#"{"query":{"dense":[1]},"channels":["dense"],"query_cut":3}"#,
                422,
                no,
                Some("query_cut"),
            ),
        ],
    );
    let vectors = Server::with(config(), Parts { sparse: true, text: false }, false);
    post_errors(
        &vectors,
        &[
            (r#"{"query":{"text":"a"}}"#, 422, no, Some("query.text")),
            (r#"{"query":{"text":"a"},"channels":["bm25"]}"#, 422, no, Some("channels")),
        ],
    );
    let words = Server::with(config(), Parts { sparse: false, text: true }, true);
    post_errors(
        &words,
        &[
            (r#"{"query":{"text":"a"}}"#, 422, no, Some("channels")),
            (r#"{"query":{"sparse":{"tokens":{"dog":1}}}}"#, 422, no, Some("channels")),
        ],
    );
}

#[test]
fn urls_that_are_refused() {
    let server = Server::start();
    for (url, status, code, param) in [
        ("", 400, "invalid_value", "q"),
        ("k=3", 400, "invalid_value", "q"),
        ("q=a&limit=3", 400, "unknown_field", "limit"),
        ("q=a&q=b", 400, "invalid_value", "q"),
        ("q=a&channel=sparse&channels=bm25", 400, "invalid_value", "channels"),
        ("q=a&channels=x", 400, "invalid_value", "channels"),
        ("q=a&channels=", 400, "invalid_value", "channels"),
        ("q=a&channels=sparse,sparse", 400, "invalid_value", "channels"),
        ("q=a&channels=sparse,bm25&fusion=sum", 400, "invalid_value", "fusion"),
        ("q=a&fusion=rrf", 422, "not_supported", "fusion"),
        ("q=a&k=ten", 400, "invalid_value", "k"),
        ("q=a&k=0", 400, "invalid_value", "k"),
        ("q=a&explain=1", 400, "invalid_value", "explain"),
        ("q=a&method=x", 400, "invalid_value", "method"),
        ("q=a&heap_factor=NaN", 400, "invalid_value", "heap_factor"),
        ("q=a&timeout_ms=60001", 400, "invalid_value", "timeout_ms"),
        ("q=a&filter=x", 400, "invalid_value", "filter"),
        ("q=a&filter=nowhere:x", 400, "invalid_value", "filter"),
        ("q=a&fusion=x", 400, "invalid_value", "fusion"),
        ("q=a&feedback=x", 400, "invalid_value", "feedback"),
        ("q=a&feedback=both", 400, "invalid_value", "feedback.condition"),
        ("q=a&channels=sparse,bm25&feedback=before", 400, "invalid_value", "feedback.channels"),
    ] {
        let error = server.get(&format!("{SEARCH}?{url}")).error(status, code);
        assert_eq!(error["param"], param, "{url}");
    }
    let error = server.get(&format!("{SEARCH}?q=a&k=ten")).error(400, "invalid_value");
    assert_eq!(error["message"], "expected a whole number from 0 to 4294967295, found `ten`");
    let json = [("Content-Type", "application/json")];
    let body = r#"{"query":{"text":"dog"}}"#;
    let reply = server.send("POST", &format!("{SEARCH}?k=3"), &json, body);
    assert_eq!(reply.error(400, "unknown_field")["param"], "k");
    server.get("/v1/collections/c/documents/%FF").error(400, "invalid_value");
}

#[test]
fn what_is_not_there() {
    let server = Server::start();
    server.get("/").error(404, "route_not_found");
    server.get("/v1/collections/c/document").error(404, "route_not_found");
    server.send("PUT", "/v1/collections/c/documents", &[], "").error(405, "method_not_allowed");
    server.get("/v1/collections/other").error(404, "collection_not_found");
    server.get("/v1/collections/other/search?q=dog").error(404, "collection_not_found");
    server.get("/v1/collections/other/documents/d1").error(404, "collection_not_found");
    let error = server.get("/v1/collections/c/documents/d9").error(404, "document_not_found");
    assert_eq!(error["param"], "id");
}

#[test]
fn methods_and_types() {
    let server = Server::start();
    for (method, path, allowed) in
        [("DELETE", SEARCH, "POST"), ("POST", "/v1/collections", "GET"), ("PUT", "/livez", "GET")]
    {
        let reply = server.send(method, path, &[], "");
        reply.error(405, "method_not_allowed");
        assert!(reply.header("allow").unwrap().contains(allowed), "{path}");
    }
    let body = r#"{"query":{"text":"dog"}}"#;
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx"] {
        let reply = server.send("POST", SEARCH, &[("Content-Type", kind)], body);
        reply.error(415, "unsupported_media_type");
    }
    server.send("POST", SEARCH, &[], body).error(415, "unsupported_media_type");
    let kind = "Application/JSON; charset=utf-8";
    server.send("POST", SEARCH, &[("Content-Type", kind)], body).ok();
}

#[test]
fn internal_faults_are_not_shown_and_do_no_harm() {
    let server = Server::narrow(1, 0);
    for _ in 0..3 {
        for text in ["fail", "panic"] {
            let reply =
                server.post(&format!(r#"{{"query":{{"text":"{text}"}},"timeout_ms":60000}}"#));
            reply.error(500, "internal");
            assert!(!reply.text().contains("secret"));
        }
    }
    server.post(r#"{"query":{"text":"dog"}}"#).ok();
}

#[test]
fn every_route_but_health_needs_a_key() {
    let mut config = config();
    config.key = Some(quarry_server::Key::new("s3cret"));
    let server = Server::with(config, ALL, true);
    assert_eq!(server.get("/livez").status, 200);
    assert_eq!(server.get("/readyz").status, 200);
    let routes = [
        "/metrics",
        "/openapi.json",
        "/v1/collections",
        "/v1/collections/c",
        "/v1/collections/c/documents/d1",
        "/v1/collections/c/search?q=dog",
        "/none",
        "/livez/",
    ];
    for path in routes {
        let reply = server.get(path);
        reply.error(401, "unauthorized");
        assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
    }
    let path = "/v1/collections";
    for header in [
        ("Authorization", "Bearer s3cret2"),
        ("Authorization", "Bearer s3cre"),
        ("Authorization", "Bearer "),
        ("Authorization", "Basic s3cret"),
        ("Authorization", "s3cret"),
        ("X-API-Key", "S3cret"),
        ("X-API-Key", ""),
    ] {
        server.send("GET", path, &[header], "").error(401, "unauthorized");
    }
    for header in [
        ("Authorization", "Bearer s3cret"),
        ("authorization", "bearer s3cret"),
        ("X-API-Key", "s3cret"),
    ] {
        assert_ne!(server.send("GET", path, &[header], "").ok(), Value::Null);
    }
    let reply = server.send("POST", SEARCH, &[("Content-Type", "application/json")], "{}");
    reply.error(401, "unauthorized");
}
