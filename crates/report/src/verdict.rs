//! Verdicts: a function of where the paper says that a difference lies, and of its interval.

use crate::bootstrap::Estimate;

/// What came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The whole interval lies where the paper says.
    Holds,
    /// The whole interval lies on the other side.
    Reversed,
    /// The interval does not decide.
    NotResolved,
    /// There is no data on it.
    NotTested,
}

impl Verdict {
    /// All verdicts, in the order of tables.
    pub const ALL: [Self; 4] = [Self::Holds, Self::Reversed, Self::NotResolved, Self::NotTested];

    /// Name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Reversed => "reversed",
            Self::NotResolved => "not_resolved",
            Self::NotTested => "not_tested",
        }
    }

    /// What two ways of counting the same maps say together.
    pub fn and(self, other: Self) -> Self {
        if self == other { self } else { Self::NotResolved }
    }

    /// Words for readers.
    pub fn words(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Reversed => "reversed",
            Self::NotResolved => "not resolved",
            Self::NotTested => "not tested",
        }
    }
}

/// Where the paper says that a difference lies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Expected {
    /// Above 0.
    Higher,
    /// Below 0.
    Lower,
    /// Not above 0: the paper finds no consistent gain.
    NoGain,
    /// Anywhere but 0.
    Different,
    /// Within this distance of 0.
    Within(f64),
    /// At least this much.
    AtLeast(f64),
}

impl Expected {
    /// Verdict on an estimate.
    pub fn judge(self, estimate: Option<&Estimate>) -> Verdict {
        let Some(estimate) = estimate else { return Verdict::NotTested };
        let Some((low, high)) = estimate.interval() else { return Verdict::NotResolved };
        let decide = |holds: bool, reversed: bool| match (holds, reversed) {
            (true, _) => Verdict::Holds,
            (false, true) => Verdict::Reversed,
            (false, false) => Verdict::NotResolved,
        };
        match self {
            Self::Higher => decide(low > 0.0, high < 0.0),
            Self::Lower | Self::NoGain => decide(high < 0.0, low > 0.0),
            Self::Different => decide(low > 0.0 || high < 0.0, false),
            Self::Within(limit) => decide(low >= -limit && high <= limit, low > limit || high < -limit),
            Self::AtLeast(limit) => decide(low >= limit, high < limit),
        }
    }

    /// Whether it is a matter of the estimate being 0 or not, which is what p-values are about.
    pub fn is_about_zero(self) -> bool {
        match self {
            Self::Higher | Self::Lower | Self::NoGain | Self::Different => true,
            Self::Within(_) | Self::AtLeast(_) => false,
        }
    }

    /// Words for tables.
    pub fn words(self) -> String {
        match self {
            Self::Higher => "above 0".into(),
            Self::Lower => "below 0".into(),
            Self::NoGain => "no gain".into(),
            Self::Different => "not 0".into(),
            Self::Within(limit) => format!("within ±{:.1} points", 100.0 * limit),
            Self::AtLeast(limit) => format!("at least {:.1} %", 100.0 * limit),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_follow_from_the_interval() {
        use {Expected::*, Verdict::*};
        let interval = |low, high| Estimate { mean: (low + high) / 2.0, low, high, items: 2, ..Estimate::default() };
        for (expected, low, high, verdict) in [
            (Higher, 0.1, 0.2, Holds),
            (Higher, -0.2, -0.1, Reversed),
            (Higher, -0.1, 0.2, NotResolved),
            (Lower, -0.2, -0.1, Holds),
            (Lower, 0.1, 0.2, Reversed),
            (NoGain, 0.1, 0.2, Reversed),
            (NoGain, -0.1, 0.2, NotResolved),
            (Different, -0.2, -0.1, Holds),
            (Different, -0.2, 0.1, NotResolved),
            (Within(0.1), -0.05, 0.05, Holds),
            (Within(0.1), -0.3, -0.2, Reversed),
            (Within(0.1), -0.2, 0.05, NotResolved),
            (AtLeast(0.9), 0.95, 0.95, Holds),
            (AtLeast(0.9), 0.5, 0.5, Reversed),
        ] {
            assert_eq!(expected.judge(Some(&interval(low, high))), verdict, "{expected:?} [{low}, {high}]");
            assert_eq!(expected.judge(None), NotTested);
            assert_eq!(expected.judge(Some(&Estimate { items: 1, ..interval(low, high) })), NotResolved);
        }
    }
}
