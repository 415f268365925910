//! A virtual connection: two parties, frames under way between them, and what goes wrong on it.

use super::device::Instant;
use super::party::Party;
use crate::dice::Dice;

/// How many frames of one side may be under way before it has to wait.
pub const ROOM: usize = 4;

/// What travels.
#[derive(Debug, Clone)]
pub enum Packet {
    /// A frame.
    Frame(Vec<u8>),
    /// The sender has closed its side.
    End,
}

/// What a broken transport does to one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mangling {
    /// Flips a bit.
    Flip,
    /// Delivers it twice.
    Twice,
    /// Delivers the next one first.
    Late,
    /// Loses it, and delivers what follows.
    Lose,
}

/// How good a cable is.
#[derive(Debug, Clone, Default)]
pub struct Quality {
    /// The least and the most time that a frame takes, in milliseconds.
    pub delay: (u64, u64),
    /// From when on everything is lost, in each direction.
    pub lost_from: [Option<Instant>; 2],
    /// After how long the ends notice that nothing comes through.
    pub patience: u64,
    /// What happens to which frame, in each direction.
    pub mangled: [Option<(u32, Mangling)>; 2],
    /// When both ends hang up at the latest.
    pub until: Option<Instant>,
}

impl Quality {
    /// A good cable.
    pub fn good(dice: &mut Dice) -> Self {
        let least = dice.between(1, 20);
        Self {
            delay: (least, least + dice.below(30)),
            patience: 10_000,
            ..Self::default()
        }
    }

    /// A cable as they are: slow at times, cut at times, in one direction or both.
    pub fn usual(dice: &mut Dice, now: Instant) -> Self {
        let mut quality = Self::good(dice);
        if dice.chance(20) {
            quality.delay.1 = dice.between(100, 1500);
        }
        if dice.chance(30) {
            let soon = 1 + quality.delay.1 * 20;
            quality.lost_from = [now + dice.below(soon), now + dice.below(soon)].map(Some);
            quality.lost_from[dice.index(2)].take_if(|_| dice.chance(40));
        }
        quality
    }

    /// A transport that does what no transport may do.
    pub fn broken(dice: &mut Dice, now: Instant) -> Self {
        let mut quality = Self::good(dice);
        let kinds = [
            Mangling::Flip,
            Mangling::Flip,
            Mangling::Twice,
            Mangling::Late,
            Mangling::Lose,
        ];
        quality.mangled[dice.index(2)] =
            Some((u32::try_from(dice.below(12)).unwrap(), *dice.pick(&kinds)));
        quality.until = Some(now + 60_000);
        quality
    }

    /// Whether everything that is sent arrives as it was sent.
    pub const fn is_good(&self) -> bool {
        matches!(self.lost_from, [None, None]) && matches!(self.mangled, [None, None])
    }
}

/// One end.
pub struct Side {
    /// Who is there; nobody any more after the end.
    pub party: Option<Box<dyn Party>>,
    /// How many of its frames are under way.
    pub under_way: usize,
    /// How many frames it has sent.
    pub sent: u32,
    /// When the last of its packets arrives: those of one direction stay in order.
    pub last: Instant,
    /// For when its alarm is set.
    pub alarm: Option<Instant>,
    /// A frame that waits for the next to overtake it.
    pub held_back: Option<Vec<u8>>,
    /// Whether it has ended by itself, in order.
    pub is_done: bool,
}

/// A connection.
pub struct Cable {
    /// Its ends: who dialled, who was dialled.
    pub sides: [Side; 2],
    /// How good it is.
    pub quality: Quality,
    /// Between two devices that have every reason to succeed: an error is then a fault.
    pub must_succeed: bool,
    /// Between strangers, who must not learn anything.
    pub is_strange: bool,
    /// The devices at its ends, if both are of one twin.
    pub pair: Option<[usize; 2]>,
    /// Which end takes the other for a stranger although both are, or were, of one twin.
    pub shuns: [bool; 2],
    /// Whether one of them has known the other to be out while they were connected: it may have turned it away, and have
    /// heard since that it is in again.
    pub was_out: bool,
}

impl Cable {
    /// A cable between two parties.
    pub fn new(parties: [Box<dyn Party>; 2], quality: Quality) -> Self {
        let side = |party| Side {
            party: Some(party),
            under_way: 0,
            sent: 0,
            last: 0,
            alarm: None,
            held_back: None,
            is_done: false,
        };
        Self {
            sides: parties.map(side),
            quality,
            must_succeed: false,
            is_strange: false,
            pair: None,
            shuns: [false; 2],
            was_out: false,
        }
    }
}
