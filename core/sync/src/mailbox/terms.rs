//! How much a relay takes, and for how long.

use minicbor::{Decode, Encode};

use super::day::DAY;
use crate::machine::Millis;

/// What a relay counts for every envelope beside its bytes: a row, its place in the indexes, and what is left of it when
/// it was taken back.
pub const ROW_COST: u64 = 256;
/// The most presences of one mailbox: as many as a twin has devices.
pub const MAX_PRESENCES: u32 = 64;
/// The most posts that a device follows in one mailbox, whatever a relay allows.
pub const MAX_POSTS: u32 = 1024;

/// How long a relay remembers the highest number and the version of a mailbox in which nothing is left, in milliseconds:
/// longer than any device reads it. Devices read a mailbox until its day lies a day further back than posts are kept,
/// which is four days after its first post has expired if clocks are a day apart; a relay that had forgotten it by then
/// would look like one that had lost it.
pub const REMEMBERED: Millis = 5 * DAY;

/// What a relay says of itself at the beginning, so that a device need not find out by being refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Terms {
    /// How long a post is kept, in milliseconds.
    #[n(0)]
    pub post_life: Millis,
    /// How long a presence is kept, in milliseconds.
    #[n(1)]
    pub presence_life: Millis,
    /// The most bytes in one mailbox, [`ROW_COST`] for each envelope included.
    #[n(2)]
    pub bytes: u64,
    /// The most posts in one mailbox.
    #[n(3)]
    pub posts: u32,
    /// The most mailboxes that one connection may prove.
    #[n(4)]
    pub addresses: u32,
}

/// The shortest and the longest life that a device reckons with, in milliseconds, whatever a relay says.
const LIFE: (Millis, Millis) = (60_000, 366 * DAY);

impl Terms {
    /// As a device takes them from a relay that may say anything.
    #[must_use]
    pub fn within_reason(self) -> Self {
        Self {
            post_life: self.post_life.clamp(LIFE.0, LIFE.1),
            presence_life: self.presence_life.clamp(LIFE.0, LIFE.1),
            ..self
        }
    }
}

/// All limits of a relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Those that it tells.
    pub terms: Terms,
    /// The most bytes of the whole store, [`ROW_COST`] for each envelope included.
    pub total: u64,
    /// How many units a connection may use at once. A question costs one, and one more for every 4 KiB that it brings or
    /// asks for.
    pub burst: u32,
    /// How many units a connection gets back a second.
    pub per_second: u32,
}

impl Default for Limits {
    /// For a small machine and a few hundred people: 4 GiB; 8 MiB and 256 posts a mailbox; 16 MiB at once, then 512 KiB a
    /// second.
    fn default() -> Self {
        Self {
            terms: Terms {
                post_life: 30 * DAY,
                presence_life: 15 * 60 * 1000,
                bytes: 8 << 20,
                posts: 256,
                addresses: 256,
            },
            total: 4 << 30,
            burst: 4096,
            per_second: 128,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relay_that_says_anything_makes_no_device_spin() {
        let said = Terms {
            post_life: u64::MAX,
            presence_life: 0,
            ..Limits::default().terms
        };
        let taken = said.within_reason();
        assert_eq!((taken.post_life, taken.presence_life), (366 * DAY, 60_000));
        let honest = Limits::default().terms;
        assert_eq!(honest.within_reason(), honest);
    }
}
