//! Runs a protocol machine over a stream of frames.
//!
//! Three things go on at once, in the task that awaits [`drive`]: frames are read ahead, frames are written, and the
//! machine takes turns. A turn hands over what has arrived, and takes only as many frames as the writer has room
//! for: at most [`AHEAD`] frames wait in each direction, the rest waits in the machine's store or at the peer.
//! Reading never waits for writing, so two ends that both send a lot cannot block each other.
//!
//! A turn touches the store (SQLite, signatures), so it runs on tokio's blocking threads with the store locked. It
//! is never interrupted: when the future of [`drive`] is dropped, a turn that has begun still ends, and the store is
//! left as the machine wants it.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    pin, select,
    sync::{mpsc, watch},
    task::spawn_blocking,
    time::{sleep, timeout},
};
use twin_sync::machine::{Machine, Millis};

use crate::{FrameError, FrameReader, FrameWriter, Frames, frames::GOODBYE_TIME};

/// How many frames may wait in each direction.
pub const AHEAD: usize = 4;

/// The longest sleep before the clock is read again: it may be set while we sleep.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// Why a session did not run to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError<E: std::error::Error> {
    /// The machine gave up.
    #[error(transparent)]
    Machine(E),
    /// The stream failed.
    #[error(transparent)]
    Frames(FrameError),
    /// The peer closed the stream before both sides were done.
    #[error("The other device ended the conversation early; connect again.")]
    Ended,
    /// The machine panicked, here or in an earlier session: the store cannot be trusted until it is opened again.
    #[error("Something went wrong inside this device; close the app and open it again.")]
    Broken,
}

/// Runs `machine` over `frames` until both sides have said everything, then closes the stream.
///
/// - `store` is locked for one turn at a time.
/// - `changed` is any number that changes when the store has changed behind the machine's back.
/// - `events` receives the machine's events in order. While it is full the session waits; if nobody listens any
///   more, events are dropped and the session goes on.
/// - `clock` gives milliseconds since the Unix epoch; it is called on blocking threads too.
pub async fn drive<M, S>(
    frames: Frames,
    machine: M,
    store: Arc<Mutex<S>>,
    changed: watch::Receiver<u64>,
    events: mpsc::Sender<M::Event>,
    clock: impl Fn() -> Millis + Clone + Send + 'static,
) -> Result<(), SessionError<M::Error>>
where
    M: Machine<Store = S> + Send + 'static,
    M::Event: Send,
    M::Error: Send,
    S: Send + ?Sized + 'static,
{
    let (reader, writer) = frames.split();
    let (arrived, inbox) = mpsc::channel(AHEAD);
    let (outbox, leaving) = mpsc::channel(AHEAD);
    let (reading, writing) = (read(reader, arrived), write(writer, leaving));
    let turns = Turns {
        machine: Some(machine),
        store,
        changed: Some(changed),
        events,
        clock,
        inbox,
        outbox,
    };
    let talking = turns.run();
    pin!(reading, writing, talking);
    let (mut heard_all, mut written) = (false, None);
    let outcome = loop {
        select! {
            () = &mut reading, if !heard_all => heard_all = true,
            result = &mut writing, if written.is_none() => written = Some(result),
            outcome = &mut talking => break outcome,
        }
    };
    // When the writer has failed, its reason is the reason.
    if let Some(Err(error)) = written.take_if(|result| result.is_err()) {
        return Err(SessionError::Frames(error));
    }
    outcome?;
    if written.is_none() {
        writing.await.map_err(SessionError::Frames)?;
    }
    if !heard_all {
        // Everything is said; a peer that does not hang up is hung up on.
        timeout(GOODBYE_TIME, reading).await.ok();
    }
    Ok(())
}

type Arrived = Result<Vec<u8>, FrameError>;

/// Reads until the stream ends; after the conversation, only so as to see its end.
async fn read(mut reader: FrameReader, arrived: mpsc::Sender<Arrived>) {
    loop {
        let next = reader.recv().await.transpose();
        let Some(next) = next else { return };
        let failed = next.is_err();
        // Nobody is listening once the conversation is over.
        arrived.send(next).await.ok();
        if failed {
            return;
        }
    }
}

/// Writes what is left for it, then closes our side.
async fn write(
    mut writer: FrameWriter,
    mut leaving: mpsc::Receiver<Vec<u8>>,
) -> Result<(), FrameError> {
    while let Some(frame) = leaving.recv().await {
        writer.send(&frame).await?;
    }
    writer.close().await
}

/// Why the machine gets a turn.
#[derive(Default)]
struct Input {
    frames: Vec<Vec<u8>>,
    store_changed: bool,
}

/// What a turn gave, and the machine back.
struct Turn<M: Machine> {
    machine: M,
    frames: Vec<Vec<u8>>,
    events: Vec<M::Event>,
    error: Option<M::Error>,
    finished: bool,
    deadline: Option<Millis>,
}

struct Turns<M: Machine, C> {
    /// `None` only during a turn.
    machine: Option<M>,
    store: Arc<Mutex<M::Store>>,
    /// `None` when nobody can change the store any more.
    changed: Option<watch::Receiver<u64>>,
    events: mpsc::Sender<M::Event>,
    clock: C,
    inbox: mpsc::Receiver<Arrived>,
    outbox: mpsc::Sender<Vec<u8>>,
}

impl<M, C> Turns<M, C>
where
    M: Machine + Send + 'static,
    M::Store: Send,
    M::Event: Send,
    M::Error: Send,
    C: Fn() -> Millis + Clone + Send + 'static,
{
    async fn run(mut self) -> Result<(), SessionError<M::Error>> {
        let (mut input, mut ended) = (Input::default(), None);
        loop {
            let room = if self.outbox.is_closed() {
                0
            } else {
                self.outbox.capacity()
            };
            let turn = self.turn(input, room).await?;
            // Everything that was asked for was taken: there may be more.
            let more_to_say = turn.frames.len() == room;
            for frame in turn.frames {
                // There is room, or the writer has failed, which is found out below.
                self.outbox.try_send(frame).ok();
            }
            for event in turn.events {
                self.events.send(event).await.ok();
            }
            if let Some(error) = turn.error {
                return Err(SessionError::Machine(error));
            }
            if turn.finished && !more_to_say {
                return Ok(());
            }
            if let Some(reason) = ended {
                return Err(reason);
            }
            (input, ended) = self.wait(turn.deadline, more_to_say).await;
            self.machine = Some(turn.machine);
        }
    }

    /// Until there is a reason for a turn; and the reason to stop after it, if there is one.
    async fn wait(
        &mut self,
        deadline: Option<Millis>,
        more_to_say: bool,
    ) -> (Input, Option<SessionError<M::Error>>) {
        let mut input = Input::default();
        let pause =
            deadline.map(|end| Duration::from_millis(end.saturating_sub((self.clock)()).max(1)));
        let mut ended = select! {
            arrived = self.inbox.recv() => match arrived {
                Some(Ok(frame)) => {
                    input.frames.push(frame);
                    None
                }
                Some(Err(error)) => Some(SessionError::Frames(error)),
                None => Some(SessionError::Ended),
            },
            store_changed = next_change(&mut self.changed) => {
                input.store_changed = store_changed;
                None
            }
            () = sleep(pause.unwrap_or(LONGEST_SLEEP).min(LONGEST_SLEEP)), if pause.is_some() => None,
            // An error means that the writer has failed.
            room = self.outbox.reserve(), if more_to_say => room.is_err().then_some(SessionError::Ended),
            () = self.outbox.closed() => Some(SessionError::Ended),
        };
        // What has arrived as well is dealt with in the same turn, and so is never lost.
        while input.frames.len() < AHEAD
            && let Ok(arrived) = self.inbox.try_recv()
        {
            match arrived {
                Ok(frame) => input.frames.push(frame),
                Err(error) => ended = Some(SessionError::Frames(error)),
            }
        }
        (input, ended)
    }

    async fn turn(&mut self, input: Input, room: usize) -> Result<Turn<M>, SessionError<M::Error>> {
        let mut machine = self.machine.take().ok_or(SessionError::Broken)?;
        let (store, clock) = (Arc::clone(&self.store), self.clock.clone());
        spawn_blocking(move || {
            // Locked before it was poisoned, or never: a half-made change must not be built upon.
            let mut store = store.lock().map_err(|_| SessionError::Broken)?;
            let mut frames = Vec::new();
            let error =
                take_turn(&mut machine, &mut store, &clock, &input, room, &mut frames).err();
            let events = std::iter::from_fn(|| machine.next_event()).collect();
            let (finished, deadline) = (machine.is_finished(), machine.deadline());
            Ok(Turn {
                machine,
                frames,
                events,
                error,
                finished,
                deadline,
            })
        })
        .await
        .map_err(|_| SessionError::Broken)?
    }
}

fn take_turn<M: Machine>(
    machine: &mut M,
    store: &mut M::Store,
    clock: &impl Fn() -> Millis,
    input: &Input,
    room: usize,
    out: &mut Vec<Vec<u8>>,
) -> Result<(), M::Error> {
    for frame in &input.frames {
        machine.receive(clock(), frame, store)?;
    }
    if input.store_changed {
        machine.store_changed(store)?;
    }
    let now = clock();
    if machine.deadline().is_some_and(|deadline| deadline <= now) {
        machine.tick(now, store)?;
    }
    while out.len() < room
        && let Some(frame) = machine.next_frame(now, store)?
    {
        out.push(frame);
    }
    Ok(())
}

/// Whether the store has changed; never again once nobody can change it.
async fn next_change(changed: &mut Option<watch::Receiver<u64>>) -> bool {
    match changed {
        None => std::future::pending().await,
        Some(receiver) => {
            let is_change = receiver.changed().await.is_ok();
            if !is_change {
                *changed = None;
            }
            is_change
        }
    }
}
