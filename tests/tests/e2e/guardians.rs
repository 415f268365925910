//! Guardians: named, asked for their shares, and waited for.

use std::fs;

use serde_json::json;
use twin_tests::e2e::{Device, Lan};

use crate::complaints::{complains, settle};

/// Names guardians on `phone`; where the shares are.
fn name(phone: &Device<'_>, words: &str, set: &str, more: &[&str]) -> Vec<String> {
    let folder = phone.file(set);
    let out = folder.display().to_string();
    let begin = [
        "recovery",
        "guardians",
        "set",
        "--name",
        set,
        "--of",
        "3",
        "--need",
        "2",
        "--out",
        &out,
    ];
    let words_and_more = begin.into_iter().chain(more.iter().copied());
    phone.try_typing(words_and_more, &[words]).well();
    (1..=3)
        .map(|index| format!("{out}/share-{index}"))
        .collect()
}

fn text(share: &str) -> String {
    fs::read_to_string(format!("{share}.txt")).unwrap()
}

/// The words among what `twin recover --guardians` shows.
fn words_in(screen: &str) -> String {
    let mut words: Vec<(usize, &str)> = Vec::new();
    let (_, shown) = screen.split_once("These 24 words").unwrap();
    let tokens: Vec<&str> = shown.split_whitespace().collect();
    for pair in tokens.windows(2) {
        let number = pair[0].strip_suffix('.').filter(|digits| digits.len() <= 2);
        if let Some(number) = number.and_then(|digits| digits.parse().ok()) {
            words.push((number, pair[1]));
        }
    }
    words.sort_unstable();
    assert_eq!(words.len(), 24, "{screen}");
    let words: Vec<&str> = words.into_iter().map(|(_, word)| word).collect();
    words.join(" ")
}

#[test]
fn shares_that_do_not_go_together_are_named() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    let words = phone.create_with_words("Ada");
    let old = name(&phone, &words, "old friends", &[]);
    let shares = name(&phone, &words, "family", &[]);
    let new = Device::new(&lan, "new");
    let mut recovery = new.start_recovery("new", &["--guardians"]);
    let mut enter = |given: &str, answer: &str| {
        recovery.type_line(given);
        recovery.expect(answer);
    };
    // The odd one comes first, and does no harm.
    enter(text(&old[1]).trim(), "That is a share of “old friends”");
    enter("hello", "not a guardian's share");
    enter(&text(&shares[0])[..60], "incomplete or misread");
    enter("/none/such.png", "cannot be read");
    enter(
        text(&shares[0]).trim(),
        "You have 1 of 2.\nNot all of your shares are of that set",
    );
    enter(&format!("{}.png", shares[0]), "given twice");
    enter(text(&old[1]).trim(), "“old friends” was given twice");
    enter(
        &text(&shares[1]).trim().to_lowercase(),
        "shares are complete",
    );
    recovery.expect("or as text: ");
    drop(recovery);
    // Shares say how many they are and to whom they belong, and nothing of the person.
    for share in &shares {
        assert!(!text(share).contains("Ada"));
        let mode = fs::metadata(format!("{share}.txt")).unwrap().permissions();
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o077, 0);
    }
    let counts = [
        "recovery",
        "guardians",
        "set",
        "--name",
        "x",
        "--of",
        "2",
        "--need",
        "3",
    ];
    complains(phone.try_typing(counts, &[&words]), &["guardians"]);
}

#[test]
fn guardians_bring_the_twin_back_after_their_delay() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    let mut laptop = Device::new(&lan, "laptop");
    let words = phone.create_with_words("Ada");
    phone.run(["put", "home/notes/one", "word=kept"]);
    let shares = name(&phone, &words, "family", &[]);
    laptop.link(&phone, "laptop", "companion");
    assert_eq!(
        laptop.status()["guardians"],
        json!({"delay_days": 7, "hold_data": false})
    );
    let id = phone.status()["twin"].clone();

    // Phone and words are lost.
    let mut new = Device::new(&lan, "new");
    let mut recovery = new.start_recovery("new", &["--guardians"]);
    recovery.type_line(&format!("{}.png", shares[2]));
    recovery.type_line(&format!("{}.png", shares[0]));
    let mut meeting = new.meet_helper(recovery, &laptop);
    let words = words_in(&meeting.new.text());
    meeting.phone.type_line(&meeting.code);
    let said = meeting.phone.finish().well().output;
    assert!(
        said.contains("recovery waits until") && said.contains("twin recovery veto"),
        "{said}"
    );
    let said = meeting.new.finish().well().output;
    assert!(said.contains("twin recover --finish"), "{said}");

    // Until then it is nobody.
    assert_eq!(new.status()["state"], "waiting");
    assert_eq!(new.list("home/notes"), json!([]));
    complains(
        new.try_typing(["recover", "--finish"], &[&words]),
        &["does not count yet"],
    );
    assert_eq!(laptop.status()["pending"].as_array().unwrap().len(), 1);
    assert_eq!(laptop.active(), ["laptop", "phone"]);

    for device in [&mut new, &mut laptop] {
        device.set_ahead(8);
    }
    complains(
        new.try_typing(["recover", "--finish"], &[&"abandon ".repeat(24)]),
        &["word"],
    );
    new.try_typing(["recover", "--finish", "--device", "new"], &[&words])
        .well();
    new.meet(&laptop);
    let status = new.status();
    assert_eq!((&status["twin"], &status["state"]), (&id, &json!("active")));
    assert_eq!(new.active(), ["laptop", "new"]);
    assert_eq!(new.fields("home/notes/one")["word"], "kept");
    assert_eq!(laptop.active(), ["laptop", "new"]);
    // The shares are used up, and the new words count.
    assert_eq!(new.status()["guardians"], json!(null));
    new.try_typing(["recovery", "rotate"], &[&words]).well();
}

#[test]
fn who_still_has_the_phone_objects() {
    let lan = Lan::new();
    let mut phone = Device::new(&lan, "phone");
    let laptop = Device::new(&lan, "laptop");
    let words = phone.create_with_words("Ada");
    let shares = name(&phone, &words, "family", &["--delay", "2", "--hold-data"]);
    laptop.link(&phone, "laptop", "companion");
    complains(
        phone.try_run(["recovery", "veto"]),
        &["nothing to object to"],
    );

    // Two guardians and somebody who got at the laptop.
    let thief = Device::new(&lan, "thief");
    let mut recovery = thief.start_recovery("thief", &["--guardians"]);
    recovery.type_line(text(&shares[1]).trim());
    recovery.type_line(text(&shares[2]).trim());
    thief.meet_helper(recovery, &laptop).to_the_end();
    laptop.meet(&phone);
    let status = phone.run(["status"]).output;
    assert!(
        status.contains("Guardians want to give your twin a new phone"),
        "{status}"
    );
    let due = || phone.status()["pending"][0]["due"].as_u64().unwrap();
    let first = due();
    complains(
        phone.try_run(["recovery", "veto", "ffffffffffff"]),
        &["no recovery that waits"],
    );
    phone.run(["recovery", "veto"]);
    assert!(due() > first, "the delay begins anew");
    assert_eq!(phone.status()["pending"][0]["vetoed"], true);
    // The words override: the guardians go, and with them what they wanted.
    phone
        .try_typing(["recovery", "guardians", "dismiss"], &[&words])
        .well();
    assert_eq!(phone.status()["pending"], json!([]));
    phone.set_ahead(30);
    assert_eq!(phone.active(), ["laptop", "phone"]);
    assert_eq!(
        phone
            .run(["recovery", "guardians", "show", "--json"])
            .json()["guardians"],
        json!(null)
    );
}

#[test]
fn a_companion_names_nobody() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    let laptop = Device::new(&lan, "laptop");
    settle(&phone, "Ada");
    laptop.link(&phone, "laptop", "companion");
    let set = [
        "recovery",
        "guardians",
        "set",
        "--name",
        "x",
        "--of",
        "3",
        "--need",
        "2",
    ];
    complains(laptop.try_run(set), &["only the phone"]);
    complains(
        laptop.try_run(["recovery", "guardians", "dismiss"]),
        &["only the phone"],
    );
}
