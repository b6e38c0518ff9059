//! The scripts beside the cases that end by themselves, run as they are: they serve a hub on 127.0.0.1 and
//! print what the program did. They need Python with the package xxhash.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{Case, Checks, not_run};

pub(super) const CHECKS: Checks = &[
    ("security: t_hub_leak.py", hub_leak),
    ("security: t_hub.py", hub),
    ("security: t_hub3.py", hub_names),
];

/// Runs a script in a copy of its folder; what it printed.
fn script(case: &Case, name: &str) -> Option<String> {
    let python = |args: &[&str]| {
        let mut command = Command::new("python3");
        command.args(args).current_dir(&case.files).stdin(Stdio::null());
        command
    };
    if !python(&["-c", "import xxhash"]).output().is_ok_and(|output| output.status.success()) {
        not_run(&format!("security: {name} needs python3 with the package xxhash"));
        return None;
    }
    fs::create_dir_all(case.files.join("target/release")).unwrap();
    fs::create_dir_all(case.files.join("w")).unwrap();
    symlink(env!("CARGO_BIN_EXE_quarry"), case.files.join("target/release/quarry")).unwrap();
    let said = case.files.join("said");
    let out = fs::File::create(&said).unwrap();
    let mut child = python(&[name]).stdout(out.try_clone().unwrap()).stderr(out).spawn().unwrap();
    let end = Instant::now() + Duration::from_secs(300);
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > end {
            child.kill().unwrap();
            panic!("{name} hangs: {}", fs::read_to_string(&said).unwrap());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let said = fs::read_to_string(&said).unwrap();
    assert!(child.wait().unwrap().success(), "{said}");
    // The scripts' own mark of what must never happen: a hang, a signal, a panic, memory without bound.
    assert!(!said.contains("!!!"), "{said}");
    Some(said)
}

/// A token goes to the hub alone.
fn hub_leak(case: &Case) {
    let Some(said) = script(case, "t_hub_leak.py") else { return };
    assert!(said.contains("'hub'") && said.contains("hf_SECRET"), "{said}");
    for line in said.lines().filter(|line| line.contains("'other host'")) {
        assert!(!line.contains("hf_SECRET"), "{line}");
    }
}

fn hub(case: &Case) {
    let Some(said) = script(case, "t_hub.py") else { return };
    for line in said.lines().filter(|line| line.contains("token seen on the other port")) {
        assert!(!line.contains("hf_SECRET"), "{line}");
    }
    for outside in ["pwn.json", "pwn"] {
        let at = case.room.path();
        assert!(!at.join(outside).exists() && !at.join("security").join(outside).exists());
    }
}

/// Names with a space, `#`, `?` and the like are fetched as they are.
fn hub_names(case: &Case) {
    let Some(said) = script(case, "t_hub3.py") else { return };
    let pulls: Vec<&str> = said.lines().filter(|line| line.starts_with("sibling ")).collect();
    assert!(pulls.len() > 5, "{said}");
    for line in pulls {
        assert!(line.contains(" rc 0 "), "{line}");
    }
}
