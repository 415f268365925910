//! One device at one relay: the real machines of both sides, the frames between them, and what the device makes of it.

use std::collections::VecDeque;

use twin_sync::TransportKey;
use twin_sync::machine::Machine;
use twin_sync::mailbox::{Client, ClientEvent, Desk, Server, ServerEvent, Visit};
use twin_sync::talk::{News, SETTLING, Talk, TalkError};

use super::member::{Member, Spot};
use super::relay::Relay;
use crate::dice::Dice;
use crate::sim::device::{Instant, clock};
use crate::sim::fault::{Held, fault, hold};

/// How many frames wait in each direction, and how many events.
const AHEAD: usize = 4;
const EVENTS: usize = 64;

/// A connection.
pub struct Call {
    /// Whose.
    pub member: usize,
    /// To which relay.
    pub relay: usize,
    /// Whether it stays when all is read and left.
    pub stays: bool,
    /// When it ends at the latest.
    pub ends_at: Instant,
    /// After how many steps the line breaks.
    pub cut_after: Option<u64>,
    talk: Talk,
    desk: Desk,
    client: Client,
    server: Server<Relay>,
    events: VecDeque<ClientEvent>,
    up: VecDeque<Vec<u8>>,
    down: VecDeque<Vec<u8>>,
    stirred: bool,
    seen: u64,
    leave_at: Option<Instant>,
    present_at: Option<Instant>,
}

/// Everybody that a step of a call touches.
pub struct Hands<'a> {
    /// Now.
    pub at: Instant,
    /// All chance.
    pub dice: &'a mut Dice,
    /// The device.
    pub member: &'a mut Member,
    /// The relay.
    pub relay: &'a mut Relay,
}

/// What came of a step.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Something was done.
    Moved,
    /// The relay has changed: others that are there hear of it.
    Changed,
    /// There is nothing to do until then.
    Idle(Instant),
    /// All is read and left.
    Done,
    /// It has ended, for a reason in words.
    Broken(String),
}

impl Call {
    /// One that begins.
    pub fn new(hands: &mut Hands<'_>, member: usize, relay: usize, stays: bool) -> Held<Self> {
        let me = TransportKey::from_bytes(hands.dice.bytes());
        let key = hands.relay.key;
        let now = hands.member.device.clock(hands.at);
        let (talk, memory) = Talk::begin(hands.member.device.vault_ref(), key.into())?;
        let limits = hands.relay.limits();
        let nonce = hands.dice.bytes();
        Ok(Self {
            member,
            relay,
            stays,
            ends_at: Instant::MAX,
            cut_after: None,
            talk,
            desk: Desk::new(key.into(), memory),
            client: Client::new(me, key, Visit::Stay, now),
            server: Server::new(key, me, &limits, clock(hands.at, 0), nonce),
            events: VecDeque::new(),
            up: VecDeque::new(),
            down: VecDeque::new(),
            stirred: false,
            seen: hands.member.changes,
            leave_at: None,
            present_at: None,
        })
    }

    /// How many envelopes were left there so far.
    pub const fn left(&self) -> u64 {
        self.talk.left()
    }

    /// Somebody else has changed what lies at the relay.
    pub fn relay_changed(&mut self, relay: &mut Relay) {
        self.server
            .store_changed(relay)
            .expect("it only takes note of it");
    }

    /// Does one thing of all that can be done, by chance.
    pub fn step(&mut self, mut hands: Hands<'_>) -> Held<Step> {
        match &mut self.cut_after {
            Some(0) => return Ok(Step::Broken("the line breaks".to_owned())),
            Some(left) => *left -= 1,
            None => {}
        }
        if hands.at >= self.ends_at {
            return Ok(Step::Broken("its person goes offline".to_owned()));
        }
        if hands.member.changes != self.seen {
            self.seen = hands.member.changes;
            self.leave_at.get_or_insert(hands.at + SETTLING);
        }
        let first = hands.dice.below(5);
        for turn in 0..5 {
            let moved = match (first + turn) % 5 {
                0 => self.ask(&hands)?,
                1 => self.serve(&mut hands)?,
                2 => self.hear(&hands)?,
                3 => self.deal(&mut hands)?,
                _ => self.look_again(&hands)?,
            };
            if let Some(step) = moved {
                return Ok(step);
            }
        }
        self.wait(&mut hands)
    }

    /// The device asks.
    fn ask(&mut self, hands: &Hands<'_>) -> Held<Option<Step>> {
        if self.up.len() >= AHEAD || self.events.len() >= EVENTS {
            return Ok(None);
        }
        let now = hands.member.device.clock(hands.at);
        if self.client.deadline().is_some_and(|end| end <= now)
            && let Err(error) = self.client.tick(now, &mut self.desk)
        {
            return Ok(Some(Step::Broken(error.to_string())));
        }
        let said = self.client.next_frame(now, &mut self.desk);
        let said = said.map_err(|error| fault!("a device cannot go on: {error}"))?;
        let events = self.events.len();
        self.gather();
        Ok(match said {
            Some(frame) => {
                self.up.push_back(frame);
                Some(Step::Moved)
            }
            None => (self.events.len() > events).then_some(Step::Moved),
        })
    }

    fn gather(&mut self) {
        let client = &mut self.client;
        self.events
            .extend(std::iter::from_fn(|| client.next_event()));
    }

    /// The relay hears, and answers.
    fn serve(&mut self, hands: &mut Hands<'_>) -> Held<Option<Step>> {
        let (now, relay) = (clock(hands.at, 0), &mut *hands.relay);
        let mut moved = false;
        if let Some(frame) = self.up.pop_front() {
            moved = true;
            if let Err(error) = self.server.receive(now, &frame, relay) {
                return Ok(Some(Step::Broken(error.to_string())));
            }
        }
        if self.server.deadline().is_some_and(|end| end <= now)
            && let Err(error) = self.server.tick(now, relay)
        {
            return Ok(Some(Step::Broken(error.to_string())));
        }
        while self.down.len() < AHEAD {
            let said = self.server.next_frame(now, relay);
            let said = said.map_err(|error| fault!("a relay cannot go on: {error}"))?;
            let Some(frame) = said else { break };
            self.down.push_back(frame);
            moved = true;
        }
        let mut changed = false;
        while let Some(event) = self.server.next_event() {
            changed |= matches!(event, ServerEvent::Changed(_));
        }
        Ok(match (moved, changed) {
            (_, true) => Some(Step::Changed),
            (true, false) => Some(Step::Moved),
            (false, false) => None,
        })
    }

    /// The device hears.
    fn hear(&mut self, hands: &Hands<'_>) -> Held<Option<Step>> {
        if self.events.len() >= EVENTS {
            return Ok(None);
        }
        let Some(frame) = self.down.pop_front() else {
            return Ok(None);
        };
        let now = hands.member.device.clock(hands.at);
        if let Err(error) = self.client.receive(now, &frame, &mut self.desk) {
            hold!(
                hands.relay.lied,
                "a device does not understand an honest relay: {error}"
            );
            return Ok(Some(Step::Broken(error.to_string())));
        }
        self.gather();
        Ok(Some(Step::Moved))
    }

    /// The device deals with what the relay said.
    fn deal(&mut self, hands: &mut Hands<'_>) -> Held<Option<Step>> {
        let Some(event) = self.events.pop_front() else {
            return Ok(None);
        };
        if matches!(event, ClientEvent::Open(_)) {
            self.present_at = Some(hands.at);
        }
        if let ClientEvent::Distrust(what) = &event {
            let clocks = hands.member.device.skew.unsigned_abs() > 12 * 60 * 60 * 1000;
            hold!(
                hands.relay.lied || clocks || hands.relay.is_seen_by_wrong_clocks,
                "an honest relay is not believed: {what:?}"
            );
        }
        let done = self.act(hands, |talk, at| talk.on(event, at))?;
        Ok(Some(match done {
            Ok(true) if !self.stays => Step::Done,
            Ok(_) => Step::Moved,
            Err(broken) => broken,
        }))
    }

    /// The device's machine looks at the desk again.
    fn look_again(&mut self, _: &Hands<'_>) -> Held<Option<Step>> {
        if !std::mem::take(&mut self.stirred) {
            return Ok(None);
        }
        self.client
            .store_changed(&mut self.desk)
            .map_err(|error| fault!("{error}"))?;
        Ok(Some(Step::Moved))
    }

    /// Nothing is to be done but what waits for its time.
    fn wait(&mut self, hands: &mut Hands<'_>) -> Held<Step> {
        if self.leave_at.is_some_and(|due| due <= hands.at) && self.talk.has_caught_up() {
            self.leave_at = None;
            let left = self.act(hands, |talk, at| talk.leave(at))?;
            return Ok(left.err().unwrap_or(Step::Moved));
        }
        if self.present_at.is_some_and(|due| due <= hands.at) {
            let life = self.talk.terms().map_or(0, |terms| terms.presence_life);
            self.present_at = Some(hands.at + life / 2);
            let stays = self.stays;
            let presented = self.act(hands, |talk, at| {
                talk.open(at)?;
                if stays {
                    talk.present(b"somewhere".to_vec(), at)?;
                }
                Ok(())
            })?;
            return Ok(presented.err().unwrap_or(Step::Moved));
        }
        let now = hands.member.device.clock(hands.at);
        let deadline = self.client.deadline();
        let deadline = deadline.map(|end| hands.at + end.saturating_sub(now).max(1));
        let gone = self.server.deadline();
        let gone = gone.map(|end| hands.at + end.saturating_sub(clock(hands.at, 0)).max(1));
        let leave_at = self.leave_at.filter(|_| self.talk.has_caught_up());
        let next = [
            leave_at,
            self.present_at,
            deadline,
            gone,
            Some(self.ends_at),
        ];
        Ok(Step::Idle(next.into_iter().flatten().min().unwrap_or(0)))
    }

    fn act<T>(
        &mut self,
        hands: &mut Hands<'_>,
        act: impl FnOnce(&mut Talk, &Spot<'_>) -> Result<T, TalkError<twin_vault::VaultError>>,
    ) -> Held<Result<T, Step>> {
        let now = hands.member.device.clock(hands.at);
        let vault = hands.member.device.vault();
        let spot = Spot::new(vault, &mut self.desk, hands.dice, now);
        let acted = act(&mut self.talk, &spot);
        self.stirred |= spot.stirred.get();
        let came = spot.came.get();
        hands.member.changes += u64::from(came);
        while let Some(news) = self.talk.next_news() {
            if let News::Complaint(why) = news {
                hands.relay.complaints.push(why);
            }
        }
        match acted {
            Ok(done) => Ok(Ok(done)),
            Err(TalkError::Unruly) if hands.relay.lied => {
                Ok(Err(Step::Broken("the relay is unruly".to_owned())))
            }
            Err(error) => Err(fault!("a visit ends: {error}")),
        }
    }
}
