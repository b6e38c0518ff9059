//! The commands of README.md and docs/guide, run page by page against the bundled sample: what a page
//! shows is what is printed. docs/guide/README.md says how blocks are marked.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

mod common;

use std::collections::BTreeSet;
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::{names, note, said, text};

/// Share by which decimal numbers may differ: a model's weights depend a little on the CPU.
const TOLERANCE: f64 = 0.05;

/// Marks of blocks; whatever else a page has is a slip of its author.
const MARKS: [&str; 6] = ["sh", "output", "sh,ignore", "text", "json", "python"];

macro_rules! pages {
    ($($name:ident: $file:literal),+ $(,)?) => {
        /// Pages that are run.
        const PAGES: &[&str] = &[$($file),+];
        $(#[test]
        fn $name() {
            run(&guide().join($file));
        })+
    };
}

pages! {
    changing: "changing.md",
    collections: "collections.md",
    dense: "dense.md",
    documents: "documents.md",
    evaluation: "evaluation.md",
    feedback: "feedback.md",
    files: "files.md",
    fusion: "fusion.md",
    interchange: "interchange.md",
    introduction: "README.md",
    keys: "keys.md",
    machines: "machines.md",
    models: "models.md",
    operations: "operations.md",
    production: "production.md",
    python: "python.md",
    quickstart: "quickstart.md",
    reference: "reference.md",
    reranking: "reranking.md",
    serving: "serving.md",
    tuning: "tuning.md",
    words: "words.md",
}

#[test]
fn readme() {
    run(&root().join("README.md"));
}

/// A page that nobody runs, or that the book does not list, is found.
#[test]
fn every_page_is_run_and_listed() {
    let pages: BTreeSet<String> =
        names(&guide()).into_iter().filter(|name| name.ends_with(".md")).collect();
    let run: BTreeSet<String> = PAGES.iter().map(|&page| page.to_owned()).collect();
    assert_eq!(pages, run, "pages of docs/guide (left) and pages that this test runs (right)");
    let summary = fs::read_to_string(root().join("docs/SUMMARY.md")).unwrap();
    for page in PAGES {
        assert!(summary.contains(&format!("(guide/{page})")), "docs/SUMMARY.md lacks {page}");
    }
}

/// Links of the documentation lead to files that exist.
#[test]
fn links_lead_somewhere() {
    let mut pages: Vec<PathBuf> =
        ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"]
            .map(|name| root().join(name))
            .into();
    pages_below(&root().join("docs"), &mut pages);
    let mut links = 0;
    for page in pages {
        let content = fs::read_to_string(&page).unwrap();
        for link in content.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap_or_default();
            if file.is_empty() || file.starts_with("http") {
                continue;
            }
            let to = page.parent().unwrap().join(file);
            assert!(to.exists(), "{}: {link} leads nowhere", page.display());
            links += 1;
        }
    }
    assert!(links > 50, "only {links} links were found");
}

fn pages_below(folder: &Path, pages: &mut Vec<PathBuf>) {
    for name in names(folder) {
        let path = folder.join(&name);
        if path.is_dir() {
            pages_below(&path, pages);
        } else if name.ends_with(".md") {
            pages.push(path);
        }
    }
}

#[test]
fn output_is_compared_as_the_guide_says() {
    for (wanted, printed) in [
        ("a 1.00 b", "a  1.04 b  "),
        ("index ...", "index 5f0e"),
        ("... of 3 (...)", "2 of 3 (1 MB)"),
        ("1,000.0 x", "1,001.0 x"),
    ] {
        assert!(line_matches(wanted.as_bytes(), printed.as_bytes()), "{wanted}: {printed}");
    }
    for (wanted, printed) in [
        ("a 1.00", "a 1.10"),
        ("320 documents", "321 documents"),
        ("a", "a b"),
        ("a b", "a"),
        ("... of 3", "2 of 4"),
        ("bread-05", "bread-04"),
    ] {
        assert!(!line_matches(wanted.as_bytes(), printed.as_bytes()), "{wanted}: {printed}");
    }
    assert!(lines_match(&["a", "...", "d"], &["a", "b", "c", "d"]));
    assert!(lines_match(&["a", "..."], &["a"]));
    assert!(!lines_match(&["a"], &["a", "b"]));
    assert!(!lines_match(&["a", "b"], &["a"]));
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn guide() -> PathBuf {
    root().join("docs/guide")
}

/// A fenced block, with the word after its fence.
struct Block<'a> {
    mark: &'a str,
    lines: Vec<&'a str>,
}

fn blocks(page: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(mark) = line.strip_prefix("```") {
            let body = lines.by_ref().take_while(|&line| line != "```").collect();
            blocks.push(Block { mark: mark.trim(), lines: body });
        }
    }
    blocks
}

/// Commands, and what they have to print, where the page shows it.
struct Step<'a> {
    commands: String,
    output: Option<Vec<&'a str>>,
}

fn steps<'a>(page: &str, blocks: Vec<Block<'a>>) -> Vec<Step<'a>> {
    let mut steps: Vec<Step<'a>> = Vec::new();
    let mut before = "";
    for block in blocks {
        assert!(MARKS.contains(&block.mark), "{page}: a block is marked `{}`", block.mark);
        match block.mark {
            "sh" => steps.push(Step { commands: block.lines.join("\n"), output: None }),
            // `python/tests/test_guide.py` runs these and compares.
            "output" if before == "python" => {}
            "output" => {
                assert!(
                    before == "sh",
                    "{page}: output without commands before it: {:?}",
                    block.lines
                );
                if let Some(step) = steps.last_mut() {
                    step.output = Some(block.lines);
                }
            }
            _ => {}
        }
        before = block.mark;
    }
    steps
}

/// Printed before the output of each step.
fn mark(step: usize) -> String {
    format!("==== step {step} of the page ====")
}

/// Runs a page's commands in a folder of their own, in one shell.
fn run(page: &Path) {
    let content = fs::read_to_string(page).unwrap();
    let name = page.display().to_string();
    let steps = steps(&name, blocks(&content));
    if steps.is_empty() {
        return;
    }
    let needs_curl = steps.iter().any(|step| step.commands.contains("curl "));
    if needs_curl && Command::new("curl").arg("--version").stdout(Stdio::null()).status().is_err() {
        note(&format!("skipped: {name} needs curl"));
        return;
    }
    // A server that a page leaves running ends with the shell.
    let mut script = "server=\ntrap 'test -z \"$server\" || kill \"$server\"' EXIT\n".to_owned();
    for (at, step) in steps.iter().enumerate() {
        writeln!(script, "echo '{}'\n{}", mark(at), step.commands).unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    copy(&root().join("datasets/sample"), &folder.path().join("sample"));
    copy(&root().join("datasets/sample"), &folder.path().join("datasets/sample"));
    let program = Path::new(env!("CARGO_BIN_EXE_quarry")).parent().unwrap().to_owned();
    let path = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths([program].into_iter().chain(env::split_paths(&path))).unwrap();
    let output = Command::new("sh")
        .args(["-e", "-c", &script])
        .current_dir(folder.path())
        .env("PATH", path)
        .env("LC_ALL", "C")
        .env_remove("QUARRY_KEY")
        .env_remove("QUARRY_LOG")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(output.status.success(), "{name}: printed\n{printed}\nand said\n{}", said(&output));
    for (at, step) in steps.iter().enumerate() {
        let Some(wanted) = &step.output else { continue };
        let rest = printed.split_once(&format!("{}\n", mark(at))).unwrap().1;
        let found = rest.split_once(&mark(at + 1)).map_or(rest, |(found, _)| found);
        let found: Vec<&str> = found.trim_end().lines().collect();
        assert!(
            lines_match(wanted, &found),
            "{name}: of\n{}\nthe page shows\n{}\nand it printed\n{}",
            step.commands,
            wanted.join("\n"),
            found.join("\n")
        );
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for name in names(from) {
        let (from, to) = (from.join(&name), to.join(&name));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            fs::copy(&from, &to).unwrap_or_else(|error| panic!("{}: {error}", text(&from)));
        }
    }
}

/// Whether lines are those of a page; a line of `...` stands for any lines.
fn lines_match(wanted: &[&str], printed: &[&str]) -> bool {
    let Some((first, rest)) = wanted.split_first() else { return printed.is_empty() };
    if first.trim() == "..." {
        return (0..=printed.len()).any(|at| lines_match(rest, &printed[at..]));
    }
    printed.split_first().is_some_and(|(line, others)| {
        line_matches(first.as_bytes(), line.as_bytes()) && lines_match(rest, others)
    })
}

/// Whether a line is that of a page: `...` is any text, spaces are as wide as they like, and decimal numbers
/// may differ by [`TOLERANCE`].
fn line_matches(wanted: &[u8], printed: &[u8]) -> bool {
    let (mut wanted, mut printed) = (wanted.trim_ascii_end(), printed.trim_ascii_end());
    loop {
        if let Some(rest) = wanted.strip_prefix(b"...") {
            return (0..=printed.len()).any(|at| line_matches(rest, &printed[at..]));
        }
        match (wanted.split_first(), printed.split_first()) {
            (None, None) => return true,
            (Some((b' ', _)), Some((b' ', _))) => {
                wanted = wanted.trim_ascii_start();
                printed = printed.trim_ascii_start();
            }
            (Some((want, wants)), Some((found, finds))) => {
                match (Decimal::at(wanted), Decimal::at(printed)) {
                    (Some(a), Some(b)) if a.is_near(&b) => {
                        wanted = &wanted[a.length..];
                        printed = &printed[b.length..];
                    }
                    (Some(_), Some(_)) => return false,
                    _ if want == found => {
                        wanted = wants;
                        printed = finds;
                    }
                    _ => return false,
                }
            }
            _ => return false,
        }
    }
}

/// A number with a decimal point, and how many bytes it has.
struct Decimal {
    value: f64,
    length: usize,
}

impl Decimal {
    /// The number that a text begins with.
    fn at(text: &[u8]) -> Option<Self> {
        let whole = text.iter().take_while(|b| b.is_ascii_digit() || **b == b',').count();
        let rest = text.get(whole..)?.strip_prefix(b".")?;
        let fraction = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        if fraction == 0 || !text.first()?.is_ascii_digit() {
            return None;
        }
        let length = whole + 1 + fraction;
        let digits = std::str::from_utf8(text.get(..length)?).ok()?.replace(',', "");
        Some(Self { value: digits.parse().ok()?, length })
    }

    fn is_near(&self, other: &Self) -> bool {
        (self.value - other.value).abs() <= TOLERANCE * self.value.max(other.value)
    }
}
