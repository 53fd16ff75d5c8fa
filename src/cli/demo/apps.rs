//! The two example services of `portcullis demo`: Notes and Payroll.
//!
//! They stand for any service behind the gate: they know nothing of sign-in and trust what the gate tells them.
//! Each listens on a Unix socket that only this user can reach.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, LOCATION};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::net::UnixListener;

use crate::message::body::{Body, read_at_most};
use crate::tasks::Tasks;

const LONGEST_FORM: usize = 16 * 1024;
const MOST_NOTES: usize = 100;

/// Which example answers on a socket.
#[derive(Debug, Clone, Copy)]
pub(crate) enum App {
    Notes,
    Payroll,
}

/// The notes, gone when the demo ends.
type Notes = Arc<Mutex<Vec<String>>>;

/// Serves `app` until the process drains.
pub(crate) async fn serve(app: App, listener: UnixListener, tasks: Tasks) {
    let notes: Notes = Arc::new(Mutex::new(vec![
        "Everything you see here came through Portcullis.".to_owned(),
        "Deleting needs a second factor that is not older than five minutes.".to_owned(),
    ]));
    loop {
        let accepted = tokio::select! {
            () = tasks.draining().cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else { continue };
        let notes = Arc::clone(&notes);
        let service = service_fn(move |request| answer(app, Arc::clone(&notes), request));
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .serve_connection(TokioIo::new(stream), service);
        tasks.spawn("demo-app", async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "an example app lost a connection");
            }
        });
    }
}

async fn answer(
    app: App,
    notes: Notes,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let visitor = visitor(&request);
    let route = (
        app,
        request.method().clone(),
        request.uri().path().to_owned(),
    );
    Ok(match (route.0, &route.1, route.2.as_str()) {
        (App::Notes, &Method::GET | &Method::HEAD, "/notes/" | "/notes") => {
            page(StatusCode::OK, "Notes", &list(&visitor, &notes.lock()))
        }
        (App::Notes, &Method::POST, "/notes/add") => {
            add(&notes, request).await;
            back_to_notes()
        }
        (App::Notes, &Method::GET | &Method::HEAD, "/notes/delete") => {
            page(StatusCode::OK, "Delete all notes", CONFIRM_DELETE)
        }
        (App::Notes, &Method::POST, "/notes/delete") => {
            notes.lock().clear();
            back_to_notes()
        }
        (App::Payroll, ..) => page(
            StatusCode::OK,
            "Payroll",
            "<p>If you can read this, somebody has let you in.</p>",
        ),
        (App::Notes, ..) => page(
            StatusCode::NOT_FOUND,
            "Not found",
            "<p>Notes has no such page.</p>",
        ),
    })
}

/// Who the gate says is asking; the header is there because the route has `identity.headers = true`.
fn visitor(request: &Request<Incoming>) -> String {
    let told = request
        .headers()
        .get("x-portcullis-user")
        .and_then(|value| value.to_str().ok());
    escape(told.unwrap_or("nobody"))
}

async fn add(notes: &Notes, request: Request<Incoming>) {
    let Ok(form) = read_at_most(Body::Incoming(request.into_body()), LONGEST_FORM).await else {
        return;
    };
    let Some(text) = form.strip_prefix(b"text=").map(decode) else {
        return;
    };
    let mut notes = notes.lock();
    if !text.trim().is_empty() && notes.len() < MOST_NOTES {
        notes.push(text);
    }
}

/// Reads one `application/x-www-form-urlencoded` value; bytes that are not UTF-8 become a replacement sign.
fn decode(value: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.iter().copied();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [rest.next().unwrap_or(b'0'), rest.next().unwrap_or(b'0')];
                std::str::from_utf8(&digits)
                    .ok()
                    .and_then(|hex| u8::from_str_radix(hex, 16).ok())
                    .unwrap_or(b'?')
            }
            other => other,
        });
    }
    String::from_utf8(bytes).unwrap_or_else(|_not_text| "\u{fffd}".to_owned())
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

const CONFIRM_DELETE: &str = "<p>This removes every note.</p>\
    <form method=\"post\" action=\"/notes/delete\"><button>Delete all notes</button> <a href=\"/notes/\">Keep them</a></form>";

fn list(visitor: &str, notes: &[String]) -> String {
    let items: String = notes
        .iter()
        .map(|note| format!("<li>{}</li>", escape(note)))
        .collect();
    let items = if items.is_empty() {
        "<li><em>No notes.</em></li>".to_owned()
    } else {
        items
    };
    format!(
        "<p>Portcullis says you are <b>{visitor}</b>.</p><ul>{items}</ul>\
         <form method=\"post\" action=\"/notes/add\"><label>New note <input name=\"text\" maxlength=\"200\" required></label> \
         <button>Add</button></form><p><a href=\"/notes/delete\">Delete all notes</a> · <a href=\"/payroll/\">Payroll</a> · <a href=\"/\">All apps</a></p>"
    )
}

fn page(status: StatusCode, title: &str, body: &str) -> Response<Full<Bytes>> {
    let html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>{title}</title>\
         <style>body{{font:1rem/1.6 system-ui,sans-serif;max-width:40rem;margin:2rem auto;padding:0 1rem}}</style><h1>{title}</h1>{body}"
    );
    let mut response = Response::new(Full::new(Bytes::from(html)));
    *response.status_mut() = status;
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    response
}

fn back_to_notes() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SEE_OTHER;
    response
        .headers_mut()
        .insert(LOCATION, HeaderValue::from_static("/notes/"));
    response
}

#[cfg(test)]
mod tests {
    use super::{decode, escape};

    #[test]
    fn form_values_are_decoded_without_trusting_them() {
        assert_eq!(decode(b"a+b%20c%3Cscript%3E"), "a b c<script>");
        assert_eq!(decode(b"%"), "\0");
        assert_eq!(decode(b"%zz"), "?");
        assert_eq!(decode(b"%ff"), "\u{fffd}");
    }

    #[test]
    fn text_cannot_become_markup() {
        assert_eq!(escape("<b>\"&"), "&lt;b&gt;&quot;&amp;");
    }
}
