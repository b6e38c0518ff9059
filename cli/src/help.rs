//! How `--help` is laid out: options in groups, the required ones first, and what all commands share after
//! the list of commands. A command's options stand in its own file; which group they are in stands here.

use clap::{Arg, ArgAction, Command};

/// After the help of `quarry --help`.
pub(crate) const AFTER: &str = "\
Exit codes:
  0  done, also if a search has no hits
  1  failed: no network, no space, an unknown field in a filter
  2  wrong usage: an unknown option, a value out of its range, options that do not go together
  3  no readable index
  4  bad input data
  5  refused: an index, a file or an unfinished build exists (see --overwrite, --resume), or another process \
changes the index

Environment variables:
  QUARRY_KEY                key that clients of `serve` must send
  QUARRY_SERVE_...          options of `serve`, such as QUARRY_SERVE_LISTEN for --listen
  QUARRY_LOG                what is logged, such as `warn` or `info,quarry_server=debug`
  QUARRY_DATASETS           folder of pulled collections [default: ~/.cache/quarry/datasets]
  QUARRY_DATASETS_BASE      address of a mirror for `dataset pull`
  QUARRY_DATASETS_REGISTRY  file of more collections
  HF_ENDPOINT               address of the hub of models
  HF_TOKEN                  token for the hub
  HF_HUB_OFFLINE            1 forbids fetching models
  HF_HOME                   folder of the hub's cache [default: ~/.cache/huggingface]
  HF_HUB_CACHE              cache of models [default: hub, in HF_HOME]
  ORT_DYLIB_PATH            library of ONNX Runtime, 1.24 or later
  XDG_DATA_HOME             where ~/.local/share is
  XDG_CACHE_HOME, HOME      where ~/.cache is";

const REQUIRED: &str = "Required";
const INPUT: &str = "Input";
const ENCODING: &str = "Encoding";
const STRUCTURES: &str = "Index structures";
const QUERIES: &str = "Queries";
const MEASURES: &str = "Judgements and measures";
const SEARCH: &str = "Search";
const FEEDBACK: &str = "Feedback";
const RERANKING: &str = "Reranking";
const LIMITS: &str = "Limits";
const ACCESS: &str = "Address and access";
const OUTPUT: &str = "Output";
const GENERAL: &str = "General";

/// The groups in their order, and the options of each in every command that has them, but for [`IN_COMMAND`].
const GROUPS: &[(&str, &[&str])] = &[
    (
        ACCESS,
        &[
            "config",
            "name",
            "listen",
            "key",
            "keys",
            "follow",
            "follow_key",
            "no_auth",
            "tls_cert",
            "tls_key",
            "cors_origin",
            "scope",
            "expires",
            "rate",
        ],
    ),
    (
        LIMITS,
        &[
            "queue",
            "queue_ms",
            "in_flight",
            "connections",
            "head_timeout",
            "body_timeout",
            "request_timeout",
            "answer_bytes",
            "writes",
            "write_bytes",
            "document_bytes",
            "encode_bytes",
            "min_free_disk",
            "min_free_memory",
        ],
    ),
    (
        INPUT,
        &[
            "format",
            "scale",
            "texts",
            "vector_field",
            "duplicates",
            "vocab",
            "doc_ids",
            "data",
            "raw_encoding",
            "fields",
            "npy",
            "rows",
            "lengths",
            "ids",
            "cache",
            "registry",
            "base",
        ],
    ),
    (
        ENCODING,
        &[
            "model",
            "device",
            "encode_memory",
            "encode_device",
            "max_tokens",
            "top_k",
            "passages",
            "passage_overlap",
            "provenance",
            "tokens",
            "token_model",
            "dense",
            "without_tokens",
            "dense_model",
            "dense_dims",
            "without_dense",
            "dims",
            "family",
            "precision",
        ],
    ),
    (
        STRUCTURES,
        &[
            "channel",
            "lists",
            "levels",
            "seed",
            "n_postings",
            "max_fraction",
            "min_per_document",
            "centroid_fraction",
            "summary_energy",
            "cluster_size",
            "cluster_components",
            "no_tune",
            "no_merge",
            "store",
            "storage",
            "graph",
            "degree",
            "build_beam",
            "pool",
            "centroids",
        ],
    ),
    (
        MEASURES,
        &[
            "collection",
            "sets",
            "split",
            "qrels",
            "compare",
            "measures",
            "ignore_identical_ids",
            "ignore_pairs",
            "ties",
            "against_exact",
            "conditions",
        ],
    ),
    (
        QUERIES,
        &[
            "queries",
            "query_format",
            "query_scale",
            "dense_queries",
            "dense_query_ids",
            "most",
            "only",
        ],
    ),
    (
        SEARCH,
        &[
            "k",
            "fusion",
            "measure",
            "weights",
            "window",
            "rrf_k",
            "method",
            "overlap",
            "postings",
            "candidates",
            "query_cut",
            "heap_factor",
            "dense_method",
            "dense_beam",
            "k1",
            "b",
            "filter",
            "preload",
        ],
    ),
    (
        FEEDBACK,
        &[
            "feedback",
            "feedback_from",
            "feedback_channels",
            "feedback_depth",
            "feedback_terms",
            "feedback_weight",
        ],
    ),
    (
        RERANKING,
        &[
            "rerank",
            "depth",
            "alpha",
            "beta",
            "weight",
            "exact_rerank",
            "device_memory",
            "form",
            "query_tokens",
            "query_lengths",
            "query_ids",
            "rerank_k",
            "no_exhaustive",
        ],
    ),
    (
        OUTPUT,
        &[
            "run",
            "run_format",
            "explain",
            "per_query",
            "json",
            "out",
            "overwrite",
            "replace",
            "plot",
            "write",
            "bits",
        ],
    ),
    (
        GENERAL,
        &[
            "log_format",
            "slow_ms",
            "threads",
            "memory",
            "resume",
            "shard",
            "no_verify",
            "help",
            "version",
        ],
    ),
];

/// Options that are in another group in a command: the name of the command, the option, the group.
const IN_COMMAND: &[(&str, &str, &str)] = &[
    ("search", "vector_field", QUERIES),
    ("search", "vocab", QUERIES),
    ("search", "channel", SEARCH),
    ("search", "model", SEARCH),
    ("search", "encode_device", SEARCH),
    ("search", "token_model", RERANKING),
    ("search", "dense_model", SEARCH),
    ("search", "device", RERANKING),
    ("search", "fields", OUTPUT),
    ("eval", "vector_field", QUERIES),
    ("eval", "vocab", QUERIES),
    ("eval", "channel", SEARCH),
    ("eval", "model", SEARCH),
    ("eval", "encode_device", SEARCH),
    ("eval", "token_model", RERANKING),
    ("eval", "dense_model", SEARCH),
    ("eval", "device", RERANKING),
    ("serve", "token_model", RERANKING),
    ("serve", "device", RERANKING),
    ("tune", "vector_field", QUERIES),
    ("tune", "vocab", QUERIES),
    ("tune", "channel", SEARCH),
    ("export", "vector_field", QUERIES),
    ("export", "vocab", QUERIES),
    ("export", "model", QUERIES),
    ("export", "scale", OUTPUT),
    ("export", "texts", OUTPUT),
    ("export", "passages", OUTPUT),
    ("encode", "queries", INPUT),
    ("make", "from", INPUT),
    ("add", "collection", ACCESS),
    ("add", "filter", ACCESS),
    ("add", "keys", REQUIRED),
];

/// The command with its options, and those of its subcommands, in groups.
pub(crate) fn grouped(command: Command) -> Command {
    let name = command.get_name().to_owned();
    // Ours, so that it is in a group as well; what it does is clap's.
    let help = Arg::new("help").short('h').long("help").action(ArgAction::Help);
    let help = help.help("Print help; -h prints a summary").long_help("Print help");
    let mut command = command.disable_help_flag(true).arg(help);
    if command.get_version().is_some() {
        let version = Arg::new("version").short('V').long("version").action(ArgAction::Version);
        command = command.disable_version_flag(true).arg(version.help("Print the version"));
    }
    // Headings stand in the order of their first options, and what is changed goes to the end.
    let mut options: Vec<(usize, String, &str)> = command
        .get_arguments()
        .filter(|arg| !arg.is_positional())
        .filter_map(|arg| {
            let group = group(&name, arg)?;
            let place = GROUPS.iter().position(|(known, _)| *known == group);
            Some((place.map_or(0, |place| place + 1), arg.get_id().to_string(), group))
        })
        .collect();
    options.sort_by_key(|(place, ..)| *place);
    for (_, id, group) in options {
        command = command.mut_arg(id, |arg| arg.help_heading(group));
    }
    command.mut_subcommands(grouped)
}

fn group(command: &str, arg: &Arg) -> Option<&'static str> {
    if arg.is_required_set() {
        return Some(REQUIRED);
    }
    let id = arg.get_id().as_str();
    let own = IN_COMMAND.iter().find(|(of, option, _)| *of == command && *option == id);
    let shared = || GROUPS.iter().find(|(_, options)| options.contains(&id));
    own.map(|(_, _, group)| *group).or_else(|| shared().map(|(group, _)| *group))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by it")]
mod tests {
    use super::*;
    use clap::CommandFactory;

    /// A command and all below it, with their arguments.
    fn each(command: &Command, visit: &mut dyn FnMut(&Command)) {
        visit(command);
        command.get_subcommands().for_each(|inner| each(inner, visit));
    }

    #[test]
    fn every_option_is_in_a_group_and_has_a_sentence() {
        let command = grouped(crate::Cli::command());
        command.clone().debug_assert();
        each(&command, &mut |command| {
            for arg in command.get_arguments() {
                let name = format!("{} --{}", command.get_name(), arg.get_id());
                assert!(arg.get_help().is_some(), "{name} has no help");
                assert!(arg.is_positional() || arg.get_help_heading().is_some(), "{name}");
            }
        });
    }

    #[test]
    fn every_entry_is_of_an_option() {
        let command = grouped(crate::Cli::command());
        let mut known: Vec<(String, String)> = Vec::new();
        each(&command, &mut |command| {
            let ids = command.get_arguments().map(|arg| arg.get_id().to_string());
            known.extend(ids.map(|id| (command.get_name().to_owned(), id)));
        });
        for id in GROUPS.iter().flat_map(|(_, ids)| *ids) {
            assert!(known.iter().any(|(_, known)| known == id), "{id}");
        }
        for (command, id, _) in IN_COMMAND {
            assert!(known.contains(&((*command).to_owned(), (*id).to_owned())), "{command} {id}");
        }
    }

    #[test]
    fn groups_stand_in_order_the_required_first() {
        let mut command = grouped(crate::Cli::command());
        for name in ["index", "encode", "export", "lists"] {
            let command = command.find_subcommand_mut(name).unwrap();
            let help = command.render_long_help().to_string();
            let at = |heading: &str| help.find(&format!("\n{heading}:\n"));
            let required = at(REQUIRED).unwrap();
            let mut found = vec![required];
            found.extend(GROUPS.iter().filter_map(|(heading, _)| at(heading)));
            assert!(found.is_sorted(), "{name}: {help}");
            assert!(!help.contains("\nOptions:\n"), "{help}");
        }
    }
}
