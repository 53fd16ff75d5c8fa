//! An installation as the benches need it: so many routes, so many policies, one person who is signed in.
//!
//! Requests are the same in every run, so that runs can be compared.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use mimalloc::MiMalloc;
use portcullis::benching::{Ask, Site};
use tempfile::TempDir;

/// The program's own.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const GROUPS: [&str; 4] = ["staff", "engineering", "vpn", "team1"];

/// An installation in a folder that goes with it.
pub(crate) struct Installation {
    pub(crate) site: Site,
    _folder: TempDir,
}

fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// `routes` apps with `policies` rules spread evenly over them; each route also has its `allow`.
pub(crate) fn install(routes: usize, policies: usize) -> Installation {
    let folder = tempfile::tempdir().unwrap();
    let mut config = String::from(
        "[server]\nportal = \"login.example.com\"\nhttp_redirect = []\nadmin_socket = \"data/admin.sock\"\n\
         [server.limits]\naddress_rate = \"100000000/1s\"\naddress_burst = 100000000\n\
         [tls]\ncertificates = \"internal\"\n\
         [storage]\ndatabase = \"sqlite:data/portcullis.db\"\nmaster_key = { file = \"data/master.key\" }\n\
         [audit]\nfolder = \"data/audit\"\n\
         [upstream.behind]\ntargets = [\"http://127.0.0.1:3000\"]\n",
    );
    for number in 0..routes {
        let text = format!(
            "[route.app{number}]\nhost = \"app{number}.example.com\"\nupstream = \"behind\"\n\
             labels = [\"internal\"]\nallow = [\"group:staff\"]\n"
        );
        config.push_str(&text);
    }
    let mut rules = String::new();
    for number in 0..policies {
        write_rule(&mut rules, number, number % routes);
    }
    write(folder.path(), "portcullis.toml", &config);
    write(folder.path(), "policies/rules.cedar", &rules);
    let last = format!("app{}.example.com", routes - 1);
    let site = Site::open(&folder.path().join("portcullis.toml"), &last, &GROUPS).unwrap();
    Installation {
        site,
        _folder: folder,
    }
}

/// Every fifth forbids a path to all but leads, the others permit a path to a group.
fn write_rule(text: &mut String, number: usize, route: usize) {
    let written = if number % 5 == 4 {
        write!(
            text,
            "@id(\"deny.{number}\")\n@reason(\"Limited to leads.\")\n\
             forbid (principal, action, resource == Route::\"app{route}\")\n\
             when {{ context.request.path like \"/area{number}/*\" }}\n\
             unless {{ principal in Group::\"leads\" }};\n"
        )
    } else {
        write!(
            text,
            "@id(\"allow.{number}\")\n\
             permit (principal in Group::\"team{}\", action in Action::\"read\", resource == Route::\"app{route}\")\n\
             when {{ context.request.path like \"/reports{number}/*\" }};\n",
            number % 53
        )
    };
    written.unwrap();
}

impl Installation {
    /// Requests for documents of these numbers.
    pub(crate) fn asks(&self, documents: impl Iterator<Item = usize>) -> Vec<Ask> {
        documents
            .map(|number| format!("/documents/{number}/latest?view=full"))
            .map(|path| self.site.ask(&path).unwrap())
            .collect()
    }

    /// Waits until at most `most` entries are left for the log's writer.
    pub(crate) fn wait_for_writer(&self, most: usize) {
        while self.site.unwritten() > most {
            std::thread::sleep(Duration::from_micros(200));
        }
    }
}
