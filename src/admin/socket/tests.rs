//! The control socket: who is answered, what is understood, and whose file is replaced.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net;

use super::{ControlSocket, LARGEST_CALL, SocketError, converse, read_call};
use crate::admin::call::{AdminError, Call, PeopleCall, Reply};
use crate::admin::client::{AskError, ask};
use crate::admin::desk::tests::Office;
use crate::authn::fixture::Site;
use crate::tasks::Tasks;

const LIST: &[u8] = b"{\"people\":\"list\"}\n";
const SERVER: u32 = 987;

#[tokio::test]
async fn only_root_and_the_servers_account_are_answered() {
    let office = Office::over(Site::empty()).await;
    for caller in [0, SERVER] {
        assert_eq!(
            converse(LIST, caller, SERVER, &office.desk).await,
            Ok(Reply::People(Vec::new()))
        );
    }
    for stranger in [1000, SERVER + 1] {
        let refused = converse(LIST, stranger, SERVER, &office.desk).await;
        assert!(
            matches!(refused, Err(AdminError::NotPermitted(_))),
            "{refused:?}"
        );
    }
}

#[tokio::test]
async fn what_is_no_call_is_refused() {
    for text in [
        "",
        "\n",
        "{\"people\":\"list\"}",
        "GET / HTTP/1.1\r\n\r\n",
        "\"shutdown\"\n",
        "\u{0}\n",
    ] {
        let refused = read_call(text.as_bytes()).await;
        assert!(matches!(refused, Err(AdminError::Unusable(_))), "{text:?}");
    }
}

#[tokio::test]
async fn a_call_without_an_end_is_read_no_further_than_the_limit() {
    let endless = tokio::io::BufReader::new(tokio::io::repeat(b'x'));
    let Err(AdminError::Unusable(text)) = read_call(endless).await else {
        panic!("the call has no end");
    };
    assert!(text.contains("4 MiB"), "{text}");
}

#[tokio::test]
async fn a_call_goes_through_the_socket_and_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run/admin.sock");
    let (office, tasks) = (Office::over(Site::empty()).await, Tasks::new());
    let socket = ControlSocket::open(&path).unwrap();
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    tasks.spawn("socket", socket.serve(office.desk.clone(), tasks.clone()));
    let list = Call::People(PeopleCall::List);
    assert_eq!(
        ask(&path, &list).await.unwrap(),
        Ok(Reply::People(Vec::new()))
    );
    let show = Call::People(PeopleCall::Show {
        name: "kim".to_owned(),
    });
    assert!(matches!(
        ask(&path, &show).await.unwrap(),
        Err(AdminError::NotFound(_))
    ));
    let huge = Call::People(PeopleCall::Import {
        lines: "x".repeat(LARGEST_CALL).into(),
    });
    assert!(matches!(ask(&path, &huge).await, Err(AskError::TooLarge)));
    tasks.drain(std::time::Duration::from_secs(5)).await;
    assert!(!path.exists(), "the file goes with the server");
    assert!(matches!(ask(&path, &list).await, Err(AskError::Nobody)));
}

#[test]
fn a_dead_socket_is_replaced_a_live_one_and_a_file_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin.sock");
    drop(net::UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "a killed server leaves its socket behind");
    let first = ControlSocket::open(&path).unwrap();
    assert!(matches!(
        ControlSocket::open(&path),
        Err(SocketError::Taken(_))
    ));
    drop(first);
    std::fs::write(&path, "precious").unwrap();
    assert!(matches!(
        ControlSocket::open(&path),
        Err(SocketError::NoSocket(_))
    ));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
}
