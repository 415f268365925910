//! The passcode: 16 letters and digits that the phone shows, and that are typed on the new device.
//!
//! `NNNN-SSSS-SSSS-SSCC` in Crockford's base 32, 5 bits a symbol: a nameplate (20 bits), a secret (50 bits), and two
//! check symbols, the number before them modulo 1021 (a prime, so every wrong symbol and every two that are swapped
//! show). What was mistyped is told from a wrong passcode before anything is sent.

use std::fmt;

use rand_core::CryptoRng;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Crockford's: no I, L, O and U.
const SYMBOLS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const NAMEPLATE: usize = 4;
const SECRET: usize = 10;
const LEN: usize = NAMEPLATE + SECRET + 2;
/// The largest prime below 32².
const CHECK: u128 = 1021;

/// What is shown on the phone and typed on the new device: 16 symbols, each below 32.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Passcode([u8; LEN]);

/// The part of a passcode by which both ends find each other, at a relay or elsewhere. It is no secret: who knows it can
/// use up the passcode, and learns nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nameplate(u32);

/// What was typed is no passcode. Nothing was sent: the passcode is still good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasscodeError {
    /// A linking code of the other kind, or a link.
    #[error(
        "this is not a passcode: show one on the phone with `twin link invite`, and type its 16 letters and digits"
    )]
    Foreign,
    /// Symbols are missing, or there are too many.
    #[error(
        "a passcode has 16 letters and digits, and {0} were typed: look at the phone and type it again"
    )]
    Length(usize),
    /// A symbol is wrong, or two have changed places.
    #[error("a letter or digit is wrong: look at the phone and type the passcode again")]
    Mistyped,
}

impl Passcode {
    /// A fresh one.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        let mut random = Zeroizing::new([0; NAMEPLATE + SECRET]);
        rng.fill_bytes(random.as_mut_slice());
        let mut passcode = Self([0; LEN]);
        // 256 is eight times 32: all symbols are as likely.
        let symbols = random.iter().map(|byte| byte % 32);
        passcode
            .0
            .iter_mut()
            .zip(symbols)
            .for_each(|(to, symbol)| *to = symbol);
        let check = passcode.check();
        passcode
            .0
            .iter_mut()
            .skip(LEN - 2)
            .zip(check)
            .for_each(|(to, symbol)| *to = symbol);
        passcode
    }

    /// Reads what was typed, as people type: lower case, other spaces and hyphens or none, `O` for zero, `I` and `L` for
    /// one.
    pub fn parse(typed: &str) -> Result<Self, PasscodeError> {
        let mut passcode = Self([0; LEN]);
        let mut count = 0;
        for symbol in typed.chars().filter(|c| !c.is_whitespace() && *c != '-') {
            let value = value(symbol).ok_or(PasscodeError::Foreign)?;
            if let Some(place) = passcode.0.get_mut(count) {
                *place = value;
            }
            count += 1;
        }
        if count != LEN {
            return Err(PasscodeError::Length(count));
        }
        if passcode.0.ends_with(&passcode.check()) {
            Ok(passcode)
        } else {
            Err(PasscodeError::Mistyped)
        }
    }

    /// The part that is no secret.
    pub fn nameplate(&self) -> Nameplate {
        let symbols = self.0.iter().take(NAMEPLATE);
        Nameplate(symbols.fold(0, |all, symbol| (all << 5) | u32::from(*symbol)))
    }

    /// What the key is made of: all symbols but those that only check, as they are shown.
    pub(super) fn password(&self) -> Zeroizing<Vec<u8>> {
        let symbols = self.0.iter().take(NAMEPLATE + SECRET);
        Zeroizing::new(symbols.filter_map(|symbol| shown(*symbol)).collect())
    }

    fn check(&self) -> [u8; 2] {
        let symbols = self.0.iter().take(NAMEPLATE + SECRET);
        let number = symbols.fold(0u128, |all, symbol| (all << 5) | u128::from(*symbol));
        let rest = number % CHECK;
        [rest / 32, rest % 32].map(|symbol| u8::try_from(symbol).unwrap_or_default())
    }
}

impl Nameplate {
    /// The number, below 2^20.
    pub const fn number(self) -> u32 {
        self.0
    }
}

/// As it is shown: `7QH2-0K9M-X3TD-4ABC`.
impl fmt::Display for Passcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, symbol) in self.0.iter().enumerate() {
            if index > 0 && index % 4 == 0 {
                f.write_str("-")?;
            }
            write!(f, "{}", char::from(shown(*symbol).unwrap_or(b'?')))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Passcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passcode(…)")
    }
}

fn shown(symbol: u8) -> Option<u8> {
    SYMBOLS.get(usize::from(symbol)).copied()
}

fn value(symbol: char) -> Option<u8> {
    let symbol = match symbol.to_ascii_uppercase() {
        'O' => '0',
        'I' | 'L' => '1',
        other => other,
    };
    let at = SYMBOLS
        .iter()
        .position(|known| char::from(*known) == symbol)?;
    u8::try_from(at).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use chacha20_rng::ChaCha20Rng;
    use chacha20_rng::rand_core::SeedableRng;
    use proptest::prelude::*;

    use super::*;

    fn passcode(seed: u64) -> Passcode {
        Passcode::random(&mut ChaCha20Rng::seed_from_u64(seed))
    }

    #[test]
    fn is_typed_as_people_type() {
        for seed in 0..200 {
            let passcode = passcode(seed);
            let shown = passcode.to_string();
            assert_eq!(shown.len(), 19);
            let bare = shown.replace('-', "");
            let misread = bare.replace('0', "O").replace('1', "l");
            for typed in [
                shown.clone(),
                format!(" {}\n", shown.to_lowercase()),
                shown.replace('-', " "),
                misread,
                bare,
            ] {
                let read = Passcode::parse(&typed).unwrap();
                assert_eq!(read.0, passcode.0);
                assert_eq!(read.nameplate(), passcode.nameplate());
            }
        }
    }

    #[test]
    fn what_is_mistyped_is_told() {
        for seed in 0..20 {
            let right = passcode(seed).to_string().replace('-', "").into_bytes();
            let told = |typed: &[u8]| Passcode::parse(std::str::from_utf8(typed).unwrap()).err();
            for place in 0..LEN {
                for symbol in SYMBOLS {
                    let mut typed = right.clone();
                    typed[place] = *symbol;
                    let same = typed == right;
                    assert_eq!(told(&typed), (!same).then_some(PasscodeError::Mistyped));
                }
                // Neighbours that have changed places.
                if place + 1 < LEN {
                    let mut typed = right.clone();
                    typed.swap(place, place + 1);
                    let same = typed == right;
                    assert_eq!(told(&typed), (!same).then_some(PasscodeError::Mistyped));
                }
            }
            assert_eq!(told(&right[1..]), Some(PasscodeError::Length(LEN - 1)));
            let long = [&right[..], b"0"].concat();
            assert_eq!(told(&long), Some(PasscodeError::Length(LEN + 1)));
        }
        let foreign = Passcode::parse("TWIN:LINK:ABCDEF");
        assert_eq!(foreign.unwrap_err(), PasscodeError::Foreign);
        assert_eq!(Passcode::parse("").unwrap_err(), PasscodeError::Length(0));
    }

    #[test]
    fn nothing_but_the_nameplate_is_told_to_others() {
        let passcode = passcode(7);
        let shown = passcode.to_string();
        assert_eq!(format!("{passcode:?}"), "Passcode(…)");
        let number = passcode.nameplate().number();
        let symbols = [15, 10, 5, 0].map(|bits| SYMBOLS[(number >> bits & 31) as usize]);
        assert_eq!(shown.as_bytes()[..4], symbols);
    }

    proptest! {
        #[test]
        fn any_text_gets_an_answer(text: String) {
            if let Ok(passcode) = Passcode::parse(&text) {
                prop_assert_eq!(Passcode::parse(&passcode.to_string()).unwrap().0, passcode.0);
            }
        }
    }
}
