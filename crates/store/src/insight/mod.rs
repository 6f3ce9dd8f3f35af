//! What goes on, in numbers: counted hour by hour as journals are indexed, in the commit that moves the cursor. So a line
//! counts once, however often it is read, and the numbers outlive the lines in the index.
//!
//! What a batch costs does not grow with what is there already, and what is there is bounded: a person has so many rows an
//! hour ([`roll_up::MOST_KEYS`]), whatever they make up for names; hours that are long over become days, and days end.

mod fold;
mod histogram;
mod read;
mod roll_up;
mod unused;

use std::ops::AddAssign;

use portcullis_base::Timestamp;

pub(crate) use self::{fold::forget, roll_up::Tally};
pub use self::{
    histogram::Histogram,
    read::{First, Thing, Top, TopBy},
    unused::{Unused, UnusedKind},
};
use crate::{
    StoreError,
    db::{Param, Row},
};

/// Milliseconds of an hour.
pub(crate) const HOUR: i64 = 3_600_000;
/// Milliseconds of a day.
pub(crate) const DAY: i64 = 24 * HOUR;
/// Stands for the names that found no place any more.
pub const OTHERS: &str = "*";

macro_rules! counts {
    ($($(#[$doc:meta])* $column:ident,)*) => {
        /// What was counted.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counts { $($(#[$doc])* pub $column: i64,)* }

        impl Counts {
            /// The columns, in their order.
            pub(crate) const COLUMNS: &[&str] = &[$(stringify!($column),)*];

            fn take(row: &mut Row) -> Result<Self, StoreError> {
                Ok(Self { $($column: row.take()?,)* })
            }

            fn params<'a>(self) -> impl Iterator<Item = Param<'a>> {
                [$(Param::Int(self.$column),)*].into_iter()
            }
        }

        impl AddAssign for Counts {
            fn add_assign(&mut self, other: Self) {
                $(self.$column += other.$column;)*
            }
        }
    };
}

counts! {
    /// Calls that were let through.
    allowed,
    /// Calls that had to wait for humans.
    asked,
    /// Calls that were denied.
    denied,
    /// Calls that needed a fresh sign-in or more scope.
    stepped_up,
    /// Calls that ended as asked.
    succeeded,
    /// Calls that did not work.
    failed,
    /// Calls that got no answer in time.
    timed_out,
    /// Calls whose end nobody saw.
    unknown,
    /// How long the calls that ended took together, in microseconds.
    micros,
    /// Approvals that were asked for.
    approvals_asked,
    /// Approvals that were granted.
    approvals_granted,
    /// Approvals that were refused.
    approvals_refused,
    /// Approvals that nobody decided in time.
    approvals_expired,
}

impl Counts {
    /// All calls that were judged.
    pub const fn calls(&self) -> i64 {
        self.allowed + self.asked + self.denied + self.stepped_up
    }

    /// Calls that were let through and did not end as asked.
    pub const fn errors(&self) -> i64 {
        self.failed + self.timed_out + self.unknown
    }

    /// Calls that were not let through, and that nobody was asked about.
    pub const fn refused(&self) -> i64 {
        self.denied + self.stepped_up
    }

    /// Calls that have ended.
    pub const fn ended(&self) -> i64 {
        self.succeeded + self.errors()
    }

    /// The sums of all columns, as both engines give them back.
    fn sums() -> String {
        let sums: Vec<_> = Self::COLUMNS.iter().map(|name| format!("cast(sum({name}) as bigint)")).collect();
        sums.join(", ")
    }
}

/// The hour, as milliseconds.
fn hour(at: Timestamp) -> i64 {
    at.as_millis().div_euclid(HOUR) * HOUR
}
