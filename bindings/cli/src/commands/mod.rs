//! The answers, one module a noun.

pub mod activity;
mod advice;
mod backup;
pub mod create;
pub mod demo;
pub mod device;
pub mod erase;
pub mod export;
mod field;
pub mod file;
mod guardians;
pub mod history;
pub mod link;
pub mod login;
pub mod online;
pub mod password;
mod progress;
pub mod proof;
pub mod record;
pub mod recover;
pub mod recovery;
pub mod schema;
pub mod site;
pub mod sites;
pub mod slots;
pub mod status;
pub mod vault;
