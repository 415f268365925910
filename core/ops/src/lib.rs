//! The op format: what a device writes, signs and seals. No I/O.
//!
//! Read top-down:
//! - [`space`], [`epoch`], [`grant`]: where data lives, under which keys, and how devices get them
//! - [`op`], [`chain`]: signed operations and how a run of them is verified
//! - [`seal`], [`change`], [`value`], [`set`], [`edit`]: the sealed parts of an op and what they say
//! - [`checkpoint`]: how history goes without being missed
//! - [`file`]: content of any size, in sealed chunks
//! - [`store`]: what sync asks of a device's store
//! - [`relays`]: what a device remembers of relays
//! - [`backup`]: one sealed file with all of it

pub mod backup;
pub mod chain;
pub mod change;
pub mod checkpoint;
pub mod edit;
pub mod epoch;
pub mod file;
pub mod grant;
pub mod op;
pub mod piece;
pub mod relays;
pub mod seal;
pub mod set;
pub mod space;
pub mod store;
pub mod value;
