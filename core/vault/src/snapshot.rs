//! What a snapshot is made of: the changes up to given lines that still decide something, op by op.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use twin_ops::checkpoint::{Line, Original};
use twin_ops::op::{LogId, MAX_OP_LEN, MAX_PARTS};
use twin_ops::seal::sealed_len;
use twin_ops::space::SpaceId;

use crate::error::Result;
use crate::index::places;
use crate::merge::{Version, settle};
use crate::oplog::PartNo;
use crate::read::Versions;
use crate::vault::Vault;

/// About how many bytes of sealed parts an op of a snapshot has, unless a single one has more.
const OP_BYTES: usize = 512 << 10;
/// What an op has beside its changes, at most, if there is only one.
const OP_HEAD: usize = 1 << 10;
/// The most bytes that an original takes, with the name of its field.
const ORIGINAL: usize = 20;

/// Whether an op of a snapshot has room for a change whose plaintext has so many bytes.
pub(crate) fn has_room(plaintext: usize) -> bool {
    sealed_len(plaintext + ORIGINAL) + OP_HEAD <= MAX_OP_LEN
}

/// What is to be in a snapshot.
pub(crate) enum Drawn {
    /// The changes of each op.
    Ops(Vec<Vec<(PartNo, Original)>>),
    /// A change that no op of a snapshot has room for, by log and op.
    TooLarge(LogId, u64),
}

impl Vault {
    /// The changes that decide something of those up to the lines, op by op.
    pub(crate) fn snapshot(&self, space: &SpaceId, lines: &[(LogId, Line)]) -> Result<Drawn> {
        let mut numbers: BTreeMap<LogId, (u32, u64)> = BTreeMap::new();
        for (number, (log, line)) in (0..).zip(lines) {
            numbers.insert(*log, (number, line.height));
        }
        let original = |version: &Version<PartNo>| {
            let (line, height) = numbers.get(&version.at.log)?;
            (version.at.seq <= *height).then_some(Original {
                line: *line,
                seq: version.at.seq,
                // A part's index has 12 bits.
                index: u16::try_from(version.at.index).unwrap_or(u16::MAX),
            })
        };
        let mut drawn = Drawing::default();
        let collections = self.state.collections.get(space);
        for number in collections.into_iter().flat_map(BTreeMap::values) {
            let mut too_large = None;
            self.each_found(places(*number), |place, versions| {
                let versions =
                    self.up_to(place, versions?, |version| original(version).is_some())?;
                for version in versions {
                    let Some(original) = original(&version) else {
                        continue;
                    };
                    let len = version.change.to_bytes().len();
                    if !drawn.add(version.key, original, len) {
                        too_large = Some((version.at.log, version.at.seq));
                        return Ok(ControlFlow::Break(()));
                    }
                }
                Ok(ControlFlow::Continue(()))
            })?;
            if let Some((log, seq)) = too_large {
                return Ok(Drawn::TooLarge(log, seq));
            }
        }
        Ok(Drawn::Ops(drawn.finish()))
    }

    /// What decides something of a record's changes that are `within`.
    fn up_to(
        &self,
        place: i64,
        settled: Versions,
        within: impl Fn(&Version<PartNo>) -> bool,
    ) -> Result<Versions> {
        if settled.iter().all(&within) {
            // Nothing that they outdo would decide anything without the others: there are none.
            return Ok(settled);
        }
        let mut all = settled;
        for part in self.past_at(place)? {
            let version = self.stored_version(part)?;
            if self.is_of(place, &version)?
                && all.first().map(|first| &first.change.id) == Some(&version.change.id)
            {
                all.push(version);
            }
        }
        all.retain(&within);
        settle(&mut all);
        Ok(all)
    }
}

/// A snapshot that is being made up.
#[derive(Default)]
struct Drawing {
    ops: Vec<Vec<(PartNo, Original)>>,
    bytes: usize,
}

impl Drawing {
    /// Adds a change whose plaintext has `len` bytes; `false` if no op has room for it.
    fn add(&mut self, key: PartNo, original: Original, len: usize) -> bool {
        if !has_room(len) {
            return false;
        }
        // Its length stands before it, and it is named in the first part, too.
        let bytes = sealed_len(len + ORIGINAL) + 5 + ORIGINAL;
        let is_full = match self.ops.last() {
            Some(op) => op.len() + 1 >= MAX_PARTS || self.bytes + bytes > OP_BYTES,
            None => true,
        };
        if is_full {
            self.ops.push(Vec::new());
            self.bytes = 0;
        }
        if let Some(op) = self.ops.last_mut() {
            op.push((key, original));
        }
        self.bytes += bytes;
        true
    }

    fn finish(self) -> Vec<Vec<(PartNo, Original)>> {
        self.ops
    }
}
