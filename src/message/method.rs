//! The methods that a relay treats differently. All others are forwarded like any request.

/// A request's method. Methods are case-sensitive (RFC 3261 §7.1).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Method {
    /// INVITE
    Invite,
    /// ACK
    Ack,
    /// CANCEL
    Cancel,
    /// OPTIONS
    Options,
    /// REGISTER
    Register,
    /// MESSAGE
    Message,
    /// PUBLISH
    Publish,
    /// SUBSCRIBE
    Subscribe,
    /// REFER
    Refer,
    /// UPDATE (RFC 3311)
    Update,
    /// Any other, unknown ones included.
    #[default]
    Other,
}

impl Method {
    /// The method that this token names.
    pub fn of(token: &[u8]) -> Self {
        match token {
            b"INVITE" => Self::Invite,
            b"ACK" => Self::Ack,
            b"CANCEL" => Self::Cancel,
            b"OPTIONS" => Self::Options,
            b"REGISTER" => Self::Register,
            b"MESSAGE" => Self::Message,
            b"PUBLISH" => Self::Publish,
            b"SUBSCRIBE" => Self::Subscribe,
            b"REFER" => Self::Refer,
            b"UPDATE" => Self::Update,
            _ => Self::Other,
        }
    }

    /// Whether its request can begin a dialog that we should stay in. Unknown methods may.
    pub const fn may_begin_dialog(self) -> bool {
        matches!(self, Self::Invite | Self::Subscribe | Self::Refer | Self::Update | Self::Other)
    }
}
