//! Sealed exports: made, broken off, checked, taken in, and a twin that comes back from one.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::collections::BTreeSet;
use std::fs;
use std::ops::ControlFlow;
use std::path::PathBuf;

use tempfile::TempDir;
use twin::{
    BackupError, Error, Fields, GuardiansPlan, Means, Progress, RecoverySecret, Restored, Scope,
    SpaceName, Twin, Unlock, Value, VaultError, What, combine,
};
use twin_identity::device::{DeviceKeys, Role};
use twin_identity::log::IdentityLog;
use twin_ops::backup::{FileKey, Header, Item, Sealer};
use twin_ops::store::OpStore;
use twin_vault::Vault;

const FRAME: usize = twin_ops::backup::FRAME_LEN;

fn secret(seed: u8) -> RecoverySecret {
    RecoverySecret::from_bytes([seed; 32])
}

fn quiet() -> impl FnMut(Progress) -> ControlFlow<()> {
    |_| ControlFlow::Continue(())
}

/// A folder with a twin in `phone`.
struct Scene {
    folder: TempDir,
    twin: Twin,
}

impl Scene {
    fn new(seed: u8) -> Self {
        let folder = TempDir::new().unwrap();
        let dir = folder.path().join("phone");
        let unlock = Unlock::Password("word");
        let twin = Twin::create(&dir, unlock, secret(seed), "Ada", "phone").unwrap();
        Self { folder, twin }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn put(&self, space: &str, id: &str, text: &str) {
        put(&self.twin, space, id, text);
    }

    fn export(&self, name: &str) -> twin::Result<twin::Sealed> {
        self.twin
            .export_sealed(&self.path(name), &Scope::Twin, &mut quiet())
    }

    /// A twin that comes back from `file` in the folder `name`.
    fn recover(&self, file: &str, name: &str, means: Means) -> twin::Result<Restored> {
        let (dir, file) = (self.path(name), self.path(file));
        let unlock = Unlock::Password("new");
        Twin::recover_from_backup(&dir, unlock, &file, means, name, &mut quiet())
    }

    /// The same, when nothing may be there afterwards.
    fn refuses(&self, file: &str, means: Means) -> Error {
        let refused = self.recover(file, "refused", means).unwrap_err();
        assert!(!Twin::exists(&self.path("refused")));
        refused
    }

    /// A companion of the twin, with all that the phone has.
    fn companion(&self, name: &str) -> Twin {
        let phone = self.path("phone");
        let dir = self.path(name);
        let rng = &mut rand_core::UnwrapErr(getrandom::SysRng);
        let keys = DeviceKeys::random(rng).unwrap();
        let mut vault = Vault::open(&phone, Unlock::Password("word"), 0).unwrap();
        let statement = keys.statement(vault.twin(), Role::Member);
        let admission = vault.admit(&statement, rng).unwrap();
        drop(vault);
        let log = IdentityLog::from_bytes(&self.twin.id(), &admission.identity).unwrap();
        let unlock = Unlock::Password("companion");
        Vault::create_linked(&dir, unlock, &keys, &log, &admission.grants, rng).unwrap();
        Twin::open(&dir, Unlock::Password("companion")).unwrap()
    }
}

fn put(twin: &Twin, space: &str, id: &str, text: &str) {
    let fields = Fields([("text".to_owned(), Value::from(text))].into());
    let notes = twin.space(space).unwrap().collection("notes");
    notes.put(id, fields).unwrap();
}

fn ids(twin: &Twin, space: &str) -> BTreeSet<String> {
    let notes = twin.space(space).unwrap().collection("notes");
    let records = notes.list_all(100).unwrap().into_iter();
    records.map(|record| record.id).collect()
}

fn set<const N: usize>(ids: [&str; N]) -> BTreeSet<String> {
    ids.map(ToOwned::to_owned).into()
}

fn is_cut(error: &Error) -> bool {
    matches!(error, Error::Backup(BackupError::Cut(_)))
}

#[test]
fn everything_comes_back_from_a_file_and_the_words() {
    let scene = Scene::new(1);
    scene.put("home", "one", "kept");
    scene.put("work", "two", "kept");
    let written = scene.export("backup").unwrap();
    assert_eq!(written.kept, 0);
    assert_eq!(
        written.bytes,
        fs::metadata(scene.path("backup")).unwrap().len()
    );
    assert!(!scene.path("backup.unfinished").exists());
    scene.put("home", "late", "after the export");

    let restored = scene
        .recover("backup", "new", Means::Words(secret(1)))
        .unwrap();
    let new = restored.twin;
    assert_eq!(restored.taken.new, written.operations);
    assert_eq!((restored.taken.refused, restored.taken.unknown), (0, 0));
    assert_eq!(restored.contained.operations, written.operations);
    assert_eq!(restored.contained.by, scene.twin.device_id());
    assert_eq!(
        (new.id(), new.name().unwrap()),
        (scene.twin.id(), "Ada".to_owned())
    );
    assert!(new.is_admin());
    assert_eq!(ids(&new, "home"), set(["one"]));
    assert_eq!(ids(&new, "work"), set(["two"]));
    let devices = new.devices().unwrap();
    let active = devices
        .iter()
        .filter(|device| device.state == twin::DeviceState::Active);
    assert_eq!(
        active.map(|device| device.id).collect::<Vec<_>>(),
        [new.device_id()]
    );
    let activity: Vec<What> = new
        .activity()
        .unwrap()
        .into_iter()
        .map(|one| one.what)
        .collect();
    assert!(activity.contains(&What::Created) && activity.contains(&What::Recovered));
    // The roots of all pseudonyms are there, and the next rotation is the new phone's.
    new.check_words(&secret(1)).unwrap();
    new.replace_words(&secret(1), &secret(2)).unwrap();
    new.check_vault().unwrap().is_whole().then_some(()).unwrap();
    put(&new, "home", "new", "goes on");
    assert_eq!(ids(&new, "home"), set(["new", "one"]));

    // What the phone that is gone wrote after the export does not count, but is not lost either.
    drop(new);
    let new_dir = scene.path("new");
    let mut new = Vault::open(&new_dir, Unlock::Password("new"), 0).unwrap();
    let old = Vault::open(&scene.path("phone"), Unlock::Password("word"), 0).unwrap();
    let home = SpaceName::new("home").unwrap().id(old.twin());
    let heads = old.heads().unwrap().into_iter();
    let mut logs = heads.map(|head| (head, old.origin(&head.log).unwrap().unwrap()));
    let (head, origin) = logs.find(|(_, origin)| origin.space == home).unwrap();
    let run = old.read_run(&head.log, 0, usize::MAX).unwrap();
    let taken = new.append_run(0, &origin, &run).unwrap();
    assert_eq!((taken.new, taken.refused), (0, 1));
}

#[test]
fn a_broken_off_export_is_gone_on_with() {
    let scene = Scene::new(1);
    let long = "x".repeat(9000);
    for n in 0..60 {
        scene.put("home", &format!("{n:02}"), &long);
    }
    let written = scene.export("whole").unwrap();
    let whole = fs::read(scene.path("whole")).unwrap();
    let header = written.bytes as usize % FRAME;
    assert!(whole.len() > 8 * FRAME, "{} bytes", whole.len());
    let unfinished = |name: &str, bytes: &[u8]| {
        fs::write(scene.path(&format!("{name}.unfinished")), bytes).unwrap();
    };
    // Whatever was written last: half a header, some chunks, half a chunk, all but the name.
    let cuts = [0, 5, 300, header, header + FRAME, header + 3 * FRAME + 7];
    let cuts = cuts
        .into_iter()
        .chain([5, 7, 8].map(|n| header + n * FRAME + 60_000));
    for (n, cut) in cuts.chain([whole.len() - 1, whole.len()]).enumerate() {
        let name = format!("{n}");
        unfinished(&name, &whole[..cut]);
        scene.put("home", &format!("late {n}"), "while it was broken off");
        let again = scene.export(&name).unwrap();
        assert!(again.kept <= cut as u64);
        // At most what one item takes is written once more.
        let kept_enough = cut < header + 2 * FRAME || again.kept + 6 * FRAME as u64 > cut as u64;
        assert!(kept_enough, "{} of {cut}", again.kept);
        let late = if again.kept == 0 { n as u64 + 1 } else { 0 };
        assert_eq!(again.operations, written.operations + late, "cut at {cut}");
        let file = scene.path(&name);
        Twin::check_sealed(&file, &mut quiet()).unwrap();
        let inside = scene
            .twin
            .look_into_sealed(&file, None, &mut quiet())
            .unwrap();
        assert_eq!(inside.operations, again.operations);
        assert!(!scene.path(&format!("{name}.unfinished")).exists());
    }

    // Torn in the middle: what is before stays.
    let mut torn = whole.clone();
    torn[header + 4 * FRAME + 100] ^= 1;
    unfinished("torn", &torn);
    let again = scene.export("torn").unwrap();
    assert!(again.kept > 0 && again.kept <= (header + 4 * FRAME) as u64);
    // Another scope, or other devices: it begins anew.
    unfinished("space", &whole[..header + 5 * FRAME]);
    let space = Scope::Space(SpaceName::new("home").unwrap());
    let file = scene.path("space");
    let made = scene
        .twin
        .export_sealed(&file, &space, &mut quiet())
        .unwrap();
    assert_eq!(made.kept, 0);
    let laptop = scene.companion("laptop");
    unfinished("linked", &whole[..header + 5 * FRAME]);
    assert_eq!(scene.export("linked").unwrap().kept, 0);
    laptop
        .look_into_sealed(&scene.path("linked"), None, &mut quiet())
        .unwrap();

    // Something was erased since: that is not to be in what is made afterwards.
    scene.export("before").unwrap();
    let before = fs::read(scene.path("before")).unwrap();
    unfinished("kept", &before[..before.len() - 1]);
    assert!(scene.export("kept").unwrap().kept > 0);
    let notes = scene.twin.space("home").unwrap().collection("notes");
    notes.erase("07").unwrap();
    unfinished("erased", &before[..before.len() - 1]);
    assert_eq!(scene.export("erased").unwrap().kept, 0);

    // What another has begun, or anything else, is left alone.
    let other = Scene::new(2);
    for (name, bytes) in [("theirs", &whole[..]), ("text", b"shopping list")] {
        let path = other.path(&format!("{name}.unfinished"));
        fs::write(&path, bytes).unwrap();
        assert!(matches!(other.export(name), Err(Error::ExportNotOurs)));
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }
    assert!(matches!(scene.export("whole"), Err(Error::ExportExists)));
    assert_eq!(fs::read(scene.path("whole")).unwrap(), whole);
}

#[cfg(unix)]
#[test]
fn only_its_owner_reads_the_file_and_a_link_is_not_followed() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let scene = Scene::new(1);
    fs::write(scene.path("precious"), "").unwrap();
    symlink(scene.path("precious"), scene.path("backup.unfinished")).unwrap();
    assert!(matches!(scene.export("backup"), Err(Error::ExportNotOurs)));
    assert_eq!(fs::read(scene.path("precious")).unwrap(), b"");
    fs::remove_file(scene.path("backup.unfinished")).unwrap();
    fs::write(scene.path("backup.unfinished"), "").unwrap();
    scene.export("backup").unwrap();
    let mode = fs::metadata(scene.path("backup"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    // Nor is a link that leads nowhere replaced.
    symlink(scene.path("nowhere"), scene.path("link")).unwrap();
    assert!(matches!(scene.export("link"), Err(Error::ExportExists)));
    assert!(scene.path("link").is_symlink() && !scene.path("nowhere").exists());
}

#[test]
fn two_programs_do_not_write_one_export() {
    let scene = Scene::new(1);
    let held = fs::File::create(scene.path("backup.unfinished")).unwrap();
    held.lock().unwrap();
    assert!(matches!(scene.export("backup"), Err(Error::ExportBusy)));
    drop(held);
    scene.export("backup").unwrap();
}

#[test]
fn nothing_of_the_person_can_be_read_in_it() {
    let scene = Scene::new(1);
    scene.put("canary-space", "canary-id", "canary-text");
    scene.export("backup").unwrap();
    let one = Scope::Space(SpaceName::new("canary-space").unwrap());
    let path = scene.path("one");
    scene.twin.export_sealed(&path, &one, &mut quiet()).unwrap();
    let vault = Vault::open(&scene.path("phone"), Unlock::Password("word"), 0).unwrap();
    let log = vault.heads().unwrap()[0].log;
    let ids = [
        scene.twin.id().as_bytes()[1..].to_vec(),
        scene.twin.device_id().as_bytes().to_vec(),
        vault.device_keys().public().sealing.as_bytes()[..64].to_vec(),
        vault.identity().recovery().unwrap().as_bytes()[..64].to_vec(),
        vault.identity().base().as_bytes().to_vec(),
        log.as_bytes().to_vec(),
        vault.read_run(&log, 0, usize::MAX).unwrap()[0][40..90].to_vec(),
    ];
    let texts = ["canary", "notes", "Ada", "phone", "~keys", "~members"];
    let texts = texts.map(|text| text.as_bytes().to_vec());
    for file in ["backup", "one"] {
        let bytes = fs::read(scene.path(file)).unwrap();
        let seen = |what: &Vec<u8>| bytes.windows(what.len()).any(|window| window == what);
        // Three letters stand anywhere by chance once in a hundred files.
        let told = ids.iter().chain(&texts).filter(|what| what.len() > 3);
        assert_eq!(told.filter(|what| seen(what)).count(), 0, "{file}");
    }
}

#[test]
fn what_is_cut_damaged_or_something_else_is_named_and_makes_nothing() {
    let scene = Scene::new(1);
    scene.put("home", "one", "kept");
    let len = scene.export("backup").unwrap().bytes as usize;
    let whole = fs::read(scene.path("backup")).unwrap();
    let mut damaged = whole.clone();
    damaged[len / 2] ^= 1;
    let cases: [(&str, Vec<u8>); 5] = [
        ("cut", whole[..len - 1].to_vec()),
        ("damaged", damaged),
        ("longer", [whole.clone(), vec![0]].concat()),
        ("newer", [&whole[..8], &[0, 9], &whole[10..]].concat()),
        ("foreign", b"{\"space\":\"home\"}".to_vec()),
    ];
    for (what, bytes) in cases {
        fs::write(scene.path(what), bytes).unwrap();
        let file = scene.path(what);
        let errors = [
            Twin::check_sealed(&file, &mut quiet()).unwrap_err(),
            scene
                .twin
                .import_sealed(&file, None, &mut quiet())
                .unwrap_err(),
            scene.refuses(what, Means::Words(secret(1))),
        ];
        let named = |error: &Error| match error {
            Error::Backup(BackupError::Cut(at)) => what == "cut" && *at == len as u64 - 1,
            Error::Backup(BackupError::Damaged(at)) => what == "damaged" && *at > 0,
            Error::Backup(BackupError::TooLong(at)) => what == "longer" && *at == len as u64,
            Error::Backup(BackupError::Newer) => what == "newer",
            Error::Backup(BackupError::Foreign) => what == "foreign",
            _ => false,
        };
        assert!(errors.iter().all(named), "{what}: {errors:?}");
    }
    assert!(Twin::is_sealed(&scene.path("cut")).unwrap());
    assert!(!Twin::is_sealed(&scene.path("foreign")).unwrap());
    fs::write(scene.path("empty"), "").unwrap();
    assert!(!Twin::is_sealed(&scene.path("empty")).unwrap());
    assert!(is_cut(
        &Twin::check_sealed(&scene.path("empty"), &mut quiet()).unwrap_err()
    ));
}

#[test]
fn only_the_words_of_its_day_open_it() {
    let scene = Scene::new(1);
    scene.put("home", "one", "kept");
    scene.export("old").unwrap();
    scene.twin.replace_words(&secret(1), &secret(2)).unwrap();
    scene.export("new").unwrap();
    for (file, wrong) in [("old", 2), ("new", 1), ("old", 3)] {
        let refused = scene.refuses(file, Means::Words(secret(wrong)));
        assert!(matches!(refused, Error::BackupMeans), "{refused:?}");
    }
    let restored = scene
        .recover("new", "back", Means::Words(secret(2)))
        .unwrap();
    assert_eq!(restored.twin.id(), scene.twin.id());
    assert_eq!(ids(&restored.twin, "home"), set(["one"]));
    // Words that replaced others: the pseudonyms of both generations are there.
    restored.twin.replace_words(&secret(2), &secret(4)).unwrap();
    let there = scene
        .recover("new", "back", Means::Words(secret(2)))
        .unwrap_err();
    assert!(matches!(there, Error::Vault(VaultError::Exists)));
    assert!(matches!(
        scene
            .recover("new", "", Means::Words(secret(2)))
            .unwrap_err(),
        Error::Name
    ));
    let older = scene
        .recover("old", "older", Means::Words(secret(1)))
        .unwrap();
    assert_eq!(older.twin.id(), scene.twin.id());
}

#[test]
fn one_space_goes_along_alone_and_brings_no_twin_back() {
    let scene = Scene::new(1);
    let laptop = scene.companion("laptop");
    scene.put("home", "one", "kept");
    scene.put("work", "two", "kept");
    let home = Scope::Space(SpaceName::new("home").unwrap());
    let file = scene.path("home");
    let written = scene
        .twin
        .export_sealed(&file, &home, &mut quiet())
        .unwrap();
    let inside = laptop.look_into_sealed(&file, None, &mut quiet()).unwrap();
    assert_eq!(inside.space, Some(SpaceName::new("home").unwrap()));
    assert_eq!(
        (inside.operations, inside.logs),
        (written.operations, 2),
        "home, ~members"
    );
    let taken = laptop.import_sealed(&file, None, &mut quiet()).unwrap();
    assert_eq!((taken.new, taken.here), (written.operations, 0));
    assert_eq!(
        (ids(&laptop, "home"), ids(&laptop, "work")),
        (set(["one"]), set([]))
    );
    let spaces = laptop.spaces().unwrap();
    assert_eq!(
        spaces,
        [SpaceName::new("home").unwrap()],
        "no key of another one"
    );
    assert_eq!(laptop.name().unwrap(), "Ada");
    let refused = scene.refuses("home", Means::Words(secret(1)));
    assert!(matches!(refused, Error::BackupSpace), "{refused:?}");
    let nowhere = Scope::Space(SpaceName::new("nowhere").unwrap());
    let refused = scene
        .twin
        .export_sealed(&scene.path("n"), &nowhere, &mut quiet());
    assert!(matches!(refused, Err(Error::NoSuchSpace)));
    assert!(!scene.path("n.unfinished").exists());
}

#[test]
fn a_file_is_taken_in_once_and_by_who_may() {
    let scene = Scene::new(1);
    let laptop = scene.companion("laptop");
    scene.put("home", "one", "kept");
    let written = scene.export("backup").unwrap();
    let file = scene.path("backup");
    let first = laptop.import_sealed(&file, None, &mut quiet()).unwrap();
    assert_eq!(
        (first.new, first.here, first.refused),
        (written.operations, 0, 0)
    );
    let second = laptop.import_sealed(&file, None, &mut quiet()).unwrap();
    assert_eq!((second.new, second.here), (0, written.operations));
    assert_eq!(ids(&laptop, "home"), set(["one"]));

    // A device that came later has the words, or nothing.
    let tablet = scene.companion("tablet");
    let refused = tablet.import_sealed(&file, None, &mut quiet());
    assert!(matches!(refused, Err(Error::BackupDevice)));
    let (right, wrong) = (secret(1), secret(2));
    let refused = tablet.import_sealed(&file, Some(&wrong), &mut quiet());
    assert!(matches!(refused, Err(Error::BackupMeans)));
    tablet
        .import_sealed(&file, Some(&right), &mut quiet())
        .unwrap();
    assert_eq!(ids(&tablet, "home"), set(["one"]));

    // Nobody takes in another's, even where the words fit.
    let other = Scene::new(2);
    let refused = other.twin.import_sealed(&file, Some(&right), &mut quiet());
    assert!(matches!(refused, Err(Error::BackupTwin)));
    assert_eq!(ids(&other.twin, "home"), set([]));

    // What comes before damage is taken in, and the rest once it is mended.
    let watch = scene.companion("watch");
    // More than one run of operations, so that some come before the cut, whichever log comes first.
    for n in 0..60 {
        scene.put("home", &format!("{n:02}"), &"x".repeat(9000));
    }
    let len = scene.export("long").unwrap().bytes as usize;
    let whole = fs::read(scene.path("long")).unwrap();
    fs::write(scene.path("cut"), &whole[..len - FRAME - 100]).unwrap();
    let cut = watch.import_sealed(&scene.path("cut"), None, &mut quiet());
    assert!(is_cut(&cut.unwrap_err()));
    let rest = watch
        .import_sealed(&scene.path("long"), None, &mut quiet())
        .unwrap();
    assert!(rest.new > 0 && rest.here > 0, "{rest:?}");
    assert_eq!(ids(&watch, "home"), ids(&scene.twin, "home"));
}

/// A file that somebody has sealed to the words without having a key of the twin: what is in it was never signed.
#[test]
fn a_forged_file_brings_nothing_back() {
    let scene = Scene::new(1);
    scene.put("home", "one", "kept");
    scene.export("backup").unwrap();
    let vault = Vault::open(&scene.path("phone"), Unlock::Password("word"), 0).unwrap();
    let rng = &mut rand_core::UnwrapErr(getrandom::SysRng);
    let key = FileKey::random(rng);
    let words = vault.identity().recovery().unwrap().clone();
    let device = vault.device_keys().public().sealing.clone();
    let header = Header::seal(&key, &[words, device], rng).unwrap();
    let stranger = DeviceKeys::random(rng).unwrap();
    let nothing = twin_ops::backup::heights([]);
    let log = vault.identity();
    let manifest = twin_ops::backup::Manifest::sign(key.id(), 0, None, log, nothing, &stranger);
    let entries = log.entries().values();
    let entries = entries
        .map(|entry| entry.to_bytes().to_vec().into())
        .collect();
    let items = [Item::Manifest(Box::new(manifest)), Item::Entries(entries)];
    let content: Vec<u8> = items.iter().flat_map(Item::to_bytes).collect();
    let (mut bytes, place) = header.begin();
    let mut sealer = Sealer::new(&key, place);
    bytes.extend(sealer.seal(&content, Some(0), true, rng).unwrap());
    bytes.extend(sealer.trailer());
    fs::write(scene.path("forged"), &bytes).unwrap();
    Twin::check_sealed(&scene.path("forged"), &mut quiet()).unwrap();
    let refused = scene.refuses("forged", Means::Words(secret(1)));
    assert!(
        matches!(refused, Error::Backup(BackupError::Content(_))),
        "{refused:?}"
    );
    // Nor is it gone on with.
    fs::write(scene.path("next.unfinished"), &bytes).unwrap();
    assert_eq!(scene.export("next").unwrap().kept, 0);
    let next = scene.path("next");
    scene
        .twin
        .look_into_sealed(&next, None, &mut quiet())
        .unwrap();
}

#[test]
fn guardians_who_hold_the_data_bring_it_back_after_their_delay() {
    for hold_data in [false, true] {
        let scene = Scene::new(1);
        scene.put("home", "one", "kept");
        let plan = GuardiansPlan {
            name: "family".to_owned(),
            needed: 2,
            guardians: 3,
            delay_days: 7,
            hold_data,
        };
        let shares = scene.twin.name_guardians(&secret(1), &plan).unwrap();
        scene.export("backup").unwrap();
        let means = || Means::Guardians {
            secret: combine(&shares[..2]).unwrap(),
            new_words: secret(7),
        };
        if !hold_data {
            assert!(matches!(
                scene.refuses("backup", means()),
                Error::BackupMeans
            ));
            continue;
        }
        let waiting = scene.recover("backup", "waiting", means()).unwrap().twin;
        assert!(!waiting.is_admin());
        assert_eq!(waiting.standing().unwrap().pending.len(), 1);
        let early = waiting.finish_recovery(&secret(7), "new");
        assert!(matches!(early, Err(Error::NotYet)), "{early:?}");
        assert_eq!(ids(&waiting, "home"), set(["one"]));
        let export = waiting.export_sealed(&scene.path("x"), &Scope::Twin, &mut quiet());
        assert!(
            matches!(export, Err(Error::NotYet)),
            "nobody would believe it"
        );
    }
}

#[test]
fn companions_hear_of_the_new_phone_by_an_export_of_its() {
    let scene = Scene::new(1);
    scene.put("home", "one", "kept");
    let laptop = scene.companion("laptop");
    scene.export("backup").unwrap();
    laptop
        .import_sealed(&scene.path("backup"), None, &mut quiet())
        .unwrap();
    put(&laptop, "home", "laptop's", "written there");
    let new = scene
        .recover("backup", "new", Means::Words(secret(1)))
        .unwrap()
        .twin;
    put(&new, "home", "new", "goes on");
    let exported = scene.path("from the new phone");
    new.export_sealed(&exported, &Scope::Twin, &mut quiet())
        .unwrap();
    laptop.import_sealed(&exported, None, &mut quiet()).unwrap();
    assert_eq!(ids(&laptop, "home"), set(["laptop's", "new", "one"]));
    let phones = laptop.devices().unwrap().into_iter();
    let phones = phones.filter(|device| device.role == Role::Admin);
    let phones = phones.filter(|device| device.state == twin::DeviceState::Active);
    assert_eq!(
        phones.map(|phone| phone.id).collect::<Vec<_>>(),
        [new.device_id()]
    );
    // And the other way round.
    let back = scene.path("from the laptop");
    laptop
        .export_sealed(&back, &Scope::Twin, &mut quiet())
        .unwrap();
    new.import_sealed(&back, None, &mut quiet()).unwrap();
    assert_eq!(ids(&new, "home"), set(["laptop's", "new", "one"]));
    // The old phone cannot open what is sealed now.
    let old = scene.twin.import_sealed(&exported, None, &mut quiet());
    assert!(matches!(old, Err(Error::BackupDevice)));
}
