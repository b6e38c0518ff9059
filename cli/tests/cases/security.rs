//! What attacks must not get: a dead process, a hang, code of the current folder, files of others.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{Case, Checks, Did, did, not_run, ok, run};

pub(super) const CHECKS: Checks = &[
    ("security: nested filters", nested_filters),
    ("security: nested filters over HTTP", nested_filters_by_http),
    ("security: code of the current folder", code_of_the_current_folder),
    ("security: other things in a file's place", odd_files),
    ("security: lies of the manifest", lies),
    ("security: files of others in a folder", files_of_others),
    ("security: numbers beyond reason", numbers),
];

/// Documents with fields, and their index.
fn indexed(case: &Case) -> String {
    let lines: Vec<String> = (0..60)
        .map(|at| {
            format!(
                "{{\"_id\":\"d{at}\",\"text\":\"ice bread {at}\",\"topic\":\"{}\",\"year\":{},\
                 \"vector\":{{\"t{}\":1.5,\"t{}\":2.0}}}}",
                ["ice", "bread", "bees"][at % 3],
                1990 + at % 30,
                at % 7,
                7 + at % 5
            )
        })
        .collect();
    let (input, out) = (case.write("docs.jsonl", &lines.join("\n")), case.place("index"));
    ok(&["index", &input, "--out", &out, "--no-tune", "--lists", "impact,seismic"]);
    case.write("q.jsonl", "{\"id\":\"q\",\"vector\":{\"t1\":1.0,\"t8\":1.0}}\n");
    out
}

fn filters() -> Vec<String> {
    let mut all = Vec::new();
    for n in [100, 480, 1_000, 4_000, 16_000] {
        all.push(format!("{}topic:ice{}", "(".repeat(n), ")".repeat(n)));
        all.push(format!("{}topic:ice{}", "-(".repeat(n), ")".repeat(n)));
        all.push(format!("{}topic:ice{}", "+(".repeat(n), ")".repeat(n)));
        all.push(format!("{}topic:ice", "NOT ".repeat(n)));
        all.push("(".repeat(n));
        all.push(format!("{}topic:ice", "(topic:ice AND ".repeat(n)));
        all.push(format!("{}topic:ice{}", "(".repeat(n), " OR topic:bread)".repeat(n)));
        all.push(format!("{}topic:ice{}", "(".repeat(n), ")^2".repeat(n)));
    }
    all.push(format!("topic:/{}a{}/", "(".repeat(3_000), ")".repeat(3_000)));
    all.push("topic:/((((i|c|e){1,50}){1,50}){1,50})/".into());
    all.push("topic:/.{1,30000}/".into());
    all.push(format!("{}b:1", "a.".repeat(10_000)));
    all.push("topic:\"ice\"~99999999999999".into());
    all.push("topic:ice^1e400".into());
    all.push(vec!["topic:ice"; 2_500].join(" OR "));
    all
}

fn nested_filters(case: &Case) {
    let index = indexed(case);
    let queries = case.place("q.jsonl");
    let began = Instant::now();
    // Longer arguments the system does not pass on.
    for filter in filters().into_iter().filter(|filter| filter.len() < 100_000) {
        run(&["search", &index, "--queries", &queries, "--filter", &filter]);
        run(&["search", &index, "ice", "--channel", "bm25", "--filter", &filter]);
    }
    assert!(began.elapsed() < Duration::from_secs(120), "{:?}", began.elapsed());
}

/// A server that ends with the value.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(index: &str) -> Self {
        let mut command = super::common::quarry(&["serve", index, "--listen", "127.0.0.1:0"]);
        command.stderr(Stdio::piped()).stdout(Stdio::piped());
        let mut server = Self { child: command.spawn().unwrap(), address: String::new() };
        // It says where it listens on one of its first lines.
        let (out, err) = (server.child.stdout.take().unwrap(), server.child.stderr.take().unwrap());
        let (send, lines) = std::sync::mpsc::channel();
        let also = send.clone();
        std::thread::spawn(move || forward(out, &send));
        std::thread::spawn(move || forward(err, &also));
        let end = Instant::now() + Duration::from_secs(30);
        let mut said = String::new();
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let line = lines.recv_timeout(left).unwrap_or_else(|_| panic!("no address: {said}"));
            if let Some(at) = line.find("127.0.0.1:") {
                let rest = &line[at..];
                let stop = rest.find(|c: char| !(c.is_ascii_digit() || ".:".contains(c)));
                rest[..stop.unwrap_or(rest.len())].clone_into(&mut server.address);
                while server.send("GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                    != Some(200)
                {
                    assert!(Instant::now() < end, "not ready: {said}");
                    std::thread::sleep(Duration::from_millis(50));
                }
                return server;
            }
            said.push_str(&line);
        }
    }

    fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// The status of a request.
    fn send(&self, request: &str) -> Option<u16> {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).ok()?;
        std::str::from_utf8(&answer[9..12]).ok()?.parse().ok()
    }

    fn search(&self, name: &str, body: &str) -> Option<u16> {
        self.send(&format!(
            "POST /v1/collections/{name}/search HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn forward(stream: impl Read, to: &std::sync::mpsc::Sender<String>) {
    use std::io::BufRead;
    for line in std::io::BufReader::new(stream).lines().map_while(Result::ok) {
        if to.send(line).is_err() {
            return;
        }
    }
}

fn nested_filters_by_http(case: &Case) {
    let index = indexed(case);
    let mut server = Server::start(&index);
    let body = |filter: &str| {
        serde_json::json!({"query": {"text": "ice"}, "channels": ["bm25"], "filter": filter, "k": 1})
            .to_string()
    };
    assert_eq!(server.search("index", &body("topic:ice")), Some(200));
    for filter in filters() {
        let status = server.search("index", &body(&filter));
        assert!(server.is_alive(), "{} bytes end the server", filter.len());
        let status = status.unwrap_or_else(|| panic!("{} bytes: no answer", filter.len()));
        assert!(status < 500, "{} bytes: {status}", filter.len());
    }
    // Other nested things.
    for n in [200, 5_000, 100_000] {
        let nested = format!("{}{}", "[".repeat(n), "]".repeat(n));
        let query = format!("{{\"query\":{nested}}}");
        let filter = format!("{{\"query\":{{\"text\":\"x\"}},\"filter\":{nested}}}");
        for body in [nested, query, filter] {
            let status = server.search("index", &body);
            assert!(status.is_some_and(|s| (400..500).contains(&s)), "{n}: {status:?}");
        }
    }
    assert_eq!(server.search("index", &body("topic:ice")), Some(200));
    assert!(server.is_alive());
}

/// A library in the folder that a person stands in, or above it, is not loaded.
fn code_of_the_current_folder(case: &Case) {
    let folder = case.room.path().join("downloads");
    let deep = folder.join("of/others");
    for at in [&folder, &deep] {
        fs::create_dir_all(at.join(".onnxruntime")).unwrap();
    }
    let library = folder.join(".onnxruntime/libonnxruntime.so.1.30.0");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-o", library.to_str().unwrap(), &case.file("evil.c")])
        .status();
    if !built.is_ok_and(|status| status.success()) {
        return not_run("security: code of the current folder: no C compiler");
    }
    for name in ["libonnxruntime.so", "libonnxruntime.so.1"] {
        fs::copy(&library, folder.join(".onnxruntime").join(name)).unwrap();
        fs::copy(&library, folder.join(name)).unwrap();
    }
    fs::copy(&library, deep.join(".onnxruntime/libonnxruntime.so.1.30.0")).unwrap();
    let input = case.write("text.jsonl", "{\"_id\":\"a\",\"text\":\"granite\"}\n");
    for at in [&folder, &deep] {
        // What the library leaves when it is loaded.
        fs::create_dir_all(at.join("w")).unwrap();
        let out = case.place(&format!("out-{}", at.file_name().unwrap().to_str().unwrap()));
        let args = ["index", &input, "--out", &out, "--no-tune"];
        let output =
            super::common::quarry(&args).current_dir(at).env_remove("ORT_DYLIB_PATH").output();
        did(&output.unwrap(), &args);
        assert!(!at.join("w/EXECUTED").exists(), "the library of {} was loaded", at.display());
    }
}

/// Runs with a limit of time: what waits for a writer of a pipe, or reads without end, hangs.
fn in_time(args: &[&str]) -> Did {
    let mut command = super::common::quarry(args);
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let end = Instant::now() + Duration::from_secs(30);
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > end {
            child.kill().unwrap();
            panic!("{args:?} hangs");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    did(&child.wait_with_output().unwrap(), args)
}

/// A copy of an index whose file `name` is to be replaced; its path.
fn spoilt(case: &Case, index: &str, name: &str, number: usize) -> (String, PathBuf) {
    let copy = case.place(&format!("spoilt-{number}"));
    super::copy(Path::new(index), Path::new(&copy));
    let file = Path::new(&copy).join(name);
    fs::remove_file(&file).unwrap();
    (copy, file)
}

fn odd_files(case: &Case) {
    let index = indexed(case);
    let queries = case.place("q.jsonl");
    let mut number = 0;
    for name in super::common::names(Path::new(&index)) {
        if name == "LOCK" {
            continue;
        }
        for how in ["fifo", "folder", "itself", "/dev/zero", "/etc/passwd"] {
            number += 1;
            let (copy, file) = spoilt(case, &index, &name, number);
            match how {
                "fifo" => {
                    assert!(Command::new("mkfifo").arg(&file).status().unwrap().success());
                }
                "folder" => fs::create_dir(&file).unwrap(),
                "itself" => symlink(&name, &file).unwrap(),
                target => symlink(target, &file).unwrap(),
            }
            let did = in_time(&["search", &copy, "--queries", &queries]);
            let said = format!("{name} as {how}: {:?}: {}", did.code, did.err);
            assert!([Some(1), Some(3)].contains(&did.code), "{said}");
            fs::remove_dir_all(&copy).unwrap();
        }
    }
    // The same for what is read besides indexes.
    let pipe = case.place("pipe.jsonl");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for input in [pipe.as_str(), "/dev/zero", "/dev"] {
        let out = case.place("of-a-device");
        let did = in_time(&["index", input, "--out", &out, "--channel", "bm25"]);
        assert!(did.code != Some(0), "{input}: {}", did.err);
        let did = in_time(&["search", &index, "--queries", input]);
        assert!(did.code != Some(0), "{input}: {}", did.err);
    }
}

/// Rewrites a manifest, with sums that fit.
fn edit(index: &str, change: impl FnOnce(&mut serde_json::Value)) {
    use serde_json::{Value, json};
    use xxhash_rust::xxh3::xxh3_64;
    let current = Path::new(index).join("CURRENT");
    let mut value: Value = serde_json::from_slice(&fs::read(&current).unwrap()).unwrap();
    let path = Path::new(index).join(value["manifest"].as_str().unwrap());
    let mut manifest: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut manifest);
    let bytes = serde_json::to_vec(&manifest).unwrap();
    fs::write(&path, &bytes).unwrap();
    value["bytes"] = json!(bytes.len());
    value["checksum"] = json!(format!("{:016x}", xxh3_64(&bytes)));
    fs::write(&current, serde_json::to_vec(&value).unwrap()).unwrap();
}

fn lies(case: &Case) {
    use serde_json::{Value, json};
    /// A change of a manifest.
    type Lie = (&'static str, fn(&mut Value));
    const LIES: [Lie; 12] = [
        ("rows", |m| m["segments"][0]["rows"] = json!(u64::MAX)),
        ("documents", |m| m["segments"][0]["documents"] = json!(u64::MAX)),
        ("fewer documents", |m| m["segments"][0]["documents"] = json!(0)),
        ("a segment twice", |m| {
            let first = m["segments"][0].clone();
            m["segments"].as_array_mut().unwrap().push(first);
        }),
        ("a segment 3,000 times", |m| {
            let first = m["segments"][0].clone();
            m["segments"] = json!(vec![first; 3_000]);
        }),
        ("a part twice", |m| {
            let parts = m["segments"][0]["parts"].as_array_mut().unwrap();
            parts.push(parts[0].clone());
        }),
        ("another kind", |m| {
            for part in m["segments"][0]["parts"].as_array_mut().unwrap() {
                if part["kind"] == "forward" {
                    part["kind"] = json!("impact");
                }
            }
        }),
        ("a name of nothing", |m| m["segments"][0]["parts"][0]["file"] = json!("")),
        ("a name with NUL", |m| m["segments"][0]["parts"][0]["file"] = json!("a\0b")),
        ("a long name", |m| m["segments"][0]["parts"][0]["file"] = json!("a".repeat(5_000))),
        ("CURRENT as a part", |m| m["segments"][0]["parts"][0]["file"] = json!("CURRENT")),
        ("a negative seed", |m| m["seed"] = json!(-1)),
    ];
    let index = indexed(case);
    for (at, (what, lie)) in LIES.into_iter().enumerate() {
        let copy = case.place(&format!("lie-{at}"));
        super::copy(Path::new(&index), Path::new(&copy));
        edit(&copy, lie);
        for args in [
            &["search", &copy, "--queries", &case.place("q.jsonl")][..],
            &["inspect", &copy],
            &["delete", &copy, "d5"],
            &["merge", &copy, "--no-tune"],
        ] {
            let did = in_time(args);
            let said = format!("{what}, {}: {:?}: {}", args[0], did.code, did.err);
            assert!([Some(1), Some(3)].contains(&did.code), "{said}");
        }
    }
    // As deep as a parser would go.
    let copy = case.place("deep");
    super::copy(Path::new(&index), Path::new(&copy));
    fs::write(Path::new(&copy).join("CURRENT"), "[".repeat(1_000_000)).unwrap();
    assert_eq!(in_time(&["inspect", &copy]).code, Some(3));
    fs::remove_dir_all(&copy).unwrap();
    // A manifest of the highest number is no way to end the writer.
    super::copy(Path::new(&index), Path::new(&copy));
    fs::write(Path::new(&copy).join(format!("manifest-{}.json", u64::MAX)), "{}").unwrap();
    in_time(&["delete", &copy, "d5"]);
    let found = in_time(&["search", &copy, "--queries", &case.place("q.jsonl")]);
    assert_eq!(found.code, Some(0), "{}", found.err);
}

/// Nothing that the program did not make is deleted.
fn files_of_others(case: &Case) {
    let project = case.place("project");
    fs::create_dir_all(format!("{project}/build")).unwrap();
    fs::write(format!("{project}/build/thesis.tex"), "years of work").unwrap();
    fs::write(format!("{project}/notes.qry"), "mine").unwrap();
    fs::write(format!("{project}/manifest-7.json"), "{}").unwrap();
    let input = case.write("v.jsonl", "{\"id\":\"a\",\"vector\":{\"x\":1.0}}\n");
    for further in [&[][..], &["--overwrite"], &["--resume"]] {
        let args = [&["index", &input, "--out", &project, "--no-tune"][..], further].concat();
        assert_eq!(run(&args).code, Some(5), "{further:?}");
        for file in ["build/thesis.tex", "notes.qry", "manifest-7.json"] {
            assert!(
                fs::exists(format!("{project}/{file}")).unwrap(),
                "{further:?}: {file} is gone"
            );
        }
    }
    for args in [
        &["delete", &project, "a"][..],
        &["merge", &project],
        &["lists", &project, "--add", "impact"],
        &["add", &project, &input],
    ] {
        assert_ne!(run(args).code, Some(0), "{args:?}");
    }
    assert_eq!(fs::read_to_string(format!("{project}/build/thesis.tex")).unwrap(), "years of work");
    // Nor is a folder made by a command that changes one.
    let nowhere = case.place("nowhere");
    for args in [
        &["delete", &nowhere, "a"][..],
        &["merge", &nowhere],
        &["lists", &nowhere, "--add", "impact"],
    ] {
        assert_eq!(run(args).code, Some(3), "{args:?}");
        assert!(!fs::exists(&nowhere).unwrap(), "{args:?} made the folder");
    }
}

fn numbers(case: &Case) {
    let index = indexed(case);
    let (queries, input) = (case.place("q.jsonl"), case.place("docs.jsonl"));
    for k in ["18446744073709551615", "1000000000000"] {
        let found =
            in_time(&["search", &index, "--queries", &queries, "-k", k, "--method", "exact"]);
        assert_eq!(found.code, Some(0), "{}", found.err);
        assert!(found.hits().len() > 10);
        let found = in_time(&["search", &index, "ice", "--channel", "bm25", "-k", k]);
        assert_eq!(found.code, Some(0), "{}", found.err);
    }
    let out = case.place("out");
    let build = ["index", &input, "--out", &out, "--no-tune", "--overwrite"];
    for further in [
        &["--memory", "0"][..],
        &["--memory", "1"],
        &["--scale", "0"],
        &["--scale", "nan"],
        &["--lists", "clusters", "--cluster-size", "0"],
        &["--lists", "seismic", "--n-postings", "0"],
        &["--lists", "seismic", "--summary-energy", "nan"],
        &["--shard", "1/0"],
        &["--shard", "9/2"],
    ] {
        let did = in_time(&[&build[..], further].concat());
        assert!([Some(1), Some(2), Some(4)].contains(&did.code), "{further:?}: {:?}", did.code);
        let said = did.err.to_lowercase();
        assert!(said.contains(further.last().unwrap()), "{further:?}: {}", did.err);
    }
    let did = in_time(&[&["--threads", "100000"][..], &build].concat());
    assert!([Some(0), Some(2)].contains(&did.code), "{:?}: {}", did.code, did.err);
}
