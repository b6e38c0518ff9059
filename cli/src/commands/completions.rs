//! `quarry completions SHELL`

use clap_complete::Shell;

/// Print a completion script for a shell
///
/// For example: quarry completions bash > ~/.local/share/bash-completion/completions/quarry
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(crate) fn run(args: &Args, command: &mut clap::Command) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, command, "quarry", &mut script);
    Ok(std::io::Write::write_all(&mut std::io::stdout().lock(), &script)?)
}
