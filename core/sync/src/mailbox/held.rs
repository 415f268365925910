//! Which ops are in a post, in few bytes: so that of what lies at a relay only that is taken back which holds what was
//! erased since.

use std::ops::RangeInclusive;

use minicbor::{Decode, Encode};
use twin_identity::cbor::CborError;
use twin_ops::op::LogId;

use crate::bundle::Inside;

/// How many spans are remembered of one post, and of all posts of a mailbox.
const MAX_EACH: usize = 64;
pub(super) const MAX_SPANS: usize = 4096;
/// As many parts are never erased.
const STALE: u64 = u64::MAX;

/// The ops in a post. Logs go by the first eight bytes of their ids: two that look the same make more be taken back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Held {
    /// The log, and the places of the first and the last op.
    #[n(0)]
    spans: Vec<(u64, u64, u64)>,
    /// Of how many parts of these ops the content was erased when this was taken down, and is not in it.
    #[n(1)]
    erased: u64,
}

impl Held {
    /// What is in a bundle; `None` if that cannot be told by places, or not in few bytes.
    pub fn of(inside: &Inside) -> Option<Self> {
        let spans = inside.spans.iter();
        let spans = spans.map(|(log, span)| (tag(log), *span.start(), *span.end()));
        let is_clear = !inside.is_unclear && inside.spans.len() <= MAX_EACH;
        is_clear.then(|| Self {
            spans: spans.collect(),
            erased: 0,
        })
    }

    /// The spans: whether a log is the one, and the places of the first and the last op.
    pub fn spans(&self) -> impl Iterator<Item = (impl Fn(&LogId) -> bool, RangeInclusive<u64>)> {
        let spans = self.spans.iter();
        spans.map(|(log, first, last)| (move |of: &LogId| tag(of) == *log, *first..=*last))
    }

    /// The same, with the content of so many parts erased.
    #[must_use]
    pub const fn with_erased(mut self, parts: u64) -> Self {
        self.erased = parts;
        self
    }

    /// The same, of an envelope whose maker did not know of something that was erased.
    #[must_use]
    pub const fn stale(self) -> Self {
        self.with_erased(STALE)
    }

    /// What is left to be known of an envelope that is being taken back, and whose ops are left again.
    pub const fn left_again() -> Self {
        Self {
            spans: Vec::new(),
            erased: STALE,
        }
    }

    /// Whether its maker did not know of something that was erased, or it is being taken back.
    pub const fn is_stale(&self) -> bool {
        self.erased == STALE
    }

    /// Whether what was in it is left again already.
    pub const fn is_left_again(&self) -> bool {
        self.is_stale() && self.spans.is_empty()
    }

    /// Of how many parts of these ops the content was erased, and is not in it.
    pub const fn erased(&self) -> u64 {
        self.erased
    }

    /// One with so many spans, as long as they come.
    #[cfg(test)]
    pub(super) fn example(spans: usize) -> Self {
        Self {
            spans: vec![(u64::MAX, u64::MAX, u64::MAX); spans],
            erased: u64::MAX,
        }
    }

    /// What it counts for where there is room for so many spans.
    pub(super) const fn len(&self) -> usize {
        // One that holds no op takes room, too.
        self.spans.len() + 1
    }

    /// Whether it is no more than is ever written.
    pub(super) fn check(&self) -> Result<(), CborError> {
        if self.spans.len() > MAX_EACH {
            return Err(CborError::Malformed);
        }
        Ok(())
    }
}

fn tag(log: &LogId) -> u64 {
    let bytes = log.as_bytes().first_chunk::<8>();
    bytes.map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_said_in_few_bytes_is_not_known() {
        let log = |byte: u8| LogId::from_bytes([byte; 32]);
        let mut inside = Inside::default();
        inside.spans.insert(log(1), 3..=9);
        let held = Held::of(&inside).map(|held| held.with_erased(2));
        let held = held.unwrap_or_default();
        assert_eq!(held.erased(), 2);
        let spans: Vec<_> = held.spans().collect();
        assert_eq!(spans.len(), 1);
        for (is_log, seqs) in spans {
            assert!(is_log(&log(1)) && !is_log(&log(2)));
            assert_eq!(seqs, 3..=9);
        }
        for byte in 0..=255 {
            inside.spans.insert(log(byte), 1..=1);
        }
        assert_eq!(Held::of(&inside), None);
        let unclear = Inside {
            is_unclear: true,
            ..Inside::default()
        };
        assert_eq!(Held::of(&unclear), None);
        assert_eq!(
            Held::example(MAX_EACH + 1).check(),
            Err(CborError::Malformed)
        );
        assert_eq!(Held::example(MAX_EACH).check(), Ok(()));
    }
}
