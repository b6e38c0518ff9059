//! Options of `quarry serve` from the environment and from a file.
//!
//! 1. what was typed is parsed leniently: is it `serve`, and which options are given?
//! 2. each other option is looked for in the environment (`QUARRY_SERVE_LISTEN` for `--listen`), then in the file that
//!    `--config` or `QUARRY_SERVE_CONFIG` names
//! 3. what is found is put among the arguments, which are then parsed as if all of it had been typed
//!
//! So an option is declared once, with its checks, and each has all three forms. Names that no option has are refused.
//! Values are never printed here: one of them may be a key.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};
use toml::Value;

use crate::exit::Usage;

const SERVE: &str = "serve";
const PREFIX: &str = "QUARRY_SERVE_";
/// The file itself, which a file cannot name.
const CONFIG: &str = "config";
/// An option whose variable has another name, which clap reads.
const KEY: &str = "key";
const KEY_VARIABLE: &str = "QUARRY_KEY";
/// Options of which only one can be given: one that is given hides both in what counts less.
const PLACES: [&str; 2] = ["dir", "data"];
/// Most bytes of a file.
const MOST_BYTES: u64 = 1 << 20;
/// How like a known name one must be to be suggested, from 0 to 1.
const LIKE: f64 = 0.75;

/// Arguments, with what the environment and a file add.
#[derive(Debug)]
pub(crate) struct Completed {
    pub(crate) words: Vec<OsString>,
    /// Where the options came from that were not typed.
    origins: Vec<Origin>,
}

#[derive(Debug)]
struct Origin {
    option: String,
    from: String,
}

impl Completed {
    /// Where the options came from that were not typed, if there are any.
    pub(crate) fn origins(&self) -> Option<String> {
        let one = |origin: &Origin| format!("{} from {}", origin.option, origin.from);
        let all: Vec<String> = self.origins.iter().map(one).collect();
        (!all.is_empty()).then(|| format!("note: not typed: {}", all.join(", ")))
    }
}

/// An option, as the three forms name it.
struct Known<'a> {
    arg: &'a Arg,
    /// As in the file: `tls-cert`.
    name: String,
}

impl Known<'_> {
    fn variable(&self) -> String {
        match self.name.as_str() {
            KEY => KEY_VARIABLE.to_owned(),
            name => format!("{PREFIX}{}", name.replace('-', "_").to_ascii_uppercase()),
        }
    }

    /// As it is typed.
    fn typed(&self) -> String {
        match self.arg.is_positional() {
            true => self.name.to_ascii_uppercase(),
            false => format!("--{}", self.name),
        }
    }

    fn takes_path(&self) -> bool {
        self.arg.get_value_parser().type_id() == std::any::TypeId::of::<std::path::PathBuf>()
    }

    fn is_switch(&self) -> bool {
        matches!(self.arg.get_action(), ArgAction::SetTrue)
    }

    /// The words that give the option this value.
    fn words(&self, value: &OsStr, from: &str) -> Result<Option<OsString>, Usage> {
        if self.is_switch() {
            return match value.to_str() {
                Some("true" | "1") => Ok(Some(self.typed().into())),
                Some("false" | "0") => Ok(None),
                _ => Err(Usage(format!("{from}: `{}` is true or false", self.name))),
            };
        }
        let mut word = OsString::new();
        if self.arg.is_positional() {
            // A name that begins with a dash is a name all the same.
            if value.as_encoded_bytes().starts_with(b"-") {
                word.push("./");
            }
        } else {
            word.push(self.typed());
            word.push("=");
        }
        word.push(value);
        Ok(Some(word))
    }
}

/// Completes what was typed; other commands than `serve` are left as they are.
pub(crate) fn completed(command: &Command, words: Vec<OsString>) -> Result<Completed, Usage> {
    complete(command, words, &std::env::vars_os().collect())
}

fn complete(
    command: &Command,
    words: Vec<OsString>,
    environment: &BTreeMap<OsString, OsString>,
) -> Result<Completed, Usage> {
    let mut command = command.clone();
    // Options of all commands come to each.
    command.build();
    let unchanged = |words| Ok(Completed { words, origins: Vec::new() });
    let lenient = command.clone().ignore_errors(true).try_get_matches_from(&words);
    let Some(serve) = command.find_subcommand(SERVE) else { return unchanged(words) };
    // Help that was asked for needs no options.
    let typed = match lenient.as_ref().map(ArgMatches::subcommand) {
        Ok(Some((SERVE, typed))) => typed,
        _ => return unchanged(words),
    };
    let Some(at) = words.iter().position(|word| word == SERVE) else { return unchanged(words) };
    let known = known(serve);
    let variables = of_environment(&known, environment)?;
    let path = typed.try_get_one::<PathBuf>(CONFIG).ok().flatten().cloned();
    let path = path.or_else(|| variables.get(CONFIG).map(PathBuf::from));
    let file = path.as_deref().map(|path| of_file(&known, path)).transpose()?.unwrap_or_default();
    let in_file = path.map(|path| path.display().to_string()).unwrap_or_default();

    let given = |name: &str| {
        let id = name.replace('-', "_");
        typed.try_contains_id(&id).unwrap_or(false)
            && typed.value_source(&id) == Some(ValueSource::CommandLine)
    };
    let place_typed = PLACES.iter().any(|place| given(place));
    let place_variable = place_typed || PLACES.iter().any(|place| variables.contains_key(*place));
    let (mut added, mut origins) = (Vec::new(), Vec::new());
    for option in known.iter().filter(|option| option.name != CONFIG && !given(&option.name)) {
        let is_place = PLACES.contains(&option.name.as_str());
        let variable = variables.get(option.name.as_str()).filter(|_| !(is_place && place_typed));
        let in_file_too = file.get(option.name.as_str()).filter(|_| !(is_place && place_variable));
        let (values, from) = match (variable, in_file_too) {
            // clap reads this one itself.
            (Some(_), _) if option.name == KEY => continue,
            (Some(value), _) => (vec![value.clone()], option.variable()),
            (None, Some(values)) => (values.clone(), in_file.clone()),
            (None, None) => continue,
        };
        for value in values {
            added.extend(option.words(&value, &from)?);
        }
        origins.push(Origin { option: option.typed(), from });
    }
    let mut words = words;
    words.splice(at + 1..at + 1, added);
    Ok(Completed { words, origins })
}

fn known(serve: &Command) -> Vec<Known<'_>> {
    let settable = serve.get_arguments().filter(|arg| {
        !matches!(arg.get_action(), ArgAction::Help | ArgAction::HelpShort | ArgAction::HelpLong)
    });
    settable.map(|arg| Known { arg, name: arg.get_id().as_str().replace('_', "-") }).collect()
}

/// The values of variables, by the options' names.
fn of_environment(
    known: &[Known<'_>],
    environment: &BTreeMap<OsString, OsString>,
) -> Result<BTreeMap<String, OsString>, Usage> {
    let names: BTreeSet<String> = known.iter().map(Known::variable).collect();
    let ours = environment.keys().filter_map(|name| name.to_str());
    if let Some(unknown) =
        ours.filter(|name| name.starts_with(PREFIX)).find(|n| !names.contains(*n))
    {
        let hint = match unknown.strip_prefix(PREFIX) {
            Some("KEY") => format!("; the key is `{KEY_VARIABLE}`"),
            _ => suggestion(unknown, names.iter().map(String::as_str)),
        };
        return Err(Usage(format!(
            "the environment: no option has the variable `{unknown}`{hint}"
        )));
    }
    let found = known.iter().filter_map(|option| {
        let value = environment.get(OsStr::new(&option.variable()))?;
        Some((option.name.clone(), value.clone()))
    });
    Ok(found.collect())
}

/// The values in a file, by the options' names.
fn of_file(known: &[Known<'_>], path: &Path) -> Result<BTreeMap<String, Vec<OsString>>, Usage> {
    let at = path.display();
    let text = read(path).map_err(|error| Usage(format!("{at}: {error}")))?;
    // Without the line itself, in which a key may stand.
    let table: toml::Table = toml::from_str(&text).map_err(|error: toml::de::Error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        Usage(format!("{at}, line {line}: this is no TOML: {}", error.message()))
    })?;
    let mut found = BTreeMap::new();
    for (written, value) in &table {
        let name = written.replace('_', "-");
        let option = known.iter().find(|option| option.name == name && name != CONFIG);
        let Some(option) = option else {
            let names = known.iter().map(|option| option.name.as_str());
            let hint = suggestion(&name, names.filter(|name| *name != CONFIG));
            let written = written.escape_debug();
            return Err(Usage(format!("{at}: no option is named `{written}`{hint}")));
        };
        let values = values(option, value).map_err(|expected| {
            Usage(format!("{at}: `{written}`: {expected} was expected, found {}", value.type_str()))
        })?;
        if found.insert(name, values).is_some() {
            return Err(Usage(format!("{at}: `{written}` is there twice, with `-` and with `_`")));
        }
    }
    Ok(found)
}

fn read(path: &Path) -> std::io::Result<String> {
    use std::io::Read;
    let mut text = String::new();
    std::fs::File::open(path)?.take(MOST_BYTES + 1).read_to_string(&mut text)?;
    match text.len() as u64 > MOST_BYTES {
        true => Err(std::io::Error::other(format!("more than {MOST_BYTES} bytes"))),
        false => Ok(text),
    }
}

/// A value as it would be typed; else what was expected.
fn values(option: &Known<'_>, value: &Value) -> Result<Vec<OsString>, &'static str> {
    let one = |value: &Value| match value {
        Value::String(text) => Some(OsString::from(text)),
        // A path is a text: a number there is meant for something else.
        _ if option.takes_path() => None,
        Value::Integer(number) => Some(number.to_string().into()),
        Value::Float(number) => Some(number.to_string().into()),
        _ => None,
    };
    match (option.is_switch(), value) {
        (true, Value::Boolean(on)) => Ok(vec![on.to_string().into()]),
        (true, _) => Err("true or false"),
        (false, Value::Array(list)) if matches!(option.arg.get_action(), ArgAction::Append) => {
            list.iter().map(|value| one(value).ok_or("a list of texts")).collect()
        }
        (false, value) if option.takes_path() => Ok(vec![one(value).ok_or("a text")?]),
        (false, value) => Ok(vec![one(value).ok_or("a text or a number")?]),
    }
}

/// `: did you mean ...`, or where all names are.
fn suggestion<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let like = known.map(|known| (strsim::jaro_winkler(name, known), known));
    let nearest = like.max_by(|a, b| a.0.total_cmp(&b.0));
    match nearest.filter(|(like, _)| *like >= LIKE) {
        Some((_, known)) => format!("; the nearest is `{known}`"),
        None => "; `quarry serve --help` has all of them".to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by it")]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn of(typed: &[&str], variables: &[(&str, &str)]) -> Result<Vec<String>, String> {
        let command = crate::help::grouped(crate::Cli::command());
        let words = std::iter::once("quarry").chain(typed.iter().copied()).map(OsString::from);
        let environment = variables.iter().map(|(name, value)| (name.into(), value.into()));
        let found = complete(&command, words.collect(), &environment.collect());
        let found = found.map_err(|error| error.to_string())?;
        let words = found.words.into_iter().skip(1).map(|word| word.into_string().unwrap());
        Ok(words.collect())
    }

    #[test]
    fn options_go_before_the_environment_and_that_before_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("quarry.toml");
        let text = "listen = \"127.0.0.1:1\"\nqueue = 5\nqueue_ms = 7\npreload = true\nno-verify = false\n\
                    cors-origin = [\"https://a\", \"https://b\"]\nkey = \"secret\"\ndata = \"in-file\"\nthreads = 2";
        std::fs::write(&file, text).unwrap();
        let file = file.to_str().unwrap();
        let environment =
            [("QUARRY_SERVE_QUEUE", "6"), ("QUARRY_SERVE_LISTEN", "127.0.0.1:2"), ("OTHER", "x")];
        let mut words = of(&["serve", "--config", file, "--queue", "9"], &environment).unwrap();
        assert_eq!(words.remove(0), "serve");
        words.sort();
        let wanted = [
            "--config",
            "--cors-origin=https://a",
            "--cors-origin=https://b",
            "--data=in-file",
            "--key=secret",
            "--listen=127.0.0.1:2",
            "--preload",
            "--queue",
            "--queue-ms=7",
            "--threads=2",
            file,
            "9",
        ];
        assert_eq!(words, wanted);
        // An index that is typed takes the place of a folder of collections, and a variable of both.
        let typed = of(&["serve", "--config", file, "index"], &[]).unwrap();
        assert!(!typed.iter().any(|word| word.contains("in-file")), "{typed:?}");
        let variables = [("QUARRY_SERVE_DIR", "-index"), ("QUARRY_SERVE_CONFIG", file)];
        let typed = of(&["serve"], &variables).unwrap();
        assert!(
            typed.contains(&"./-index".to_owned()) && !typed.contains(&"--data=in-file".to_owned())
        );
        // The variable of the key is clap's, and goes before the file.
        let typed = of(&["serve", "--config", file], &[("QUARRY_KEY", "other")]).unwrap();
        assert!(!typed.iter().any(|word| word.contains("secret")), "{typed:?}");
    }

    #[test]
    fn other_commands_and_help_are_left_alone() {
        let environment = [("QUARRY_SERVE_QUEUE", "6"), ("QUARRY_SERVE_NONSENSE", "6")];
        for words in [&["search", "serve", "x"][..], &["serve", "--help"], &[], &["--version"]] {
            assert_eq!(of(words, &environment).unwrap(), words);
        }
    }

    #[test]
    fn unknown_names_and_values_are_refused() {
        let error = of(&["serve", "x"], &[("QUARRY_SERVE_QUEUES", "6")]).unwrap_err();
        assert!(error.contains("`QUARRY_SERVE_QUEUE`"), "{error}");
        let error = of(&["serve", "x"], &[("QUARRY_SERVE_KEY", "secret")]).unwrap_err();
        assert!(error.contains("`QUARRY_KEY`") && !error.contains("secret"), "{error}");
        assert!(of(&["serve", "x"], &[("QUARRY_SERVE_PRELOAD", "maybe")]).is_err());
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("quarry.toml");
        for (text, told) in [
            ("lisen = \"x\"", "the nearest is `listen`"),
            ("zzz = 1", "quarry serve --help"),
            ("config = \"x\"", "no option is named `config`"),
            ("data = 5", "a text was expected"),
            ("queue = true", "a text or a number was expected, found boolean"),
            ("preload = \"yes\"", "true or false was expected"),
            ("[listen]\nport = 1", "found table"),
            ("queue-ms = 1\nqueue_ms = 2", "twice"),
            ("queue = 1\nkey = \"top secret", "line 2: this is no TOML"),
        ] {
            std::fs::write(&file, text).unwrap();
            let error = of(&["serve", "--config", file.to_str().unwrap()], &[]).unwrap_err();
            assert!(error.contains(told), "{text}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
        assert!(of(&["serve", "--config", "nowhere.toml"], &[]).is_err());
    }
}
