//! The password: from the terminal without echo, or from TWIN_PASSWORD.

use std::io::ErrorKind;

use zeroize::Zeroizing;

use crate::error::{CliError, Result};
use crate::stop;

const VARIABLE: &str = "TWIN_PASSWORD";

/// The password of a vault that exists.
pub fn ask() -> Result<Zeroizing<String>> {
    match std::env::var(VARIABLE) {
        Ok(password) => Ok(Zeroizing::new(password)),
        Err(_) => prompt("Password: "),
    }
}

/// The password of a new vault, typed twice.
pub fn choose() -> Result<Zeroizing<String>> {
    let chosen = match std::env::var(VARIABLE) {
        Ok(password) => Zeroizing::new(password),
        Err(_) => typed_twice()?,
    };
    if chosen.is_empty() {
        return Err(twin::Error::from(twin::VaultError::EmptyPassword).into());
    }
    Ok(chosen)
}

fn typed_twice() -> Result<Zeroizing<String>> {
    let first = prompt("Choose a password for this device: ")?;
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
