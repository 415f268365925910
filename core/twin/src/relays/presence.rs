//! Where a device is, as it leaves that in a mailbox: its key on the network in hexadecimal, then its addresses, a line
//! each.

use data_encoding::HEXLOWER;
use twin_net::{Address, Node, TransportKey};
use twin_sync::mailbox::envelope::MAX_PRESENCE;

/// How many addresses are told, and taken.
const MAX_ADDRESSES: usize = 16;

/// What a node leaves in a mailbox.
pub fn of(node: &Node) -> Vec<u8> {
    let mut addresses = node.external_addresses();
    addresses.extend(node.addresses());
    addresses.retain(|address| !address.ip().is_loopback());
    to_bytes(node.key(), &addresses)
}

/// As many of the addresses as there is room for.
pub fn to_bytes(key: TransportKey, addresses: &[Address]) -> Vec<u8> {
    let mut text = HEXLOWER.encode(key.as_bytes());
    for address in addresses.iter().take(MAX_ADDRESSES) {
        let line = format!("\n{address}");
        if text.len() + line.len() <= MAX_PRESENCE {
            text.push_str(&line);
        }
    }
    text.into_bytes()
}

/// What was left; lines of later versions are passed over.
pub fn from_bytes(bytes: &[u8]) -> Option<(TransportKey, Vec<Address>)> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut lines = text.lines();
    let key = HEXLOWER.decode(lines.next()?.as_bytes()).ok()?;
    let key = TransportKey::from_bytes(key.try_into().ok()?);
    let addresses = lines.filter_map(|line| line.parse().ok());
    Some((key, addresses.take(MAX_ADDRESSES).collect()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_found() {
        let key = TransportKey::from_bytes([7; 32]);
        let many: Vec<Address> = (1..200)
            .map(|n| format!("[2001:db8::{n:x}]:4001").parse().unwrap())
            .collect();
        let bytes = to_bytes(key, &many);
        assert!(bytes.len() <= MAX_PRESENCE);
        let (found, addresses) = from_bytes(&bytes).unwrap();
        assert_eq!(found, key);
        assert_eq!(addresses, many[..MAX_ADDRESSES]);
        assert_eq!(from_bytes(&to_bytes(key, &[])).unwrap().1, []);
        for nonsense in [&b""[..], b"00", b"\xff", b"zz\n127.0.0.1:1"] {
            assert!(from_bytes(nonsense).is_none());
        }
        let later = [to_bytes(key, &[]), b"\nsomething new".to_vec()].concat();
        assert_eq!(from_bytes(&later).unwrap(), (key, Vec::new()));
    }
}
