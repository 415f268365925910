//! Getting from the other devices what is not here of a file.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use twin_identity::id::DeviceId;
use twin_ops::space::SpaceName;
use twin_sync::session::Stay;
use twin_vault::files::{Keep, Root, WantedFile};

use crate::devices::DeviceState;
use crate::error::{Error, Result};
use crate::online::{OnlineConfig, OnlineEvent};
use crate::progress::{Progress, Unit, Watch, tell_of};
use crate::space::Collection;
use crate::twin::Twin;

/// How often whoever watches is told, and asked whether to go on.
const TELL: Duration = Duration::from_millis(200);
/// How often it is counted anew what is missing; less often if that takes long.
const COUNT: Duration = Duration::from_secs(1);
/// How many times longer than a count took nothing is counted.
const REST: u32 = 20;

/// Content that is not here and that somebody waits for: as long as this is kept, it comes before everything else that
/// this device lacks when another one is met. What has come stays; who begins again goes on from there.
pub struct Fetch {
    twin: Twin,
    space: SpaceName,
    root: Root,
    wanted: WantedFile,
    /// How many chunks the file has, how many were missing when they were counted, and how many had come until then.
    chunks: u64,
    missing: u64,
    counted_at: u64,
    next_count: Instant,
}

impl Drop for Fetch {
    fn drop(&mut self) {
        self.twin.vault().unwant_file(&self.wanted);
    }
}

impl Collection {
    /// Begins to wait for the file that a record holds; `None` if all of it is here. Sessions that are open ask for it at
    /// once; [`Fetch::wait`] and [`Twin::fetch_once`] wait until it is here.
    ///
    /// # Errors
    /// Among others [`Error::NoSuchFile`] if there is no such record, or it holds no file.
    pub fn fetch_file(&self, id: &str) -> Result<Option<Fetch>> {
        let root = self.root_of_file(id)?;
        let (twin, space) = (self.space().twin().clone(), self.space().name().clone());
        let mut vault = twin.vault();
        let missing = vault.missing_chunks(&space, &root, 0)?;
        if missing.count == 0 {
            return Ok(None);
        }
        let wanted = vault.want_file(&space, self.name(), id, &root)?;
        drop(vault);
        twin.notify();
        Ok(Some(Fetch {
            twin,
            space,
            root,
            wanted,
            chunks: missing.chunks,
            missing: missing.count,
            counted_at: 0,
            next_count: Instant::now(),
        }))
    }
}

impl Fetch {
    /// How many chunks are still missing, at most: what came since they were counted is taken off.
    fn missing(&self) -> u64 {
        let came = self.twin.vault().came(&self.wanted);
        let since = came.saturating_sub(self.counted_at);
        self.missing.saturating_sub(since)
    }

    /// How much of the file is here: the length of its content, in proportion to the chunks that have come.
    pub fn progress(&self) -> Progress {
        let (len, chunks) = (u128::from(self.root.len()), u128::from(self.chunks.max(1)));
        let here = chunks.saturating_sub(self.missing().into());
        Progress {
            done: u64::try_from(len * here / chunks).unwrap_or(u64::MAX),
            total: Some(self.root.len()),
            unit: Unit::Bytes,
        }
    }

    /// Bytes of content that are missing.
    fn left(&self) -> u64 {
        let Progress { done, .. } = self.progress();
        self.root.len().saturating_sub(done)
    }

    /// Whether all of it is here: counts what is missing.
    pub fn is_here(&mut self) -> Result<bool> {
        let begun = Instant::now();
        let mut vault = self.twin.vault();
        self.counted_at = vault.came(&self.wanted);
        self.missing = vault.missing_chunks(&self.space, &self.root, 0)?.count;
        drop(vault);
        self.next_count = Instant::now() + COUNT.max(begun.elapsed() * REST);
        Ok(self.missing == 0)
    }

    /// Whether the disk has room for all that is missing.
    fn has_room(&self) -> Result<()> {
        let left = self.left();
        match self.twin.vault().lacks_room(left) {
            0 => Ok(()),
            lacks => Err(Error::NoRoom(lacks)),
        }
    }

    /// Whether more of it comes here, if anybody has it: not where there is no room for any content.
    fn may_come(&self) -> Result<()> {
        let is_full = self.twin.vault().lacks_room(0) > 0;
        if is_full { self.has_room() } else { Ok(()) }
    }

    /// Tells how far it is; whether all of it is here, as far as is known without counting too often.
    fn tell(&mut self, watch: &mut Watch<'_>) -> Result<bool> {
        let is_here =
            (self.missing() == 0 || Instant::now() >= self.next_count) && self.is_here()?;
        tell_of(watch, self.progress())?;
        if !is_here {
            self.may_come()?;
        }
        Ok(is_here)
    }

    /// Waits until all of it is here, on a device that is online meanwhile. Ends with [`Error::Stopped`] when whoever
    /// watches says so, with [`Error::NoRoom`] when the disk has no room for more, and never by itself before the file has
    /// come.
    pub async fn wait(&mut self, watch: &mut Watch<'_>) -> Result<()> {
        let mut tick = interval(TELL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            if self.tell(watch)? {
                return Ok(());
            }
        }
    }
}

/// Who is in reach, and what they have.
#[derive(Default)]
struct Reached {
    met: bool,
    here: BTreeSet<DeviceId>,
    /// Those who have said that they have not got what is missing.
    lack: BTreeSet<DeviceId>,
    problem: Option<String>,
}

impl Twin {
    /// Which content of files this device keeps: all, or what somebody has wanted to see. A device that was linked keeps
    /// all, unless it is told otherwise; the first device of a twin, and one that it came back to, what is wanted.
    pub fn keeps_files(&self) -> Result<Keep> {
        Ok(self.vault().keeps()?)
    }

    /// Says which content this device keeps. What is here stays.
    pub fn set_keeps_files(&self, keep: Keep) -> Result<()> {
        self.vault().set_keeps(keep)?;
        self.notify();
        Ok(())
    }

    /// Goes online and gets a file from whatever device of the twin is in reach and has it. Ends when it is here, when no
    /// device has sent any of it for as long as `patience`, or when every other device has said that it has not got it.
    ///
    /// # Errors
    /// Among others [`Error::NobodyMet`], [`Error::NobodyHas`], [`Error::BrokenOff`], [`Error::NoRoom`] before anything is
    /// fetched if the disk has no room for all of it, or later, and [`Error::Stopped`] when whoever watches says so; what has
    /// come stays in all of these.
    pub async fn fetch_once(
        &self,
        config: OnlineConfig,
        fetch: &mut Fetch,
        patience: Duration,
        watch: &mut Watch<'_>,
    ) -> Result<()> {
        fetch.has_room()?;
        let config = OnlineConfig {
            stay: Stay::Online,
            ..config
        };
        let me = self.device_id();
        let others = self.devices()?.into_iter();
        let others = others.filter(|one| one.id != me && one.state == DeviceState::Active);
        let others: BTreeSet<_> = others.map(|other| other.id).collect();
        let mut online = self.go_online(config).await?;
        let mut reached = Reached::default();
        let mut deadline = Instant::now() + patience;
        let mut tick = interval(TELL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let outcome = loop {
            tokio::select! {
                event = online.next() => {
                    let Some(event) = event else { break Err(Error::Broken) };
                    if reached.note(event) {
                        deadline = Instant::now() + patience;
                    }
                    if !others.is_empty() && others.is_subset(&reached.lack) {
                        break match fetch.is_here() {
                            Ok(false) => fetch.may_come().and(Err(Error::NobodyHas(fetch.left()))),
                            here => here.map(|_| ()),
                        };
                    }
                }
                _ = tick.tick() => match fetch.tell(watch) {
                    Ok(false) => {}
                    ended => break ended.map(|_| ()),
                },
                () = sleep_until(deadline) => break match fetch.is_here() {
                    Ok(false) => Err(reached.why(fetch.left())),
                    here => here.map(|_| ()),
                },
            }
        };
        online.stop().await;
        outcome
    }
}

impl Reached {
    /// Takes note of an event; whether something has come, so that there is reason to wait longer.
    fn note(&mut self, event: OnlineEvent) -> bool {
        match event {
            OnlineEvent::Met(device) => {
                self.met = true;
                self.here.insert(device);
                true
            }
            OnlineEvent::Lost(device) => {
                self.here.remove(&device);
                false
            }
            OnlineEvent::Received { .. } => true,
            OnlineEvent::Content { device, .. } => {
                self.lack.remove(&device);
                true
            }
            OnlineEvent::Wanting { device, .. } => {
                self.lack.insert(device);
                false
            }
            OnlineEvent::Problem(problem) => {
                self.problem = Some(problem);
                false
            }
            _ => false,
        }
    }

    /// Why it has not come, with so many bytes missing.
    fn why(self, missing: u64) -> Error {
        match (self.met, self.problem) {
            (false, None) => Error::NobodyMet,
            (false, Some(problem)) => Error::NotMet(problem),
            (true, _) if !self.here.is_empty() && self.here.is_subset(&self.lack) => {
                Error::NobodyHas(missing)
            }
            (true, _) => Error::BrokenOff(missing),
        }
    }
}
