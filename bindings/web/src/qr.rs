//! Pictures made of squares, as inline SVG: a QR code, and the pattern of a pseudonym.

use std::fmt::Write as _;

use qrcode::{Color, EcLevel, QrCode};

/// The light border a QR code needs, in modules (ISO/IEC 18004 §6.3.8).
const QUIET: usize = 4;

/// `text` as a QR code; `alt` (already safe for HTML) is its text alternative. Error correction "L":
/// a screen has no scratches, and larger squares are easier to scan. A text that fits no QR code
/// gives no picture.
pub(crate) fn svg(text: &str, alt: &str) -> String {
    let Ok(code) = QrCode::with_error_correction_level(text, EcLevel::L) else {
        return String::new();
    };
    let width = code.width();
    let mut path = String::new();
    for (y, row) in code.to_colors().chunks(width).enumerate() {
        // Neighbouring dark modules of a row are drawn as one bar.
        let mut x = 0;
        for run in row.chunk_by(|a, b| a == b) {
            if run.first() == Some(&Color::Dark) {
                let n = run.len();
                let _ = write!(path, "M{} {}h{n}v1h-{n}z", x + QUIET, y + QUIET);
            }
            x += run.len();
        }
    }
    let size = width + 2 * QUIET;
    format!(
        r##"<svg role="img" aria-label="{alt}" viewBox="0 0 {size} {size}" shape-rendering="crispEdges"><path fill="#fff" d="M0 0h{size}v{size}H0z"/><path fill="#000" d="{path}"/></svg>"##
    )
}

/// A mirrored 5 × 5 pattern that looks the same whenever the pseudonym is: an aid for the eye, not
/// a proof. `subject` is base64url.
pub(crate) fn pattern(subject: &str) -> String {
    let mut path = String::new();
    for (i, byte) in subject.bytes().take(15).enumerate() {
        // The parity of a base64url letter is as good as random.
        if byte.count_ones() % 2 == 0 {
            continue;
        }
        let (x, y) = (i % 3, i / 3);
        let _ = write!(path, "M{x} {y}h1v1h-1z");
        if x < 2 {
            let _ = write!(path, "M{} {y}h1v1h-1z", 4 - x);
        }
    }
    format!(
        r#"<svg class="pattern" aria-hidden="true" viewBox="-1 -1 7 7" shape-rendering="crispEdges"><path d="{path}"/></svg>"#
    )
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_login_code_fits_and_is_named() {
        let text = format!("openid4vp://?{}", "x".repeat(300));
        let picture = super::svg(&text, "scan me");
        assert!(picture.contains(r#"aria-label="scan me""#) && picture.len() < 20_000);
        assert_eq!(super::svg(&"x".repeat(3000), ""), "");
    }

    #[test]
    fn patterns_differ() {
        let one = super::pattern("kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
        assert_eq!(
            one,
            super::pattern("kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k")
        );
        assert_ne!(
            one,
            super::pattern("NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs")
        );
    }
}
