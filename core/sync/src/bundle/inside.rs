//! Which ops are in a bundle: what has to be known of it when something is erased later.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use minicbor::bytes::ByteVec;
use twin_ops::op::{LogId, Op, Part};

use crate::session::message::{Message, Ops};

/// The ops of one bundle of limited size.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inside {
    /// The places of the first and the last op of each log; between them some may not be in it.
    pub spans: BTreeMap<LogId, RangeInclusive<u64>>,
    /// The parts, by log, place of the op, and index, of which the content is in it.
    pub parts: Vec<(LogId, u64, u16)>,
    /// Whether there is what cannot be told by its place: a log that begins with a checkpoint, which holds copies of what
    /// other ops had, or what is no op.
    pub is_unclear: bool,
}

impl Inside {
    pub(super) fn add(&mut self, message: &Message) {
        let Message::Ops(Ops { ops, base, .. }) = message else {
            return;
        };
        self.is_unclear |= base.is_some();
        for op in ops {
            self.add_op(op);
        }
    }

    fn add_op(&mut self, bytes: &ByteVec) {
        let Ok(op) = Op::from_bytes(bytes) else {
            self.is_unclear = true;
            return;
        };
        let (log, seq) = (op.header().log, op.header().seq);
        let span = self.spans.entry(log).or_insert(seq..=seq);
        *span = seq.min(*span.start())..=seq.max(*span.end());
        for (index, part) in (0..).zip(op.parts()) {
            if matches!(part, Part::Sealed(_)) {
                self.parts.push((log, seq, index));
            }
        }
    }
}
