//! Trying several addresses of one device, and saying clearly why none of them worked.

use std::{collections::VecDeque, io, time::Duration};

use futures::{StreamExt as _, stream::FuturesUnordered};
use libp2p::{
    Multiaddr, connection_limits::Exceeded, core::transport::TransportError, multiaddr::Protocol,
    swarm::DialError,
};
use tokio::time::sleep;
use twin_sync::TransportKey;

use crate::{Address, Error, gate::Closed, keys::peer_of, transport::kind_of};

/// How long one address may stay without an answer before the next is tried beside it.
const HEAD_START: Duration = Duration::from_millis(250);

/// Dials one IP address after the other, TCP and QUIC side by side, without waiting long for the silent ones; the first
/// connection wins, and the dropped futures call the others off.
pub(crate) async fn first_of<F: Future<Output = Result<TransportKey, Error>>>(
    addresses: &[Address],
    dial: impl Fn(Address) -> F,
) -> Result<TransportKey, Error> {
    let mut waiting: VecDeque<&[Address]> = addresses.chunk_by(side_by_side).collect();
    let mut dialling: FuturesUnordered<F> = FuturesUnordered::new();
    dialling.extend(next(&mut waiting).map(&dial));
    let mut worst: Option<Error> = None;
    loop {
        let head_start = async {
            if waiting.is_empty() {
                std::future::pending().await
            } else {
                sleep(HEAD_START).await
            }
        };
        tokio::select! {
            answer = dialling.next() => match answer {
                Some(Ok(key)) => return Ok(key),
                Some(Err(error)) => {
                    if worst.as_ref().is_none_or(|worst| telling(&error) > telling(worst)) {
                        worst = Some(error);
                    }
                }
                None => return Err(worst.unwrap_or(Error::NoAddress)),
            },
            () = head_start => {}
        }
        dialling.extend(next(&mut waiting).map(&dial));
    }
}

/// Whether two neighbours in the list are the same machine over TCP and QUIC.
fn side_by_side(one: &Address, other: &Address) -> bool {
    (one.ip(), one.scope()) == (other.ip(), other.scope()) && one.transport() != other.transport()
}

fn next<'a>(waiting: &mut VecDeque<&'a [Address]>) -> impl Iterator<Item = Address> + use<'a> {
    waiting.pop_front().unwrap_or_default().iter().copied()
}

/// Of several failures, the one that tells the person most.
fn telling(error: &Error) -> u8 {
    match error {
        Error::WrongKey(_) => 6,
        Error::TooMany => 5,
        Error::NotATwin(_) | Error::HungUp(_) => 4,
        Error::Refused(_) => 3,
        Error::TimedOut => 2,
        Error::Unreachable(_) => 1,
        _ => 0,
    }
}

/// What is dialled.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    /// A device, or a relay itself.
    Direct(Address),
    /// A device, through the relay with this key, which is there.
    Circuit(Address, TransportKey),
}

impl Target {
    /// As libp2p writes it, if the relay's key is one.
    pub(crate) fn to_multiaddr(self) -> Option<Multiaddr> {
        Some(match self {
            Self::Direct(address) => address.to_multiaddr(),
            Self::Circuit(address, relay) => address
                .to_multiaddr()
                .with(Protocol::P2p(peer_of(&relay)?))
                .with(Protocol::P2pCircuit),
        })
    }

    /// Who answers in another's place.
    pub(crate) fn wrong_key(self) -> Error {
        match self {
            Self::Direct(address) => Error::WrongKey(address),
            Self::Circuit(..) => Error::NotAtRelay,
        }
    }
}

/// libp2p's reasons, in our words.
pub(crate) fn reason(error: &DialError, target: Target) -> Error {
    match target {
        Target::Direct(address) => direct_reason(error, address),
        Target::Circuit(address, _) => match direct_reason(error, address) {
            limit @ Error::TooMany => limit,
            late @ Error::TimedOut => late,
            _ => Error::NotAtRelay,
        },
    }
}

fn direct_reason(error: &DialError, address: Address) -> Error {
    match error {
        DialError::WrongPeerId { .. } => Error::WrongKey(address),
        // The swarm strikes out its own listening addresses, and then has none left of the one given.
        DialError::LocalPeerId { .. } | DialError::NoAddresses => Error::OwnAddress(address),
        DialError::Denied { cause } => match cause.downcast_ref::<Closed>() {
            Some(Closed::OffLink) => Error::NotOnLink,
            Some(Closed::ForeignKey) => Error::NotATwin(address),
            None if cause.downcast_ref::<Exceeded>().is_some() => Error::TooMany,
            None => Error::Unreachable(address),
        },
        DialError::Transport(failures) => transport_reason(failures, address),
        DialError::DialPeerConditionFalse(_) | DialError::Aborted => Error::NotConnected,
    }
}

fn transport_reason(
    failures: &[(Multiaddr, TransportError<io::Error>)],
    address: Address,
) -> Error {
    use io::ErrorKind as Kind;
    let kind = failures.iter().map(|(_, failure)| match failure {
        TransportError::MultiaddrNotSupported(_) => Kind::Unsupported,
        TransportError::Other(error) => kind_of(error),
    });
    match kind.last() {
        Some(Kind::ConnectionRefused) => Error::Refused(address),
        Some(Kind::TimedOut) => Error::TimedOut,
        Some(Kind::ConnectionAborted | Kind::ConnectionReset) => Error::HungUp(address),
        Some(Kind::InvalidData) => Error::NotATwin(address),
        _ => Error::Unreachable(address),
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]
mod tests {
    use std::cell::RefCell;

    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn tcp_and_quic_of_one_machine_are_tried_at_once_and_machines_in_turn() {
        let addresses: Vec<Address> = [
            "192.0.2.1:1",
            "quic://192.0.2.1:2",
            "192.0.2.2:1",
            "192.0.2.2:2",
        ]
        .iter()
        .map(|text| text.parse().unwrap())
        .collect();
        let (started, dialled) = (Instant::now(), RefCell::new(Vec::new()));
        let key = TransportKey::from_bytes([7; 32]);
        let answer = first_of(&addresses, |address| {
            let at = started.elapsed();
            dialled.borrow_mut().push((address, at));
            async move {
                // The last one answers, after a while; the others never do.
                if address.to_string() == "192.0.2.2:2" {
                    sleep(Duration::from_secs(1)).await;
                    Ok(key)
                } else {
                    std::future::pending().await
                }
            }
        });
        assert_eq!(answer.await.unwrap(), key);
        let at = |n: usize| HEAD_START * u32::try_from(n).unwrap();
        let expected: Vec<_> = addresses
            .into_iter()
            .zip([at(0), at(0), at(1), at(2)])
            .collect();
        assert_eq!(dialled.into_inner(), expected);
    }
}
