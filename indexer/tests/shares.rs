//! A build divided among machines gives, after joining, the bytes of a build on one machine; shares that do
//! not belong together are refused.
#![allow(clippy::unwrap_used, clippy::panic, dead_code, reason = "a panic fails the test")]

mod collection;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use collection::{
    FakeEncoder, build_all, document, expected_names, mix, names, open, options, setup, texts,
    vectors, with_terms,
};
use quarry_index::tokens::Form;
use quarry_index::{Index, IndexError, Verify};
use quarry_indexer::{
    BuildError, BuildOptions, EncoderSetup, JoinOptions, Levels, Lists, Passages, Share,
    ShareReport, TokenInput, TokenOptions, add_tokens, build_share, join,
};
use quarry_vectors::{Document, EncodeError, EncodeTokens, Passage, SplitText, TokenEmbeddings};
use serde_json::json;
use tempfile::{TempDir, tempdir};

const ALL: Lists = Lists::These { impact: true, seismic: true, clusters: true };

/// Token embeddings that depend on the text alone.
struct FakeTokens;

impl EncodeTokens for FakeTokens {
    fn dims(&self) -> usize {
        8
    }

    fn encode_passages(
        &self,
        passages: &[Passage<'_>],
    ) -> Result<Vec<TokenEmbeddings>, EncodeError> {
        passages
            .iter()
            .map(|passage| {
                let values = passage.text.split_whitespace().flat_map(|word| {
                    let seed = word.bytes().fold(1, |h, b| mix(h, u64::from(b)));
                    (0..8u64)
                        .map(move |d| f32::from(u8::try_from(mix(seed, d) % 200).unwrap()) - 99.5)
                });
                TokenEmbeddings::new(8, values.collect()).map_err(|e| EncodeError(Box::new(e)))
            })
            .collect()
    }

    fn encode_question(&self, _: &str) -> Result<TokenEmbeddings, EncodeError> {
        Ok(TokenEmbeddings::default())
    }
}

fn token_options(forms: &[Form]) -> TokenOptions {
    TokenOptions {
        forms: forms.to_vec(),
        pool: 1,
        centroids: 4,
        replace: false,
        source: json!({"name": "fake tokens"}),
    }
}

/// Passages of five words.
struct FiveWords;

impl SplitText for FiveWords {
    fn split(&self, _: &str, text: &str) -> Result<Vec<std::ops::Range<usize>>, EncodeError> {
        let starts: Vec<usize> = (0..text.len())
            .filter(|at| *at == 0 || text.as_bytes()[at - 1] == b' ')
            .step_by(5)
            .collect();
        let ends = starts.iter().skip(1).map(|next| next - 1).chain([text.len()]);
        Ok(starts.iter().copied().zip(ends).map(|(start, end)| start..end).collect())
    }
}

/// A build, to be made on one machine or on several.
struct Case {
    documents: Vec<Document>,
    with_encoder: bool,
    split: bool,
    tokens: Option<Vec<Form>>,
    options: BuildOptions,
    dir: TempDir,
}

impl Case {
    fn new(documents: Vec<Document>, with_encoder: bool) -> Self {
        let dir = tempdir().unwrap();
        let mut options = options(&dir.path().join("one"));
        options.seal.lists = ALL;
        Self { documents, with_encoder, split: false, tokens: None, options, dir }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn with_setup<T>(&self, run: impl FnOnce(Option<&EncoderSetup<'_>>) -> T) -> T {
        let encoder = FakeEncoder::default();
        let five = Passages { splitter: &FiveWords, tokens: 5, overlap: 0 };
        let passages = self.split.then_some(five);
        let setup = EncoderSetup { passages, ..setup(&encoder, "fake") };
        run(self.with_encoder.then_some(&setup))
    }

    /// The index that one machine makes.
    fn one(&self) -> PathBuf {
        let out = self.at("one");
        self.with_setup(|setup| build_all(self.documents.clone(), setup, &self.options)).unwrap();
        if let Some(forms) = &self.tokens {
            let input = TokenInput::Encoder(&FakeTokens);
            add_tokens(&out, &token_options(forms), input, &|_| {}).unwrap();
        }
        out
    }

    fn share_options(&self, out: &Path) -> BuildOptions {
        BuildOptions { out: out.to_path_buf(), ..self.options.clone() }
    }

    fn share(&self, number: usize, of: usize, out: &Path) -> Result<ShareReport, BuildError> {
        self.share_of(&self.documents, number, of, &self.share_options(out))
    }

    fn share_of(
        &self,
        documents: &[Document],
        number: usize,
        of: usize,
        options: &BuildOptions,
    ) -> Result<ShareReport, BuildError> {
        let documents = documents.iter().cloned().map(Ok::<_, io::Error>);
        let share = Share::new(number, of).unwrap();
        let wanted = self.tokens.as_ref().map(|forms| token_options(forms));
        let tokens = wanted.as_ref().map(|options| (&FakeTokens as &dyn EncodeTokens, options));
        self.with_setup(|setup| build_share(documents, setup, (options, share), tokens, &|_| {}))
    }

    /// All shares of a build divided by `of`.
    fn shares(&self, of: usize) -> Vec<PathBuf> {
        let made = |number| {
            let out = self.at(&format!("share-{number}-{of}"));
            if !out.exists() {
                let report = self.share(number, of, &out).unwrap();
                assert_eq!(report.input_documents, self.documents.len() as u64);
                assert!(report.documents <= (self.documents.len() / of + 16) as u64);
            }
            out
        };
        (1..=of).map(made).collect()
    }

    fn join(&self, shares: &[PathBuf], name: &str) -> Result<PathBuf, BuildError> {
        let out = self.at(name);
        let options = JoinOptions { out: out.clone(), overwrite: false, memory: None };
        join(shares, &options, &|_| {})?;
        Ok(out)
    }
}

/// Kind, length and checksum of every part, and what the manifest records about the build.
fn parts(folder: &Path) -> (BTreeMap<String, (u64, String)>, String) {
    let index = Index::open(folder, Verify::Full).unwrap();
    let manifest = index.manifest();
    let parts: Vec<_> =
        manifest.parts().map(|p| (p.kind.clone(), (p.bytes, p.checksum.clone()))).collect();
    let count = parts.len();
    let parts: BTreeMap<_, _> = parts.into_iter().collect();
    assert_eq!(parts.len(), count, "one segment, one part of a kind");
    assert!(manifest.segments.len() <= 1);
    let rest = json!({
        "seed": manifest.seed,
        "build": manifest.build,
        "encoders": manifest.encoders,
        "features": manifest.features,
        "rows": manifest.segments.iter().map(|s| s.rows).sum::<u64>(),
        "documents": manifest.documents(),
    });
    (parts, rest.to_string())
}

#[track_caller]
fn assert_equal(case: &Case, one: &Path, of: usize) {
    let mut shares = case.shares(of);
    // In any order.
    shares.rotate_left(of / 2);
    let joined = case.join(&shares, &format!("joined-{of}")).unwrap();
    let (one, other) = (parts(one), parts(&joined));
    assert_eq!(one.0, other.0, "{of} shares");
    assert_eq!(one.1, other.1, "{of} shares");
    assert_eq!(names(&joined), expected_names(&joined));
}

#[test]
fn shares_of_every_kind_of_input_join_to_what_one_machine_makes() {
    // Only all weights together show that they are not whole multiples of one step.
    let numbers: Vec<Document> = (0u16..150)
        .map(|n| {
            let weight = if n < 140 { f32::from(1 + n % 9) } else { 0.123 * f32::from(n) };
            with_terms(
                document(&format!("n{n}"), u64::from(n)),
                &[(u32::from(n % 40), weight), (50 + u32::from(n % 7), 1.0)],
            )
        })
        .collect();
    let mut words = texts(150);
    words.iter_mut().for_each(|d| d.vector = None);
    let mut before = Vec::new();
    for (documents, encoder) in
        [(texts(200), true), (vectors(200), false), (numbers, false), (words, false)]
    {
        let case = Case::new(documents, encoder);
        let one = case.one();
        // The comparison can tell inputs apart.
        assert!(!before.contains(&parts(&one).0));
        before.push(parts(&one).0);
        for of in [1, 2, 3, 5] {
            assert_equal(&case, &one, of);
        }
    }
}

#[test]
fn names_of_terms_and_other_forms_of_weights_are_kept() {
    let documents = (0u16..60)
        .map(|n| {
            with_terms(
                document(&format!("n{n}"), u64::from(n)),
                &[(u32::from(n % 5), 0.7 + f32::from(n))],
            )
        })
        .collect();
    let mut case = Case::new(documents, false);
    case.options.ingest.vocabulary = Some(["a", "b", "c", "d", "e"].map(str::to_owned).to_vec());
    case.options.seal.levels = Levels::U8;
    case.options.seal.lists = Lists::IMPACT;
    case.options.ingest.ids_are_unique = true;
    let one = case.one();
    assert_equal(&case, &one, 2);
    assert_eq!(open(&case.at("joined-2")).lexicon().unwrap().token(quarry_vectors::TermId(4)), "e");
}

#[test]
fn passages_and_token_embeddings_follow() {
    for (split, lists) in [(false, ALL), (true, ALL), (true, Lists::IMPACT)] {
        let mut case = Case::new(texts(150), true);
        case.split = split;
        case.options.seal.lists = lists;
        case.tokens = Some(vec![Form::Int8, Form::Residual]);
        let one = case.one();
        let rows = open(&one).segments()[0].entry().rows;
        assert_eq!(split, rows > 150);
        assert!(parts(&one).0.contains_key("tokens"));
        for of in [1, 2, 3] {
            assert_equal(&case, &one, of);
        }
    }
}

#[test]
fn an_empty_input_and_more_shares_than_documents_are_joined() {
    for count in [0, 1, 40] {
        let case = Case::new(vectors(count), false);
        let one = case.one();
        assert_equal(&case, &one, 4);
    }
}

#[test]
fn a_repeated_id_is_named_wherever_it_stands() {
    let mut documents = vectors(200);
    // Line 3 is in the first batch, line 190 in the twelfth.
    documents[189].id = documents[2].id.clone();
    let case = Case::new(documents, false);
    // The share that has the first line reports it at once.
    let error = case.share(1, 2, &case.at("a")).unwrap_err();
    assert!(
        matches!(&error, BuildError::DuplicateId { id, first: 3, line: 190 } if id == "doc-2"),
        "{error}"
    );
    case.share(2, 2, &case.at("b")).unwrap();
    // A share that was made without the check is detected by the join.
    let mut unchecked = case.share_options(&case.at("c"));
    unchecked.ingest.ids_are_unique = true;
    case.share_of(&case.documents, 1, 2, &unchecked).unwrap();
    let record = |share: &str| case.at(share).join("shard-of-build.json");
    let text = fs::read_to_string(record("c")).unwrap();
    // The record's checksum covers the record as compact JSON, with an empty checksum.
    let mut edited: serde_json::Value = serde_json::from_str(&text).unwrap();
    edited["sealing"]["ids_are_unique"] = false.into();
    fs::write(record("c"), serde_json::to_vec(&edited).unwrap()).unwrap();
    let error = case.join(&[case.at("c"), case.at("b")], "out").unwrap_err();
    let found = match error {
        BuildError::Index(IndexError::Checksum { found, .. }) => found,
        other => panic!("{other}"),
    };
    edited["checksum"] = found.into();
    fs::write(record("c"), serde_json::to_vec(&edited).unwrap()).unwrap();
    let error = case.join(&[case.at("c"), case.at("b")], "out").unwrap_err();
    assert!(
        matches!(&error, BuildError::DuplicateId { id, first: 3, line: 190 } if id == "doc-2"),
        "{error}"
    );
    assert!(matches!(Index::open(&case.at("out"), Verify::Full), Err(IndexError::NoIndex { .. })));
}

#[track_caller]
fn refused(case: &Case, shares: &[&Path], wants: &[&str]) {
    let shares: Vec<PathBuf> = shares.iter().map(|s| s.to_path_buf()).collect();
    let error = case.join(&shares, "refused").unwrap_err().to_string();
    for want in wants {
        assert!(error.contains(want), "{want:?}: {error}");
    }
    assert!(!case.at("refused").join("CURRENT").exists());
}

#[test]
fn shares_that_do_not_belong_together_are_refused() {
    let case = Case::new(texts(100), true);
    let (two, three) = (case.shares(2), case.shares(3));
    let [a, b] = [&*two[0], &*two[1]];
    refused(&case, &[a], &["shard 2/2 is missing"]);
    refused(&case, &[&three[1]], &["shard 1/3, 3/3 is missing"]);
    refused(&case, &[a, a], &["shard 1/2 is given twice", "share-1-2"]);
    refused(&case, &[a, &three[1]], &["is shard 2/3", "one of 2"]);
    refused(&case, &[], &["no shards"]);
    refused(&case, &[a, &case.at("nowhere")], &["nowhere", "holds no shard of a build"]);

    let other = |name: &str, change: &dyn Fn(&mut BuildOptions)| {
        let out = case.at(name);
        let mut options = case.share_options(&out);
        change(&mut options);
        case.share_of(&case.documents, 2, 2, &options).unwrap();
        out
    };
    let seed = other("seed", &|o| o.seal.seed = 8);
    refused(&case, &[a, &seed], &["seed: shard 2/2", "options", "\"seed\":8", "\"seed\":7"]);
    let lists = other("lists", &|o| o.seal.lists = Lists::IMPACT);
    refused(&case, &[a, &lists], &["lists: shard 2/2", "options"]);
    let source = other("source", &|o| o.source = json!({"input": "elsewhere", "scale": 2}));
    refused(&case, &[a, &source], &["source: shard 2/2", "source", "scale"]);
    // The same input may have another path.
    let moved = other("moved", &|o| o.source = json!({"input": "/mnt/elsewhere"}));
    case.join(&[a.to_path_buf(), moved], "joined-moved").unwrap();

    let out = case.at("model");
    let encoder = FakeEncoder::default();
    let documents = case.documents.iter().cloned().map(Ok::<_, io::Error>);
    let options = case.share_options(&out);
    let share = Share::new(2, 2).unwrap();
    build_share(documents, Some(&setup(&encoder, "other")), (&options, share), None, &|_| {})
        .unwrap();
    refused(&case, &[a, &out], &["model: shard 2/2", "`encoder`", "{\"name\":\"other\"}"]);

    let mut changed = case.documents.clone();
    changed[5].text.push_str(" more");
    let out = case.at("changed");
    case.share_of(&changed, 2, 2, &case.share_options(&out)).unwrap();
    refused(&case, &[a, &out], &["changed: shard 2/2", "`input`", "digest"]);

    // A file that is damaged, missing, or another share's.
    let copy_of = |from: &Path, name: &str| {
        let to = case.at(name);
        fs::create_dir(&to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
        to
    };
    let copy = |name: &str| copy_of(b, name);
    let damaged = copy("damaged");
    let mut bytes = fs::read(damaged.join("shard-000001.qry")).unwrap();
    bytes[100] ^= 1;
    fs::write(damaged.join("shard-000001.qry"), bytes).unwrap();
    refused(&case, &[a, &damaged], &["shard-000001.qry", "checksum"]);
    let lacks = copy("lacks");
    fs::remove_file(lacks.join("shard-000003.qry")).unwrap();
    refused(&case, &[a, &lacks], &["shard-000003.qry"]);
    let swapped = copy("swapped");
    fs::copy(swapped.join("shard-000001.qry"), swapped.join("shard-000003.qry")).unwrap();
    refused(&case, &[a, &swapped], &["shard-000003.qry", "not the file that the record names"]);
    let table = copy_of(a, "table");
    fs::write(table.join("tokenizer.json"), "{}").unwrap();
    refused(&case, &[&table, b], &["tokenizer.json", "not the file that the record names"]);
    let record = copy("record");
    fs::write(record.join("shard-of-build.json"), "{\"magic\": 1").unwrap();
    refused(&case, &[a, &record], &["shard-of-build.json"]);
}

#[test]
fn an_interrupted_share_is_resumed() {
    for encoder in [true, false] {
        let documents = if encoder { texts(200) } else { vectors(200) };
        let case = Case::new(documents, encoder);
        let one = case.one();
        for cut in [0, 16, 17, 100, 199] {
            let out = case.at(&format!("cut-{cut}"));
            let options = case.share_options(&out);
            let share = Share::new(2, 2).unwrap();
            let input = case.documents[..cut].iter().cloned().map(Ok);
            let input = input.chain([Err(io::Error::other("the power went"))]);
            let stopped = case
                .with_setup(|setup| build_share(input, setup, (&options, share), None, &|_| {}));
            assert!(matches!(stopped.unwrap_err(), BuildError::Input(_)));
            let error = case.join(&[case.shares(2)[0].clone(), out.clone()], "early").unwrap_err();
            assert!(error.to_string().contains("--resume"), "{error}");
            assert!(matches!(case.share(2, 2, &out).unwrap_err(), BuildError::Interrupted { .. }));
            let resume = BuildOptions { resume: true, ..options.clone() };
            let error = case.share_of(&case.documents, 1, 2, &resume).unwrap_err();
            assert!(matches!(error, BuildError::ResumeMismatch { .. }), "{error}");
            let report = case.share_of(&case.documents, 2, 2, &resume).unwrap();
            assert_eq!(report.resumed_documents, (cut as u64 / 16) / 2 * 16, "cut at {cut}");
            let again = case.share_of(&case.documents, 2, 2, &resume).unwrap();
            assert!(again.already_complete);
            assert!(matches!(case.share(2, 2, &out).unwrap_err(), BuildError::ShardExists { .. }));
            let name = format!("joined-cut-{cut}");
            let joined = case.join(&[case.shares(2)[0].clone(), out], &name).unwrap();
            assert_eq!(parts(&one), parts(&joined));
        }
        // Another input: its documents differ from those of the existing shards.
        let out = case.at("other-input");
        let options = case.share_options(&out);
        let input =
            case.documents[..100].iter().cloned().map(Ok).chain([Err(io::Error::other("x"))]);
        let share = Share::new(1, 2).unwrap();
        case.with_setup(|setup| build_share(input, setup, (&options, share), None, &|_| {}))
            .unwrap_err();
        let resume = BuildOptions { resume: true, ..options };
        let error = case.share_of(&case.documents[3..], 1, 2, &resume).unwrap_err().to_string();
        assert!(error.contains("documents of shard-000000"), "{error}");
    }
}

#[test]
fn a_folder_of_other_files_is_left_alone() {
    let case = Case::new(vectors(20), false);
    let one = case.one();
    let error = case.share(1, 1, &one).unwrap_err();
    assert!(matches!(error, BuildError::NotAShard { .. }), "{error}");
    open(&one);
    let own = case.at("own");
    fs::create_dir(&own).unwrap();
    fs::write(own.join("thesis.txt"), "mine").unwrap();
    let overwrite = BuildOptions { overwrite: true, ..case.share_options(&own) };
    let error = case.share_of(&case.documents, 1, 1, &overwrite).unwrap_err().to_string();
    assert!(error.contains("thesis.txt"), "{error}");
    // An index is only replaced on request, and cannot be given in place of a share.
    let shares = case.shares(1);
    let error = case.join(std::slice::from_ref(&one), "x").unwrap_err();
    assert!(matches!(error, BuildError::NotAShard { .. }), "{error}");
    let other = case.at("other");
    build_all(vectors(7), None, &BuildOptions { source: json!(1), ..options(&other) }).unwrap();
    let error = case.join(&shares, "other").unwrap_err();
    assert!(matches!(error, BuildError::Exists { documents: 7, .. }), "{error}");
    let options = JoinOptions { out: other.clone(), overwrite: true, memory: None };
    join(&shares, &options, &|_| {}).unwrap();
    assert_eq!(parts(&one), parts(&other));
    let again = JoinOptions { overwrite: false, ..options };
    assert!(join(&shares, &again, &|_| {}).unwrap().already_complete);
}

/// A merge that stops, at any place where it reports progress, leaves nothing visible to readers, and the
/// next one makes the whole index.
#[test]
fn an_interrupted_join_leaves_nothing_visible_and_starts_over() {
    let mut case = Case::new(texts(100), true);
    case.tokens = Some(vec![Form::Int8]);
    let one = case.one();
    let shares = case.shares(3);
    let options = JoinOptions { out: case.at("out"), overwrite: false, memory: None };
    let mut stopped = 0;
    loop {
        let left = AtomicUsize::new(stopped);
        let done = catch_unwind(AssertUnwindSafe(|| {
            join(&shares, &options, &|_| {
                let more =
                    left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
                if more.is_err() {
                    std::panic::resume_unwind(Box::new("the power went"));
                }
            })
        }));
        if let Ok(report) = done {
            report.unwrap();
            break;
        }
        stopped += 1;
        let opened = Index::open(&options.out, Verify::Full);
        assert!(matches!(opened, Err(IndexError::NoIndex { .. })), "after {stopped} reports");
        assert!(stopped < 10_000);
    }
    assert!(stopped > 3, "there were {stopped} places to stop at");
    assert_eq!(parts(&one), parts(&options.out));
    assert_eq!(names(&options.out), expected_names(&options.out));
}
