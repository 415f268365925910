//! The op format: what a device writes, signs and seals. No I/O.
//!
//! Read top-down:
//! - [`space`], [`epoch`], [`grant`]: where data lives, under which keys, and how devices get them
//! - [`op`], [`chain`]: signed operations and how a run of them is verified
//! - [`seal`], [`change`], [`value`]: the sealed parts of an op and what they say
//! - [`file`]: content of any size, in sealed chunks
//! - [`store`]: what sync asks of a device's store

pub mod chain;
pub mod change;
pub mod epoch;
pub mod file;
pub mod grant;
pub mod op;
pub mod seal;
pub mod space;
pub mod store;
pub mod value;
