//! A twin comes back: from its words with a device that is left, from its words alone, and with new words.

use serde_json::json;
use twin_tests::e2e::{Device, Lan};

use crate::complaints::{complains, settle};
use crate::shop::Site;

/// Whether something happened, according to `twin activity`.
fn happened(device: &Device<'_>, what: &str) -> bool {
    let activity = device.run(["activity", "--json"]).json();
    let mut activity = activity.as_array().unwrap().iter();
    activity.any(|one| one["what"] == what)
}

#[test]
fn a_lost_phone_comes_back_from_the_words_with_the_laptops_help() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    let laptop = Device::new(&lan, "laptop");
    let tablet = Device::new(&lan, "tablet");
    let words = phone.create_with_words("Ada");
    phone.run(["put", "home/notes/one", "word=kept"]);
    let mut site = Site::on(&phone);
    let subject = site.log_in("0");
    let port = site.port.clone();
    drop(site);
    laptop.link(&phone, "laptop", "companion");
    tablet.link(&phone, "tablet", "companion");
    laptop.run(["put", "home/notes/two", "word=kept"]);
    laptop.meet(&phone);
    let (id, sites) = (
        phone.status()["twin"].clone(),
        phone.run(["sites", "--json"]).json(),
    );

    // The phone is gone; the laptop knows nothing but what any companion does.
    let new = Device::new(&lan, "new phone");
    let said = new.recover(&laptop, "new phone", &words);
    assert!(
        said.output
            .contains("Recovered. This device is your phone now")
    );
    let status = new.status();
    assert_eq!((&status["twin"], &status["name"]), (&id, &json!("Ada")));
    assert_eq!(new.list("home/notes").as_array().unwrap().len(), 2);
    assert_eq!(new.active(), ["laptop", "new phone", "tablet"]);
    // What was in the keys space, which no companion can open.
    for what in ["created", "linked", "logged_in", "recovered"] {
        assert!(happened(&new, what), "{what}");
    }
    assert_eq!(new.run(["sites", "--json"]).json(), sites);
    assert_eq!(Site::at(&new, &port).log_in("0"), subject);

    // Whoever has the old phone is out: nobody takes what it writes, and it learns nothing.
    phone.run(["put", "home/notes/late", "word=thief"]);
    new.run(["put", "home/notes/secret", "word=new"]);
    let _ = phone.try_meeting(&laptop);
    let _ = phone.try_meeting(&new);
    for device in [&laptop, &new] {
        let notes = device.list("home/notes").to_string();
        assert!(
            !notes.contains("late") && !notes.contains("thief"),
            "{notes}"
        );
    }
    assert!(!phone.list("home/notes").to_string().contains("secret"));

    // The tablet was not there. It hears of the new phone from the laptop, and goes on without being linked again.
    tablet.run(["put", "home/notes/three", "word=kept"]);
    tablet.meet(&laptop);
    tablet.meet(&new);
    assert_eq!(tablet.active(), ["laptop", "new phone", "tablet"]);
    assert_eq!(tablet.list("home/notes"), new.list("home/notes"));
    assert_eq!(new.fields("home/notes/three")["word"], "kept");
    assert_eq!(tablet.fields("home/notes/secret")["word"], "new");
}

#[test]
fn with_nothing_left_the_words_give_the_same_id_and_pseudonyms() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    let words = phone.create_with_words("Ada");
    let id = phone.status()["twin"].clone();
    let mut site = Site::on(&phone);
    let subjects = [site.log_in("0"), site.log_in("1")];
    let port = site.port.clone();
    drop(site);

    let new = Device::new(&lan, "new");
    let alone = ["recover", "--alone", "--name", "Ada"];
    complains(new.try_typing(alone, &["n"]), &["you said no"]);
    complains(
        new.try_typing(alone, &["y", "abandon art"]),
        &["nothing was typed"],
    );
    let shuffled: Vec<&str> = words.split(' ').rev().collect();
    let slip = words.replacen(' ', " zzz ", 1);
    complains(
        new.try_typing(alone, &["y", &slip]),
        &["word number 2", "spelling"],
    );
    let given = new.try_typing(alone, &["y", &shuffled.join(" ")]);
    assert!(!given.status.success() || words.split(' ').rev().eq(words.split(' ')));
    assert!(!new.home().join("vault.db").exists());

    // Words that have replaced others lead elsewhere: whoever sees that stops before anything is made.
    let other = "abandon ".repeat(23) + "art";
    let mut wrong = new.start(alone);
    for line in ["y", &other] {
        wrong.type_line(line);
    }
    wrong.expect("These words lead to the twin twin1");
    assert_ne!(json!(format!("twin1{}", wrong.line())), id);
    wrong.type_line("n");
    complains(wrong.finish(), &["you said no"]);
    assert!(!new.home().join("vault.db").exists());

    // On several lines, in capitals.
    let (first, rest) = words.split_at(words.find(' ').unwrap());
    let said = new
        .try_typing(alone, &["y", &first.to_uppercase(), rest, "y"])
        .well();
    assert!(said.output.contains("Ada is back"));
    let leads_to = format!("These words lead to the twin {}", id.as_str().unwrap());
    assert!(said.output.contains(&leads_to), "{}", said.output);
    assert_eq!(new.status()["twin"], id);
    let mut site = Site::at(&new, &port);
    assert_eq!([site.log_in("0"), site.log_in("1")], subjects);
    assert_eq!(new.list("home/notes"), json!([]));
    complains(
        new.try_typing(alone, &[]),
        &["there is a vault here already"],
    );
}

#[test]
fn the_words_of_another_twin_help_nobody() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    let laptop = Device::new(&lan, "laptop");
    let bob = Device::new(&lan, "bob");
    settle(&phone, "Ada");
    laptop.link(&phone, "laptop", "companion");
    let others = bob.create_with_words("Bob");
    let new = Device::new(&lan, "new");
    let mut recovery = new.start_recovery("new", &[]);
    recovery.type_line(&others);
    let mut meeting = new.meet_helper(recovery, &laptop);
    meeting.phone.type_line(&meeting.code);
    complains(meeting.new.finish(), &["not the words"]);
    complains(meeting.phone.finish(), &["could not finish"]);
    assert!(!new.home().join("vault.db").exists());
    assert_eq!(laptop.active(), ["laptop", "phone"]);

    // A linking code is not a recovery code, nor the other way round.
    let (mut offer, _) = new.offer("new");
    let mut help = laptop.start(["recovery", "help", &new.picture()]);
    help.expect("Type the six digits");
    offer.expect("Join the twin “Ada”");
    offer.type_line("y");
    offer.expect("Type this code on the phone:  ");
    help.type_line(&offer.line());
    complains(offer.finish(), &["wants something else", "twin recover"]);
    help.finish().badly();
    assert_eq!(laptop.active(), ["laptop", "phone"]);
}

#[test]
fn replaced_words_are_worth_nothing() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    let laptop = Device::new(&lan, "laptop");
    let old = phone.create_with_words("Ada");
    laptop.link(&phone, "laptop", "companion");
    let mut site = Site::on(&phone);
    let subject = site.log_in("0");
    complains(
        laptop.try_typing(["recovery", "rotate"], &[&old]),
        &["only the phone"],
    );

    let replaced = phone
        .try_typing(["recovery", "rotate", "--json"], &[&old])
        .well();
    let mut lines = replaced.output.lines();
    let shown: serde_json::Value = serde_json::from_str(lines.next().unwrap()).unwrap();
    let new = shown["words"].as_str().unwrap().to_owned();
    assert_ne!(new, old);
    let to_move = replaced.json()["to_move"].clone();
    assert_eq!(
        to_move[0]["site"],
        format!("did:web:localhost%3A{}", site.port)
    );
    assert_eq!(
        (&to_move[0]["to_move"], to_move.as_array().unwrap().len()),
        (&json!(true), 1)
    );

    // The site knows the person as before, until they move there.
    assert_eq!(site.log_in("0"), subject);
    let place = to_move[0]["site"].as_str().unwrap();
    phone.run(["sites", "move", place]);
    let moved = site.log_in("0");
    assert_ne!(moved, subject);
    assert_eq!(phone.run(["sites", "--json"]).json()[0]["to_move"], false);
    complains(
        phone.try_run(["sites", "move", place]),
        &["nothing to move"],
    );
    assert_eq!(site.log_in("0"), moved);

    // Whoever finds the old words can do nothing where the new ones are known.
    assert_eq!(phone.status()["unheard"], true);
    complains(
        laptop.try_typing(["device", "replace", "--yes", "phone"], &[&new]),
        &["not the words", "has not synced"],
    );
    laptop.meet(&phone);
    assert_eq!(phone.status()["unheard"], false);
    for (device, words) in [
        (&phone, &["recovery", "rotate"][..]),
        (&phone, &["recovery", "guardians", "dismiss"]),
        (&laptop, &["device", "replace", "--yes", "phone"]),
    ] {
        let words = words.iter().copied();
        complains(
            device.try_typing(words, &[&old]),
            &["not the words", "newest"],
        );
    }
    let thief = Device::new(&lan, "thief");
    let mut recovery = thief.start_recovery("thief", &[]);
    recovery.type_line(&old);
    let mut meeting = thief.meet_helper(recovery, &laptop);
    meeting.phone.type_line(&meeting.code);
    complains(meeting.new.finish(), &["not the words", "newest"]);
    meeting.phone.finish().badly();

    // The new ones bring everything back, both generations of pseudonyms included.
    let port = site.port.clone();
    drop(site);
    let other = Device::new(&lan, "other");
    other.recover(&laptop, "other", &new);
    assert_eq!(Site::at(&other, &port).log_in("0"), moved);
    assert_eq!(other.active(), ["laptop", "other"]);
}

#[test]
fn words_are_typed_unseen() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    let words = phone.create_with_words("Ada");
    let mut rotate = phone.on_terminal(["recovery", "rotate"]);
    rotate.expect_unseen("Password: ");
    rotate.type_line("phone");
    let (first, rest) = words.split_once(' ').unwrap();
    rotate.expect_unseen("Word 1 of 24: ");
    rotate.type_line(first);
    rotate.expect_unseen("Word 2 of 24: ");
    rotate.type_line("zzz");
    rotate.expect("Word 2 is not in the list");
    rotate.expect_unseen("Word 2 of 24: ");
    rotate.type_line(rest);
    rotate.expect("These 24 words are your twin.");
    rotate.expect("type word number 4:");
    // Whoever stops here keeps the old words.
    rotate.interrupt();
    let finished = rotate.finish_by_itself();
    assert!(!finished.output.contains("zzz") && !finished.output.contains(rest));
    phone
        .try_typing(["recovery", "guardians", "dismiss"], &[&words])
        .well();
}
