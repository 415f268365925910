//! Two replicas with a million operations: 1,000 that one or the other lacks, in the logs of several devices, and then
//! none.

use std::hint::black_box;

use twin_identity::context;
use twin_identity::device::DeviceKeys;
use twin_identity::sign::{self, Use};
use twin_ops::store::OpStore;

use super::made::Writer;
use super::talk::{DIGEST, HANDSHAKE, OPS, talk};
use super::twins::{NOW, Twins};
use super::{Failure, Numbers, middle, named, timed};

/// How many operations are not on both sides.
const LACKING: u64 = 1000;
/// How many come at once.
const RUN: u64 = 1000;
/// How often two that are equal meet; the middle counts.
const MEETINGS: u64 = 301;
/// How long until they meet again, in milliseconds: more than what the vault takes for the same meeting, and so seldom
/// that once a minute it notes when it has last heard of the other.
const PAUSE: u64 = 6_000;

pub fn measure(ops: u64, writers: u64) -> Result<Numbers, Failure> {
    let folder = tempfile::tempdir()?;
    let mut twins = Twins::new(folder.path(), usize::try_from(writers)?)?;
    talk(&mut twins, NOW)?;
    let mut lacking = 0;
    for (number, mut writer) in (0..).zip(twins.writers()?) {
        // Each has written at a time of its own, so that what is lacking is not all of the last minutes.
        let (each, some) = (ops / writers, LACKING / writers);
        let mut written = number * each;
        append(
            &mut twins,
            &mut writer,
            &mut written,
            each - some,
            [true; 2],
        )?;
        let only = [number % 2 == 0, number % 2 == 1];
        lacking += append(&mut twins, &mut writer, &mut written, some, only)?;
    }
    let told = talk(&mut twins, NOW)?;
    // To find out what is lacking, and to say in which log what is sent belongs.
    let found = told.bytes(|kind| !HANDSHAKE.contains(&kind) && kind != OPS);
    let framed = told.bytes(|kind| kind == OPS) - lacking;
    let (first, last) = (told.first(DIGEST), told.first(OPS));
    let (Some(first), Some(last)) = (first, last) else {
        return Err("nothing was lacking".into());
    };
    let mut numbers = named([
        ("overhead_bytes", found as f64),
        ("framing_bytes", framed as f64),
        ("round_trips", (last - first) as f64 / 2.0),
        ("lacking_bytes", lacking as f64),
    ]);
    numbers.extend(nothing(&mut twins)?);
    Ok(numbers)
}

/// Appends operations of a writer to those replicas that shall have them; returns their bytes.
fn append(
    twins: &mut Twins,
    writer: &mut Writer,
    written: &mut u64,
    count: u64,
    to: [bool; 2],
) -> Result<usize, Failure> {
    let (mut left, mut bytes) = (count, 0);
    while left > 0 {
        let mut run = Vec::new();
        for _ in 0..RUN.min(left) {
            run.push(writer.write(&twins.log, *written, &mut twins.rng)?);
            *written += 1;
        }
        left -= run.len() as u64;
        bytes += run.iter().map(Vec::len).sum::<usize>();
        let replicas = [&mut twins.phone, &mut twins.laptop].into_iter().zip(to);
        for (vault, _) in replicas.filter(|(_, to)| *to) {
            vault.append_run(NOW, &writer.origin, &run)?;
        }
    }
    Ok(bytes)
}

/// The two are equal and meet: what they say to each other, and what either side does for it.
fn nothing(twins: &mut Twins) -> Result<Numbers, Failure> {
    let is_handshake = |kind| HANDSHAKE.contains(&kind);
    let (mut compared, mut proved, mut whole) = (Vec::new(), Vec::new(), Vec::new());
    let mut bytes = [0; 2];
    for meeting in 1..=MEETINGS {
        let told = talk(twins, NOW + meeting * PAUSE)?;
        bytes = [
            told.bytes(|kind| !is_handshake(kind)),
            told.bytes(is_handshake),
        ];
        for side in [0, 1] {
            let proving = told.micros(side, |kind| kind.is_some_and(is_handshake));
            let all = told.micros(side, |_| true);
            proved.push(proving);
            compared.push(all - proving);
            whole.push(all);
        }
    }
    whole.sort_by(f64::total_cmp);
    // One in ten meetings is noted: the slowest ones.
    let noted = whole[whole.len() - whole.len() / 20];
    let (proved, compared) = (middle(proved), middle(compared));
    // The message that names the device is answered by the first digest, which is made in the same call.
    let proof = proving(twins)?;
    Ok(named([
        ("nothing_bytes", bytes[0] as f64),
        ("handshake_bytes", bytes[1] as f64),
        ("nothing_us", compared + (proved - proof).max(0.0)),
        ("handshake_us", proof),
        ("noted_us", noted),
    ]))
}

/// One signature made and one verified, in microseconds: what a handshake takes, but for hashing less than a kilobyte.
fn proving(twins: &mut Twins) -> Result<f64, Failure> {
    let device = DeviceKeys::random(&mut twins.rng)?;
    let twin = *twins.log.twin();
    let mut times = Vec::new();
    for number in 0..MEETINGS {
        let id = context::SESSION.hash([number.to_be_bytes().as_slice()]);
        let ((), micros) = timed(|| {
            let signature = device.sign(Use::Session, &twin, &id);
            let checked = sign::verify(&device.id(), Use::Session, &twin, &id, &signature);
            Ok(black_box(checked)?)
        })?;
        times.push(micros);
    }
    Ok(middle(times))
}
