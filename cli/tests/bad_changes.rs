//! Changes that cannot be made, and places that cannot be written: an index stays what it was, answers
//! go on, and it is said what happened.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

mod common;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, SystemTime};

use common::{fails, note, ok, quarry, queries, run_of, said, text, vectors};

/// An index of three segments with deleted documents, and its queries.
fn index(at: &dyn Fn(&str) -> PathBuf) -> (PathBuf, PathBuf) {
    vectors(&at("docs.jsonl"), 1_500, 1);
    vectors(&at("few.jsonl"), 300, 2);
    vectors(&at("fewer.jsonl"), 100, 3);
    queries(&at("queries.jsonl"));
    let index = at("index");
    ok(&[
        "index",
        text(&at("docs.jsonl")),
        "--out",
        text(&index),
        "--lists",
        "impact",
        "--no-tune",
    ]);
    ok(&["add", text(&index), text(&at("few.jsonl"))]);
    ok(&["add", text(&index), text(&at("fewer.jsonl"))]);
    ok(&["delete", text(&index), "d900", "d3"]);
    (index, at("queries.jsonl"))
}

fn copied(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

fn segments(index: &Path) -> usize {
    let shown: serde_json::Value =
        serde_json::from_str(&ok(&["inspect", text(index), "--json"])).unwrap();
    shown["manifest"]["segments"].as_array().unwrap().len()
}

/// Runs a shell script with the binary as `$0` and a folder as `$1`.
fn sh(script: &str, folder: &Path, namespace: bool) -> Output {
    let mut command = Command::new(if namespace { "unshare" } else { "sh" });
    if namespace {
        command.args(["-rm", "sh"]);
    }
    command.args(["-c", script, env!("CARGO_BIN_EXE_quarry")]).arg(folder);
    command.output().unwrap()
}

/// Whether this system lets us mount in a namespace of our own.
fn may_mount(folder: &Path, what: &str) -> bool {
    let may = sh("mount -t tmpfs -o size=64k tmpfs \"$1\"", folder, true).status.success();
    if !may {
        note(&format!("skipped: {what} needs `unshare -rm` to mount in a namespace"));
    }
    may
}

/// No file may exceed a size, at many sizes: whichever file the limit meets, the merge ends with its
/// path and the system's words, and the segments are there as before. Then the merge is done.
#[test]
fn a_merge_that_may_not_write_on() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (base, asked) = index(&at);
    let (want, merged) = (run_of(&base, &asked), at("merged"));
    let mut refused = 0;
    for step in 0u32.. {
        copied(&base, &merged);
        let blocks = if step < 4 { step } else { 1 << (step - 2) };
        let script =
            format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" merge \"$1\" --no-tune");
        let output = sh(&script, &merged, false);
        if output.status.success() {
            break;
        }
        refused += 1;
        let message = said(&output);
        assert!(message.contains("File too large"), "{blocks} blocks: {message}");
        let named = message.lines().last().unwrap().trim_start_matches("error: ");
        assert!(named.starts_with(text(&merged)), "{blocks} blocks: {message}");
        assert_eq!(segments(&merged), 3, "{blocks} blocks");
        assert_eq!(run_of(&merged, &asked), want, "{blocks} blocks");
        ok(&["merge", text(&merged), "--no-tune"]);
        assert_eq!((segments(&merged), run_of(&merged, &asked)), (1, want.clone()));
        assert!(!merged.join("build").exists());
    }
    assert!(refused > 4, "{refused} merges were refused");
    assert_eq!((segments(&merged), run_of(&merged, &asked)), (1, want));
}

/// A file system that fills up in the middle of a merge, at many sizes.
#[test]
fn a_merge_on_a_disk_that_fills_up() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (base, asked) = index(&at);
    let mount = at("mount");
    fs::create_dir(&mount).unwrap();
    if !may_mount(&mount, "a_merge_on_a_disk_that_fills_up") {
        return;
    }
    let want = run_of(&base, &asked);
    let bytes: u64 =
        fs::read_dir(&base).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).sum();
    let (mut refused, mut kinds) = (0, std::collections::BTreeSet::new());
    for step in 1u64.. {
        let kib = bytes / 1024 + 64 + 64 * step;
        let script = format!(
            "mount -t tmpfs -o size={kib}k tmpfs \"$1\" && cp {}/* \"$1\" || exit 9\n\
             if \"$0\" merge \"$1\" --no-tune >&2; then echo merged; else echo refused; fi\n\
             \"$0\" inspect \"$1\" >&2 || exit 9\n\
             exec \"$0\" search \"$1\" --queries {} --method exact",
            text(&base),
            text(&asked)
        );
        let output = sh(&script, &mount, true);
        let (shown, message) = (String::from_utf8_lossy(&output.stdout), said(&output));
        assert!(output.status.success(), "{kib} KiB: {message}");
        let (outcome, run) = shown.split_once('\n').unwrap();
        assert_eq!(run, want, "{kib} KiB: {message}");
        if outcome == "merged" {
            break;
        }
        refused += 1;
        assert!(message.contains("No space left on device"), "{kib} KiB: {message}");
        let error = message.lines().find_map(|l| l.strip_prefix("error: ")).unwrap();
        let file = error.split(": ").next().unwrap();
        assert!(file.starts_with(text(&mount)), "{kib} KiB: {message}");
        kinds.insert(file.rsplit(['-', '/']).next().unwrap().to_owned());
    }
    assert!(refused > 4, "{refused} merges were refused");
    assert!(kinds.len() > 2, "the disk was full in few places: {kinds:?}");
}

/// A folder that cannot be written is searched in every way; changes say why they cannot be made.
#[test]
fn a_read_only_folder_is_searched() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (base, asked) = index(&at);
    let want = run_of(&base, &asked);
    fs::write(at("qrels"), "q0 0 d1 1\n").unwrap();
    // Without the lock file that writers leave, too: a reader needs none.
    fs::remove_file(base.join("LOCK")).unwrap();
    if !may_mount(&base, "a_read_only_folder_is_searched") {
        return;
    }
    let read_only = "mount --bind \"$1\" \"$1\" && mount -o remount,ro,bind \"$1\" || exit 9\n";
    let run = |rest: &str| sh(&format!("{read_only}{rest}"), &base, true);
    let probe = run("touch \"$1\"/probe");
    assert!(!probe.status.success() && said(&probe).contains("Read-only"), "{}", said(&probe));
    let done = |rest: &str| {
        let output = run(rest);
        assert!(output.status.success(), "{rest}: {}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let asked = text(&asked);
    assert_eq!(done(&format!("\"$0\" search \"$1\" --queries {asked} --method exact")), want);
    assert!(done("\"$0\" search \"$1\" 'text 33' --channel bm25 --json").contains("hits"));
    assert!(done("\"$0\" inspect \"$1\"").contains("documents"));
    let judged = text(&at("qrels")).to_owned();
    let evaluated =
        done(&format!("\"$0\" eval \"$1\" --queries {asked} --qrels {judged} --measures RR@10"));
    assert!(evaluated.contains("RR@10"), "{evaluated}");
    let out = at("x.ciff");
    done(&format!("\"$0\" export \"$1\" --format ciff --out {}", text(&out)));
    for change in ["delete \"$1\" d4", "merge \"$1\"", "lists \"$1\" --add seismic"] {
        let output = run(&format!("exec \"$0\" {change}"));
        let message = said(&output);
        assert!(!output.status.success(), "{change}");
        assert!(message.contains("Read-only file system"), "{change}: {message}");
        assert!(message.contains(text(&base)), "{change}: {message}");
    }

    let script = format!("{read_only}exec \"$0\" serve \"$1\" --name x --listen 127.0.0.1:0");
    let mut server = Command::new("unshare")
        .args(["-rm", "sh", "-c", &script, env!("CARGO_BIN_EXE_quarry")])
        .arg(&base)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address =
        line.trim().strip_prefix("http://").unwrap().split('/').next().unwrap().to_owned();
    let get = |path: &str| {
        let mut stream = TcpStream::connect(&address).unwrap();
        stream
            .write_all(
                format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes(),
            )
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    while !get("/readyz").starts_with("HTTP/1.1 200") {
        std::thread::sleep(Duration::from_millis(20));
    }
    let answer = get("/v1/collections/x/documents/d1");
    server.kill().unwrap();
    server.wait().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("text 1"), "{answer}");
}

/// A user who may not write, where this test runs as one who may.
#[test]
fn a_folder_without_permission_to_write_is_searched() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (base, asked) = index(&at);
    let want = run_of(&base, &asked);
    let set = |mode| fs::set_permissions(&base, fs::Permissions::from_mode(mode)).unwrap();
    set(0o555);
    let mine = fs::write(base.join("probe"), "x").is_err();
    let search = format!("\"$0\" search \"$1\" --queries {} --method exact", text(&asked));
    let output = if mine {
        Some(sh(&search, &base, false))
    } else {
        // Root may write anywhere; nobody may not.
        fs::remove_file(base.join("probe")).unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let as_nobody = |script: &str| {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "sh", "-c", script]);
            command.arg(env!("CARGO_BIN_EXE_quarry")).arg(&base).output()
        };
        let binds = as_nobody("test -x \"$0\" -a -r \"$1\"/CURRENT -a ! -w \"$1\"");
        binds.is_ok_and(|o| o.status.success()).then(|| as_nobody(&search).unwrap())
    };
    set(0o755);
    let Some(output) = output else {
        note(
            "skipped: a_folder_without_permission_to_write_is_searched needs a user who may not write, or `setpriv`",
        );
        return;
    };
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(String::from_utf8_lossy(&output.stdout), want);
}

/// Times of files say nothing: those of a clock that ran ahead, or back, change nothing.
#[test]
fn a_clock_that_jumps_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (base, asked) = index(&at);
    let day = Duration::from_secs(86_400);
    let stamp = |dir: &Path, when: SystemTime| {
        for entry in fs::read_dir(dir).unwrap() {
            let file = File::options().append(true).open(entry.unwrap().path()).unwrap();
            file.set_modified(when).unwrap();
        }
    };
    let fewer = at("fewer.jsonl");
    let changes: [(&str, &str); 3] =
        [("delete", "d11"), ("add", text(&fewer)), ("merge", "--no-tune")];
    let runs: Vec<Vec<String>> = [None, Some(true), Some(false)]
        .into_iter()
        .map(|ahead| {
            let dir = at("jumped");
            copied(&base, &dir);
            let mut runs = Vec::new();
            for (step, (change, more)) in (1u32..).zip(changes) {
                match ahead {
                    Some(true) => stamp(&dir, SystemTime::now() + day * 40_000 / step),
                    Some(false) => stamp(&dir, SystemTime::UNIX_EPOCH + day / step),
                    None => {}
                }
                ok(&[change, text(&dir), more]);
                runs.push(run_of(&dir, &asked));
            }
            runs
        })
        .collect();
    assert_eq!(runs[1], runs[0], "files of the future");
    assert_eq!(runs[2], runs[0], "files of 1970");
}

/// Ids that are no document's, an id twice in one batch, filters that allow nothing.
#[test]
fn what_does_nothing_or_comes_twice_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (base, asked) = index(&at);
    let before = ok(&["inspect", text(&base), "--json"]);
    let output = quarry(&["delete", text(&base), "nobody", "d3"]).output().unwrap();
    assert!(
        output.status.success() && said(&output).contains("2 ids are of no document, such as d3")
    );
    assert!(String::from_utf8_lossy(&output.stdout).contains("0 documents deleted"));
    assert!(ok(&["inspect", text(&base), "--json"]) == before, "nothing deleted, yet it changed");

    let twice = at("twice.jsonl");
    let one = |weight: u32| {
        format!(
            "{{\"id\":\"new\",\"text\":\"t\",\"year\":{weight},\"vector\":{{\"t1\":{weight}}}}}\n"
        )
    };
    fs::write(&twice, one(1) + &one(250)).unwrap();
    let add = ["add", text(&base), text(&twice)];
    assert!(fails(&add, 4).contains("twice.jsonl, line 2"));
    let output = quarry(&[&add[..], &["--duplicates", "last"]].concat()).output().unwrap();
    assert!(said(&output).contains("1 document was left out, because its id comes again later"));
    let found = |filter: &str| {
        ok(&["search", text(&base), "--queries", text(&asked), "--filter", filter, "-k", "5"])
    };
    assert!(found("year:1").is_empty(), "the first of two stayed");
    assert!(found("year:250").lines().all(|line| line.contains(" new ")));
    assert!(found("year:[300 TO 400]").is_empty());
    let message =
        fails(&["search", text(&base), "--queries", text(&asked), "--filter", "yaer:250"], 1);
    assert!(message.contains("no document has a field `yaer`"), "{message}");
}
