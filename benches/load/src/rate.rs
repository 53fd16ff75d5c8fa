//! S5: an open loop. Requests are due at fixed times; one that starts late because the last was slow counts from the time
//! at which it was due, so waiting is not left out of the figures (no coordinated omission).

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::thread::set_current_timer_slack;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::client::{Tally, To};
use crate::{Failure, http};

/// Connections are made and the proxy's memory is warmed in this time; it does not count.
const WARM: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(5);
const LARGEST_ANSWER: usize = 32 * 1024;

/// When one connection's requests are due.
#[derive(Clone, Copy)]
struct Timetable {
    first: Instant,
    counted_from: Instant,
    end: Instant,
    gap: Duration,
}

type Connection = StreamOwned<ClientConnection, TcpStream>;

/// One thread per connection that blocks: a sleep is then as exact as the kernel's timers.
pub(crate) fn run(to: &To, connections: u32, seconds: u64, rate: u32) -> Result<(), Failure> {
    let tls = to.tls(false)?;
    let begin = Instant::now() + Duration::from_millis(300);
    let gap = Duration::from_secs(1) * connections / rate;
    let running: Vec<_> = (0..connections)
        .map(|number| {
            let (to, tls) = (to.clone(), Arc::clone(&tls));
            let timetable = Timetable {
                first: begin + gap * number / connections,
                counted_from: begin + WARM,
                end: begin + WARM + Duration::from_secs(seconds),
                gap,
            };
            thread::spawn(move || keep(&to, &tls, timetable))
        })
        .collect();
    let mut all = Tally::new()?;
    for one in running {
        all.add(&one.join().map_err(|_| "a connection's thread died")??)?;
    }
    all.tell(WARM + Duration::from_secs(seconds));
    Ok(())
}

fn keep(to: &To, tls: &Arc<ClientConfig>, timetable: Timetable) -> Result<Tally, Failure> {
    // The default slack of 50 us would be in every latency.
    set_current_timer_slack(NonZeroU64::new(1))?;
    let request = to.request("GET /", "");
    let mut data = vec![0; LARGEST_ANSWER];
    let mut tally = Tally::new()?;
    let mut connection = None;
    let mut due = timetable.first;
    while due < timetable.end {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        match ask(to, tls, &mut connection, &request, &mut data) {
            Ok(()) => {
                tally.served += 1;
                if due >= timetable.counted_from {
                    tally.took(due.elapsed());
                }
            }
            Err(error) => {
                tally.broke(&error);
                connection = None;
            }
        }
        due += timetable.gap;
    }
    Ok(tally)
}

fn ask(
    to: &To,
    tls: &Arc<ClientConfig>,
    connection: &mut Option<Connection>,
    request: &[u8],
    data: &mut [u8],
) -> Result<(), Failure> {
    let stream = match connection {
        Some(stream) => stream,
        None => connection.insert(connect(to, Arc::clone(tls))?),
    };
    stream.write_all(request)?;
    let mut filled = 0;
    while !http::served(data.get(..filled).unwrap_or_default())? {
        let room = data.get_mut(filled..).unwrap_or_default();
        let read = stream.read(room)?;
        if read == 0 {
            return Err(http::ended().into());
        }
        filled += read;
    }
    Ok(())
}

/// A blocking TLS connection to the proxy.
pub(crate) fn connect(to: &To, tls: Arc<ClientConfig>) -> Result<Connection, Failure> {
    let stream = TcpStream::connect(to.to)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let session = ClientConnection::new(tls, to.name()?)
        .map_err(|error| io::Error::other(error.to_string()))?;
    Ok(StreamOwned::new(session, stream))
}
