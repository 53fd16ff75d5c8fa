//! Carries one request to one target and brings back the answer's head.
//!
//! Another target is tried only while nothing of the request has been sent. A kept connection that turns out closed
//! costs one more try when nothing was written on it, or when nothing of an answer came, the request has no body and its
//! method is idempotent (RFC 9110 section 9.2.2). No other request is ever sent twice.

mod answer;
mod outgoing;
mod patience;

use std::sync::Arc;
use std::time::Duration;

use http::{Response, Version};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::client::conn::http2;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::outgoing::Outgoing;
use self::patience::{Patience, Permission, is_over};
use super::body::{Download, Lease, Source};
use super::error::{Error, ErrorKind};
use super::group::{Group, Running, Target};
use super::h1::{self, Connection, Exchange};
use super::meter::{Meter, Upload, Uploading, reason_of};
use super::pool::{Line, Pools};
use super::request::{Upgrade, UpstreamRequest};
use super::tunnel::Tunnel;
use crate::dial::DialError;
use crate::message::wire::answer::{AnswerHead, Extent, NO_STATUS};
use crate::message::{Body, security};
use crate::tls::client::Offer;

/// An answer, and what is worth recording about how it came.
#[derive(Debug)]
pub(crate) struct Forwarded {
    /// Its headers are those that [`security::is_passed_on`] lets pass.
    pub(crate) response: Response<Body>,
    pub(crate) report: Report,
    /// Both sides agreed to upgrade; the answer is 101.
    pub(crate) tunnel: Option<Tunnel>,
}

/// How an exchange went.
#[derive(Debug, Clone)]
pub(crate) struct Report {
    /// The target as the configuration writes it.
    pub(crate) target: Arc<str>,
    /// Time for a new connection; `None` when a kept one served.
    pub(crate) connect: Option<Duration>,
    /// From the call to the answer's head.
    pub(crate) first_byte: Duration,
    pub(crate) meter: Arc<Meter>,
}

/// One request on its way to an answer.
struct Trip<'a> {
    pools: &'a Pools,
    group: Arc<Group>,
    outgoing: Outgoing,
    meter: &'a Arc<Meter>,
    patience: Patience<'a>,
    tried: Vec<u64>,
    /// When something was last begun: the request, or the connection that it goes through.
    begun: Instant,
    connect: Option<Duration>,
}

enum Answer {
    H1(AnswerHead, Box<Exchange>),
    H2(Response<Incoming>),
}

/// Why a try gave no answer.
enum Failure {
    /// Nothing was sent, and the body is as it was.
    Unsent(Body, ErrorKind),
    /// The connection broke before anything of an answer came, but a part of the request may have arrived.
    Lost(ErrorKind),
    Final(ErrorKind),
}

impl Pools {
    /// Sends `request` and waits for the head of the answer, for as long as `permission` holds.
    ///
    /// # Errors
    /// See [`Error`]; after an error no answer has been passed on, and the client can still be told.
    pub(crate) async fn forward(
        &self,
        request: UpstreamRequest,
        permission: Permission<'_>,
    ) -> Result<Forwarded, Error> {
        let begun = Instant::now();
        let UpstreamRequest {
            group,
            head,
            preserve_host,
            body,
            upgrade,
            ended,
        } = request;
        let meter = Arc::new(Meter::default());
        let body = Upload::wrap(body, &meter);
        let mut trip = Trip {
            pools: self,
            group,
            outgoing: Outgoing {
                head,
                preserve_host,
                upgrade: upgrade.as_ref().map(|upgrade| upgrade.protocols.clone()),
            },
            meter: &meter,
            patience: Patience { ended, permission },
            tried: Vec::new(),
            begun,
            connect: None,
        };
        let upload = Uploading::new(&meter);
        let holds = trip.patience.look_for_session();
        holds.map_err(|kind| failed(kind, None))?;
        let (answer, running) = trip.run(body).await?;
        let answered = Instant::now();
        let report = Report {
            target: Arc::clone(&running.target().label),
            connect: trip.connect,
            first_byte: answered.saturating_duration_since(begun),
            meter: Arc::clone(&meter),
        };
        let arrival = Arrival {
            deadline: trip.group.timeouts.total.map(|total| begun + total),
            ended: trip.patience.ended,
            answered,
            lease: Lease {
                pools: self.clone(),
                group: trip.group,
                running,
                upload,
            },
            report,
        };
        match answer {
            Answer::H1(head, exchange) => arrival.of_h1(head, exchange, upgrade),
            Answer::H2(response) => arrival.of_h2(response),
        }
    }
}

/// What is done with an answer whose head is there.
struct Arrival {
    lease: Lease,
    answered: Instant,
    deadline: Option<Instant>,
    ended: Option<CancellationToken>,
    report: Report,
}

impl Arrival {
    /// Passes the head on. What is there in full frees its connection before anybody else sees it.
    fn of_h1(
        self,
        head: AnswerHead,
        mut exchange: Box<Exchange>,
        upgrade: Option<Upgrade>,
    ) -> Result<Forwarded, Error> {
        let fail = |what| failed(ErrorKind::Answer(what), Some(self.lease.running.target()));
        answer::check(&head, upgrade.as_ref()).map_err(fail)?;
        if let (Extent::Foreign, Some(upgrade)) = (head.extent, upgrade) {
            return Ok(self.switches(head, exchange, upgrade));
        }
        // An answer whose session ended meanwhile is broken off by the body that watches for that.
        let whole = match is_over(self.ended.as_ref()) {
            false => exchange.whole(),
            true => None,
        };
        let body = match whole {
            Some(whole) => {
                let length = whole.size_hint().exact().unwrap_or_default();
                self.lease.upload.meter().add_down(length);
                self.lease.settle(exchange.into_rested(), self.answered);
                whole
            }
            None => Download::body(Source::H1(exchange), self.lease, self.deadline, self.ended),
        };
        let mut response = Response::new(body);
        *response.status_mut() = head.status;
        *response.headers_mut() = head.headers;
        Ok(Forwarded {
            response,
            report: self.report,
            tunnel: None,
        })
    }

    fn switches(self, head: AnswerHead, exchange: Box<Exchange>, upgrade: Upgrade) -> Forwarded {
        let extended = upgrade.handshake.is_some();
        let Lease {
            running, upload, ..
        } = self.lease;
        Forwarded {
            response: answer::switching(head, extended),
            report: self.report,
            tunnel: Some(Tunnel {
                client: upgrade.client,
                upstream: exchange.into_connection(),
                meter: upload.go_on(),
                ended: self.ended,
                running,
                keep: upgrade.keep,
            }),
        }
    }

    fn of_h2(self, response: Response<Incoming>) -> Result<Forwarded, Error> {
        let (mut parts, content) = response.into_parts();
        if parts.status.as_u16() > 599 {
            let kind = ErrorKind::Answer(NO_STATUS);
            return Err(failed(kind, Some(self.lease.running.target())));
        }
        parts.version = Version::HTTP_11;
        security::leave_out(&mut parts.headers);
        let body = match Body::from(content) {
            Body::Empty => Body::Empty,
            content => Download::body(Source::H2(content), self.lease, self.deadline, self.ended),
        };
        Ok(Forwarded {
            response: Response::from_parts(parts, body),
            report: self.report,
            tunnel: None,
        })
    }
}

impl Trip<'_> {
    /// Tries targets and connections until there is an answer or no further try is safe.
    async fn run(&mut self, mut body: Body) -> Result<(Answer, Running), Error> {
        let mut retried = false;
        loop {
            let (running, line, kept) = self.connect(!retried).await?;
            let target = running.target();
            // A second try opens its own connection; there is no third.
            let may_repeat = kept && !retried;
            let repeatable = body.is_end_stream() && self.outgoing.is_idempotent();
            let sent = match line {
                Line::H1(connection) => self.send_h1(connection, target, body).await,
                Line::H2(sender) => self.send_h2(sender, target, body).await,
            };
            body = match sent {
                Ok(answer) => return Ok((answer, running)),
                Err(Failure::Unsent(body, _)) if may_repeat => body,
                Err(Failure::Lost(_)) if may_repeat && repeatable => Body::Empty,
                Err(Failure::Unsent(_, kind) | Failure::Lost(kind) | Failure::Final(kind)) => {
                    return Err(failed(kind, Some(target)));
                }
            };
            retried = true;
        }
    }

    /// A connection to the next target, kept or new; `true` for a kept one.
    async fn connect(&mut self, may_be_kept: bool) -> Result<(Running, Line, bool), Error> {
        let offer = if self.outgoing.upgrade.is_some() {
            Offer::H1
        } else {
            Offer::All
        };
        let mut last: Option<(DialError, Arc<Target>)> = None;
        for _attempt in 0..self.group.attempts.max(1) {
            let Some(running) = self.group.pick(&self.tried) else {
                break;
            };
            let target = running.target();
            if may_be_kept
                && let Some(line) = self.pools.take((&self.group, target), offer, self.begun)
            {
                return Ok((running, line, true));
            }
            self.begun = Instant::now();
            // Boxed: most requests need none, and all of them would carry the room for its handshake.
            let opening = Box::pin(self.pools.open(&self.group, target, offer));
            let opened = self.patience.wait(opening, self.begun, None).await;
            match opened.map_err(|kind| failed(kind, None))? {
                Ok(line) => {
                    target.wake();
                    self.connect = Some(self.begun.elapsed());
                    self.begun = Instant::now();
                    return Ok((running, line, false));
                }
                Err(error) => {
                    target.rest();
                    self.tried.push(target.id);
                    last = Some((error, Arc::clone(target)));
                }
            }
        }
        Err(match last {
            Some((error, target)) => failed(error.into(), Some(&target)),
            None => failed(ErrorKind::NoTarget, None),
        })
    }

    /// Sends and waits for the head. The answer may come before the request's body has ended.
    async fn send_h1(
        &mut self,
        connection: Connection,
        target: &Target,
        body: Body,
    ) -> Result<Answer, Failure> {
        let sending = self.outgoing.for_h1(target, body);
        // Boxed: it goes from hand to hand, and stays where it is.
        let mut exchange = Box::new(Exchange::new(connection, sending, self.outgoing.asked()));
        let head = self
            .patience
            .wait(
                std::future::poll_fn(|cx| exchange.poll_head(cx)),
                self.begun,
                Some((self.group.timeouts.first_byte, self.meter)),
            )
            .await
            .map_err(Failure::Final)?;
        Err(match head {
            Ok(head) => return Ok(Answer::H1(head, exchange)),
            Err(h1::Failure::Unsent(error)) => {
                Failure::Unsent(exchange.into_body(), ErrorKind::Broken(error.into()))
            }
            Err(h1::Failure::Lost(error)) => Failure::Lost(ErrorKind::Broken(error.into())),
            Err(h1::Failure::Broken(error)) => Failure::Final(ErrorKind::Broken(error.into())),
            Err(h1::Failure::Answer(flaw)) => Failure::Final(ErrorKind::Answer(flaw)),
            Err(h1::Failure::Interrupted(error)) => {
                Failure::Final(ErrorKind::Interrupted(reason_of(&error)))
            }
        })
    }

    /// The same as one stream of a shared connection.
    async fn send_h2(
        &mut self,
        mut sender: http2::SendRequest<Body>,
        target: &Target,
        body: Body,
    ) -> Result<Answer, Failure> {
        let request = self.outgoing.for_h2(target, body).map_err(Failure::Final)?;
        let sent = self
            .patience
            .wait(
                sender.try_send_request(request),
                self.begun,
                Some((self.group.timeouts.first_byte, self.meter)),
            )
            .await
            .map_err(Failure::Final)?;
        sent.map(Answer::H2).map_err(|mut error| {
            let returned = error.take_message().map(http::Request::into_body);
            let error = error.into_error();
            match (self.meter.fault(), returned) {
                (Some(reason), _) => Failure::Final(ErrorKind::Interrupted(reason)),
                (None, Some(body)) => Failure::Unsent(body, ErrorKind::Broken(error.into())),
                (None, None) => Failure::Lost(ErrorKind::Broken(error.into())),
            }
        })
    }
}

fn failed(kind: ErrorKind, target: Option<&Arc<Target>>) -> Error {
    Error {
        kind,
        target: target.map(|target| Arc::clone(&target.label)),
    }
}

#[cfg(test)]
mod tests;
