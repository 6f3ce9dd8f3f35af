//! The methods of every known revision, and what each of them names.

use crate::version::{Era, Version};

/// What the target of a method is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TargetKind {
    /// The method names nothing.
    None,
    /// `params.name` is a tool.
    Tool,
    /// `params.name` is a prompt.
    Prompt,
    /// `params.uri` is a resource.
    Resource,
    /// `params.taskId` is a task.
    Task,
}

impl TargetKind {
    /// The member of `params` that holds the target.
    pub const fn member(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Tool | Self::Prompt => Some("name"),
            Self::Resource => Some("uri"),
            Self::Task => Some("taskId"),
        }
    }
}

/// Who sends a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// The client.
    FromClient,
    /// The server.
    FromServer,
    /// Either of them.
    Both,
}

/// Whether a method expects an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// It has an id and is answered.
    Request,
    /// It has no id and is not answered.
    Notification,
}

/// What a method may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// It lists, reads, subscribes or keeps the conversation going.
    Read,
    /// It runs something.
    Call,
}

struct Row {
    method: Method,
    name: &'static str,
    form: Form,
    direction: Direction,
    target: TargetKind,
    since: Version,
    until: Version,
}

macro_rules! methods {
    ($($(#[$doc:meta])* $variant:ident $name:literal $form:ident $direction:ident $target:ident $since:ident ..= $until:ident;)+) => {
        /// A method that some known revision defines.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Method {
            $($(#[$doc])* $variant,)+
        }

        static TABLE: &[Row] = &[$(Row {
            method: Method::$variant,
            name: $name,
            form: Form::$form,
            direction: Direction::$direction,
            target: TargetKind::$target,
            since: Version::$since,
            until: Version::$until,
        },)+];
    };
}

methods! {
    /// Opens a legacy session.
    Initialize "initialize" Request FromClient None V2024_11_05..=V2025_11_25;
    /// Asks whether the peer is alive.
    Ping "ping" Request Both None V2024_11_05..=V2025_11_25;
    /// Asks a modern server what it is and can do.
    Discover "server/discover" Request FromClient None V2026_07_28..=V2026_07_28;
    /// Lists tools.
    ToolsList "tools/list" Request FromClient None V2024_11_05..=V2026_07_28;
    /// Calls a tool.
    ToolsCall "tools/call" Request FromClient Tool V2024_11_05..=V2026_07_28;
    /// Lists prompts.
    PromptsList "prompts/list" Request FromClient None V2024_11_05..=V2026_07_28;
    /// Renders a prompt.
    PromptsGet "prompts/get" Request FromClient Prompt V2024_11_05..=V2026_07_28;
    /// Lists resources.
    ResourcesList "resources/list" Request FromClient None V2024_11_05..=V2026_07_28;
    /// Lists templates of resource URIs.
    ResourceTemplatesList "resources/templates/list" Request FromClient None V2024_11_05..=V2026_07_28;
    /// Reads a resource.
    ResourcesRead "resources/read" Request FromClient Resource V2024_11_05..=V2026_07_28;
    /// Asks a session for updates of a resource.
    ResourcesSubscribe "resources/subscribe" Request FromClient Resource V2024_11_05..=V2025_11_25;
    /// Ends such updates.
    ResourcesUnsubscribe "resources/unsubscribe" Request FromClient Resource V2024_11_05..=V2025_11_25;
    /// Opens a stream of chosen notifications.
    SubscriptionsListen "subscriptions/listen" Request FromClient None V2026_07_28..=V2026_07_28;
    /// Completes an argument of a prompt or of a resource template.
    Complete "completion/complete" Request FromClient None V2024_11_05..=V2026_07_28;
    /// Sets the log level of a session.
    SetLevel "logging/setLevel" Request FromClient None V2024_11_05..=V2025_11_25;
    /// Asks for the state of a task. In 2026-07-28 part of the tasks extension.
    TasksGet "tasks/get" Request Both Task V2025_11_25..=V2026_07_28;
    /// Waits for the result of a task.
    TasksResult "tasks/result" Request Both Task V2025_11_25..=V2025_11_25;
    /// Lists tasks.
    TasksList "tasks/list" Request Both None V2025_11_25..=V2025_11_25;
    /// Ends a task. In 2026-07-28 part of the tasks extension.
    TasksCancel "tasks/cancel" Request Both Task V2025_11_25..=V2026_07_28;
    /// Gives a waiting task its input: the tasks extension of 2026-07-28.
    TasksUpdate "tasks/update" Request FromClient Task V2026_07_28..=V2026_07_28;
    /// Asks the client's model for a message.
    CreateMessage "sampling/createMessage" Request FromServer None V2024_11_05..=V2025_11_25;
    /// Asks the client for its roots.
    RootsList "roots/list" Request FromServer None V2024_11_05..=V2025_11_25;
    /// Asks the person for input.
    Elicit "elicitation/create" Request FromServer None V2025_06_18..=V2025_11_25;
    /// The client has taken the answer to `initialize`.
    Initialized "notifications/initialized" Notification FromClient None V2024_11_05..=V2025_11_25;
    /// The sender no longer wants an answer.
    Cancelled "notifications/cancelled" Notification Both None V2024_11_05..=V2026_07_28;
    /// How far a request has come.
    Progress "notifications/progress" Notification Both None V2024_11_05..=V2026_07_28;
    /// A log message.
    LogMessage "notifications/message" Notification FromServer None V2024_11_05..=V2026_07_28;
    /// The client's roots changed.
    RootsListChanged "notifications/roots/list_changed" Notification FromClient None V2024_11_05..=V2025_11_25;
    /// The server's tools changed.
    ToolsListChanged "notifications/tools/list_changed" Notification FromServer None V2024_11_05..=V2026_07_28;
    /// The server's prompts changed.
    PromptsListChanged "notifications/prompts/list_changed" Notification FromServer None V2024_11_05..=V2026_07_28;
    /// The server's resources changed.
    ResourcesListChanged "notifications/resources/list_changed" Notification FromServer None V2024_11_05..=V2026_07_28;
    /// A resource changed.
    ResourceUpdated "notifications/resources/updated" Notification FromServer Resource V2024_11_05..=V2026_07_28;
    /// First message of a stream opened by `subscriptions/listen`.
    SubscriptionsAcknowledged "notifications/subscriptions/acknowledged" Notification FromServer None V2026_07_28..=V2026_07_28;
    /// The state of a task changed.
    TaskStatus "notifications/tasks/status" Notification Both Task V2025_11_25..=V2025_11_25;
    /// The state of a task changed: the tasks extension of 2026-07-28.
    TaskChanged "notifications/tasks" Notification FromServer Task V2026_07_28..=V2026_07_28;
    /// What was asked for by URL is done.
    ElicitationComplete "notifications/elicitation/complete" Notification FromServer None V2025_11_25..=V2025_11_25;
}

impl Method {
    /// The method called `name`; names are case-sensitive.
    pub fn parse(name: &str) -> Option<Self> {
        TABLE.iter().find(|row| row.name == name).map(|row| row.method)
    }

    /// All methods.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|row| row.method)
    }

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// What the method names.
    pub fn target(self) -> TargetKind {
        self.row().target
    }

    /// Whether the method is answered.
    pub fn form(self) -> Form {
        self.row().form
    }

    /// Who sends it.
    pub fn direction(self) -> Direction {
        self.row().direction
    }

    /// Whether a client may send it.
    pub fn from_client(self) -> bool {
        self.direction() != Direction::FromServer
    }

    /// Whether a server may send it.
    pub fn from_server(self) -> bool {
        self.direction() != Direction::FromClient
    }

    /// Whether `version` defines it.
    pub fn exists_in(self, version: Version) -> bool {
        let row = self.row();
        row.since <= version && version <= row.until
    }

    /// Whether any known revision of `era` defines it.
    pub fn exists_in_era(self, era: Era) -> bool {
        Version::KNOWN.iter().any(|version| version.era() == era && self.exists_in(*version))
    }

    /// What it may do: only a tool call (and what carries a running one on) is more than reading.
    pub fn effect(self) -> Effect {
        match self {
            Self::ToolsCall | Self::TasksUpdate | Self::TasksCancel => Effect::Call,
            _ => Effect::Read,
        }
    }

    /// The member of `params` that a modern request repeats in `Mcp-Name`.
    pub fn named_member(self) -> Option<&'static str> {
        match self {
            // spec: TR-42, TR-43
            Self::ToolsCall
            | Self::PromptsGet
            | Self::ResourcesRead
            | Self::TasksGet
            | Self::TasksUpdate
            | Self::TasksCancel => self.target().member(),
            _ => None,
        }
    }

    fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_stands_where_its_method_looks_for_it() {
        for (index, row) in TABLE.iter().enumerate() {
            assert_eq!(row.method as usize, index, "{}", row.name);
            assert_eq!(Method::parse(row.name), Some(row.method));
            assert_eq!(row.form == Form::Notification, row.name.starts_with("notifications/"));
        }
        assert_eq!(Method::parse("Tools/Call"), None);
    }
}
