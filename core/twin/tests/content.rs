//! Content of files in sealed exports: taken along, said where it is missing, and what is left where one is damaged.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use twin::{
    BackupError, CHUNK_LEN, Error, FILES, ImportOptions, Means, NewFile, Progress, RecoverySecret,
    Scope, Sealed, SpaceName, Twin, Unit, Unlock, Watch,
};

const FRAME: usize = twin_ops::backup::FRAME_LEN;
/// How long what comes after the last of them is, in bytes.
const TRAILER: usize = 48;

fn quiet(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn words() -> RecoverySecret {
    RecoverySecret::from_bytes([1; 32])
}

/// Bytes in which no two pieces of 64 KiB are alike.
fn content(seed: u8, len: usize) -> Vec<u8> {
    let key = RecoverySecret::from_bytes([seed; 32]);
    let bytes = (0..len).map(|at| (at / 251) as u8 ^ (at % 249) as u8 ^ (at >> 16) as u8);
    let first = Twin::words_text(&key);
    first.bytes().chain(bytes).take(len).collect()
}

struct Scene {
    folder: TempDir,
    twin: Twin,
}

impl Scene {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let dir = folder.path().join("phone");
        let twin = Twin::create(&dir, Unlock::Password("word"), words(), "Ada", "phone").unwrap();
        Self { folder, twin }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn add(&self, name: &str, bytes: &[u8]) {
        let files = self.twin.space("home").unwrap().collection(FILES);
        let mut source = bytes;
        files
            .add_content(&NewFile::named(name), &mut source, &mut quiet)
            .unwrap();
    }

    fn export(&self, name: &str) -> twin::Result<Sealed> {
        self.twin
            .export_sealed(&self.path(name), &Scope::Twin, &mut quiet)
    }
}

fn read(twin: &Twin, folder: &TempDir, name: &str) -> twin::Result<Vec<u8>> {
    let to = folder.path().join("out");
    let _ = fs::remove_file(&to);
    let files = twin.space("home").unwrap().collection(FILES);
    files.save_file(name, &to, &mut quiet)?;
    Ok(fs::read(&to).unwrap())
}

fn recover(scene: &Scene, file: &str, name: &str) -> twin::Result<Twin> {
    let (dir, file) = (scene.path(name), scene.path(file));
    let means = Means::Words(words());
    let unlock = Unlock::Password("new");
    Twin::recover_from_backup(&dir, unlock, &file, means, "new", &mut quiet)
        .map(|restored| restored.twin)
}

#[test]
fn content_goes_along_and_comes_back() {
    let scene = Scene::new();
    let (film, letter) = (content(2, 5 * CHUNK_LEN + 9), content(3, 100));
    scene.add("film", &film);
    scene.add("letter", &letter);
    let mut told = Vec::new();
    let made = scene
        .twin
        .export_sealed(&scene.path("backup"), &Scope::Twin, &mut |progress| {
            told.push(progress);
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!((made.chunks, made.incomplete, made.damaged), (8, 0, 0));
    let mut bytes = told.iter().filter(|progress| progress.unit == Unit::Bytes);
    let last = bytes.next_back().unwrap();
    assert_eq!(Some(last.done), last.total);
    let inside = scene
        .twin
        .look_into_sealed(&scene.path("backup"), None, &mut quiet)
        .unwrap();
    assert_eq!(
        (inside.chunks, inside.incomplete, inside.records_only),
        (8, 0, false)
    );
    let bare = scene.path("bare");
    let made = scene
        .twin
        .export_sealed_records(&bare, &Scope::Twin, &mut quiet)
        .unwrap();
    assert_eq!((made.chunks, made.incomplete), (0, 0));
    let inside = scene
        .twin
        .look_into_sealed(&bare, None, &mut quiet)
        .unwrap();
    assert!(inside.records_only);

    let new = recover(&scene, "backup", "new").unwrap();
    assert_eq!(read(&new, &scene.folder, "film").unwrap(), film);
    assert_eq!(read(&new, &scene.folder, "letter").unwrap(), letter);
    let poor = recover(&scene, "bare", "poor").unwrap();
    assert!(read(&poor, &scene.folder, "film").is_err());
    // What is missing is said, and comes from the other file.
    let said = poor
        .export_sealed(&scene.path("of poor"), &Scope::Twin, &mut quiet)
        .unwrap();
    assert_eq!((said.chunks, said.incomplete), (0, 2));
    assert_eq!(
        said.incomplete_names,
        ["home/files/film", "home/files/letter"]
    );
    let taken = poor
        .import_sealed(&scene.path("backup"), Some(&words()), &mut quiet)
        .unwrap();
    assert_eq!(taken.chunks, 8);
    assert_eq!(read(&poor, &scene.folder, "film").unwrap(), film);
}

#[test]
fn what_was_broken_off_in_the_midst_of_content_goes_on() {
    let scene = Scene::new();
    let film = content(2, 40 * CHUNK_LEN);
    scene.add("film", &film);
    scene.export("whole").unwrap();
    let whole = fs::read(scene.path("whole")).unwrap();
    let header = whole.len() % FRAME;
    for (n, frames) in [3, 9, 20, 38].into_iter().enumerate() {
        let name = format!("cut {n}");
        let cut = header + frames * FRAME + 1000;
        fs::write(scene.path(&format!("{name}.unfinished")), &whole[..cut]).unwrap();
        let made = scene.export(&name).unwrap();
        assert!(made.kept > 0, "{frames}");
        assert_eq!(made.chunks, 41);
        let inside = scene
            .twin
            .look_into_sealed(&scene.path(&name), None, &mut quiet)
            .unwrap();
        assert_eq!(inside.chunks, 41);
    }
    let new = recover(&scene, "cut 2", "new").unwrap();
    assert_eq!(read(&new, &scene.folder, "film").unwrap(), film);
    // Stopped by whoever watches, and gone on with.
    let mut bytes = 0;
    let stopped = scene
        .twin
        .export_sealed(&scene.path("stopped"), &Scope::Twin, &mut |progress| {
            bytes += u32::from(progress.unit == Unit::Bytes);
            if bytes < 5 {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        });
    assert!(matches!(stopped, Err(Error::Stopped)));
    assert!(scene.export("stopped").unwrap().kept > 0);
    // Without content it is another export.
    fs::write(scene.path("bare.unfinished"), &whole[..header + 20 * FRAME]).unwrap();
    let made = scene
        .twin
        .export_sealed_records(&scene.path("bare"), &Scope::Twin, &mut quiet)
        .unwrap();
    assert_eq!(made.kept, 0);
}

/// Opening a pipe would wait for whoever writes to it.
#[test]
fn what_can_be_read_only_once_is_refused_at_once() {
    let scene = Scene::new();
    let pipe = scene.path("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status();
    assert!(made.is_ok_and(|made| made.success()));
    let files = scene.twin.space("home").unwrap().collection(FILES);
    for refused in [&pipe, &scene.path("phone")] {
        let added = files.add_file(refused, &mut quiet);
        assert!(matches!(added, Err(Error::NotAFile)));
        let checked = Twin::check_sealed(refused, &mut quiet);
        assert!(matches!(checked, Err(Error::NotAFile)));
    }
}

#[test]
fn content_of_what_was_erased_since_does_not_come_back() {
    let scene = Scene::new();
    let (film, letter) = (content(2, 3 * CHUNK_LEN), content(3, 100));
    scene.add("film", &film);
    scene.add("letter", &letter);
    scene.export("backup").unwrap();
    let files = scene.twin.space("home").unwrap().collection(FILES);
    files.erase("film").unwrap();
    let taken = scene
        .twin
        .import_sealed(&scene.path("backup"), None, &mut quiet)
        .unwrap();
    assert_eq!((taken.new, taken.chunks, taken.chunks_here), (0, 0, 1));
    let again = scene.export("again").unwrap();
    assert_eq!((again.chunks, again.incomplete), (1, 0));
    assert_eq!(read(&scene.twin, &scene.folder, "letter").unwrap(), letter);
}

#[test]
fn of_a_damaged_file_all_comes_back_that_is_whole() {
    let scene = Scene::new();
    let film = content(2, 6 * CHUNK_LEN);
    scene.add("film", &film);
    for id in 0..30 {
        let fields = twin::Fields([("text".to_owned(), "x".repeat(20_000).as_str().into())].into());
        let notes = scene.twin.space("home").unwrap().collection("notes");
        notes.put(&format!("note {id}"), fields).unwrap();
    }
    let made = scene.export("backup").unwrap();
    let whole = fs::read(scene.path("backup")).unwrap();
    let header = whole.len() % FRAME;
    let frames = whole.len() / FRAME;
    assert!(frames > 15);
    let (mut lost, mut untouched) = ((0, 0), 0);
    // Every third piece of it, one after the other; and a seal and the check of the beginning.
    let places = (0..frames)
        .step_by(3)
        .map(|frame| header + frame * FRAME + 500);
    let places = places.chain([300, header - 60]);
    for (n, at) in places.enumerate() {
        let mut torn = whole.clone();
        torn[at] ^= 1;
        fs::write(scene.path("torn"), &torn).unwrap();
        let name = format!("back {n}");
        let refused = recover(&scene, "torn", &name);
        assert!(matches!(
            refused,
            Err(Error::Backup(BackupError::Damaged(_)))
        ));
        let means = Means::Words(words());
        let unlock = Unlock::Password("new");
        let (dir, file) = (scene.path(&name), scene.path("torn"));
        let back = Twin::recover_from_damaged(&dir, unlock, &file, means, "new", &mut quiet);
        let (back, damage) = match back {
            // The seal of the words was hit.
            Err(Error::BackupMeans) if at < header => continue,
            back => back.unwrap(),
        };
        assert_eq!(back.twin.id(), scene.twin.id());
        let pieces = u64::from(at >= header);
        assert_eq!(damage.pieces, pieces, "{at}");
        lost = (
            lost.0 + damage.operations,
            lost.1 + damage.chunks.unwrap_or(0),
        );
        assert!(damage.operations <= made.operations);
        untouched += u32::from(damage.operations == 0);
        if damage.operations == 0 {
            let notes = back.twin.space("home").unwrap().collection("notes");
            assert_eq!(notes.list_all(100).unwrap().len(), 30);
            let read = read(&back.twin, &scene.folder, "film");
            assert!(
                damage
                    .chunks
                    .is_none_or(|chunks| read.is_ok() == (chunks == 0)),
                "{at}"
            );
        }
    }
    assert!(lost.0 > 0 && lost.1 > 0 && untouched > 1, "{lost:?}");
    // One that was cut off, between two pieces, of which the trailer is none, and within one.
    for len in [header - TRAILER + 5 * FRAME, header + 5 * FRAME] {
        fs::write(scene.path("torn"), &whole[..len]).unwrap();
        let (dir, file) = (scene.path(&format!("cut {len}")), scene.path("torn"));
        let (means, unlock) = (Means::Words(words()), Unlock::Password("new"));
        let back = Twin::recover_from_damaged(&dir, unlock, &file, means, "new", &mut quiet);
        let (_, damage) = back.unwrap();
        assert_eq!(damage.pieces, 1);
        assert_eq!(damage.near, [(header - TRAILER + 5 * FRAME) as u64]);
    }
}

#[test]
fn of_a_file_that_changes_while_it_is_read_nothing_is_added() {
    let scene = Scene::new();
    let files = scene.twin.space("home").unwrap().collection(FILES);
    let path = scene.path("log");
    fs::write(&path, content(2, 5 * CHUNK_LEN)).unwrap();
    let add = |harm: &mut dyn FnMut()| {
        files.add_file(&path, &mut |_| {
            harm();
            ControlFlow::Continue(())
        })
    };
    let shortened = add(&mut || fs::write(&path, b"short").unwrap());
    assert!(matches!(shortened, Err(Error::File(_))), "{shortened:?}");
    assert!(files.list(None, 1).unwrap().is_empty());
    assert_eq!(add(&mut || ()).unwrap().size, 5);
}

#[test]
fn an_erasure_in_the_midst_of_an_add_takes_nothing_from_it() {
    let film = content(2, 5 * CHUNK_LEN + 9);
    let add = |add: fn(&Scene, &Path, &mut Watch<'_>) -> String| {
        let scene = Scene::new();
        scene.add("film", &film);
        let films = scene.path("films");
        fs::create_dir(&films).unwrap();
        fs::write(films.join("copy"), &film).unwrap();
        let files = scene.twin.space("home").unwrap().collection(FILES);
        let mut erased = 0;
        let id = add(&scene, &films, &mut |progress| {
            // All of it is found here, and then it is gone.
            if erased == 0 && progress.done > 4 * CHUNK_LEN as u64 {
                files.erase("film").unwrap();
                erased += 1;
            }
            ControlFlow::Continue(())
        });
        assert_eq!(erased, 1);
        assert!(read(&scene.twin, &scene.folder, "film").is_err());
        assert!(read(&scene.twin, &scene.folder, &id).unwrap() == film);
    };
    add(|scene, films, watch| {
        let files = scene.twin.space("home").unwrap().collection(FILES);
        files.add_file(&films.join("copy"), watch).unwrap().id
    });
    add(|scene, films, watch| {
        let files = scene.twin.space("home").unwrap().collection(FILES);
        let options = ImportOptions {
            to: Some((SpaceName::new("home").unwrap(), None)),
            ..ImportOptions::default()
        };
        assert_eq!(
            scene.twin.import(films, &options, watch).unwrap().written,
            1
        );
        let mut all = files.list(None, 10).unwrap().into_iter();
        all.find(|record| record.id != "film").unwrap().id
    });
}
