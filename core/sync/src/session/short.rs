//! Tables in short: of every id its first 8 bytes and of every link 16, which is enough to find out what is lacking.
//!
//! The first tables of a session are short. What two ids with the same beginning make either side believe is wrong, and
//! nothing is lost by it but time: it is no reason to hold replicas for equal, for digests are whole and are over whole
//! hashes. If these differ when neither side has anything more to send, both list everything again in whole, and forget
//! what they had from the short tables. By chance two of n ids begin in the same way in n^2 of 2^65 cases; a device of
//! the twin that finds some on purpose (by 2^32 attempts at grants, entries or logs of its own) gains a longer table.

use std::collections::{BTreeMap, BTreeSet};

use minicbor::decode::{self, Decoder};
use minicbor::encode::{self, Encoder, Write};
use minicbor::{Decode, Encode};
use twin_identity::id::EntryId;
use twin_ops::chain::Head;
use twin_ops::grant::GrantId;
use twin_ops::op::{Link, LogId};
use twin_ops::store::LogHead;

use super::message::Row;

/// The beginning of an id.
pub(crate) type Short = [u8; 8];
/// The beginning of a link, too long for two that begin in the same way to be found: from a history that only seems to be
/// the same, ops would be sent that do not fit.
type ShortLink = [u8; 16];

fn short<const N: usize>(hash: &[u8; 32]) -> [u8; N] {
    let mut short = [0; N];
    short
        .iter_mut()
        .zip(hash)
        .for_each(|(to, from)| *to = *from);
    short
}

/// In which form a side has listed what it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// By the beginnings of hashes.
    Short,
    /// By whole hashes.
    Whole,
}

/// Beginnings of hashes, sorted and each once: as bytes they are joined.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Shorts(BTreeSet<Short>);

impl Shorts {
    /// Those of some hashes; `None` if two begin in the same way.
    pub fn of<'a>(hashes: impl IntoIterator<Item = &'a [u8; 32]>) -> Option<Self> {
        let (mut shorts, mut all) = (BTreeSet::new(), 0);
        for hash in hashes {
            all += 1;
            shorts.insert(short(hash));
        }
        (shorts.len() == all).then_some(Self(shorts))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn has(&self, hash: &[u8; 32]) -> bool {
        self.0.contains(&short(hash))
    }

    /// Whether each of these is the beginning of one of those hashes.
    pub fn are_all_of<'a>(&self, hashes: impl IntoIterator<Item = &'a [u8; 32]>) -> bool {
        let here: BTreeSet<Short> = hashes.into_iter().map(short).collect();
        self.0.is_subset(&here)
    }
}

impl<C> Encode<C> for Shorts {
    fn encode<W: Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        let joined: Vec<u8> = self.0.iter().flatten().copied().collect();
        e.bytes(&joined)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Shorts {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        let (shorts, rest) = d.bytes()?.as_chunks::<8>();
        if rest.is_empty() && shorts.is_sorted_by(|a, b| a < b) {
            Ok(Self(shorts.iter().copied().collect()))
        } else {
            Err(decode::Error::message(
                "beginnings of hashes are not sorted, or cut",
            ))
        }
    }
}

/// A table of grants and logs, in short.
#[derive(Debug, Encode, Decode)]
#[cbor(map)]
pub(crate) struct ShortTable {
    #[n(3)]
    pub grants: Shorts,
    #[n(4)]
    pub heads: Vec<ShortRow>,
}

/// A log, its height and its newest link, in short.
#[derive(Debug, Clone, Copy, Encode, Decode)]
#[cbor(array)]
pub(crate) struct ShortRow {
    #[cbor(n(0), with = "twin_identity::cbor::fixed")]
    pub log: Short,
    #[n(1)]
    pub height: u64,
    #[cbor(n(2), with = "twin_identity::cbor::fixed")]
    pub link: ShortLink,
}

impl ShortTable {
    /// `None` if there are two grants or logs that begin in the same way.
    pub fn of(grants: &[GrantId], heads: &[LogHead]) -> Option<Self> {
        Shorts::of(heads.iter().map(|head| head.log.as_bytes()))?;
        let row = |LogHead { log, head }: &LogHead| ShortRow {
            log: short(log.as_bytes()),
            height: head.height,
            link: short(head.link.as_bytes()),
        };
        Some(Self {
            grants: Shorts::of(grants.iter().map(GrantId::as_bytes))?,
            heads: heads.iter().map(row).collect(),
        })
    }
}

/// Entries of the identity log, in short; `None` if two begin in the same way.
pub(crate) fn entries<'a>(ids: impl IntoIterator<Item = &'a EntryId>) -> Option<Shorts> {
    Shorts::of(ids.into_iter().map(EntryId::as_bytes))
}

/// How far the peer says that it has a log that is known here.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Told {
    pub log: LogId,
    pub height: u64,
    link: Said,
}

#[derive(Debug, Clone, Copy)]
enum Said {
    Whole(Link),
    Short(ShortLink),
}

impl Told {
    /// Whether what it says of its newest link can be said of this one.
    pub fn is_at(&self, link: &Link) -> bool {
        match &self.link {
            Said::Whole(said) => said == link,
            Said::Short(said) => *said == short::<16>(link.as_bytes()),
        }
    }
}

impl From<&Row> for Told {
    fn from(row: &Row) -> Self {
        Self {
            log: row.log,
            height: row.height,
            link: Said::Whole(row.link),
        }
    }
}

impl From<&LogHead> for Told {
    fn from(LogHead { log, head }: &LogHead) -> Self {
        let Head { height, link } = *head;
        Self {
            log: *log,
            height,
            link: Said::Whole(link),
        }
    }
}

/// The rows of a short table: those of logs that are known here, and of the others how high they are. A row that two
/// logs here could be meant by is among the others.
pub(crate) fn resolve(
    rows: &[ShortRow],
    known: impl IntoIterator<Item = LogId>,
) -> (Vec<Told>, BTreeMap<Short, u64>) {
    let mut logs: BTreeMap<Short, Option<LogId>> = BTreeMap::new();
    for log in known {
        logs.entry(short(log.as_bytes()))
            .and_modify(|one| *one = one.filter(|one| *one == log))
            .or_insert(Some(log));
    }
    let (mut told, mut others) = (Vec::new(), BTreeMap::new());
    for row in rows {
        match logs.get(&row.log).copied().flatten() {
            Some(log) => told.push(Told {
                log,
                height: row.height,
                link: Said::Short(row.link),
            }),
            None => {
                others.insert(row.log, row.height);
            }
        }
    }
    (told, others)
}

/// How high the peer has a log that was not known here when it said so.
pub(crate) fn height_of(others: &BTreeMap<Short, u64>, log: &LogId) -> Option<u64> {
    others.get(&short(log.as_bytes())).copied()
}
