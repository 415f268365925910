//! Who a person is: keys, secrets, the identity log, pseudonyms and sealing. No I/O, no clock, no async.
//!
//! Read top-down:
//! - [`context`], [`secret`], [`cbor`], [`id`]: hashing, secrets, encoding and names
//! - [`sign`], [`seal`], [`aead`]: signatures, sealing to a key, sealing of data
//! - [`address`]: keys that stand for nobody: the addresses of mailboxes
//! - [`words`], [`authority`]: the 24 words and the key that overrules devices
//! - [`guardian`]: people who together can rebuild a second such key
//! - [`device`]: a device's keys
//! - [`entry`], [`body`], [`log`], [`birth`]: the identity log and its beginning
//! - [`proof`], [`contact`]: what a contact or a site can check of it, and what it remembers
//! - [`pseudonym`]: what a site knows a person by

pub mod address;
pub mod aead;
pub mod authority;
pub mod birth;
pub mod body;
#[cfg(twin_break)]
pub mod broken;
pub mod cbor;
pub mod contact;
pub mod context;
pub mod device;
pub mod entry;
pub mod guardian;
pub mod id;
pub mod log;
pub mod proof;
pub mod pseudonym;
pub mod seal;
pub mod secret;
pub mod sign;
pub mod words;
