//! Options that do nothing where they are given are refused, with what to do instead: an option that is
//! dropped in silence is taken for one that worked.
//!
//! Each command says which of its options need what; whether an option was given, or has its default, clap
//! knows.

use clap::ArgMatches;
use clap::parser::ValueSource;

use crate::exit::Usage;

/// Options as they were given.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Given<'a>(&'a ArgMatches);

impl<'a> Given<'a> {
    /// Of the command line of the innermost subcommand.
    pub(crate) fn of(matches: &'a ArgMatches) -> Self {
        let mut matches = matches;
        while let Some((_, inner)) = matches.subcommand() {
            matches = inner;
        }
        Self(matches)
    }

    /// Whether an option was given, whatever its value; the environment does not count.
    pub(crate) fn has(self, option: &str) -> bool {
        self.0.try_contains_id(option).unwrap_or(false)
            && self.0.value_source(option) == Some(ValueSource::CommandLine)
    }

    /// Refuses `options` unless they apply; `why` says what they need.
    pub(crate) fn only_if(self, applies: bool, options: &[&str], why: &str) -> Result<(), Usage> {
        match options.iter().find(|option| !applies && self.has(option)) {
            None => Ok(()),
            Some(option) => Err(Usage(format!("{} does nothing here: {why}", flag(option)))),
        }
    }
}

/// `query_cut` as it is typed.
fn flag(option: &str) -> String {
    format!("--{}", option.replace('_', "-"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Arg, Command};

    #[test]
    fn what_is_given_is_told_from_defaults() {
        let command = || {
            let k1 = Arg::new("k_one").long("k-one").default_value("0.9");
            Command::new("x").subcommand(Command::new("search").arg(k1))
        };
        for (words, given) in
            [(&["x", "search"][..], false), (&["x", "search", "--k-one", "0.9"], true)]
        {
            let matches = command().try_get_matches_from(words).unwrap();
            let found = Given::of(&matches);
            assert_eq!(found.has("k_one"), given);
            assert!(found.only_if(true, &["k_one"], "").is_ok());
            let refused = found.only_if(false, &["absent", "k_one"], "--channel bm25 takes it");
            assert_eq!(refused.is_err(), given);
            if let Err(error) = refused {
                assert_eq!(error.to_string(), "--k-one does nothing here: --channel bm25 takes it");
            }
        }
    }
}
