//! A new device gets everything for the first time: over the network of this machine, and without one.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use getrandom::SysRng;
use rand_core::UnwrapErr;
use tokio::sync::{mpsc, watch};
use twin::{Fields, Value, WriteChange};
use twin_net::{
    Address, Config, Event, Events, Frames, Node, Protocol, Reach, TransportKey, drive,
};
use twin_ops::store::{LogHead, OpStore};
use twin_sync::session::{Session, Side, Stay};
use twin_vault::Vault;

use super::rows::{Row, rows};
use super::talk::{OPS, talk};
use super::twins::{NOW, Twins, space};
use super::{Failure, Numbers, named, timed};

/// How many records are in a commit.
const BATCH: usize = 1000;
/// How many bytes of ops a session sends at once.
const RUN: usize = 256 << 10;

pub fn measure(count: usize) -> Result<Numbers, Failure> {
    let folder = tempfile::tempdir()?;
    let rows = rows(count, 1);
    let (mut twins, written) = written(&folder.path().join("net"), &rows)?;
    let worked = worked()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let ((phone, laptop), synced) =
        timed(|| runtime.block_on(over_network(twins.phone, twins.laptop)))?;
    let worked = self::worked()? - worked;
    if laptop.heads()? != phone.heads()? {
        return Err("the laptop has not got everything".into());
    }
    // The same without a network, one side after the other.
    (twins, _) = self::written(&folder.path().join("talk"), &rows)?;
    let told = talk(&mut twins, NOW)?;
    let [sending, taking] = [0, 1].map(|side| told.micros(side, |_| true));
    let bytes = told.bytes(|kind| kind == OPS);
    // And what of it the vault does.
    let (twins, _) = self::written(&folder.path().join("vault"), &rows)?;
    let [read, applied] = by_hand(twins)?;
    let each = |micros: f64| micros / count as f64;
    Ok(named([
        ("written_us", each(written)),
        ("first_us", each(synced)),
        ("first_written", written / synced),
        ("first_cpu_us", each(worked)),
        ("first_bytes", bytes as f64),
        ("first_sending_us", each(sending)),
        ("first_taking_us", each(taking)),
        ("first_read_us", each(read)),
        ("first_applied_us", each(applied)),
    ]))
}

/// A twin whose phone has all records; and the microseconds that it took to write them.
fn written(dir: &Path, rows: &[Row]) -> Result<(Twins, f64), Failure> {
    let mut twins = Twins::new(dir, 0)?;
    let space = space()?;
    let ((), micros) = timed(|| {
        for batch in rows.chunks(BATCH) {
            let changes = batch.iter().map(change).collect();
            twins.phone.commit(NOW, &mut twins.rng, &space, changes)?;
        }
        Ok(())
    })?;
    Ok((twins, micros))
}

fn change(row: &Row) -> WriteChange {
    let fields = [
        ("name", Value::Text(row.name.clone())),
        ("note", Value::Text(row.note.clone())),
        ("count", Value::Int(row.count)),
        ("done", Value::Bool(row.done)),
    ];
    let fields = fields.map(|(name, value)| (name.to_owned(), value));
    WriteChange::put(&row.collection, &row.id, Fields(fields.into()))
}

/// Hands over run by run, and says how many microseconds reading and taking them took.
fn by_hand(mut twins: Twins) -> Result<[f64; 2], Failure> {
    for id in twins.phone.grants()? {
        twins
            .laptop
            .add_grants(twins.phone.grant(&id)?.as_slice())?;
    }
    let (mut read, mut taken) = (0.0, 0.0);
    for LogHead { log, head } in twins.phone.heads()? {
        let origin = twins.phone.origin(&log)?.ok_or("a log of nobody")?;
        let mut after = 0;
        while after < head.height {
            let (run, micros) = timed(|| Ok(twins.phone.read_run(&log, after, RUN)?))?;
            read += micros;
            let (_, micros) = timed(|| Ok(twins.laptop.append_run(NOW, &origin, &run)?))?;
            taken += micros;
            after += run.len() as u64;
        }
    }
    Ok([read, taken])
}

/// Two nodes of libp2p, and a session on each until both are equal.
async fn over_network(phone: Vault, laptop: Vault) -> Result<(Vault, Vault), Failure> {
    let ((dialling, _events), (listening, mut events)) = (node().await?, node().await?);
    let peer = dialling.connect(&listening.addresses(), None).await?;
    let frames = dialling.open(peer, Protocol::Sync).await?;
    let accepted = accept(&mut events).await?;
    let (phone, laptop) = (Arc::new(Mutex::new(phone)), Arc::new(Mutex::new(laptop)));
    let keys = [dialling.key(), peer];
    let one = run(Side::Initiator, keys, frames, Arc::clone(&phone));
    let other = run(
        Side::Responder,
        [keys[1], keys[0]],
        accepted,
        Arc::clone(&laptop),
    );
    // On a thread each, as on two devices.
    let (one, other) = (tokio::spawn(one), tokio::spawn(other));
    one.await??;
    other.await??;
    let back = |vault: Arc<Mutex<Vault>>| Arc::into_inner(vault)?.into_inner().ok();
    let both = back(phone).zip(back(laptop));
    Ok(both.ok_or("a session still holds its vault")?)
}

async fn node() -> Result<(Node, Events), Failure> {
    let listen = vec!["127.0.0.1:0".parse::<Address>()?];
    let config = Config {
        listen,
        mdns: false,
        reach: Reach::Any,
    };
    Ok(Node::start(config).await?)
}

async fn accept(events: &mut Events) -> Result<Frames, Failure> {
    while let Some(event) = events.recv().await {
        if let Event::Incoming { frames, .. } = event {
            return Ok(frames);
        }
    }
    Err("the node has stopped".into())
}

/// One side of a session, from `keys[0]` to `keys[1]`.
async fn run(
    side: Side,
    keys: [TransportKey; 2],
    frames: Frames,
    vault: Arc<Mutex<Vault>>,
) -> Result<(), String> {
    let rng = &mut UnwrapErr(SysRng);
    let [me, peer] = keys;
    let session = Session::<Vault>::new(side, me, peer, Stay::UntilInSync, NOW, rng);
    let (_change, changed) = watch::channel(0);
    // Nobody listens to its events: it ends by itself.
    let (sender, _) = mpsc::channel(1);
    let begun = Instant::now();
    let clock = move || NOW + u64::try_from(begun.elapsed().as_millis()).unwrap_or(0);
    let session = drive(frames, session, vault, changed, sender, clock);
    session.await.map_err(|error| error.to_string())
}

/// Microseconds that the processors have worked for this program.
fn worked() -> Result<f64, Failure> {
    if !cfg!(target_os = "linux") {
        return Ok(0.0);
    }
    let mut all = 0.0;
    // Of threads that have ended nothing is told any more; those of the runtime are alive at both times.
    for thread in std::fs::read_dir("/proc/self/task")? {
        let turns = std::fs::read_to_string(thread?.path().join("schedstat"))?;
        let worked = turns.split_whitespace().next();
        all += worked.ok_or("the kernel does not say")?.parse::<f64>()? / 1e3;
    }
    Ok(all)
}
