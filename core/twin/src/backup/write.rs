//! Making a sealed export.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use twin_identity::entry::Entry;
use twin_identity::log::IdentityLog;
use twin_ops::backup::{
    ByteVec, FileKey, Header, Item, LogRow, Manifest, Ops, Reading, Stand, heights, recipients,
};
use twin_ops::chain::Head;
use twin_ops::grant::{Grant, GrantId};
use twin_ops::op::{LogId, Origin};
use twin_ops::space::{SpaceId, SpaceName};
use twin_ops::store::OpStore;
use twin_vault::Vault;

use super::draft::Draft;
use super::output::Output;
use super::{Scope, content};
use crate::error::{Error, Result};
use crate::platform::{DAY, rng};
use crate::progress::{Progress, Unit, Watch, tell_of};
use crate::twin::Twin;

/// How many rows of the table of logs are in one item.
const ROWS: usize = 1024;
/// How many bytes of entries, grants or ops are in one item, or one of them if that is longer.
pub(super) const RUN: usize = 256 << 10;

/// What was exported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Signed operations.
    pub operations: u64,
    /// Length of the file, in bytes.
    pub bytes: u64,
    /// How many of them were there already, from an export that was broken off.
    pub kept: u64,
    /// When it was begun, in milliseconds since the Unix epoch: what was written since is not in it.
    pub begun: u64,
    /// Chunks of files.
    pub chunks: u64,
    /// How many chunks are damaged here, and so not in it.
    pub damaged: u64,
    /// How many files are not, or not whole, on this device, and so not in it.
    pub incomplete: u64,
    /// The first hundred of these, by space, collection and id of their record.
    pub incomplete_names: Vec<String>,
}

/// What is to be in an export, as it was when the export was begun.
struct Plan {
    space: Option<SpaceName>,
    /// The spaces whose logs go along; `None` for all.
    spaces: Option<BTreeSet<SpaceId>>,
    /// Whether content of files goes along.
    content: bool,
}

type Logs = BTreeMap<LogId, (Origin, Head)>;

impl Twin {
    /// Writes everything, or one space, into one sealed file: for the words, guardians who hold the data, this device
    /// and all that take part. What is written to the twin meanwhile is not in it. Content of files is, as far as it is on
    /// this device; what is not, is told.
    ///
    /// It is written under the name `file` with `.unfinished` after it. If the work is broken off, that stays, and the
    /// next call goes on with it, if that was begun within a day, who is in the twin is as it was, and nothing was erased
    /// since; else it begins anew.
    pub fn export_sealed(
        &self,
        file: &Path,
        scope: &Scope,
        watch: &mut Watch<'_>,
    ) -> Result<Sealed> {
        self.export_planned(file, self.plan(scope, true)?, watch)
    }

    /// As [`Twin::export_sealed`], without the content of files: their records only.
    pub fn export_sealed_records(
        &self,
        file: &Path,
        scope: &Scope,
        watch: &mut Watch<'_>,
    ) -> Result<Sealed> {
        self.export_planned(file, self.plan(scope, false)?, watch)
    }

    fn export_planned(&self, file: &Path, plan: Plan, watch: &mut Watch<'_>) -> Result<Sealed> {
        let mut draft = Draft::open(file)?;
        let left = draft.kept(self.vault().device_keys())?;
        let left = left.filter(|kept| plan.goes_on(&self.vault(), self.now(), &kept.reading));
        let kept = left.as_ref().map_or(0, |kept| kept.place.at());
        let (mut output, reading) = match left {
            Some(kept) => Output::go_on(draft, kept)?,
            None => self.begin_export(draft, &plan)?,
        };
        // Those that the manifest speaks of, whatever comes while this is written.
        let entries = self.entries_in_order();
        let written = reading.log().map(IdentityLog::entries);
        let is_written = |id| written.is_some_and(|written| written.contains_key(id));
        let new = entries.iter().filter(|entry| !is_written(&entry.id));
        write_entries(&mut output, new)?;
        self.write_grants(&mut output, &plan, |id| reading.has_grant(id))?;
        let operations = self.write_ops(&mut output, &reading, watch)?;
        let mut sealed = Sealed {
            operations,
            bytes: 0,
            kept,
            begun: reading.manifest().map_or(0, Manifest::made),
            chunks: 0,
            damaged: 0,
            incomplete: 0,
            incomplete_names: Vec::new(),
        };
        if let Some(content) = reading.content() {
            (sealed.chunks, sealed.incomplete) = (content.chunks, content.incomplete);
        } else if plan.content {
            let spaces = plan.spaces.as_ref();
            let written = self.write_chunks(&mut output, &reading, spaces, watch)?;
            let incomplete = self.incomplete_files(plan.space.as_ref())?;
            (sealed.chunks, sealed.damaged) = (written.chunks, written.damaged);
            (sealed.incomplete, sealed.incomplete_names) = (incomplete.count, incomplete.named);
        }
        if reading.content().is_none() {
            output.write(&content::end(
                sealed.chunks,
                sealed.incomplete,
                !plan.content,
            ))?;
        }
        let logs = plan.logs(&self.vault())?;
        if erased_since(&self.vault(), &logs, &reading)? {
            return Err(Error::ExportChanged);
        }
        // Once more what everything else hangs on, so that no one place that is damaged takes it all.
        for item in opening(&reading) {
            output.write(&item)?;
        }
        write_entries(&mut output, &entries)?;
        self.write_grants(&mut output, &plan, |_| false)?;
        sealed.bytes = output.finish()?;
        Ok(sealed)
    }

    fn plan(&self, scope: &Scope, content: bool) -> Result<Plan> {
        self.refresh()?;
        let mut vault = self.vault();
        if vault
            .identity()
            .role_once(&vault.device_keys().id())
            .is_none()
        {
            // Guardians have spoken for it, and have to be waited for; nobody would believe what it signs.
            return Err(Error::NotYet);
        }
        let Scope::Space(name) = scope else {
            return Ok(Plan {
                space: None,
                spaces: None,
                content,
            });
        };
        if !vault.spaces()?.contains(name) {
            return Err(Error::NoSuchSpace);
        }
        let spaces = [name, &SpaceName::members()].map(|name| name.id(vault.twin()));
        Ok(Plan {
            space: Some(name.clone()),
            spaces: Some(spaces.into()),
            content,
        })
    }

    /// Begins a file: header, manifest, table of logs.
    fn begin_export(&self, draft: Draft, plan: &Plan) -> Result<(Output, Reading)> {
        let vault = self.vault();
        let logs = plan.logs(&vault)?;
        let now = self.now();
        let device = vault.device_keys();
        let key = FileKey::random(&mut rng());
        let recipients = recipients(vault.identity(), now, device.public());
        let header = Header::seal(&key, &recipients, &mut rng())?;
        let heights = heights(logs.iter().map(|(log, (_, head))| (log, head)));
        let space = plan.space.clone();
        let log = vault.identity();
        let manifest = Manifest::sign(*header.file(), now, space, log, heights, device);
        let rows = logs.values().map(|(origin, head)| LogRow {
            origin: *origin,
            height: head.height,
            link: head.link,
        });
        let rows: Vec<LogRow> = rows.collect();
        let items = opening_of(manifest, &rows);

        let mut output = Output::begin(draft, &header, &key)?;
        let mut reading = Reading::new(*header.file());
        for item in items {
            // What a reader would refuse is not written.
            reading.take(&item)?;
            output.write(&item)?;
        }
        Ok((output, reading))
    }

    /// The entries of the identity log, each after all that it builds on.
    fn entries_in_order(&self) -> Vec<Arc<Entry>> {
        let vault = self.vault();
        let mut entries: Vec<Arc<Entry>> = vault.identity().entries().values().cloned().collect();
        entries.sort_by_key(|entry| entry.place.seq);
        entries
    }

    fn write_grants(
        &self,
        output: &mut Output,
        plan: &Plan,
        is_written: impl Fn(&GrantId) -> bool,
    ) -> Result<()> {
        let mut grants = match &plan.spaces {
            Some(spaces) => self.vault().grants_of(spaces)?,
            None => self.vault().all_grants()?,
        };
        grants.retain(|bytes| !Grant::from_bytes(bytes).is_ok_and(|grant| is_written(&grant.id)));
        for some in in_runs(grants) {
            output.write(&Item::Grants(some))?;
        }
        Ok(())
    }

    /// Writes the logs as far as they went when the export was begun. Others can use the vault between two runs.
    fn write_ops(
        &self,
        output: &mut Output,
        reading: &Reading,
        watch: &mut Watch<'_>,
    ) -> Result<u64> {
        let logs = reading.promised();
        let reached = reading.reached();
        let begins = begins(&self.vault(), logs)?;
        let begun_at = |log: &LogId| begins.get(log).map_or(0, |base| base.height);
        let heights = logs.iter();
        let total = heights
            .map(|(log, (_, head))| head.height - begun_at(log))
            .sum();
        let mut done = 0;
        // The lock is not held meanwhile.
        let logs = in_order(&self.vault(), logs);
        for (log, (origin, head)) in logs {
            let written = reached.get(log).map(|head| head.height);
            let base = begins.get(log).copied();
            let mut base = base.filter(|_| written.is_none());
            let mut at = written.unwrap_or_else(|| begun_at(log));
            done += at.saturating_sub(begun_at(log));
            while at < head.height || base.is_some() {
                let mut run = self.vault().read_run(log, at, RUN)?;
                let left = usize::try_from(head.height - at).unwrap_or(usize::MAX);
                run.truncate(left);
                if run.is_empty() && left > 0 {
                    return Err(Error::ExportChanged);
                }
                at += run.len() as u64;
                done += run.len() as u64;
                output.write(&Item::Ops(Ops {
                    origin: *origin,
                    run: run.into_iter().map(Into::into).collect(),
                    base: base.take(),
                }))?;
                let progress = Progress {
                    done,
                    total: Some(total),
                    unit: Unit::Operations,
                };
                tell_of(watch, progress)?;
            }
            if self.vault().link_at(log, head.height)? != Some(head.link) {
                return Err(Error::ExportChanged);
            }
        }
        Ok(total)
    }
}

impl Plan {
    fn logs(&self, vault: &Vault) -> Result<Logs> {
        let mut logs = Logs::new();
        for here in vault.heads()? {
            let Some(origin) = vault.origin(&here.log)? else {
                continue;
            };
            let spaces = self.spaces.as_ref();
            if spaces.is_none_or(|spaces| spaces.contains(&origin.space)) {
                logs.insert(here.log, (origin, here.head));
            }
        }
        Ok(logs)
    }

    /// Whether what is left of an export is this one, begun by this device, and still true.
    fn goes_on(&self, vault: &Vault, now: u64, reading: &Reading) -> bool {
        let Some(manifest) = reading.manifest() else {
            return false;
        };
        let promised = reading.promised();
        let table = heights(promised.iter().map(|(log, (_, head))| (log, head)));
        let Ok(logs) = self.logs(vault) else {
            return false;
        };
        let counts = |log: &LogId, head: &Head| {
            let enough = logs
                .get(log)
                .is_some_and(|(_, now)| now.height >= head.height);
            enough
                && vault
                    .link_at(log, head.height)
                    .is_ok_and(|link| link == Some(head.link))
        };
        *manifest.signer() == vault.device_keys().id()
            && now.abs_diff(manifest.made()) < DAY
            // It has what is to be nowhere.
            && erased_since(vault, &logs, reading).is_ok_and(|erased| !erased)
            && manifest.verify(vault.identity()).is_ok()
            && manifest.space() == self.space.as_ref()
            && (self.content || reading.chunks() == 0)
            && reading.content().is_none_or(|content| content.left_out != self.content)
            // Whoever has come or gone since is to be able to open it, or not to.
            && *manifest.stand() == Stand::of(vault.identity())
            && *manifest.heights() == table
            // What was written of a log goes on from where it has come to.
            && promised.iter().all(|(log, (_, head))| {
                let base = vault.base(log).ok().flatten();
                let base = base.map_or(0, |base| base.height);
                base <= reading.reached().get(log).unwrap_or(head).height
            })
            && promised.iter().all(|(log, (_, head))| counts(log, head))
    }
}

/// Whether anything that may be in an export of these logs was erased since it was begun.
fn erased_since(vault: &Vault, logs: &Logs, reading: &Reading) -> Result<bool> {
    let erases = vault.erases_behind(|log| match reading.promised().get(log) {
        Some((_, head)) => Some(head.height),
        None => logs.contains_key(log).then_some(0),
    });
    Ok(erases?)
}

/// What logs begin after, where a checkpoint supersedes what is before: all of a log whose last ops do not count.
fn begins(vault: &Vault, logs: &Logs) -> Result<BTreeMap<LogId, Head>> {
    let mut begins = BTreeMap::new();
    for (log, (_, head)) in logs {
        if let Some(base) = vault.base(log)? {
            begins.insert(
                *log,
                if base.height < head.height {
                    base
                } else {
                    *head
                },
            );
        }
    }
    Ok(begins)
}

/// Logs in the order in which they can be taken in: first those that begin with a checkpoint, for what others begin
/// after is said there.
fn in_order<'l>(vault: &Vault, logs: &'l Logs) -> Vec<(&'l LogId, &'l (Origin, Head))> {
    let checkpoints = vault.checkpoints();
    let first: BTreeSet<LogId> = checkpoints.iter().map(|standing| standing.log).collect();
    let mut logs: Vec<_> = logs.iter().collect();
    logs.sort_by_key(|(log, _)| !first.contains(*log));
    logs
}

fn write_entries<'e>(
    output: &mut Output,
    entries: impl IntoIterator<Item = &'e Arc<Entry>>,
) -> Result<()> {
    let entries = entries.into_iter().map(|entry| entry.to_bytes().to_vec());
    for some in in_runs(entries) {
        output.write(&Item::Entries(some))?;
    }
    Ok(())
}

/// What an export begins with: its manifest and the table of its logs.
fn opening_of(manifest: Manifest, rows: &[LogRow]) -> impl Iterator<Item = Item> {
    let tables = rows.chunks(ROWS).map(|rows| Item::Logs(rows.to_vec()));
    std::iter::once(Item::Manifest(Box::new(manifest))).chain(tables)
}

/// The same, of what was begun.
fn opening(reading: &Reading) -> Vec<Item> {
    let promised = reading.promised().values();
    let rows = promised.map(|(origin, head)| LogRow {
        origin: *origin,
        height: head.height,
        link: head.link,
    });
    let rows: Vec<LogRow> = rows.collect();
    let manifest = reading.manifest().cloned();
    let opening = manifest.map(|manifest| opening_of(manifest, &rows).collect());
    opening.unwrap_or_default()
}

/// Things in lists that make an item each.
fn in_runs(all: impl IntoIterator<Item = Vec<u8>>) -> Vec<Vec<ByteVec>> {
    let mut runs = Vec::new();
    let (mut run, mut len) = (Vec::new(), 0);
    for bytes in all {
        if len + bytes.len() > RUN && !run.is_empty() {
            runs.push(std::mem::take(&mut run));
            len = 0;
        }
        len += bytes.len();
        run.push(bytes.into());
    }
    if !run.is_empty() {
        runs.push(run);
    }
    runs
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use twin_vault::Unlock;

    use super::*;

    #[test]
    fn an_old_one_is_not_gone_on_with() {
        let dir = tempfile::tempdir().unwrap();
        let unlock = Unlock::Password("a good one");
        let words = Twin::new_words();
        let home = dir.path().join("home");
        let twin = Twin::create(&home, unlock, words, "Ada", "phone").unwrap();
        let plan = twin.plan(&Scope::Twin, true).unwrap();
        let draft = Draft::open(&dir.path().join("export")).unwrap();
        let (_output, reading) = twin.begin_export(draft, &plan).unwrap();
        let begun = reading.manifest().unwrap().made();
        let goes_on = |now| plan.goes_on(&twin.vault(), now, &reading);
        assert!(goes_on(begun) && goes_on(begun + DAY - 1));
        assert!(!goes_on(begun + DAY) && !goes_on(begun - DAY));
    }
}
