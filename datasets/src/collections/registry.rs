//! The collections that are known by name.
//!
//! Addresses, lengths and MD5 sums are published ones: of BEIR by its own table of data sets
//! (<https://github.com/beir-cellar/beir/wiki/Datasets-available>) and, with the lengths, by ir_datasets
//! (<https://github.com/allenai/ir_datasets>, `etc/downloads.json`), which agree; of MS MARCO and TREC by
//! ir_datasets. No more bytes than the length are taken, and the sum decides. What a licence note says was found on the publishers' pages; where these say nothing
//! that can be quoted, it says so.

use std::io::Read;
use std::path::{Component, Path};

use serde::{Deserialize, Serialize};

use crate::error::DatasetError;
use crate::input::open_file;

/// A collection that is known by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownCollection {
    /// Its name, such as `beir/scifact`: also its folder in the cache.
    pub name: String,
    /// What it is about.
    pub about: String,
    /// Documents, about.
    pub documents: u64,
    /// Splits that have judgements, the usual one first.
    pub splits: Vec<String>,
    /// What is known of its licence. It is for the user to see whether a use is allowed.
    pub licence: String,
    /// The page of those who made it.
    pub homepage: String,
    /// What is fetched.
    pub files: Vec<RemoteFile>,
    /// Folders of a collection that is several ones; empty where it is one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<String>,
}

/// A file that is fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteFile {
    /// Where from.
    pub address: String,
    /// Its length in bytes; no more are taken.
    pub bytes: u64,
    /// Its MD5 sum in hexadecimal, as published.
    pub md5: String,
    /// What is made of it.
    pub becomes: Becomes,
}

/// What is made of a fetched file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Becomes {
    /// A ZIP archive: the content of its folder of this name is the collection's.
    Zip(String),
    /// A compressed tar archive whose files are the collection's.
    TarGz,
    /// It is kept as it is, under this name.
    File(String),
}

impl KnownCollection {
    /// Bytes of all that is fetched.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().fold(0, |sum, file| file.bytes.saturating_add(sum))
    }

    /// Refuses what could lead out of the cache, or could never be checked.
    fn check(&self, path: &Path) -> Result<(), DatasetError> {
        let bad = |what: &str| {
            Err(DatasetError::Registry {
                path: path.to_owned(),
                what: format!("collection {:?}: {what}", self.name),
            })
        };
        if !self.name.split('/').all(is_plain) || self.name.starts_with("downloads") {
            return bad("the name is not of the form a/b, of letters, digits, `.`, `_` and `-`");
        }
        if self.files.is_empty()
            || self.splits.is_empty()
            || !self.parts.iter().all(|p| is_plain(p))
        {
            return bad("files and splits must not be empty, parts are names of folders");
        }
        for file in &self.files {
            let to = match &file.becomes {
                Becomes::Zip(name) | Becomes::File(name) => name.as_str(),
                Becomes::TarGz => "collection",
            };
            if !is_plain(to) || !is_plain(file.file_name()) {
                return bad(
                    "an address does not end with the name of a file, or a file has no plain name",
                );
            }
            if file.md5.len() != 32 || !file.md5.bytes().all(|b| b.is_ascii_hexdigit()) {
                return bad("an md5 is 32 hexadecimal digits");
            }
        }
        Ok(())
    }
}

impl RemoteFile {
    /// The last part of its address.
    #[must_use]
    pub fn file_name(&self) -> &str {
        self.address.rsplit('/').next().unwrap_or_default()
    }
}

/// Whether a text is the name of one file or folder, and not of a hidden one.
fn is_plain(text: &str) -> bool {
    !text.starts_with('.')
        && matches!(Path::new(text).components().collect::<Vec<_>>()[..], [Component::Normal(_)])
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

/// Reads further collections from a file: a JSON array of what [`known_collections`] gives.
///
/// # Errors
/// When it cannot be read, is of another form, or has names that lead out of a folder.
pub fn read_collections(path: &Path) -> Result<Vec<KnownCollection>, DatasetError> {
    let mut bytes = Vec::new();
    let read = open_file(path)?.read_to_end(&mut bytes);
    read.map_err(|e| DatasetError::open(path, e))?;
    let all: Vec<KnownCollection> = serde_json::from_slice(&bytes)
        .map_err(|e| DatasetError::Registry { path: path.to_owned(), what: e.to_string() })?;
    all.iter().try_for_each(|collection| collection.check(path))?;
    Ok(all)
}

/// All collections that are known by name.
#[must_use]
pub fn known_collections() -> Vec<KnownCollection> {
    let mut all: Vec<KnownCollection> = BEIR.iter().map(Beir::collection).collect();
    all.push(msmarco_passage());
    all
}

/// BEIR's collections that are not handed out freely.
pub(super) const NOT_PUBLIC: [&str; 4] =
    ["beir/bioasq", "beir/signal1m", "beir/trec-news", "beir/robust04"];

const OWN_TERMS: &str = "its publisher's own terms; see the homepage";
const MSMARCO_TERMS: &str = "MS MARCO's terms: non-commercial research only";

/// BEIR's folder of archives.
const BEIR_AT: &str = "https://public.ukp.informatik.tu-darmstadt.de/thakur/BEIR/datasets";

/// One of BEIR's archives: name, subject, documents, splits, licence, homepage, bytes, MD5.
struct Beir(
    &'static str,
    &'static str,
    u64,
    &'static [&'static str],
    &'static str,
    &'static str,
    u64,
    &'static str,
);

impl Beir {
    fn collection(&self) -> KnownCollection {
        let Self(name, about, documents, splits, licence, homepage, bytes, md5) = *self;
        KnownCollection {
            name: format!("beir/{name}"),
            about: about.to_owned(),
            documents,
            splits: owned(splits),
            licence: licence.to_owned(),
            homepage: homepage.to_owned(),
            files: vec![RemoteFile {
                address: format!("{BEIR_AT}/{name}.zip"),
                bytes,
                md5: md5.to_owned(),
                becomes: Becomes::Zip(name.to_owned()),
            }],
            parts: if name == "cqadupstack" { owned(&FORUMS) } else { Vec::new() },
        }
    }
}

/// Stack Exchange's forums of CQADupStack.
const FORUMS: [&str; 12] = [
    "android",
    "english",
    "gaming",
    "gis",
    "mathematica",
    "physics",
    "programmers",
    "stats",
    "tex",
    "unix",
    "webmasters",
    "wordpress",
];

#[rustfmt::skip]
const BEIR: [Beir; 15] = [
    Beir("arguana", "counter-arguments to arguments", 8_674, &["test"], OWN_TERMS,
        "http://argumentation.bplaced.net/arguana/data", 3_773_617, "8ad3e3c2a5867cdced806d6503f29b99"),
    Beir("climate-fever", "Wikipedia for claims about climate", 5_416_593, &["test"], OWN_TERMS,
        "http://climatefever.ai/", 1_228_666_652, "8b66f0a9126c521bae2bde127b4dc99d"),
    Beir("cqadupstack", "duplicate questions of twelve forums", 457_199, &["test"], OWN_TERMS,
        "http://nlp.cis.unimelb.edu.au/resources/cqadupstack/", 5_343_728_040, "4e41456d7df8ee7760a7f866133bda78"),
    Beir("dbpedia-entity", "entities of DBpedia", 4_635_922, &["test", "dev"], "CC BY-SA 3.0",
        "https://github.com/iai-group/DBpedia-Entity/", 639_285_131, "c2a39eb420a3164af735795df012ac2c"),
    Beir("fever", "Wikipedia for claims", 5_416_568, &["test", "dev", "train"], OWN_TERMS,
        "https://fever.ai/", 1_236_988_269, "5a818580227bfb4b35bb6fa46d9b6c03"),
    Beir("fiqa", "answers about finance", 57_638, &["test", "dev", "train"], OWN_TERMS,
        "https://sites.google.com/view/fiqa/", 17_948_027, "17918ed23cd04fb15047f73e6c3bd9d9"),
    Beir("hotpotqa", "Wikipedia for questions in several steps", 5_233_329, &["test", "dev", "train"], "CC BY-SA 4.0",
        "https://hotpotqa.github.io", 654_025_350, "f412724f78b0d91183a0e86805e16114"),
    Beir("msmarco", "web passages; BEIR's form of MS MARCO", 8_841_823, &["dev", "test", "train"], MSMARCO_TERMS,
        "https://microsoft.github.io/msmarco/", 1_082_258_632, "444067daf65d982533ea17ebd59501e4"),
    Beir("nfcorpus", "medical articles for laymen's questions", 3_633, &["test", "dev", "train"], OWN_TERMS,
        "https://www.cl.uni-heidelberg.de/statnlpgroup/nfcorpus/", 2_448_432, "a89dba18a62ef92f7d323ec890a0d38d"),
    Beir("nq", "Wikipedia for questions asked of Google", 2_681_468, &["test"], "CC BY-SA 3.0",
        "https://ai.google.com/research/NaturalQuestions", 498_307_926, "d4d3d2e48787a744b6f6e691ff534307"),
    Beir("quora", "duplicate questions of Quora", 522_931, &["test", "dev"], OWN_TERMS,
        "https://www.quora.com/q/quoradata/First-Quora-Dataset-Release-Question-Pairs", 15_853_968,
        "18fb154900ba42a600f84b839c173167"),
    Beir("scidocs", "papers cited by papers", 25_657, &["test"], "GNU GPL 3.0",
        "https://allenai.org/data/scidocs", 142_471_588, "38121350fc3a4d2f48850f6aff52e4a9"),
    Beir("scifact", "abstracts for scientific claims", 5_183, &["test", "train"], OWN_TERMS,
        "https://github.com/allenai/scifact", 2_816_079, "5f7d1de60b170fc8027bb7898e2efca1"),
    Beir("trec-covid", "articles about COVID-19", 171_332, &["test"], OWN_TERMS,
        "https://ir.nist.gov/covidSubmit/index.html", 73_876_720, "ce62140cb23feb9becf6270d0d1fe6d1"),
    Beir("webis-touche2020", "arguments about controversial questions", 382_545, &["test"], "CC BY 4.0",
        "https://webis.de/events/touche-20/shared-task-1.html", 227_132_363, "46f650ba5a527fc69e0a6521c5a23563"),
];

/// MS MARCO's passages as Microsoft publishes them, with the queries and judgements of TREC's Deep
/// Learning tracks; files are named by split, as a folder of MS MARCO has them.
fn msmarco_passage() -> KnownCollection {
    let at = "https://msmarco.z22.web.core.windows.net/msmarcoranking";
    let trec = "https://trec.nist.gov/data/deep";
    let file = |address: String, bytes, md5: &str, becomes| RemoteFile {
        address,
        bytes,
        md5: md5.to_owned(),
        becomes,
    };
    let named = |name: &str| Becomes::File(name.to_owned());
    KnownCollection {
        name: "msmarco-passage".to_owned(),
        about: "web passages for questions asked of Bing; TREC Deep Learning 2019 and 2020"
            .to_owned(),
        documents: 8_841_823,
        splits: owned(&["dev.small", "dev", "trec-dl-2019", "trec-dl-2020", "train"]),
        licence: MSMARCO_TERMS.to_owned(),
        homepage: "https://microsoft.github.io/msmarco/".to_owned(),
        files: vec![
            file(
                format!("{at}/collectionandqueries.tar.gz"),
                1_057_717_952,
                "31644046b18952c1386cd4564ba2ae69",
                Becomes::TarGz,
            ),
            file(
                format!("{at}/qrels.dev.tsv"),
                1_201_626,
                "9157ccaeaa8227f91722ba5770787b16",
                named("qrels.dev.tsv"),
            ),
            file(
                format!("{at}/msmarco-test2019-queries.tsv.gz"),
                4_276,
                "eda71eccbe4d251af83150abe065368c",
                named("queries.trec-dl-2019.tsv.gz"),
            ),
            file(
                format!("{trec}/2019qrels-pass.txt"),
                187_092,
                "2f4be390198da108f6845c822e5ada14",
                named("qrels.trec-dl-2019.tsv"),
            ),
            file(
                format!("{at}/msmarco-test2020-queries.tsv.gz"),
                4_131,
                "00a406fb0d14ed3752d70d1e4eb98600",
                named("queries.trec-dl-2020.tsv.gz"),
            ),
            file(
                format!("{trec}/2020qrels-pass.txt"),
                218_617,
                "0355ccee7509ac0463e8278186cdd8d1",
                named("qrels.trec-dl-2020.tsv"),
            ),
        ],
        parts: Vec::new(),
    }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_registry_is_well_formed() {
        let all = known_collections();
        let names: HashSet<&str> = all.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(names.len(), all.len());
        let mut ends = HashSet::new();
        for collection in &all {
            assert!(!collection.splits.is_empty() && !collection.files.is_empty());
            collection.check(Path::new("built in")).unwrap();
            for file in &collection.files {
                assert!(file.address.starts_with("https://"), "{}", file.address);
                assert!(file.bytes > 0);
                // A mirror is one folder: names must not meet there.
                assert!(ends.insert(file.file_name().to_owned()), "{}", file.address);
            }
        }
    }

    #[test]
    fn files_of_collections_are_read_and_checked() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("collections.json");
        let good = known_collections();
        let read = |all: &[KnownCollection]| {
            std::fs::write(&path, serde_json::to_vec(all).unwrap()).unwrap();
            read_collections(&path)
        };
        assert_eq!(read(&good).unwrap(), good);
        type Change = fn(&mut KnownCollection);
        let changes: [Change; 6] = [
            |c| c.name = "../evil".to_owned(),
            |c| c.name = "downloads".to_owned(),
            |c| c.files.clear(),
            |c| c.files[0].becomes = Becomes::File("../x".to_owned()),
            |c| c.files[0].md5 = "12".to_owned(),
            |c| c.files[0].address = "https://example.org/".to_owned(),
        ];
        for change in changes {
            let mut bad = good[0].clone();
            change(&mut bad);
            let error = read(&[bad]).unwrap_err().to_string();
            assert!(error.contains("collections.json: collection"), "{error}");
        }
        std::fs::write(&path, "{}").unwrap();
        assert!(read_collections(&path).unwrap_err().to_string().contains("collections.json"));
    }
}
