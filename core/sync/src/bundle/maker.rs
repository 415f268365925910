//! Making a bundle, a piece at a time.

use std::collections::{BTreeSet, VecDeque};

use rand_core::CryptoRng;
use twin_identity::cbor;
use twin_identity::id::{DeviceId, EntryId};
use twin_ops::grant::GrantId;
use twin_ops::store::{ChunkName, Hole, Known, MAX_HOLES, OpStore};

use super::envelope;
use super::error::BundleError;
use super::inside::Inside;
use super::piece::{Content, HEAD_LEN, MAX_CONTENT, Opening, Sealer, TakenOf, piece_len};
use super::{Carried, Size};
use crate::machine::Millis;
use crate::session::BATCH;
use crate::session::message::{Message, Piece, Row, Table};
use crate::session::peer::{Lack, Peer, Room, filling, row};
use crate::session::replica;

/// How many ids or rows are in one message of a table.
const ROWS: usize = 2048;
/// The same in a bundle of limited size, so that as many go in as fit.
const FEW_ROWS: usize = 4;
/// The part of a bundle of limited size that may say what its maker has: one in so many.
const SHARE: usize = 4;
/// What is around the messages of a piece, at most: the opening, and heads.
const AROUND: usize = 96;
/// And of that, what it says of each device for which it is made.
const AROUND_EACH: usize = 48;

/// A bundle that is being made. Its bytes are what [`Maker::begin`] gives, all of [`Maker::next`], and [`Maker::finish`],
/// one after the other. The store may be others' in between.
pub struct Maker {
    sealer: Sealer,
    peer: Peer,
    to_fill: BTreeSet<Hole>,
    /// The holes of others that are filled once this and what came before are taken, as far as they can be from here.
    answered: BTreeSet<Hole>,
    beginning: Vec<u8>,
    content: Content,
    /// Bytes of the messages in it.
    len: usize,
    /// How many bytes of messages may be in all of it; `None` if there is no end to them.
    most: Option<usize>,
    tables: VecDeque<Message>,
    carried: Carried,
    /// Of a bundle of limited size.
    inside: Inside,
    more: bool,
    files_since: Millis,
}

impl Maker {
    /// Begins a bundle of what `to`, devices that take part, are not known to have: any of them, and in any case as if
    /// they had what `beyond` says, too, and its holes were filled. `now`: milliseconds since the Unix epoch.
    pub fn new<S: OpStore + ?Sized>(
        store: &S,
        now: Millis,
        to: &[DeviceId],
        beyond: Option<Known>,
        size: Size,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, BundleError> {
        let beginning = envelope::begin(store, to, rng)?;
        let (mut peer, mut to_fill) = (None::<Peer>, BTreeSet::new());
        let (mut taken, mut files_since) = (Vec::new(), None::<Millis>);
        for device in to {
            let known = store.known(device).map_err(BundleError::store)?;
            let answered = |hole: &Hole| {
                let beyond = beyond.as_ref();
                beyond.is_some_and(|beyond| beyond.holes.contains(hole))
            };
            let holes = known.holes.iter().filter(|hole| !answered(hole));
            to_fill.extend(holes.copied().take(MAX_HOLES));
            let made = known.was_taken;
            taken.extend((made > 0).then_some(TakenOf {
                maker: *device,
                made,
            }));
            let since = files_since.unwrap_or(known.has_taken);
            files_since = Some(since.min(known.has_taken));
            let mut one = Peer::of(known, store)?
                .without(replica::apart(store, store.unselected(device)), store)?;
            if let Some(beyond) = &beyond {
                one = one.or(&Peer::of(beyond.clone(), store)?);
            }
            peer = Some(match peer {
                None => one,
                Some(all) => all.and(&one),
            });
        }
        let peer = peer.ok_or(BundleError::Recipients)?;
        let most = match size {
            Size::Any => None,
            Size::AtMost(bytes) => Some(room(bytes, beginning.bytes.len(), taken.len())?),
        };
        let (tables, whole) = tables(store, most.map(|most| most / SHARE))?;
        let opening = Opening::new(store.device(), now, whole, taken);
        Ok(Self {
            sealer: Sealer::new(&beginning),
            peer,
            answered: { beyond.into_iter() }
                .flat_map(|beyond| beyond.holes)
                .chain(to_fill.iter().copied())
                .collect(),
            to_fill,
            content: Content {
                opening: Some(opening),
                ..Content::default()
            },
            len: 0,
            most,
            tables,
            carried: Carried::default(),
            inside: Inside::default(),
            more: false,
            files_since: files_since.unwrap_or(0),
            beginning: beginning.bytes,
        })
    }

    /// The first bytes.
    pub fn begin(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.beginning)
    }

    /// The next piece; `None` once all is in that they lack, or that there is room for. What is given is counted on: whoever
    /// does not get one piece gets nothing of the bundle.
    pub fn next<S: OpStore + ?Sized>(
        &mut self,
        store: &S,
        rng: &mut impl CryptoRng,
    ) -> Result<Option<Vec<u8>>, BundleError> {
        loop {
            let Some(message) = self.next_message(store)? else {
                return Ok(None);
            };
            self.count(&message);
            if let Some(piece) = self.add(message, store, rng)? {
                return Ok(Some(piece));
            }
        }
    }

    /// The content of files that may be new for them came here then or later, in milliseconds since the Unix epoch: what
    /// came before, they have taken.
    pub const fn files_since(&self) -> Millis {
        self.files_since
    }

    /// Adds chunks of files to a bundle of any size, of at most 256 KiB; a piece, if one is full. Whoever adds some adds all
    /// that have come since [`Maker::files_since`], and says so at the end.
    pub fn add_chunks<S: OpStore + ?Sized>(
        &mut self,
        chunks: Vec<(ChunkName, Vec<u8>)>,
        store: &S,
        rng: &mut impl CryptoRng,
    ) -> Result<Option<Vec<u8>>, BundleError> {
        let pieces = chunks.into_iter().map(|(name, sealed)| Piece {
            space: name.space,
            id: name.id,
            sealed: Some(sealed.into()),
        });
        let message = Message::Chunks(pieces.collect());
        self.count(&message);
        self.add(message, store, rng)
    }

    /// The last piece. `with_files` if all content of files came along that may be new for them.
    pub fn finish<S: OpStore + ?Sized>(
        &mut self,
        with_files: bool,
        store: &S,
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<u8>, BundleError> {
        self.content.more = Some(self.more);
        self.content.with_files = Some(with_files);
        let content = std::mem::take(&mut self.content);
        self.seal(&content, store, rng)
    }

    fn seal<S: OpStore + ?Sized>(
        &mut self,
        content: &Content,
        store: &S,
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<u8>, BundleError> {
        let sign = |id: &[u8; 32]| store.sign_bundle(id);
        self.sealer.seal(content, sign, rng)
    }

    /// Whether there is more for them than there was room for.
    pub const fn has_more(&self) -> bool {
        self.more
    }

    /// What is in it so far.
    pub const fn carried(&self) -> &Carried {
        &self.carried
    }

    /// Which ops are in one of limited size.
    pub(super) fn take_inside(&mut self) -> Inside {
        std::mem::take(&mut self.inside)
    }

    /// What they have once they have taken it. Nobody is to count on it who has not heard so from them.
    pub fn then<S: OpStore + ?Sized>(&self, store: &S) -> Result<Known, BundleError> {
        let mut holes: Vec<Hole> = self.answered.difference(&self.to_fill).copied().collect();
        holes.truncate(MAX_HOLES);
        Ok(Known {
            holes,
            ..self.peer.known(store)?
        })
    }

    fn next_message<S: OpStore + ?Sized>(
        &mut self,
        store: &S,
    ) -> Result<Option<Message>, BundleError> {
        if let Some(table) = self.tables.pop_front() {
            return Ok(Some(table));
        }
        let within = self.most.map(|most| most.saturating_sub(self.len));
        if let Some(ops) = filling(&mut self.to_fill, store)? {
            let message = Message::Ops(ops);
            if within.is_none_or(|within| cbor::len(&message) <= within) {
                return Ok(Some(message));
            }
            self.more = true;
        }
        let room = within.map_or(Room::About(BATCH), |within| Room::Within(within.min(BATCH)));
        while let Some(lack) = self.peer.lacks(store)? {
            // What comes after them could not be verified.
            let stops = matches!(lack, Lack::Entries(_));
            if let Some(message) = self.peer.give(lack, store, room)? {
                return Ok(Some(message));
            }
            self.more = true;
            if stops {
                break;
            }
        }
        Ok(None)
    }

    /// Adds a message; the piece before, if it does not go into that.
    fn add<S: OpStore + ?Sized>(
        &mut self,
        message: Message,
        store: &S,
        rng: &mut impl CryptoRng,
    ) -> Result<Option<Vec<u8>>, BundleError> {
        let len = cbor::len(&message);
        let full = self.most.is_none() && self.len > 0 && self.len + len > BATCH;
        let piece = if full {
            let content = std::mem::take(&mut self.content);
            self.len = 0;
            Some(self.seal(&content, store, rng)?)
        } else {
            None
        };
        self.len += len;
        self.content.messages.push(message);
        Ok(piece)
    }

    fn count(&mut self, message: &Message) {
        if self.most.is_some() {
            self.inside.add(message);
        }
        let carried = &mut self.carried;
        match message {
            Message::Entries(entries) => carried.entries += entries.len() as u64,
            Message::Grants(grants) => carried.grants += grants.len() as u64,
            Message::Ops(ops) => carried.ops += ops.ops.len() as u64,
            Message::Chunks(chunks) => carried.chunks += chunks.len() as u64,
            _ => {}
        }
    }
}

/// How many bytes of messages go into a bundle of so many, if it begins with so many and says what was taken of so many
/// devices. It has one piece then.
fn room(bytes: usize, beginning: usize, taken: usize) -> Result<usize, BundleError> {
    let around = AROUND + taken * AROUND_EACH;
    let left = bytes.checked_sub(beginning + HEAD_LEN);
    let mut content = left.unwrap_or(0).min(MAX_CONTENT);
    while content > 0 && beginning + piece_len(content) > bytes {
        content -= 1;
    }
    let room = content.checked_sub(around);
    room.ok_or(BundleError::TooSmall(bytes))
}

/// What the maker has, lacks and wants, in about `most` bytes, and whether that is all that it has.
fn tables<S: OpStore + ?Sized>(
    store: &S,
    most: Option<usize>,
) -> Result<(VecDeque<Message>, bool), BundleError> {
    let entries: Vec<EntryId> = store.identity().entries().keys().copied().collect();
    let grants: Vec<GrantId> = store.grants().map_err(BundleError::store)?;
    let heads = store.heads().map_err(BundleError::store)?;
    let heads: Vec<Row> = heads.iter().map(row).collect();
    let mut holes = store.holes().map_err(BundleError::store)?;
    holes.truncate(MAX_HOLES);
    let wants = store.wants().map_err(BundleError::store)?;

    let mut all = VecDeque::new();
    if !wants.is_empty() {
        all.push_back(Message::Wants(wants));
    }
    if !holes.is_empty() {
        all.push_back(Message::Holes(holes));
    }
    // Logs first: they save most.
    let table = |grants: &[GrantId], heads: &[Row]| {
        Message::Table(Box::new(Table {
            grants: grants.to_vec(),
            heads: heads.to_vec(),
        }))
    };
    let rows = most.map_or(ROWS, |_| FEW_ROWS);
    all.extend(heads.chunks(rows).map(|heads| table(&[], heads)));
    all.extend(
        entries
            .chunks(rows)
            .map(|ids| Message::LogTable(ids.to_vec())),
    );
    all.extend(grants.chunks(rows).map(|ids| table(ids, &[])));
    let Some(most) = most else {
        return Ok((all, true));
    };
    let (mut some, mut len, mut whole) = (VecDeque::new(), 0, true);
    for message in all {
        let with = len + cbor::len(&message);
        if with > most {
            whole = false;
            continue;
        }
        len = with;
        some.push_back(message);
    }
    Ok((some, whole))
}
