//! Two sessions that talk to each other without a network, in flights: both sides say all that they have to say, then both
//! hear all of it.

use std::time::Instant;

use chacha20_rng::ChaCha20Rng;
use twin_sync::TransportKey;
use twin_sync::machine::Machine;
use twin_sync::session::{Session, Side, Stay};
use twin_vault::Vault;

use super::Failure;
use super::twins::Twins;

/// Numbers of messages in core/docs/formats.md.
pub const HANDSHAKE: [u8; 4] = [0, 1, 2, 9];
pub const DIGEST: u8 = 8;
pub const OPS: u8 = 7;
/// A frame is preceded by its length on the wire.
const PREFIX: usize = 4;

/// What was said.
#[derive(Default)]
pub struct Told {
    /// Of each frame: in which flight, which message, how many bytes on the wire.
    pub frames: Vec<(usize, u8, usize)>,
    /// The microseconds of either side, with the message that was made or read; none where there was none to be made.
    pub spent: [Vec<(Option<u8>, f64)>; 2],
}

/// Lets phone and laptop talk until they have no more to say; `now` is theirs.
pub fn talk(twins: &mut Twins, now: u64) -> Result<Told, Failure> {
    let keys = [[1; 32], [2; 32]].map(TransportKey::from_bytes);
    let begin = |side, me: usize, rng: &mut ChaCha20Rng| {
        Session::<Vault>::new(side, keys[me], keys[1 - me], Stay::Online, now, rng)
    };
    let rng = &mut twins.rng;
    let mut sessions = [
        begin(Side::Initiator, 0, rng),
        begin(Side::Responder, 1, rng),
    ];
    let vaults = [&mut twins.phone, &mut twins.laptop];
    let mut told = Told::default();
    for flight in 0.. {
        let mut sent: [Vec<Vec<u8>>; 2] = Default::default();
        for me in [0, 1] {
            loop {
                let begun = Instant::now();
                let frame = sessions[me].next_frame(now, vaults[me])?;
                told.spent[me].push((frame.as_deref().map(kind), micros(begun)));
                let Some(frame) = frame else { break };
                told.frames
                    .push((flight, kind(&frame), frame.len() + PREFIX));
                sent[me].push(frame);
            }
        }
        if sent.iter().all(Vec::is_empty) {
            break;
        }
        for me in [0, 1] {
            for frame in &sent[1 - me] {
                let begun = Instant::now();
                sessions[me].receive(now, frame, vaults[me])?;
                told.spent[me].push((Some(kind(frame)), micros(begun)));
            }
        }
    }
    if sessions.iter().all(Session::is_in_sync) {
        Ok(told)
    } else {
        Err("the replicas are not equal after all".into())
    }
}

impl Told {
    /// Bytes of the messages that `is` says yes to.
    pub fn bytes(&self, is: impl Fn(u8) -> bool) -> usize {
        let of = self.frames.iter().filter(|(_, kind, _)| is(*kind));
        of.map(|(_, _, bytes)| bytes).sum()
    }

    /// The first flight with such a message.
    pub fn first(&self, is: u8) -> Option<usize> {
        let mut of = self.frames.iter().filter(|(_, kind, _)| *kind == is);
        of.next().map(|(flight, _, _)| *flight)
    }

    /// The microseconds of one side for what `is` says yes to.
    pub fn micros(&self, side: usize, is: impl Fn(Option<u8>) -> bool) -> f64 {
        let of = self.spent[side].iter().filter(|(kind, _)| is(*kind));
        of.map(|(_, micros)| micros).sum()
    }
}

/// An array of the message's number and its fields.
fn kind(frame: &[u8]) -> u8 {
    frame.get(1).copied().unwrap_or(u8::MAX)
}

fn micros(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1e6
}
