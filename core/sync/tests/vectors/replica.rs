//! A replica in memory that verifies what it takes.

use std::collections::BTreeMap;
use std::convert::Infallible;

use twin_identity::device::DeviceKeys;
use twin_identity::entry::Entry;
use twin_identity::id::DeviceId;
use twin_identity::log::IdentityLog;
use twin_identity::secret::Secret;
use twin_identity::sign::{Signature, Use};
use twin_ops::chain::{Head, verify_run};
use twin_ops::epoch::{DiscoveryKey, EpochKey};
use twin_ops::grant::{Grant, GrantId};
use twin_ops::op::{Link, LogId, Op, Origin};
use twin_ops::store::{ChunkName, Hole, LogHead, OpStore, Sought, Taken, Want};

pub struct Replica {
    pub keys: DeviceKeys,
    pub log: IdentityLog,
    pub discovery: DiscoveryKey,
    /// The keys of epochs before.
    pub past: Vec<u8>,
    pub grants: BTreeMap<GrantId, Grant>,
    pub logs: BTreeMap<LogId, (Origin, Vec<Op>)>,
    /// Chunks of files that are here, and those that are wanted.
    pub chunks: BTreeMap<ChunkName, Vec<u8>>,
    pub wanted: Vec<ChunkName>,
}

impl Replica {
    fn ops(&self, log: &LogId) -> &[Op] {
        self.logs.get(log).map_or(&[], |(_, ops)| ops)
    }
}

fn head(ops: &[Op]) -> Option<Head> {
    ops.last().map(|op| Head {
        height: op.header().seq,
        link: op.link(),
    })
}

impl OpStore for Replica {
    type Error = Infallible;
    type Look = ();

    fn is_refusal(error: &Infallible) -> bool {
        match *error {}
    }

    fn identity(&self) -> &IdentityLog {
        &self.log
    }

    fn admits(&self, device: &DeviceId) -> bool {
        self.log.is_active(device, 0)
    }

    fn discovery_key(&self) -> Option<&DiscoveryKey> {
        Some(&self.discovery)
    }

    fn other_discovery_keys(&self) -> Vec<DiscoveryKey> {
        let past = self.past.iter();
        past.map(|epoch| EpochKey::new(Secret::new([*epoch; 32])).discovery())
            .collect()
    }

    fn shared_secret(&self, other: &DeviceId) -> Option<Secret<32>> {
        self.keys.shared(other)
    }

    fn sign_session(&self, transcript: &[u8; 32]) -> Signature {
        self.keys.sign(Use::Session, self.log.twin(), transcript)
    }

    fn sign_bundle(&self, piece: &[u8; 32]) -> Signature {
        self.keys.sign(Use::Bundle, self.log.twin(), piece)
    }

    fn device(&self) -> DeviceId {
        self.keys.id()
    }

    fn add_entries(&mut self, _: u64, entries: &[Vec<u8>]) -> Result<Taken, Infallible> {
        let mut taken = Taken::default();
        for entry in entries {
            let new = self.log.insert(Entry::from_bytes(entry).unwrap()).unwrap();
            taken.new += usize::from(new);
        }
        Ok(taken)
    }

    fn grants(&self) -> Result<Vec<GrantId>, Infallible> {
        Ok(self.grants.keys().copied().collect())
    }

    fn grant(&self, id: &GrantId) -> Result<Option<Vec<u8>>, Infallible> {
        Ok(self.grants.get(id).map(|grant| grant.to_bytes().to_vec()))
    }

    fn add_grants(&mut self, grants: &[Vec<u8>]) -> Result<Taken, Infallible> {
        let mut taken = Taken::default();
        for grant in grants {
            let grant = Grant::from_bytes(grant).unwrap();
            grant.verify(&self.log).unwrap();
            taken.new += usize::from(self.grants.insert(grant.id, grant).is_none());
        }
        Ok(taken)
    }

    fn wants(&self) -> Result<Vec<Want>, Infallible> {
        Ok(Vec::new())
    }

    fn asked(&mut self, _: &DeviceId, _: &[Want]) {}

    fn heads(&self) -> Result<Vec<LogHead>, Infallible> {
        let heads = self.logs.iter();
        Ok(heads
            .filter_map(|(log, (_, ops))| {
                Some(LogHead {
                    log: *log,
                    head: head(ops)?,
                })
            })
            .collect())
    }

    fn origin(&self, log: &LogId) -> Result<Option<Origin>, Infallible> {
        Ok(self.logs.get(log).map(|(origin, _)| *origin))
    }

    fn link_at(&self, log: &LogId, seq: u64) -> Result<Option<Link>, Infallible> {
        let op = self.ops(log).iter().find(|op| op.header().seq == seq);
        Ok(op.map(Op::link))
    }

    fn is_settled(&self, _: &LogId) -> Result<bool, Infallible> {
        Ok(false)
    }

    fn read_run(&self, log: &LogId, after: u64, _: usize) -> Result<Vec<Vec<u8>>, Infallible> {
        let ops = self.ops(log).iter().filter(|op| op.header().seq > after);
        Ok(ops.map(Op::to_bytes).collect())
    }

    fn holes(&self) -> Result<Vec<Hole>, Infallible> {
        Ok(Vec::new())
    }

    fn append_run(
        &mut self,
        _: u64,
        origin: &Origin,
        run: &[Vec<u8>],
    ) -> Result<Taken, Infallible> {
        let twin = *self.log.twin();
        let run: Vec<Op> = run.iter().map(|op| Op::from_bytes(op).unwrap()).collect();
        let log = self
            .logs
            .entry(origin.log_id(&twin))
            .or_insert((*origin, Vec::new()));
        verify_run(&twin, origin, head(&log.1), &run).unwrap();
        let new = run.len();
        log.1.extend(run);
        Ok(Taken {
            new,
            ..Taken::default()
        })
    }

    fn wanting(&self) -> u64 {
        0
    }

    fn seek_chunks(
        &mut self,
        _: u64,
        (): &mut (),
        _: &DeviceId,
        limit: usize,
    ) -> Result<Sought, Infallible> {
        let ask: Vec<ChunkName> = { self.wanted.iter() }
            .filter(|name| !self.chunks.contains_key(name))
            .take(limit)
            .copied()
            .collect();
        Ok(Sought {
            missing: ask.len() as u64,
            ask,
            elsewhere: 0,
            over: true,
        })
    }

    fn chunk(&self, _: &DeviceId, name: &ChunkName) -> Result<Option<Vec<u8>>, Infallible> {
        Ok(self.chunks.get(name).cloned())
    }

    fn add_chunks(
        &mut self,
        _: u64,
        answers: Vec<(ChunkName, Option<Vec<u8>>)>,
    ) -> Result<usize, Infallible> {
        let before = self.chunks.len();
        let came = answers.into_iter();
        let came = came.filter_map(|(name, sealed)| Some((name, sealed?)));
        self.chunks.extend(came);
        Ok(self.chunks.len() - before)
    }
}
