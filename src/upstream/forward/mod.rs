//! Carries one request to one target and brings back the answer's head.
//!
//! Another target is tried only while nothing of the request has been sent. A kept connection that turns out closed
//! costs one more try when the connection gave the request back unsent, or when the request has no body and its method
//! is idempotent (RFC 9110 section 9.2.2). No other request is ever sent twice.

mod answer;
mod outgoing;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Response, StatusCode, Version};
use http_body::Body as _;
use hyper::body::Incoming;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::outgoing::{Head, Outgoing};
use super::body::{Download, Lease};
use super::error::{Error, ErrorKind};
use super::group::{Group, Running, Target};
use super::meter::{Meter, Upload};
use super::pool::{Line, Pools};
use super::request::{Upgrade, UpstreamRequest};
use super::tunnel::Tunnel;
use crate::base::Reason;
use crate::dial::DialError;
use crate::message::{Body, hop};
use crate::tls::client::Offer;

/// An answer, and what is worth recording about how it came.
#[derive(Debug)]
pub(crate) struct Forwarded {
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

/// A session that ends is noticed within this time while its request waits for an answer.
const LOOK: Duration = Duration::from_millis(500);

const SESSION_ENDED: ErrorKind = ErrorKind::Interrupted(Reason::SessionEnded);

struct Exchange<'a> {
    pools: &'a Pools,
    group: Arc<Group>,
    offer: Offer,
    meter: Arc<Meter>,
    tried: Vec<u64>,
    connect: Option<Duration>,
    /// Cancelled when the session behind the request is ended.
    ended: Option<CancellationToken>,
}

/// What the exchange needs after the head of the answer is there.
struct Rest {
    deadline: Option<Instant>,
    upgrade: Option<Upgrade>,
}

struct Answer {
    response: Response<Incoming>,
    line: Line,
    running: Running,
}

impl Pools {
    /// Sends `request` and waits for the head of the answer.
    ///
    /// # Errors
    /// See [`Error`]; after an error no answer has been passed on, and the client can still be told.
    pub(crate) async fn forward(&self, request: UpstreamRequest) -> Result<Forwarded, Error> {
        let begun = Instant::now();
        let UpstreamRequest {
            group,
            method,
            target,
            host,
            headers,
            body,
            upgrade,
            wants_trailers,
            ended,
        } = request;
        let meter = Arc::new(Meter::default());
        let outgoing = Outgoing {
            body: Upload::wrap(body, &meter),
            head: Head {
                method,
                target,
                host,
                headers,
                wants_trailers,
                upgrade: upgrade.as_ref().map(|upgrade| upgrade.protocols.clone()),
            },
        };
        let rest = Rest {
            deadline: group.timeouts.total.map(|total| begun + total),
            upgrade,
        };
        let mut exchange = Exchange {
            pools: self,
            group,
            offer: if rest.upgrade.is_some() {
                Offer::H1
            } else {
                Offer::All
            },
            meter,
            tried: Vec::new(),
            connect: None,
            ended,
        };
        let answer = exchange.run(outgoing).await?;
        let report = Report {
            target: Arc::clone(&answer.running.target().label),
            connect: exchange.connect,
            first_byte: begun.elapsed(),
            meter: Arc::clone(&exchange.meter),
        };
        exchange.finish(answer, report, rest)
    }
}

/// Why a try gave no answer.
enum Failure {
    /// The connection was closed before the request went out, and gave it back.
    Unsent(Box<Outgoing>, hyper::Error),
    /// The connection broke after at least a part of the request went out.
    Lost(hyper::Error),
    Final(ErrorKind),
}

impl Exchange<'_> {
    /// Tries targets and connections until there is an answer or no further try is safe.
    async fn run(&mut self, mut outgoing: Outgoing) -> Result<Answer, Error> {
        let mut retried = false;
        loop {
            let (running, line, kept) = self.connect(!retried).await?;
            let target = Arc::clone(running.target());
            let spare = (kept && outgoing.body.is_end_stream() && outgoing.head.is_idempotent())
                .then(|| outgoing.head.clone());
            let (line, outcome) = self.send(line, &target, outgoing).await;
            let failure = match outcome {
                Ok(response) => {
                    return Ok(Answer {
                        response,
                        line,
                        running,
                    });
                }
                Err(failure) => failure,
            };
            let (again, kind) = match failure {
                Failure::Unsent(returned, error) => {
                    (kept.then_some(*returned), ErrorKind::Broken(error))
                }
                Failure::Lost(error) => {
                    let body = Body::Empty;
                    let again = spare.map(|head| Outgoing { head, body });
                    (again, ErrorKind::Broken(error))
                }
                Failure::Final(kind) => (None, kind),
            };
            // A second try opens its own connection; there is no third.
            outgoing = again
                .filter(|_| !retried)
                .ok_or_else(|| failed(kind, Some(&target)))?;
            retried = true;
        }
    }

    /// A connection to the next target, kept or new; `true` for a kept one.
    async fn connect(&mut self, may_be_kept: bool) -> Result<(Running, Line, bool), Error> {
        let mut last: Option<(DialError, Arc<Target>)> = None;
        for _attempt in 0..self.group.attempts.max(1) {
            let Some(running) = self.group.pick(&self.tried) else {
                break;
            };
            let target = running.target();
            if may_be_kept && let Some(line) = self.pools.take(&self.group, target, self.offer) {
                return Ok((running, line, true));
            }
            let begun = Instant::now();
            match self.open(target).await? {
                Ok(line) => {
                    target.wake();
                    self.connect = Some(begun.elapsed());
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
    async fn send(
        &self,
        line: Line,
        target: &Target,
        outgoing: Outgoing,
    ) -> (Line, Result<Response<Incoming>, Failure>) {
        let kept = outgoing.head.kept();
        let asked = outgoing.head.asked();
        let request = match outgoing.into_request(&line, target) {
            Ok(request) => request,
            Err(kind) => return (line, Err(Failure::Final(kind))),
        };
        let (line, sent) = match line {
            Line::H1(mut line) => {
                line.exchange.ask(asked);
                let sent = self
                    .in_time(pin!(line.sender.try_send_request(request)))
                    .await;
                (Line::H1(line), sent)
            }
            Line::H2(mut sender) => {
                let sent = self.in_time(pin!(sender.try_send_request(request))).await;
                (Line::H2(sender), sent)
            }
        };
        let outcome = match sent {
            Err(kind) => Err(Failure::Final(kind)),
            Ok(Ok(response)) => Ok(response),
            Ok(Err(mut error)) => Err(match (self.meter.fault(), error.take_message()) {
                (Some(reason), _) => Failure::Final(ErrorKind::Interrupted(reason)),
                (None, Some(request)) => {
                    let returned = Box::new(Outgoing::from_request(request, kept));
                    Failure::Unsent(returned, error.into_error())
                }
                (None, None) => match line.flaw() {
                    Some(flaw) => Failure::Final(ErrorKind::Answer(flaw)),
                    None => lost(error.into_error()),
                },
            }),
        };
        (line, outcome)
    }

    /// A new connection to `target`, unless the session ends meanwhile. Boxed: most requests need none, and all of
    /// them would carry the room for its handshake.
    async fn open(&self, target: &Target) -> Result<Result<Line, DialError>, Error> {
        let opening = Box::pin(self.pools.open(&self.group, target, self.offer));
        match &self.ended {
            None => Ok(opening.await),
            Some(ended) => ended
                .run_until_cancelled(opening)
                .await
                .ok_or_else(|| failed(SESSION_ENDED, None)),
        }
    }

    /// Waits for the head; while the request's body still moves, the time starts anew.
    ///
    /// Whether the session is still there is looked at now and then: to be told would cost every request the entry in
    /// a list that all requests of the session share.
    async fn in_time<F: Future + Unpin>(&self, mut sending: F) -> Result<F::Output, ErrorKind> {
        let limit = self.group.timeouts.first_byte;
        let (mut before, mut since) = (self.meter.up(), Instant::now());
        loop {
            let waiting =
                tokio::time::timeout_at((since + limit).min(Instant::now() + LOOK), &mut sending);
            if let Ok(sent) = waiting.await {
                return Ok(sent);
            }
            if self
                .ended
                .as_ref()
                .is_some_and(CancellationToken::is_cancelled)
            {
                return Err(SESSION_ENDED);
            }
            let now = self.meter.up();
            if now != before {
                (before, since) = (now, Instant::now());
            } else if since.elapsed() >= limit {
                return Err(ErrorKind::AnswerTimeout);
            }
        }
    }

    /// Checks the head and gives the body its way back to the pool.
    fn finish(self, answer: Answer, report: Report, rest: Rest) -> Result<Forwarded, Error> {
        let Answer {
            mut response,
            line,
            running,
        } = answer;
        let fail = |what| failed(ErrorKind::Answer(what), Some(running.target()));
        answer::check(&response, rest.upgrade.as_ref()).map_err(fail)?;
        *response.version_mut() = Version::HTTP_11;
        if let (StatusCode::SWITCHING_PROTOCOLS, Some(upgrade)) = (response.status(), rest.upgrade)
        {
            let extended = upgrade.handshake.is_some();
            let tunnel = Tunnel {
                client: upgrade.client,
                upstream: hyper::upgrade::on(&mut response),
                meter: self.meter,
                ended: self.ended,
                running,
                keep: upgrade.keep,
            };
            return Ok(Forwarded {
                response: answer::switching(response, extended),
                report,
                tunnel: Some(tunnel),
            });
        }
        let (mut parts, incoming) = response.into_parts();
        hop::strip_but_announced(&mut parts.headers);
        let lease = Lease {
            pools: self.pools.clone(),
            line: match line {
                Line::H1(line) => Some(line),
                Line::H2(_) => None,
            },
            meter: self.meter,
            running,
            idle: self.group.timeouts.idle,
            group: self.group,
        };
        let body = if incoming.is_end_stream() {
            lease.settle();
            Body::Empty
        } else {
            let body = Body::from(incoming);
            Body::wrap(Download::new(body, lease, rest.deadline, self.ended))
        };
        Ok(Forwarded {
            response: Response::from_parts(parts, body),
            report,
            tunnel: None,
        })
    }
}

fn failed(kind: ErrorKind, target: Option<&Arc<Target>>) -> Error {
    Error {
        kind,
        target: target.map(|target| Arc::clone(&target.label)),
    }
}

fn lost(error: hyper::Error) -> Failure {
    if error.is_parse() {
        Failure::Final(ErrorKind::Answer("its head is malformed or too large"))
    } else {
        Failure::Lost(error)
    }
}

#[cfg(test)]
mod tests;
