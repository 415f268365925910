//! The key that both sides make of the passcode: SPAKE2 over edwards25519, as the crate `spake2` has it (that of
//! python-spake2 and Magic Wormhole, older than RFC 9382: other constants and another last hash, the same proof).

use rand_core::CryptoRng;
use spake2::{Ed25519Group, Identity, Password, Spake2};
use twin_identity::context;
use twin_identity::secret::Secret;
use zeroize::Zeroizing;

use super::passcode::Passcode;
use crate::link::LinkError;
use crate::link::proving::Proving;
use crate::transport::TransportKey;

/// Which side an element is by: SPAKE2 has two, and writes it before each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Phone,
    New,
}

impl Role {
    const fn mark(self) -> u8 {
        match self {
            Self::Phone => b'A',
            Self::New => b'B',
        }
    }

    const fn other(self) -> Self {
        match self {
            Self::Phone => Self::New,
            Self::New => Self::Phone,
        }
    }
}

/// A side that has made its element and waits for the other's.
pub struct Pake {
    role: Role,
    /// The phone's, the new device's.
    transports: [TransportKey; 2],
    element: [u8; 32],
    spake: Spake2<Ed25519Group>,
}

impl Pake {
    /// Begins over a connection between these: the phone's transport key, and the new device's.
    pub fn new(
        role: Role,
        passcode: &Passcode,
        transports: [TransportKey; 2],
        rng: &mut impl CryptoRng,
    ) -> Result<Self, LinkError> {
        #[cfg(twin_break)]
        let transports = if twin_identity::broken::is("afar_ends_unbound") {
            [TransportKey::from_bytes([0; 32]); 2]
        } else {
            transports
        };
        // The crate does not wipe its copy; the passcode is used up by then.
        let password = Password::new(passcode.password().as_slice());
        let [phone, new] = transports.map(|key| Identity::new(key.as_bytes()));
        let (spake, message) = match role {
            Role::Phone => Spake2::start_a_with_rng(&password, &phone, &new, rng),
            Role::New => Spake2::start_b_with_rng(&password, &phone, &new, rng),
        };
        let element = message.get(1..).and_then(|element| element.try_into().ok());
        Ok(Self {
            role,
            transports,
            element: element.ok_or(LinkError::Unexpected)?,
            spake,
        })
    }

    /// What to send.
    pub const fn element(&self) -> [u8; 32] {
        self.element
    }

    /// Takes the other's element. The same secret on both sides if both have the same passcode, transport keys and
    /// elements; `start` is the frame that the link began with.
    pub fn finish(self, element: &[u8; 32], start: &[u8]) -> Result<Proving, LinkError> {
        // Our own, sent back.
        if *element == self.element {
            return Err(LinkError::Unexpected);
        }
        let mut message = [self.role.other().mark(); 33];
        message
            .iter_mut()
            .skip(1)
            .zip(element)
            .for_each(|(to, byte)| *to = *byte);
        let key = self.spake.finish(&message);
        let key = Zeroizing::new(key.map_err(|_| LinkError::Unexpected)?);
        let by_phone = match self.role {
            Role::Phone => &self.element,
            Role::New => element,
        };
        let said = [by_phone.as_slice(), start].concat();
        let [phone, new] = &self.transports;
        let fields = [key.as_slice(), phone.as_bytes(), new.as_bytes(), &said];
        let secret = Secret::new(context::LINK_AFAR.hash(fields));
        Ok(Proving::new(secret, Zeroizing::new(said)))
    }
}
