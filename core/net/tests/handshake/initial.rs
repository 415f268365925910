//! QUIC's first packets. Their keys follow from the connection id that the client made up (RFC 9001 §5.2), so that
//! anybody on the way can read them; so do we.

use aws_lc_rs::{
    aead::{
        AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey,
        quic::{AES_128, HeaderProtectionKey},
    },
    hkdf::{HKDF_SHA256, KeyType, Prk, Salt},
};

use crate::hello::Reader;

/// The salt of QUIC version 1.
const SALT: [u8; 20] = [
    0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17, 0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad,
    0xcc, 0xbb, 0x7f, 0x0a,
];

/// The streams of handshake messages in the Initial packets of both directions.
pub fn crypto_streams(to_server: &[Vec<u8>], to_client: &[Vec<u8>]) -> (Vec<u8>, Vec<u8>) {
    let mut first = Reader(&to_server[0]);
    first.take(1 + 4);
    let initial = Salt::new(HKDF_SHA256, &SALT).extract(first.vector(1).0);
    (
        Keys::new(&initial, "client in").crypto_stream(to_server),
        Keys::new(&initial, "server in").crypto_stream(to_client),
    )
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// HKDF-Expand-Label of RFC 8446 §7.1, with no context.
fn expand(secret: &Prk, label: &str, length: usize) -> Vec<u8> {
    let label = format!("tls13 {label}");
    let lengths = [0, u8::try_from(length).unwrap(), label.len() as u8];
    let info = [&lengths, label.as_bytes(), &[0]];
    let mut out = vec![0; length];
    let expanded = secret.expand(&info, Length(length)).unwrap();
    expanded.fill(&mut out).unwrap();
    out
}

/// The keys of one direction.
struct Keys {
    key: LessSafeKey,
    iv: Vec<u8>,
    header: HeaderProtectionKey,
}

impl Keys {
    fn new(initial: &Prk, label: &str) -> Self {
        let secret = Prk::new_less_safe(HKDF_SHA256, &expand(initial, label, 32));
        let key = UnboundKey::new(&AES_128_GCM, &expand(&secret, "quic key", 16)).unwrap();
        Self {
            key: LessSafeKey::new(key),
            iv: expand(&secret, "quic iv", 12),
            header: HeaderProtectionKey::new(&AES_128, &expand(&secret, "quic hp", 16)).unwrap(),
        }
    }

    fn crypto_stream(&self, datagrams: &[Vec<u8>]) -> Vec<u8> {
        let mut pieces = Vec::new();
        for datagram in datagrams {
            self.read_datagram(datagram, &mut pieces);
        }
        // Sent again, it is the same again.
        pieces.sort();
        let mut stream = Vec::new();
        for (offset, piece) in pieces {
            assert!(offset <= stream.len(), "a piece is missing");
            stream.extend(piece.into_iter().skip(stream.len() - offset));
        }
        stream
    }

    /// A datagram holds several packets; those with long headers say how long they are.
    fn read_datagram(&self, datagram: &[u8], pieces: &mut Vec<(usize, Vec<u8>)>) {
        let mut rest = Reader(datagram);
        while rest.0.first().is_some_and(|first| first & 0x80 != 0) {
            let packet = rest.0;
            let first = rest.take(1 + 4)[0];
            rest.vector(1);
            rest.vector(1);
            let is_initial = first & 0x30 == 0;
            if is_initial {
                let token = varint(&mut rest);
                rest.take(token);
            }
            let length = varint(&mut rest);
            let header = packet.len() - rest.0.len();
            rest.take(length);
            if is_initial {
                let payload = self.open(&packet[..header + length], header);
                read_frames(&payload, pieces);
            }
        }
    }

    /// Takes the protection off the header (RFC 9001 §5.4), then decrypts what follows it.
    fn open(&self, packet: &[u8], header: usize) -> Vec<u8> {
        let mut packet = packet.to_vec();
        let mask = self
            .header
            .new_mask(&packet[header + 4..header + 20])
            .unwrap();
        packet[0] ^= mask[0] & 0x0f;
        let count = usize::from(packet[0] & 3) + 1;
        let mut nonce = self.iv.clone();
        let from = nonce.len() - count;
        for at in 0..count {
            packet[header + at] ^= mask[1 + at];
            nonce[from + at] ^= packet[header + at];
        }
        let mut payload = packet.split_off(header + count);
        let nonce = Nonce::try_assume_unique_for_key(&nonce).unwrap();
        let opened = self
            .key
            .open_in_place(nonce, Aad::from(packet), &mut payload);
        opened.expect("no key of this connection").to_vec()
    }
}

/// RFC 9000 §16: the first two bits say how many bytes there are.
fn varint(reader: &mut Reader<'_>) -> usize {
    let bytes = 1 << (reader.0[0] >> 6);
    reader.number(bytes) & (usize::MAX >> (64 - (8 * bytes - 2)))
}

/// The frames that an Initial packet may hold: RFC 9000 §12.4.
fn read_frames(payload: &[u8], pieces: &mut Vec<(usize, Vec<u8>)>) {
    let mut frames = Reader(payload);
    while !frames.0.is_empty() {
        match varint(&mut frames) {
            // PADDING, PING
            0 | 1 => {}
            // ACK
            2 => {
                varint(&mut frames);
                varint(&mut frames);
                let ranges = varint(&mut frames);
                for _ in 0..1 + 2 * ranges {
                    varint(&mut frames);
                }
            }
            // CRYPTO
            6 => {
                let offset = varint(&mut frames);
                let length = varint(&mut frames);
                pieces.push((offset, frames.take(length).to_vec()));
            }
            other => panic!("an unexpected frame: {other:#x}"),
        }
    }
}
