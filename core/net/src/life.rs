//! A node's life: awake, while a worker drives its swarm, or asleep, when there are no sockets at all.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout_at},
};

use crate::{
    Address, Event, keys,
    relay::Tally,
    state::{Shared, State},
    swarm::Plan,
    worker::{Command, Worker},
};

/// How long to wait before the network is begun anew once more, and how often the same ports are tried: those of QUIC are free
/// a moment after its connections have ended.
const RENEW_PAUSE: Duration = Duration::from_millis(250);
const PORTS_TRIED: u32 = 20;

/// What outlives the workers.
pub(crate) struct Life {
    pub(crate) plan: Plan,
    pub(crate) shared: Arc<Shared>,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) teller: Teller,
    /// What a relay counts.
    pub(crate) tally: Option<Tally>,
}

/// Why a worker has ended.
pub(crate) enum End {
    /// The node is to stop.
    Stopped,
    /// It is to sleep, and whoever wanted that waits for it.
    Asleep(oneshot::Sender<()>),
    /// It is to go on with another key, if possible listening here.
    Renewed {
        listen: Option<Vec<Address>>,
        reply: oneshot::Sender<()>,
    },
}

/// Lives until the node is stopped or dropped.
pub(crate) async fn live(mut worker: Worker) {
    loop {
        let (life, end) = worker.run().await;
        match end {
            End::Stopped => return,
            End::Renewed { listen, reply } => {
                let Some(next) = renew(life, listen, reply).await else {
                    return;
                };
                worker = next;
            }
            End::Asleep(reply) => {
                let Some(next) = sleep(life, reply).await else {
                    return;
                };
                worker = next;
            }
        }
    }
}

/// Goes on with a new key, as soon as that is possible; `None` if it is stopped before. What the platform has fed in stays.
async fn renew(
    mut life: Life,
    listen: Option<Vec<Address>>,
    reply: oneshot::Sender<()>,
) -> Option<Worker> {
    let wanted = life.plan.listen.clone();
    let fed = std::mem::take(&mut life.shared.state().fed);
    life.forget_everybody();
    if let Some(listen) = listen {
        life.plan.listen = listen;
    }
    for attempt in 1.. {
        match wake(life).await {
            Ok(mut worker) => {
                worker.as_wanted(wanted, fed);
                reply.send(()).ok();
                return Some(worker);
            }
            Err(failed) => {
                let (back, error) = *failed;
                life = back;
                log::info!("the network could not be begun anew: {error}");
            }
        }
        if attempt >= PORTS_TRIED {
            life.plan.listen.clone_from(&wanted);
        }
        let pause = Instant::now() + RENEW_PAUSE;
        while let Ok(command) = timeout_at(pause, life.commands.recv()).await {
            match command? {
                Command::Suspend { reply } => {
                    life.plan.listen = wanted;
                    return sleep(life, reply).await;
                }
                Command::Shutdown { reply } => {
                    reply.send(()).ok();
                    return None;
                }
                other => other.refuse_asleep(),
            }
        }
    }
    None
}

/// Refuses everything until the node is woken up; `None` if it is stopped instead.
async fn sleep(mut life: Life, fell_asleep: oneshot::Sender<()>) -> Option<Worker> {
    life.forget_everybody();
    // The results of sending are ignored here: nobody waits for a reply whose receiver was dropped.
    fell_asleep.send(()).ok();
    loop {
        match life.commands.recv().await? {
            Command::Resume { reply } => match wake(life).await {
                Ok(worker) => {
                    reply.send(Ok(())).ok();
                    return Some(worker);
                }
                Err(failed) => {
                    let (back, error) = *failed;
                    life = back;
                    reply.send(Err(error)).ok();
                }
            },
            Command::Shutdown { reply } => {
                reply.send(()).ok();
                return None;
            }
            other => other.refuse_asleep(),
        }
    }
}

async fn wake(life: Life) -> Result<Worker, Box<(Life, crate::Error)>> {
    let named = life
        .plan
        .role
        .key()
        .and_then(|pair| Ok((keys::key(&pair)?, pair)));
    match named {
        Ok((key, pair)) => {
            *life.shared.state() = State::new(key);
            Worker::start(life, &pair).await
        }
        Err(error) => Err(Box::new((life, error))),
    }
}

impl Life {
    /// Nobody is connected or known any more; says so of each.
    fn forget_everybody(&mut self) {
        let (connected, near, relays) = {
            let mut state = self.shared.state();
            let near = state.near();
            let empty = State::new(state.key);
            let before = std::mem::replace(&mut *state, empty);
            (before.connected, near, before.relays)
        };
        for relay in relays {
            self.teller.tell(Event::Unreachable { relay });
        }
        for peer in connected {
            self.teller.tell(Event::Disconnected { peer });
        }
        for peer in near.into_keys() {
            self.teller.tell(Event::Gone { peer });
        }
    }
}

/// Tells the application, or that something was not told.
pub(crate) struct Teller {
    events: mpsc::Sender<Event>,
    /// Whether an event was dropped since the last one that was delivered.
    missed: bool,
}

impl Teller {
    pub(crate) fn new(events: mpsc::Sender<Event>) -> Self {
        Self {
            events,
            missed: false,
        }
    }

    /// Never waits: the swarm must go on while the application is busy, perhaps waiting for the swarm.
    pub(crate) fn tell(&mut self, event: Event) {
        if self.missed {
            self.missed = self.events.try_send(Event::Missed).is_err();
        }
        if !self.missed {
            self.missed = self.events.try_send(event).is_err();
        }
    }
}
