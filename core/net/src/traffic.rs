//! How many bytes a node has sent and received.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// Bytes since the node started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes of frames sent, each with its 4-byte length: what our protocols cost.
    pub sent: u64,
    /// Bytes of frames received, counted likewise.
    pub received: u64,
    /// Bytes given to TCP: frames, pings, multiplexing and TLS; and to the streams of QUIC: frames and pings, for of
    /// QUIC's own packets libp2p does not tell. What goes through a relay counts in the connection to it.
    pub wire_sent: u64,
    /// Bytes taken from TCP and from the streams of QUIC, counted likewise.
    pub wire_received: u64,
}

/// The counters behind [`Traffic`], shared by all of a node's connections.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counters(Arc<Totals>);

#[derive(Debug, Default)]
struct Totals {
    sent: AtomicU64,
    received: AtomicU64,
    wire_sent: AtomicU64,
    wire_received: AtomicU64,
}

impl Counters {
    pub(crate) fn sent(&self, bytes: usize) {
        add(&self.0.sent, bytes);
    }

    pub(crate) fn received(&self, bytes: usize) {
        add(&self.0.received, bytes);
    }

    pub(crate) fn wire_sent(&self, bytes: usize) {
        add(&self.0.wire_sent, bytes);
    }

    pub(crate) fn wire_received(&self, bytes: usize) {
        add(&self.0.wire_received, bytes);
    }

    pub(crate) fn read(&self) -> Traffic {
        Traffic {
            sent: self.0.sent.load(Ordering::Relaxed),
            received: self.0.received.load(Ordering::Relaxed),
            wire_sent: self.0.wire_sent.load(Ordering::Relaxed),
            wire_received: self.0.wire_received.load(Ordering::Relaxed),
        }
    }
}

fn add(total: &AtomicU64, bytes: usize) {
    total.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
}
