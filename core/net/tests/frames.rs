//! Frames over a pipe: what comes out is what went in, and nothing a peer sends does harm.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod common;

use std::time::Duration;

use common::pipe;
use futures::{AsyncReadExt as _, AsyncWriteExt as _};
use proptest::prelude::*;
use tokio::time::{Instant, sleep, timeout};
use twin_net::{
    FrameError, Frames,
    frames::{FRAME_TIME, STALL_TIME},
};
use twin_sync::machine::MAX_FRAME;

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap()
        .block_on(future)
}

/// What a reader that sees all the bytes at once makes of them; `Err` tells how it must end.
fn reference(mut bytes: &[u8]) -> (Vec<Vec<u8>>, Result<(), &'static str>) {
    let mut frames = Vec::new();
    loop {
        if bytes.is_empty() {
            return (frames, Ok(()));
        }
        let Some((head, rest)) = bytes.split_first_chunk::<4>() else {
            return (frames, Err("truncated"));
        };
        let length = u32::from_be_bytes(*head) as usize;
        if length > MAX_FRAME {
            return (frames, Err("too long"));
        }
        if rest.len() < length {
            return (frames, Err("truncated"));
        }
        frames.push(rest[..length].to_vec());
        bytes = &rest[length..];
    }
}

/// Bytes that are frames for a while: lengths are mostly small.
fn nearly_frames() -> impl Strategy<Value = Vec<u8>> {
    let head = prop_oneof![
        8 => (0..40u32).prop_map(|n| n.to_be_bytes().to_vec()),
        1 => any::<[u8; 4]>().prop_map(|b| b.to_vec()),
    ];
    let piece =
        (head, prop::collection::vec(any::<u8>(), 0..40)).prop_map(|(a, b)| [a, b].concat());
    prop::collection::vec(piece, 0..8).prop_map(|all| all.concat())
}

proptest! {
    #[test]
    fn what_is_sent_is_received(
        frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..3000), 0..12),
        capacity in 1..4000usize,
    ) {
        let received = run(async {
            let (a, b) = pipe(capacity);
            let (mut sender, mut receiver) = (Frames::over(a), Frames::over(b));
            let send = async {
                for frame in &frames {
                    sender.send(frame).await.unwrap();
                }
                sender.close().await.unwrap();
            };
            let receive = async {
                let mut all = Vec::new();
                while let Some(frame) = receiver.recv().await.unwrap() {
                    all.push(frame);
                }
                all
            };
            tokio::join!(send, receive).1
        });
        prop_assert_eq!(received, frames);
    }

    #[test]
    fn any_bytes_are_read_like_the_reference(bytes in nearly_frames(), capacity in 1..50usize) {
        let (frames, end) = run(async {
            let (mut a, b) = pipe(capacity);
            let mut receiver = Frames::over(b);
            let send = async {
                // The reader may hang up first.
                a.write_all(&bytes).await.ok();
                a.close().await.ok();
                drop(a);
            };
            let receive = async {
                let mut all = Vec::new();
                let end = loop {
                    match receiver.recv().await {
                        Ok(Some(frame)) => all.push(frame),
                        Ok(None) => break Ok(()),
                        Err(FrameError::Truncated) => break Err("truncated"),
                        Err(FrameError::TooLong(_)) => break Err("too long"),
                        Err(error) => panic!("{error}"),
                    }
                };
                drop(receiver);
                (all, end)
            };
            tokio::join!(send, receive).1
        });
        let (expected, expected_end) = reference(&bytes);
        prop_assert_eq!(frames, expected);
        prop_assert_eq!(end, expected_end);
    }
}

#[tokio::test]
async fn the_longest_frame_passes_and_a_longer_one_does_not() {
    let (a, b) = pipe(1 << 16);
    let (mut sender, mut receiver) = (Frames::over(a), Frames::over(b));
    let longest = vec![7; MAX_FRAME];
    let (sent, received) = tokio::join!(sender.send(&longest), receiver.recv());
    sent.unwrap();
    assert!(received.unwrap().unwrap() == longest);
    let refused = sender.send(&vec![7; MAX_FRAME + 1]).await;
    assert!(matches!(refused, Err(FrameError::TooLong(n)) if n == MAX_FRAME as u64 + 1));
    // Nothing of it was sent.
    sender.close().await.unwrap();
    assert!(receiver.recv().await.unwrap().is_none());
}

#[tokio::test]
async fn an_announced_length_beyond_the_limit_is_refused_at_once() {
    let (mut a, b) = pipe(64);
    a.write_all(&(MAX_FRAME as u32 + 1).to_be_bytes())
        .await
        .unwrap();
    let refused = Frames::over(b).recv().await;
    assert!(matches!(refused, Err(FrameError::TooLong(_))));
}

#[tokio::test(start_paused = true)]
async fn a_quiet_peer_is_fine_but_a_begun_frame_must_be_completed() {
    let (mut a, b) = pipe(64);
    let mut receiver = Frames::over(b);
    let writing = async {
        sleep(Duration::from_secs(3600)).await;
        a.write_all(&[0, 0, 0, 2, 1, 2]).await.unwrap();
        sleep(Duration::from_secs(3600)).await;
        // The length of a frame, then one byte every ten seconds, for ever.
        a.write_all(&[0, 0, 1, 0]).await.unwrap();
        loop {
            a.write_all(&[0]).await.unwrap();
            sleep(Duration::from_secs(10)).await;
        }
    };
    let reading = async {
        assert_eq!(receiver.recv().await.unwrap().unwrap(), [1, 2]);
        let begun = Instant::now() + Duration::from_secs(3600);
        assert!(matches!(receiver.recv().await, Err(FrameError::TooSlow)));
        assert_eq!(begun.elapsed().as_secs(), FRAME_TIME.as_secs());
    };
    tokio::select! { () = writing => unreachable!(), () = reading => {} }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_nothing_is_given_up() {
    let (a, b) = pipe(64);
    let started = Instant::now();
    assert!(matches!(
        Frames::over(a).send(&[0; 1000]).await,
        Err(FrameError::Stalled)
    ));
    assert_eq!(started.elapsed().as_secs(), STALL_TIME.as_secs());
    drop(b);
}

#[tokio::test]
async fn receiving_can_be_cancelled_at_any_byte() {
    let (mut a, b) = pipe(64);
    let mut receiver = Frames::over(b);
    let frame: Vec<u8> = (0..100).collect();
    let bytes = [&100u32.to_be_bytes()[..], &frame].concat();
    for byte in &bytes[..bytes.len() - 1] {
        a.write_all(&[*byte]).await.unwrap();
        // Polled once, then dropped.
        assert!(timeout(Duration::ZERO, receiver.recv()).await.is_err());
    }
    a.write_all(&bytes[bytes.len() - 1..]).await.unwrap();
    assert_eq!(receiver.recv().await.unwrap().unwrap(), frame);
}

#[tokio::test]
async fn a_peer_that_is_gone_breaks_the_stream() {
    let (a, b) = pipe(64);
    drop(b);
    let mut frames = Frames::over(a);
    assert!(matches!(
        frames.send(b"hello").await,
        Err(FrameError::Broken(_))
    ));
    assert!(frames.recv().await.unwrap().is_none());
}

#[tokio::test]
async fn halves_work_apart_and_the_wire_is_as_documented() {
    let (mut a, b) = pipe(64);
    let (mut reader, mut writer) = Frames::over(b).split();
    writer.send(b"abc").await.unwrap();
    writer.close().await.unwrap();
    let mut bytes = Vec::new();
    a.read_to_end(&mut bytes).await.unwrap();
    assert_eq!(bytes, b"\0\0\0\x03abc");
    a.write_all(b"\0\0\0\0\0\0\0\x01x").await.unwrap();
    assert_eq!(reader.recv().await.unwrap().unwrap(), b"");
    assert_eq!(reader.recv().await.unwrap().unwrap(), b"x");
}

#[tokio::test(start_paused = true)]
async fn finishing_waits_for_the_peer_but_not_for_ever() {
    let (a, b) = pipe(64);
    let (ours, mut theirs) = (Frames::over(a), Frames::over(b));
    let started = Instant::now();
    let peer = async {
        assert!(theirs.recv().await.unwrap().is_none());
        theirs.send(b"late").await.unwrap();
        sleep(Duration::from_secs(2)).await;
        theirs.close().await.unwrap();
    };
    let (finished, ()) = tokio::join!(ours.finish(), peer);
    finished.unwrap();
    assert_eq!(started.elapsed().as_secs(), 2);

    let (a, _held) = pipe(64);
    let started = Instant::now();
    Frames::over(a).finish().await.unwrap();
    assert_eq!(started.elapsed().as_secs(), 5);
}
