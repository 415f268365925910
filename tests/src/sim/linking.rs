//! Linking, with the real machines: a phone, a new device, and the person who reads the one screen and types on the
//! other.

use std::collections::{BTreeSet, VecDeque};
use std::path::PathBuf;

use twin_identity::device::{DeviceKeys, Role};
use twin_identity::id::DeviceId;
use twin_sync::link::new_device::{self, Joining, Progress, Waiting};
use twin_sync::link::offer::{OFFER_LIFE, Offer};
use twin_sync::link::phone::{self, Confirmed, Greeted, Inviter, Unconfirmed};
use twin_sync::transport::TransportKey;

use super::cast::{Cast, TWIN_NAME};
use super::device::{Device, Instant, clock};
use super::fault::{Fault, Held, fault, hold};
use super::party::{End, Party, Scene};
use crate::dice::Dice;

/// A device that is to be linked and shows its offer.
pub struct Newcomer {
    /// The twin that its person wants it to join.
    pub twin: usize,
    /// Its id.
    pub id: DeviceId,
    /// The key under which it listens.
    pub transport: TransportKey,
    /// The text in its QR code.
    pub offer: String,
    /// The code that it shows.
    pub screen: Option<String>,
    /// Under which keys those who have seen the QR code dial.
    pub seen_by: BTreeSet<TransportKey>,
    skew: i64,
    made: u64,
    waiting: Option<Waiting>,
    home: PathBuf,
}

impl Newcomer {
    /// A new device that has been showing its offer for `age` milliseconds.
    pub fn new(cast: &mut Cast, dice: &mut Dice, at: Instant, twin: usize, age: u64) -> Held<Self> {
        let skew = i64::try_from(dice.below(4000)).unwrap() - 2000;
        let transport = TransportKey::from_bytes(dice.bytes());
        let made = clock(at, skew) - age;
        let keys = DeviceKeys::random(dice.rng()).map_err(|error| fault!("{error}"))?;
        let offer = Offer::new(&transport, [vec![192, 168, 1, 7, 4, 0]], made, dice.rng());
        Ok(Self {
            twin,
            id: keys.id(),
            transport,
            offer: offer.to_text(),
            screen: None,
            seen_by: BTreeSet::new(),
            skew,
            made,
            waiting: Some(Waiting::new(offer, keys, transport)),
            home: cast.home(),
        })
    }
}

/// What the person types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Typing {
    /// What the new device shows.
    Right,
    /// One digit of it wrong.
    Wrong,
}

enum PhoneStep {
    Greeted(Greeted),
    Committed(Box<phone::Committed>),
    Unconfirmed(Unconfirmed),
    Confirmed(Confirmed),
    Done,
    /// Only while it acts.
    Between,
}

/// A phone that has scanned a QR code.
pub struct Phone {
    device: usize,
    /// The new device that the person has before their eyes.
    newcomer: usize,
    peer: TransportKey,
    step: PhoneStep,
    outbox: VecDeque<Vec<u8>>,
    typing: Typing,
    types_at: Option<Instant>,
    role: Role,
}

impl Phone {
    /// The phone has scanned `text`, which should be what the newcomer shows, and has dialled `peer`.
    pub fn new(
        scene: &mut Scene<'_>,
        device: usize,
        newcomer: usize,
        text: &str,
        [me, peer]: [TransportKey; 2],
        typing: Typing,
    ) -> Held<Self> {
        let phone = &scene.cast.devices[device];
        let inviter = Inviter {
            twin: scene.cast.twins[phone.twin],
            name: TWIN_NAME.to_owned(),
            device: phone.id,
        };
        let offer =
            Offer::parse(text).map_err(|error| fault!("an offer cannot be read: {error}"))?;
        let (hello, greeted) =
            phone::invite(offer, &me, &peer, inviter).map_err(|error| fault!("{error}"))?;
        let role = if scene.dice.chance(35) {
            Role::Admin
        } else {
            Role::Member
        };
        Ok(Self {
            device,
            newcomer,
            peer,
            step: PhoneStep::Greeted(greeted),
            outbox: VecDeque::from([hello]),
            typing,
            types_at: None,
            role,
        })
    }

    /// The person types the code, once.
    fn type_code(&mut self, scene: &mut Scene<'_>, unconfirmed: Unconfirmed) -> Result<(), End> {
        let shown = scene.cast.newcomers[self.newcomer].screen.clone();
        let Some(shown) = shown else {
            return Err(End::over("the new device shows no code"));
        };
        let typed = match self.typing {
            Typing::Right => shown,
            Typing::Wrong => one_digit_wrong(&shown, scene.dice),
        };
        match unconfirmed.confirm(&typed) {
            Ok(confirmed) => self.admit(scene, confirmed),
            Err(last) => {
                let newcomer = &scene.cast.newcomers[self.newcomer];
                let is_right = self.typing == Typing::Right && self.peer == newcomer.transport;
                hold!(!is_right, "the right code was refused");
                self.outbox.push_back(last);
                self.step = PhoneStep::Done;
                Ok(())
            }
        }
    }

    fn admit(&mut self, scene: &mut Scene<'_>, confirmed: Confirmed) -> Result<(), End> {
        let statement = confirmed.statement(self.role, None);
        hold!(
            self.typing == Typing::Right,
            "a wrong code admitted a device"
        );
        let newcomer = &scene.cast.newcomers[self.newcomer];
        hold!(
            statement.device.id == newcomer.id,
            "a device was admitted that is not the one whose code was typed"
        );
        let phone = &mut scene.cast.devices[self.device];
        if !phone.is_admin() {
            return Err(End::over("the phone is no admin any more"));
        }
        let admission = phone
            .vault()
            .admit(&statement, scene.dice.rng())
            .map_err(Fault::from)?;
        let joins = (phone.twin, statement.device.id);
        let by = Some(phone.id);
        let before = scene.cast.truth.admitted.insert(joins, by);
        hold!(before.is_none(), "one offer admitted a device twice");
        self.outbox
            .extend(confirmed.admit(phone.vault().identity(), &admission.grants));
        self.step = PhoneStep::Confirmed(confirmed);
        Ok(())
    }
}

fn one_digit_wrong(shown: &str, dice: &mut Dice) -> String {
    let mut digits: Vec<char> = shown.chars().collect();
    let index = match dice.index(6) {
        index @ 0..3 => index,
        index => index + 1,
    };
    let digit = digits[index].to_digit(10).expect("a digit on the screen");
    digits[index] = char::from_digit((digit + 1) % 10, 10).expect("a digit");
    digits.into_iter().collect()
}

impl Party for Phone {
    fn device(&self) -> Option<usize> {
        Some(self.device)
    }

    fn receive(&mut self, scene: &mut Scene<'_>, frame: &[u8]) -> Result<(), End> {
        self.step = match std::mem::replace(&mut self.step, PhoneStep::Between) {
            PhoneStep::Greeted(greeted) => {
                let (nonce, committed) = greeted
                    .receive_keys(frame, scene.dice.rng())
                    .map_err(End::over)?;
                self.outbox.push_back(nonce);
                PhoneStep::Committed(Box::new(committed))
            }
            PhoneStep::Committed(committed) => {
                let unconfirmed = committed.receive_nonce(frame).map_err(End::over)?;
                self.types_at = Some(scene.now + scene.dice.between(3_000, 30_000));
                PhoneStep::Unconfirmed(unconfirmed)
            }
            PhoneStep::Confirmed(confirmed) => {
                confirmed.receive_done(frame).map_err(End::over)?;
                PhoneStep::Done
            }
            _ => return Err(End::over("nothing was to come now")),
        };
        Ok(())
    }

    fn next_frame(&mut self, _: &mut Scene<'_>) -> Result<Option<Vec<u8>>, End> {
        Ok(self.outbox.pop_front())
    }

    fn alarm(&self, _: &Scene<'_>) -> Option<Instant> {
        self.types_at
    }

    fn ring(&mut self, scene: &mut Scene<'_>) -> Result<(), End> {
        self.types_at = None;
        match std::mem::replace(&mut self.step, PhoneStep::Between) {
            PhoneStep::Unconfirmed(unconfirmed) => self.type_code(scene, unconfirmed),
            other => {
                self.step = other;
                Ok(())
            }
        }
    }

    fn is_finished(&self) -> bool {
        matches!(self.step, PhoneStep::Done) && self.outbox.is_empty()
    }
}

enum NewStep {
    Listening,
    Committed(Box<new_device::Committed>),
    Joining(Box<Joining>),
    Done,
    /// Only while it acts.
    Between,
}

/// A new device that somebody has dialled.
pub struct NewDevice {
    newcomer: usize,
    peer: TransportKey,
    step: NewStep,
    outbox: VecDeque<Vec<u8>>,
}

impl NewDevice {
    /// `peer` has dialled.
    pub const fn new(newcomer: usize, peer: TransportKey) -> Self {
        Self {
            newcomer,
            peer,
            step: NewStep::Listening,
            outbox: VecDeque::new(),
        }
    }

    fn hello(&mut self, scene: &mut Scene<'_>, frame: &[u8]) -> Result<NewStep, End> {
        let newcomer = &mut scene.cast.newcomers[self.newcomer];
        let now = clock(scene.now, newcomer.skew);
        let waiting = newcomer
            .waiting
            .take()
            .ok_or_else(|| End::over("the offer is used up"))?;
        match waiting.receive_hello(now, &self.peer, frame, scene.dice.rng()) {
            Ok((keys, committed)) => {
                let in_time = now <= newcomer.made + OFFER_LIFE;
                hold!(in_time, "an expired offer was taken up");
                let has_seen = newcomer.seen_by.contains(&self.peer);
                hold!(
                    has_seen,
                    "somebody who has not seen the QR code was taken for the phone"
                );
                self.outbox.push_back(keys);
                Ok(NewStep::Committed(Box::new(committed)))
            }
            Err(refused) => {
                newcomer.waiting = Some(refused.waiting);
                Err(End::over(refused.error))
            }
        }
    }

    fn join(
        &mut self,
        scene: &mut Scene<'_>,
        joining: Joining,
        frame: &[u8],
    ) -> Result<NewStep, End> {
        let admitted = match joining.receive(frame).map_err(End::over)? {
            Progress::More(joining) => return Ok(NewStep::Joining(joining)),
            Progress::Admitted(admitted) => admitted,
            Progress::Material(_) => return Err(End::over("nobody has asked for help")),
        };
        let newcomer = &scene.cast.newcomers[self.newcomer];
        let (twin, skew, home) = (newcomer.twin, newcomer.skew, newcomer.home.clone());
        hold!(
            *admitted.log.twin() == scene.cast.twins[twin],
            "a new device joined a twin that its person did not mean"
        );
        let device = Device::linked(home, twin, skew, &admitted, scene.dice)?;
        let device = scene.cast.join(device);
        scene.cast.inspect(device, scene.now)?;
        self.outbox.push_back(admitted.done());
        Ok(NewStep::Done)
    }
}

impl Party for NewDevice {
    fn receive(&mut self, scene: &mut Scene<'_>, frame: &[u8]) -> Result<(), End> {
        self.step = match std::mem::replace(&mut self.step, NewStep::Between) {
            NewStep::Listening => self.hello(scene, frame)?,
            NewStep::Committed(committed) => {
                let (nonce, joining) = committed.receive_nonce(frame).map_err(End::over)?;
                self.outbox.push_back(nonce);
                let newcomer = &mut scene.cast.newcomers[self.newcomer];
                newcomer.screen = Some(joining.code().to_string());
                NewStep::Joining(Box::new(joining))
            }
            NewStep::Joining(joining) => self.join(scene, *joining, frame)?,
            _ => return Err(End::over("nothing was to come now")),
        };
        Ok(())
    }

    fn next_frame(&mut self, _: &mut Scene<'_>) -> Result<Option<Vec<u8>>, End> {
        Ok(self.outbox.pop_front())
    }

    fn is_finished(&self) -> bool {
        matches!(self.step, NewStep::Done) && self.outbox.is_empty()
    }
}
