//! What the command line shows of the log: text for people, JSON for programs. Gives text back; prints nothing.
//!
//! Values from the log may come from anybody: control and direction characters are shown escaped.

use std::fmt::Write as _;

use data_encoding::BASE64;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::line::is_deceptive;
use super::record::Record;
use super::search::Found;
use super::verify::{Fault, Findings};
use crate::base::Timestamp;
use crate::keys::NoteVerifier;

/// `2026-11-22 09:14:03.120` in `zone`.
fn local(time: Timestamp, zone: &TimeZone) -> String {
    let zoned = time.to_jiff().to_zoned(zone.clone());
    zoned.strftime("%Y-%m-%d %H:%M:%S%.3f").to_string()
}

fn day(time: Option<Timestamp>) -> String {
    time.map_or_else(
        || "-".to_owned(),
        |time| time.to_string().chars().take(10).collect(),
    )
}

/// `1,204,331`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `text` as it may stand on a terminal, at most `width` characters if given.
fn shown(text: &str, width: Option<usize>) -> String {
    let mut out = String::new();
    for (count, next) in text.chars().enumerate() {
        if width.is_some_and(|width| count + 1 == width && text.chars().count() > width) {
            out.push('\u{2026}');
            break;
        }
        if is_deceptive(next) {
            out.extend(next.escape_default());
        } else {
            out.push(next);
        }
    }
    out
}

fn who(record: &Record) -> String {
    let name = record
        .text("user.email")
        .or_else(|| record.text("user.id"))
        .or_else(|| record.text("portcullis.claimed_name"))
        .or_else(|| record.text("portcullis.actor"));
    name.unwrap_or("-").to_owned()
}

fn what(record: &Record) -> String {
    if record.text("event.name") != Some("http.request") {
        return record.text("event.name").unwrap_or("-").to_owned();
    }
    let method = record.text("http.request.method").unwrap_or("-");
    let place = record
        .text("http.route")
        .or_else(|| record.text("server.address"))
        .unwrap_or("-");
    let path = record.text("url.path").unwrap_or_default();
    format!("{method:<4} {place} {path}")
}

fn why(record: &Record) -> String {
    let policies = record.fields.get("security_rule.name");
    let first = policies
        .and_then(Value::as_array)
        .and_then(|items| items.first())
        .and_then(Value::as_str);
    let reason = record.text("portcullis.reason");
    first.or(reason).unwrap_or("").to_owned()
}

/// One line of `search` and `tail`.
pub(crate) fn row(record: &Record, zone: &TimeZone) -> String {
    format!(
        "{}  {:<22}  {:<32}  {:<8}  {:<22}  {}",
        local(record.time(), zone),
        shown(&who(record), Some(22)),
        shown(&what(record), Some(32)),
        record.text("portcullis.decision").unwrap_or(""),
        shown(&why(record), Some(22)),
        record.text("portcullis.request.id").unwrap_or(""),
    )
}

/// The head above the rows of `search` and `tail`. `zone` is the time zone's name.
pub(crate) fn head(zone: &str) -> String {
    let time = format!("TIME ({zone})");
    format!(
        "{time:<23}  {:<22}  {:<32}  {:<8}  {:<22}  REQUEST",
        "WHO", "WHAT", "DECISION", "WHY"
    )
}

/// The result of a search as a table, newest first.
pub(crate) fn table(found: &Found, zone: &TimeZone, zone_name: &str) -> String {
    let mut out = head(zone_name);
    for record in &found.records {
        out.push('\n');
        out.push_str(&row(record, zone));
    }
    let rest = if found.more {
        "; older ones match too, `--limit` shows more"
    } else {
        ""
    };
    let veiled = found.records.iter().filter(|record| record.veiled).count();
    write!(out, "\n{} shown{rest}.", found.records.len()).ok();
    if veiled > 0 {
        write!(out, " Personal fields of {veiled} are sealed or erased.").ok();
    }
    out.push('\n');
    out
}

/// The record as one line of JSON, personal fields included where they could be opened.
pub(crate) fn json_line(record: &Record) -> String {
    Value::Object(record.fields.clone()).to_string()
}

/// Everything about one entry, a field per line.
pub(crate) fn detail(record: &Record, zone: &TimeZone) -> String {
    let mut out = format!(
        "entry #{}   {}   {}\n",
        grouped(record.seq()),
        local(record.time(), zone),
        shown(&what(record), None)
    );
    let width = record.fields.keys().map(String::len).max().unwrap_or(0);
    for (name, value) in &record.fields {
        let value = match value {
            Value::String(text) => text.clone(),
            Value::Array(items) => {
                let texts = items.iter().map(|item| item.as_str().unwrap_or_default());
                texts.collect::<Vec<_>>().join(", ")
            }
            other => other.to_string(),
        };
        writeln!(out, "  {name:<width$}  {}", shown(&value, None)).ok();
    }
    if record.veiled {
        out.push_str(
            "  Personal fields stay sealed: the key was destroyed, or this reader has none.\n",
        );
    }
    out
}

/// `audit verify` for people.
pub(crate) fn verification(findings: &Findings, key: &NoteVerifier) -> String {
    let mut out = String::new();
    let mut line = |name: &str, text: String| writeln!(out, "{name:<10} {text}").ok();
    line(
        "entries",
        format!(
            "{:<12} {} to {}",
            grouped(findings.entries),
            day(findings.first_time),
            day(findings.last_time)
        ),
    );
    let broken = findings.faults.iter().any(|fault| fault.entry().is_some());
    line("tree", if broken { "BROKEN" } else { "intact" }.to_owned());
    let hex = data_encoding::HEXLOWER.encode(key.public_key());
    let (start, end) = (hex.get(..2), hex.get(hex.len() - 2..));
    line(
        "signed",
        format!(
            "{} checkpoints, key ed25519:{}\u{2026}{}, {}",
            grouped(findings.checkpoints),
            start.unwrap_or_default(),
            end.unwrap_or_default(),
            if findings.is_verified() {
                "all valid"
            } else {
                "valid before the fault"
            }
        ),
    );
    line("gaps", gaps(findings));
    if findings.unsigned > 0 || findings.torn_bytes > 0 {
        line("not yet", pending(findings));
    }
    for fault in &findings.faults {
        line("fault", shown(&fault.to_string(), None));
    }
    if findings.is_verified() {
        line("result", "VERIFIED".to_owned());
        return out;
    }
    out.push_str(&what_to_do(findings));
    out
}

/// The last lines about a log that does not verify.
fn what_to_do(findings: &Findings) -> String {
    let mut out = String::new();
    if let Some(entry) = findings.faults.iter().find_map(Fault::entry) {
        writeln!(out, "{:<10} entry #{}", "first bad", grouped(entry)).ok();
    }
    let good = findings.last_good.as_ref();
    let good = good.map_or_else(
        || "no checkpoint".to_owned(),
        |good| {
            let root = BASE64.encode(&good.root);
            format!("checkpoint of {} entries, root {root}", grouped(good.size))
        },
    );
    writeln!(out, "{:<10} {good}", "last good").ok();
    writeln!(out, "{:<10} BROKEN", "result").ok();
    let keep = "Copy the whole audit folder now, before anything else writes to it, together with every checkpoint kept elsewhere.";
    writeln!(out, "{:<10} {keep}", "keep").ok();
    out
}

fn gaps(findings: &Findings) -> String {
    let missing = findings
        .faults
        .iter()
        .any(|fault| matches!(fault, Fault::Missing { .. } | Fault::NotAnEntry { .. }));
    let steps: Vec<String> = findings
        .clock_steps
        .iter()
        .take(3)
        .map(|(_, time)| time.to_string().chars().take(16).collect())
        .collect();
    let clock = if steps.is_empty() {
        "clock steps none".to_owned()
    } else {
        format!(
            "clock steps {} ({})",
            findings.clock_steps.len(),
            steps.join(", ")
        )
    };
    format!("{:<9}  {clock}", if missing { "FOUND" } else { "none" })
}

fn pending(findings: &Findings) -> String {
    let mut out = format!("{} entries not yet signed", grouped(findings.unsigned));
    if findings.torn_bytes > 0 {
        write!(out, ", {} bytes of an incomplete line", findings.torn_bytes).ok();
    }
    out
}

/// `audit verify` for programs.
pub(crate) fn verification_json(findings: &Findings, key: &NoteVerifier) -> String {
    let good = findings.last_good.as_ref();
    let steps: Vec<Value> = findings
        .clock_steps
        .iter()
        .map(|(entry, time)| json!({ "entry": entry, "time": time.to_string() }))
        .collect();
    let faults: Vec<Value> = findings
        .faults
        .iter()
        .map(|fault| json!({ "entry": fault.entry(), "text": fault.to_string() }))
        .collect();
    json!({
        "verified": findings.is_verified(),
        "entries": findings.entries,
        "first_time": findings.first_time.map(|time| time.to_string()),
        "last_time": findings.last_time.map(|time| time.to_string()),
        "unsigned": findings.unsigned,
        "torn_bytes": findings.torn_bytes,
        "checkpoints": findings.checkpoints,
        "key": key.vkey(),
        "last_good": good.map(|good| json!({ "size": good.size, "root": BASE64.encode(&good.root) })),
        "clock_steps": steps,
        "faults": faults,
        "first_bad_entry": findings.faults.iter().find_map(Fault::entry),
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::{detail, grouped, row, verification, verification_json};
    use crate::audit::record::Record;
    use crate::audit::verify::{Fault, Findings};
    use crate::keys::NoteSigner;

    const LINE: &str = r#"{"seq":1204297,"time":"2026-11-22T08:14:03.120Z","event.name":"http.request","portcullis.request.id":"r-06cn-2v9k-80fa-x3te-yq1m","user.email":"kim@example.com","http.route":"payroll","http.request.method":"GET","url.path":"/\u001b[2J\u202ex","portcullis.decision":"deny","portcullis.reason":"no-permit"}"#;

    #[test]
    fn a_row_reads_as_designed_and_cannot_move_the_cursor() {
        let record = Record::parse(LINE.as_bytes()).unwrap();
        let zone = TimeZone::fixed(jiff::tz::offset(1));
        let text = row(&record, &zone);
        assert!(text.starts_with("2026-11-22 09:14:03.120  kim@example.com  "));
        assert!(text.contains("GET  payroll /"));
        assert!(text.contains("deny      no-permit"));
        assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}'));
        assert!(detail(&record, &zone).contains("entry #1,204,297"));
        assert!(!detail(&record, &zone).contains('\u{1b}'));
    }

    #[test]
    fn verification_names_the_first_bad_entry() {
        let signer = NoteSigner::generate("login.example.com/audit").unwrap();
        let mut findings = Findings {
            entries: 1_204_331,
            ..Findings::default()
        };
        let text = verification(&findings, signer.verifier());
        assert!(text.contains("entries    1,204,331"));
        assert!(text.ends_with("result     VERIFIED\n"));
        findings.faults.push(Fault::Changed { entry: 77 });
        let text = verification(&findings, signer.verifier());
        assert!(text.contains("first bad  entry #77"), "{text}");
        assert!(text.contains("BROKEN"));
        let json = verification_json(&findings, signer.verifier());
        assert!(json.contains("\"first_bad_entry\":77"));
    }

    #[test]
    fn thousands_are_grouped() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_204_331), "1,204,331");
    }
}
