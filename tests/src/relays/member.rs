//! A device: its vault, and what it does there while it talks to a relay.

use std::cell::{Cell, RefCell, RefMut};
use std::ops::DerefMut;

use chacha20_rng::ChaCha20Rng;
use chacha20_rng::rand_core::CryptoRng;
use twin_sync::mailbox::Desk;
use twin_sync::talk::Around;
use twin_vault::Vault;

use crate::dice::Dice;
use crate::sim::device::Device;

/// A device of the twin.
pub struct Member {
    /// Its vault and its clock.
    pub device: Device,
    /// Goes up whenever something has changed in its vault, as it tells whoever waits for that.
    pub changes: u64,
    /// Whether its person has removed it.
    pub out: bool,
}

/// Where a device talks to a relay, for one step.
pub struct Spot<'a> {
    vault: RefCell<&'a mut Vault>,
    desk: RefCell<&'a mut Desk>,
    dice: RefCell<&'a mut Dice>,
    now: u64,
    /// Whether the machine that asks the relay is to look at the desk again.
    pub stirred: Cell<bool>,
    /// Whether something has come.
    pub came: Cell<bool>,
}

impl<'a> Spot<'a> {
    /// At `now` by the device's clock.
    pub const fn new(
        vault: &'a mut Vault,
        desk: &'a mut Desk,
        dice: &'a mut Dice,
        now: u64,
    ) -> Self {
        Self {
            vault: RefCell::new(vault),
            desk: RefCell::new(desk),
            dice: RefCell::new(dice),
            now,
            stirred: Cell::new(false),
            came: Cell::new(false),
        }
    }
}

impl Around for Spot<'_> {
    type Store = Vault;

    fn now(&self) -> u64 {
        self.now
    }

    fn store(&self) -> impl DerefMut<Target = Vault> {
        RefMut::map(self.vault.borrow_mut(), |vault| &mut **vault)
    }

    fn desk(&self) -> impl DerefMut<Target = Desk> {
        RefMut::map(self.desk.borrow_mut(), |desk| &mut **desk)
    }

    fn rng(&self) -> impl CryptoRng {
        RefMut::map(self.dice.borrow_mut(), |dice| -> &mut ChaCha20Rng {
            dice.rng()
        })
    }

    fn stir(&self) {
        self.stirred.set(true);
    }

    fn tend(&self) {
        self.came.set(true);
        let tended = self.store().tend(self.now, &mut self.rng());
        tended.expect("an honest vault does what has become its to do");
    }
}
