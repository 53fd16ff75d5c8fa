//! Budgets of frames: what is a flood, what is earned, and that cuts change nothing.

use std::time::Duration;

use tokio::time::Instant;

use super::{Flood, Frames, PREFACE, Tally, Walk};

const BUDGETS: Tally = Tally {
    resets: 10,
    pings: 10,
    settings: 10,
    empty_data: 10,
    window_updates: 10,
    others: 10,
};

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![0, length[0], length[1], kind, flags, 0, 0, 0, stream];
    bytes.extend_from_slice(payload);
    bytes
}

fn opened(began: Instant) -> Frames {
    let mut frames = Frames::new(BUDGETS, began);
    assert_eq!(frames.read(&[b'P'; PREFACE], 0, || began), Ok(()));
    frames
}

/// How many of a frame pass within one window.
fn passing(bytes: &[u8], answered: u64) -> usize {
    let began = Instant::now();
    let mut frames = opened(began);
    (0..1000)
        .take_while(|_| frames.read(bytes, answered, || began).is_ok())
        .count()
}

#[test]
fn frames_that_cost_us_more_than_their_sender_have_a_budget() {
    for (what, bytes) in [
        ("reset", frame(3, 0, 1, &[0; 4])),
        ("ping", frame(6, 0, 0, &[0; 8])),
        ("answer to a ping", frame(6, 1, 0, &[0; 8])),
        ("settings", frame(4, 0, 0, &[])),
        ("empty data", frame(0, 0, 1, &[])),
        ("data that is padding", frame(0, 8, 1, &[5, 0, 0, 0, 0, 0])),
        ("window", frame(8, 0, 0, &[0, 0, 0, 1])),
        ("priority", frame(2, 0, 1, &[0; 5])),
        ("unknown", frame(0x10, 0, 1, &[0; 50])),
    ] {
        assert_eq!(passing(&bytes, 0), 10, "{what}");
    }
}

#[test]
fn requests_and_their_content_have_none_here() {
    for (what, bytes) in [
        ("request", frame(1, 5, 1, &[0x82])),
        ("continuation", frame(9, 0, 1, &[])),
        ("content", frame(0, 0, 1, b"x")),
        ("padded content", frame(0, 8, 1, &[2, b'x', 0, 0])),
        ("end of content", frame(0, 1, 1, &[])),
        ("acknowledgement", frame(4, 1, 0, &[])),
    ] {
        assert_eq!(passing(&bytes, 0), 1000, "{what}");
    }
}

#[test]
fn answers_and_requests_earn_windows_and_pings_but_no_resets_or_settings() {
    let mebibyte = 1024 * 1024;
    assert_eq!(passing(&frame(8, 0, 0, &[0, 0, 0, 1]), 20 * 512), 30);
    assert_eq!(passing(&frame(6, 0, 0, &[0; 8]), mebibyte), 1000);
    assert_eq!(passing(&frame(3, 0, 1, &[0; 4]), mebibyte), 10);
    assert_eq!(passing(&frame(4, 0, 0, &[]), mebibyte), 10);
    assert_eq!(passing(&frame(0, 0, 1, &[]), mebibyte), 10);
    let request = [
        frame(1, 4, 1, &[0x82]),
        frame(8, 0, 1, &[0, 0, 0, 1]).repeat(3),
    ]
    .concat();
    assert_eq!(passing(&request, 0), 1000);
}

#[test]
fn what_was_earned_in_one_window_is_gone_in_the_next() {
    let began = Instant::now();
    let later = began + Duration::from_secs(1);
    let mut frames = opened(began);
    let ping = frame(6, 0, 0, &[0; 8]);
    assert_eq!(frames.read(&ping.repeat(500), 1 << 20, || began), Ok(()));
    assert_eq!(frames.read(&ping.repeat(10), 1 << 20, || later), Ok(()));
    assert_eq!(frames.read(&ping, 1 << 20, || later), Err(Flood::Ping));
}

#[test]
fn a_steady_trickle_goes_on_for_ever() {
    let began = Instant::now();
    let mut frames = opened(began);
    let second = frame(6, 0, 0, &[0; 8]).repeat(5);
    for seconds in 0..1000 {
        let now = began + Duration::from_secs(seconds);
        assert_eq!(frames.read(&second, 0, || now), Ok(()));
    }
}

#[test]
fn a_budget_of_zero_is_none() {
    let began = Instant::now();
    let mut frames = Frames::new(Tally::default(), began);
    assert_eq!(frames.read(&[b'P'; PREFACE], 0, || began), Ok(()));
    let pings = frame(6, 0, 0, &[0; 8]).repeat(1000);
    assert_eq!(frames.read(&pings, 0, || began), Ok(()));
}

#[test]
fn cuts_change_nothing() {
    let began = Instant::now();
    let stream = [
        [b'P'; PREFACE].to_vec(),
        frame(4, 0, 0, &[0; 6]),
        frame(1, 4, 7, &[0x82; 40]),
        frame(0, 8, 7, &[3, b'x', 0, 0, 0]),
        frame(0, 8, 7, &[2, 0, 0]),
        frame(0, 0, 7, &[0; 300]),
        frame(0, 0, 7, &[]),
        frame(6, 0, 0, &[0; 8]),
    ]
    .concat();
    for step in 1..stream.len() {
        let mut frames = Frames::new(BUDGETS, began);
        for piece in stream.chunks(step) {
            assert_eq!(frames.read(piece, 0, || began), Ok(()));
        }
        let spent = Tally {
            settings: 1,
            empty_data: 2,
            pings: 1,
            ..Tally::default()
        };
        assert_eq!(frames.spent, spent, "{step}");
        assert!(frames.walk.is_between_frames());
        assert_eq!((frames.requests, frames.last_stream), (1, 7));
    }
}

#[test]
fn a_frame_that_has_not_ended_is_known() {
    let mut walk = Walk::default();
    let whole = frame(0, 0, 1, b"abc");
    for (at, byte) in whole.iter().enumerate() {
        assert_eq!(walk.is_between_frames(), at == 0);
        walk.pass(&[*byte]);
    }
    assert!(walk.is_between_frames());
}

#[test]
fn the_farewell_names_the_last_stream_and_asks_for_calm() {
    let began = Instant::now();
    let mut frames = opened(began);
    assert_eq!(frames.read(&frame(1, 5, 9, &[0x82]), 0, || began), Ok(()));
    assert_eq!(
        frames.farewell(),
        [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 11]
    );
}
