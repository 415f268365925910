//! Linking: [`NewDevice`] on the device that joins, [`Twin::link_accept`] on the phone.

use std::path::Path;
use std::time::Duration;

use tokio::time::timeout;
use twin_identity::body::Removal;
use twin_identity::device::{DeviceKeys, Role};
use twin_identity::id::{DeviceId, TwinId};
use twin_net::{
    Address, Config, Event, Events, Frames, Node, Protocol, Reach, Traffic, TransportKey,
};
use twin_sync::link::new_device::{self, Joining, Progress, Waiting};
use twin_sync::link::offer::{OFFER_LIFE, Offer};
use twin_sync::link::phone::{self, Inviter, Unconfirmed};
use twin_sync::link::{Abort, LinkError, abort};
use twin_sync::session::{Side, Stay};
use twin_vault::{Unlock, Vault};

use crate::activity::What;
use crate::error::{Error, Result};
use crate::platform::{Clock, SystemClock, rng};
use crate::recovery::{self, Means};
use crate::sync::{self, Meeting};
use crate::twin::{Twin, check_name};

/// How long the other machine may take for one answer.
const ANSWER_TIME: Duration = Duration::from_secs(15);
/// How long a caller may take for its first word, so that silent ones do not use up the offer's life.
const HELLO_TIME: Duration = Duration::from_secs(3);
/// How long the person may take to type the code.
const PERSON_TIME: Duration = Duration::from_secs(180);

/// A device that is not linked yet: it shows a code and waits for the phone.
pub struct NewDevice {
    node: Node,
    events: Events,
    waiting: Waiting,
}

/// A phone has proved to have scanned the code: show twin and digits, and ask the person.
pub struct Invitation {
    node: Node,
    events: Events,
    phone: TransportKey,
    frames: Frames,
    joining: Box<Joining>,
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
        loop {
            let (phone, mut frames) = next_stream(&mut self.events, Protocol::Link).await?;
            let Ok(Ok(Some(hello))) = timeout(HELLO_TIME, frames.recv()).await else {
                continue;
            };
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
            frames.send(&keys).await?;
            let (nonce, joining) = committed.receive_nonce(&answer(&mut frames).await?)?;
            frames.send(&nonce).await?;
            return Ok(Invitation {
                node: self.node,
                events: self.events,
                phone,
                frames,
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
    pub async fn decline(mut self) -> Result<()> {
        let last = self.joining.decline();
        self.frames.send(&last).await?;
        self.frames.finish().await?;
        self.node.shutdown().await;
        Ok(())
    }

    /// The person agreed: waits until the code was typed on the phone, makes the vault in `dir`, and syncs for the
    /// first time. `unlock` is this device's own; it is never sent. Returns the bytes that it took, too.
    pub async fn join(
        self,
        dir: &Path,
        unlock: Unlock<'_>,
        device_name: &str,
    ) -> Result<(Twin, Traffic)> {
        check_name(device_name)?;
        let Self {
            node,
            mut events,
            phone,
            mut frames,
            joining,
        } = self;
        let Progress::Admitted(admitted) = receive_all(&mut frames, joining).await? else {
            let _ = frames.send(&abort(Abort::Failed)).await;
            return Err(Error::OtherPurpose);
        };
        let grants: Vec<Vec<u8>> = admitted
            .grants
            .iter()
            .map(|grant| grant.to_bytes().to_vec())
            .collect();
        let made = Vault::create_linked(
            dir,
            unlock,
            &admitted.keys,
            &admitted.log,
            &grants,
            &mut rng(),
        );
        let vault = match made {
            Ok(vault) => vault,
            Err(error) => {
                // The phone should know; what it cannot be told, it will see by the silence.
                let _ = frames.send(&abort(Abort::Failed)).await;
                return Err(error.into());
            }
        };
        let twin = Twin::new(vault);
        twin.set_device_name(device_name)?;
        let finished = async {
            frames.send(&admitted.done()).await?;
            first_sync(&twin, &node, &mut events, phone).await
        };
        let finished = finished.await;
        let traffic = node.traffic();
        node.shutdown().await;
        match finished {
            Ok(()) => Ok((twin, traffic)),
            // The vault is there, and this device is in the log.
            Err(error) => Err(Error::LinkedButUnfinished(error.to_string())),
        }
    }
}

impl Invitation {
    /// The person agreed and wants their twin back on this device: waits until the code was typed on the helper, comes
    /// in by words or guardians, makes the vault in `dir` and syncs for the first time. All devices that could change
    /// who is in leave, but for the helper. By guardians the device only waits from here on: see
    /// [`Twin::finish_recovery`]. Returns the bytes that it took, too.
    pub async fn recover(
        self,
        dir: &Path,
        unlock: Unlock<'_>,
        device_name: &str,
        means: Means,
    ) -> Result<(Twin, Traffic)> {
        check_name(device_name)?;
        let Self {
            node,
            mut events,
            phone,
            mut frames,
            joining,
        } = self;
        let helper = *joining.phone();
        let Progress::Material(material) = receive_all(&mut frames, joining).await? else {
            let _ = frames.send(&abort(Abort::Failed)).await;
            return Err(Error::OtherPurpose);
        };
        let rotated = match recovery::come_in(*material, &helper, means) {
            Ok(rotated) => rotated,
            Err(error) => {
                // The helper should know; what it cannot be told, it will see by the silence.
                let _ = frames.send(&abort(Abort::Failed)).await;
                return Err(error);
            }
        };
        // First the helper: should this machine fail now, the words can do it all again.
        frames.send(&new_device::rotation(&rotated.entry)).await?;
        new_device::receive_done(&answer(&mut frames).await?)?;
        let twin = rotated.make_vault(dir, unlock, device_name)?;
        let finished = if twin.is_admin() {
            first_sync(&twin, &node, &mut events, phone).await
        } else {
            Ok(())
        };
        let traffic = node.traffic();
        node.shutdown().await;
        match finished {
            Ok(()) => Ok((twin, traffic)),
            Err(error) => Err(Error::LinkedButUnfinished(error.to_string())),
        }
    }
}

/// Takes what the other side sends once the person has typed the code there.
async fn receive_all(frames: &mut Frames, mut joining: Box<Joining>) -> Result<Progress> {
    loop {
        let frame = timeout(PERSON_TIME, frames.recv())
            .await
            .map_err(|_| Error::TooSlow)??
            .ok_or(Error::HungUp)?;
        match joining.receive(&frame)? {
            Progress::More(next) => joining = next,
            done => return Ok(done),
        }
    }
}

async fn first_sync(
    twin: &Twin,
    node: &Node,
    events: &mut Events,
    peer: TransportKey,
) -> Result<()> {
    let (_, stream) = timeout(ANSWER_TIME, next_stream(events, Protocol::Sync))
        .await
        .map_err(|_| Error::TooSlow)??;
    let meeting = Meeting {
        side: Side::Responder,
        me: node.key(),
        peer,
        stay: Stay::UntilInSync,
    };
    sync::run_to_end(twin, meeting, stream).await
}

/// The phone and the new device know each other's keys; nothing is linked until the person has typed the code.
pub struct PendingLink {
    twin: Twin,
    node: Node,
    peer: TransportKey,
    frames: Frames,
    unconfirmed: Unconfirmed,
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
        let mut frames = node.open(peer, Protocol::Link).await?;
        frames.send(&hello).await?;
        let keys = answer(&mut frames).await.map_err(unanswered)?;
        let (nonce, committed) = greeted.receive_keys(&keys, &mut rng())?;
        frames.send(&nonce).await?;
        let unconfirmed = committed.receive_nonce(&answer(&mut frames).await?)?;
        Ok(PendingLink {
            twin: self.clone(),
            node,
            peer,
            frames,
            unconfirmed,
        })
    }
}

impl PendingLink {
    /// Waits until the new device ends the link before the code is typed: its person says no, or it goes away. To be
    /// watched while the person types. Cancel safe.
    pub async fn ended(&mut self) -> Error {
        match self.frames.recv().await {
            Ok(Some(frame)) => self.unconfirmed.receive(&frame).into(),
            Ok(None) | Err(_) => Error::HungUp,
        }
    }

    /// The person typed what the new device shows and chose its role: links it and syncs for the first time. There is
    /// one attempt; a wrong code ends the link on both devices. Returns the bytes that it took, too.
    pub async fn confirm(self, typed: &str, role: Role) -> Result<(DeviceId, Traffic)> {
        let Self {
            twin,
            node,
            peer,
            mut frames,
            unconfirmed,
        } = self;
        let confirmed = match unconfirmed.confirm(typed) {
            Ok(confirmed) => confirmed,
            Err(last) => return Err(wrong_code(node, frames, &last).await),
        };
        let statement = confirmed.statement(role);
        let device = statement.device.id;
        let admission_frames = {
            let mut vault = twin.vault();
            let admission = vault.admit(&statement, &mut rng())?;
            confirmed.admit(vault.identity(), &admission.grants)
        };
        // From here on the device is in the log and can have its keys, whatever else goes wrong.
        twin.note(What::Linked {
            device: device.to_string(),
            may_replace_phone: role == Role::Admin,
        })?;
        twin.notify();
        let hand_over = async {
            for frame in admission_frames {
                frames.send(&frame).await?;
            }
            confirmed.receive_done(&answer(&mut frames).await?)?;
            sync_with(&twin, &node, peer).await
        };
        let finished = hand_over.await;
        let traffic = node.traffic();
        node.shutdown().await;
        match finished {
            Ok(()) => Ok((device, traffic)),
            Err(error) => Err(Error::LinkedButUnfinished(error.to_string())),
        }
    }

    /// The person typed what the other device shows: helps it to recover the twin. It gets the log and sealed keys,
    /// comes in by its own words or guardians, and then gets everything. Returns whether it is in at once; by guardians
    /// it has to wait. One attempt, as [`PendingLink::confirm`].
    pub async fn help(self, typed: &str) -> Result<(bool, Traffic)> {
        let Self {
            twin,
            node,
            peer,
            mut frames,
            unconfirmed,
        } = self;
        let confirmed = match unconfirmed.confirm(typed) {
            Ok(confirmed) => confirmed,
            Err(last) => return Err(wrong_code(node, frames, &last).await),
        };
        let material = {
            let vault = twin.vault();
            let lines: Vec<Removal> = vault
                .known_lines()?
                .into_iter()
                .map(|(device, lines)| Removal { device, lines })
                .collect();
            confirmed.help(vault.identity(), &vault.all_grants()?, &lines)
        };
        for frame in material {
            frames.send(&frame).await?;
        }
        let rotation = timeout(PERSON_TIME, frames.recv())
            .await
            .map_err(|_| Error::TooSlow)??
            .ok_or(Error::HungUp)?;
        let entry = confirmed.receive_rotation(&rotation)?;
        let is_in = {
            let now = twin.now();
            let mut vault = twin.vault();
            vault.merge_due(now)?;
            vault.come_in(&entry)?
        };
        twin.notify();
        frames.send(&confirmed.done()).await?;
        let finished = if is_in {
            sync_with(&twin, &node, peer).await
        } else {
            frames.finish().await.map_err(Error::from)
        };
        let traffic = node.traffic();
        node.shutdown().await;
        match finished {
            Ok(()) => Ok((is_in, traffic)),
            Err(error) => Err(Error::LinkedButUnfinished(error.to_string())),
        }
    }
}

/// The end of a link whose code was typed wrongly. The other side learns it either way: by the last frame or by the end
/// of the connection.
async fn wrong_code(node: Node, mut frames: Frames, last: &[u8]) -> Error {
    let _ = frames.send(last).await;
    let _ = frames.finish().await;
    node.shutdown().await;
    LinkError::WrongCode.into()
}

/// Syncs with the other side of a link for the first time.
async fn sync_with(twin: &Twin, node: &Node, peer: TransportKey) -> Result<()> {
    let stream = node.open(peer, Protocol::Sync).await?;
    let meeting = Meeting {
        side: Side::Initiator,
        me: node.key(),
        peer,
        stay: Stay::UntilInSync,
    };
    sync::run_to_end(twin, meeting, stream).await
}

async fn answer(frames: &mut Frames) -> Result<Vec<u8>> {
    timeout(ANSWER_TIME, frames.recv())
        .await
        .map_err(|_| Error::TooSlow)??
        .ok_or(Error::HungUp)
}

/// A new device that hangs up on the first frame, or leaves it unanswered, has another phone already, or its offer is over.
fn unanswered(error: Error) -> Error {
    match error {
        Error::HungUp | Error::TooSlow | Error::Frames(_) => Error::OfferUnanswered,
        other => other,
    }
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
