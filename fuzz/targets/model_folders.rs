//! Folders of published models: the first byte chooses which file of a sound one these bytes take the
//! place of; what is recognised is opened.
#![no_main]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use quarry_encoders::Model;

/// Sound folders: their files, by name below the folder.
static FOLDERS: LazyLock<Vec<Vec<(String, PathBuf)>>> = LazyLock::new(|| {
    let tests = quarry_fuzz::repository().join("encoders/tests");
    let families = tests.join("families");
    let golden: serde_json::Value =
        serde_json::from_slice(&fs::read(families.join("golden.json")).expect("a file"))
            .expect("JSON");
    let mut folders: Vec<Vec<(String, PathBuf)>> = golden["cases"]
        .as_array()
        .expect("cases")
        .iter()
        .map(|case| {
            let files = case["files"].as_object().expect("files").iter();
            files
                .map(|(name, part)| {
                    (name.clone(), families.join("parts").join(part.as_str().expect("a name")))
                })
                .collect()
        })
        .collect();
    for name in ["colbert-bert", "pylate-bert", "pylate-roberta", "pylate-modernbert"] {
        let root = tests.join("multivector").join(name);
        let mut files = Vec::new();
        below(&root, &root, &mut files);
        folders.push(files);
    }
    folders
});

fn below(root: &Path, folder: &Path, files: &mut Vec<(String, PathBuf)>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            below(root, &path, files);
        } else {
            let name = path.strip_prefix(root).expect("below").to_string_lossy().into_owned();
            files.push((name, path));
        }
    }
    files.sort();
}

fuzz_target!(init: quarry_fuzz::begin(), |data: &[u8]| {
    let Some(([folder, file], bytes)) = data.split_first_chunk::<2>() else { return };
    let files = &FOLDERS[usize::from(*folder) % FOLDERS.len()];
    let spoilt = usize::from(*file) % (files.len() + 1);
    let room = quarry_fuzz::room();
    let root = room.path().join("model");
    for (at, (name, path)) in files.iter().enumerate() {
        let to = root.join(name);
        fs::create_dir_all(to.parent().expect("a folder")).expect("a folder");
        if at == spoilt {
            fs::write(to, bytes).expect("a file");
        } else if fs::hard_link(path, &to).is_err() {
            fs::copy(path, to).expect("a file");
        }
    }
    if spoilt == files.len() {
        fs::write(root.join("quarry-model.json"), bytes).expect("a file");
    }
    if let Ok(model) = Model::open(&root) {
        let _ = model.query_encoder().map(|encoder| encoder.encode("granite is a hard stone"));
    }
});
