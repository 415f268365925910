//! What a session does with each frame, and what it sends next.

use twin_identity::id::{DeviceId, EntryId};
use twin_identity::secret::Secret;
use twin_ops::op::LogId;
use twin_ops::store::{Hole, MAX_HOLES, OpStore};

use super::error::SyncError;
use super::message::{Device, Digest, Hello, Message, Ops, Table};
use super::naming::Said;
use super::peer::{self, Lack, Room};
use super::progress::bytes_of;
use super::short::{self, Form, ShortTable, Shorts, Told};
use super::{BATCH, Phase, SYNC_VERSION, Session, SyncEvent, is_out, replica};
use crate::machine::Millis;

impl<S: OpStore + ?Sized> Session<S> {
    pub(super) fn on_hello(&mut self, hello: &Hello, store: &S) -> Result<(), SyncError> {
        if hello.version != SYNC_VERSION || !self.handshake.set_peer_nonce(hello.nonce) {
            return Err(SyncError::Unexpected);
        }
        let proof = *self.handshake.prove(store.discovery_key()).expose();
        self.push(&Message::Proof(proof));
        self.phase = Phase::Proof;
        Ok(())
    }

    pub(super) fn on_proof(&mut self, proof: &[u8; 32], store: &S) -> Result<(), SyncError> {
        if self.handshake.check(proof) {
            self.name_device(store);
            return Ok(());
        }
        let tags = self.handshake.tags(known_secrets(store));
        self.push(&Message::Tags(tags.into()));
        self.phase = Phase::Tags;
        Ok(())
    }

    pub(super) fn on_tags(&mut self, tags: &[u8], store: &S) -> Result<(), SyncError> {
        let known = known_secrets(store)
            .any(|secret| self.handshake.is_tagged(&secret, tags) == Some(true));
        #[cfg(twin_break)]
        let known = known || twin_identity::broken::is("sync_tags_unchecked");
        if known {
            self.name_device(store);
            return Ok(());
        }
        let name = self
            .handshake
            .name(store.discovery_key(), Said::Name, &self.me(store));
        let name = name.map_err(|_| SyncError::Unexpected)?;
        self.push(&Message::Name(name.into()));
        self.phase = Phase::Name;
        Ok(())
    }

    /// A device that knows none of us may have a key that was ours.
    pub(super) fn on_name(&mut self, name: &[u8], store: &S) -> Result<(), SyncError> {
        let keys = store.other_discovery_keys();
        let opened = keys.iter().find_map(|key| {
            let named = self.handshake.open_name(key, Said::Name, name)?;
            Some((key, named))
        });
        let known =
            opened.filter(|(_, named)| store.admits(&named.device) && self.is_signed(named, store));
        let key = known.as_ref().map(|(key, _)| *key);
        let answer = self.handshake.name(key, Said::Answer, &self.me(store));
        let answer = answer.map_err(|_| SyncError::Unexpected)?;
        self.push(&Message::Answer(answer.into()));
        self.phase = Phase::Answer(known.map(|(_, named)| named.device));
        Ok(())
    }

    pub(super) fn on_answer(
        &mut self,
        answer: &[u8],
        named: Option<DeviceId>,
        store: &S,
    ) -> Result<(), SyncError> {
        let key = store.discovery_key();
        let answered = key.and_then(|key| self.handshake.open_name(key, Said::Answer, answer));
        match (named, answered) {
            (Some(device), _) => self.open(device, store),
            (None, Some(device)) => self.on_device(&device, store),
            (None, None) => Err(SyncError::Stranger),
        }
    }

    fn me(&self, store: &S) -> Device {
        Device {
            device: store.device(),
            signature: store.sign_session(&self.handshake.to_sign()),
        }
    }

    fn name_device(&mut self, store: &S) {
        let me = self.me(store);
        self.push(&Message::Device(me));
        self.phase = Phase::Device;
    }

    fn is_signed(&self, named: &Device, store: &S) -> bool {
        let twin = store.identity().twin();
        self.handshake
            .check_device(twin, &named.device, &named.signature)
    }

    pub(super) fn on_device(&mut self, device: &Device, store: &S) -> Result<(), SyncError> {
        if !self.is_signed(device, store) {
            return Err(SyncError::NotLinked);
        }
        self.open(device.device, store)
    }

    /// The peer is this device.
    fn open(&mut self, device: DeviceId, store: &S) -> Result<(), SyncError> {
        // Who is not known may be linked by entries that are still to come; who is known to be out may not.
        if is_out(store, &device) {
            return Err(SyncError::NotLinked);
        }
        self.phase = Phase::Open(device);
        self.peer.set_apart(self.apart(&device, store), store)?;
        self.deadline = None;
        self.events.push_back(SyncEvent::Met(device));
        if self.linked(store) {
            self.announce(store)
        } else {
            self.send_tables(Form::Short, store)
        }
    }

    pub(super) fn announce(&mut self, store: &S) -> Result<(), SyncError> {
        self.tell_selection(store);
        self.ask_to_leave(store);
        self.ask(store)?;
        let digest = replica::digest(store, self.peer.apart())?;
        self.announced = Some(digest);
        self.push(&Message::Digest(Digest {
            digest,
            received: self.received,
        }));
        Ok(())
    }

    /// Asks the peer for keys that are lacking, once for each.
    fn ask(&mut self, store: &S) -> Result<(), SyncError> {
        if !std::mem::take(&mut self.wanting) {
            return Ok(());
        }
        let mut wants = store.wants().map_err(SyncError::store)?;
        wants.retain(|want| self.wanted.insert(*want));
        if !wants.is_empty() {
            self.push(&Message::Wants(wants));
        }
        let mut holes = self.peer.holes(store)?;
        holes.retain(|hole| !self.holes.contains(hole));
        holes.truncate(MAX_HOLES);
        if !holes.is_empty() {
            self.holes.extend(&holes);
            self.push(&Message::Holes(holes));
        }
        Ok(())
    }

    /// The peer lacks content of these ops: they are sent again, as far as it is here.
    pub(super) fn on_holes(&mut self, holes: Vec<Hole>) -> Result<(), SyncError> {
        if holes.len() > MAX_HOLES {
            return Err(SyncError::Unexpected);
        }
        self.to_fill = holes.into_iter().collect();
        self.look_again();
        Ok(())
    }

    pub(super) fn send_tables(&mut self, form: Form, store: &S) -> Result<(), SyncError> {
        self.tables = Some(form);
        self.hears_anew = false;
        self.progress = false;
        let entries = store.identity().entries();
        let in_short = match form {
            Form::Short => short::entries(entries.keys()),
            Form::Whole => None,
        };
        self.push(&match in_short {
            Some(entries) => Message::ShortLogTable(entries),
            None => Message::LogTable(entries.keys().copied().collect()),
        });
        self.send_table_if_linked(store)
    }

    fn send_table_if_linked(&mut self, store: &S) -> Result<(), SyncError> {
        self.table_sent = self.linked(store);
        if self.table_sent {
            self.tell_selection(store);
            self.tell_begun(store);
            let form = self.tables.unwrap_or(Form::Whole);
            let table = replica::table(form, store, self.peer.apart())?;
            self.push(&table);
        }
        Ok(())
    }

    pub(super) fn on_log_table(&mut self, entries: &[EntryId], store: &S) -> Result<(), SyncError> {
        self.peer.learn_log(entries)?;
        // Whoever does not trust the short tables any more is told everything.
        let form = match self.tables {
            None => Some(Form::Short),
            Some(Form::Short) => Some(Form::Whole),
            Some(Form::Whole) => None,
        };
        self.after_log_table(form, store)
    }

    pub(super) fn on_short_log_table(
        &mut self,
        entries: Shorts,
        store: &S,
    ) -> Result<(), SyncError> {
        self.peer.learn_log_in_short(entries, store)?;
        let form = self.tables.is_none().then_some(Form::Short);
        self.after_log_table(form, store)
    }

    fn after_log_table(&mut self, answer: Option<Form>, store: &S) -> Result<(), SyncError> {
        self.look_again();
        if let Some(form) = answer {
            self.send_tables(form, store)?;
        }
        self.refuse_if_not_linked(store)
    }

    pub(super) fn on_table(&mut self, table: &Table, store: &mut S) -> Result<(), SyncError> {
        let rows: Vec<Told> = table.heads.iter().map(Told::from).collect();
        self.look_into(&rows, store)?;
        let forked = self.peer.learn(table, store)?;
        self.learned(forked, store);
        Ok(())
    }

    pub(super) fn on_short_table(
        &mut self,
        table: ShortTable,
        store: &mut S,
    ) -> Result<(), SyncError> {
        if !table.heads.is_sorted_by(|a, b| a.log < b.log) {
            return Err(SyncError::Unexpected);
        }
        let (rows, _) = short::resolve(&table.heads, self.peer.logs(store)?);
        self.look_into(&rows, store)?;
        let forked = self.peer.learn_in_short(table, store)?;
        self.learned(forked, store);
        Ok(())
    }

    fn learned(&mut self, forked: Vec<LogId>, store: &mut S) {
        self.events
            .extend(forked.into_iter().map(SyncEvent::Forked));
        self.tell_found(store);
        self.look_again();
    }

    /// Once all that the peer lists of the identity log is here, the peer must be in it.
    fn refuse_if_not_linked(&self, store: &S) -> Result<(), SyncError> {
        if !self.linked(store) && self.peer.lists_no_other_entries(store) {
            return Err(SyncError::NotLinked);
        }
        Ok(())
    }

    pub(super) fn on_entries(
        &mut self,
        now: Millis,
        entries: &[Vec<u8>],
        store: &mut S,
    ) -> Result<(), SyncError> {
        let known: Vec<EntryId> = store.identity().entries().keys().copied().collect();
        let taken = store.add_entries(now, entries).map_err(SyncError::store)?;
        let all = store.identity().entries().keys().copied();
        self.peer.has_entries(all.filter(|id| !known.contains(id)));
        self.took(taken.new, 0);
        if !self.table_sent {
            self.send_table_if_linked(store)?;
        }
        self.refuse_if_not_linked(store)
    }

    pub(super) fn on_grants(&mut self, grants: &[Vec<u8>], store: &mut S) -> Result<(), SyncError> {
        let known = store.grants().map_err(SyncError::store)?;
        let taken = store.add_grants(grants).map_err(SyncError::store)?;
        let mut all = store.grants().map_err(SyncError::store)?;
        all.retain(|id| known.binary_search(id).is_err());
        self.peer.has_grants(all);
        self.took(taken.new, 0);
        Ok(())
    }

    pub(super) fn on_ops(&mut self, now: Millis, ops: Ops, store: &mut S) -> Result<(), SyncError> {
        let log = ops.origin.log_id(store.identity().twin());
        let (run, bytes) = (ops.ops.len(), bytes_of(&ops.ops));
        let Some(taken) = replica::append(now, ops, store)? else {
            if self.peer.pass_over(log)? {
                self.events.push_back(SyncEvent::PassedOver(log));
            }
            self.look_again();
            return Ok(());
        };
        if let Some(head) = store
            .heads()
            .map_err(SyncError::store)?
            .iter()
            .find(|head| head.log == log)
        {
            // The peer has at least what it has just sent; what we had beyond that, it may lack.
            if taken.new > 0 {
                self.peer.has_ops(log, head.head.height);
            }
        }
        self.tally.took(taken.new, run, bytes);
        self.took(taken.new, taken.new);
        self.tell_progress(now, false, store)
    }

    fn took(&mut self, new: usize, ops: usize) {
        self.look_again();
        if new > 0 {
            self.wanting = true;
            self.progress = true;
            self.events.push_back(SyncEvent::Received { ops });
        }
    }

    /// After whatever came, the peer may lack something, and in any case wants to hear how things stand.
    pub(super) fn look_again(&mut self) {
        self.dirty = true;
        self.announced = None;
    }

    pub(super) fn on_digest(
        &mut self,
        now: Millis,
        theirs: &Digest,
        store: &mut S,
    ) -> Result<(), SyncError> {
        self.heard = Some(theirs.digest);
        if !self.linked(store) {
            return Ok(());
        }
        let same = replica::digest(store, self.peer.apart())? == theirs.digest;
        #[cfg(twin_break)]
        let same = same || twin_identity::broken::is("digests_not_compared");
        if same {
            return self.agree(now, theirs.digest, store);
        }
        if self.hears_anew && self.tables.is_some() {
            // What both have of a space that they keep again is yet to be listed.
            return Ok(());
        }
        let Some(form) = self.tables else {
            return self.send_tables(Form::Short, store);
        };
        // The peer has seen all that we sent, neither side has more to send, and yet the replicas differ.
        let settled = theirs.received == self.sent && self.outbox.is_empty();
        if settled && self.peer.lacks(store)?.is_none() {
            // What was said in short may be why.
            if self.progress || form == Form::Short {
                return self.send_tables(Form::Whole, store);
            }
            self.tell_progress(now, true, store)?;
            let differences = self.peer.differences(store)?.into_iter();
            self.events.extend(differences.map(SyncEvent::Differs));
            self.events.push_back(SyncEvent::Stuck);
        }
        Ok(())
    }

    /// Both have this digest.
    fn agree(&mut self, now: Millis, digest: [u8; 32], store: &mut S) -> Result<(), SyncError> {
        self.agreed = Some(digest);
        self.hears_anew = false;
        self.peer.equals(store)?;
        self.leaving.equal();
        if let Some(device) = self.device() {
            store.in_sync(now, &device, self.peer.apart());
        }
        self.tell_progress(now, true, store)?;
        self.events
            .extend([SyncEvent::Equal(digest), SyncEvent::InSync]);
        Ok(())
    }

    /// What has just been announced may be what the peer had announced before: a log that nobody can take without a key,
    /// which came last.
    pub(super) fn agree_late(&mut self, now: Millis, store: &mut S) -> Result<(), SyncError> {
        match self.announced {
            Some(digest) if self.heard == Some(digest) && self.agreed != Some(digest) => {
                self.agree(now, digest, store)
            }
            _ => Ok(()),
        }
    }

    pub(super) fn next_lack(&mut self, store: &S) -> Result<Option<Message>, SyncError> {
        if self.linked(store) {
            if let Some(links) = self.next_links(store)? {
                return Ok(Some(links));
            }
            if let Some(filling) = peer::filling(&mut self.to_fill, store)? {
                return Ok(Some(Message::Ops(filling)));
            }
        }
        let Some(lack) = self.peer.lacks(store)? else {
            return Ok(None);
        };
        // A peer may be linked by entries that are still to come from it: until then it gets no more than the log.
        let may_have = matches!(lack, Lack::Entries(_)) || self.linked(store);
        #[cfg(twin_break)]
        let may_have = may_have || twin_identity::broken::is("table_of_unlinked_answered");
        if !may_have {
            return Ok(None);
        }
        self.progress = true;
        let message = self.peer.give(lack, store, Room::About(BATCH))?;
        if let Some(Message::Ops(ops)) = &message {
            self.tally.gave(&ops.ops);
            let ops = ops.ops.len();
            self.events.push_back(SyncEvent::Sent { ops });
        }
        Ok(message)
    }
}

/// The secrets that this device shares with those that it takes for others of its twin.
fn known_secrets<S: OpStore + ?Sized>(store: &S) -> impl Iterator<Item = Secret<32>> {
    let me = store.device();
    let devices = store.identity().devices().keys();
    let others = devices.filter(move |device| **device != me && store.admits(device));
    others.filter_map(|device| store.shared_secret(device))
}
