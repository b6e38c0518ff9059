//! Of which ranking documents feed back, as commands and requests name it beside the condition.

use super::options::FeedbackCondition;

/// The ranking whose best documents feed back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FeedbackFrom {
    /// Each channel's own.
    Own,
    /// The fused one of several channels.
    Fused,
    /// That of the one channel, or the fused one of several, reranked.
    Reranked,
}

impl FeedbackFrom {
    /// Its name in commands and requests.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Fused => "fused",
            Self::Reranked => "reranked",
        }
    }

    /// The condition that it means where none is named.
    #[must_use]
    pub fn condition(self, channels: usize) -> FeedbackCondition {
        match self {
            Self::Own => FeedbackCondition::After,
            Self::Reranked if channels < 2 => FeedbackCondition::After,
            Self::Fused | Self::Reranked => FeedbackCondition::Both,
        }
    }

    /// Whether a condition takes documents of this ranking.
    #[must_use]
    pub fn goes_with(self, condition: FeedbackCondition, channels: usize) -> bool {
        let own = condition == FeedbackCondition::After;
        match self {
            Self::Own => own,
            Self::Fused => !own,
            Self::Reranked => channels < 2 || !own,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_goes_with_what_it_means() {
        for from in [FeedbackFrom::Own, FeedbackFrom::Fused, FeedbackFrom::Reranked] {
            for channels in [1, 2] {
                assert!(from.goes_with(from.condition(channels), channels));
            }
        }
        assert!(!FeedbackFrom::Own.goes_with(FeedbackCondition::Both, 2));
        assert!(!FeedbackFrom::Fused.goes_with(FeedbackCondition::After, 2));
        assert!(!FeedbackFrom::Reranked.goes_with(FeedbackCondition::After, 2));
        assert!(FeedbackFrom::Reranked.goes_with(FeedbackCondition::Before, 2));
    }
}
