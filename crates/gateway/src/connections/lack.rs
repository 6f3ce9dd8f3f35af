//! Why there is no credential for a call, and what would help.

use portcullis_base::Holder;

/// Why a call cannot be made as somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lack {
    /// The holder must connect: at the page of the server.
    Connect(Need),
    /// Nobody who calls can help; the text is for the person.
    Refused(String),
    /// Trying again may help; the text is for the person.
    Unavailable(String),
}

/// What must be connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// Whose connection it is.
    pub holder: Holder,
    /// What is wrong with what there is.
    pub why: NeedWhy,
    /// The version that does not do; 0 if there is none. Whoever waits waits for a later one.
    pub version: i64,
}

/// What is wrong with what there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NeedWhy {
    /// There is nothing.
    NotConnected,
    /// It is dead or does not fit any more, by this code; see [`explain`].
    NeedsSignIn(String),
    /// It does not reach far enough: what must be asked for instead, all of it.
    MoreScope(Vec<String>),
}

/// It ended, and nothing came with it to renew it.
pub(super) const EXPIRED: &str = "expired";
/// The server is elsewhere by now. spec: UP-41
pub(super) const MOVED: &str = "moved";
/// Another issuer is expected by now.
pub(super) const ISSUER: &str = "issuer_changed";
/// The authorization server does not know us any more, and what there was has ended.
pub(super) const FORGOTTEN: &str = "client_unknown";
/// It cannot be opened.
pub(super) const UNREADABLE: &str = "unreadable";
/// The server does not accept it.
pub(super) const REFUSED: &str = "refused";

/// What a page says of a connection of which the server wants more, though no code of a row says it.
pub const WANTS: &str = "more_scope";

/// What a code of [`NeedWhy::NeedsSignIn`], or of a row, says to people.
pub fn explain(code: &str) -> &'static str {
    match code {
        EXPIRED => "The access has expired, and the server gave nothing to renew it with.",
        MOVED => "The server has moved; what was given for the old address is not sent to the new one.",
        ISSUER => "The server's sign-in service is another one now.",
        UNREADABLE => "The stored access cannot be opened with this gateway's key.",
        REFUSED => "The server does not accept the stored access any more.",
        WANTS => "The server asks for more access than you gave. Connect again to allow it.",
        "invalid_grant" => "The server's sign-in service has ended the access.",
        "unavailable" => "The server's sign-in service does not answer; the gateway goes on trying.",
        FORGOTTEN => {
            "The server's sign-in service does not know this gateway any more; connecting again introduces it anew."
        }
        "client" => "The server's sign-in service does not accept this gateway; an administrator must look.",
        _ => "The access has ended.",
    }
}
