//! Linking from afar: the phone shows a passcode, which is typed on the new device.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use twin_identity::device::DeviceKeys;
use twin_net::{
    Address, Config, Events, Frames, Node, Protocol, Reach, RelayAddress, TransportKey,
};
use twin_sync::link::LinkError;
use twin_sync::link::afar::phone::{Answered, Met, Showing, other_passcode};
use twin_sync::link::afar::{AFAR_LIFE, Nameplate, Passcode, new_device};
use twin_sync::link::new_device::Joining;
use twin_sync::link::phone::Inviter;

use crate::error::{Error, Result};
use crate::platform::{SharedClock, SystemClock, rng};
use crate::twin::{Twin, check_name};

use super::callers::Callers;
use super::{Invitation, Link, NewDevice, PendingLink, nameplate};

/// What a person has to be told before a passcode is shown.
pub const AFAR_WARNING: &str = "Whoever hears or sees this passcode within ten minutes can try to join in your place. Tell it only to somebody whose voice you know, never by a message that others can read, and then compare the six digits on both devices.";

/// Where a new device looks for the phone: at its addresses, or at one of the relays that it uses, of which no key need be
/// known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PhoneAt {
    /// The phone can be reached at one of these.
    Addresses(Vec<Address>),
    /// A relay of the phone's is at one of these.
    Relay(Vec<Address>),
}

/// A phone that shows a passcode and waits for the new device. Dropping it takes the passcode back.
pub struct ShownPasscode {
    twin: Twin,
    node: Node,
    events: Events,
    showing: Showing,
    relays: Vec<RelayAddress>,
}

impl Twin {
    /// On the phone: makes a passcode, to be typed on a device that is somewhere else, and listens for it at `listen`, or
    /// on a free port of every interface; the twin's relays help to find it. Show [`AFAR_WARNING`] first. The passcode lives for ten minutes and is good for
    /// one attempt.
    pub async fn link_invite(&self, listen: Vec<Address>) -> Result<ShownPasscode> {
        if !self.is_admin() {
            return Err(Error::NotAdmin);
        }
        let mut config = Config::everywhere(false, Reach::Any);
        if !listen.is_empty() {
            config.listen = listen;
        }
        let (node, events) = Node::start(config).await?;
        Ok(ShownPasscode {
            twin: self.clone(),
            node,
            events,
            showing: Showing::new(self.now(), &mut rng()),
            relays: self.relays()?,
        })
    }
}

impl ShownPasscode {
    /// What to show: `7QH2-0K9M-X3TD-4ABC`.
    pub fn passcode(&self) -> String {
        self.showing.passcode().to_string()
    }

    /// Under which name both ends can find each other; no secret.
    pub fn nameplate(&self) -> Nameplate {
        self.showing.passcode().nameplate()
    }

    /// Where this phone can be reached.
    pub fn addresses(&self) -> Vec<Address> {
        self.node.addresses()
    }

    /// The relays at which this phone can be found, as long as [`ShownPasscode::typed`] waits.
    pub fn relays(&self) -> &[RelayAddress] {
        &self.relays
    }

    /// Waits until the passcode was typed on the new device. Whoever tries another one uses it up.
    pub async fn typed(self) -> Result<PendingLink> {
        let Self {
            twin,
            node,
            events,
            showing,
            relays,
        } = self;
        let life = Duration::from_millis(AFAR_LIFE);
        let nameplate = showing.passcode().nameplate();
        let started = timeout(life, async {
            tokio::select! {
                never = nameplate::be_found(&node, &relays, nameplate, &twin.clock) => match never {},
                started = wait_for_start(&twin, &node, events, showing) => started,
            }
        });
        let Started {
            frames,
            peer,
            answer,
            answered,
        } = started.await.map_err(|_| Error::PasscodeUnused)??;
        let mut link = Link { node, frames };
        let met = link.agree(&answer, answered).await;
        let (mut link, met) = link.or_tell(met).await?;
        let device_name = Some(met.device_name().to_owned());
        let (hello, greeted) = met.greet(Inviter {
            twin: twin.id(),
            name: twin.name()?,
            device: twin.device_id(),
        });
        link.send(&hello).await?;
        let keys = link.answer().await?;
        let unconfirmed = link.greeted(greeted, &keys).await?;
        Ok(PendingLink {
            twin,
            link,
            peer,
            unconfirmed,
            device_name,
        })
    }
}

/// Somebody has begun a link, and the passcode is used up.
struct Started {
    frames: Frames,
    peer: TransportKey,
    answer: Vec<u8>,
    answered: Answered,
}

/// Waits for somebody who begins a link; whoever does not is turned away.
async fn wait_for_start(
    twin: &Twin,
    node: &Node,
    mut events: Events,
    mut showing: Showing,
) -> Result<Started> {
    let mut callers = Callers::default();
    loop {
        let (peer, frames, start) = callers.next(&mut events).await?;
        let begun = showing.receive_start(twin.now(), node.key(), peer, &start, &mut rng());
        match begun {
            Ok((answer, answered)) => {
                return Ok(Started {
                    frames,
                    peer,
                    answer,
                    answered,
                });
            }
            Err(refused) if refused.error == LinkError::Expired => {
                return Err(Error::PasscodeUnused);
            }
            Err(refused) => {
                log::info!("linking: a caller was turned away: {}", refused.error);
                showing = refused.showing;
            }
        }
    }
}

impl NewDevice {
    /// On a device that is not in the twin: joins from afar by what was typed, with the phone that is there.
    /// `device_name` is what the phone shows. What was typed is good for one attempt.
    ///
    /// # Errors
    /// Among others [`Error::Passcode`] for what was mistyped: nothing was sent then, and the passcode is still good.
    pub async fn join(typed: &str, phone: &PhoneAt, device_name: &str) -> Result<Invitation> {
        check_name(device_name)?;
        let passcode = Passcode::parse(typed)?;
        let config = Config {
            listen: Vec::new(),
            mdns: false,
            reach: Reach::Any,
        };
        let (node, events) = Node::start(config).await?;
        let reached = match phone {
            PhoneAt::Addresses(addresses) => reach(&node, addresses).await,
            PhoneAt::Relay(relay) => {
                let clock: SharedClock = Arc::new(SystemClock);
                nameplate::find(&node, relay, passcode.nameplate(), &clock).await
            }
        };
        let (phone, frames) = reached?;
        let mut link = Link { node, frames };
        let joining = link.begin(passcode, phone, device_name).await;
        let (link, joining) = link.or_tell(joining).await?;
        Ok(Invitation {
            link,
            events,
            phone,
            joining: Box::new(joining),
        })
    }
}

async fn reach(node: &Node, addresses: &[Address]) -> Result<(TransportKey, Frames)> {
    let reached = async {
        let phone = node.connect(addresses, None).await?;
        Ok((phone, node.open(phone, Protocol::Link).await?))
    };
    reached.await.map_err(|error: twin_net::Error| {
        log::info!("linking: the phone was not reached: {error}");
        Error::PhoneUnanswered
    })
}

impl Link {
    /// The phone's side of proving the passcode.
    async fn agree(&mut self, answer: &[u8], answered: Answered) -> Result<Met> {
        self.send(answer).await?;
        Ok(answered.receive_agree(&self.answer().await?)?)
    }

    /// The new device's side, to the code.
    async fn begin(
        &mut self,
        passcode: Passcode,
        phone: TransportKey,
        device_name: &str,
    ) -> Result<Joining> {
        let keys = DeviceKeys::random(&mut rng())?;
        let me = self.node.key();
        let (start, started) = new_device::start(passcode, keys, me, phone, &mut rng())?;
        self.send(&start).await?;
        // A phone whose passcode was used, or has ended, hangs up.
        let answer = self.answer().await.map_err(|error| match error {
            Error::HungUp | Error::Frames(_) => Error::PhoneUnanswered,
            other => other,
        })?;
        let (agree, agreed) = started.receive_answer(&answer, device_name)?;
        self.send(&agree).await?;
        let (keys, committed) = agreed.receive_hello(&self.answer().await?, &mut rng())?;
        self.send(&keys).await?;
        let (nonce, joining) = committed.receive_nonce(&self.answer().await?)?;
        self.send(&nonce).await?;
        Ok(joining)
    }

    /// Where it was another passcode, the other side is told so.
    async fn or_tell<T>(self, outcome: Result<T>) -> Result<(Self, T)> {
        match outcome {
            Err(Error::Link(LinkError::OtherPasscode)) => {
                self.give_up(&other_passcode()).await;
                Err(LinkError::OtherPasscode.into())
            }
            outcome => self.or_give_up(outcome).await,
        }
    }
}
