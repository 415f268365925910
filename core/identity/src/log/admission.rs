//! Who may say what. An entry is judged by its past alone: what came by other branches does not count, so that every
//! replica answers alike, whatever came first. What cannot be told from the past is left to `term` and `path`.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::body::{Body, Rotate};
use crate::device::Role;
use crate::entry::Entry;
use crate::id::DeviceId;
use crate::sign::{SignatureError, Use, Verifier};

use super::graph::Bits;
use super::term::{Device, Start, Term, raise};
use super::time::is_timed;
use super::{
    IdentityLog, LogError, MAX_DEVICES, MAX_ENTRIES, MAX_ENTRIES_PER_SIGNER, MAX_FORKS,
    MAX_ROTATIONS, MAX_TERM, MAX_UNVERIFIED,
};

/// How many branches are remembered.
const MAX_TIPS: usize = 16;

impl IdentityLog {
    /// Judges an entry and takes it in, but leaves the path as it was. `Ok(false)`: it was there already.
    pub(super) fn admit(&mut self, entry: Entry) -> Result<bool, LogError> {
        if self.entries.contains_key(&entry.id) {
            return Ok(false);
        }
        let past = self.check_place(&entry)?;
        if !entry.known_suite {
            // Nobody can say whether it is genuine: kept and passed on, and nothing else.
            if self.unverified >= MAX_UNVERIFIED {
                return Err(LogError::Limit);
            }
            self.unverified += 1;
            self.keep(entry, past);
            return Ok(true);
        }
        let base = self.graph.number(&entry.place.base);
        if let Some(rotate) = entry.rotation() {
            let start = self.check_rotation(&entry, rotate, base, &past)?;
            let number = self.keep(entry, past);
            let start = Start { number, ..start };
            self.terms.insert(number, Term::new(&start));
            self.starts.insert(number, start);
            return Ok(true);
        }
        // Only a rotation can follow the genesis.
        let base = base.ok_or(LogError::NotAllowed)?;
        // What comes under the rotation that counts has room of its own: who filled the log before it cannot keep
        // anybody out after it.
        let others = self.entries.len() - self.graph.rotations();
        let is_full = others >= MAX_ENTRIES && !self.standing().contains(&base);
        if is_full || self.graph.term_len(base) >= MAX_TERM {
            return Err(LogError::Limit);
        }
        if self.graph.term_is_in(base, &past) {
            self.ensure_term(base);
            let mut term = self.terms.remove(&base).unwrap_or_default();
            let checked = self.check_device_entry(&entry, base, &past, &term);
            if checked.is_ok() {
                let number = self.keep(entry, past);
                if !term.tangled {
                    term.follow(&self.graph, number);
                    self.terms.insert(base, term);
                }
            } else {
                self.terms.insert(base, term);
            }
            return checked.map(|()| true);
        }
        // A branch goes on from where it was left, if that is remembered.
        let tip = match entry.place.prevs.as_slice() {
            [prev] => self.graph.number(prev).filter(|prev| {
                let node = self.graph.node(*prev);
                node.is_some_and(|node| node.base == Some(base))
            }),
            _ => None,
        };
        let term = tip.and_then(|tip| self.tips.remove(&tip));
        let mut term = term.unwrap_or_else(|| self.term_within(base, &past));
        let checked = self.check_device_entry(&entry, base, &past, &term);
        let tip = if checked.is_ok() {
            let number = self.keep(entry, past);
            self.terms.remove(&base);
            if !term.tangled {
                term.follow(&self.graph, number);
            }
            Some(number)
        } else {
            tip
        };
        if let Some(tip) = tip.filter(|_| !term.tangled) {
            if self.tips.len() >= MAX_TIPS {
                self.tips.clear();
            }
            self.tips.insert(tip, term);
        }
        checked.map(|()| true)
    }

    fn keep(&mut self, entry: Entry, past: Bits) -> usize {
        self.unseen |= is_timed(&entry);
        for statement in entry.body.names() {
            let id = statement.device.id;
            let key = Verifier::new(&id).map(|key| (id, key));
            self.keys.extend(key);
        }
        let entry = Arc::new(entry);
        self.entries.insert(entry.id, Arc::clone(&entry));
        self.graph.add(entry, past)
    }

    /// How things stand under a rotation, given what is in `past`.
    pub(super) fn term_within(&self, rotation: usize, past: &Bits) -> Term {
        let members = self.graph.term(rotation);
        let members: Vec<usize> = members.filter(|number| past.contains(*number)).collect();
        match self.starts.get(&rotation) {
            Some(start) => Term::judge(&self.graph, start, &members),
            None => Term::default(),
        }
    }

    /// Judges a term anew if something has changed in it that [`Term::follow`] cannot follow.
    pub(super) fn ensure_term(&mut self, rotation: usize) {
        if self.terms.contains_key(&rotation) {
            return;
        }
        let members: Vec<usize> = self.graph.term(rotation).collect();
        if let Some(start) = self.starts.get(&rotation) {
            let term = Term::judge(&self.graph, start, &members);
            self.terms.insert(rotation, term);
        }
    }

    /// Where an entry stands: after all that it names, the rotation that it is based on among it. Returns its past.
    fn check_place(&self, entry: &Entry) -> Result<Bits, LogError> {
        let place = &entry.place;
        let genesis = self.genesis.entry_id();
        let first = place.prevs == [genesis];
        let mut seq = 0;
        for prev in &place.prevs {
            seq = seq.max(match self.entries.get(prev) {
                // Not every replica keeps what nobody can verify, and each must be able to take this.
                Some(prev) if entry.known_suite && !prev.known_suite => {
                    return Err(LogError::Rule);
                }
                Some(prev) => prev.place.seq,
                None if first => 0,
                None => return Err(LogError::MissingPrev),
            });
        }
        if seq.checked_add(1) != Some(place.seq) {
            return Err(LogError::Rule);
        }
        let past = self
            .graph
            .past_of(&place.prevs)
            .ok_or(LogError::MissingPrev)?;
        let based = match self.graph.number(&place.base) {
            Some(base) => {
                let rotation = self.entries.get(&place.base);
                past.contains(base) && rotation.is_some_and(|base| base.rotation().is_some())
            }
            None => place.base == genesis,
        };
        if based || !entry.known_suite {
            Ok(past)
        } else {
            Err(LogError::Rule)
        }
    }

    fn check_rotation(
        &self,
        entry: &Entry,
        rotate: &Rotate,
        base: Option<usize>,
        past: &Bits,
    ) -> Result<Start, LogError> {
        if entry.signer.is_some() {
            return Err(LogError::Rule);
        }
        // Words that were replaced can still sign what came after the ones that they were for: that fills no log.
        let follows = base == self.path.tip();
        let beside = self.graph.successors(base).count();
        if !follows && (beside >= MAX_FORKS || self.graph.rotations() >= MAX_ROTATIONS) {
            return Err(LogError::Limit);
        }
        let before = base.and_then(|base| self.graph.entry(base)?.rotation());
        let revealed = rotate.authority.hash();
        let guardians = before.and_then(|before| before.guardians.as_ref());
        let by_guardians = guardians.is_some_and(|guardians| guardians.authority == revealed);
        let generation = before.map_or(0, |before| before.generation);
        let next_generation = generation.saturating_add(u32::from(before.is_some()));
        if (revealed != self.graph.commitment(base) && !by_guardians)
            || !(generation..=next_generation).contains(&rotate.generation)
        {
            return Err(LogError::Rule);
        }
        let term = base.map_or_else(Term::default, |base| self.term_within(base, past));
        let start = self.start(entry, rotate, term, past)?;
        rotate
            .authority
            .verify_entry(&self.twin, entry.id.as_bytes(), &entry.signature)?;
        for statement in &rotate.devices {
            statement.verify(&self.twin)?;
        }
        Ok(start)
    }

    /// How things stand where a rotation begins, given how they stood before.
    fn start(
        &self,
        entry: &Entry,
        rotate: &Rotate,
        before: Term,
        past: &Bits,
    ) -> Result<Start, LogError> {
        let mut lines = before.lines.clone();
        for device in before.stops.keys() {
            lines.insert(*device, before.lines_of(&self.graph, device));
        }
        let Term {
            devices,
            waiting,
            mut gone,
            forks,
            ..
        } = before;
        let voters = devices.values().filter(|device| !device.suspended);
        let voters = voters.map(|device| device.public.id).collect();
        let mut kept = BTreeMap::new();
        for keep in &rotate.keeps {
            let known = devices.get(&keep.device);
            let known = known.or_else(|| waiting.get(&keep.device)).cloned();
            // The words bring back whom a thief has removed.
            let known = known.or_else(|| {
                let role = *gone.get(&keep.device)?;
                let (statement, added) = self.graph.statement(&keep.device, past)?;
                Some(Device {
                    role,
                    ..Device::new(statement, added)
                })
            });
            let known = known.ok_or(LogError::Rule)?;
            if keep.role < known.role {
                return Err(LogError::Rule);
            }
            let device = Device {
                role: keep.role,
                suspended: keep.suspended,
                ..known
            };
            kept.insert(keep.device, device);
            gone.remove(&keep.device);
        }
        for statement in &rotate.devices {
            let id = statement.device.id;
            // Keys are for one device, once.
            if self.graph.is_named(&id, past) || kept.contains_key(&id) {
                return Err(LogError::Rule);
            }
            kept.insert(id, Device::new(statement, entry.id));
        }
        if !kept.values().any(Device::is_admin) {
            return Err(LogError::Rule);
        }
        if kept.len() > MAX_DEVICES {
            return Err(LogError::Limit);
        }
        for device in devices.into_values() {
            if !kept.contains_key(&device.public.id) {
                gone.insert(device.public.id, device.role);
            }
        }
        for removal in &rotate.removals {
            if kept.contains_key(&removal.device) {
                return Err(LogError::Rule);
            }
            raise(&mut lines, removal);
        }
        lines.retain(|device, _| kept.get(device).is_none_or(|device| device.suspended));
        Ok(Start {
            devices: kept,
            gone,
            lines,
            forks,
            voters,
            number: 0,
        })
    }

    fn check_device_entry(
        &self,
        entry: &Entry,
        base: usize,
        past: &Bits,
        term: &Term,
    ) -> Result<(), LogError> {
        let signer = entry.signer.ok_or(LogError::NotAllowed)?;
        let known = term.devices.get(&signer);
        let admin = known.is_some_and(Device::is_admin);
        #[cfg(twin_break)]
        let admin = admin
            || (crate::broken::is("any_device_may_add") && self.devices().contains_key(&signer));
        let other = |id: &DeviceId| {
            let device = term.devices.get(id).ok_or(LogError::Rule)?;
            if *id == signer {
                Err(LogError::Rule)
            } else {
                Ok(device)
            }
        };
        let allowed = match &entry.body {
            Body::AddDevice(statement) => {
                let id = &statement.device.id;
                match term.devices.get(id) {
                    Some(known) if known.role >= statement.role || known.suspended => {
                        return Err(LogError::Rule);
                    }
                    // Made an admin.
                    Some(_) => {}
                    None if self.graph.is_named(id, past) => return Err(LogError::Rule),
                    None if term.devices.len() >= MAX_DEVICES => return Err(LogError::Limit),
                    None => {}
                }
                admin
            }
            Body::Revoke(removal) if removal.device == signer => {
                let known = term.devices.get(&signer).ok_or(LogError::NotAllowed)?;
                let mut others = term
                    .devices
                    .values()
                    .filter(|device| device.public.id != signer);
                // The last admin can only be replaced, or nobody could change anything any more.
                known.role == Role::Member || others.any(Device::is_admin)
            }
            Body::Revoke(removal) => other(&removal.device)?.role == Role::Member && admin,
            Body::Suspend(removal) => !other(&removal.device)?.suspended && admin,
            Body::Resume(device) => other(device)?.suspended && admin,
            Body::Acknowledge => {
                let start = self.starts.get(&base);
                start.is_some_and(|start| start.voters.contains(&signer))
                    && !self.has_said(base, past, &signer, &entry.body)
            }
            Body::Veto(rotation) => {
                let number = self.graph.number(rotation);
                let pending = number.is_some_and(|number| {
                    let follows = self.graph.node(number).map(|node| node.base) == Some(Some(base));
                    past.contains(number) && follows && self.graph.is_by_guardians(number)
                });
                let may_speak = known.is_some_and(|device| !device.suspended);
                pending && may_speak && !self.has_said(base, past, &signer, &entry.body)
            }
            Body::Raise(removal) => {
                let suspended = term.devices.get(&removal.device);
                let out = term.gone.contains_key(&removal.device)
                    || suspended.is_some_and(|device| device.suspended);
                out && admin
            }
            Body::Fork(_) => {
                let may_speak = known.is_some_and(|device| !device.suspended);
                may_speak && !self.has_said(base, past, &signer, &entry.body)
            }
            Body::Unknown { .. } => admin,
            Body::Rotate(_) => false,
        };
        if !allowed {
            return Err(LogError::NotAllowed);
        }
        if self.graph.said(base, &signer, past).count() >= MAX_ENTRIES_PER_SIGNER {
            return Err(LogError::Limit);
        }
        self.verify(entry, &signer)?;
        if let Body::AddDevice(statement) = &entry.body {
            statement.verify(&self.twin)?;
        }
        Ok(())
    }

    /// Whether a device has said the same before, as far as an entry knows.
    fn has_said(&self, base: usize, past: &Bits, signer: &DeviceId, body: &Body) -> bool {
        let mut said = self.graph.said(base, signer, past);
        said.any(|entry| entry.body == *body)
    }

    fn verify(&self, entry: &Entry, signer: &DeviceId) -> Result<(), LogError> {
        let signature = entry.signature.as_slice();
        let signature = signature.try_into().map_err(|_| SignatureError)?;
        #[cfg(twin_break)]
        if crate::broken::is("entry_signature_unchecked") {
            return Ok(());
        }
        let id = entry.id.as_bytes();
        let signer = self.keys.get(signer).ok_or(SignatureError)?;
        signer.verify(Use::Entry, &self.twin, id, &signature)?;
        Ok(())
    }
}
