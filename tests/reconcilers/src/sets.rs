//! negentropy: two sets of ids, split by ranges whose fingerprints differ.

use chacha20_rng::ChaCha20Rng;
use chacha20_rng::rand_core::{Rng, SeedableRng};
use negentropy::{Id, Negentropy, NegentropyStorageVector};

use super::{Cost, Failure, Work};

/// Fills both sets, with the times that `time` makes of those at which operations were written, and reconciles them.
pub fn reconcile(work: Work, time: impl Fn(u64) -> u64) -> Result<Cost, Failure> {
    let rng = &mut ChaCha20Rng::seed_from_u64(1);
    let [mut here, mut there] = [(); 2].map(|()| NegentropyStorageVector::new());
    let (each, scattered) = work.of_writer();
    for writer in 0..work.writers {
        for seq in 0..each {
            let mut id = [0; 32];
            rng.fill_bytes(&mut id);
            let written = time(writer * each + seq);
            let (lacks_here, lacks_there) = match seq >= each - scattered {
                true => (writer % 2 == 0, writer % 2 == 1),
                false => (false, false),
            };
            if !lacks_here {
                here.insert(written, Id::new(id))?;
            }
            if !lacks_there {
                there.insert(written, Id::new(id))?;
            }
        }
    }
    here.seal()?;
    there.seal()?;
    let mut asking = Negentropy::borrowed(&here, 0)?;
    let mut answering = Negentropy::borrowed(&there, 0)?;
    let (mut have, mut need) = (Vec::new(), Vec::new());
    let mut cost = Cost::default();
    let mut next = Some(asking.initiate()?);
    while let Some(question) = next {
        let answer = answering.reconcile(&question)?;
        cost.bytes += question.len() + answer.len();
        cost.round_trips += 1;
        next = asking.reconcile_with_ids(&answer, &mut have, &mut need)?;
    }
    let found = (have.len() + need.len()) as u64;
    if found == scattered * work.writers {
        Ok(cost)
    } else {
        Err("not all differences were found".into())
    }
}
