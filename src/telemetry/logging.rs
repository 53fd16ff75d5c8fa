//! The operational log: one JSON object per line, or text when a person reads along.
//!
//! Field names follow the OpenTelemetry log data model. Personal data belongs into the audit log.

use std::collections::BTreeMap;
use std::fmt;
use std::io::IsTerminal as _;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::base::Clock;
use crate::config::{Format, Level as Severity};

/// Starts logging to standard error; later calls change nothing.
///
/// Libraries are heard from `warn` on, so that `debug` tells about Portcullis and not about its parts.
pub(crate) fn start(level: Severity, format: Format) {
    let filter = EnvFilter::new(format!("warn,portcullis={}", level));
    let text = match format {
        Format::Text => true,
        Format::Json => false,
        Format::Auto => std::io::stderr().is_terminal(),
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let started = if text {
        builder.with_target(false).try_init()
    } else {
        builder.event_format(JsonLines).try_init()
    };
    if started.is_err() {
        tracing::debug!("logging was already started");
    }
}

/// Writes an event as one flat JSON object.
struct JsonLines;

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let severity = match *event.metadata().level() {
            Level::ERROR => "ERROR",
            Level::WARN => "WARN",
            Level::INFO => "INFO",
            Level::DEBUG => "DEBUG",
            Level::TRACE => "TRACE",
        };
        let mut line = serde_json::Map::new();
        line.insert("timestamp".into(), Clock::System.now().to_string().into());
        line.insert("severity_text".into(), severity.into());
        line.insert("body".into(), fields.message.into());
        line.insert("service.name".into(), "portcullis".into());
        line.insert("code.namespace".into(), event.metadata().target().into());
        line.extend(
            fields
                .others
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value)),
        );
        writeln!(writer, "{}", serde_json::Value::Object(line))
    }
}

/// Collects an event's fields with their types.
#[derive(Default)]
struct Fields {
    message: String,
    others: BTreeMap<&'static str, serde_json::Value>,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        if field.name() == "message" {
            self.message = text;
        } else {
            self.others.insert(field.name(), text.into());
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.others.insert(field.name(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.others.insert(field.name(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.others.insert(field.name(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.others.insert(field.name(), value.into());
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::JsonLines;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_break_in_a_field_does_not_start_a_second_line() {
        let buffer = Buffer::default();
        let target = buffer.clone();
        let subscriber = tracing_subscriber::fmt()
            .event_format(JsonLines)
            .with_writer(move || target.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(host = "a\nb", count = 3_u64, "said {}", "\"x\"\n")
        });
        let text = String::from_utf8(buffer.0.lock().clone()).unwrap();
        assert_eq!(text.lines().count(), 1);
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (line["body"].as_str(), line["host"].as_str()),
            (Some("said \"x\"\n"), Some("a\nb"))
        );
        assert_eq!(
            (line["count"].as_u64(), line["severity_text"].as_str()),
            (Some(3), Some("WARN"))
        );
    }
}
