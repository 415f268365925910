//! How things stand at the end of a traced run: what every device of our twin knows, one line for each thing.

use std::collections::BTreeMap;

use twin_identity::body::Body;
use twin_identity::id::DeviceId;
use twin_ops::grant::Grant;
use twin_ops::store::OpStore;

use super::cast::Cast;

impl Cast {
    /// Tells the trace who is in by each device, what is in its identity log, and what it was granted.
    pub fn tell_standing(&mut self) {
        if self.trace.lines.is_none() {
            return;
        }
        let mut lines = Vec::new();
        for device in self.of_twin(0) {
            lines.extend(self.standing(device));
        }
        let lines = lines.into_iter().map(|line| format!("          {line}"));
        self.trace.lines.get_or_insert_default().extend(lines);
    }

    fn standing(&self, number: usize) -> Vec<String> {
        let device = &self.devices[number];
        if !device.is_up() {
            return vec![format!("device {number} is down")];
        }
        let numbers: BTreeMap<DeviceId, usize> = (0..)
            .zip(&self.devices)
            .map(|(number, device)| (device.id, number))
            .collect();
        let name = |id: &DeviceId| match numbers.get(id) {
            Some(number) => number.to_string(),
            None => "nobody".to_owned(),
        };
        let vault = device.vault_ref();
        let log = vault.identity();
        let who = log.devices().values().map(|device| {
            let suspended = if device.suspended { " suspended" } else { "" };
            format!("{} {:?}{suspended}", name(&device.public.id), device.role)
        });
        let who: Vec<String> = who.collect();
        let mut lines = vec![format!(
            "device {number}: {} rotations, contested: {}, in: {who:?}",
            log.rotations(),
            log.is_contested()
        )];
        let mut entries: Vec<_> = log.entries().values().collect();
        entries.sort_by_key(|entry| (entry.place.seq, entry.id));
        lines.extend(entries.into_iter().map(|entry| {
            let what = match &entry.body {
                Body::Rotate(rotate) => {
                    let keeps = rotate.keeps.iter().map(|kept| name(&kept.device));
                    format!("rotates, keeps {:?}", keeps.collect::<Vec<_>>())
                }
                Body::AddDevice(statement) => {
                    format!("adds {} {:?}", name(&statement.device.id), statement.role)
                }
                Body::Revoke(removal) => format!("revokes {}", name(&removal.device)),
                Body::Suspend(removal) => format!("suspends {}", name(&removal.device)),
                Body::Resume(device) => format!("resumes {}", name(device)),
                Body::Raise(removal) => format!("raises {}", name(&removal.device)),
                Body::Fork(fork) => format!("gives up a branch from {}", fork.branch.height),
                other => format!("{other:?}"),
            };
            let signer = entry.signer.map_or("words".to_owned(), |id| name(&id));
            let base = &entry.place.base;
            let (id, prevs) = (entry.id, &entry.place.prevs);
            format!("  {id:?} under {base:?} after {prevs:?}: {signer} {what}")
        }));
        let mut grants = Vec::new();
        for id in vault.grants().unwrap_or_default() {
            let bytes = vault.grant(&id).ok().flatten().unwrap_or_default();
            if let Ok(grant) = Grant::from_bytes(&bytes) {
                let to: Vec<String> = grant
                    .recipients()
                    .map(|to| match to {
                        twin_ops::grant::Recipient::Device(device) => name(&device),
                        other => format!("{other:?}"),
                    })
                    .collect();
                let epochs: Vec<_> = self.truth.given_by(&id);
                grants.push(format!(
                    "  grant {id:?} by {} under {:?} after {:?} to {to:?}: {epochs:?}",
                    name(&grant.signer()),
                    grant.base(),
                    grant.heads()
                ));
            }
        }
        lines.extend(grants);
        for head in vault.heads().unwrap_or_default() {
            let author = self.truth.author(&head.log);
            let author = author.map_or("nobody".to_owned(), |id| name(&id));
            let base = vault.base(&head.log).ok().flatten();
            lines.push(format!(
                "  log {:?} by {author} up to {} {:?}, from {base:?}",
                head.log, head.head.height, head.head.link
            ));
        }
        for hole in vault.holes().unwrap_or_default() {
            lines.push(format!("  lacks of {:?} op {}", hole.log, hole.seq));
        }
        lines
    }
}
