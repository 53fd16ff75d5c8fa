//! Every message code with what it means and what to do.
//!
//! A code is never given another meaning. `portcullis config explain CODE` and the reference print this table.

/// One kind of finding.
#[derive(Debug)]
pub(crate) struct Code {
    /// `PCxxxx`: 1 file, 2 policy, 3 TLS and certificates, 4 identity, 5 upstreams, 6 audit and storage.
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    pub(crate) text: &'static str,
}

/// What `id` means; small letters will do.
pub(crate) fn find(id: &str) -> Option<&'static Code> {
    CODES.iter().find(|code| code.id.eq_ignore_ascii_case(id))
}

macro_rules! codes {
    ($($id:literal, $title:literal, $text:literal;)+) => {
        /// In the order of their numbers.
        pub(crate) const CODES: &[Code] = &[$(Code { id: $id, title: $title, text: $text },)+];
    };
}

codes! {
    "PC1001", "no configuration found",
        "Portcullis looks for the file named with --config, then for the one named by the environment variable PORTCULLIS_CONFIG, then for ./portcullis.toml, then for /etc/portcullis/portcullis.toml. A file that is named and missing is never replaced by another one. `portcullis init` writes a first configuration; `portcullis demo` needs none.";
    "PC1002", "the file is not TOML",
        "The file breaks the grammar of TOML 1.0 at the place shown. While it does, nothing else in the file is judged. Text values stand in double quotes, lists in brackets, inline tables on one line.";
    "PC1003", "a key is set in two files",
        "Files named by `include` are merged with the first one. So that no file silently overrules another, a key may be set in one of them only.";
    "PC1004", "a file cannot be read",
        "The file is missing, the user that runs Portcullis may not read it, or it is not UTF-8 text. Nothing starts and nothing is reloaded until it can be read.";
    "PC1005", "an include that cannot be followed",
        "`include` takes paths, or patterns with `*` in the file name. A path must exist; a pattern may match nothing. Only the first file includes others.";
    "PC1104", "unknown key",
        "No key of this table has this name. An unknown key is an error because a mistyped one would otherwise silently leave a rule out.";
    "PC1105", "key in the wrong table",
        "The key exists, in another table. In TOML a key belongs to the last table header above it.";
    "PC1106", "wrong type",
        "The value has another type than the key takes.";
    "PC1107", "a required key is missing",
        "The key has no default that would be right everywhere.";
    "PC1108", "not in this version",
        "The key is part of Portcullis' design, and this version does not have it. It is refused so that nobody relies on what does not happen.";
    "PC1109", "unknown word",
        "The key takes one of a few words.";
    "PC1110", "not a host",
        "A host is a DNS name or an address, without scheme, path or trailing dot. Names in other scripts are written in their ASCII form (xn--...).";
    "PC1111", "not a URL that can be used here",
        "A target is a scheme, a host and perhaps a port: paths are carried over from the request as they are. An origin is the same without a path.";
    "PC1112", "not an address or network",
        "A listening address is an IP address and a port, with IPv6 in brackets. A network is an address and a prefix length.";
    "PC1113", "value out of bounds",
        "The value has the right type, and the program could not work with it.";
    "PC1114", "names nobody",
        "People and groups are written `group:NAME`, `user:EMAIL` or `everyone`.";
    "PC1115", "quantity without its unit",
        "Durations, sizes and rates carry their unit: \"30s\", \"8MiB\", \"100/10s\". A number alone is refused because half of its readers would guess wrong.";
    "PC1116", "not a name",
        "Names of routes, upstreams, groups and the like appear in policies, logs, metrics and addresses. They have letters, digits, `-`, `_` and `.`, at most 64.";
    "PC1130", "branding that a page cannot carry",
        "The value would break the style or the security rules of our own pages.";
    "PC1210", "a TLS profile that is too old",
        "Mozilla's profile `old` admits TLS 1.0 and 1.1. Portcullis does not have it. `intermediate` serves Firefox 27, Chrome 31, Safari 9, Android 4.4.2, Java 8u31 and OpenSSL 1.0.1 and later; `modern` serves Firefox 63, Chrome 70, Safari 12.1, Android 10, Java 11 and OpenSSL 1.1.1 and later.";
    "PC1301", "a secret in clear",
        "A configuration file is copied into backups, tickets and version control. Secrets stand in a file of their own, or come from systemd. A secret that stood in a file should be replaced: its history still has it.";
    "PC1302", "a secret that others can read",
        "The file with the secret is open to more than its owner and, for reading, its group. Modes 0600, 0640, 0400 and 0440 are accepted.";
    "PC1303", "a secret's place that cannot be used",
        "A key file is named by `{ file = \"PATH\" }` or `{ credential = \"NAME\" }`, one of them. An environment variable is not accepted for it: every child process and crash report gets a copy.";
    "PC1304", "no credentials from systemd",
        "`{ credential = ... }` reads the folder that systemd names in CREDENTIALS_DIRECTORY when the unit has LoadCredential= or LoadCredentialEncrypted=.";
    "PC1401", "two routes match equally",
        "Two routes have the same host and path, so a request could belong to either. Order in the file never decides.";
    "PC1402", "a route in place of an own page",
        "On the portal's host, the pages for signing in, enrolment, the account and the launcher belong to Portcullis; on every host, /.portcullis and /.well-known/portcullis do. A route there would never be reached, or would show a stranger's page where people type passwords.";
    "PC1403", "a route without a server behind it",
        "A route names its upstream with `upstream`, or has its server's address in `to`. Exactly one of them.";
    "PC1404", "reference to something that is not there",
        "The named table does not exist in the file.";
    "PC1405", "two upstreams of one name",
        "A route with `to` makes an upstream with the route's name, and a table [upstream.NAME] of the same name exists.";
    "PC1406", "a longer session for one route",
        "A route may shorten what [session] says, not lengthen it: the session itself ends by then.";
    "PC1407", "times that contradict each other",
        "One of the two times can never take effect.";
    "PC1408", "operations address open to others",
        "Metrics and health are served without sign-in and without TLS, so they listen on a loopback address. To show them elsewhere, make them an app: a route with `to = \"http://127.0.0.1:9464\"`.";
    "PC1409", "two listeners on one address",
        "An address and port can serve one purpose.";
    "PC1410", "nothing to listen on",
        "Without an address in `listen` nobody could reach Portcullis.";
    "PC1411", "a host that TLS cannot name",
        "A browser names the host it wants in the TLS handshake, and addresses cannot be named there (RFC 6066 section 3). Connections without a name are refused, so a route or portal on an address could never be opened.";
    "PC1412", "groups that contain each other",
        "A group is a member of itself, perhaps through others. Membership must end somewhere.";
    "PC1413", "a rule without effect",
        "The key is set, and another one keeps it from ever having an effect.";
    "PC1414", "everybody is trusted",
        "Addresses in rate limits, policies and the audit log come from the proxies listed here. A list that covers every address lets every client choose its own.";
    "PC1415", "an app on the portal's host",
        "To a browser, everything on one host and port is one site: a script of this app, or one that somebody smuggles into it, can read and operate the pages for signing in and the account. An app that is not to have that power gets a host of its own. Where every address in `listen` is a loopback address, as in trials, this is not reported.";
    "PC1420", "a listener's name that is taken",
        "`default` stands for the addresses in `listen` of [server], also where routes name listeners.";
    "PC1421", "a listener that serves nothing",
        "No app names the listener or has one of its labels, and the portal is not served there: every connection to its addresses would be refused.";
    "PC1422", "an address that cannot be listened on",
        "A reload opens new addresses before anything else changes. One that is taken, not of this machine, or not permitted refuses the reload, and everything stays as it was.";
    "PC1430", "a header that a route cannot change",
        "Headers of one connection and of framing decide where a message ends and who reads it; others are Portcullis' own word to browsers. If a route could set them, a slip in the file would open what they close.";
    "PC1431", "pages that cannot be admitted",
        "With `credentials`, a page of a listed origin acts for the person who looks at it. Every page of the internet must not, and browsers refuse the combination as well (Fetch standard, section 3.2). Header names are listed one by one for the same reason.";
    "PC1432", "an origin without TLS",
        "A page that came without TLS can be written by whoever is on the way, and it could then read what the route answers.";
    "PC1440", "an account that cannot be taken",
        "`user` in [process] names the account that Portcullis becomes when root starts it. Root itself would give up nothing, and a group without an account would leave the process what it was.";
    "PC1441", "a port that nothing may connect to",
        "`connect_ports` in [process] bounds where the process can connect to, and the kernel holds it to that. A server behind another port could never be reached.";
    "PC1442", "out of reach since the start",
        "At its start the process gave up all files, ports and programs that its configuration did not name (`landlock` and `seccomp` in [process]), and nothing can give them back to it. A restart takes the new ones in; until then the configuration in force stays.";
    "PC2001", "a policy file cannot be read", "The user that runs Portcullis must be able to read the policies and their tests.";
    "PC2101", "the file is not Cedar", "The text breaks Cedar's grammar at the place shown.";
    "PC2102", "a policy without an id", "Every policy carries @id(\"...\"): the id names the rule in decisions, in the audit log and in tests.";
    "PC2103", "two policies with one id", "An id stands for one policy, in all files together.";
    "PC2104", "a policy template", "Templates have no use here, because nothing fills them in.";
    "PC2105", "an annotation that cannot be read", "The annotations are @id, @reason, @fix, @step_up, @alert, @owner and @review.";
    "PC2106", "no policy can be made from `allow`", "The short form in the route could not be turned into Cedar.";
    "PC2107", "policies that cannot be sorted by route", "Every policy is good by itself, and Portcullis could not tell which routes they apply to. This is a defect in Portcullis; the text of the policies helps to find it.";
    "PC2201", "a policy names an unknown type or action", "The schema, printed by `portcullis policy schema`, has every type and action.";
    "PC2202", "a policy that can never be right", "Cedar's strict validation found a type error: this policy would fail whenever it is evaluated, and a failing policy denies.";
    "PC2203", "a policy reads what may be absent", "Session, device, token and grant are absent from some requests. A policy tests that one exists before reading it: `context has session && ...`.";
    "PC2204", "a policy reads what does not exist", "The schema has no such attribute.";
    "PC2301", "a policy worth a second look", "Cedar's validation found something legal and probably not meant, such as a policy that never applies.";
    "PC2310", "a policy names what is not defined", "Cedar cannot know which groups, labels, routes and tenants there are; Portcullis compares with the configuration and the people. A mistyped name makes a permit useless and a forbid harmless.";
    "PC2311", "a policy forbids without saying why", "The person who is refused reads @reason. Without it they only learn that they were refused.";
    "PC2312", "a permit for everyone", "A permit that names neither who, nor what, nor where opens every app to everyone who signed in.";
    "PC2313", "paths that a server may read differently", "The route admits kinds of paths that servers understand differently (`path_allows`), and a policy decides by path. Check that the server reads such paths as the policy does.";
    "PC2314", "a path with capitals where case does not count", "The servers of the route's upstream ignore case (`case_insensitive`), so policies see the path in lower case. One that names a path with capitals would never apply: a forbid would forbid nothing.";
    "PC2401", "nobody can open an app", "Nothing is open by default: the route has no `allow`, and no permit names it or one of its labels.";
    "PC2501", "a policy test failed", "The rules decide a case differently than its test expects. A reload with a failing test is refused and the old rules stay in force. Either the rules or the expectation is wrong: `policy explain` shows who decided.";
    "PC2502", "a policy test that cannot be read", "The case misses something, or says it in a way that has no meaning. The message says which.";
    "PC3101", "a certificate file cannot be read", "The file is missing, not readable for the user that runs Portcullis, or has no PEM block.";
    "PC3102", "a certificate or key that cannot be used", "The PEM block is there and its content is damaged or of an unknown kind.";
    "PC3103", "certificate and key do not belong together", "The key's public half is not the one in the certificate.";
    "PC3104", "an expired certificate", "Browsers refuse it.";
    "PC3105", "a certificate from the future", "Its validity has not begun. Is this machine's clock right?";
    "PC3106", "a certificate without names", "Browsers look at the subject alternative names only.";
    "PC3107", "a certificate nobody needs", "No route and not the portal has one of its names.";
    "PC3108", "a host without a certificate", "A route or the portal uses a name that no certificate carries on a listener that serves it. Browsers could not open it there.";
    "PC3109", "a certificate that expires soon", "Renew it now; changed files are noticed without a restart.";
    "PC3110", "a weak certificate", "Its key or signature is below what Mozilla's guideline 6.0 wants for this profile.";
    "PC3111", "the internal authority cannot be used", "The files of the internal authority in the data folder are damaged or cannot be written.";
    "PC3112", "a chain that does not fit together", "After the leaf comes the certificate that signed it, then the one that signed that. Programs that do not search for the missing piece refuse such a chain. Most authorities hand out a file named fullchain that is right.";
    "PC3113", "a key that costs points", "The profile strict-256 is for 100 of 100 points in every score. For key exchange graders look at the certificate's key: RSA gets them from 4096 bits on, and SSL Labs gives P-256 fewer than P-384.";
    "PC3201", "a wildcard that cannot be proved", "An authority gives certificates for wildcards only to those who prove the name in DNS.";
    "PC3202", "a challenge that nobody answers", "The authority would look where nothing of ours answers, so no name could be proved.";
    "PC3203", "the program for DNS cannot be used", "It is run with the rights of Portcullis when a certificate is obtained. It must exist and be executable, and only its owner may change it.";
    "PC4101", "password hashes that are cheap to guess",
        "Whoever steals the database guesses at the passwords in it on hardware made for it. The memory and the passes of one check decide how many guesses a day that gives. Portcullis does not go below what OWASP's Password Storage Cheat Sheet asks for.";
    "PC5101", "http to another machine",
        "What travels there can be read and changed by everyone between, cookies and personal data included. Give the upstream a certificate and use https; or reach it on loopback or a Unix socket; or say `cleartext = true` on the upstream, which the posture report then lists.";
    "PC5102", "an upstream without targets", "At least one server must be there.";
    "PC5103", "an upstream that nothing uses", "No route names it.";
    "PC5104", "an upstream whose certificate cannot be verified", "The file with its authorities cannot be read, or this machine trusts nobody. Verification is never turned off.";
    "PC6101", "a master key that cannot be used",
        "Everything sealed in the database and in the audit log hangs on this key. Its file must be readable by Portcullis alone and hold what the first start wrote. A key that is gone is never replaced by a new one while there is a database: the new one opens nothing.";
    "PC6102", "a data folder that others can change",
        "Whoever can write to the folder can put another database or key in place of ours. It belongs to Portcullis alone: mode 0700.";
}

#[cfg(test)]
mod tests {
    use super::{CODES, find};

    #[test]
    fn codes_ascend_and_are_explained() {
        assert!(CODES.is_sorted_by(|a, b| a.id < b.id));
        for code in CODES {
            assert!(
                code.id.len() == 6 && code.id.starts_with("PC"),
                "{}",
                code.id
            );
            assert!(
                !code.title.ends_with('.') && code.text.ends_with('.') || code.text.ends_with('?')
            );
        }
        assert!(find("pc1104").is_some());
    }

    #[test]
    fn every_code_in_the_sources_is_explained() {
        fn visit(folder: &std::path::Path, missing: &mut Vec<String>) {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    visit(&path, missing);
                } else if let Ok(text) = std::fs::read_to_string(&path) {
                    let quoted = text.split('"').filter(|part| {
                        let digits = part.strip_prefix("PC").unwrap_or_default();
                        digits.len() == 4 && digits.bytes().all(|byte| byte.is_ascii_digit())
                    });
                    missing.extend(quoted.filter(|id| find(id).is_none()).map(str::to_owned));
                }
            }
        }
        let mut missing = Vec::new();
        visit(
            concat!(env!("CARGO_MANIFEST_DIR"), "/src").as_ref(),
            &mut missing,
        );
        assert!(missing.is_empty(), "add to codes.rs: {missing:?}");
    }
}
