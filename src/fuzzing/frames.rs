//! HTTP/2 as bytes: what the counter of frames says never depends on where the bytes are cut.

use tokio::time::Instant;

use crate::message::frames::{Flood, Frames, Tally};

const BUDGETS: Tally = Tally {
    resets: 2,
    pings: 2,
    settings: 2,
    empty_data: 2,
    window_updates: 2,
    others: 2,
};

/// The bytes of a connection after its preface, cut where the first byte says.
pub fn frames(data: &[u8]) {
    let Some((step, bytes)) = data.split_first() else {
        return;
    };
    let step = usize::from(*step).saturating_add(1);
    let began = Instant::now();
    let whole = count([bytes].into_iter(), began);
    assert_eq!(whole, count(bytes.chunks(step), began));
    assert_eq!(whole, count(bytes.chunks(1), began));
}

fn count<B: AsRef<[u8]>>(pieces: impl Iterator<Item = B>, began: Instant) -> Result<(), Flood> {
    let mut frames = Frames::new(BUDGETS, began);
    frames.read(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 0, || began)?;
    for piece in pieces {
        frames.read(piece.as_ref(), 0, || began)?;
    }
    Ok(())
}
