//! Successful requests and their answers.

use quarry_server::api::SearchRequest;
use serde_json::{Value, json};

use crate::index::{ALL, Parts, build, engine};
use crate::server::{SEARCH, Server, config};

fn ids(answer: &Value) -> Vec<&str> {
    answer["hits"].as_array().unwrap().iter().map(|h| h["id"].as_str().unwrap()).collect()
}

/// The answer without its timings.
fn timeless(mut answer: Value) -> Value {
    answer.as_object_mut().unwrap().remove("timings_us").unwrap();
    answer
}

#[test]
fn health_and_collections() {
    let server = Server::start();
    assert_eq!(server.get("/livez").ok(), json!({"status": "live"}));
    assert_eq!(server.get("/readyz").ok(), json!({"status": "ready"}));
    let all = server.get("/v1/collections").ok();
    let one = server.get("/v1/collections/c").ok();
    let mut plain = one.clone();
    plain.as_object_mut().unwrap().remove("fields");
    assert_eq!(all, json!({"collections": [plain]}));
    assert_eq!(one["name"], "c");
    assert_eq!(one["documents"], 4);
    assert_eq!(one["index"]["generation"], 1);
    assert_eq!(one["encoders"], json!({"sparse": {"name": "fake"}}));
    assert_eq!(
        one["capabilities"],
        json!({
            "channels": ["sparse", "bm25"], "text_queries": ["sparse", "bm25"],
            "methods": ["auto", "exact", "scan"], "explain": ["sparse"], "rerank": false, "stored_fields": true,
            "limits": {"k": 1000, "query_bytes": 32768, "query_terms": 4096, "fields": 64,
                "body_bytes": 1_048_576, "answer_bytes": 33_554_432, "default_timeout_ms": 1000, "max_timeout_ms": 60000}
        })
    );
    let bare = Server::with(config(), Parts { sparse: false, text: true }, false);
    let capabilities = bare.get("/v1/collections/c").ok()["capabilities"].clone();
    assert_eq!(capabilities["channels"], json!(["bm25"]));
    assert_eq!(capabilities["methods"], json!([]));
}

#[test]
fn a_search_answers_all_documented_fields() {
    let server = Server::start();
    let answer = server.post(r#"{"query":{"text":"dog sleep"},"fields":["title","lang"]}"#).ok();
    let keys: Vec<&String> = answer.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["index", "method", "partial", "timings_us", "warnings", "hits"]);
    assert_eq!(answer["index"], server.get("/v1/collections/c").ok()["index"]);
    assert_eq!(answer["method"], "exact");
    assert_eq!(answer["partial"], false);
    assert_eq!(answer["warnings"], json!([]));
    assert!(answer["timings_us"]["encode"].is_u64() && answer["timings_us"]["search"].is_u64());
    assert_eq!(
        answer["hits"][0],
        json!({"rank": 1, "id": "d1", "score": 3.75, "scores": {"sparse": 3.75},
            "fields": {"title": "Dogs", "lang": "en"}})
    );
    assert_eq!(ids(&answer), ["d1", "d2", "a/b c"]);
    let cut = server.post(r#"{"query":{"text":"dog sleep"},"k":1}"#).ok();
    assert_eq!(ids(&cut), ["d1"]);
    assert_eq!(cut["hits"][0]["fields"], json!({}));
}

#[test]
fn vectors_by_token_and_by_number_are_equal() {
    let server = Server::start();
    let text = server.post(r#"{"query":{"text":"dog sleep"}}"#).ok();
    let tokens = r#"{"query":{"sparse":{"tokens":{"dog":1,"sleep":1.0}}}}"#;
    let numbers = r#"{"query":{"sparse":{"term_ids":[2,0,0],"weights":[1,0.5,0.5]}}}"#;
    for body in [tokens, numbers] {
        let answer = server.post(body).ok();
        assert_eq!(answer["timings_us"]["encode"], 0);
        assert_eq!(timeless(answer), timeless(text.clone()));
    }
}

#[test]
fn explanations_sum_to_the_score() {
    let server = Server::start();
    let body = r#"{"query":{"sparse":{"tokens":{"dog":1.5,"run":0.25,"bird":0.7,"cat":3}}},
        "explain":true}"#;
    let answer = server.post(body).ok();
    assert_eq!(answer["hits"].as_array().unwrap().len(), 3);
    for hit in answer["hits"].as_array().unwrap() {
        let matched = hit["matched"].as_array().unwrap();
        assert!(!matched.is_empty());
        let parts: Vec<f64> = matched.iter().map(|m| m["contribution"].as_f64().unwrap()).collect();
        assert!(parts.is_sorted_by(|a, b| a >= b));
        let (sum, score) = (parts.iter().sum::<f64>(), hit["score"].as_f64().unwrap());
        assert!((sum - score).abs() <= 1e-6 * score, "{sum} {score}");
        for m in matched {
            let product =
                m["query_weight"].as_f64().unwrap() * m["document_weight"].as_f64().unwrap();
            assert!((product - m["contribution"].as_f64().unwrap()).abs() < 1e-5);
        }
    }
}

#[test]
fn words_are_searched_by_bm25() {
    let server = Server::start();
    let answer = server
        .post(r#"{"query":{"text":"sleeping dogs"},"channels":["bm25"],"fields":["text"]}"#)
        .ok();
    assert_eq!(ids(&answer)[0], "d1");
    let hit = &answer["hits"][0];
    assert_eq!(hit["scores"], json!({"bm25": hit["score"]}));
    assert_eq!(hit["fields"], json!({"text": "Dogs sleep."}));
    assert_eq!(answer["timings_us"]["encode"], 0);
}

#[test]
fn channels_are_fused() {
    let server = Server::start();
    let both = r#""channels":["bm25","sparse"]"#;
    let answer = server.post(&format!(r#"{{"query":{{"text":"dog sleep"}},{both}}}"#)).ok();
    let hit = &answer["hits"][0];
    let (sparse, bm25) = (&hit["scores"]["sparse"], &hit["scores"]["bm25"]);
    assert!(sparse.is_number() && bm25.is_number(), "{answer}");
    assert!(hit["ranks"]["sparse"].is_u64() && hit["ranks"]["bm25"].is_u64(), "{answer}");
    assert!(answer["timings_us"]["fuse"].is_u64());
    // Hits of a single channel have no ranks; a channel with weight 0 has no effect.
    let alone = server.post(r#"{"query":{"text":"dog sleep"}}"#).ok();
    assert_eq!(alone["hits"][0].get("ranks"), None);
    let without = server
        .post(&format!(
            r#"{{"query":{{"text":"dog sleep"}},{both},"fusion":{{"weights":{{"bm25":0}}}}}}"#
        ))
        .ok();
    assert_eq!(ids(&without), ids(&alone));
    // Words and a vector, each for its channel: reciprocal ranks of the first hit on both.
    let rrf = server
        .post(&format!(
            r#"{{"query":{{"text":"dogs","sparse":{{"tokens":{{"dog":1}}}}}},{both},
            "fusion":{{"method":"rrf","k":0,"weights":{{"sparse":2,"bm25":1}},"window":10}}}}"#
        ))
        .ok();
    assert_eq!(rrf["hits"][0]["score"], 3.0, "{rrf}");
}

#[test]
fn documents_feed_back() {
    let server = Server::start();
    let ask = |feedback: &str| {
        let query = r#""query":{"text":"dog"},"explain":true"#;
        server.post(&format!(r#"{{{query},"feedback":{feedback}}}"#)).ok()
    };
    let plain = server.post(r#"{"query":{"text":"dog"},"explain":true}"#).ok();
    assert_eq!(plain["timings_us"]["second_search"], 0);
    assert_eq!(timeless(ask(r#"{"depth":0}"#)), timeless(plain));
    let fed = ask("{}");
    let expanded = &fed["expanded"][0];
    assert_eq!(expanded["channel"], "sparse");
    assert_eq!(expanded["documents"], json!(["d1", "a/b c"]));
    let terms = expanded["terms"].as_array().unwrap();
    assert_eq!((&terms[0]["token"], &terms[0]["added"]), (&json!("dog"), &json!(false)));
    assert!(terms.iter().any(|term| term["token"] == "sleep" && term["added"] == true), "{fed}");
    let sum: f64 = terms.iter().map(|term| term["weight"].as_f64().unwrap()).sum();
    assert!((sum - 1.0).abs() < 1e-6, "{fed}");
    // A term of the first document brings another one.
    assert_eq!(ids(&fed).len(), 3);
    let without = ask(r#"{"exclude":["d1"],"sparse":{"terms":2,"weight":0.5}}"#);
    assert_eq!(without["expanded"][0]["documents"], json!(["a/b c"]));
    assert_eq!(without["expanded"][0]["terms"].as_array().unwrap().len(), 3);
    let words = r#"{"query":{"text":"dogs"},"channels":["bm25"],"explain":true,"feedback":{}}"#;
    let words = server.post(words).ok();
    assert_eq!(words["expanded"][0]["channel"], "bm25");
    let both = server
        .post(
            r#"{"query":{"text":"dog"},"channels":["sparse","bm25"],
            "feedback":{"condition":"before","channels":["bm25"]}}"#,
        )
        .ok();
    assert!(both.get("expanded").is_none() && both["hits"][0]["scores"].get("sparse").is_none());
    // The condition that a ranking means.
    let two = |feedback: &str| {
        let body = format!(
            r#"{{"query":{{"text":"dog"}},"channels":["sparse","bm25"],"explain":true,"feedback":{feedback}}}"#
        );
        server.post(&body).ok()["expanded"].clone()
    };
    assert_eq!(two(r#"{"from":"fused"}"#), two(r#"{"condition":"both"}"#));
    assert_eq!(two(r#"{"from":"own"}"#), two(r#"{"condition":"after"}"#));
}

#[test]
fn get_equals_post() {
    let server = Server::start();
    let pairs = [
        ("q=dog%20sleep", r#"{"query":{"text":"dog sleep"}}"#),
        (
            "q=dog+sleep&k=2&channels=sparse&method=exact&fields=title,lang&explain=true&timeout_ms=5000",
            r#"{"query":{"text":"dog sleep"},"k":2,"channels":["sparse"],"method":"exact",
            "fields":["title","lang"],"explain":true,"timeout_ms":5000}"#,
        ),
        (
            "q=sleeping&channel=bm25&fields=text",
            r#"{"query":{"text":"sleeping"},"channels":["bm25"],"fields":["text"]}"#,
        ),
        (
            "q=dog&query_cut=3&heap_factor=0.5&postings=9&candidates=2",
            r#"{"query":{"text":"dog"},"query_cut":3,"heap_factor":0.5,"postings":9,"candidates":2}"#,
        ),
        ("q=", r#"{"query":{"text":""}}"#),
        ("q=dog&feedback=after", r#"{"query":{"text":"dog"},"feedback":{"condition":"after"}}"#),
        (
            "q=dog&channels=sparse,bm25&fusion=minmax",
            r#"{"query":{"text":"dog"},"channels":["sparse","bm25"],"fusion":{"method":"minmax"}}"#,
        ),
    ];
    for (url, body) in pairs {
        let got = timeless(server.get(&format!("{SEARCH}?{url}")).ok());
        assert_eq!(got, timeless(server.post(body).ok()), "{url}");
    }
}

#[test]
fn the_engine_alone_answers_the_same() {
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(build(folder.path(), ALL), Some(server.encoder.clone()));
    let mut request = SearchRequest::text("dog bird");
    request.explain = true;
    request.fields = vec!["title".into()];
    let mut alone = serde_json::to_value(engine.search(&request, None).unwrap()).unwrap();
    let body = serde_json::to_string(&request).unwrap();
    let mut served = server.post(&body).ok();
    // Two builds of one index differ in their ids.
    alone["index"] = Value::Null;
    served["index"] = Value::Null;
    // Through text, so that the floats of both were printed.
    let alone: Value = serde_json::from_str(&alone.to_string()).unwrap();
    assert_eq!(timeless(alone)["hits"].as_array().unwrap().len(), 2);
    let again = engine.search(&request, None).unwrap();
    let text = serde_json::to_string(&again.hits).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), served["hits"]);
}

#[test]
fn unknown_names_give_warnings() {
    let server = Server::start();
    let body = r#"{"query":{"sparse":{"tokens":{"dog":1,"wolf":2,"fox":1}}}}"#;
    let answer = server.post(body).ok();
    assert_eq!(ids(&answer), ["d1", "a/b c"]);
    let warning = &answer["warnings"][0];
    assert_eq!(warning["code"], "unknown_tokens");
    assert_eq!(warning["count"], 2);
    assert_eq!(warning["names"], json!(["wolf", "fox"]));
    assert!(warning["message"].as_str().unwrap().contains("wolf, fox"));

    let many: Vec<String> = (0..30).map(|i| format!("\"w{i}\":1")).collect();
    let body = format!(r#"{{"query":{{"sparse":{{"tokens":{{{}}}}}}}}}"#, many.join(","));
    let answer = server.post(&body).ok();
    assert_eq!(answer["warnings"][0]["count"], 30);
    assert_eq!(answer["warnings"][0]["names"].as_array().unwrap().len(), 20);
    assert_eq!(answer["warnings"][1]["code"], "empty_query");

    for body in [
        r#"{"query":{"text":"wolf"}}"#,
        r#"{"query":{"text":""}}"#,
        r#"{"query":{"text":"alien"}}"#,
        r#"{"query":{"text":"wolf"},"channels":["bm25"]}"#,
        r#"{"query":{"text":"the"},"channels":["bm25"]}"#,
        r#"{"query":{"sparse":{"tokens":{}}}}"#,
        r#"{"query":{"sparse":{"tokens":{"dog":0}}}}"#,
        r#"{"query":{"sparse":{"term_ids":[4000000000],"weights":[1]}}}"#,
    ] {
        let answer = server.post(body).ok();
        assert_eq!(answer["hits"], json!([]), "{body}");
        let warnings = answer["warnings"].as_array().unwrap();
        assert_eq!(warnings.last().unwrap()["code"], "empty_query", "{body}");
    }
    let answer = server.post(r#"{"query":{"text":"Wolves dogs"},"channels":["bm25"]}"#).ok();
    assert_eq!(answer["warnings"][0]["names"], json!(["Wolves"]));
    let answer = server.post(r#"{"query":{"text":"dog"},"fields":["text","titel"]}"#).ok();
    assert_eq!(answer["warnings"][0]["code"], "unknown_fields");
    assert_eq!(answer["warnings"][0]["names"], json!(["titel"]));
}

#[test]
fn an_index_of_vectors_alone() {
    let server = Server::with(config(), Parts { sparse: true, text: false }, true);
    let answer = server.post(r#"{"query":{"text":"dog"},"fields":["title"]}"#).ok();
    assert_eq!(ids(&answer), ["d1", "a/b c"]);
    assert_eq!(answer["warnings"][0]["code"], "unknown_fields");
    server.get("/v1/collections/c/documents/d1").error(422, "not_supported");
}

#[test]
fn documents_by_id() {
    let server = Server::start();
    let answer = server.get("/v1/collections/c/documents/d1").ok();
    assert_eq!(answer["index"]["generation"], 1);
    assert_eq!(answer["id"], "d1");
    assert_eq!(answer["fields"], json!({"title": "Dogs", "text": "Dogs sleep.", "lang": "en"}));
    let answer = server.get("/v1/collections/c/documents/a%2Fb%20c").ok();
    assert_eq!(answer["id"], "a/b c");
    let answer = server.get("/v1/collections/c/documents/d4").ok();
    assert_eq!(answer["fields"], json!({"text": "Nothing."}));
}

#[test]
fn request_ids_are_kept_or_made() {
    let server = Server::start();
    let with = |id: &str| server.send("GET", "/livez", &[("X-Request-Id", id)], "");
    assert_eq!(with("abc-1.2:3_X").header("x-request-id"), Some("abc-1.2:3_X"));
    for odd in ["", "a b", "a\"b", &"x".repeat(129)] {
        let reply = with(odd);
        let made = reply.header("x-request-id").unwrap();
        assert!(uuid::Uuid::parse_str(made).is_ok(), "{made}");
    }
    let reply = server.send("GET", "/none", &[("X-Request-Id", "mine")], "");
    assert_eq!(reply.error(404, "route_not_found")["param"], Value::Null);
    assert_eq!(reply.json()["request_id"], "mine");
}

#[test]
fn head_is_get_without_a_body() {
    let server = Server::start();
    let reply = server.send("HEAD", "/livez", &[], "");
    assert_eq!((reply.status, reply.text()), (200, String::new()));
}

#[test]
fn figures_for_prometheus() {
    let server = Server::start();
    server.post(r#"{"query":{"text":"dog"}}"#).ok();
    server.get(&format!("{SEARCH}?k=0")).error(400, "invalid_value");
    let reply = server.get("/metrics");
    assert!(reply.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
    let text = reply.text();
    let route = r#"route="/v1/collections/{collection}/search""#;
    for line in [
        &format!(r#"quarry_http_requests_total{{{route},method="POST",status="200"}} 1"#),
        &format!(r#"quarry_http_requests_total{{{route},method="GET",status="400"}} 1"#),
        r#"quarry_search_stage_seconds_count{stage="search"} 1"#,
        r#"quarry_search_stage_seconds_count{stage="encode"} 1"#,
        r#"quarry_search_stage_seconds_bucket{stage="queue",le="+Inf"} 1"#,
        "quarry_searches_rejected_total 0",
        "quarry_searches_in_flight 0",
        "quarry_searches_queued 0",
        r#"quarry_documents{collection="c"} 4"#,
        r#"quarry_index_generation{collection="c"} 1"#,
        r#"quarry_generation_refused{collection="c"} 0"#,
    ] {
        assert!(text.lines().any(|l| l == line), "{line}\n{text}");
    }
}

#[test]
fn the_description_names_every_route_and_error() {
    let server = Server::start();
    let api = server.get("/openapi.json").ok();
    let methods = |path: &str| {
        api["paths"][path]
            .as_object()
            .unwrap_or_else(|| panic!("{path}"))
            .keys()
            .cloned()
            .collect::<Vec<_>>()
    };
    for path in ["/livez", "/readyz", "/metrics", "/openapi.json", "/v1/collections", "/v1/slow"] {
        assert_eq!(methods(path), ["get"]);
    }
    let documents = "/v1/collections/{collection}/documents";
    assert_eq!(methods("/v1/collections/{collection}"), ["get", "put", "post", "delete"]);
    assert_eq!(methods(documents), ["get", "post"]);
    assert_eq!(methods(&format!("{documents}/{{id}}")), ["get", "put", "delete", "patch"]);
    assert_eq!(methods(&format!("{documents}/patch")), ["post"]);
    assert_eq!(methods(&format!("{documents}/delete")), ["post"]);
    assert_eq!(methods(&format!("{documents}/get")), ["post"]);
    assert_eq!(methods("/v1/aliases"), ["get", "post"]);
    let body = &api["paths"][documents]["post"]["requestBody"]["content"];
    assert!(body["application/json"].is_object() && body["application/x-ndjson"].is_object());
    let search = "/v1/collections/{collection}/search";
    assert_eq!(methods(search), ["get", "post"]);
    for status in [400, 401, 403, 404, 405, 408, 413, 415, 422, 429, 500, 503, 504] {
        let error = &api["paths"][search]["post"]["responses"][status.to_string()];
        let schema = &error["content"]["application/json"]["schema"]["$ref"];
        assert_eq!(schema, "#/components/schemas/ErrorBody", "{status}");
    }
    // Every reference resolves.
    let text = api.to_string();
    let schemas = api["components"]["schemas"].as_object().unwrap();
    for reference in text.split("#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(schemas.contains_key(name), "{name}");
    }
    assert!(schemas["ErrorCode"]["oneOf"].is_array() || schemas["ErrorCode"]["enum"].is_array());
    for name in ["SearchRequest", "QueryInput", "SparseInput", "CollectionInput", "DeleteRequest"] {
        assert_eq!(schemas[name]["additionalProperties"], false, "{name}");
    }
}

/// README lists every code, with its status.
#[test]
fn every_code_is_documented() {
    let api = Server::start().get("/openapi.json").ok();
    let readme = include_str!("../../README.md");
    let schema = &api["components"]["schemas"]["ErrorCode"];
    let text = schema.to_string();
    let codes = schema["enum"].as_array().cloned().unwrap_or_else(|| {
        let all = schema["oneOf"].as_array().unwrap().iter();
        all.map(|one| one["enum"][0].clone()).collect()
    });
    assert!(codes.len() > 25, "{text}");
    for code in codes {
        let code = code.as_str().unwrap();
        assert!(readme.contains(&format!("`{code}`")), "server/README.md lacks `{code}`");
    }
}

#[test]
fn dense_vectors_are_a_channel() {
    let server = Server::dense();
    let capabilities = server.get("/v1/collections/c").ok()["capabilities"].clone();
    assert_eq!(capabilities["channels"], json!(["sparse", "bm25", "dense"]));
    assert_eq!(capabilities["text_queries"], json!(["sparse", "bm25"]));
    let answer = server.post(r#"{"query":{"dense":[1,0.5]},"channels":["dense"]}"#).ok();
    // The second and the fourth are equal but for their ids.
    assert_eq!(ids(&answer), ["d1", "d4", "d2"]);
    assert_eq!(answer["hits"][1]["scores"], json!({"dense": 0.625}));
    assert_eq!((&answer["method"], &answer["warnings"]), (&json!("scan"), &json!([])));
    let filtered = r#"{"query":{"dense":[1,0.5]},"channels":["dense"],"filter":"lang:de"}"#;
    assert_eq!(ids(&server.post(filtered).ok()), ["d2"]);
    let both = r#"{"query":{"text":"dog","dense":[0,1]},"channels":["sparse","dense"],
        "fusion":{"weights":{"dense":2}}}"#;
    let fused = server.post(both).ok();
    assert_eq!(ids(&fused)[0], "d2");
    assert_eq!(fused["hits"][0]["ranks"], json!({"dense": 1}));
    let first = fused["hits"].as_array().unwrap().iter().find(|hit| hit["id"] == "d1").unwrap();
    assert_eq!(first["ranks"], json!({"sparse": 1, "dense": 3}));
    assert!(first["scores"]["rerank"].is_null() && first["scores"]["dense"] == 0.0);
}

#[test]
fn dense_queries_that_are_refused() {
    let server = Server::dense();
    for (body, status, code, param) in [
        (r#"{"query":{"dense":[1]},"channels":["dense"]}"#, 400, "invalid_value", "query.dense"),
        (r#"{"query":{"dense":[]},"channels":["dense"]}"#, 400, "invalid_value", "query.dense"),
        (r#"{"query":{"dense":[0,0]},"channels":["dense"]}"#, 400, "invalid_value", "query.dense"),
        (
            r#"{"query":{"dense":[1,1e300]},"channels":["dense"]}"#,
            400,
            "invalid_value",
            "query.dense[1]",
        ),
        (
            r#"{"query":{"dense":[1,1e9]},"channels":["dense"]}"#,
            400,
            "invalid_value",
            "query.dense[1]",
        ),
        (r#"{"query":{"text":"a"},"channels":["dense"]}"#, 422, "not_supported", "query.text"),
        (r#"{"query":{"dense":[1,2]}}"#, 422, "not_supported", "query.dense"),
        (
            r#"{"query":{"text":"a","dense":[1,2]},"channels":["dense"]}"#,
            400,
            "invalid_value",
            "query",
        ),
        (
            r#"{"query":{"dense":[1,2]},"channels":["sparse","dense"]}"#,
            400,
            "invalid_value",
            "query.sparse",
        ),
        (
            r#"{"query":{"dense":[1,2]},"channels":["bm25","dense"]}"#,
            400,
            "invalid_value",
            "query.text",
        ),
        (
            r#"{"query":{"dense":[1,2]},"channels":["dense"],"method":"impact"}"#,
            422,
            "not_supported",
            "method",
        ),
    ] {
        assert_eq!(server.post(body).error(status, code)["param"], param, "{body}");
    }
    let error = server.post(r#"{"query":{"text":"a"},"channels":["dense"]}"#);
    let error = error.error(422, "not_supported");
    assert!(error["message"].as_str().unwrap().contains("imported from docs.npy"), "{error}");
    let plain = Server::start();
    let error = plain.post(r#"{"query":{"dense":[1,2]},"channels":["dense"]}"#);
    let hint = error.error(422, "not_supported")["hint"].clone();
    assert!(hint.as_str().unwrap().contains("quarry dense add"), "{hint}");
}
