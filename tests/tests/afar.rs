//! Linking from afar with somebody in between, by chance; and each of its rules, broken on purpose.
#![allow(clippy::panic, clippy::unwrap_used, clippy::print_stdout)]

use twin_tests::afar;

const SEEDS: u64 = 600;

#[test]
fn whoever_does_not_know_the_passcode_gets_nowhere() {
    let mut linked = 0;
    for seed in 0..SEEDS {
        match afar::run(seed) {
            Ok(is_linked) => linked += usize::from(is_linked),
            Err(fault) => panic!("seed {seed}: {fault}"),
        }
    }
    assert!(linked > 200, "{linked} came together");
}

#[cfg(twin_break)]
mod rules {
    use super::*;
    use twin_identity::broken;

    fn is_noticed(rule: &str) {
        broken::set(Some(rule));
        let mut noticed = (0..SEEDS).filter_map(|seed| Some((seed, afar::run(seed).err()?)));
        let (seed, fault) = noticed
            .next()
            .unwrap_or_else(|| panic!("{rule} is broken, and nobody notices"));
        println!("{rule}: seed {seed}: {fault}");
        broken::set(None);
        afar::run(seed).unwrap();
    }

    #[test]
    fn afar_phone_checks_no_proof() {
        is_noticed("afar_phone_checks_no_proof");
    }

    #[test]
    fn afar_new_device_checks_no_proof() {
        is_noticed("afar_new_device_checks_no_proof");
    }

    #[test]
    fn afar_ends_unbound() {
        is_noticed("afar_ends_unbound");
    }

    #[test]
    fn afar_never_expires() {
        is_noticed("afar_never_expires");
    }
}
