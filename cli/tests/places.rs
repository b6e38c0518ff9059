//! Folders that are not there, folders and files of somebody else, and what the umask says.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use common::{collection, fails, names, ok, quarry, said, text, vectors};

/// Commands on a folder that is not there say so and make nothing.
#[test]
fn a_folder_that_is_not_there_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    vectors(&at("docs.jsonl"), 5, 1);
    fs::write(at("qrels"), "d1 0 d1 1\n").unwrap();
    let (docs, lacking, out) = (at("docs.jsonl"), at("lacking/index"), at("out.ciff"));
    let (docs, dir, out) = (text(&docs), text(&lacking), text(&out));
    let qrels = at("qrels");
    let commands: [&[&str]; 11] = [
        &["delete", dir, "d1"],
        &["merge", dir],
        &["lists", dir, "--add", "impact"],
        &["add", dir, docs],
        &["tune", dir],
        &["tokens", "add", dir],
        &["export", dir, "--format", "ciff", "--out", out],
        &["search", dir, "text", "--channel", "bm25"],
        &["eval", dir, "--queries", docs, "--qrels", text(&qrels)],
        &["inspect", dir],
        &["serve", dir, "--listen", "127.0.0.1:0"],
    ];
    let before = names(folder.path());
    for command in commands {
        let message = fails(command, 3);
        assert!(
            message.contains(dir) && message.contains("no such folder"),
            "{command:?}: {message}"
        );
        assert_eq!(names(folder.path()), before, "{command:?}");
    }
    // A folder without an index stays as it is.
    fs::create_dir(at("empty")).unwrap();
    let empty = at("empty");
    for command in commands {
        let command: Vec<&str> =
            command.iter().map(|word| if *word == dir { text(&empty) } else { word }).collect();
        let message = fails(&command, 3);
        assert!(message.contains("no index"), "{command:?}: {message}");
        assert!(names(&empty).is_empty(), "{command:?}");
    }
}

/// `quarry index --out DIR` in a folder of somebody else's.
#[test]
fn a_build_removes_nothing_of_others() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    vectors(&at("docs.jsonl"), 5, 1);
    for name in ["build/out.o", "song.qry", "manifest-7.json"] {
        let theirs = at("theirs");
        fs::create_dir_all(theirs.join(name).parent().unwrap()).unwrap();
        fs::write(theirs.join(name), "theirs").unwrap();
        let before = names(&theirs);
        let docs = at("docs.jsonl");
        for more in [&[][..], &["--resume"], &["--overwrite"], &["--shard", "1/2"]] {
            let all = [&["index", text(&docs), "--out", text(&theirs)][..], more];
            let message = fails(&all.concat(), 5);
            assert!(message.contains(name.split('/').next().unwrap()), "{message}");
            assert_eq!(fs::read_to_string(theirs.join(name)).unwrap(), "theirs", "{more:?}");
            assert_eq!(names(&theirs), before, "{more:?}");
        }
        fs::remove_dir_all(&theirs).unwrap();
    }
}

/// What an interrupted run of `encode` left stops no other run; a file of somebody else's does.
#[test]
fn an_unfinished_file_of_ours_blocks_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let input = collection(&folder);
    let (cut, out) = (at("cut.jsonl"), at("vectors.jsonl"));
    // As many as can be resumed: fewer leave nothing.
    let many: String =
        (0..1024).map(|n| format!("{{\"id\": \"n{n}\", \"text\": \"ice\"}}\n")).collect();
    fs::write(&cut, many + "{\"id\": \"cut\n").unwrap();
    let encode = |input: &Path, more: &[&str]| {
        let all = [&["encode", text(input), "--out", text(&out)][..], more].concat();
        quarry(&all).output().unwrap()
    };
    assert!(!encode(&cut, &[]).status.success());
    assert!(at("vectors.jsonl.part").exists() && !out.exists());
    let output = encode(&input, &[]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(fs::read_to_string(&out).unwrap().lines().count(), 3);
    let left: Vec<String> =
        names(folder.path()).into_iter().filter(|name| name.contains(".part")).collect();
    assert!(left.is_empty(), "{left:?}");
    for theirs in ["vectors.jsonl.part", "vectors.jsonl.part.json"] {
        fs::write(at(theirs), "theirs\n").unwrap();
        for more in [&["--overwrite"][..], &["--overwrite", "--resume"]] {
            let output = encode(&input, more);
            assert!(!output.status.success());
            assert!(said(&output).contains(theirs), "{}", said(&output));
            assert_eq!(fs::read_to_string(at(theirs)).unwrap(), "theirs\n");
        }
        fs::remove_file(at(theirs)).unwrap();
    }
    assert!(encode(&input, &["--overwrite"]).status.success());
}

/// Every file that is made can be read by whom the umask lets.
#[test]
fn files_follow_the_umask() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    vectors(&at("docs.jsonl"), 30, 1);
    vectors(&at("more.jsonl"), 10, 2);
    let script = "set -e; umask $2; q=$0; d=$1\n\
        $q index $d/docs.jsonl --out $d/index --lists impact\n\
        $q add $d/index $d/more.jsonl\n\
        $q delete $d/index d3\n\
        $q index $d/docs.jsonl --out $d/share --shard 1/1\n\
        $q export $d/index --format csr --out $d/out.csr\n";
    for (umask, wanted) in [("0022", 0o644), ("0077", 0o600), ("0002", 0o664)] {
        let output = Command::new("sh")
            .args(["-c", script, env!("CARGO_BIN_EXE_quarry"), text(folder.path()), umask])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", said(&output));
        let mut made: Vec<_> = names(folder.path())
            .into_iter()
            .filter(|name| name.starts_with("out."))
            .map(|name| at(&name))
            .collect();
        for dir in ["index", "share"] {
            made.extend(names(&at(dir)).into_iter().map(|name| at(dir).join(name)));
        }
        assert!(made.len() > 10);
        for path in &made {
            let mode = fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, wanted, "umask {umask}: {}", path.display());
        }
        for dir in ["index", "share"] {
            fs::remove_dir_all(at(dir)).unwrap();
        }
        for path in made.iter().filter(|path| path.parent() == Some(folder.path())) {
            fs::remove_file(path).unwrap();
        }
    }
    ok(&["index", text(&at("docs.jsonl")), "--out", text(&at("index")), "--no-tune"]);
}
