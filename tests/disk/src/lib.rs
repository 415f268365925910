//! A disk that fails on purpose.
//!
//! Whatever is linked into a program together with this crate, SQLite as well as Rust's `std`, writes through functions
//! of libc, and those that change files are defined here anew (`calls`). They do as they always do, but what happens in a
//! folder that is watched as a [`Disk`] is also
//! - recorded, so that the folder can be made as it may be after a power loss at any moment (`tape`);
//! - refused, or cut short together with the process, when a [`Fault`] says so.
//!
//! What is not seen: memory that is mapped (SQLite's `-shm`, which it makes anew after a crash) and folders within the
//! folder. In a folder that is watched nothing is really synced: what is synced is what the recording says.
//!
//! Linux only.
#![cfg(target_os = "linux")]

#[allow(unsafe_code)]
mod calls;
mod disk;
mod tape;

pub use disk::{Disk, Fault, Trouble};
