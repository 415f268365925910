//! Rules broken on purpose, one at a time: the simulation must notice each within 1,000 seeds.
//!
//! `RUSTFLAGS="--cfg twin_break" cargo test -p twin-tests --test broken` is the build in which rules can be broken. A
//! normal build has no way to do so, which is what it tests here.
#![allow(clippy::panic, clippy::unwrap_used, clippy::print_stdout)]

use std::process::Command;

/// Whether this build breaks `rule` when the environment says so, as the simulation sees it.
fn breaks(rule: &str) -> bool {
    let mut sim = Command::new(env!("CARGO_BIN_EXE_sim"));
    let ended = sim
        .args(["--seeds", "0..2"])
        .env("TWIN_BREAK", rule)
        .output()
        .unwrap();
    assert!(
        String::from_utf8_lossy(&ended.stdout).contains(" passed, "),
        "the simulation ran"
    );
    !ended.status.success()
}

/// Nothing is sealed: no run would survive this, if anything but the test build listened.
#[test]
fn only_the_test_build_can_break_rules() {
    assert_eq!(breaks("sealing_off"), cfg!(twin_break));
    assert!(!breaks("a rule that does not exist"));
}

#[cfg(twin_break)]
mod rules {
    use twin_identity::broken;
    use twin_tests::relays;
    use twin_tests::sim::{self, Fault, Scope};

    /// The most seeds until a broken rule is noticed.
    const SEEDS: u64 = 1000;

    /// Breaks a rule until a seed notices; the same seed holds when nothing is broken.
    fn is_noticed(rule: &str, run: impl Fn(u64) -> Option<Fault>) {
        broken::set(Some(rule));
        let mut noticed = (0..SEEDS).filter_map(|seed| Some((seed, run(seed)?)));
        let Some((seed, fault)) = noticed.next() else {
            panic!("{rule} is broken, and {SEEDS} seeds do not notice");
        };
        println!("{rule}: seed {seed}: {fault}");
        broken::set(None);
        if let Some(fault) = run(seed) {
            panic!("seed {seed} fails with nothing broken: {fault}");
        }
    }

    fn when_devices_meet(seed: u64) -> Option<Fault> {
        sim::run(seed, false, Scope::Devices).fault
    }

    fn at_relays(seed: u64) -> Option<Fault> {
        relays::run(seed, false).fault
    }

    macro_rules! rules {
        ($run:ident: $($rule:ident),* $(,)?) => {
            $(#[test]
            fn $rule() {
                is_noticed(stringify!($rule), $run);
            })*
        };
    }

    rules! { when_devices_meet:
        // Identity: who is in the twin.
        any_device_may_add,
        entry_signature_unchecked,
        // Ops: who wrote what.
        op_signature_unchecked,
        chain_unchecked,
        parts_unchecked,
        grants_ignore_roles,
        grants_to_suspended,
        sealing_off,
        // Linking.
        link_code_unchecked,
        link_commitment_unchecked,
        link_proof_unchecked,
        link_never_expires,
        // Sync.
        sync_proof_unchecked,
        sync_tags_unchecked,
        sync_device_unchecked,
        sync_membership_unchecked,
        table_of_unlinked_answered,
        resume_skips_one,
        digest_without_heads,
        digests_not_compared,
        // Vault: who writes, what counts, what a record is.
        old_epochs_go_on,
        lines_are_ignored,
        no_horizon,
        ahead_is_forgotten,
        unread_is_forgotten,
        last_to_arrive_wins,
        puts_are_patches,
        stamp_ignores_what_was_seen,
        copies_not_noticed,
        // What a device does that was set back without being able to know.
        set_back_not_noticed,
        branches_are_kept,
        nothing_said_again,
    }

    rules! { at_relays:
        refused_and_tried_at_once,
    }
}
