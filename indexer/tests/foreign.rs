//! No command removes or changes files that are not ours.
#![allow(clippy::unwrap_used, clippy::panic, dead_code, reason = "a panic fails the test")]

mod collection;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use collection::{build_all, options, vectors};
use proptest::prelude::*;
use quarry_index::seismic::SeismicParams;
use quarry_index::tokens::Form;
use quarry_indexer::{
    AddOptions, Adding, BuildOptions, JoinOptions, LEAST_MEMORY, Merge, Share, TokenInput,
    TokenOptions, add, add_lists, add_tokens, build, build_share, default_clusters,
    default_seismic, delete, join, merge, store_calibration,
};
use quarry_vectors::{Document, TokenEmbeddings};
use serde_json::json;

const ID: &str = "00112233445566778899aabbccddeeff";

/// Every command that may remove files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Command {
    Build,
    Overwrite,
    Resume,
    Add,
    Delete,
    Merge,
    Lists,
    Tokens,
    Tune,
    Share,
    ShareOverwrite,
    Join,
}

const COMMANDS: [Command; 12] = [
    Command::Build,
    Command::Overwrite,
    Command::Resume,
    Command::Add,
    Command::Delete,
    Command::Merge,
    Command::Lists,
    Command::Tokens,
    Command::Tune,
    Command::Share,
    Command::ShareOverwrite,
    Command::Join,
];

/// Contents of the folder before the foreign files are added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    /// Nothing.
    Empty,
    /// An index of two segments, with a deleted document.
    Index,
    /// The same, and an unfinished build of another index.
    Unfinished,
    /// Only an unfinished build.
    Begun,
    /// A finished share of a build.
    Shared,
}

const BEFORE: [Before; 5] =
    [Before::Empty, Before::Index, Before::Unfinished, Before::Begun, Before::Shared];

fn read(documents: Vec<Document>) -> impl Iterator<Item = Result<Document, io::Error>> + Send {
    documents.into_iter().map(Ok)
}

fn prepare(folder: &Path, before: Before) {
    if matches!(before, Before::Index | Before::Unfinished) {
        build_all(vectors(20), None, &options(folder)).unwrap();
        let mut more = vectors(30);
        more.drain(..18);
        add(read(more), None, &Adding::new(&options(folder)), &|_| {}).unwrap();
        delete(folder, ["doc-3"]).unwrap();
    }
    if before == Before::Shared {
        let share = Share::new(1, 1).unwrap();
        build_share(read(vectors(20)), None, (&options(folder), share), None, &|_| {}).unwrap();
    }
    if matches!(before, Before::Begun | Before::Unfinished) {
        let input = read(vectors(40)).chain([Err(io::Error::other("the power went"))]);
        let options = BuildOptions { overwrite: true, ..options(folder) };
        build(input, None, &options, &|_| {}).unwrap_err();
    }
}

/// Runs a command; whether it succeeds does not matter here.
fn run(
    command: Command,
    folder: &Path,
    elsewhere: &Path,
) -> Result<(), quarry_indexer::BuildError> {
    let options = options(folder);
    let overwrite = BuildOptions { overwrite: true, ..options.clone() };
    let share = Share::new(1, 1).unwrap();
    match command {
        Command::Build => build_all(vectors(40), None, &options).map(drop),
        Command::Overwrite => build_all(vectors(40), None, &overwrite).map(drop),
        Command::Resume => {
            build_all(vectors(40), None, &BuildOptions { resume: true, ..options }).map(drop)
        }
        Command::Add => add(read(vectors(5)), None, &Adding::new(&options), &|_| {}).map(drop),
        Command::Delete => delete(folder, ["doc-1", "doc-2"]).map(drop),
        Command::Merge => merge(folder, Merge::All, LEAST_MEMORY, &|_| {}).map(drop),
        Command::Lists => {
            let seismic: Option<SeismicParams> = Some(default_seismic());
            let clusters = Some(default_clusters());
            let add =
                AddOptions { impact: true, words: false, seismic, clusters, memory: LEAST_MEMORY };
            add_lists(folder, &add, &|_| {}).map(drop)
        }
        Command::Tokens => {
            let forms = vec![Form::Int8];
            let source = json!({"file": "rows.npy"});
            let options = TokenOptions { forms, pool: 1, centroids: 4, replace: true, source };
            let mut rows = |_: &str| Ok(TokenEmbeddings::new(2, vec![0.6, 0.8]).unwrap());
            add_tokens(folder, &options, TokenInput::Rows(2, &mut rows), &|_| {}).map(drop)
        }
        Command::Tune => {
            let measured = match quarry_index::folder::read_current(folder) {
                Ok((manifest, _)) => manifest,
                Err(error) => return Err(error.into()),
            };
            let tables = vec![None; measured.segments.len()];
            store_calibration(folder, &measured, &tables).map(drop)
        }
        Command::Share => {
            build_share(read(vectors(40)), None, (&options, share), None, &|_| {}).map(drop)
        }
        Command::ShareOverwrite => {
            build_share(read(vectors(40)), None, (&overwrite, share), None, &|_| {}).map(drop)
        }
        Command::Join => {
            let from = self::options(elsewhere);
            build_share(read(vectors(40)), None, (&from, share), None, &|_| {})?;
            let to = JoinOptions { out: folder.to_path_buf(), overwrite: true, memory: None };
            join(&[elsewhere.to_path_buf()], &to, &|_| {}).map(drop)
        }
    }
}

/// Names similar to ours.
fn close() -> Vec<String> {
    let mut names: Vec<String> = [
        "left.qry",
        "manifest-7.json",
        "manifest-x.json",
        "manifest-+3.json",
        "manifest-0002.json",
        "manifest-2.json.bak",
        "CURRENT.bak",
        "notes.txt",
        ".new-abc.tmp",
        ".new-abcdefgh.tmp",
        "new-abcdef.tmp",
        ".tmpabcdef",
        "shard-1.qry",
        "shard-00000x.qry",
        "tokens-1.qry",
        "meta.json",
        "heads.qry.bak",
        "build/notes.txt",
        "build/job.json.bak",
        "build/shard-1.qry",
        "build/CMakeCache.txt",
        "build/.new-abc.tmp",
        "build/sub/shard-000000.qry",
        "build/text/notes.txt",
        "build/text/0/notes.txt",
        "build/text/x/meta.json",
        "build/text/merged/seg.idx",
        "text/0/meta.json",
        "forward.qry",
    ]
    .map(str::to_owned)
    .to_vec();
    names.extend(
        ["-forward.qry.bak", "-notes.qry", "-forward-1.qry", ".qry", "-forward.json"]
            .map(|end| format!("{ID}{end}")),
    );
    names.push(format!("{}-forward.qry", ID.to_uppercase()));
    names.push(format!("{}-forward.qry", &ID[1..]));
    // A folder with one of our names, and a file in it.
    names.push(format!("{ID}-forward.qry/deep"));
    names.push("build/shard-000077.qry/deep".to_owned());
    names
}

/// Names of foreign files, relative to the folder.
fn foreign() -> impl Strategy<Value = Vec<String>> {
    let close = prop::sample::select(close());
    let any = "[a-zA-Z0-9._-]{1,24}".prop_filter("a name that we make, or none", |name| {
        let ours = ["CURRENT", "LOCK", "build", ".", ".."].contains(&name.as_str());
        let named = name.contains("-") && (name.ends_with(".qry") || name.ends_with(".json"));
        !ours && !named && !name.starts_with(".new-")
    });
    let below = any.clone().prop_map(|name| format!("build/{name}"));
    let one = prop_oneof![6 => close, 1 => any, 1 => below];
    prop::collection::vec(one, 1..4)
}

/// Adds files with these names; returns their contents.
fn throw(folder: &Path, names: &[String]) -> BTreeMap<PathBuf, String> {
    let mut thrown = BTreeMap::new();
    for (at, name) in names.iter().enumerate() {
        let path = folder.join(name);
        let made = path.parent().is_some_and(|parent| fs::create_dir_all(parent).is_ok());
        if made && !path.exists() {
            let content = format!("{{\"foreign\": {at}}}");
            fs::write(&path, &content).unwrap();
            thrown.insert(path, content);
        }
    }
    thrown
}

fn check(command: Command, before: Before, names: &[String]) {
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    prepare(folder.path(), before);
    let thrown = throw(folder.path(), names);
    let result = run(command, folder.path(), elsewhere.path());
    for (path, content) in &thrown {
        let found = fs::read_to_string(path).ok();
        assert_eq!(
            found.as_ref(),
            Some(content),
            "{command:?} over {before:?}: {path:?}; {result:?}"
        );
    }
    if before == Before::Empty && !thrown.is_empty() {
        assert!(result.is_err(), "{command:?} took a folder of {names:?}");
        let files = walk(folder.path());
        assert_eq!(files.len(), thrown.len(), "{command:?} left something: {files:?}");
    }
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(walk(&path)) } else { files.push(path) }
    }
    files
}

/// Files with names similar to ours stay, for each name and each command.
#[test]
fn names_close_to_ours_stay() {
    for command in COMMANDS {
        for name in close() {
            check(command, Before::Empty, &[name]);
        }
        for before in BEFORE {
            check(command, before, &close());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn foreign_names_stay(
        command in prop::sample::select(COMMANDS.to_vec()),
        before in prop::sample::select(BEFORE.to_vec()),
        names in foreign(),
    ) {
        check(command, before, &names);
    }
}

/// Leftovers of a build alone are resumed or removed completely.
#[test]
fn our_own_leftovers_go() {
    for before in [Before::Begun, Before::Unfinished] {
        for command in [Command::Overwrite, Command::Resume] {
            let folder = tempfile::tempdir().unwrap();
            prepare(folder.path(), before);
            run(command, folder.path(), folder.path()).unwrap();
            assert_eq!(collection::names(folder.path()), collection::expected_names(folder.path()));
        }
    }
}

/// A crash may come before or while the record is written.
#[test]
fn a_crash_before_the_record_blocks_nothing() {
    for begun in ["", "{\n  \"ma", "{\n  \"magic\": \"quarry-build\",\n  \"wo"] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("LOCK"), "").unwrap();
        fs::create_dir(folder.path().join("build")).unwrap();
        fs::write(folder.path().join("build/.new-aB3dE6.tmp"), begun).unwrap();
        build_all(vectors(10), None, &options(folder.path())).unwrap();
        assert_eq!(collection::names(folder.path()), collection::expected_names(folder.path()));
    }
}
