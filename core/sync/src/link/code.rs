//! The six digits that the new device shows and the person types on the phone.

use std::fmt;

use subtle::ConstantTimeEq;
use twin_identity::context;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Six digits made from everything that both sides have said.
///
/// The new device commits to its nonce before it sees the phone's, so neither side, nor anyone between two links, can
/// search for a transcript that gives a wanted code: one attempt in a million succeeds, and there is one attempt.
#[derive(PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Code([u8; 6]);

impl Code {
    pub(super) fn of(frames: &[&[u8]]) -> Self {
        let mut transcript = Vec::new();
        for frame in frames {
            transcript.extend((frame.len() as u64).to_be_bytes());
            transcript.extend_from_slice(frame);
        }
        let hash = context::LINK_TRANSCRIPT.hash([transcript.as_slice()]);
        let mut number = hash
            .iter()
            .take(8)
            .fold(0u64, |number, byte| (number << 8) | u64::from(*byte));
        let mut digits = [0; 6];
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + u8::try_from(number % 10).unwrap_or_default();
            number /= 10;
        }
        Self(digits)
    }

    /// Whether a person has typed this code; spaces and hyphens do not matter.
    pub fn matches(&self, typed: &str) -> bool {
        let typed: Vec<u8> = typed
            .bytes()
            .filter(|byte| !byte.is_ascii_whitespace() && *byte != b'-')
            .collect();
        self.0.as_slice().ct_eq(&typed).into()
    }
}

/// As shown on the new device: `123 456`.
impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, digit) in self.0.iter().enumerate() {
            if index == 3 {
                f.write_str(" ")?;
            }
            write!(f, "{}", char::from(*digit))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Code(…)")
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn is_typed_as_people_type() {
        let code = Code::of(&[b"a", b"b"]);
        let shown = code.to_string();
        assert_eq!(shown.len(), 7);
        assert!(code.matches(&shown));
        assert!(code.matches(&format!(" {}\n", shown.replace(' ', "-"))));
        assert!(!code.matches(""));
        assert!(!code.matches(&shown[..6]), "a digit short");
        assert!(!code.matches(&format!("{shown}0")), "a digit too many");
    }

    #[test]
    fn where_one_frame_ends_matters() {
        assert_ne!(Code::of(&[b"ab", b"c"]), Code::of(&[b"a", b"bc"]));
    }
}
