//! The one-way door: what a closing may do after an earlier one began.
//!
//! A closing that may delete records that in its claim before the first delete.
//! After a revert began, nothing that the transaction manages may become stored:
//! its artifacts may be half gone, or be deleted by a closer that was paused and
//! wakes up. It can be reverted, or abandoned with nothing stored. After an abandon
//! began it cannot be committed; abandoning again keeps what is whole, because an
//! abandon deletes unfinished forms and older duplicates only
//! (`docs/decisions/0003-abandon-twice.md`).

use pantler_core::transaction::Closing;

/// What a closing must do before its storage work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Duty {
    /// Claim first: attempt + 1 and the closing recorded, in a database transaction.
    pub claim: bool,
    /// Artifacts may have been deleted already: nothing may become stored.
    pub past_the_door: bool,
}

/// A closing that an earlier one has ruled out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a {} of it has begun, so it cannot be committed any more: revert or abandon it",
    .began.verb()
)]
pub struct DoorError {
    /// The closing that began.
    pub began: Closing,
}

/// Decides what `closing` must do, given what the last claim was for (`began`).
///
/// `holds_attempt` says that the caller opened the transaction (or took it over to
/// write) and nobody has claimed it since; `commit_deletes` is the kind's.
///
/// # Errors
/// [`DoorError`] if a commit comes after a revert or an abandon began.
pub fn decide(
    began: Option<Closing>,
    closing: Closing,
    holds_attempt: bool,
    commit_deletes: bool,
) -> Result<Duty, DoorError> {
    if let Some(began @ (Closing::Revert | Closing::Abandon)) = began
        && closing == Closing::Commit
    {
        return Err(DoorError { began });
    }
    let past_the_door = began == Some(Closing::Revert);
    let may_delete = closing != Closing::Commit || commit_deletes;
    // One that was claimed at its opening, or that failed and is tried again, is claimed.
    let claimed = began == Some(closing);
    Ok(Duty { claim: !holds_attempt || (may_delete && !claimed), past_the_door })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Closing; 3] = [Closing::Commit, Closing::Revert, Closing::Abandon];

    #[test]
    fn the_openers_own_commit_costs_no_claim() {
        let duty = decide(None, Closing::Commit, true, false);
        assert_eq!(duty, Ok(Duty { claim: false, past_the_door: false }));
    }

    #[test]
    fn what_may_delete_claims_first() {
        for closing in ALL {
            for holds in [true, false] {
                let duty = decide(None, closing, holds, true).expect("nothing began");
                assert!(duty.claim);
            }
        }
    }

    #[test]
    fn after_a_revert_began_nothing_becomes_stored() {
        for began in [Closing::Revert, Closing::Abandon] {
            assert_eq!(decide(Some(began), Closing::Commit, true, false), Err(DoorError { began }));
            for closing in [Closing::Revert, Closing::Abandon] {
                let duty = decide(Some(began), closing, false, false).expect("still open to it");
                assert!(duty.claim);
                assert_eq!(duty.past_the_door, began == Closing::Revert);
            }
        }
        for closing in ALL {
            let duty = decide(Some(Closing::Commit), closing, false, true).expect("no door yet");
            assert!(!duty.past_the_door);
        }
    }
}
