//! Automerge: Bloom filters over what has happened since the last sync with this peer, if there was one.

use automerge::sync::{State, SyncDoc};
use automerge::transaction::Transactable;
use automerge::{AutoCommit, ROOT};

use super::{Cost, Failure, Work};

/// Makes two documents and syncs them: as strangers, and once more as peers that were in sync before all that they lack.
pub fn reconcile(work: Work) -> Result<[Cost; 2], Failure> {
    let (each, scattered) = work.of_writer();
    let mut writers = Vec::new();
    let mut common = AutoCommit::new();
    for writer in 0..work.writers {
        let mut doc = AutoCommit::new();
        write(&mut doc, writer, 0..each - scattered)?;
        common.merge(&mut doc)?;
        writers.push(doc);
    }
    let (mut here, mut there) = (common.fork(), common);
    let (mut here_knows, mut there_knows) = (State::new(), State::new());
    talk(&mut here, &mut here_knows, &mut there, &mut there_knows)?;
    for (writer, doc) in (0..work.writers).zip(&mut writers) {
        write(doc, writer, each - scattered..each)?;
        match writer % 2 {
            0 => there.merge(doc)?,
            _ => here.merge(doc)?,
        };
    }
    drop(writers);
    let (mut here_again, mut there_again) = (here.fork(), there.fork());
    let strangers = talk(&mut here, &mut State::new(), &mut there, &mut State::new())?;
    // What of such a state outlives a connection.
    let mut here_knows = State::decode(&here_knows.encode())?;
    let mut there_knows = State::decode(&there_knows.encode())?;
    let acquainted = talk(
        &mut here_again,
        &mut here_knows,
        &mut there_again,
        &mut there_knows,
    )?;
    Ok([strangers, acquainted])
}

/// One record in each change.
fn write(doc: &mut AutoCommit, writer: u64, which: std::ops::Range<u64>) -> Result<(), Failure> {
    for seq in which {
        doc.put(ROOT, format!("{writer} {seq}"), 0)?;
        doc.commit();
    }
    Ok(())
}

fn talk(
    here: &mut AutoCommit,
    here_knows: &mut State,
    there: &mut AutoCommit,
    there_knows: &mut State,
) -> Result<Cost, Failure> {
    let mut cost = Cost::default();
    // Trips until the last one that brought changes: those after it only say that all is well.
    let (mut trips, mut until) = (0, 0);
    loop {
        let sent = [
            here.sync().generate_sync_message(here_knows),
            there.sync().generate_sync_message(there_knows),
        ];
        if sent.iter().all(Option::is_none) {
            break;
        }
        trips += 1;
        let [to_there, to_here] = sent;
        for (message, doc, knows) in [
            (to_there, &mut *there, &mut *there_knows),
            (to_here, &mut *here, &mut *here_knows),
        ] {
            let Some(message) = message else { continue };
            let changes: usize = message.changes.iter().map(<[u8]>::len).sum();
            if changes > 0 {
                until = trips;
            }
            cost.bytes += message.clone().encode().len() - changes;
            doc.sync().receive_sync_message(knows, message)?;
        }
    }
    if here.get_heads() != there.get_heads() {
        return Err("the documents differ after all".into());
    }
    // One way there and one back are a round trip; the last way is that of the changes.
    cost.round_trips = usize::div_ceil(until.max(1) - 1, 2);
    Ok(cost)
}
