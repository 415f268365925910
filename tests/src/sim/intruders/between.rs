//! Somebody between a phone and a new device: who dials a new device without having seen its QR code, or who shows a
//! QR code of its own to the phone while the person looks at the real new device.

use std::collections::VecDeque;

use twin_identity::context;
use twin_identity::device::DeviceKeys;
use twin_identity::id::DeviceId;
use twin_sync::link::new_device::{self, Waiting};
use twin_sync::link::offer::Offer;
use twin_sync::link::phone::{self, Greeted, Inviter};
use twin_sync::transport::TransportKey;

use crate::dice::Dice;
use crate::sim::cable::{Cable, Quality};
use crate::sim::cast::TWIN_NAME;
use crate::sim::device::clock;
use crate::sim::fault::{Held, fault};
use crate::sim::linking::{NewDevice, Phone, Typing};
use crate::sim::party::{End, Party, Scene};
use crate::sim::world::World;

use super::wire::{LinkFrame, frame};

/// How many nonces somebody tries who wants two codes to be equal.
const TRIES: u32 = 3_000_000;

/// Somebody dials a new device and has not seen its QR code. Then its own phone scans it after all.
pub fn guess(world: &mut World) -> Held {
    let Some(phone) = some_admin(world) else {
        return Ok(());
    };
    let newcomer = world.arrive_newcomer(0)?;
    world.cast.trace.say(world.now, || {
        format!("somebody dials newcomer {newcomer} without its code")
    });
    let me = TransportKey::from_bytes(world.dice.bytes());
    let shown = &world.cast.newcomers[newcomer];
    // It has the right key and address, as anyone in the same network, but had to make up the secret.
    let made_up = Offer::new(&shown.transport, [], clock(world.now, 0), world.dice.rng());
    let inviter = Inviter {
        twin: world.cast.twins[0],
        name: TWIN_NAME.to_owned(),
        device: world.cast.devices[phone].id,
    };
    let invited = phone::invite(made_up, &me, &shown.transport, inviter);
    let (hello, _) = invited.map_err(|error| fault!("{error}"))?;
    let guesser = Talker {
        says: VecDeque::from([hello]),
    };
    let quality = Quality {
        until: Some(world.now + 30_000),
        ..Quality::good(&mut world.dice)
    };
    let parties: [Box<dyn Party>; 2] = [Box::new(guesser), Box::new(NewDevice::new(newcomer, me))];
    world.connect(Cable::new(parties, quality))?;
    world.run_until(world.now + 5_000)?;
    if world.cast.devices[phone].is_up() {
        let quality = Quality::good(&mut world.dice);
        world.scan(phone, newcomer, Typing::Right, quality)?;
    }
    Ok(())
}

/// Says one thing and listens to nothing.
struct Talker {
    says: VecDeque<Vec<u8>>,
}

impl Party for Talker {
    fn is_honest(&self) -> bool {
        false
    }

    fn receive(&mut self, _: &mut Scene<'_>, _: &[u8]) -> Result<(), End> {
        Ok(())
    }

    fn next_frame(&mut self, _: &mut Scene<'_>) -> Result<Option<Vec<u8>>, End> {
        Ok(self.says.pop_front())
    }

    fn is_finished(&self) -> bool {
        false
    }
}

/// A box runs two links: as a phone with the new device whose QR code it has photographed, and as a new device with
/// the phone, which it has made to scan a code of its own. The person types what the real new device shows.
pub fn relay(world: &mut World) -> Held {
    let Some(phone) = some_admin(world) else {
        return Ok(());
    };
    let newcomer = world.arrive_newcomer(0)?;
    world.cast.trace.say(world.now, || {
        format!("a box between device {phone} and newcomer {newcomer}")
    });
    let code = link_as_phone(world, phone, newcomer)?;
    let Some(code) = code else { return Ok(()) };
    let (me, from) = ([0; 2])
        .map(|_| TransportKey::from_bytes(world.dice.bytes()))
        .into();
    let keys = DeviceKeys::random(world.dice.rng()).map_err(|error| fault!("{error}"))?;
    let offer = Offer::new(&me, [], clock(world.now, 0), world.dice.rng());
    let text = offer.to_text();
    let searches = takes_any_nonce(&mut world.dice)?;
    let relay = Relay {
        transports: [from, me],
        wanted: code,
        searches,
        step: Step::Waiting(Box::new(Waiting::new(offer, keys, me))),
        said: Vec::new(),
        outbox: VecDeque::new(),
    };
    let person = Phone::new(
        &mut world.scene(),
        phone,
        newcomer,
        &text,
        [from, me],
        Typing::Right,
    )?;
    let quality = Quality {
        until: Some(world.now + 60_000),
        ..Quality::good(&mut world.dice)
    };
    world.connect(Cable::new([Box::new(person), Box::new(relay)], quality))?;
    Ok(())
}

fn some_admin(world: &mut World) -> Option<usize> {
    let admins: Vec<usize> = world
        .running()
        .into_iter()
        .filter(|device| world.cast.devices[*device].is_admin())
        .collect();
    (!admins.is_empty()).then(|| *world.dice.pick(&admins))
}

/// Goes as far with the new device as one gets without the code: until it shows it.
fn link_as_phone(world: &mut World, phone: usize, newcomer: usize) -> Held<Option<String>> {
    let me = TransportKey::from_bytes(world.dice.bytes());
    let shown = &mut world.cast.newcomers[newcomer];
    // The box has seen the QR code: it has photographed it.
    shown.seen_by.insert(me);
    let (text, peer) = (shown.offer.clone(), shown.transport);
    let offer = Offer::parse(&text).map_err(|error| fault!("{error}"))?;
    let inviter = Inviter {
        twin: world.cast.twins[0],
        name: TWIN_NAME.to_owned(),
        device: world.cast.devices[phone].id,
    };
    let (hello, greeted) =
        phone::invite(offer, &me, &peer, inviter).map_err(|error| fault!("{error}"))?;
    let talker = FalsePhone {
        greeted: Some(greeted),
        outbox: VecDeque::from([hello]),
    };
    let quality = Quality {
        until: Some(world.now + 90_000),
        ..Quality::good(&mut world.dice)
    };
    let parties: [Box<dyn Party>; 2] = [Box::new(talker), Box::new(NewDevice::new(newcomer, me))];
    world.connect(Cable::new(parties, quality))?;
    world.run_until(world.now + 2_000)?;
    Ok(world.cast.newcomers[newcomer].screen.clone())
}

/// The box as a phone.
struct FalsePhone {
    greeted: Option<Greeted>,
    outbox: VecDeque<Vec<u8>>,
}

impl Party for FalsePhone {
    fn is_honest(&self) -> bool {
        false
    }

    fn receive(&mut self, scene: &mut Scene<'_>, frame: &[u8]) -> Result<(), End> {
        if let Some(greeted) = self.greeted.take() {
            let (nonce, _) = greeted
                .receive_keys(frame, scene.dice.rng())
                .map_err(End::over)?;
            self.outbox.push_back(nonce);
        }
        Ok(())
    }

    fn next_frame(&mut self, _: &mut Scene<'_>) -> Result<Option<Vec<u8>>, End> {
        Ok(self.outbox.pop_front())
    }

    fn is_finished(&self) -> bool {
        false
    }
}

enum Step {
    Waiting(Box<Waiting>),
    Committed(Box<new_device::Committed>),
    Done,
}

/// The box as a new device.
struct Relay {
    /// The phone's and its own.
    transports: [TransportKey; 2],
    /// What the phone is to show: what the person is going to type.
    wanted: String,
    /// Whether it is worth while to look for a nonce.
    searches: bool,
    step: Step,
    /// The frames so far.
    said: Vec<Vec<u8>>,
    outbox: VecDeque<Vec<u8>>,
}

impl Party for Relay {
    fn is_honest(&self) -> bool {
        false
    }

    fn receive(&mut self, scene: &mut Scene<'_>, heard: &[u8]) -> Result<(), End> {
        self.said.push(heard.to_vec());
        match std::mem::replace(&mut self.step, Step::Done) {
            Step::Waiting(waiting) => {
                let now = clock(scene.now, 0);
                let taken =
                    waiting.receive_hello(now, &self.transports[0], heard, scene.dice.rng());
                let (keys, committed) = taken.map_err(|refused| End::over(refused.error))?;
                self.said.push(keys.clone());
                self.outbox.push_back(keys);
                self.step = Step::Committed(Box::new(committed));
            }
            Step::Committed(committed) => {
                let (honest, _) = committed.receive_nonce(heard).map_err(End::over)?;
                let found = if self.searches {
                    self.search(scene.dice)?
                } else {
                    None
                };
                self.outbox.push_back(found.unwrap_or(honest));
            }
            Step::Done => {}
        }
        Ok(())
    }

    fn next_frame(&mut self, _: &mut Scene<'_>) -> Result<Option<Vec<u8>>, End> {
        Ok(self.outbox.pop_front())
    }

    fn is_finished(&self) -> bool {
        false
    }
}

impl Relay {
    /// A nonce that makes the phone expect the wanted code, whatever was committed to.
    fn search(&self, dice: &mut Dice) -> Held<Option<Vec<u8>>> {
        let hello: LinkFrame =
            minicbor::decode(&self.said[0]).map_err(|error| fault!("{error}"))?;
        let LinkFrame::Hello(hello) = hello else {
            return Ok(None);
        };
        let bound = proof_context(&self.transports, &hello.phone, &hello);
        let wanted: String = self.wanted.split(' ').collect();
        let mut nonce = dice.bytes();
        for number in 0..TRIES {
            nonce[..4].copy_from_slice(&number.to_be_bytes());
            let last = frame(&LinkFrame::NewNonce(nonce));
            let frames = [&bound, &self.said[0], &self.said[1], &self.said[2], &last];
            if code(&frames) == wanted {
                return Ok(Some(last));
            }
        }
        Ok(None)
    }
}

/// What both sides' proofs and the code are bound to.
fn proof_context(
    transports: &[TransportKey; 2],
    phone: &DeviceId,
    hello: &super::wire::Hello,
) -> Vec<u8> {
    let fields = [
        transports[0].as_bytes().as_slice(),
        transports[1].as_bytes(),
        hello.twin.as_bytes(),
        phone.as_bytes(),
        hello.name.as_bytes(),
    ];
    fields.concat()
}

/// The six digits of a transcript, made as anyone can make them.
fn code(frames: &[&Vec<u8>]) -> String {
    let mut transcript = Vec::new();
    for frame in frames {
        transcript.extend((frame.len() as u64).to_be_bytes());
        transcript.extend_from_slice(frame);
    }
    let hash = context::LINK_TRANSCRIPT.hash([transcript.as_slice()]);
    let number = hash[..8]
        .iter()
        .fold(0u64, |number, byte| (number << 8) | u64::from(*byte));
    format!("{:06}", number % 1_000_000)
}

/// Whether our phones take a nonce that was not committed to: found out beforehand, on a phone of one's own.
fn takes_any_nonce(dice: &mut Dice) -> Held<bool> {
    let keys = DeviceKeys::random(dice.rng()).map_err(|error| fault!("{error}"))?;
    let [me, peer] = [0; 2].map(|_| TransportKey::from_bytes(dice.bytes()));
    let offer = Offer::new(&peer, [], clock(0, 0), dice.rng());
    let text = offer.to_text();
    let twin = twin_identity::entry::Genesis::new(dice.bytes()).twin_id();
    let inviter = Inviter {
        twin,
        name: TWIN_NAME.to_owned(),
        device: keys.id(),
    };
    let scanned = Offer::parse(&text).map_err(|error| fault!("{error}"))?;
    let (hello, greeted) =
        phone::invite(scanned, &me, &peer, inviter).map_err(|error| fault!("{error}"))?;
    let waiting = Waiting::new(offer, keys, peer);
    let taken = waiting.receive_hello(clock(0, 0), &me, &hello, dice.rng());
    let (keys, _) = taken.map_err(|refused| fault!("{}", refused.error))?;
    let (_, committed) = greeted
        .receive_keys(&keys, dice.rng())
        .map_err(|error| fault!("{error}"))?;
    let other = frame(&LinkFrame::NewNonce(dice.bytes()));
    Ok(committed.receive_nonce(&other).is_ok())
}
