//! TLS 1.3's first two messages, as far as they say how a key is agreed on (RFC 8446 §4.1 and §4.2).

pub const CLIENT_HELLO: u8 = 1;
pub const SERVER_HELLO: u8 = 2;
pub const TLS_1_3: u16 = 0x0304;

const SUPPORTED_VERSIONS: u16 = 43;
const KEY_SHARE: u16 = 51;
/// The type of a record that carries handshake messages.
const HANDSHAKE: u8 = 22;

/// A ClientHello or a ServerHello.
#[derive(Debug)]
pub struct Hello {
    pub kind: u8,
    /// The versions of TLS offered, or the one chosen.
    pub versions: Vec<u16>,
    /// The groups of the shares of a key, and how many bytes each has.
    pub shares: Vec<(u16, usize)>,
}

/// Bytes read from the front.
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count);
        self.0 = rest;
        taken
    }

    /// A number of so many bytes, most significant first.
    pub fn number(&mut self, bytes: usize) -> usize {
        let taken = self.take(bytes).iter();
        taken.fold(0, |number, byte| number << 8 | usize::from(*byte))
    }

    /// What is preceded by its length in so many bytes.
    pub fn vector(&mut self, bytes: usize) -> Reader<'a> {
        let length = self.number(bytes);
        Reader(self.take(length))
    }

    pub fn u16(&mut self) -> u16 {
        self.number(2).try_into().unwrap()
    }
}

impl Hello {
    /// Reads the first message of a stream of handshake messages.
    pub fn read(stream: &[u8]) -> Self {
        let mut stream = Reader(stream);
        let kind = stream.take(1)[0];
        let mut body = stream.vector(3);
        // the legacy version, the random bytes, and the session id
        body.take(2 + 32);
        body.vector(1);
        if kind == CLIENT_HELLO {
            // the ciphers and the compressions offered
            body.vector(2);
            body.vector(1);
        } else {
            body.take(2 + 1);
        }
        let mut hello = Self {
            kind,
            versions: Vec::new(),
            shares: Vec::new(),
        };
        let mut extensions = body.vector(2);
        while !extensions.0.is_empty() {
            let name = extensions.u16();
            let mut content = extensions.vector(2);
            match name {
                SUPPORTED_VERSIONS => {
                    let mut all = match kind {
                        CLIENT_HELLO => content.vector(1),
                        _ => content,
                    };
                    while !all.0.is_empty() {
                        hello.versions.push(all.u16());
                    }
                }
                KEY_SHARE => {
                    let mut all = match kind {
                        CLIENT_HELLO => content.vector(2),
                        _ => content,
                    };
                    while !all.0.is_empty() {
                        let group = all.u16();
                        hello.shares.push((group, all.vector(2).0.len()));
                    }
                }
                _ => {}
            }
        }
        hello
    }
}

/// The handshake messages of one direction of TCP: libp2p first agrees on TLS, in the clear, by lines that are
/// preceded by their length; then come records of TLS.
pub fn behind_multistream(stream: &[u8]) -> Vec<u8> {
    let mut stream = Reader(stream);
    while stream.vector(1).0 != b"/tls/1.0.0\n" {}
    let mut messages = Vec::new();
    // Up to the first record of another type; from there on it is encrypted.
    while stream.0.first() == Some(&HANDSHAKE) {
        stream.take(1 + 2);
        messages.extend_from_slice(stream.vector(2).0);
    }
    messages
}
