//! What was typed cannot be understood: said in one line, as every other error.

use std::process::ExitCode;

use clap::error::ErrorKind;

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
            complain(&sentence(&text));
            ExitCode::from(USAGE)
        }
    }
}

/// The parser's words before its usage, in one line, and where to look.
fn sentence(text: &str) -> String {
    let (problem, usage) = text.split_once("\nUsage: ").unwrap_or((text, "twin"));
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

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::Args;

    fn said(words: &[&str]) -> String {
        let words = ["twin"].iter().chain(words);
        let error = Args::try_parse_from(words).err();
        error.map_or_else(String::new, |error| sentence(&error.render().to_string()))
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
        ] {
            assert_eq!(said(words), wanted);
        }
    }
}
