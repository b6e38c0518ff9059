//! The description of the interface, compared with what the server does.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::server::{SEARCH, Server};

const SEARCHES: &str = "/v1/collections/{collection}/search";
const DOCUMENTS: &str = "/v1/collections/{collection}/documents/";
const DOCUMENT: &str = "/v1/collections/{collection}/documents/{id}";

/// Described on its own, and served by the route of documents: a document may have this id.
fn is_action(path: &str) -> bool {
    path.strip_prefix(DOCUMENTS).is_some_and(|action| !action.contains(['{', '/']))
}

fn description(server: &Server) -> Value {
    server.get("/openapi.json").ok()
}

/// What the router's source says, so that a route without a description is found.
#[test]
fn every_route_is_described_and_no_other() {
    let server = Server::start();
    let api = description(&server);
    let source = include_str!("../../src/http/router.rs");
    let routes = source.split("/// The routes that are answered").next().unwrap();
    let routed = routes.split(".route(").skip(1).map(|rest| {
        let path = rest.trim_start().split([',', ')']).next().unwrap();
        if path == "OPENAPI_PATH" { "/openapi.json" } else { path.trim_matches('"') }
    });
    let routed: BTreeSet<&str> = routed.collect();
    let described = api["paths"].as_object().unwrap().keys().map(String::as_str);
    let described: BTreeSet<&str> = described.filter(|path| !is_action(path)).collect();
    assert_eq!(routed, described);
}

/// A method that is described is served, and one that is not is refused as such.
#[test]
fn methods_are_those_described() {
    let server = Server::start();
    let api = description(&server);
    for (path, methods) in api["paths"].as_object().unwrap() {
        let url = path.replace("{collection}", "c").replace("{id}", "d1");
        for method in ["GET", "PUT", "POST", "DELETE", "PATCH"] {
            let described = methods.get(method.to_ascii_lowercase()).is_some();
            let shared = is_action(path) || (path == DOCUMENT && method == "POST");
            let reply = server.send(method, &url, &[], "");
            // A server of one index has the routes that write, and refuses them in other words.
            let absent = reply.status == 405
                && reply.json()["error"]["message"] == "the route does not have this method";
            let unknown = reply.status == 404 && reply.text().contains("route_not_found");
            assert!(!unknown, "{method} {path} has no route");
            assert!(absent != described || shared, "{method} {path}: {}", reply.status);
        }
    }
}

/// Each parameter of a URL that is described is taken, with its default and its bounds.
#[test]
fn parameters_are_those_of_a_body() {
    let server = Server::start();
    let api = description(&server);
    let parameters = api["paths"][SEARCHES]["get"]["parameters"].as_array().unwrap();
    let body = api["components"]["schemas"]["SearchRequest"]["properties"].as_object().unwrap();
    let name = |parameter: &Value| parameter["name"].as_str().unwrap().to_owned();
    let mut described: BTreeSet<String> = parameters.iter().map(name).collect();
    assert!(described.remove("q") && described.remove("collection"));
    let in_body: BTreeSet<String> = body.keys().filter(|name| *name != "query").cloned().collect();
    assert_eq!(described, in_body);
    for parameter in parameters.iter().filter(|p| p["in"] == "query" && p["name"] != "q") {
        let (name, schema) = (name(parameter), &parameter["schema"]);
        assert_ne!(parameter["description"], "", "{name}");
        let value = match name.as_str() {
            "channels" => "sparse".to_owned(),
            "fields" => "title".to_owned(),
            "filter" => "lang:en".to_owned(),
            "overlap" | "heap_factor" => "0.5".to_owned(),
            "explain" | "rerank" => "false".to_owned(),
            "method" => "auto".to_owned(),
            "dense_method" => "exact".to_owned(),
            "fusion" => "rrf".to_owned(),
            "feedback" => "after".to_owned(),
            _ => schema["minimum"].as_u64().unwrap_or(1).to_string(),
        };
        let reply = server.get(&format!("{SEARCH}?q=dog&{name}={value}"));
        let code = reply.json()["error"]["code"].clone();
        assert!(code != "unknown_field" && code != "invalid_value", "{name}: {}", reply.text());
    }
    assert_eq!(body["k"]["default"], 10);
    assert_eq!(body["timeout_ms"]["default"], 1000);
    assert_eq!(body["channels"]["default"], json!(["sparse"]));
    let k = parameters.iter().find(|p| p["name"] == "k").unwrap();
    assert_eq!((&k["schema"]["default"], &k["schema"]["maximum"]), (&json!(10), &json!(1000)));
    // The defaults do what is said.
    let plain = server.post(r#"{"query":{"text":"dog sleep"}}"#).ok();
    let given = json!({"query": {"text": "dog sleep"}, "k": 10, "channels": ["sparse"],
        "method": "auto", "explain": false, "timeout_ms": 1000, "dense_method": "exact"});
    assert_eq!(server.post(&given.to_string()).ok()["hits"], plain["hits"]);
}
