//! `portcullis demo`: a whole installation in one folder, with two example apps, one person and one link.
//!
//! It is the real server with a real configuration; only the apps behind it are part of the demo. It listens on loopback
//! and sends nothing anywhere.

mod apps;
mod files;

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::UnixListener;
use tokio_util::sync::CancellationToken;

use self::apps::App;
use self::files::Folder;
use super::args::Demo;
use super::outcome::{Failure, Outcome};
use super::{Globals, block_on, run as serving};
use crate::authn::people::{ADMINISTRATORS, NewPerson, PeopleError};
use crate::pages::paths;
use crate::server::Server;
use crate::server::core::Core;
use crate::server::inherited::Inherited;
use crate::tasks::Tasks;

const PERSON: &str = "admin@localhost";

pub(super) fn run(args: &Demo, globals: &Globals) -> Result<Outcome, Failure> {
    let unusable = |error: io::Error| Failure::caused("the demo's folder cannot be used", &error);
    let folder = Folder::open(args.keep.as_deref()).map_err(unusable)?;
    let config = files::config(folder.path(), args.port);
    if args.print_config {
        globals.out.print(config)?;
        return Ok(Outcome::Done);
    }
    if args.reset {
        folder.reset().map_err(unusable)?;
    }
    let (Some(notes), Some(payroll)) = (folder.socket("notes"), folder.socket("payroll")) else {
        return Err(Failure::cannot(
            "the folder's path is too long for the sockets of the example apps; choose a shorter one with --keep",
        ));
    };
    folder.fill(&config).map_err(unusable)?;
    let server = open(args.port, &folder, globals)?;
    let link = block_on(invite(server.core()))??;
    let apps = Apps::start([(App::Notes, &notes), (App::Payroll, &payroll)])?;
    let welcome = welcome(args, folder.path(), &server, link.as_deref());
    let served = server.run(CancellationToken::new(), || globals.out.say(&welcome));
    apps.stop();
    served.map_err(|error| Failure::caused("the demo stopped", &error))?;
    Ok(Outcome::Done)
}

fn open(port: u16, folder: &Folder, globals: &Globals) -> Result<Server, Failure> {
    serving::open(folder.config(), Inherited::default(), globals).map_err(|mut failure| {
        if let (true, Some(free)) = (failure.message.contains("taken"), next_free(port)) {
            failure.message =
                format!("port {port} is in use. Take another one: portcullis demo --port {free}");
        }
        failure
    })
}

/// The first of the next ports on which the demo and its operations listener both find room.
fn next_free(port: u16) -> Option<u16> {
    let free = |port: u16| std::net::TcpListener::bind(("127.0.0.1", port)).is_ok();
    (port.checked_add(2)?..u16::MAX)
        .take(200)
        .find(|candidate| free(*candidate) && free(candidate + 1))
}

/// Makes the person and a fresh link; `None` when the person of a kept demo is enrolled already.
async fn invite(core: &Core) -> Result<Option<String>, Failure> {
    let failed = |error: PeopleError| Failure::caused("the demo's person cannot be made", &error);
    let (people, now) = (&core.authenticator.people, core.ledger.clock.now());
    let person = NewPerson {
        login: PERSON.to_owned(),
        email: None,
        name: Some("Demo administrator".to_owned()),
        groups: BTreeSet::from([ADMINISTRATORS.to_owned()]),
        tenant: crate::config::DEFAULT_TENANT.to_owned(),
        contractor: false,
    };
    if people.find(PERSON).is_err() {
        let told = people.add(person, now).await.map_err(failed)?;
        told.events
            .into_iter()
            .for_each(|event| core.audit.record(event.record(now)));
    }
    if people.show(PERSON).map_err(failed)?.has_second_factor {
        return Ok(None);
    }
    let told = people.enrol(PERSON, None, now).await.map_err(failed)?;
    told.events
        .into_iter()
        .for_each(|event| core.audit.record(event.record(now)));
    let (_person, invitation) = told.value;
    let origin = core.plan.load().portal_origin();
    Ok(Some(format!(
        "{origin}{}{}",
        paths::ENROL,
        invitation.token.expose()
    )))
}

/// The example apps, on a runtime of their own.
struct Apps {
    stop: CancellationToken,
    thread: JoinHandle<()>,
}

impl Apps {
    fn start(wanted: [(App, &Path); 2]) -> Result<Self, Failure> {
        let failed =
            |error: io::Error| Failure::caused("the example apps cannot be started", &error);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(failed)?;
        let mut sockets = Vec::new();
        {
            let _inside = runtime.enter();
            for (app, path) in wanted {
                match std::fs::remove_file(path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(failed(error));
                    }
                    _ => sockets.push((app, UnixListener::bind(path).map_err(failed)?)),
                }
            }
        }
        let stop = CancellationToken::new();
        let stopping = stop.clone();
        let serve = move || {
            runtime.block_on(async move {
                let tasks = Tasks::new();
                for (app, socket) in sockets {
                    tasks.spawn("demo-app", apps::serve(app, socket, tasks.clone()));
                }
                stopping.cancelled().await;
                tasks.drain(Duration::from_secs(1)).await;
            });
        };
        let thread = std::thread::Builder::new()
            .name("demo-apps".to_owned())
            .spawn(serve)
            .map_err(failed)?;
        Ok(Self { stop, thread })
    }

    fn stop(self) {
        self.stop.cancel();
        if self.thread.join().is_err() {
            tracing::error!("an example app ended by a panic");
        }
    }
}

fn welcome(args: &Demo, folder: &Path, server: &Server, link: Option<&str>) -> String {
    let plan = server.core().plan.load();
    let origin = plan.portal_origin();
    let fate = match &args.keep {
        None => "DATA IS THROWN AWAY AT EXIT  (keep it: --keep ./portcullis-demo)".to_owned(),
        Some(folder) => format!("data is kept in {}", folder.display()),
    };
    let config = folder.join(files::CONFIG);
    let config = config.display();
    let first = match link {
        Some(link) => format!(
            "  1  Open this link within 1 hour (works once)\n       {link}\n     \
             Your browser will warn: the certificate was made a moment ago by this program.\n"
        ),
        None => format!("  1  Sign in as {PERSON}\n       {origin}/\n"),
    };
    format!(
        "\n  Portcullis {} demo    {fate}\n\n{first}\n  \
         2  Try        {origin}/notes/      allowed after sign-in\n                \
         {origin}/payroll/    refused, and told why\n\n  \
         3  Look       portcullis audit tail -c {config}\n                \
         portcullis audit verify -c {config}\n\n  \
         Files   {}   {}  policies/  data/ca/root.crt\n  \
         Stop    Ctrl-C\n  \
         New link, if this one is lost:   portcullis user enrol {PERSON} -c {config}\n\n",
        env!("CARGO_PKG_VERSION"),
        folder.display(),
        files::CONFIG,
    )
}
