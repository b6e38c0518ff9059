//! `quarry manual DIR`: the help of every command as manual pages, and completion scripts, for packagers.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Command, ValueEnum};
use clap_complete::Shell;
use clap_mangen::Man;
use quarry_datasets::OutputFile;

use crate::output::{counted, line};

/// Write manual pages and completion scripts into a folder
///
/// DIR/man1 gets a page for each command, such as quarry-index.1, made of its --help; DIR/completions gets a
/// script for each shell, as `quarry completions` prints it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder to write to; created if it does not exist
    dir: PathBuf,
    /// Replace existing files
    #[arg(long)]
    overwrite: bool,
}

pub(crate) fn run(args: &Args, command: Command) -> anyhow::Result<()> {
    // With it every page would have a subcommand of that name.
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let mut files = Vec::new();
    pages(&command, &args.dir.join("man1"), &mut files)?;
    for shell in Shell::value_variants() {
        let mut script = Vec::new();
        clap_complete::generate(*shell, &mut command, "quarry", &mut script);
        let name = clap_complete::Generator::file_name(shell, "quarry");
        files.push((args.dir.join("completions").join(name), script));
    }
    let paths = || files.iter().map(|(path, _)| path);
    paths().try_for_each(|path| OutputFile::check(path, args.overwrite))?;
    for folder in paths().filter_map(|path| path.parent()) {
        std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    for (path, content) in &files {
        OutputFile::write_whole(path, args.overwrite, content)?;
    }
    let shells = Shell::value_variants().len();
    line(format!(
        "{}: {}, {}",
        args.dir.display(),
        counted((files.len() - shells) as u64, "manual page"),
        counted(shells as u64, "completion script")
    ))?;
    Ok(())
}

/// The page of a command, and those of its subcommands.
fn pages(
    command: &Command,
    folder: &Path,
    files: &mut Vec<(PathBuf, Vec<u8>)>,
) -> anyhow::Result<()> {
    let page = Man::new(command.clone());
    let mut content = Vec::new();
    page.render(&mut content)?;
    files.push((folder.join(page.get_filename()), content));
    // What clap adds of its own only repeats the others.
    let mut inner = command.get_subcommands().filter(|inner| inner.get_name() != "help");
    inner.try_for_each(|inner| pages(inner, folder, files))
}
