//! What is generated from the command line: completions and manual pages.

use std::path::Path;

use clap::Command;
use clap::builder::PossibleValuesParser;
use clap_complete::Shell;

use super::command;

/// Returns the script that completes commands in a shell. `codes` and `servers` are the values that
/// are known besides.
#[must_use]
pub fn completions(shell: Shell, codes: &[&'static str], servers: &[&'static str]) -> Vec<u8> {
    let known = |command: Command, arg: &'static str, values: &[&'static str]| {
        let values = PossibleValuesParser::new(values.iter().copied());
        command.mut_arg(arg, |arg| arg.value_parser(values))
    };
    let mut command = command()
        .mut_subcommand("explain", |explain| known(explain, "codes", codes))
        .mut_subcommand("lab", |lab| {
            lab.mut_subcommand("up", |up| known(up, "server", servers))
                .mut_subcommand("home", |home| known(home, "server", servers))
        });
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "pmp-ha", &mut script);
    if shell == Shell::Bash {
        // The script of clap_complete 4.6 calls a program with a hyphen by two names.
        return String::from_utf8_lossy(&script).replace("pmp__subcmd__ha", "pmp__ha").into_bytes();
    }
    script
}

/// Writes a manual page for each command into a folder.
pub fn manual(folder: &Path) -> std::io::Result<()> {
    clap_mangen::generate_to(command(), folder)
}
