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

fn encode(text: &str, level: EcLevel) -> Result<QrCode> {
    QrCode::with_error_correction_level(text, level).map_err(|_| CliError::QrTooLong)
}

/// The code as text for a terminal, dark on light whatever its colours are.
pub fn for_terminal(text: &str) -> Result<String> {
    Ok(draw(&encode(text, EcLevel::M)?))
}

/// One of many that are shown one after the other: the next makes up for one that cannot be read, so they are as small as
/// can be.
pub fn moving_for_terminal(text: &str) -> Result<String> {
    Ok(draw(&encode(text, EcLevel::L)?))
}

fn draw(code: &QrCode) -> String {
    let drawn = code
        .render::<Dense1x2>()
        .dark_color(Dense1x2::Dark)
        .light_color(Dense1x2::Light)
        .build();
    if !std::io::stdout().is_terminal() {
        return drawn;
    }
    let lines = drawn.lines();
    lines
        .map(|line| format!("\x1b[38;5;16;48;5;231m{line}\x1b[0m\n"))
        .collect()
}

/// Writes the code as a PNG.
pub fn to_png(text: &str, path: &Path) -> Result<()> {
    save(&encode(text, EcLevel::M)?, path)
}

/// As [`moving_for_terminal`], as a PNG.
pub fn moving_to_png(text: &str, path: &Path) -> Result<()> {
    save(&encode(text, EcLevel::L)?, path)
}

fn save(code: &QrCode, path: &Path) -> Result<()> {
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
    let texts = texts(path)?.into_iter().next();
    texts.ok_or_else(|| CliError::NoQr(path.to_owned()))
}

/// What all codes in a picture say, one at least.
pub fn texts(path: &Path) -> Result<Vec<String>> {
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
    let texts = found.iter().filter_map(|grid| grid.decode().ok());
    let texts: Vec<String> = texts.map(|(_, text)| text).collect();
    if texts.is_empty() {
        return Err(CliError::NoQr(path.to_owned()));
    }
    Ok(texts)
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
    fn a_bundle_comes_back_from_pictures_of_which_some_are_missing() {
        let folder = tempfile::tempdir().unwrap();
        let bundle: Vec<u8> = (0_u32..9000)
            .map(|i| ((i * i) >> 3).to_le_bytes()[0])
            .collect();
        let frames = twin::Frames::new(&bundle).unwrap();
        // A fixed chance of three in ten to be missed, and no order.
        let mut numbers: Vec<u32> = (0..frames.least() * 2).collect();
        numbers.sort_by_key(|number| number.wrapping_mul(0x9e37_79b9));
        numbers
            .retain(|number| number.wrapping_mul(0x85eb_ca6b) >> 16 > u32::from(u16::MAX) * 3 / 10);
        assert!(numbers.len() < frames.least() as usize * 3 / 2);
        let mut gathering = twin::Gathering::default();
        let mut whole = None;
        for (read, number) in numbers.into_iter().enumerate() {
            let path = folder.path().join(format!("{number}.png"));
            let text = frames.text(number);
            // It fits into a terminal of 80 columns, and is no larger than version 13.
            assert_eq!(
                encode(&text, EcLevel::L).unwrap().version(),
                qrcode::Version::Normal(13)
            );
            assert!(
                moving_for_terminal(&text)
                    .unwrap()
                    .lines()
                    .all(|line| line.chars().count() <= 80)
            );
            moving_to_png(&text, &path).unwrap();
            for text in texts(&path).unwrap() {
                if let twin::Seen::Whole(bytes) = gathering.take(&text) {
                    whole = Some((bytes, read + 1));
                }
            }
            if whole.is_some() {
                break;
            }
        }
        let (bytes, read) = whole.unwrap();
        assert_eq!(bytes, bundle);
        assert!(read <= frames.least() as usize + 4, "{read} pictures");
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
