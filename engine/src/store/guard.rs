//! What must hold of documents for a change of them to be made.

use super::idempotency::RequestKey;

/// What must hold of a document. Its version is the number of the change that wrote it; 0 stands for a document that is not
/// there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// It is there.
    There,
    /// It is not there.
    Absent,
    /// It has one of these versions.
    OneOf(Vec<u64>),
}

impl Condition {
    /// Whether it holds of a document of this version.
    #[must_use]
    pub fn holds(&self, version: u64) -> bool {
        match self {
            Self::There => version != 0,
            Self::Absent => version == 0,
            Self::OneOf(versions) => versions.contains(&version),
        }
    }
}

/// Under which conditions a change is made. The default: under none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Guard {
    /// Of each document or id, in their order; beyond the end there is none. What they are compared with are the documents
    /// as the changes before left them.
    pub conditions: Vec<Option<Condition>>,
    /// Whether nothing is changed if a document is refused.
    pub atomic: bool,
    /// The request's key: made again with the same key, it gives the same answer and changes nothing.
    pub key: Option<RequestKey>,
}

impl Guard {
    /// Whether the condition of the document at this place, if there is one, does not hold of its version.
    pub(super) fn forbids(&self, at: usize, version: u64) -> bool {
        let condition = self.conditions.get(at).and_then(Option::as_ref);
        condition.is_some_and(|condition| !condition.holds(version))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_of_what_is_there_and_what_is_not() {
        let holds = |condition: &Condition| [0, 1, 7].map(|version| condition.holds(version));
        assert_eq!(holds(&Condition::There), [false, true, true]);
        assert_eq!(holds(&Condition::Absent), [true, false, false]);
        assert_eq!(holds(&Condition::OneOf(vec![7, 9])), [false, false, true]);
        assert_eq!(holds(&Condition::OneOf(vec![0])), [true, false, false]);
        let guard = Guard { conditions: vec![None, Some(Condition::There)], ..Guard::default() };
        assert_eq!([0, 1, 2].map(|at| guard.forbids(at, 0)), [false, true, false]);
    }
}
