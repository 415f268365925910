//! The device that is in already: it scans the code of a new one, and links it or helps it to recover.

use twin_identity::body::Removal;
use twin_identity::device::Role;
use twin_identity::id::DeviceId;
use twin_net::{Address, Config, Node, Protocol, Reach, Traffic, TransportKey};
use twin_sync::link::LinkError;
use twin_sync::link::offer::Offer;
use twin_sync::link::phone::{self, Confirmed, Greeted, Inviter, Unconfirmed};
use twin_sync::session::Side;

use crate::activity::What;
use crate::error::{Error, Result};
use crate::platform::{DAY, rng};
use crate::twin::Twin;

use super::Link;

/// The longest time for which a device comes in, in days, if it does not for good.
pub const MAX_DAYS: u16 = 3650;

/// The phone and the new device know each other's keys; nothing is linked until the person has typed the code.
pub struct PendingLink {
    pub(super) twin: Twin,
    pub(super) link: Link,
    pub(super) peer: TransportKey,
    pub(super) unconfirmed: Unconfirmed,
    pub(super) device_name: Option<String>,
}

impl Twin {
    /// Scans the code of a new device and meets it.
    pub async fn link_accept(&self, text: &str) -> Result<PendingLink> {
        if !self.is_admin() {
            return Err(Error::NotAdmin);
        }
        self.meet(text).await
    }

    /// On any device that is still in: scans the code of a device that is to recover the twin, and meets it. Then
    /// [`PendingLink::help`].
    pub async fn recovery_help(&self, text: &str) -> Result<PendingLink> {
        self.meet(text).await
    }

    async fn meet(&self, text: &str) -> Result<PendingLink> {
        let offer = Offer::parse(text)?;
        let addresses: Vec<Address> = offer
            .addresses()
            .iter()
            .filter_map(|bytes| Address::from_bytes(bytes).ok())
            .collect();
        let config = Config {
            listen: Vec::new(),
            mdns: false,
            reach: Reach::OnLinkOnly,
        };
        let (node, _events) = Node::start(config).await?;
        let peer = match node.connect(&addresses, None).await {
            Ok(peer) => peer,
            Err(twin_net::Error::NotOnLink) => return Err(twin_net::Error::NotOnLink.into()),
            Err(error) => {
                log::info!("linking: the new device was not reached: {error}");
                return Err(if self.now() > offer.expires() {
                    Error::OfferExpired
                } else {
                    Error::OfferUnanswered
                });
            }
        };
        let inviter = Inviter {
            twin: self.id(),
            name: self.name()?,
            device: self.device_id(),
        };
        let (hello, greeted) = phone::invite(offer, &node.key(), &peer, inviter)?;
        let frames = node.open(peer, Protocol::Link).await?;
        let mut link = Link { node, frames };
        link.send(&hello).await?;
        let keys = link.answer().await.map_err(unanswered)?;
        let unconfirmed = link.greeted(greeted, &keys).await?;
        Ok(PendingLink {
            twin: self.clone(),
            link,
            peer,
            unconfirmed,
            device_name: None,
        })
    }
}

impl PendingLink {
    /// What the new device calls itself, if it was linked from afar: to be shown when the person is asked. Where both are
    /// in one place the person sees which one it is.
    pub fn device_name(&self) -> Option<&str> {
        self.device_name.as_deref()
    }

    /// Waits until the new device ends the link before the code is typed: its person says no, or it goes away. To be
    /// watched while the person types. Cancel safe.
    pub async fn ended(&mut self) -> Error {
        match self.link.frames.recv().await {
            Ok(Some(frame)) => self.unconfirmed.receive(&frame).into(),
            Ok(None) | Err(_) => Error::HungUp,
        }
    }

    /// The person typed what the new device shows and chose its role, and for how many days it comes in, if not for good:
    /// links it and syncs for the first time. There is one attempt; a wrong code ends the link on both devices. Returns
    /// the bytes that it took, too.
    ///
    /// # Errors
    /// Among others [`Error::Days`] for more than 3,650 days, or none.
    pub async fn confirm(
        self,
        typed: &str,
        role: Role,
        days: Option<u16>,
    ) -> Result<(DeviceId, Traffic)> {
        if days.is_some_and(|days| !(1..=MAX_DAYS).contains(&days)) {
            return Err(Error::Days);
        }
        let (twin, peer, link, confirmed) = self.typed(typed).await?;
        let end = days.map(|days| twin.now() + u64::from(days) * DAY);
        let statement = confirmed.statement(role, end);
        let device = statement.device.id;
        let admitted = {
            let mut vault = twin.vault();
            let admission = vault.admit(&statement, &mut rng()).map_err(Error::from);
            admission.map(|admission| confirmed.admit(vault.identity(), &admission.grants))
        };
        let (mut link, frames) = link.or_give_up(admitted).await?;
        // From here on the device is in the log and can have its keys, whatever else goes wrong.
        twin.note(What::Linked {
            device: device.to_string(),
            may_replace_phone: role == Role::Admin,
        })?;
        twin.notify();
        let hand_over = async {
            for frame in frames {
                link.send(&frame).await?;
            }
            confirmed.receive_done(&link.answer().await?)?;
            link.begin_sync(&twin, peer).await
        };
        let finished = hand_over.await;
        link.end(finished, device).await
    }

    /// The person typed what the other device shows: helps it to recover the twin. It gets the log, comes in by its own
    /// words or guardians, and then gets the sealed keys and everything. Returns whether it is in at once; by guardians
    /// it has to wait. One attempt, as [`PendingLink::confirm`].
    pub async fn help(self, typed: &str) -> Result<(bool, Traffic)> {
        let (twin, peer, mut link, confirmed) = self.typed(typed).await?;
        let rotated = link.rotation(&twin, &confirmed).await;
        let (mut link, (is_in, grants)) = link.or_give_up(rotated).await?;
        twin.notify();
        for frame in confirmed.provide(&grants) {
            link.send(&frame).await?;
        }
        let finished = if is_in {
            link.begin_sync(&twin, peer).await
        } else {
            Ok(())
        };
        link.end(finished, is_in).await
    }

    /// Goes on if the person typed the code that the other device shows, or ends the link.
    async fn typed(self, typed: &str) -> Result<(Twin, TransportKey, Link, Confirmed)> {
        match self.unconfirmed.confirm(typed) {
            Ok(confirmed) => Ok((self.twin, self.peer, self.link, confirmed)),
            Err(last) => {
                self.link.give_up(&last).await;
                Err(LinkError::WrongCode.into())
            }
        }
    }
}

impl Link {
    /// Goes on, once the new device has answered with its `keys`, to where the person types the code.
    pub(super) async fn greeted(&mut self, greeted: Greeted, keys: &[u8]) -> Result<Unconfirmed> {
        let (nonce, committed) = greeted.receive_keys(keys, &mut rng())?;
        self.send(&nonce).await?;
        Ok(committed.receive_nonce(&self.answer().await?)?)
    }

    /// This side begins the first sync.
    async fn begin_sync(&self, twin: &Twin, peer: TransportKey) -> Result<()> {
        let stream = self.node.open(peer, Protocol::Sync).await?;
        self.sync(twin, Side::Initiator, peer, stream).await
    }

    /// Sends a device what it needs to come in, and takes the rotation by which it does. Returns whether it is in at
    /// once, and the grants for it: all that there were before, which devices made, too, that the rotation sends away.
    async fn rotation(
        &mut self,
        twin: &Twin,
        confirmed: &Confirmed,
    ) -> Result<(bool, Vec<Vec<u8>>)> {
        let material = {
            let vault = twin.vault();
            let lines = vault.known_lines()?.into_iter();
            let lines: Vec<Removal> = lines
                .map(|(device, lines)| Removal { device, lines })
                .collect();
            confirmed.help(vault.identity(), &lines)
        };
        for frame in material {
            self.send(&frame).await?;
        }
        let entry = confirmed.receive_rotation(&self.answer_of_person().await?)?;
        let now = twin.now();
        let mut vault = twin.vault();
        vault.merge_due(now)?;
        let grants = vault.all_grants()?;
        Ok((vault.come_in(&entry)?, grants))
    }
}

/// A new device that hangs up on the first frame, or leaves it unanswered, has another phone already, or its offer is over.
fn unanswered(error: Error) -> Error {
    match error {
        Error::HungUp | Error::TooSlow | Error::Frames(_) => Error::OfferUnanswered,
        other => other,
    }
}
