//! Spaces: records shared by the same members under the same keys.

use std::fmt;

use minicbor::{Decode, Encode};
use twin_identity::context;
use twin_identity::id::TwinId;
use twin_identity::id_type;

/// The most bytes of a space's name.
pub const MAX_SPACE_NAME: usize = 64;

id_type! {
    /// A space of one twin: hash of twin id and name, so that two devices that make the same space while apart mean
    /// the same one.
    SpaceId
}

/// A space's name: 1 to 64 bytes of UTF-8 without `/` and control characters. Names that begin with `~` are ours.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Encode)]
#[cbor(transparent)]
pub struct SpaceName(#[n(0)] String);

/// Who may read and write a space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Audience {
    /// Every device.
    Members,
    /// Only devices that may change the identity log.
    Admins,
}

/// A name cannot be a space's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SpaceNameError {
    /// Empty, too long, or with a character that is not allowed.
    #[error("a space name has 1 to 64 bytes and neither '/' nor control characters")]
    Invalid,
    /// Begins with `~`.
    #[error("space names that begin with '~' are reserved: choose another")]
    Reserved,
}

impl SpaceName {
    /// The admins' space: roots and the activity log.
    pub fn keys() -> Self {
        Self("~keys".to_owned())
    }

    /// The space of all devices: their names and the twin's.
    pub fn members() -> Self {
        Self("~members".to_owned())
    }

    /// A name that a person or an app chose.
    pub fn new(name: &str) -> Result<Self, SpaceNameError> {
        if name.starts_with('~') {
            return Err(SpaceNameError::Reserved);
        }
        Self::any(name)
    }

    /// A name that came from another device: reserved ones too.
    pub fn any(name: &str) -> Result<Self, SpaceNameError> {
        let fits = !name.is_empty() && name.len() <= MAX_SPACE_NAME;
        if !fits || name.chars().any(|c| c == '/' || c.is_control()) {
            return Err(SpaceNameError::Invalid);
        }
        Ok(Self(name.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Who may read and write it.
    pub fn audience(&self) -> Audience {
        if *self == Self::keys() {
            Audience::Admins
        } else {
            Audience::Members
        }
    }

    /// The space of this name in a twin.
    pub fn id(&self, twin: &TwinId) -> SpaceId {
        let fields = [twin.as_bytes().as_slice(), self.0.as_bytes()];
        SpaceId::from_bytes(context::SPACE.hash(fields))
    }
}

impl fmt::Display for SpaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'b, C> Decode<'b, C> for SpaceName {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        Self::any(d.str()?).map_err(minicbor::decode::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_plain() {
        let longest = "n".repeat(MAX_SPACE_NAME);
        for name in ["n", "Grüße 1", &longest] {
            let made = SpaceName::new(name);
            assert_eq!(made.as_ref().map(SpaceName::as_str), Ok(name));
        }
        let too_long = "n".repeat(MAX_SPACE_NAME + 1);
        for name in ["", "a/b", "a\nb", "\u{7f}", &too_long] {
            assert_eq!(SpaceName::new(name), Err(SpaceNameError::Invalid));
        }
        assert_eq!(SpaceName::new("~mine"), Err(SpaceNameError::Reserved));
        assert!(SpaceName::any("~mine").is_ok(), "of a later version");
    }
}
