//! Whom a grant is for.

use minicbor::data::Type;
use minicbor::decode::Decoder;
use minicbor::encode::{self, Encoder, Write};
use minicbor::{Decode, Encode};
use twin_identity::id::DeviceId;

const WORDS: u8 = 0;
const GUARDIANS: u8 = 1;

/// To whom section keys are sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Recipient {
    /// A device.
    Device(DeviceId),
    /// The recovery words.
    Words,
    /// The guardians, if the person wants them to be able to bring the data back.
    Guardians,
}

/// Whom a grant is for.
pub enum Recipients<'a> {
    /// Every device that may take part now, the recovery words, and guardians who are to hold the data too.
    All,
    /// One device that has just been added.
    One(&'a DeviceId),
    /// The recovery words, and guardians who are to hold the data too.
    Words,
}

/// A device is its id, the others are small numbers.
impl<C> Encode<C> for Recipient {
    fn encode<W: Write>(
        &self,
        e: &mut Encoder<W>,
        c: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        match self {
            Self::Device(device) => device.encode(e, c),
            Self::Words => e.u8(WORDS)?.ok(),
            Self::Guardians => e.u8(GUARDIANS)?.ok(),
        }
    }
}

impl<'b, C> Decode<'b, C> for Recipient {
    fn decode(d: &mut Decoder<'b>, c: &mut C) -> Result<Self, minicbor::decode::Error> {
        if d.datatype()? == Type::Bytes {
            return DeviceId::decode(d, c).map(Self::Device);
        }
        match d.u8()? {
            WORDS => Ok(Self::Words),
            GUARDIANS => Ok(Self::Guardians),
            _ => Err(minicbor::decode::Error::message("recipient")),
        }
    }
}
