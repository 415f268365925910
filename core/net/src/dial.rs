//! Trying several addresses of one device, and saying clearly why none of them worked.

use std::{io, time::Duration};

use futures::{StreamExt as _, stream::FuturesUnordered};
use libp2p::{
    Multiaddr, connection_limits::Exceeded, core::transport::TransportError, swarm::DialError,
};
use tokio::time::sleep;
use twin_sync::TransportKey;

use crate::{Address, Error, gate::Closed, transport::kind_of};

/// How long one address may stay without an answer before the next is tried beside it.
const HEAD_START: Duration = Duration::from_millis(250);

/// Dials each address in turn, without waiting long for the silent ones; the first connection wins, and the
/// dropped futures call the others off.
pub(crate) async fn first_of<F: Future<Output = Result<TransportKey, Error>>>(
    addresses: Vec<Address>,
    dial: impl Fn(Address) -> F,
) -> Result<TransportKey, Error> {
    let mut waiting = addresses.into_iter();
    let mut dialling: FuturesUnordered<F> = waiting.next().into_iter().map(&dial).collect();
    let mut worst: Option<Error> = None;
    loop {
        let head_start = async {
            if waiting.len() == 0 {
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
        dialling.extend(waiting.next().map(&dial));
    }
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

/// libp2p's reasons, in our words.
pub(crate) fn reason(error: &DialError, address: Address) -> Error {
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
