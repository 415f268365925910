#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;

use proptest::prelude::*;
use twin_identity::secret::Secret;

use super::chunk::{ChunkRef, REF_LEN, seal};
use super::tree::FANOUT;
use super::*;
use crate::epoch::EpochKey;
use crate::space::SpaceId;

const SPACE: SpaceId = SpaceId::from_bytes([5; 32]);

type Store = BTreeMap<ChunkId, Vec<u8>>;

fn key(byte: u8) -> FileKey {
    EpochKey::new(Secret::new([byte; 32])).file_key()
}

/// Seals a content that comes in these pieces.
fn build<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Root, Store) {
    let mut store = Store::new();
    let mut keep = |chunk: Sealed| {
        assert_eq!(ChunkId::of(&chunk.bytes), chunk.id);
        assert!((MIN_SEALED_CHUNK..=MAX_SEALED_CHUNK).contains(&chunk.bytes.len()));
        store.insert(chunk.id, chunk.bytes);
    };
    let mut builder = Builder::new(key(1), SPACE);
    for piece in pieces {
        builder.push(piece, &mut keep).unwrap();
    }
    let root = builder.finish(&mut keep).unwrap();
    (root, store)
}

#[test]
fn a_builder_says_how_much_has_come() {
    let mut builder = Builder::new(key(1), SPACE);
    assert!(builder.is_empty());
    // A byte of padding, and the tag.
    assert_eq!(MAX_SEALED_CHUNK, (64 << 10) + 16);
    builder.push(b"four", &mut |_| {}).unwrap();
    assert_eq!((builder.len(), builder.is_empty()), (4, false));
}

fn again(root: &Root) -> Root {
    Root::from_bytes(&root.to_bytes()).unwrap()
}

fn read_all(space: SpaceId, root: &Root, store: &Store) -> Result<Vec<u8>, FileError> {
    let mut reader = Reader::new(space, again(root))?;
    let mut content = Vec::new();
    while (content.len() as u64) < root.len() {
        let more = reader.read(content.len() as u64, &mut |id| {
            store.get(id).cloned().ok_or(FileError::Malformed)
        })?;
        content.extend_from_slice(more);
    }
    Ok(content)
}

/// No two pieces of 64 KiB are alike.
fn content(len: usize) -> Vec<u8> {
    let mut content = vec![0; len];
    blake3::Hasher::new().finalize_xof().fill(&mut content);
    content
}

#[test]
fn any_length_around_a_boundary_comes_back() {
    for chunks in 0..3 {
        for more in [-1isize, 0, 1] {
            let Some(len) = (chunks * CHUNK_LEN).checked_add_signed(more) else {
                continue;
            };
            let content = content(len);
            let (root, store) = build([content.as_slice()]);
            assert_eq!(read_all(SPACE, &root, &store).unwrap(), content, "{len}");
            assert_eq!(root.shape().unwrap().total(), store.len() as u64, "{len}");
            assert_eq!(Root::of(&root.to_value()).unwrap(), root);
        }
    }
}

/// A content of zeros in one chunk more than three over a manifest, which ends in `fives`; and its chunks.
fn long() -> (Root, Store) {
    let zeros = vec![0; 1 << 20];
    let mut builder = Builder::new(key(1), SPACE);
    let mut store = Store::new();
    let mut keep = |chunk: Sealed| drop(store.insert(chunk.id, chunk.bytes));
    let mut left = (FANOUT + 3) * CHUNK_LEN as u64;
    while left > 0 {
        let piece = left.min(zeros.len() as u64) as usize;
        builder.push(&zeros[..piece], &mut keep).unwrap();
        left -= piece as u64;
    }
    builder.push(b"fives", &mut keep).unwrap();
    let root = builder.finish(&mut keep).unwrap();
    (root, store)
}

#[test]
fn many_manifests_come_back() {
    let (root, store) = long();
    let chunks = FANOUT + 3;
    let len = chunks * CHUNK_LEN as u64 + 5;
    let shape = root.shape().unwrap();
    assert_eq!((root.len(), shape.top()), (len, 2));
    assert_eq!(shape.total(), (chunks + 1) + 2 + 1);
    // Zeros, the end; a full manifest, the rest; the one above.
    assert_eq!(store.len(), 5);

    let mut reader = Reader::new(SPACE, again(&root)).unwrap();
    let mut fetched = 0;
    let mut read = |at: u64| {
        let fetch = &mut |id: &ChunkId| {
            fetched += 1;
            Ok::<_, FileError>(store[id].clone())
        };
        reader.read(at, fetch).unwrap().to_vec()
    };
    assert_eq!(read(len - 5), b"fives");
    assert_eq!(read(len - 2), b"es");
    assert_eq!(read(len), b"");
    assert_eq!(read(u64::MAX), b"");
    assert_eq!(read(1), vec![0; CHUNK_LEN - 1]);
    assert_eq!(read(CHUNK_LEN as u64 * FANOUT), vec![0; CHUNK_LEN]);
    // The way down, nothing, nothing, the way down but the first, and again.
    assert_eq!(fetched, 3 + 2 + 2);
}

#[test]
fn what_is_not_so_is_refused() {
    let content = content(2 * CHUNK_LEN + 9);
    let (root, store) = build([content.as_slice()]);
    for id in store.keys() {
        let mut damaged = store.clone();
        damaged.get_mut(id).unwrap()[40] ^= 1;
        assert_eq!(read_all(SPACE, &root, &damaged), Err(FileError::Malformed));
        damaged.get_mut(id).unwrap().truncate(3);
        assert_eq!(read_all(SPACE, &root, &damaged), Err(FileError::Malformed));
    }
    let other = SpaceId::from_bytes([6; 32]);
    assert_eq!(read_all(other, &root, &store), Err(FileError::Malformed));
    let reshaped = |len| Root {
        len,
        top: again(&root).top,
    };
    for len in [0, 9, root.len() - 1, root.len() + 1, MAX_FILE_LEN] {
        let read = read_all(SPACE, &reshaped(len), &store);
        assert!(
            len == 0 && read == Ok(vec![]) || read == Err(FileError::Malformed),
            "{len}"
        );
    }
    let mut wrong_key = again(&root);
    wrong_key.top.key = Secret::new([0; 32]);
    assert_eq!(
        read_all(SPACE, &wrong_key, &store),
        Err(FileError::Malformed)
    );
}

#[test]
fn roots_have_one_form_and_bounds() {
    let (root, _) = build([b"a".as_slice()]);
    let bytes = root.to_bytes();
    assert!(bytes.len() <= 86);
    for (at, _) in bytes.iter().enumerate() {
        assert!(Root::from_bytes(&bytes[..at]).is_err());
    }
    let long = |len| Root {
        len,
        top: again(&root).top,
    };
    assert!(Root::from_bytes(&long(MAX_FILE_LEN).to_bytes()).is_ok());
    assert!(Root::from_bytes(&long(MAX_FILE_LEN + 1).to_bytes()).is_err());
    assert!(Root::from_bytes(&[bytes.as_slice(), &[0]].concat()).is_err());
    assert_eq!(format!("{root:?}").find("key"), None);
    // In the files of all versions.
    assert_eq!((FANOUT, MAX_FILE_LEN), (1023, 1023u64.pow(4) * 65_535));
    let (empty, store) = build([b"".as_slice()]);
    assert!(empty.is_empty() && !root.is_empty());
    let lens: Vec<usize> = store.values().map(Vec::len).collect();
    assert_eq!(lens, [MIN_SEALED_CHUNK], "one chunk, of the least length");
    let mut builder = Builder::new(key(1), SPACE);
    builder.push(b"a", &mut |_| ()).unwrap();
    assert!(!builder.is_empty() && builder.len() == 1);
}

#[test]
fn the_same_is_the_same_in_one_space_with_one_key_only() {
    let seal = |key, space: &SpaceId, level, content: &[u8]| {
        let (chunk, sealed) = chunk::seal(&key, space, level, content).unwrap();
        let opened = chunk.open(space, level, &sealed.bytes).unwrap();
        assert_eq!(*opened, content);
        sealed.id
    };
    let one = seal(key(1), &SPACE, 0, b"word");
    assert_eq!(one, seal(key(1), &SPACE, 0, b"word"));
    let other = SpaceId::from_bytes([6; 32]);
    for (key, space, level, content) in [
        (key(2), &SPACE, 0, b"word"),
        (key(1), &other, 0, b"word"),
        (key(1), &SPACE, 1, b"word"),
        (key(1), &SPACE, 0, b"ward"),
    ] {
        assert_ne!(one, seal(key, space, level, content));
    }
}

/// Goes into everything once, and counts.
struct Count<'a> {
    store: &'a Store,
    shown: BTreeMap<ChunkId, u64>,
    left: Vec<ChunkId>,
    below: Vec<u64>,
}

impl Visit<FileError> for Count<'_> {
    fn visit(&mut self, level: u32, below: u64, chunk: &ChunkRef) -> Result<Walked, FileError> {
        *self.shown.entry(*chunk.id()).or_default() += 1;
        self.below.push(below);
        let sealed = self.store.get(chunk.id());
        Ok(match sealed {
            Some(sealed) if level > 0 && !self.left.contains(chunk.id()) => {
                Walked::Into(sealed.clone())
            }
            _ => Walked::Beside,
        })
    }

    fn leave(&mut self, chunk: &ChunkRef) {
        self.left.push(*chunk.id());
    }
}

#[test]
fn a_walk_shows_every_chunk_and_passes_over_what_is_wrong() {
    let content = content(2 * CHUNK_LEN + 9);
    let (root, store) = build([content.as_slice()]);
    let count = |root: &Root| {
        let mut count = Count {
            store: &store,
            shown: BTreeMap::new(),
            left: Vec::new(),
            below: Vec::new(),
        };
        walk(&SPACE, root, &mut count).unwrap();
        count
    };
    let all = count(&root);
    assert!(all.shown.keys().eq(store.keys()));
    assert_eq!(all.left, [root.top.id]);
    assert_eq!(all.below, [4, 1, 1, 1]);
    let wrong = Root {
        len: root.len + CHUNK_LEN as u64,
        top: again(&root).top,
    };
    let all = count(&wrong);
    assert_eq!((all.shown.len(), all.left.len()), (1, 0));
}

/// Goes into everything there is, content too.
struct Eager(Store, Vec<ChunkId>);

impl Visit<FileError> for Eager {
    fn visit(&mut self, _: u32, _: u64, chunk: &ChunkRef) -> Result<Walked, FileError> {
        let sealed = self.0.get(chunk.id());
        Ok(sealed.map_or(Walked::Beside, |sealed| Walked::Into(sealed.clone())))
    }

    fn leave(&mut self, chunk: &ChunkRef) {
        self.1.push(*chunk.id());
    }
}

#[test]
fn a_walk_leaves_what_it_has_shown_all_of() {
    let (root, store) = long();
    let mut eager = Eager(store.clone(), Vec::new());
    walk(&SPACE, &root, &mut eager).unwrap();
    // Content names nothing, whatever is said of it.
    assert_eq!(eager.1.len(), 3);
    let first = eager.1[0];
    let mut damaged = store;
    damaged.get_mut(&first).unwrap()[9] ^= 1;
    let mut eager = Eager(damaged, Vec::new());
    walk(&SPACE, &root, &mut eager).unwrap();
    assert_eq!(
        eager.1.len(),
        1,
        "the second manifest; not the damaged one and what names it"
    );
}

/// What a seek was told of: the levels at which it looked, what is lacking, and how many steps it took.
fn seek(root: &Root, mut here: impl FnMut(u32, &ChunkId) -> Here) -> (Vec<u32>, Vec<Lacking>, u64) {
    let mut seek = Seek::new(SPACE, again(root)).unwrap();
    let (mut levels, mut lacking, mut steps) = (Vec::new(), Vec::new(), 0);
    while let Some(missing) = seek
        .step(|level, id| {
            levels.push(level);
            Ok::<_, FileError>(here(level, id))
        })
        .unwrap()
    {
        lacking.extend(missing);
        steps += 1;
        assert!(steps <= root.shape().unwrap().total());
    }
    let again = seek.step(|_, _| Ok::<_, FileError>(Here::No));
    assert_eq!(again.unwrap(), None, "nothing comes after the end");
    (levels, lacking, steps)
}

#[test]
fn a_seek_names_what_is_missing_and_goes_below_what_is_not() {
    let content = content(2 * CHUNK_LEN + 9);
    let (root, store) = build([content.as_slice()]);
    let manifest = |id: &ChunkId| Here::Manifest(store[id].clone());
    let missing = |below, id: &ChunkId| Lacking { id: *id, below };

    let (levels, lacking, steps) = seek(&root, |_, _| Here::No);
    assert_eq!((levels, steps), (vec![1], 1));
    assert_eq!(
        lacking,
        [missing(4, root.top())],
        "with all that is below it"
    );
    assert_eq!(seek(&root, |_, _| Here::Yes), (vec![1], vec![], 1));

    let mut looked = Vec::new();
    let (levels, lacking, steps) = seek(&root, |level, id| match level {
        0 => {
            looked.push(*id);
            if looked.len() == 2 {
                Here::No
            } else {
                Here::Yes
            }
        }
        _ => manifest(id),
    });
    assert_eq!((levels, steps), (vec![1, 0, 0, 0], 4));
    assert_eq!(lacking, [missing(1, &looked[1])]);
    let mut reader = Reader::new(SPACE, again(&root)).unwrap();
    let mut read = Vec::new();
    for at in 0..3 {
        let mut fetch = |id: &ChunkId| {
            read.push(*id);
            Ok::<_, FileError>(store[id].clone())
        };
        reader.read(at * CHUNK_LEN as u64, &mut fetch).unwrap();
    }
    assert_eq!(looked, read[1..], "in the order of the content");

    // Content names nothing, whatever is said of it.
    let (levels, lacking, steps) = seek(&root, |_, id| manifest(id));
    assert_eq!((levels.len(), lacking.len(), steps), (4, 0, 4));
    // A manifest that does not fit its root names nothing either.
    let wrong = Root {
        len: root.len + CHUNK_LEN as u64,
        top: again(&root).top,
    };
    assert_eq!(seek(&wrong, |_, id| manifest(id)), (vec![1], vec![], 1));
}

#[test]
fn a_seek_looks_at_each_chunk_once_however_often_it_is_named() {
    let (root, store) = long();
    let total = root.shape().unwrap().total();
    let (levels, lacking, steps) = seek(&root, |level, id| match level {
        0 => Here::No,
        _ => Here::Manifest(store[id].clone()),
    });
    assert_eq!((levels, steps), (vec![2, 1, 0, 1, 0], total));
    let below: Vec<u64> = lacking.iter().map(|lacking| lacking.below).collect();
    assert_eq!(below, [1, 1]);
    let (levels, lacking, steps) = seek(&root, |level, id| match level {
        2 => Here::Manifest(store[id].clone()),
        _ => Here::No,
    });
    assert_eq!((levels, steps), (vec![2, 1, 1], 3));
    let below: Vec<u64> = lacking.iter().map(|lacking| lacking.below).collect();
    assert_eq!(below, [FANOUT + 1, 4 + 1]);
}

/// A file of zeros of more than 68 GB: three levels of manifests, of which the last two are not full.
fn huge() -> (Root, Store) {
    let mut store = Store::new();
    let mut seal = |level, content: &[u8]| {
        let (chunk, sealed) = chunk::seal(&key(1), &SPACE, level, content).unwrap();
        store.insert(sealed.id, sealed.bytes);
        [chunk.key.expose().as_slice(), chunk.id.as_bytes()].concat()
    };
    let all = FANOUT as usize;
    let zeros = seal(0, &[0; CHUNK_LEN]);
    let full = seal(1, &zeros.repeat(all));
    let rest = seal(1, &zeros.repeat(3));
    let above = seal(2, &full.repeat(all));
    let rest = seal(2, &[full, rest].concat());
    let top = seal(3, &[above, rest].concat());
    let root = Root {
        len: (FANOUT * FANOUT + FANOUT + 3) * CHUNK_LEN as u64,
        top: ChunkRef::from_slice(&top).unwrap(),
    };
    (root, store)
}

#[test]
fn every_chunk_of_a_huge_file_is_found() {
    let (root, store) = huge();
    let (levels, lacking, steps) = seek(&root, |_, id| Here::Manifest(store[id].clone()));
    // Content says nothing of whether it was seen: it is looked at wherever it is named.
    let full: Vec<u32> = vec![0; FANOUT as usize];
    let looked = [&[3, 2, 1], full.as_slice(), &[2, 1, 0, 0, 0]].concat();
    assert_eq!((levels, lacking.len()), (looked, 0));
    assert_eq!(steps, 3 + FANOUT + (FANOUT - 1) + 1 + 2 + 3);

    let mut reader = Reader::new(SPACE, again(&root)).unwrap();
    let fetch = &mut |id: &ChunkId| Ok::<_, FileError>(store[id].clone());
    assert_eq!(reader.read(root.len() - 2, fetch).unwrap(), [0, 0]);
    assert_eq!(reader.read(7, fetch).unwrap().len(), CHUNK_LEN - 7);

    let mut count = Count {
        store: &store,
        shown: BTreeMap::new(),
        left: Vec::new(),
        below: Vec::new(),
    };
    walk(&SPACE, &root, &mut count).unwrap();
    assert_eq!(count.shown.len(), store.len());
    assert_eq!(count.below[0], root.shape().unwrap().total());
    assert_eq!(count.left.last(), Some(&root.top.id));
}

proptest! {
    #[test]
    fn pieces_of_any_length_are_one_content(
        content in prop::collection::vec(any::<u8>(), 0..200_000),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(content.len() + 1)).collect();
        cuts.sort_unstable();
        let mut pieces = Vec::new();
        let mut from = 0;
        for cut in cuts.into_iter().chain([content.len()]) {
            pieces.push(&content[from..cut]);
            from = cut;
        }
        let (root, store) = build(pieces);
        let (at_once, _) = build([content.as_slice()]);
        prop_assert_eq!(&root, &at_once);
        prop_assert_eq!(read_all(SPACE, &root, &store).unwrap(), content);
    }

    /// What each level counts, made from the level below it.
    #[test]
    fn shapes_add_up(len in prop_oneof![0u64..10_000_000, 0..=MAX_FILE_LEN]) {
        let shape = Shape::new(len).unwrap();
        let mut count = len.div_ceil(CHUNK_LEN as u64).max(1);
        let (mut level, mut total) = (0, count);
        while count > 1 {
            prop_assert_eq!(shape.count(level), count);
            let above = count.div_ceil(FANOUT);
            prop_assert_eq!(shape.children(level + 1, above - 1), count - (above - 1) * FANOUT);
            prop_assert_eq!(shape.children(level + 1, above), 0);
            (level, count) = (level + 1, above);
            total += count;
        }
        prop_assert_eq!((shape.top(), shape.total()), (level, total));
        prop_assert_eq!(shape.below(level, 0), total);
        let last = shape.count(0) - 1;
        prop_assert_eq!(shape.below(0, last), 1);
        prop_assert_eq!(last * CHUNK_LEN as u64 + shape.content_len(0, last), len);
    }

    /// Whoever has the key of a space's files can seal any manifest, and give any length to what it leads to.
    #[test]
    fn any_manifest_gets_an_answer(
        manifest in prop::collection::vec(any::<u8>(), 0..4 * REF_LEN),
        len in prop_oneof![0..4 * CHUNK_LEN as u64, 0..=MAX_FILE_LEN],
        at: u64,
    ) {
        let top = Shape::new(len).unwrap().top();
        let (reference, sealed) = seal(&key(1), &SPACE, top, &manifest).unwrap();
        let root = Root { len, top: reference };
        let fetch = &mut |_: &ChunkId| Ok::<_, FileError>(sealed.bytes.clone());
        let mut reader = Reader::new(SPACE, again(&root)).unwrap();
        // What it names cannot be itself.
        prop_assert!(reader.read(at % len.max(1), fetch).is_err() || top == 0);
        let mut seek = Seek::new(SPACE, root).unwrap();
        let mut steps = 0;
        let look = |level| match level == top {
            true => Here::Manifest(sealed.bytes.clone()),
            false => Here::No,
        };
        while seek.step(|level, _| Ok::<_, FileError>(look(level))).unwrap().is_some() {
            steps += 1;
        }
        prop_assert!(steps <= 1 + manifest.len() / REF_LEN);
    }

    #[test]
    fn any_bytes_get_an_answer(bytes: Vec<u8>) {
        let _ = Root::from_bytes(&bytes);
        let _ = ChunkRef::from_slice(&bytes);
        prop_assert_eq!(REF_LEN * FANOUT as usize <= CHUNK_LEN, true);
    }
}
