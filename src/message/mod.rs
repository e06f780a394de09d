//! RFC 3261 §7: reading what forwarding needs and remembering where it was; editing it.
//!
//! Knows no socket and no destination. Positions are kept, not copies; the body is never read.

mod cursor;
mod edit;
mod header;
mod host;
mod method;
mod name_addr;
mod overload;
mod read;
mod route;
mod scan;
mod span;
mod start_line;
mod uri;
mod via;

pub use edit::Edits;
pub use header::{HeaderName, Row, Rows};
pub use method::Method;
pub use overload::{OcSeq, OverloadReport};
pub use read::{Fault, MaxBreadth, Message};
pub use route::{RouteValue, Routes};
pub use span::Span;
pub use start_line::StartLine;
pub use uri::{Uri, UriScheme};
pub use via::{Rport, Via};

/// The port where none is written, over UDP, TCP and SCTP (RFC 3261 §18.1.1, §19.1.2).
pub const DEFAULT_PORT: u16 = 5060;

/// The same over TLS, and of a `sips:` URI.
pub const DEFAULT_PORT_TLS: u16 = 5061;

pub(crate) use cursor::trim;
pub(crate) use host::parse_ip;
pub(crate) use name_addr::NameAddr;
pub(crate) use via::MAGIC_COOKIE;
