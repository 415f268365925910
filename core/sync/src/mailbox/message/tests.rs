#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use proptest::prelude::*;

use super::*;
use crate::mailbox::envelope::PRESENCE;
use crate::mailbox::store::MAX_LISTED;
use crate::mailbox::terms::Limits;

fn address() -> impl Strategy<Value = Address> {
    any::<[u8; 32]>().prop_map(Address::from_bytes)
}

fn row() -> impl Strategy<Value = Row> {
    (any::<u64>(), any::<[u8; 32]>(), any::<u64>(), any::<bool>()).prop_map(
        |(number, id, expires, withdrawn)| Row {
            number,
            id: EnvelopeId::from_bytes(id),
            expires,
            withdrawn: withdrawn.then_some(Signed([7; 64])),
        },
    )
}

fn message() -> impl Strategy<Value = Message> {
    let sealed = prop::collection::vec(any::<u8>(), 0..3000).prop_map(ByteVec::from);
    let maybe = prop::option::of(sealed.clone());
    let one = (
        any::<u64>(),
        address(),
        any::<u64>(),
        any::<[u8; 16]>(),
        any::<[u8; 32]>(),
    );
    let why = prop::sample::select(vec![Refusal::NotProven, Refusal::TooFast, Refusal::Failed]);
    let rows = prop::collection::vec(row(), 0..5);
    (
        0..15_u8,
        one,
        sealed,
        maybe,
        why,
        any::<Option<u64>>(),
        rows,
    )
        .prop_map(
            |(kind, (ask, address, number, slot, id), sealed, maybe, why, wait, rows)| {
                let (slot, id, signature) = (Slot(slot), EnvelopeId::from_bytes(id), [9; 64]);
                let at = At {
                    ask,
                    address,
                    number,
                };
                match kind {
                    0 => Message::Prove(Prove {
                        ask,
                        address,
                        signature,
                    }),
                    1 => Message::Put(Put {
                        ask,
                        address,
                        sealed,
                    }),
                    2 => Message::Present(Present {
                        ask,
                        address,
                        slot,
                        sealed: maybe,
                    }),
                    3 => Message::List(at),
                    4 => Message::Get(at),
                    5 => Message::Withdraw(Withdraw {
                        ask,
                        address,
                        number,
                        id,
                        signature,
                    }),
                    6 => Message::Watch(Watch { ask, address }),
                    7 => Message::Challenge(Challenge {
                        version: 1,
                        nonce: *id.as_bytes(),
                        terms: Limits::default().terms,
                    }),
                    8 => Message::Done(Done { ask }),
                    9 => Message::Receipt(Receipt {
                        ask,
                        number,
                        expires: number,
                    }),
                    10 => Message::Listed(Listed {
                        ask,
                        last: number,
                        rows,
                    }),
                    11 => Message::Envelope(Envelope { ask, sealed }),
                    12 => Message::Refused(Refused { ask, why, wait }),
                    13 => Message::News(News {
                        address,
                        last: number,
                    }),
                    _ => Message::Presence(Presence {
                        address,
                        slot,
                        sealed: maybe,
                    }),
                }
            },
        )
}

proptest! {
    #[test]
    fn is_read_as_it_was_written(message in message(), cut in 1_usize..40) {
        let frame = message.to_frame();
        prop_assert_eq!(Message::from_frame(&frame).unwrap().to_frame(), &frame[..]);
        // What is cut is no message, nor is what goes on.
        let short = frame.len().saturating_sub(cut);
        prop_assert!(Message::from_frame(&frame[..short]).is_err());
        prop_assert!(Message::from_frame(&[&frame[..], &[0]].concat()).is_err());
    }

    #[test]
    fn any_bytes_get_an_answer(number in 0_u8..17, bytes: Vec<u8>) {
        for frame in [bytes.clone(), [&[0x82, number, 0x81], &bytes[..]].concat()] {
            if let Ok(message) = Message::from_frame(&frame) {
                prop_assert_eq!(message.to_frame(), frame);
            }
        }
    }
}

#[test]
fn the_longest_messages_fit() {
    let address = Address::from_bytes([0xff; 32]);
    let row = Row {
        number: u64::MAX,
        id: EnvelopeId::from_bytes([0xff; 32]),
        expires: u64::MAX,
        withdrawn: Some(Signed([0xff; 64])),
    };
    let sealed = |len| ByteVec::from(vec![0xff; len]);
    for message in [
        Message::Put(Put {
            ask: u64::MAX,
            address,
            sealed: sealed(MAX_ENVELOPE),
        }),
        Message::Envelope(Envelope {
            ask: u64::MAX,
            sealed: sealed(MAX_ENVELOPE),
        }),
        Message::Presence(Presence {
            address,
            slot: Slot([0xff; 16]),
            sealed: Some(sealed(PRESENCE)),
        }),
        Message::Listed(Listed {
            ask: u64::MAX,
            last: u64::MAX,
            rows: vec![row; MAX_LISTED],
        }),
    ] {
        assert!(is_message(&message.to_frame()));
    }
    let longer = Message::Envelope(Envelope {
        ask: 0,
        sealed: sealed(MAX_MESSAGE),
    });
    let refused = Message::from_frame(&longer.to_frame());
    assert!(matches!(refused, Err(CborError::TooLong { .. })));
}
