//! Collections by name, from a server that the test plays: HTTP over a local socket, as a server answers
//! it, and as it does not.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

mod played;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use md5::{Digest, Md5};
use quarry_datasets::collections::{
    Becomes, CollectionState, Collections, KnownCollection, PullEvent, RemoteFile, Retries,
};
use quarry_datasets::{
    CollectionOptions, DatasetError, QueryOptions, open_collection, open_qrels, open_queries,
};
use tempfile::TempDir;

use played::{Manner, Server};

const DOCUMENTS: &str = "{\"_id\": \"d1\", \"title\": \"Stone\", \"text\": \"A quarry.\"}\n";

fn beir_files() -> Vec<(&'static str, String)> {
    vec![
        ("toy/corpus.jsonl", DOCUMENTS.to_owned()),
        ("toy/queries.jsonl", "{\"_id\": \"q1\", \"text\": \"stone pit\"}\n".to_owned()),
        ("toy/qrels/test.tsv", "query-id\tcorpus-id\tscore\nq1\td1\t1\n".to_owned()),
        ("__MACOSX/junk", "junk".to_owned()),
    ]
}

fn zip_of(files: &[(&str, String)]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let stored = zip::write::SimpleFileOptions::default()
        .compression_method(zip::CompressionMethod::Deflated);
    for (name, text) in files {
        zip.start_file(*name, stored).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    }
    // Large enough that a half is worth resuming, and does not shrink.
    zip.start_file("toy/numbers", stored.compression_method(zip::CompressionMethod::Stored))
        .unwrap();
    let numbers: Vec<u8> = (0..200_000u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
    zip.write_all(&numbers).unwrap();
    zip.finish().unwrap().into_inner()
}

fn sum(bytes: &[u8]) -> String {
    format!("{:x}", Md5::digest(bytes))
}

fn remote(name: &str, bytes: &[u8], becomes: Becomes) -> RemoteFile {
    RemoteFile {
        address: format!("https://example.invalid/data/{name}"),
        bytes: bytes.len() as u64,
        md5: sum(bytes),
        becomes,
    }
}

fn known(name: &str, files: Vec<RemoteFile>) -> KnownCollection {
    KnownCollection {
        name: name.to_owned(),
        about: "a toy".to_owned(),
        documents: 1,
        splits: vec!["test".to_owned()],
        licence: "none".to_owned(),
        homepage: "https://example.invalid".to_owned(),
        files,
        parts: Vec::new(),
    }
}

/// A cache, and a server with one ZIP archive of a toy collection.
struct Case {
    dir: TempDir,
    server: Server,
    collections: Collections,
}

impl Case {
    fn of(archive: Vec<u8>, manner: Manner) -> Self {
        let file = remote("toy.zip", &archive, Becomes::Zip("toy".to_owned()));
        Self::with(
            vec![known("beir/toy", vec![file])],
            BTreeMap::from([("toy.zip", archive)]),
            manner,
        )
    }

    fn with(
        known: Vec<KnownCollection>,
        files: BTreeMap<&'static str, Vec<u8>>,
        manner: Manner,
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::start(files, manner);
        let collections = Collections {
            cache: dir.path().join("cache"),
            base: Some(format!("{}/mirror/", server.address)),
            retries: Retries { attempts: 3, pause: Duration::ZERO },
            known,
        };
        Self { dir, server, collections }
    }

    fn pull(&self) -> Result<PathBuf, DatasetError> {
        Ok(self.collections.pull("beir/toy", &|_| {})?.folder)
    }

    fn part(&self) -> PathBuf {
        self.collections.cache.join("downloads/toy.zip.part")
    }

    fn state(&self) -> CollectionState {
        self.collections.state(&self.collections.known[0])
    }

    /// Nothing can be used, and nothing is left of what was unpacked.
    fn assert_nothing_visible(&self) {
        assert_ne!(self.state(), CollectionState::Pulled);
        assert!(!self.collections.cache.join("beir").exists());
        let error = self.collections.folder("beir/toy").unwrap_err().to_string();
        assert!(error.contains("quarry dataset pull beir/toy"), "{error}");
    }
}

#[track_caller]
fn assert_toy(folder: &Path) {
    let documents: Vec<_> = open_collection(folder, &CollectionOptions::default())
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!((documents.len(), documents[0].id.as_str()), (1, "d1"));
    let options = QueryOptions { split: Some("test".to_owned()), ..QueryOptions::default() };
    assert_eq!(open_queries(folder, &options).unwrap()[0].id, "q1");
    assert_eq!(open_qrels(folder, "test").unwrap().len(), 1);
    assert_eq!(fs::metadata(folder.join("numbers")).unwrap().len(), 200_000);
    assert!(!folder.join("junk").exists());
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_collection_is_pulled_once() {
    let case = Case::of(zip_of(&beir_files()), Manner::Good);
    assert_eq!(case.state(), CollectionState::Absent);
    case.assert_nothing_visible();
    let arrived = Mutex::new((0, 0));
    let pulled = case
        .collections
        .pull("beir/toy", &|event| {
            let mut arrived = arrived.lock().unwrap();
            match event {
                PullEvent::File { bytes, .. } => arrived.1 += bytes.unwrap(),
                PullEvent::Bytes(n) => arrived.0 += n,
                PullEvent::Unpacking { .. } | PullEvent::Unpacked(_) => {}
            }
        })
        .unwrap();
    let (got, total) = *arrived.lock().unwrap();
    assert_eq!(got, total);
    assert!(!pulled.was_there);
    assert_toy(&pulled.folder);
    assert_eq!(case.collections.folder("beir/toy").unwrap(), Some(pulled.folder.clone()));
    assert_eq!(case.collections.folder("toy").unwrap(), None);
    let record = fs::read_to_string(pulled.folder.join("QUARRY-COLLECTION")).unwrap();
    assert!(record.contains(&case.collections.known[0].files[0].md5), "{record}");
    assert_eq!(names(&case.collections.cache.join("downloads")), ["beir--toy.lock"]);
    assert!(case.collections.pull("beir/toy", &|_| {}).unwrap().was_there);
    assert_eq!(case.server.requests(), ["/mirror/toy.zip"]);
}

#[test]
fn a_broken_transfer_goes_on_where_it_broke() {
    let archive = zip_of(&beir_files());
    let length = archive.len();
    let case = Case::of(archive, Manner::Cut(2));
    assert_toy(&case.pull().unwrap());
    let half = length / 2;
    let then = half + (length - half) / 2;
    let ranges = [half, then].map(|at| format!("/mirror/toy.zip bytes={at}-"));
    assert_eq!(case.server.requests()[1..], ranges);
}

#[test]
fn a_server_in_trouble_is_asked_again() {
    let case = Case::of(zip_of(&beir_files()), Manner::Error(3));
    assert_toy(&case.pull().unwrap());
    assert_eq!(case.server.requests().len(), 4);
}

#[test]
fn a_transfer_that_does_not_get_on_ends_and_is_continued_by_the_next_pull() {
    let archive = zip_of(&beir_files());
    // Each attempt halves what is left, until no byte more arrives.
    let case = Case::of(archive.clone(), Manner::Cut(usize::MAX));
    let error = case.pull().unwrap_err();
    assert!(matches!(error, DatasetError::Fetch { .. }), "{error}");
    let message = error.to_string();
    for want in ["toy.zip", "pulling again goes on", "Without a network", "--base"] {
        assert!(message.contains(want), "{message}");
    }
    case.assert_nothing_visible();
    let part = fs::metadata(case.part()).unwrap().len();
    assert!(part > 0 && part < archive.len() as u64);
    assert_eq!(case.state(), CollectionState::Begun(part));

    let good = Server::start(BTreeMap::from([("toy.zip", archive)]), Manner::Good);
    let collections =
        Collections { base: Some(format!("{}/mirror", good.address)), ..case.collections.clone() };
    assert_toy(&collections.pull("beir/toy", &|_| {}).unwrap().folder);
    assert_eq!(good.requests(), [format!("/mirror/toy.zip bytes={part}-")]);
}

#[test]
fn a_server_without_ranges_sends_all_again() {
    for manner in [Manner::NoRange, Manner::CutNoRange(2)] {
        let case = Case::of(zip_of(&beir_files()), manner);
        fs::create_dir_all(case.part().parent().unwrap()).unwrap();
        fs::write(case.part(), b"PK of an earlier run").unwrap();
        assert_toy(&case.pull().unwrap());
        assert!(case.server.requests()[0].ends_with("bytes=20-"), "{:?}", case.server.requests());
    }
}

/// Whatever a kill leaves of a file: the beginning, all of it, or more than there is.
#[test]
fn what_a_kill_left_is_used_or_thrown_away() {
    let archive = zip_of(&beir_files());
    for keep in [0, 1, 1000, archive.len() - 1, archive.len()] {
        let case = Case::of(archive.clone(), Manner::Good);
        fs::create_dir_all(case.part().parent().unwrap()).unwrap();
        fs::write(case.part(), &archive[..keep]).unwrap();
        // Nor does it matter what lies where archives are unpacked.
        let unpacked = case.collections.cache.join("downloads/beir--toy.unpacked/collection");
        fs::create_dir_all(&unpacked).unwrap();
        fs::write(unpacked.join("corpus.jsonl"), "half").unwrap();
        assert_toy(&case.pull().unwrap());
        // What is all there is asked for no more.
        assert_eq!(case.server.requests().len(), usize::from(keep < archive.len()));
    }
    let case = Case::of(archive.clone(), Manner::Good);
    fs::create_dir_all(case.part().parent().unwrap()).unwrap();
    fs::write(case.part(), [archive.clone(), vec![0; 10]].concat()).unwrap();
    assert_toy(&case.pull().unwrap());

    // Killed while unpacking: the file is whole, and nothing is asked for.
    let case = Case::of(archive.clone(), Manner::Good);
    fs::create_dir_all(case.part().parent().unwrap()).unwrap();
    fs::write(case.collections.cache.join("downloads/toy.zip"), &archive).unwrap();
    assert_toy(&case.pull().unwrap());
    assert!(case.server.requests().is_empty());
}

#[test]
fn another_file_is_refused_and_removed() {
    let archive = zip_of(&beir_files());
    let mut case = Case::of(archive, Manner::Good);
    let right = case.collections.known[0].files[0].md5.clone();
    case.collections.known[0].files[0].md5 = "0".repeat(32);
    let error = case.pull().unwrap_err();
    assert!(matches!(error, DatasetError::FetchedOther { .. }), "{error}");
    let message = error.to_string();
    assert!(message.contains(&right) && message.contains("it was removed"), "{message}");
    assert_eq!(names(&case.collections.cache.join("downloads")), ["beir--toy.lock"]);
    case.assert_nothing_visible();
    // Neither is one used that was put there.
    fs::write(case.collections.cache.join("downloads/toy.zip"), b"PK").unwrap();
    assert!(matches!(case.pull().unwrap_err(), DatasetError::FetchedOther { .. }));
    assert_eq!(names(&case.collections.cache.join("downloads")), ["beir--toy.lock"]);
    case.collections.known[0].files[0].md5 = right;
    assert_toy(&case.pull().unwrap());
}

#[test]
fn no_file_and_no_server_are_said() {
    let case = Case::with(
        vec![known("beir/toy", vec![remote("none.zip", b"x", Becomes::Zip("toy".to_owned()))])],
        BTreeMap::new(),
        Manner::Good,
    );
    let error = case.pull().unwrap_err().to_string();
    assert!(error.contains("404") && error.contains("/mirror/none.zip"), "{error}");
    case.assert_nothing_visible();
    assert_eq!(case.server.requests().len(), 1, "a missing file is not asked for again");

    let mut case = Case::of(zip_of(&beir_files()), Manner::Good);
    // A port that nobody listens at.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    case.collections.base = Some(format!("http://{free}"));
    let error = case.pull().unwrap_err();
    assert!(matches!(error, DatasetError::Fetch { .. }), "{error}");
    let message = error.to_string();
    let put = case.collections.cache.join("downloads/toy.zip");
    assert!(message.contains(&format!("put it at {}", put.display())), "{message}");
    case.assert_nothing_visible();
    assert_eq!(case.state(), CollectionState::Absent);
    assert!(matches!(
        case.collections.pull("beir/none", &|_| {}).unwrap_err(),
        DatasetError::UnknownCollection { .. }
    ));
    let error = case.collections.pull("beir/bioasq", &|_| {}).unwrap_err().to_string();
    assert!(error.contains("does not hand it out"), "{error}");
}

#[test]
fn archives_that_reach_out_are_refused() {
    for name in ["../outside.txt", "toy/../../outside.txt", "/tmp/quarry-outside.txt"] {
        let mut files = beir_files();
        files.push((name, "gotcha".to_owned()));
        let case = Case::of(zip_of(&files), Manner::Good);
        let error = case.pull().unwrap_err();
        assert!(matches!(error, DatasetError::Archive { .. }), "{name}: {error}");
        assert!(error.to_string().contains("leads out of its folder"), "{name}: {error}");
        case.assert_nothing_visible();
        let outside = |dir: &Path| {
            fs::read_dir(dir)
                .unwrap()
                .any(|e| e.unwrap().file_name().to_string_lossy().contains("outside"))
        };
        for dir in ["", "cache", "cache/downloads"] {
            assert!(!outside(&case.dir.path().join(dir)), "{name}");
        }
        assert!(!Path::new("/tmp/quarry-outside.txt").exists());
    }
    // A link could lead a later entry out.
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    zip.add_symlink("toy/link", "/tmp", zip::write::SimpleFileOptions::default()).unwrap();
    let case = Case::of(zip.finish().unwrap().into_inner(), Manner::Good);
    let error = case.pull().unwrap_err().to_string();
    assert!(error.contains("neither a file nor a folder"), "{error}");

    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(6);
    header.set_cksum();
    // The builder itself refuses such a name.
    let name = b"../outside.txt";
    header.as_mut_bytes()[..name.len()].copy_from_slice(name);
    header.set_cksum();
    tar.append(&header, &b"gotcha"[..]).unwrap();
    let archive = gzip(&tar.into_inner().unwrap());
    let file = remote("c.tar.gz", &archive, Becomes::TarGz);
    let case = Case::with(
        vec![known("beir/toy", vec![file])],
        BTreeMap::from([("c.tar.gz", archive)]),
        Manner::Good,
    );
    let error = case.pull().unwrap_err().to_string();
    assert!(error.contains("leads out of its folder"), "{error}");
    assert!(!case.dir.path().join("outside.txt").exists());
}

/// A ZIP archive with these entries, whatever their names.
fn zip_with(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let packed = zip::write::SimpleFileOptions::default();
    for (name, content) in entries {
        zip.start_file(*name, packed).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

#[test]
fn archives_that_play_tricks_are_refused_and_leave_nothing() {
    let documents = ("toy/corpus.jsonl", DOCUMENTS.as_bytes());
    // The writer refuses a name twice, so that it is made so afterwards.
    let mut twice = zip_with(&[documents, ("toy/corpus.jsonx", b"again")]);
    while let Some(at) = twice.windows(6).position(|w| w == b".jsonx") {
        twice[at + 5] = b'l';
    }
    let bomb = zip_with(&[documents, ("toy/bomb", &vec![0; 40 << 20])]);
    let many: Vec<String> = (0..10_001).map(|n| format!("toy/{n}")).collect();
    let many: Vec<(&str, &[u8])> = many.iter().map(|name| (name.as_str(), &[][..])).collect();
    for (archive, want) in [
        (twice, "twice"),
        (zip_with(&[documents, ("toy/Corpus.JSONL", b"again")]), "twice, case aside"),
        (zip_with(&[documents, ("toy/./corpus.jsonl", b"again")]), "twice, case aside"),
        (zip_with(&[documents, ("toy/a\x1b[31m", b"red")]), "control characters"),
        (bomb, "more comes out of it than 40 times"),
        (zip_with(&many), "more than 10000 entries"),
    ] {
        let case = Case::of(archive, Manner::Good);
        let error = case.pull().unwrap_err();
        assert!(matches!(error, DatasetError::Archive { .. }), "{want}: {error}");
        assert!(error.to_string().contains(want), "{want}: {error}");
        case.assert_nothing_visible();
        assert_eq!(names(&case.collections.cache.join("downloads")), ["beir--toy.lock"], "{want}");
    }
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(40 << 20);
    tar.append_data(&mut header, "collection.tsv", &*vec![b'x'; 40 << 20]).unwrap();
    let archive = gzip(&tar.into_inner().unwrap());
    let file = remote("c.tar.gz", &archive, Becomes::TarGz);
    let case = Case::with(
        vec![known("beir/toy", vec![file])],
        BTreeMap::from([("c.tar.gz", archive)]),
        Manner::Good,
    );
    let error = case.pull().unwrap_err().to_string();
    assert!(error.contains("more comes out of it"), "{error}");
    case.assert_nothing_visible();
    assert_eq!(names(&case.collections.cache.join("downloads")), ["beir--toy.lock"]);
}

#[test]
fn no_more_is_taken_than_the_registry_says_there_is() {
    let archive = zip_of(&beir_files());
    let case = Case::of(archive.clone(), Manner::Endless);
    let arrived = Mutex::new(0);
    let result = case.collections.pull("beir/toy", &|event| {
        if let PullEvent::Bytes(bytes) = event {
            *arrived.lock().unwrap() += bytes;
        }
    });
    assert!(matches!(result.unwrap_err(), DatasetError::FetchedOther { .. }));
    assert_eq!(*arrived.lock().unwrap(), archive.len() as u64);
    assert_eq!(names(&case.collections.cache.join("downloads")), ["beir--toy.lock"]);

    // A server that says another length is not listened to.
    let mut case = Case::of(archive, Manner::Good);
    case.collections.known[0].files[0].bytes = 100;
    let error = case.pull().unwrap_err().to_string();
    assert!(error.contains("the registry 100"), "{error}");
    assert_eq!(names(&case.collections.cache.join("downloads")), ["beir--toy.lock"]);
}

#[test]
fn archives_that_are_none_or_hold_nothing_are_refused() {
    let whole = zip_of(&beir_files());
    let other = zip_of(&[("toy/readme.txt", "nothing".to_owned())]);
    let elsewhere = zip_of(&[("corpus.jsonl", DOCUMENTS.to_owned())]);
    for (archive, want) in [
        (whole[..whole.len() / 2].to_vec(), "toy.zip: "),
        (b"no archive".to_vec(), "toy.zip: "),
        (other, "neither corpus.jsonl nor collection.tsv"),
        (elsewhere, "neither corpus.jsonl nor collection.tsv"),
    ] {
        let case = Case::of(archive, Manner::Good);
        let error = case.pull().unwrap_err();
        assert!(matches!(error, DatasetError::Archive { .. }), "{error}");
        assert!(error.to_string().contains(want), "{want}: {error}");
        case.assert_nothing_visible();
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut w = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    w.write_all(bytes).unwrap();
    w.finish().unwrap()
}

#[test]
fn several_files_become_a_folder_of_ms_marco() {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, text) in [
        ("collection.tsv", "0\tA quarry of stone.\n1\tBread.\n"),
        ("queries.dev.small.tsv", "7\tstone pit\n8\tnot judged\n"),
        ("qrels.dev.small.tsv", "7\t0\t0\t1\n"),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, text.as_bytes()).unwrap();
    }
    let archive = gzip(&tar.into_inner().unwrap());
    let (queries, qrels) = (gzip(b"9\tbread\n"), b"9 0 1 3\n".to_vec());
    let named = |name: &str| Becomes::File(name.to_owned());
    let files = vec![
        remote("c.tar.gz", &archive, Becomes::TarGz),
        remote("q.tsv.gz", &queries, named("queries.trec.tsv.gz")),
        remote("j.txt", &qrels, named("qrels.trec.tsv")),
    ];
    let served = BTreeMap::from([("c.tar.gz", archive), ("q.tsv.gz", queries), ("j.txt", qrels)]);
    let case = Case::with(vec![known("beir/toy", files)], served, Manner::Cut(1));
    let folder = case.pull().unwrap();
    let documents = open_collection(&folder, &CollectionOptions::default()).unwrap();
    assert_eq!(documents.count(), 2);
    let ids = |split: &str| -> Vec<String> {
        let options = QueryOptions { split: Some(split.to_owned()), ..QueryOptions::default() };
        open_queries(&folder, &options).unwrap().into_iter().map(|q| q.id).collect()
    };
    assert_eq!((ids("dev.small"), ids("trec")), (vec!["7".to_owned()], vec!["9".to_owned()]));
    assert_eq!(open_qrels(&folder, "trec").unwrap().judged("9").unwrap()["1"], 3);
    let error = open_qrels(&folder, "test").unwrap_err().to_string();
    assert!(error.contains("there is dev.small, trec"), "{error}");
    let error = open_queries(&folder, &QueryOptions::default()).unwrap_err().to_string();
    assert!(error.contains("there is dev.small, trec"), "{error}");
}

#[test]
fn parts_are_collections_of_their_own() {
    let files: Vec<(&str, String)> = vec![
        ("toy/a/corpus.jsonl", DOCUMENTS.to_owned()),
        ("toy/b/corpus.jsonl", DOCUMENTS.to_owned()),
    ];
    let archive = zip_of(&files);
    let mut toy =
        known("beir/toy", vec![remote("toy.zip", &archive, Becomes::Zip("toy".to_owned()))]);
    toy.parts = vec!["a".to_owned(), "b".to_owned()];
    let case = Case::with(vec![toy], BTreeMap::from([("toy.zip", archive)]), Manner::Good);
    let error = case.collections.folder("beir/toy/b").unwrap_err().to_string();
    assert!(error.contains("`quarry dataset pull beir/toy`"), "{error}");
    let folder = case.pull().unwrap();
    assert_eq!(case.collections.folder("beir/toy/b").unwrap(), Some(folder.join("b")));
    assert_eq!(case.collections.folder("beir/toy/c").unwrap(), None);
    let error = case.collections.folder("beir/toy").unwrap_err().to_string();
    assert!(error.contains("beir/toy/a, beir/toy/b"), "{error}");
}

#[test]
fn one_process_pulls_and_nothing_of_others_is_replaced() {
    let case = Case::of(zip_of(&beir_files()), Manner::Good);
    let downloads = case.collections.cache.join("downloads");
    fs::create_dir_all(&downloads).unwrap();
    let lock = fs::File::create(downloads.join("beir--toy.lock")).unwrap();
    lock.lock().unwrap();
    assert!(matches!(case.pull().unwrap_err(), DatasetError::BeingPulled { .. }));
    drop(lock);
    let own = case.collections.cache.join("beir/toy");
    fs::create_dir_all(&own).unwrap();
    fs::write(own.join("corpus.jsonl"), "mine").unwrap();
    assert!(matches!(case.pull().unwrap_err(), DatasetError::Foreign { .. }));
    assert_eq!(fs::read_to_string(own.join("corpus.jsonl")).unwrap(), "mine");
    assert!(case.collections.folder("beir/toy").is_err());
}
