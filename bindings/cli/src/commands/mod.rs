//! The answers, one module a noun.

pub mod activity;
mod advice;
pub mod create;
pub mod demo;
pub mod device;
pub mod export;
pub mod find;
mod guardians;
pub mod link;
pub mod login;
pub mod online;
pub mod password;
pub mod proof;
pub mod record;
pub mod recover;
pub mod recovery;
pub mod site;
pub mod sites;
pub mod slots;
pub mod status;
pub mod vault;
pub mod watch;
