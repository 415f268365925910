//! One device by itself: its words, guardians and proofs, and what it refuses. What takes two is tested end to end.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::path::Path;

use getrandom::SysRng;
use rand_core::UnwrapErr;
use tempfile::TempDir;
use twin::platform::{Clock, SystemClock};
use twin::proof::{self, ProofError};
use twin::{Error, Fields, GuardiansPlan, RecoverySecret, Twin, Unlock, VaultError, What, combine};
use twin_identity::secret::Secret;
use twin_ops::epoch::EpochKey;
use twin_ops::grant::{Grant, GrantedKey, Recipient, Recipients};
use twin_ops::space::SpaceName;
use twin_ops::store::OpStore;
use twin_vault::Vault;

fn secret(seed: u8) -> RecoverySecret {
    RecoverySecret::from_bytes([seed; 32])
}

fn create(dir: &Path, seed: u8) -> Twin {
    Twin::create(dir, Unlock::Password("word"), secret(seed), "Ada", "phone").unwrap()
}

fn plan(delay_days: u16) -> GuardiansPlan {
    GuardiansPlan {
        name: "family".to_owned(),
        needed: 2,
        guardians: 3,
        delay_days,
        hold_data: false,
    }
}

fn is_wrong<T>(result: twin::Result<T>) -> bool {
    matches!(result, Err(Error::Vault(VaultError::WrongAuthority)))
}

#[test]
fn replaced_words_are_refused_and_the_first_ones_give_the_id() {
    let folder = TempDir::new().unwrap();
    let twin = create(&folder.path().join("phone"), 1);
    twin.check_words(&secret(1)).unwrap();
    assert!(is_wrong(twin.check_words(&secret(2))));
    assert!(is_wrong(twin.replace_words(&secret(2), &secret(3))));
    assert!(twin.standing().unwrap().first_words);
    let notes = twin.space("home").unwrap().collection("notes");
    notes.put("one", Fields::default()).unwrap();

    twin.replace_words(&secret(1), &secret(2)).unwrap();
    assert!(is_wrong(twin.check_words(&secret(1))));
    assert!(is_wrong(twin.name_guardians(&secret(1), &plan(7))));
    // And once more: the words before the last count as little as the first.
    twin.replace_words(&secret(2), &secret(3)).unwrap();
    assert!(is_wrong(twin.check_words(&secret(2))));
    twin.check_words(&secret(3)).unwrap();
    assert!(!twin.standing().unwrap().first_words);
    assert!(notes.get("one").unwrap().is_some());
    let replaced = |what: &&twin::Activity| what.what == What::WordsReplaced;
    assert_eq!(twin.activity().unwrap().iter().filter(replaced).count(), 2);

    // Words that have replaced others do not give the id by themselves; `twin status` says so by `first_words`.
    let alone = |seed: u8| {
        let dir = folder.path().join(format!("alone {seed}"));
        let unlock = Unlock::Password("word");
        Twin::recover_alone(&dir, unlock, secret(seed), "Ada", "phone").unwrap()
    };
    assert_eq!(alone(1).id(), twin.id());
    assert_ne!(alone(3).id(), twin.id());
}

#[test]
fn new_words_open_what_only_the_old_ones_did() {
    let folder = TempDir::new().unwrap();
    let (dir, now) = (folder.path().join("phone"), SystemClock.now());
    drop(create(&dir, 1));
    let open = || Vault::open(&dir, Unlock::Password("word"), now).unwrap();
    // The key of a space that a device had which is lost: the grant to the words is all that is left of it.
    let only = EpochKey::new(Secret::new([7; 32])).id();
    let mut vault = open();
    let log = vault.identity();
    let lost = GrantedKey {
        space: SpaceName::new("attic").unwrap(),
        key: EpochKey::new(Secret::new([7; 32])),
        predecessor: None,
        base: log.base(),
        heads: log.heads(),
    };
    let (keys, rng) = (vault.device_keys(), &mut UnwrapErr(SysRng));
    let grant = Grant::new(log, now, &[lost], &Recipients::Words, keys, rng).unwrap();
    assert_eq!(
        vault.add_grants(&[grant.to_bytes().to_vec()]).unwrap().new,
        1
    );
    drop(vault);

    let twin = Twin::open(&dir, Unlock::Password("word")).unwrap();
    twin.replace_words(&secret(1), &secret(2)).unwrap();
    drop(twin);
    let vault = open();
    let words = secret(2).sealing();
    let opened = vault.all_grants().unwrap().into_iter().flat_map(|bytes| {
        let grant = Grant::from_bytes(&bytes).unwrap();
        let keys = grant.open_with(vault.identity(), Recipient::Words, &words);
        keys.unwrap_or_default()
    });
    let mut opened = opened.map(|granted| granted.key.id());
    assert!(opened.any(|epoch| epoch == only));
}

#[test]
fn guardians_are_named_and_sent_away() {
    let folder = TempDir::new().unwrap();
    let twin = create(&folder.path().join("phone"), 1);
    for delay in [0, 366] {
        let refused = twin.name_guardians(&secret(1), &plan(delay));
        assert!(matches!(refused, Err(Error::Delay)));
    }
    let mut alone = plan(7);
    alone.needed = 1;
    assert!(matches!(
        twin.name_guardians(&secret(1), &alone),
        Err(Error::Split(_))
    ));
    assert_eq!(twin.standing().unwrap().guardians, None);

    let shares = twin.name_guardians(&secret(1), &plan(7)).unwrap();
    assert_eq!(shares.len(), 3);
    assert!(combine(&shares[..1]).is_err() && combine(&shares[1..]).is_ok());
    assert_eq!(twin.standing().unwrap().guardians.unwrap().delay_days, 7);
    // A rotation by the words keeps them.
    twin.replace_words(&secret(1), &secret(2)).unwrap();
    assert!(twin.standing().unwrap().guardians.is_some());
    twin.dismiss_guardians(&secret(2)).unwrap();
    assert_eq!(twin.standing().unwrap().guardians, None);
}

#[test]
fn the_only_phone_stays() {
    let folder = TempDir::new().unwrap();
    let twin = create(&folder.path().join("phone"), 1);
    let me = twin.device_id();
    assert!(matches!(twin.revoke(&me), Err(Error::LastAdmin)));
    assert!(matches!(twin.suspend(&me), Err(Error::ItselfSuspended)));
    assert!(matches!(twin.resume(&me), Err(Error::NotSuspended)));
    assert!(matches!(twin.promote(&me), Err(Error::AdminAlready)));
    let gone = [me].into();
    assert!(matches!(
        twin.take_over(&secret(1), &gone),
        Err(Error::Vault(VaultError::Removed))
    ));
    // No recovery has brought it in: there is nothing to end, and it keeps its name.
    let finished = twin.finish_recovery(&secret(1), "new name");
    assert!(matches!(finished, Err(Error::NothingToFinish)));
    assert_ne!(twin.devices().unwrap()[0].name, "new name");
}

#[test]
fn a_proof_of_before_is_refused_once_a_later_one_was_seen() {
    let folder = TempDir::new().unwrap();
    let twin = create(&folder.path().join("phone"), 1);
    let (id, now) = (twin.id(), SystemClock.now());
    let before = twin.prove().unwrap();
    let seen = proof::check(&id, &before, None, now).unwrap();
    assert_eq!(seen.signer, twin.device_id());
    twin.replace_words(&secret(1), &secret(2)).unwrap();
    let after = twin.prove().unwrap();
    let later = proof::check(&id, &after, Some(&seen.known), now).unwrap();
    assert_eq!(
        proof::check(&id, &before, Some(&later.known), now),
        Err(ProofError::Older)
    );
    assert_eq!(
        proof::check(&id, &after, None, now + 2 * proof::LIFE),
        Err(ProofError::Expired)
    );

    // Whoever has the first words and nothing else makes another history of the same id.
    let dir = folder.path().join("thief");
    let thief = Twin::recover_alone(&dir, Unlock::Password("x"), secret(1), "Ada", "phone");
    let forged = thief.unwrap().prove().unwrap();
    proof::check(&id, &forged, None, now).unwrap();
    assert!(proof::check(&id, &forged, Some(&later.known), now).is_err());
}
