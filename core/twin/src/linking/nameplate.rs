//! How the two ends of a link from afar find each other: at a relay, in the mailbox of the passcode's nameplate.
//!
//! Nothing there is a secret, and nothing there is believed: whoever is found has to prove the passcode.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use futures::future::{join_all, pending};
use tokio::time::{Instant, sleep, timeout_at};
use twin_identity::id::DeviceId;
use twin_net::{Address, Frames, Node, Protocol, RelayAddress, TransportKey};
use twin_sync::link::afar::Nameplate;
use twin_sync::mailbox::{ClientEvent, Day, Mailbox, Memory};

use crate::error::{Error, Result};
use crate::platform::{SharedClock, rng};
use crate::relays::conversation::Conversation;
use crate::relays::presence;

/// The pause before a relay is tried again, and before a phone is.
const RETRY: Duration = Duration::from_secs(2);
/// How long a phone is looked for.
const LOOKING: Duration = Duration::from_secs(30);
/// How many that say that they are the phone are tried.
const MAX_FOUND: usize = 16;

/// On the phone: lets itself be found at these relays, as long as this is polled.
pub(super) async fn be_found(
    node: &Node,
    relays: &[RelayAddress],
    nameplate: Nameplate,
    clock: &SharedClock,
) -> Infallible {
    let at_each = relays.iter().map(|relay| async move {
        loop {
            let Err(error) = be_found_at(node, relay, nameplate, clock).await;
            log::info!("linking: a relay was not reached, or the connection has ended: {error}");
            sleep(RETRY).await;
        }
    });
    let nobody: Vec<Infallible> = join_all(at_each).await;
    match nobody.into_iter().next() {
        Some(never) => never,
        // There is no relay.
        None => pending().await,
    }
}

async fn be_found_at(
    node: &Node,
    relay: &RelayAddress,
    nameplate: Nameplate,
    clock: &SharedClock,
) -> Result<Infallible> {
    let key = relay.key();
    node.use_relay(relay)?;
    node.connect(&relay.resolve().await?, Some(key)).await?;
    let mut conversation = Conversation::begin(node, key, Memory::default(), clock).await?;
    loop {
        if let ClientEvent::Open(_) = conversation.next().await? {
            let now = clock.now();
            let mailbox = Mailbox::of_nameplate(nameplate, key.into(), Day::of(now));
            // Its key on the network, which is a new one: its slot is not to tell which device this is.
            let me = DeviceId::from_bytes(*node.key().as_bytes());
            {
                let mut desk = conversation.desk();
                let address = desk.open(mailbox, false)?;
                desk.present(now, &address, &me, presence::of(node), &mut rng())?;
            }
            conversation.stir();
        }
    }
}

/// On the new device: looks for the phone at a relay, of which no key need be known, and connects to it.
pub(super) async fn find(
    node: &Node,
    relay: &[Address],
    nameplate: Nameplate,
    clock: &SharedClock,
) -> Result<(TransportKey, Frames)> {
    let until = Instant::now() + LOOKING;
    let key = node.connect(relay, None).await?;
    let places = relay
        .iter()
        .filter_map(|place| RelayAddress::new(key, *place));
    let places: Vec<RelayAddress> = places.collect();
    let mut conversation = Conversation::begin(node, key, Memory::default(), clock).await?;
    let mut found: BTreeMap<TransportKey, Vec<Address>> = BTreeMap::new();
    loop {
        if Instant::now() >= until {
            return Err(Error::NobodyAtRelay);
        }
        let again = if found.is_empty() {
            until
        } else {
            (Instant::now() + RETRY).min(until)
        };
        // Whoever was found may not have had its place at the relay yet: it is tried again after a pause.
        if let Ok(event) = timeout_at(again, conversation.next()).await {
            match event? {
                ClientEvent::Open(_) => {
                    let now = clock.now();
                    for day in Day::to_watch(now) {
                        let mailbox = Mailbox::of_nameplate(nameplate, key.into(), day);
                        conversation.desk().open(mailbox, true)?;
                    }
                    conversation.stir();
                    continue;
                }
                ClientEvent::Presence { letter, .. } => {
                    if let Some((peer, addresses)) = presence::from_bytes(&letter.content)
                        && found.len() < MAX_FOUND
                    {
                        found.insert(peer, addresses);
                    }
                }
                _ => continue,
            }
        }
        for (peer, addresses) in &found {
            match reach(node, *peer, addresses, &places).await {
                Ok(frames) => return Ok((*peer, frames)),
                Err(error) => {
                    log::info!("linking: what was found at a relay was not reached: {error}")
                }
            }
        }
    }
}

/// Connects to a phone directly, or else through the relay.
async fn reach(
    node: &Node,
    phone: TransportKey,
    addresses: &[Address],
    relays: &[RelayAddress],
) -> Result<Frames> {
    let mut reached = node.connect(addresses, Some(phone)).await.map(|_| ());
    for relay in relays {
        if reached.is_ok() {
            break;
        }
        reached = node.connect_through(relay, phone).await;
    }
    reached?;
    Ok(node.open(phone, Protocol::Link).await?)
}
