//! How long something is waited for, and whether it still may be.
//!
//! There is one timer, which nothing sets before there is something to wait for. Whether the session is there is looked
//! at now and then: to be told would cost every request the entry in a list that all requests of the session share.

use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::base::Reason;
use crate::upstream::error::ErrorKind;
use crate::upstream::meter::Meter;

/// A session that ends, or a permission that goes, is noticed within this time.
const LOOK: Duration = Duration::from_millis(500);

/// Asks whether the permission still holds; the reason when it does not.
pub(crate) type Permission<'a> = &'a mut (dyn FnMut() -> Result<(), Reason> + Send);

/// For one request, while it has no answer.
pub(super) struct Patience<'a> {
    /// Cancelled when the session behind the request is ended.
    pub(super) ended: Option<CancellationToken>,
    pub(super) permission: Permission<'a>,
}

/// The session behind the token has ended; there is none for the anonymous.
pub(super) fn is_over(session: Option<&CancellationToken>) -> bool {
    session.is_some_and(CancellationToken::is_cancelled)
}

impl Patience<'_> {
    /// Waits for `future` from now on, for `limit` unless the request's body still moves.
    pub(super) async fn wait<F: Future>(
        &mut self,
        future: F,
        now: Instant,
        limit: Option<(Duration, &Meter)>,
    ) -> Result<F::Output, ErrorKind> {
        let mut future = pin!(future);
        let up = || limit.map_or(0, |(_, meter)| meter.up());
        let (mut moved, mut since, mut now) = (up(), now, now);
        loop {
            let end = limit.map(|(limit, _)| since + limit);
            let wake = end.map_or(now + LOOK, |end| end.min(now + LOOK));
            if let Ok(output) = timeout_at(wake, future.as_mut()).await {
                return Ok(output);
            }
            self.look()?;
            now = Instant::now();
            if up() != moved {
                (moved, since) = (up(), now);
            } else if end.is_some_and(|end| now >= end) {
                return Err(ErrorKind::AnswerTimeout);
            }
        }
    }

    /// Whether the session is still there: a request that waited for the disk may come late.
    pub(super) fn look_for_session(&self) -> Result<(), ErrorKind> {
        if is_over(self.ended.as_ref()) {
            return Err(ErrorKind::Interrupted(Reason::SessionEnded));
        }
        Ok(())
    }

    fn look(&mut self) -> Result<(), ErrorKind> {
        self.look_for_session()?;
        (self.permission)().map_err(ErrorKind::Interrupted)
    }
}
