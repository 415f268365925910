//! The device that joins, or recovers: it shows a code and waits for one that is in already.

use std::path::Path;
use std::time::Duration;

use tokio::time::timeout;
use twin_identity::device::DeviceKeys;
use twin_identity::id::TwinId;
use twin_net::{
    Address, Config, Event, Events, Frames, Node, Protocol, Reach, Traffic, TransportKey,
};
use twin_ops::grant::Grant;
use twin_sync::link::LinkError;
use twin_sync::link::new_device::{Admitted, Joining, Progress, Waiting};
use twin_sync::link::offer::{OFFER_LIFE, Offer};
use twin_sync::link::recovering::{self, Answer, Material, Recovering};
use twin_sync::session::Side;
use twin_vault::files::Keep;
use twin_vault::{Unlock, Vault};

use crate::comeback::{self, Rotated};
use crate::error::{Error, Result};
use crate::platform::{Clock, SystemClock, rng};
use crate::recovery::Means;
use crate::twin::{Twin, check_name};

use super::callers::Callers;
use super::{ANSWER_TIME, Link};

/// A device that is not linked yet: it shows a code and waits for the phone.
pub struct NewDevice {
    node: Node,
    events: Events,
    waiting: Waiting,
}

/// A phone has proved to have scanned the code: show twin and digits, and ask the person.
pub struct Invitation {
    pub(super) link: Link,
    pub(super) events: Events,
    pub(super) phone: TransportKey,
    pub(super) joining: Box<Joining>,
}

impl NewDevice {
    /// Begins to listen on this machine's own networks. The code lives for two minutes.
    pub async fn offer() -> Result<Self> {
        let (node, events) = Node::start(Config::everywhere(false, Reach::OnLinkOnly)).await?;
        let keys = DeviceKeys::random(&mut rng())?;
        let addresses = node.addresses();
        let bytes = addresses.iter().map(Address::to_bytes);
        let offer = Offer::new(&node.key(), bytes, SystemClock.now(), &mut rng());
        let waiting = Waiting::new(offer, keys, node.key());
        Ok(Self {
            node,
            events,
            waiting,
        })
    }

    /// What the QR code holds.
    pub fn text(&self) -> String {
        self.waiting.offer().to_text()
    }

    /// Waits until the phone has scanned the code. Whoever cannot prove that is turned away.
    pub async fn invited(self) -> Result<Invitation> {
        let life = Duration::from_millis(OFFER_LIFE);
        timeout(life, self.wait_for_phone())
            .await
            .map_err(|_| Error::NobodyCame)?
    }

    async fn wait_for_phone(mut self) -> Result<Invitation> {
        let mut callers = Callers::default();
        loop {
            let (phone, frames, hello) = callers.next(&mut self.events).await?;
            let now = SystemClock.now();
            let taken = self.waiting.receive_hello(now, &phone, &hello, &mut rng());
            let (keys, committed) = match taken {
                Ok(taken) => taken,
                Err(refused) if refused.error == LinkError::Expired => {
                    return Err(Error::NobodyCame);
                }
                Err(refused) => {
                    log::info!("linking: a caller was turned away: {}", refused.error);
                    self.waiting = refused.waiting;
                    continue;
                }
            };
            let mut link = Link {
                node: self.node,
                frames,
            };
            link.send(&keys).await?;
            let (nonce, joining) = committed.receive_nonce(&link.answer().await?)?;
            link.send(&nonce).await?;
            return Ok(Invitation {
                link,
                events: self.events,
                phone,
                joining: Box::new(joining),
            });
        }
    }
}

impl Invitation {
    /// The twin to be joined.
    pub fn twin(&self) -> TwinId {
        *self.joining.twin()
    }

    /// Its name, as the phone gives it.
    pub fn twin_name(&self) -> &str {
        self.joining.twin_name()
    }

    /// The six digits to show, as `123 456`.
    pub fn code(&self) -> String {
        self.joining.code().to_string()
    }

    /// The person said no.
    pub async fn decline(self) {
        let last = self.joining.decline();
        self.link.give_up(&last).await;
    }

    /// The person agreed: waits until the code was typed on the phone, makes the vault in `dir`, and syncs for the
    /// first time. `unlock` is this device's own; it is never sent. Returns the bytes that it took, too.
    pub async fn join(
        mut self,
        dir: &Path,
        unlock: Unlock<'_>,
        device_name: &str,
    ) -> Result<(Twin, Traffic)> {
        check_name(device_name)?;
        let joined = self.link.admitted(self.joining).await;
        let joined = joined.and_then(|admitted| {
            let vault = make_vault(&admitted, dir, unlock)?;
            Ok((admitted, Twin::new(vault)))
        });
        let (mut link, (admitted, twin)) = self.link.or_give_up(joined).await?;
        twin.set_device_name(device_name)?;
        let finish = async {
            link.send(&admitted.done()).await?;
            link.first_sync(&twin, &mut self.events, self.phone).await
        };
        // The vault is there, and this device is in the log.
        let finished = finish.await;
        link.end(finished, twin).await
    }

    /// The person agreed and wants their twin back on this device: waits until the code was typed on the helper, comes
    /// in by words or guardians, makes the vault in `dir` and syncs for the first time. All devices that could change
    /// who is in leave, but for the helper. By guardians the device only waits from here on: see
    /// [`Twin::finish_recovery`]. Returns the bytes that it took, too.
    pub async fn recover(
        mut self,
        dir: &Path,
        unlock: Unlock<'_>,
        device_name: &str,
        means: Means,
    ) -> Result<(Twin, Traffic)> {
        check_name(device_name)?;
        let helper = *self.joining.phone();
        let rotated = self.link.material(self.joining).await;
        let rotated =
            rotated.and_then(|material| comeback::come_in(material, Some(&helper), means));
        let (mut link, rotated) = self.link.or_give_up(rotated).await?;
        // First the helper: should this machine fail now, the words can do it all again.
        link.send(&recovering::rotation(&rotated.entry)).await?;
        let grants = link.grants(&rotated).await?;
        let twin = rotated.make_vault(&grants, dir, unlock, device_name, |_| Ok(()))?;
        let finished = if twin.is_admin() {
            link.first_sync(&twin, &mut self.events, self.phone).await
        } else {
            Ok(())
        };
        link.end(finished, twin).await
    }
}

impl Link {
    /// What the phone sends to a device that it has added.
    async fn admitted(&mut self, joining: Box<Joining>) -> Result<Box<Admitted>> {
        match self.receive_all(joining).await? {
            Progress::Admitted(admitted) => Ok(admitted),
            _ => Err(Error::OtherPurpose),
        }
    }

    /// What a helper sends to a device that recovers.
    async fn material(&mut self, joining: Box<Joining>) -> Result<Material> {
        match self.receive_all(joining).await? {
            Progress::Material(material) => Ok(*material),
            _ => Err(Error::OtherPurpose),
        }
    }

    /// What a helper sends once it has taken the rotation.
    async fn grants(&mut self, rotated: &Rotated) -> Result<Vec<Vec<u8>>> {
        let mut recovering = Recovering::default();
        loop {
            match recovering.receive(&rotated.log, &self.answer().await?)? {
                Answer::More(next) => recovering = next,
                Answer::Grants(grants) => return Ok(to_bytes(&grants)),
            }
        }
    }

    /// The phone begins.
    async fn first_sync(
        &self,
        twin: &Twin,
        events: &mut Events,
        phone: TransportKey,
    ) -> Result<()> {
        let (_, stream) = timeout(ANSWER_TIME, next_stream(events, Protocol::Sync))
            .await
            .map_err(|_| Error::TooSlow)??;
        self.sync(twin, Side::Responder, phone, stream).await
    }

    /// Takes what the other side sends once the person has typed the code there.
    async fn receive_all(&mut self, mut joining: Box<Joining>) -> Result<Progress> {
        loop {
            match joining.receive(&self.answer_of_person().await?)? {
                Progress::More(next) => joining = next,
                done => return Ok(done),
            }
        }
    }
}

fn make_vault(admitted: &Admitted, dir: &Path, unlock: Unlock<'_>) -> Result<Vault> {
    let grants = to_bytes(&admitted.grants);
    let Admitted { keys, log, .. } = admitted;
    let mut vault = Vault::create_linked(dir, unlock, keys, log, &grants, &mut rng())?;
    // What the phone adds should be in two places before it gets lost.
    vault.set_keeps(Keep::All)?;
    Ok(vault)
}

fn to_bytes(grants: &[Grant]) -> Vec<Vec<u8>> {
    grants
        .iter()
        .map(|grant| grant.to_bytes().to_vec())
        .collect()
}

async fn next_stream(events: &mut Events, wanted: Protocol) -> Result<(TransportKey, Frames)> {
    while let Some(event) = events.recv().await {
        if let Event::Incoming {
            peer,
            protocol,
            frames,
        } = event
            && protocol == wanted
        {
            return Ok((peer, frames));
        }
    }
    Err(twin_net::Error::Stopped.into())
}
