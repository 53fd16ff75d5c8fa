//! What nginx asks by `auth_request`: the same session check and path rule that HAProxy makes by itself.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::task::{LocalSet, spawn_local};

use crate::Failure;
use crate::backend::listen;
use crate::http::{self, RequestHead};

#[derive(Debug, Deserialize)]
struct Claims {
    sub: String,
    role: String,
}

struct Rules {
    key: DecodingKey,
    validation: Validation,
}

/// Serves until it is ended.
pub(crate) fn run(address: SocketAddr, secret: &str) -> Result<(), Failure> {
    let mut validation = Validation::new(Algorithm::HS256);
    validation.validate_aud = false;
    let key = DecodingKey::from_secret(secret.as_bytes());
    let rules = Rc::new(Rules { key, validation });
    let runtime = Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async move {
        let listener = TcpListener::from_std(listen(address)?)?;
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                continue;
            };
            let rules = Rc::clone(&rules);
            // nginx turns a broken connection into a refused request, which the load reports.
            spawn_local(async move { drop(serve(stream, &rules).await) });
        }
    })
}

async fn serve(mut stream: TcpStream, rules: &Rules) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut data = Vec::with_capacity(4096);
    loop {
        while let Some((head, used)) = http::request(&data)? {
            data.drain(..used);
            let answer = match judge(&head, rules) {
                Ok(user) => {
                    format!("HTTP/1.1 200 OK\r\nx-user: {user}\r\ncontent-length: 0\r\n\r\n")
                }
                Err(status) => format!("HTTP/1.1 {status} Refused\r\ncontent-length: 0\r\n\r\n"),
            };
            stream.write_all(answer.as_bytes()).await?;
        }
        if stream.read_buf(&mut data).await? == 0 {
            return Ok(());
        }
    }
}

/// Gives the user's name, or the status of the refusal.
fn judge(head: &RequestHead, rules: &Rules) -> Result<String, u16> {
    let cookie = head.cookie.as_deref().unwrap_or_default();
    let token = cookie
        .split(';')
        .find_map(|pair| pair.trim().strip_prefix("session="))
        .ok_or(401_u16)?;
    let claims = decode::<Claims>(token, &rules.key, &rules.validation)
        .map_err(|_| 401_u16)?
        .claims;
    let path = head.original_path.as_deref().unwrap_or_default();
    if path.starts_with("/admin") && claims.role != "admin" {
        return Err(403);
    }
    Ok(claims.sub)
}
