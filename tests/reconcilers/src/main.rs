//! `twin-reconcilers OPS LACKING WRITERS`: OPS operations by WRITERS writers, of which each of two replicas lacks half of
//! LACKING, and what others need to find out which. Prints JSON. The operations are those of `core/twin/examples/sync`:
//! each writer has worked at a time of its own, and the newest of half of the writers are lacking here, those of the
//! others there. Content does not matter to finding out, so there is hardly any.

mod merged;
mod sets;

type Failure = Box<dyn std::error::Error>;

/// What is compared.
#[derive(Clone, Copy)]
pub struct Work {
    /// How many operations there are.
    pub ops: u64,
    /// How many of them one replica or the other lacks.
    pub lacking: u64,
    /// How many devices have written them.
    pub writers: u64,
}

impl Work {
    /// How many operations a writer has written, and how many of them only one replica has.
    pub fn of_writer(self) -> (u64, u64) {
        (self.ops / self.writers, self.lacking / self.writers)
    }
}

/// What finding out took.
#[derive(Default)]
pub struct Cost {
    /// Bytes both ways, beyond the operations themselves.
    pub bytes: usize,
    /// How many times something went there and something came back before all was known.
    pub round_trips: usize,
}

fn main() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let numbers: Vec<u64> = words
        .iter()
        .map(|word| word.parse())
        .collect::<Result<_, _>>()?;
    let [ops, lacking, writers] = numbers[..] else {
        return Err("twin-reconcilers OPS LACKING WRITERS".into());
    };
    let work = Work {
        ops,
        lacking,
        writers,
    };
    let by_time = sets::reconcile(work, |time| time)?;
    // Anything that has no time, or several, is sorted by its id alone.
    let by_id = sets::reconcile(work, |_| 0)?;
    let [strangers, acquainted] = merged::reconcile(work)?;
    println!(
        "{}",
        serde_json::json!({
            "negentropy_by_time_bytes": by_time.bytes,
            "negentropy_by_time_trips": by_time.round_trips,
            "negentropy_by_id_bytes": by_id.bytes,
            "negentropy_by_id_trips": by_id.round_trips,
            "automerge_bytes": strangers.bytes,
            "automerge_trips": strangers.round_trips,
            "automerge_again_bytes": acquainted.bytes,
            "automerge_again_trips": acquainted.round_trips,
        })
    );
    Ok(())
}
