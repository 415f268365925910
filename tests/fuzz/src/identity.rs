//! The parsers of twin-identity. Whatever they accept, they must write back as it was.

use std::sync::OnceLock;

use chacha20_rng::ChaCha20Rng;
use chacha20_rng::rand_core::SeedableRng;
use twin_identity::aead::DataKey;
use twin_identity::authority::AuthorityPublic;
use twin_identity::birth::Birth;
use twin_identity::body::{Body, Fork, Guardians, Kept, Line, Removal, Rotate};
use twin_identity::cbor;
use twin_identity::device::{DeviceKeys, DeviceStatement, Role};
use twin_identity::entry::{Entry, Genesis};
use twin_identity::guardian::{CombineError, GuardianSecret, Share, combine};
use twin_identity::id::{DeviceId, TwinId};
use twin_identity::log::{IdentityLog, MAX_DEVICES};
use twin_identity::proof::{LEEWAY, LIFE, check, prove};
use twin_identity::pseudonym::{Algorithm, PublicKey, SiteId};
use twin_identity::seal::{SealingKey, SealingPublic};
use twin_identity::secret::Secret;
use twin_identity::sign::{self, Use};
use twin_identity::words::RecoverySecret;

/// A parser's name, and the function that feeds it.
pub type Target = (&'static str, fn(&[u8]) -> bool);

/// Every parser here.
pub const TARGETS: &[Target] = &[
    ("authority", authority),
    ("cbor", cbor),
    ("data", data),
    ("entry", entry),
    ("genesis", genesis),
    ("log", log),
    ("persona", persona),
    ("proof", proof),
    ("sealed", sealed),
    ("sealing_key", sealing_key),
    ("share", share),
    ("share_text", share_text),
    ("signature", signature),
    ("site_id", site_id),
    ("statement", statement),
    ("twin_id", twin_id),
    ("words", words),
];

/// A twin in whose log everything has been said once.
struct Sample {
    log: IdentityLog,
    phone: DeviceKeys,
    entries: Vec<Entry>,
}

const NOW: u64 = 1_790_000_000_000;

fn recovery() -> RecoverySecret {
    RecoverySecret::from_bytes([1; 32])
}

fn device(number: u8) -> DeviceKeys {
    DeviceKeys::from_secret(&Secret::new([number; 64])).unwrap()
}

fn sample() -> &'static Sample {
    static SAMPLE: OnceLock<Sample> = OnceLock::new();
    SAMPLE.get_or_init(|| {
        let birth = Birth::new(&recovery(), &mut ChaCha20Rng::from_seed([1; 32])).unwrap();
        let log = IdentityLog::new(birth.genesis);
        let mut sample = Sample {
            log,
            phone: birth.device,
            entries: Vec::new(),
        };
        sample.take(birth.entry);
        let twin = *sample.log.twin();
        let statement =
            |number, role| Body::AddDevice(device(number).statement(&twin, role).into());
        let removal = |number, height| Removal {
            device: device(number).id(),
            lines: vec![Line {
                log: [1; 32],
                height,
                head: [2; 32],
            }],
        };
        sample.says(statement(2, Role::Admin));
        sample.says(statement(3, Role::Member));
        sample.says(statement(4, Role::Member));
        sample.says(Body::Suspend(removal(3, 1).into()));
        sample.says(Body::Resume(device(3).id()));
        sample.says(Body::Revoke(removal(4, 1).into()));
        sample.says(Body::Raise(removal(4, 2).into()));
        let rotate = sample.rotation();
        let rotation = sample.log.rotate(rotate, &recovery().authority(1)).unwrap();
        let id = rotation.id;
        sample.take(rotation);
        sample.says(Body::Acknowledge);
        sample.says(Body::Veto(id));
        let branch = removal(2, 3).lines[0];
        let again = Some(Line {
            log: [3; 32],
            ..branch
        });
        sample.says(Body::Fork(Fork { branch, again }.into()));
        sample
    })
}

impl Sample {
    fn says(&mut self, body: Body) {
        let entry = self.log.sign(&body, &self.phone).unwrap();
        self.take(entry);
    }

    /// Some of what is said breaks a rule: for a parser that makes no difference.
    fn take(&mut self, entry: Entry) {
        let _ = self.log.insert(entry.clone());
        self.entries.push(entry);
    }

    /// Keeps the phone, lets device 2 go, names guardians.
    fn rotation(&self) -> Rotate {
        let guardians = guardian_secret();
        Rotate {
            authority: recovery().authority(1).public(),
            next: recovery().authority(2).public().hash(),
            recovery: recovery().sealing().public().unwrap(),
            generation: 1,
            devices: vec![device(5).statement(self.log.twin(), Role::Member)],
            keeps: vec![Kept {
                device: self.phone.id(),
                role: Role::Admin,
                suspended: false,
            }],
            guardians: Some(Guardians {
                authority: guardians.authority().public().hash(),
                delay_days: 7,
                sealing: guardians.sealing().public().ok(),
            }),
            removals: vec![Removal {
                device: device(2).id(),
                lines: Vec::new(),
            }],
            roots: Some(vec![3; 100]),
        }
    }
}

/// Inputs that no golden vector holds in one piece.
#[allow(dead_code, reason = "for the corpus alone")]
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let Sample {
        log,
        phone,
        entries,
    } = sample();
    let twin = log.twin();
    let signed = phone.sign(Use::Entry, twin, &[9; 32]);
    let authority = guardian_secret().authority();
    let verified = authority.sign_entry(twin, &[9; 32]);
    let site = "web:example.org".parse().unwrap();
    let root = recovery().pseudonym_root(0);
    let persona = root.persona(&site, 0, 0, Algorithm::P256);
    let PublicKey::P256 { x, y } = persona.public() else {
        return Vec::new();
    };
    let mut seeds = vec![
        (
            "authority",
            [cbor::encode(&authority.public()), verified].concat(),
        ),
        ("log", log.to_bytes()),
        (
            "persona",
            [x.as_slice(), &y, &persona.sign(b"message")].concat(),
        ),
        ("proof", prove(log, phone, NOW).unwrap()),
        (
            "signature",
            [phone.id().as_bytes().as_slice(), &signed].concat(),
        ),
        ("share", shares()[0].to_bytes().to_vec()),
        (
            "statement",
            cbor::encode(&phone.statement(twin, Role::Admin)),
        ),
    ];
    let entries = entries
        .iter()
        .map(|entry| ("entry", entry.to_bytes().to_vec()));
    seeds.extend(entries);
    seeds
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

/// Any structure: what the check lets through is one item, and no other bytes are that item.
pub fn cbor(bytes: &[u8]) -> bool {
    cbor::check(bytes, 1 << 20).is_ok()
}

/// The beginning of a log.
pub fn genesis(bytes: &[u8]) -> bool {
    let Ok(genesis) = Genesis::from_bytes(bytes) else {
        return false;
    };
    assert_eq!(genesis.to_bytes(), bytes);
    true
}

/// An entry, which a log then judges.
pub fn entry(bytes: &[u8]) -> bool {
    let Ok(entry) = Entry::from_bytes(bytes) else {
        return false;
    };
    assert_eq!(entry.to_bytes(), bytes);
    let mut log = sample().log.clone();
    if log.insert(entry.clone()) == Ok(true) {
        assert_eq!(log.insert(entry), Ok(false));
        assert!(log.devices().len() <= MAX_DEVICES);
    }
    true
}

/// A whole log, of the twin that its genesis makes.
pub fn log(bytes: &[u8]) -> bool {
    let mut decoder = minicbor::Decoder::new(bytes);
    let genesis = decoder.array().and_then(|_| decoder.bytes());
    let genesis = genesis
        .ok()
        .and_then(|bytes| Genesis::from_bytes(bytes).ok());
    let twin = genesis.map_or(*sample().log.twin(), |genesis| genesis.twin_id());
    let Ok(log) = IdentityLog::from_bytes(&twin, bytes) else {
        return false;
    };
    let again = IdentityLog::from_bytes(&twin, &log.to_bytes()).unwrap();
    assert_eq!(again.digest(), log.digest());
    true
}

/// A proof of where a log stands.
pub fn proof(bytes: &[u8]) -> bool {
    let twin = sample().log.twin();
    let Ok(checked) = check(twin, bytes, None, NOW) else {
        return false;
    };
    assert!(checked.expires > NOW && checked.expires <= NOW + LIFE + LEEWAY);
    assert_eq!(check(twin, bytes, Some(&checked.known), NOW), Ok(checked));
    true
}

/// What a device says of itself.
pub fn statement(bytes: &[u8]) -> bool {
    let Ok(statement) = cbor::decode::<DeviceStatement>(bytes, 1 << 20) else {
        return false;
    };
    let _ = statement.verify(sample().log.twin());
    true
}

/// A public authority key, then the signature of an entry.
pub fn authority(bytes: &[u8]) -> bool {
    const KEY_LEN: usize = 1992;
    let Some((key, signature)) = bytes.split_at_checked(KEY_LEN) else {
        return false;
    };
    let Ok(key) = cbor::decode::<AuthorityPublic>(key, KEY_LEN) else {
        return false;
    };
    key.verify_entry(sample().log.twin(), &[9; 32], signature)
        .is_ok()
}

/// A device id (32 bytes), then a signature.
pub fn signature(bytes: &[u8]) -> bool {
    let Some((device, signature)) = bytes.split_first_chunk::<32>() else {
        return false;
    };
    let Ok(signature) = signature.try_into() else {
        return false;
    };
    let device = DeviceId::from_bytes(*device);
    let twin = sample().log.twin();
    sign::verify(&device, Use::Entry, twin, &[9; 32], signature).is_ok()
}

/// A site's view of a person: x and y (32 bytes each), then a signature; x alone is an Ed25519 key.
pub fn persona(bytes: &[u8]) -> bool {
    let Some((x, rest)) = bytes.split_first_chunk::<32>() else {
        return false;
    };
    let _ = PublicKey::Ed25519(*x).verify(b"message", rest);
    let Some((y, rest)) = rest.split_first_chunk::<32>() else {
        return false;
    };
    let key = PublicKey::P256 { x: *x, y: *y };
    key.verify(b"message", rest).is_ok()
}

/// A twin id in both forms.
pub fn twin_id(bytes: &[u8]) -> bool {
    let binary = TwinId::from_bytes(bytes);
    if let Ok(id) = binary {
        assert_eq!(id.as_bytes(), bytes);
        assert_eq!(id.to_string().parse(), Ok(id));
    }
    let textual = text(bytes).parse::<TwinId>();
    if let Ok(id) = textual {
        assert!(text(bytes).trim().eq_ignore_ascii_case(&id.to_string()));
    }
    binary.is_ok() || textual.is_ok()
}

/// The 24 words.
pub fn words(bytes: &[u8]) -> bool {
    let Ok(secret) = RecoverySecret::from_words(text(bytes)) else {
        return false;
    };
    let read: Vec<String> = text(bytes)
        .split_whitespace()
        .map(str::to_lowercase)
        .collect();
    assert_eq!(read.join(" "), *secret.to_words());
    true
}

fn guardian_secret() -> GuardianSecret {
    GuardianSecret::from_bytes([3; 32])
}

/// A set of shares.
fn shares() -> &'static [Share] {
    static SHARES: OnceLock<Vec<Share>> = OnceLock::new();
    SHARES.get_or_init(|| {
        let rng = &mut ChaCha20Rng::from_seed([1; 32]);
        guardian_secret().split("Family", 2, 3, rng).unwrap()
    })
}

/// A guardian's share in CBOR.
pub fn share(bytes: &[u8]) -> bool {
    let Ok(share) = Share::from_bytes(bytes) else {
        return false;
    };
    assert_eq!(*share.to_bytes(), bytes);
    let read = Share::parse(&share.to_text()).unwrap();
    assert_eq!(*read.to_bytes(), bytes);
    let own = [share, Share::from_bytes(&shares()[1].to_bytes()).unwrap()];
    match combine(&own) {
        // Only a true share of the same set combines with it.
        Ok(secret) => assert_eq!(secret, guardian_secret()),
        Err(error) => assert!(!matches!(
            error,
            CombineError::Empty | CombineError::TooFew { .. }
        )),
    }
    true
}

/// A guardian's share as text.
pub fn share_text(bytes: &[u8]) -> bool {
    let Ok(share) = Share::parse(text(bytes)) else {
        return false;
    };
    let mut compact = text(bytes).to_ascii_uppercase();
    compact.retain(|c| !c.is_whitespace());
    assert_eq!(*share.to_text(), compact);
    true
}

/// A site's name in each of its classes.
pub fn site_id(bytes: &[u8]) -> bool {
    let text = text(bytes);
    let ids = [
        text.parse(),
        SiteId::web(text, 443),
        SiteId::web(text, 1),
        SiteId::did(text),
        SiteId::url(text),
    ];
    for id in ids.iter().flatten() {
        assert!(id.as_str().len() <= SiteId::MAX_BYTES);
        assert_eq!(id.as_str().parse(), Ok(id.clone()));
    }
    ids.iter().any(Result::is_ok)
}

/// A public sealing key.
pub fn sealing_key(bytes: &[u8]) -> bool {
    let Ok(key) = SealingPublic::from_bytes(bytes) else {
        return false;
    };
    assert_eq!(key.as_bytes(), bytes);
    let rng = &mut ChaCha20Rng::from_seed([1; 32]);
    key.seal(b"info", b"aad", b"plaintext", rng).unwrap();
    true
}

/// A message sealed to a key: that of the golden vectors, and a device's.
pub fn sealed(bytes: &[u8]) -> bool {
    const SEED: [u8; 32] = [
        0x7f, 0x9c, 0x2b, 0xa4, 0xe8, 0x8f, 0x82, 0x7d, 0x61, 0x60, 0x45, 0x50, 0x76, 0x05, 0x85,
        0x3e, 0xd7, 0x3b, 0x80, 0x93, 0xf6, 0xef, 0xbc, 0x88, 0xeb, 0x1a, 0x6e, 0xac, 0xfa, 0x66,
        0xef, 0x26,
    ];
    assert!(sample().phone.open(b"info", b"aad", bytes).is_err());
    let key = SealingKey::from_seed(Secret::new(SEED));
    key.open(b"digital-twin v1 grant", &[7; 32], bytes).is_ok()
}

/// Sealed data, under the key of the golden vectors.
pub fn data(bytes: &[u8]) -> bool {
    let key: [u8; 32] = std::array::from_fn(|i| 0x80 + i as u8);
    let key = DataKey::new(Secret::new(key));
    ["", "where"].iter().any(|aad| {
        let opened = key.open(aad.as_bytes(), bytes);
        opened.is_ok_and(|opened| opened.len() + 40 == bytes.len())
    })
}
