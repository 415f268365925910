//! Numbers in JSON with more digits than a value holds.

use std::borrow::Cow;

/// The most digits that a float of 64 bits can tell apart.
const MAX_DIGITS: usize = 17;

/// The text with quotes around each number that would lose digits, and how many those are. What is not JSON stays so.
pub(crate) fn quoted(text: &[u8]) -> (Cow<'_, [u8]>, u64) {
    let part = |begin, end| text.get(begin..end).unwrap_or_default();
    let (mut quoted, mut count) = (Vec::new(), 0);
    let (mut copied, mut at) = (0, 0);
    while let Some(byte) = text.get(at) {
        let rest = part(at, text.len());
        let end = match byte {
            b'"' => at + string_len(rest),
            b'-' | b'0'..=b'9' => at + number_len(rest),
            _ => at + 1,
        };
        let is_number = *byte != b'"' && std::str::from_utf8(part(at, end)).is_ok_and(is_lost);
        // What stands for a name has to be text already, and is not made so.
        if is_number && part(end, text.len()).trim_ascii_start().first() != Some(&b':') {
            quoted.extend_from_slice(part(copied, at));
            quoted.push(b'"');
            quoted.extend_from_slice(part(at, end));
            quoted.push(b'"');
            (copied, count) = (end, count + 1);
        }
        at = end;
    }
    if count == 0 {
        return (Cow::Borrowed(text), 0);
    }
    quoted.extend_from_slice(part(copied, text.len()));
    (Cow::Owned(quoted), count)
}

/// Bytes of the string that `text` begins with, with its quotes.
fn string_len(text: &[u8]) -> usize {
    let mut escaped = true;
    let end = text.iter().position(|byte| {
        let is_end = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        is_end
    });
    end.map_or(text.len(), |end| end + 1)
}

fn number_len(text: &[u8]) -> usize {
    let of_number = |byte: &u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
    let len = text.iter().position(|byte| !of_number(byte));
    len.unwrap_or(text.len())
}

/// Whether this is a number that would not come back with its digits: a whole one of more than 64 bits, or one with more
/// digits than a float can tell apart, or beyond what a float reaches.
fn is_lost(number: &str) -> bool {
    let plain = number.strip_prefix('-').unwrap_or(number);
    let (mantissa, exponent) = match plain.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (plain, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let power = |text: &str| digits(text.strip_prefix(['+', '-']).unwrap_or(text));
    let is_number = digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(digits)
        && exponent.is_none_or(power);
    if !is_number {
        return false;
    }
    if fraction.is_none() && exponent.is_none() {
        return number.parse::<i64>().is_err();
    }
    let significant = mantissa.replace('.', "");
    let significant = significant.trim_matches('0');
    if significant.is_empty() {
        return false;
    }
    if significant.len() > MAX_DIGITS {
        // Zeros between the first and the last digit count, those at the ends say nothing.
        return true;
    }
    let Ok(float) = plain.parse::<f64>() else {
        return true;
    };
    let back = format!("{float:.*e}", significant.len() - 1);
    let back = back
        .split_once('e')
        .map(|(digits, _)| digits.replace('.', ""));
    back.as_deref() != Some(significant)
}
