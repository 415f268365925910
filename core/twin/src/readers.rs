//! A door for those who feed anything to the readers of what people have already, and of where devices and relays are: the
//! fuzzers of `tests/fuzz`, and this crate's own tests. No other build has it.
//!
//! Each takes a file, or what was left or typed, says whether it can be taken in, and panics if it then breaks a rule.

use twin_net::RelayAddress;

pub use crate::import::readers::{cards, lines, list, records, table};
use crate::relays::presence as places;

/// Where a device is, as it leaves that in a mailbox.
pub fn presence(bytes: &[u8]) -> bool {
    let Some((key, addresses)) = places::from_bytes(bytes) else {
        return false;
    };
    let again = places::from_bytes(&places::to_bytes(key, &addresses));
    // Written in other words they may take more room than there is.
    let is_same = |(same, first): (_, Vec<_>)| same == key && addresses.starts_with(&first);
    assert!(again.is_some_and(is_same));
    true
}

/// The address of a relay, as a person types it.
pub fn relay_address(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return false;
    };
    let Ok(address) = text.parse::<RelayAddress>() else {
        return false;
    };
    let again = address.to_string().parse::<RelayAddress>();
    assert!(again.is_ok_and(|again| again == address));
    true
}

/// What each of these takes, by its name among the fuzzers.
pub fn samples() -> Vec<(&'static str, Vec<u8>)> {
    let samples = [
        (
            "import_cards",
            "BEGIN:VCARD\r\nVERSION:3.0\r\nUID:a\r\nFN:Ada\r\nN:Byron;Ada;;;\r\nitem1.TEL;TYPE=\"work,cell\":+1\r\n \
             23\r\nNOTE;ENCODING=QUOTED-PRINTABLE;CHARSET=latin1:a=FC=\r\nb\\;\r\nPHOTO;ENCODING=b:AAEC\r\n\
             PHOTO:data:image/png;base64,AAEC\r\nEND:VCARD\r\n",
        ),
        (
            "import_table",
            "\u{feff}isbn;title\r\n1;\"a; \"\"b\"\"\nc\"\r\n;\r\n2;\r\n",
        ),
        (
            "import_list",
            "\u{feff}[ {\"a\": 1, \"b\": [1e400, {\"c\": \"]\\\"\"}], \"d\": null},\n{\"a\": 12345678901234567890} ]",
        ),
        (
            "import_lines",
            "\u{feff}{\"a\": 1.5, \"b\": {\"hex\": \"00ff\"}}\n\n{\"a\": -0.1000000000000000055511151231257827}\n",
        ),
        (
            "import_records",
            "{\"format\":\"digital-twin-plain\",\"version\":1}\n\
             {\"space\":\"home\",\"collection\":\"a\",\"id\":\"b\",\"fields\":{\"c\":{\"set\":[1,\"a\"]},\
             \"d\":{\"timestamp\":\"2026-11-23T10:00:00.5Z\"},\"e\":{\"ref\":[\"p\",\"q\"]}},\"changed\":5}\n",
        ),
        (
            "presence",
            "0707070707070707070707070707070707070707070707070707070707070707\n192.0.2.7:4001\n\
             quic://[2001:db8::7]:4001\nsomething new",
        ),
        (
            "relay_address",
            "12D3KooWQYV9dGMFoRzNStwpXztXaBUjtPqi6aU76ZgUriHhKust@[2001:db8::7]:4001",
        ),
    ];
    samples
        .map(|(name, text)| (name, text.as_bytes().to_vec()))
        .into()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    #[test]
    fn the_corpus_is_answered() {
        crate::corpus::replay();
    }

    /// What costs most: what is opened and not closed, what is alike, what gets longer.
    #[test]
    fn a_megabyte_of_anything_is_answered_soon() {
        const LEN: usize = 1_000_000;
        let patterns = [
            "[",
            "{",
            "\"",
            "0,",
            "1e400 ",
            "[[0],",
            "{\"a\":",
            "a,",
            "\"\",",
            ";",
            "\n",
            "A:b\n",
            "A:=\n",
            " \n",
            "A;ENCODING=b:\n",
            "BEGIN:VCARD\n",
            "{\"a\":[]}\n",
        ];
        let cards = format!("BEGIN:VCARD\n{}END:VCARD\n", "A:b\n".repeat(2000));
        let list = format!("[[{}0]]", "0,".repeat(LEN / 2));
        let patterns = patterns.into_iter().map(str::to_owned).chain([cards, list]);
        let samples = super::samples().into_iter().map(|(_, sample)| sample);
        for pattern in patterns.map(String::into_bytes).chain(samples) {
            let input: Vec<u8> = pattern.iter().copied().cycle().take(LEN).collect();
            let after = [b"[{\"a\":".as_slice(), &input].concat();
            for (name, reader) in crate::parsers::TARGETS {
                let start = Instant::now();
                reader(&input);
                reader(&after);
                // Less than a second, unless the machine is busy.
                assert!(start.elapsed() < Duration::from_secs(20), "{name}");
            }
        }
    }

    proptest! {
        #[test]
        fn anything_is_answered(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            for (_, reader) in crate::parsers::TARGETS {
                reader(&bytes);
            }
        }
    }
}
