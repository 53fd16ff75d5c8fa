//! Sends frames on one HTTP/2 connection without regard for anybody, until the server has had enough.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::PATIENCE;
use super::raw_h2::{GOAWAY, RawH2, code};

/// What the offender heard last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Farewell {
    /// GOAWAY with this error code.
    GoneAway(u32),
    /// A close, without a word that arrived.
    Closed,
    /// Nothing: the server took it all and the connection is open.
    None,
}

impl RawH2 {
    /// Writes up to `most` pieces, and reads all the while, until the server ends the connection.
    pub(crate) async fn flood(self, most: u32, mut piece: impl FnMut(u32) -> Vec<u8>) -> Farewell {
        let (mut reader, mut writer) = tokio::io::split(self.stream);
        let writing = async {
            for round in 0..most {
                let piece = piece(round);
                if writer.write_all(&piece).await.is_err() || writer.flush().await.is_err() {
                    break;
                }
            }
        };
        let mut heard = Vec::new();
        // An end without close_notify is one like any other.
        let reading = async { drop(reader.read_to_end(&mut heard).await) };
        let both = async { tokio::join!(writing, reading) };
        if tokio::time::timeout(PATIENCE, both).await.is_err() {
            return Farewell::None;
        }
        last_goaway(&heard).map_or(Farewell::Closed, Farewell::GoneAway)
    }
}

fn last_goaway(mut heard: &[u8]) -> Option<u32> {
    let mut last = None;
    while let Some((head, rest)) = heard.split_first_chunk::<9>() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let Some((payload, next)) = rest.split_at_checked(length) else {
            break;
        };
        if head[3] == GOAWAY {
            last = Some(code(&payload[4..8]));
        }
        heard = next;
    }
    last
}
