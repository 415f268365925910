//! The password: from the terminal without echo, or from TWIN_PASSWORD; a new one for a vault that has one from
//! TWIN_NEW_PASSWORD.

use std::io::ErrorKind;

use zeroize::Zeroizing;

use crate::error::{CliError, Result};
use crate::stop;

const VARIABLE: &str = "TWIN_PASSWORD";
const NEW_VARIABLE: &str = "TWIN_NEW_PASSWORD";

/// The password of a vault that exists.
pub fn ask() -> Result<Zeroizing<String>> {
    match std::env::var(VARIABLE) {
        Ok(password) => Ok(Zeroizing::new(password)),
        Err(_) => prompt("Password: "),
    }
}

/// The password of a new vault, typed twice.
pub fn choose() -> Result<Zeroizing<String>> {
    choose_from(VARIABLE, "Choose a password for this device: ")
}

/// Another password of a vault that has one, typed twice.
pub fn choose_another() -> Result<Zeroizing<String>> {
    choose_from(NEW_VARIABLE, "Choose the new password: ").map_err(|error| match error {
        CliError::NoPassword => CliError::NoNewPassword,
        error => error,
    })
}

fn choose_from(variable: &str, question: &str) -> Result<Zeroizing<String>> {
    let chosen = match std::env::var(variable) {
        Ok(password) => Zeroizing::new(password),
        Err(_) => typed_twice(question)?,
    };
    if chosen.is_empty() {
        return Err(twin::Error::from(twin::VaultError::EmptyPassword).into());
    }
    Ok(chosen)
}

fn typed_twice(question: &str) -> Result<Zeroizing<String>> {
    let first = prompt(question)?;
    let second = prompt("Once more: ")?;
    if *first == *second {
        Ok(first)
    } else {
        Err(CliError::PasswordsDiffer)
    }
}

/// A line that is not shown while it is typed.
pub fn prompt(text: &str) -> Result<Zeroizing<String>> {
    let typed = stop::not_during(|| rpassword::prompt_password(text));
    typed
        .map(Zeroizing::new)
        .map_err(|error| match error.kind() {
            ErrorKind::Interrupted => CliError::Stopped,
            _ => CliError::NoPassword,
        })
}
