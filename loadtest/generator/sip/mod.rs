//! The SIP of the generator: what it writes and how it reads. It does not use the relay's own
//! parser, so that it can find mistakes in it.

mod mark;
mod request;
mod rows;

pub(crate) use mark::{Mark, Script, mark_in};
pub(crate) use request::{Dialog, Names, ROWS_MIN, Request, number_of, reason};
pub use request::{Shape, ShapeError};
pub use rows::Message;
pub(crate) use rows::is;
