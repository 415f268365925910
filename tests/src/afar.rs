//! A seeded simulation of linking from afar: a phone that shows passcodes, a new device on which a person types them, and
//! somebody who has the connections between them in hand, calls the phone, and lets himself be called.
//!
//! Whoever has not typed what is shown there gets nowhere, learns nothing, and whatever he does ends with a reason; and two
//! who are left alone always come together.

use twin_identity::birth::Birth;
use twin_identity::device::{DeviceKeys, Role};
use twin_identity::words::RecoverySecret;
use twin_sync::link::afar::phone::{Answered, Met, Showing};
use twin_sync::link::afar::{AFAR_LIFE, Passcode, new_device};
use twin_sync::link::phone::Inviter;
use twin_sync::transport::TransportKey;

use crate::dice::Dice;
use crate::sim::fault::{Fault, Held, fault, hold};

/// What both sides are called: nothing of it may be said to who has not proved the passcode.
const TWIN_NAME: &str = "Quokka's twin";
const DEVICE_NAME: &str = "Quokka's laptop";
/// How often the person shows another passcode, after one that was used up.
const ROUNDS: usize = 3;

/// One run.
struct Run {
    dice: Dice,
    inviter: Inviter,
    /// What was on the phone's screen, the newest last.
    shown: Vec<String>,
    /// What the one in between has heard and sent.
    recorded: Vec<Vec<u8>>,
    now: u64,
    linked: bool,
}

/// Who comes to the phone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Visitor {
    /// The new device itself.
    Honest,
    /// It has been led to somebody who has dialled the phone in its place.
    Between,
    /// Somebody who guesses.
    Guesser,
    /// Somebody who says what he has heard before.
    Replayer,
    /// Somebody who says anything.
    Babbler,
}

/// Runs one seed. Returns whether the two came together.
pub fn run(seed: u64) -> Held<bool> {
    let mut dice = Dice::new(seed);
    let birth = Birth::new(&RecoverySecret::random(dice.rng()), dice.rng());
    let birth = birth.map_err(|error| fault!("{error}"))?;
    let inviter = Inviter {
        twin: birth.genesis.twin_id(),
        name: TWIN_NAME.to_owned(),
        device: birth.device.id(),
    };
    let mut run = Run {
        dice,
        inviter,
        shown: Vec::new(),
        recorded: Vec::new(),
        now: 1_795_000_000_000,
        linked: false,
    };
    for _ in 0..ROUNDS {
        if !run.linked {
            run.round()?;
        }
    }
    Ok(run.linked)
}

impl Run {
    /// The phone shows a passcode, and visitors come in some order until it is used up.
    fn round(&mut self) -> Held {
        let showing = Showing::new(self.now, self.dice.rng());
        self.shown.push(showing.passcode().to_string());
        let mut phone = Some(showing);
        let honest = match self.dice.below(10) {
            0..4 => Visitor::Between,
            _ => Visitor::Honest,
        };
        let mut visitors = vec![honest];
        for _ in 0..self.dice.below(4) {
            let visitor = *self.dice.pick(&[
                Visitor::Guesser,
                Visitor::Replayer,
                Visitor::Babbler,
                Visitor::Babbler,
            ]);
            let place = self.dice.index(visitors.len() + 1);
            visitors.insert(place, visitor);
        }
        for visitor in visitors {
            self.now += self.dice.below(2) * self.dice.below(AFAR_LIFE);
            match visitor {
                Visitor::Honest => self.link(&mut phone)?,
                Visitor::Between => self.stand_between(&mut phone)?,
                visitor => self.call(&mut phone, visitor)?,
            }
        }
        Ok(())
    }

    fn key(&mut self) -> TransportKey {
        TransportKey::from_bytes(self.dice.bytes())
    }

    /// What the person types: mostly what is shown. What was mistyped shows at once, and is typed anew.
    fn typed(&mut self) -> Held<(Passcode, bool)> {
        let newest = self.shown.len() - 1;
        let which = match self.dice.below(10) {
            0 => self.dice.index(newest + 1),
            _ => newest,
        };
        let text = self.shown[which].clone();
        if self.dice.chance(20) {
            let mut wrong: Vec<char> = text.chars().collect();
            let at = self.dice.index(4);
            wrong[at] = if wrong[at] == '7' { '8' } else { '7' };
            let wrong: String = wrong.into_iter().collect();
            hold!(Passcode::parse(&wrong).is_err(), "what is mistyped passes");
        }
        let passcode = Passcode::parse(&text).map_err(|error| fault!("{error}"))?;
        Ok((passcode, which == newest))
    }

    /// Somebody says his first frame to the phone. Returns its answer, if the passcode is used up by it.
    fn begin(
        &mut self,
        phone: &mut Option<Showing>,
        ends: [TransportKey; 2],
        frame: &[u8],
    ) -> Held<Option<(Vec<u8>, Answered)>> {
        self.recorded.push(frame.to_vec());
        // It is used up: whoever comes now is not let in.
        let Some(showing) = phone.take() else {
            return Ok(None);
        };
        let [me, peer] = ends;
        let expired = self.now > showing.expires();
        match showing.receive_start(self.now, me, peer, frame, self.dice.rng()) {
            Ok((answer, answered)) => {
                hold!(!expired, "a passcode was taken after its time");
                self.tells_nothing(&answer)?;
                self.recorded.push(answer.clone());
                Ok(Some((answer, answered)))
            }
            Err(refused) => {
                *phone = Some(refused.showing);
                Ok(None)
            }
        }
    }

    /// What is said before both have proved the passcode names nobody.
    fn tells_nothing(&self, frame: &[u8]) -> Held {
        let names = [
            self.inviter.twin.as_bytes().as_slice(),
            self.inviter.device.as_bytes(),
            TWIN_NAME.as_bytes(),
            DEVICE_NAME.as_bytes(),
        ];
        for name in names {
            let mut windows = frame.windows(name.len());
            let is_named = windows.any(|window| window == name);
            hold!(!is_named, "somebody is named before the passcode is proved");
        }
        Ok(())
    }

    /// The new device calls the phone, and nobody is between them. The line may be cut.
    fn link(&mut self, phone: &mut Option<Showing>) -> Held {
        let ends = [self.key(), self.key()];
        let [here, there] = ends;
        let (passcode, is_right) = self.typed()?;
        let keys = DeviceKeys::random(self.dice.rng()).map_err(|error| fault!("{error}"))?;
        let id = keys.id();
        let is_free = phone
            .as_ref()
            .is_some_and(|showing| self.now <= showing.expires());
        let cut = self.dice.chance(20).then(|| self.dice.below(3));
        let begun = new_device::start(passcode, keys, there, here, self.dice.rng());
        let (start, started) = begun.map_err(|error| fault!("{error}"))?;
        self.tells_nothing(&start)?;
        if cut == Some(0) {
            return Ok(());
        }
        let Some((answer, answered)) = self.begin(phone, ends, &start)? else {
            hold!(!is_free, "the phone did not answer the first who came");
            return Ok(());
        };
        if cut == Some(1) {
            return Ok(());
        }
        let (agree, agreed) = match started.receive_answer(&answer, DEVICE_NAME) {
            Ok(agreed) => agreed,
            Err(error) => {
                hold!(!is_right, "the right passcode was refused: {error}");
                return Ok(());
            }
        };
        hold!(is_right, "another passcode than is shown was taken");
        if cut == Some(2) {
            return Ok(());
        }
        let met = answered.receive_agree(&agree);
        let met = met.map_err(|error| fault!("the right passcode was refused: {error}"))?;
        let admitted = self.compare(met, agreed)?;
        hold!(admitted == id, "another device was admitted");
        self.linked = true;
        Ok(())
    }

    /// Both go on; the person compares, types, and admits.
    fn compare(
        &mut self,
        met: Met,
        agreed: new_device::Agreed,
    ) -> Held<twin_identity::id::DeviceId> {
        let wrong = |error: twin_sync::link::LinkError| Fault(error.to_string());
        hold!(met.device_name() == DEVICE_NAME, "another name is shown");
        let inviter = Inviter {
            name: self.inviter.name.clone(),
            ..self.inviter
        };
        let (hello, greeted) = met.greet(inviter);
        let (keys, committed) = agreed
            .receive_hello(&hello, self.dice.rng())
            .map_err(wrong)?;
        let (nonce, phone) = greeted
            .receive_keys(&keys, self.dice.rng())
            .map_err(wrong)?;
        let (last, joining) = committed.receive_nonce(&nonce).map_err(wrong)?;
        let unconfirmed = phone.receive_nonce(&last).map_err(wrong)?;
        let confirmed = unconfirmed.confirm(&joining.code().to_string());
        let confirmed = confirmed.map_err(|_| fault!("the digits on both devices differ"))?;
        Ok(confirmed.statement(Role::Member, None).device.id)
    }

    /// The new device has been led to somebody who has dialled the phone. He passes on what both say, as it is or not, or
    /// says something of his own.
    fn stand_between(&mut self, phone: &mut Option<Showing>) -> Held {
        let [here, there] = [self.key(), self.key()];
        let [to_phone, to_new] = [self.key(), self.key()];
        let (passcode, _) = self.typed()?;
        let keys = DeviceKeys::random(self.dice.rng()).map_err(|error| fault!("{error}"))?;
        let begun = new_device::start(passcode, keys, there, to_new, self.dice.rng());
        let (start, started) = begun.map_err(|error| fault!("{error}"))?;
        self.tells_nothing(&start)?;
        self.recorded.push(start.clone());
        let start = self.bent(start);
        let passed = self.begin(phone, [here, to_phone], &start)?;
        let (answer, answered) = match passed {
            Some((answer, answered)) => (answer, Some(answered)),
            None => (Vec::new(), None),
        };
        // Or he plays the phone himself, with a passcode that he guesses.
        let answer = if self.dice.chance(30) {
            let guess = Showing::new(self.now, self.dice.rng());
            let played = guess.receive_start(self.now, to_new, there, &start, self.dice.rng());
            played.map_or(answer, |(frame, _)| frame)
        } else {
            self.bent(answer)
        };
        let agree = match started.receive_answer(&answer, DEVICE_NAME) {
            Ok(_) => {
                return Err(fault!(
                    "a new device took somebody in between for the phone"
                ));
            }
            Err(_) => self.some_agree(),
        };
        self.end(answered, &agree)
    }

    /// Somebody calls the phone who does not know the passcode.
    fn call(&mut self, phone: &mut Option<Showing>, visitor: Visitor) -> Held {
        let ends = [self.key(), self.key()];
        let first = match visitor {
            Visitor::Guesser => {
                let keys = DeviceKeys::random(self.dice.rng());
                let keys = keys.map_err(|error| fault!("{error}"))?;
                let guess = Passcode::random(self.dice.rng());
                let [me, peer] = [ends[1], ends[0]];
                let begun = new_device::start(guess, keys, me, peer, self.dice.rng());
                begun.map_err(|error| fault!("{error}"))?.0
            }
            Visitor::Replayer if !self.recorded.is_empty() => {
                self.dice.pick(&self.recorded).clone()
            }
            _ => {
                let len = self.dice.index(100);
                (0..len).map(|_| self.dice.bytes()[0]).collect()
            }
        };
        let answered = self.begin(phone, ends, &first)?;
        let agree = self.some_agree();
        self.end(answered.map(|(_, answered)| answered), &agree)
    }

    /// The last that somebody says who cannot know better: the phone goes no further with him.
    fn end(&mut self, answered: Option<Answered>, agree: &[u8]) -> Held {
        self.recorded.push(agree.to_vec());
        let met = answered.map(|answered| answered.receive_agree(agree).is_ok());
        hold!(
            met != Some(true),
            "a phone took somebody for the device on which its passcode was typed"
        );
        Ok(())
    }

    /// A frame as it is, with a bit flipped, or another that was heard before.
    fn bent(&mut self, mut frame: Vec<u8>) -> Vec<u8> {
        match self.dice.below(6) {
            0 if !frame.is_empty() => {
                let bit = self.dice.index(frame.len() * 8);
                frame[bit / 8] ^= 1 << (bit % 8);
                frame
            }
            1 if !self.recorded.is_empty() => self.dice.pick(&self.recorded).clone(),
            _ => frame,
        }
    }

    /// The frame with which a new device proves the passcode, by somebody who cannot.
    fn some_agree(&mut self) -> Vec<u8> {
        if self.dice.chance(30) && !self.recorded.is_empty() {
            return self.dice.pick(&self.recorded).clone();
        }
        // [15, [{ 3: name, 4: proof }]]
        let mut frame = vec![0x82, 15, 0x81, 0xa2, 3, 0x63];
        frame.extend(b"Eve");
        frame.extend([4, 0x58, 32]);
        frame.extend(self.dice.bytes());
        frame
    }
}
