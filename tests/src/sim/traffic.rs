//! What goes over the cables of a world: parties act, their frames travel, get lost or mangled, and arrive.

use twin_sync::session::{Side as Dialled, Stay};
use twin_sync::transport::TransportKey;

use super::cable::{Cable, Mangling, Packet, Quality, ROOM};
use super::fault::{Held, hold};
use super::party::{End, Party, Scene, Syncing};
use super::world::{Event, Overheard, World};

impl World {
    /// Lets two parties talk.
    pub fn connect(&mut self, cable: Cable) -> Held<u64> {
        let id = self.number();
        if let Some(until) = cable.quality.until {
            for side in 0..2 {
                self.at(
                    until,
                    Event::HangUp {
                        cable: id,
                        side,
                        why: "time is up",
                    },
                );
            }
        }
        if let Some(lost) = cable.quality.lost_from.iter().flatten().min() {
            let noticed = lost + cable.quality.patience;
            for side in 0..2 {
                self.at(
                    noticed,
                    Event::HangUp {
                        cable: id,
                        side,
                        why: "the connection is dead",
                    },
                );
            }
        }
        self.cables.insert(id, cable);
        self.pump(id, 0)?;
        self.pump(id, 1)?;
        self.settle()?;
        Ok(id)
    }

    /// Two devices of one twin meet.
    pub fn meet(&mut self, devices: [usize; 2], stay: [Stay; 2], quality: Quality) -> Held<u64> {
        let keys = [0; 2].map(|_| TransportKey::from_bytes(self.dice.bytes()));
        let mut scene = self.scene();
        let first = Syncing::new(
            &mut scene,
            devices[0],
            Dialled::Initiator,
            keys[0],
            keys[1],
            stay[0],
        );
        let second = Syncing::new(
            &mut scene,
            devices[1],
            Dialled::Responder,
            keys[1],
            keys[0],
            stay[1],
        );
        self.cast.trace.say(self.now, || {
            format!(
                "meet: device {} and device {}, {stay:?}, {quality:?}",
                devices[0], devices[1]
            )
        });
        // Who has not heard of a device may hear of it from others, when it has been turned away already.
        let must_succeed = quality.is_good() && self.cast.are_mutual(devices);
        let mut cable = Cable::new([Box::new(first), Box::new(second)], quality);
        cable.pair = Some(devices);
        cable.shuns = [0, 1].map(|side| self.cast.shuns(devices[side], devices[1 - side]));
        cable.must_succeed = must_succeed;
        self.connect(cable)
    }

    /// Whether both ends of a cable hold their replicas for equal.
    pub fn is_in_sync(&self, cable: u64) -> bool {
        self.cables.get(&cable).is_some_and(|cable| {
            let in_sync =
                |party: &Option<Box<dyn Party>>| party.as_ref().is_some_and(|p| p.is_in_sync());
            cable.sides.iter().all(|side| in_sync(&side.party))
        })
    }

    pub(super) fn arrive(&mut self, id: u64, to: usize, packet: Packet) -> Held {
        let Some(cable) = self.cables.get_mut(&id) else {
            return Ok(());
        };
        let from = 1 - to;
        match packet {
            Packet::Frame(frame) => {
                cable.sides[from].under_way = cable.sides[from].under_way.saturating_sub(1);
                self.act(id, to, |party, scene| party.receive(scene, &frame))?;
                self.pump(id, to)?;
                self.pump(id, from)
            }
            Packet::End => {
                let party = cable.sides[to].party.as_ref();
                let early = party.is_some_and(|party| !party.is_finished());
                let why = if early {
                    "the other side has ended early"
                } else {
                    "both are done"
                };
                self.let_go(id, to, why)
            }
        }
    }

    pub(super) fn alarm(&mut self, id: u64, side: usize) -> Held {
        let Some(cable) = self.cables.get_mut(&id) else {
            return Ok(());
        };
        cable.sides[side].alarm = None;
        self.act(id, side, |party, scene| {
            if party.alarm(scene).is_some_and(|alarm| alarm <= scene.now) {
                party.ring(scene)?;
            }
            Ok(())
        })?;
        self.pump(id, side)
    }

    /// Lets a party do something. What it returns is lost if it has let go.
    pub(super) fn act<T>(
        &mut self,
        id: u64,
        side: usize,
        action: impl FnOnce(&mut dyn Party, &mut Scene<'_>) -> Result<T, End>,
    ) -> Held<Option<T>> {
        let Some(cable) = self.cables.get_mut(&id) else {
            return Ok(None);
        };
        let Some(mut party) = cable.sides[side].party.take() else {
            return Ok(None);
        };
        cable.was_out |= cable
            .pair
            .is_some_and(|[one, two]| self.cast.shuns(one, two) || self.cast.shuns(two, one));
        let mut scene = Scene {
            now: self.now,
            dice: &mut self.dice,
            cast: &mut self.cast,
        };
        match action(&mut *party, &mut scene) {
            Ok(done) => {
                let alarm = party.alarm(&scene);
                cable.sides[side].party = Some(party);
                if let Some(when) = alarm
                    && cable.sides[side].alarm.is_none_or(|set| when < set)
                {
                    cable.sides[side].alarm = Some(when);
                    self.at(when, Event::Alarm { cable: id, side });
                }
                Ok(Some(done))
            }
            Err(End::Fault(fault)) => Err(fault),
            Err(End::Over(why)) => {
                let device = party.device();
                self.cast
                    .trace
                    .say(self.now, || format!("cable {id}, device {device:?}: {why}"));
                let pair = cable.pair;
                let mutual = pair.is_none_or(|pair| self.cast.are_mutual(pair));
                hold!(
                    !cable.must_succeed || cable.was_out || cable.shuns.contains(&true) || !mutual,
                    "two devices of one twin could not sync: {why}"
                );
                cable.sides[side].party = Some(party);
                self.let_go(id, side, "an error")?;
                Ok(None)
            }
        }
    }

    /// Takes from a party what it has to say, as long as there is room for it.
    pub(super) fn pump(&mut self, id: u64, side: usize) -> Held {
        loop {
            let Some(cable) = self.cables.get(&id) else {
                return Ok(());
            };
            if cable.sides[side].under_way >= ROOM {
                return Ok(());
            }
            let Some(said) = self.act(id, side, |party, scene| party.next_frame(scene))? else {
                return Ok(());
            };
            match said {
                Some(frame) => self.send(id, side, frame),
                None => break,
            }
        }
        let Some(cable) = self.cables.get_mut(&id) else {
            return Ok(());
        };
        if let Some(party) = &cable.sides[side].party
            && party.is_finished()
        {
            hold!(
                party.has_told(),
                "a session is over because both are equal, and nobody was told"
            );
            cable.sides[side].is_done = true;
            self.let_go(id, side, "done")?;
        }
        Ok(())
    }

    fn send(&mut self, id: u64, side: usize, frame: Vec<u8>) {
        let Some(cable) = self.cables.get_mut(&id) else {
            return;
        };
        let shuns = |pair: [usize; 2]| {
            let (one, other) = (pair[side], pair[1 - side]);
            cable.shuns[side] && self.cast.shuns(one, other) && !self.cast.has_its_key(one, other)
        };
        let is_strange = cable.is_strange || cable.pair.is_some_and(shuns);
        let here = &mut cable.sides[side];
        let party = here.party.as_ref();
        if let Some(device) = party
            .filter(|p| is_strange && p.is_honest())
            .and_then(|p| p.device())
        {
            let twin = self.cast.devices[device].twin;
            self.overheard.push(Overheard {
                cable: id,
                twin,
                frame: frame.clone(),
            });
        }
        let mangling = cable.quality.mangled[side]
            .filter(|(which, _)| *which == here.sent)
            .map(|(_, mangling)| mangling);
        here.sent += 1;
        let mut frames = vec![frame];
        frames.extend(here.held_back.take());
        match mangling {
            None => {}
            Some(Mangling::Flip) => {
                let bit = self.dice.index(frames[0].len() * 8);
                frames[0][bit / 8] ^= 1 << (bit % 8);
            }
            Some(Mangling::Twice) => frames.push(frames[0].clone()),
            Some(Mangling::Lose) => frames.clear(),
            Some(Mangling::Late) => here.held_back = frames.pop(),
        }
        for frame in frames {
            self.ship(id, side, Packet::Frame(frame));
        }
    }

    fn ship(&mut self, id: u64, side: usize, packet: Packet) {
        let Some(cable) = self.cables.get_mut(&id) else {
            return;
        };
        let here = &mut cable.sides[side];
        let (least, most) = cable.quality.delay;
        here.last = here.last.max(self.now + self.dice.between(least, most));
        if matches!(packet, Packet::Frame(_)) {
            here.under_way += 1;
        }
        let when = here.last;
        if cable.quality.lost_from[side].is_none_or(|lost| when < lost) {
            self.at(
                when,
                Event::Arrive {
                    cable: id,
                    to: 1 - side,
                    packet,
                },
            );
        }
    }

    /// A party lets go of its end, and the other end is told.
    pub(super) fn let_go(&mut self, id: u64, side: usize, why: &str) -> Held {
        let Some(cable) = self.cables.get_mut(&id) else {
            return Ok(());
        };
        let Some(party) = cable.sides[side].party.take() else {
            return Ok(());
        };
        self.cast.trace.say(self.now, || {
            format!("cable {id}, side {side} lets go: {why}")
        });
        drop(party);
        if cable.sides[1 - side].party.is_some() {
            self.ship(id, side, Packet::End);
        } else {
            self.cables.remove(&id);
        }
        Ok(())
    }

    pub(super) fn ends_of(&self, device: usize) -> Vec<(u64, usize)> {
        let of_device = |party: &Option<Box<dyn Party>>| {
            party
                .as_ref()
                .is_some_and(|party| party.device() == Some(device))
        };
        let ends = self
            .cables
            .iter()
            .flat_map(|(id, cable)| [(*id, 0, cable), (*id, 1, cable)]);
        let ends = ends.filter(|(_, side, cable)| of_device(&cable.sides[*side].party));
        ends.map(|(id, side, _)| (id, side)).collect()
    }
}
