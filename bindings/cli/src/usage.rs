//! What was typed cannot be understood: said in one line, as every other error.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::CommandFactory;
use clap::error::ErrorKind;

use crate::args::Args;
use crate::complaint::complain;
use crate::output::show;

/// The exit code of a command that could not be understood, as usual in a shell.
const USAGE: u8 = 2;

/// Shows help and version where they were asked for; explains everything else.
pub fn explain(error: &clap::Error) -> ExitCode {
    let text = error.render().to_string();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            show(&text);
            ExitCode::SUCCESS
        }
        // `twin` alone: whoever types it wants to know what there is.
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            show(&text);
            ExitCode::from(USAGE)
        }
        _ => {
            let typed = command(std::env::args_os().skip(1));
            complain(&sentence(&text, &typed));
            ExitCode::from(USAGE)
        }
    }
}

/// The parser's words before its usage, in one line, and where to look. Of a value it says no usage: then it is the
/// command that was typed.
fn sentence(text: &str, typed: &str) -> String {
    let (problem, usage) = text.split_once("\nUsage: ").unwrap_or((text, typed));
    let problem: Vec<&str> = problem
        .trim_start_matches("error: ")
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with("For more information"))
        .collect();
    let is_name = |word: &&str| word.chars().all(|c| c.is_ascii_lowercase());
    let command: Vec<&str> = usage.split_whitespace().take_while(is_name).collect();
    format!("{}; see {} --help", problem.join(" "), command.join(" "))
}

/// The command that these words begin with, and what it is a command of.
fn command(words: impl Iterator<Item = OsString>) -> String {
    let twin = Args::command();
    let (mut at, mut names) = (&twin, vec![twin.get_name()]);
    for word in words {
        match at.find_subcommand(&word) {
            Some(command) => at = command,
            // An option of all commands may stand before them.
            None if names.len() == 1 => continue,
            None => break,
        }
        names.push(at.get_name());
    }
    names.join(" ")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn said(words: &[&str]) -> String {
        let typed = command(words.iter().map(OsString::from));
        let words = ["twin"].iter().chain(words);
        let error = Args::try_parse_from(words).err();
        error.map_or_else(String::new, |error| {
            sentence(&error.render().to_string(), &typed)
        })
    }

    #[test]
    fn one_line_says_what_is_wrong_and_where_to_look() {
        for (words, wanted) in [
            (
                &["passwrd"][..],
                "unrecognized subcommand 'passwrd' tip: a similar subcommand exists: 'password'; see twin --help",
            ),
            (
                &["create"],
                "the following required arguments were not provided: --name <NAME>; see twin create --help",
            ),
            (
                &["link", "offer", "--bogus"],
                "unexpected argument '--bogus' found; see twin link offer --help",
            ),
            (
                &["--home", "h", "list", "home/notes", "--limit", "x"],
                "invalid value 'x' for '--limit <N>': it should be a number from 1 on; see twin list --help",
            ),
        ] {
            assert_eq!(said(words), wanted);
        }
    }
}
