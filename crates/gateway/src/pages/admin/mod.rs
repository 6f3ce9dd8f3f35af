//! The pages of administration.

pub mod access;
pub mod audit;
pub mod connections;
pub mod examined;
pub mod explain;
pub mod groups;
pub mod insight;
pub mod offboarding;
pub mod people;
pub mod person;
pub mod providers;
pub mod roles;
pub mod rules;
pub mod service_accounts;
pub mod tools;

use maud::{Markup, html};

use super::{Account, Page, Room};
use crate::roles::Standing;

/// A page of administration, with the way to the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tab {
    People,
    Groups,
    Roles,
    Rules,
    Tools,
    Providers,
    Connections,
    ServiceAccounts,
    Offboarding,
    Insight,
    Audit,
}

impl Tab {
    const ALL: [Self; 11] = [
        Self::People,
        Self::Groups,
        Self::Roles,
        Self::Rules,
        Self::Tools,
        Self::Providers,
        Self::Connections,
        Self::ServiceAccounts,
        Self::Offboarding,
        Self::Insight,
        Self::Audit,
    ];

    const fn label(self) -> &'static str {
        match self {
            Self::People => "People",
            Self::Groups => "Groups",
            Self::Roles => "Roles",
            Self::Rules => "Rules",
            Self::Tools => "Tools",
            Self::Providers => "Providers",
            Self::Connections => "Connections",
            Self::ServiceAccounts => "Service accounts",
            Self::Offboarding => "Offboarding",
            Self::Insight => "Insight",
            Self::Audit => "Audit trail",
        }
    }

    const fn address(self) -> &'static str {
        match self {
            Self::People => "/admin/people",
            Self::Groups => "/admin/groups",
            Self::Roles => "/admin/roles",
            Self::Rules => "/admin/rules",
            Self::Tools => "/admin/tools",
            Self::Providers => "/admin/providers",
            Self::Connections => "/admin/connections",
            Self::ServiceAccounts => "/admin/service-accounts",
            Self::Offboarding => "/admin/offboarding",
            Self::Insight => "/admin/insight",
            Self::Audit => "/admin/audit",
        }
    }

    /// Auditors look at people, what they may and by which rules, and how they left.
    const fn needs(self) -> Standing {
        match self {
            Self::People
            | Self::Groups
            | Self::Roles
            | Self::Rules
            | Self::Tools
            | Self::Offboarding
            | Self::Insight
            | Self::Audit => Standing::Auditor,
            Self::Providers | Self::Connections | Self::ServiceAccounts => Standing::Administrator,
        }
    }
}

fn page(tab: Tab, title: &str, account: Account<'_>, main: Markup) -> Page {
    let tabs = Tab::ALL.into_iter().filter(|other| account.standing >= other.needs());
    Page::within(
        Room::Admin,
        title,
        Some(account),
        html! {
            div.wide.office {
                nav.tabs aria-label="Administration" {
                    @for other in tabs {
                        a href=(other.address()) aria-current=[(other == tab).then_some("true")] { (other.label()) }
                    }
                }
                (main)
            }
        },
    )
}

/// Whether the reader may change things.
fn may_change(account: Account<'_>) -> bool {
    account.standing == Standing::Administrator
}

/// A word of ours about what was just done.
fn told(done: Option<&str>) -> Markup {
    html! { @if let Some(done) = done { div.notice.good role="status" { p { (done) } } } }
}
