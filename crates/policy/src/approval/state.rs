//! How far an approval is, and which steps there are.

/// How far an approval is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// It waits for humans.
    Pending,
    /// All demands are met; it has not been run.
    Granted,
    /// Somebody who may said no.
    Refused,
    /// Its time was over before it was run.
    Expired,
    /// Whoever's call it is took it back.
    Withdrawn,
    /// It is being run. Nobody else can begin.
    Running,
    /// It was run, well or badly.
    Done,
    /// Whoever ran it died over it. Nobody knows whether the call was made.
    Unknown,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Pending,
        Self::Granted,
        Self::Refused,
        Self::Expired,
        Self::Withdrawn,
        Self::Running,
        Self::Done,
        Self::Unknown,
    ];

    /// As it stands in rows and records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Granted => "granted",
            Self::Refused => "refused",
            Self::Expired => "expired",
            Self::Withdrawn => "withdrawn",
            Self::Running => "running",
            Self::Done => "done",
            Self::Unknown => "unknown",
        }
    }

    /// The one called `word`.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }

    /// Whether it can be `next` after this.
    ///
    /// spec: T-87: what runs ends as done or as unknown, and nothing is ever run again.
    pub const fn may_become(self, next: Self) -> bool {
        matches!(
            (self, next),
            (Self::Pending, Self::Granted | Self::Refused | Self::Expired | Self::Withdrawn)
                | (Self::Granted, Self::Running | Self::Expired | Self::Withdrawn)
                | (Self::Running, Self::Done | Self::Unknown)
        )
    }

    /// Whether nothing comes after it.
    pub fn is_over(self) -> bool {
        !Self::ALL.into_iter().any(|next| self.may_become(next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// spec: T-87
    #[test]
    fn there_are_these_steps_and_no_others() {
        let steps = [
            "pending→granted",
            "pending→refused",
            "pending→expired",
            "pending→withdrawn",
            "granted→expired",
            "granted→withdrawn",
            "granted→running",
            "running→done",
            "running→unknown",
        ];
        for from in State::ALL {
            assert_eq!(State::parse(from.as_str()), Some(from));
            for to in State::ALL {
                let step = format!("{}→{}", from.as_str(), to.as_str());
                assert_eq!(from.may_become(to), steps.contains(&&*step), "{step}");
            }
        }
        let over: Vec<_> = State::ALL.into_iter().filter(|state| state.is_over()).collect();
        assert_eq!(over, [State::Refused, State::Expired, State::Withdrawn, State::Done, State::Unknown]);
    }
}
