//! QR codes: drawn in the terminal, written to and read from pictures.

use std::io::IsTerminal;
use std::path::Path;

use image::{GrayImage, ImageReader, Limits, Luma};
use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};

use crate::error::{CliError, Result};

/// Pixels of a module, and modules of white around the code, in a PNG.
const MODULE: u32 = 8;
const QUIET: u32 = 4;
/// The widest picture that is read, in pixels.
const MAX_SIDE: u32 = 12_000;

fn encode(text: &str) -> Result<QrCode> {
    QrCode::with_error_correction_level(text, EcLevel::M).map_err(|_| CliError::QrTooLong)
}

/// The code as text for a terminal, dark on light whatever its colours are.
pub fn for_terminal(text: &str) -> Result<String> {
    let drawn = encode(text)?
        .render::<Dense1x2>()
        .dark_color(Dense1x2::Dark)
        .light_color(Dense1x2::Light)
        .build();
    if !std::io::stdout().is_terminal() {
        return Ok(drawn);
    }
    let lines = drawn.lines();
    Ok(lines
        .map(|line| format!("\x1b[38;5;16;48;5;231m{line}\x1b[0m\n"))
        .collect())
}

/// Writes the code as a PNG.
pub fn to_png(text: &str, path: &Path) -> Result<()> {
    let code = encode(text)?;
    let modules = code.to_colors();
    let width = code.width();
    let side = (u32::try_from(width).unwrap_or(0) + 2 * QUIET) * MODULE;
    let picture = GrayImage::from_fn(side, side, |x, y| {
        let at = |pixel: u32| (pixel / MODULE).checked_sub(QUIET).map(|m| m as usize);
        let dark = match (at(x), at(y)) {
            (Some(x), Some(y)) if x < width && y < width => modules
                .get(y * width + x)
                .is_some_and(|color| *color == qrcode::Color::Dark),
            _ => false,
        };
        Luma([if dark { 0 } else { 255 }])
    });
    picture
        .save_with_format(path, image::ImageFormat::Png)
        .map_err(|error| CliError::Unwritable(path.to_owned(), error.to_string()))
}

/// What was given: the text of a code, or, if it names a file, what the code in that picture says.
pub fn read(given: &str) -> Result<String> {
    let path = Path::new(given);
    let is_picture = path
        .extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("png"));
    if is_picture || path.is_file() {
        from_picture(path)
    } else {
        Ok(given.to_owned())
    }
}

fn from_picture(path: &Path) -> Result<String> {
    let unreadable =
        |error: &dyn std::error::Error| CliError::Unreadable(path.to_owned(), error.to_string());
    let mut reader = ImageReader::open(path)
        .and_then(ImageReader::with_guessed_format)
        .map_err(|error| unreadable(&error))?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    reader.limits(limits);
    let picture = reader.decode().map_err(|error| unreadable(&error))?;
    let mut prepared = rqrr::PreparedImage::prepare(picture.to_luma8());
    let found = prepared.detect_grids();
    found
        .iter()
        .find_map(|grid| grid.decode().ok())
        .map(|(_, text)| text)
        .ok_or_else(|| CliError::NoQr(path.to_owned()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_drawn_can_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("code.png");
        let text = format!("TWIN:LINK:{}", "ABCDEFGHIJ234567".repeat(14));
        to_png(&text, &path).unwrap();
        assert_eq!(read(path.to_str().unwrap()).unwrap(), text);
        assert_eq!(read(&text).unwrap(), text);
    }

    #[test]
    fn a_picture_without_a_code_is_said_to_be_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("white.png");
        GrayImage::from_pixel(300, 300, Luma([255]))
            .save(&path)
            .unwrap();
        assert!(matches!(
            read(path.to_str().unwrap()),
            Err(CliError::NoQr(_))
        ));
        let path = folder.path().join("text.png");
        std::fs::write(&path, "not a picture").unwrap();
        assert!(matches!(
            read(path.to_str().unwrap()),
            Err(CliError::Unreadable(..))
        ));
    }
}
