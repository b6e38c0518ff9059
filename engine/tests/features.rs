//! A feature that is not compiled in gives an error that says so. `tools/platforms.sh` runs these tests without
//! features; with a feature, its test checks nothing.
#![allow(clippy::unwrap_used, reason = "a panic fails the test")]

#[cfg(not(feature = "download"))]
#[test]
fn a_name_is_an_error_without_downloads() {
    use quarry_engine::{Hub, Models};

    let cache = tempfile::tempdir().unwrap();
    let hub = Hub {
        endpoint: "https://huggingface.co".to_owned(),
        cache: cache.path().to_owned(),
        token: None,
        offline: false,
    };
    let models = Models { hub: Some(hub), ..Models::default() };
    let error = models.folder("org/name").unwrap_err().to_string();
    assert!(error.contains("org/name") && error.contains("feature `download`"), "{error}");
}

#[cfg(not(feature = "download"))]
#[test]
fn a_collection_is_an_error_without_downloads() {
    use quarry_datasets::DatasetError;
    use quarry_datasets::collections::Collections;

    let cache = tempfile::tempdir().unwrap();
    let error = Collections::new(cache.path().to_owned()).pull("beir/scifact", &|_| {});
    let error = error.unwrap_err();
    assert!(matches!(&error, DatasetError::NoDownloads { .. }), "{error}");
    assert!(error.to_string().contains("feature `download`"), "{error}");
}
