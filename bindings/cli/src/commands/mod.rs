//! The answers, one module a noun.

pub mod activity;
pub mod create;
pub mod demo;
pub mod device;
pub mod link;
pub mod login;
pub mod online;
pub mod record;
pub mod site;
pub mod status;
