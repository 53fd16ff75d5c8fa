//! Everything that keeps a request from being admitted, with the status it is answered with.
#![deny(clippy::wildcard_enum_match_arm)]

use http::StatusCode;

use crate::base::Reason;

/// Why a request is refused before anybody asks who sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub(crate) enum AdmitError {
    #[error("the method is not one this server knows")]
    MethodUnknown,
    #[error("the method is known and not served")]
    MethodRefused,
    #[error("the request target has none of the admitted forms")]
    TargetForm,
    #[error("the request target is longer than the limit")]
    TargetTooLong,
    #[error("the request target contains a byte that must be percent-encoded, or a fragment")]
    TargetCharacter,
    #[error("the path contains a percent sign that encodes nothing, or encodes twice")]
    PathEncoding,
    #[error("the path encodes a character that needs no encoding")]
    PathEncodedUnreserved,
    #[error("the path contains a control character")]
    PathControl,
    #[error("the path is not UTF-8 after decoding")]
    PathNotUtf8,
    #[error("the path contains a `.` or `..` segment")]
    PathDotSegment,
    #[error("the path contains a backslash")]
    PathBackslash,
    #[error("the path contains an encoded slash")]
    PathEncodedSlash,
    #[error("the path contains a semicolon")]
    PathSemicolon,
    #[error("the path contains an empty segment")]
    PathDoubleSlash,
    #[error("the request names no host")]
    HostMissing,
    #[error("the request names its host more than once")]
    HostRepeated,
    #[error("the host is not a host name with an optional port")]
    HostMalformed,
    #[error("the request target and the Host field name different hosts")]
    HostDisagrees,
    #[error("the host is not the one the connection was opened for")]
    Misdirected,
    #[error("the header section has too many fields")]
    TooManyFields,
    #[error("the header section is larger than the limit")]
    HeadTooLarge,
    #[error("the message has more than one possible length")]
    Framing,
    #[error("the transfer coding is not `chunked`")]
    TransferCoding,
    #[error("a connection-specific field stands in an HTTP/2 request")]
    ConnectionField,
    #[error("the Connection field names a field that is meant for the server behind")]
    ConnectionNominates,
    #[error("a field that may stand once is repeated")]
    FieldRepeated,
    #[error("a field value is malformed")]
    FieldValue,
    #[error("the line structure of the message is not that of HTTP/1.1")]
    LineStructure,
    #[error("the expectation is not `100-continue`")]
    Expectation,
    #[error("the body is larger than {limit} bytes")]
    BodyTooLarge { limit: u64 },
    #[error("the WebSocket handshake is malformed")]
    UpgradeMalformed,
    #[error("the protocol asked for by CONNECT is not `websocket`")]
    ProtocolUnknown,
    #[error("the request has been here before")]
    Loop,
    #[error("the HTTP version is not served")]
    Version,
}

impl AdmitError {
    /// The status of the answer (RFC 9110 section 15, RFC 6585).
    pub(crate) const fn status(self) -> StatusCode {
        match self {
            Self::MethodUnknown | Self::TransferCoding | Self::ProtocolUnknown => {
                StatusCode::NOT_IMPLEMENTED
            }
            Self::MethodRefused => StatusCode::METHOD_NOT_ALLOWED,
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::TooManyFields | Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Expectation => StatusCode::EXPECTATION_FAILED,
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Loop => StatusCode::BAD_GATEWAY,
            Self::Version => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::TargetForm
            | Self::TargetCharacter
            | Self::PathEncoding
            | Self::PathEncodedUnreserved
            | Self::PathControl
            | Self::PathNotUtf8
            | Self::PathDotSegment
            | Self::PathBackslash
            | Self::PathEncodedSlash
            | Self::PathSemicolon
            | Self::PathDoubleSlash
            | Self::HostMissing
            | Self::HostRepeated
            | Self::HostMalformed
            | Self::HostDisagrees
            | Self::Framing
            | Self::ConnectionField
            | Self::ConnectionNominates
            | Self::FieldRepeated
            | Self::FieldValue
            | Self::LineStructure
            | Self::UpgradeMalformed => StatusCode::BAD_REQUEST,
        }
    }

    pub(crate) const fn reason(self) -> Reason {
        match self {
            Self::MethodUnknown | Self::MethodRefused => Reason::MethodNotAllowed,
            Self::TargetCharacter
            | Self::PathEncoding
            | Self::PathEncodedUnreserved
            | Self::PathControl
            | Self::PathNotUtf8
            | Self::PathDotSegment
            | Self::PathBackslash
            | Self::PathEncodedSlash
            | Self::PathSemicolon
            | Self::PathDoubleSlash => Reason::AmbiguousTarget,
            Self::Misdirected => Reason::MisdirectedRequest,
            Self::ProtocolUnknown => Reason::UpgradeRefused,
            Self::TargetTooLong | Self::TooManyFields | Self::HeadTooLarge => Reason::HeadTooLarge,
            Self::BodyTooLarge { .. } => Reason::BodyTooLarge,
            Self::TargetForm
            | Self::HostMissing
            | Self::HostRepeated
            | Self::HostMalformed
            | Self::HostDisagrees
            | Self::Framing
            | Self::TransferCoding
            | Self::ConnectionField
            | Self::ConnectionNominates
            | Self::FieldRepeated
            | Self::FieldValue
            | Self::LineStructure
            | Self::Expectation
            | Self::UpgradeMalformed
            | Self::Loop
            | Self::Version => Reason::MalformedRequest,
        }
    }

    /// `true` when the end of this message is in doubt, so the connection must not carry another (RFC 9112 section 6.3).
    pub(crate) const fn closes_connection(self) -> bool {
        matches!(
            self,
            Self::Framing | Self::TransferCoding | Self::LineStructure | Self::UpgradeMalformed
        )
    }
}
