//! What is in memory while the vault is open stays there.

use crate::error::Result;

/// Writes no core dump, whatever happens, and lets no other program of the same user read this one's memory or trace it.
/// Whoever is root can still; and what the system swaps out is its own business (encrypt that).
#[cfg(target_os = "linux")]
pub fn close() -> Result<()> {
    use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

    use crate::error::CliError;

    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, none)
        .and_then(|()| set_dumpable_behavior(DumpableBehavior::NotDumpable))
        .map_err(|error| CliError::OpenMemory(error.into()))
}

/// Other systems than Linux are not told.
#[cfg(not(target_os = "linux"))]
pub fn close() -> Result<()> {
    Ok(())
}
