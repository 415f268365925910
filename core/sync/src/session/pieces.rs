//! Ops that do not fit into a frame of the usual size are sent in pieces, and a cut one goes on where it stopped.
//!
//! ```text
//! both   Begun    before Table: ops of which the beginning has come, in this session or one before
//! both   Piece    the next bytes of an op; when the last has come, it is taken as if it had come at once
//! ```

use std::collections::BTreeMap;

use minicbor::bytes::ByteVec;
use twin_ops::op::{Link, Op};
use twin_ops::piece::{Begun, MAX_UNFINISHED, Pieces};
use twin_ops::store::OpStore;

use super::error::SyncError;
use super::message::{Message, OpPiece, Ops};
use super::{BATCH, Session};
use crate::machine::Millis;

/// The bytes of a piece.
const PIECE: usize = 64 << 10;

/// What goes on about ops in pieces.
#[derive(Default)]
pub(super) struct InPieces {
    /// For a store that keeps none.
    own: Pieces,
    /// What the peer has of ops, by op and length.
    there: BTreeMap<(Link, u64), u64>,
}

impl<S: OpStore + ?Sized> Session<S> {
    /// Says which ops have begun to come.
    pub(super) fn tell_begun(&mut self, store: &S) {
        let begun = store.begun();
        if !begun.is_empty() {
            self.push(&Message::Begun(begun));
        }
    }

    pub(super) fn on_begun(&mut self, begun: Vec<Begun>) -> Result<(), SyncError> {
        if begun.len() > MAX_UNFINISHED {
            return Err(SyncError::Unexpected);
        }
        let there = begun.into_iter();
        self.pieces.there = there
            .map(|Begun { op, len, come }| ((op, len), come))
            .collect();
        Ok(())
    }

    /// Sends a message; one with a single long op in pieces.
    pub(super) fn push_in_pieces(&mut self, message: Message) {
        match message {
            Message::Ops(ops) => match ops.ops.as_slice() {
                [op] if op.len() > BATCH => self.push_pieces(&ops, op),
                _ => self.push(&Message::Ops(ops)),
            },
            message => self.push(&message),
        }
    }

    fn push_pieces(&mut self, ops: &Ops, bytes: &[u8]) {
        let Ok(op) = Op::from_bytes(bytes).map(|op| op.link()) else {
            // It is ours, so it can be read; if not, the peer will say so.
            return self.push(&Message::Ops(ops.clone()));
        };
        let len = bytes.len() as u64;
        let come = self.pieces.there.remove(&(op, len));
        let mut at = come
            .and_then(|come| usize::try_from(come).ok())
            .filter(|come| *come < bytes.len())
            .unwrap_or(0);
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            let piece = rest.get(..PIECE).unwrap_or(rest);
            self.push(&Message::OpPiece(OpPiece {
                origin: ops.origin,
                base: ops.base,
                op,
                len,
                at: at as u64,
                piece: piece.to_vec().into(),
            }));
            at += piece.len();
        }
    }

    pub(super) fn on_piece(
        &mut self,
        now: Millis,
        piece: OpPiece,
        store: &mut S,
    ) -> Result<(), SyncError> {
        let OpPiece {
            origin,
            base,
            op,
            len,
            at,
            piece,
        } = piece;
        let pieces = store.pieces().unwrap_or(&mut self.pieces.own);
        let whole = pieces.add(op, len, at, &piece);
        match whole.map_err(|_| SyncError::Unexpected)? {
            Some(whole) => {
                let ops = vec![ByteVec::from(whole)];
                self.on_ops(now, Ops { origin, ops, base }, store)
            }
            None => Ok(()),
        }
    }
}
