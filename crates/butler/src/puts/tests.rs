//! How sessions are closed, over an artifact storage in memory.

use pantler_core::{FileRecord, OpeningId, WriteId};
use uuid::Uuid;

use super::*;
use crate::{
    testing::{Memory, Mine, facts, key, opening},
    transaction::{Claim, Kinds},
};

/// A claim under which these keys are named.
struct Named(Vec<ArtifactKey>);

impl Claim for Named {
    fn confirm(&self) -> Result<Vec<FileRecord>, KindError> {
        Err(KindError::Invalid("a RUN may hold millions".to_owned()))
    }

    fn confirm_unnamed(&self, mut keys: Vec<ArtifactKey>) -> Result<Vec<ArtifactKey>, KindError> {
        keys.retain(|key| !self.0.contains(key));
        Ok(keys)
    }
}

/// A claim that another process has taken.
struct Lost;

impl Claim for Lost {
    fn confirm(&self) -> Result<Vec<FileRecord>, KindError> {
        Err(KindError::Superseded)
    }

    fn confirm_unnamed(&self, _: Vec<ArtifactKey>) -> Result<Vec<ArtifactKey>, KindError> {
        self.confirm().map(|_| Vec::new())
    }
}

fn session() -> PutSession {
    PutSession::new(CollectionName::new("r").expect("a name"))
}

fn decoded() -> PutSession {
    PutSession::decode(&session().data(None), &[]).expect("it reads what it writes")
}

fn put(opening: OpeningId, number: u64) -> ArtifactKey {
    let write = WriteId::of_put(opening, 1, number);
    ArtifactKey::new(format!("r@1/t/n={number}~{write}.csv")).expect("a key")
}

#[test]
fn what_no_record_names_is_deleted_and_nothing_else() {
    let other = put(OpeningId::from_uuid(Uuid::from_u128(5)), 3);
    let (stored, unnamed, unfinished) = (put(opening(), 1), put(opening(), 2), put(opening(), 4));
    let memory = Memory::with(&[&stored, &unnamed, &other]);
    memory.0.borrow_mut().insert(format!("{unfinished}.tmp"), vec![]);
    let claim = Named(vec![stored.clone(), other.clone()]);
    let mut expected = vec![stored.to_string(), other.to_string()];
    expected.sort();
    for _ in 0..2 {
        let mut context = CommitContext::new(facts(2, false), &memory, &claim);
        decoded().commit(&mut context).expect("the storage works");
        assert_eq!(memory.names(), expected, "also the second time");
        assert_eq!(context.into_parts().0, []);
    }
    let mut context = CloseContext::new(facts(2, false), &memory, &claim);
    decoded().abandon(&mut context).expect("the storage works");
    assert_eq!(memory.names(), expected);
}

#[test]
fn a_closer_without_its_claim_deletes_nothing() {
    let memory = Memory::with(&[&put(opening(), 1)]);
    let mut context = CommitContext::new(facts(2, false), &memory, &Lost);
    let error = decoded().commit(&mut context).expect_err("another process holds it");
    assert!(matches!(error, KindError::Superseded), "{error}");
    assert_eq!(memory.names(), [put(opening(), 1).to_string()]);
}

#[test]
fn only_a_settled_session_is_committed_without_a_look() {
    let memory = Memory::with(&[&put(opening(), 1)]);
    let mut session = session();
    assert!(!session.commit_deletes());
    session.commit(&mut CommitContext::new(facts(1, false), &memory, &Mine)).expect("no work");
    assert_eq!(memory.names().len(), 1);
    session.unsettle();
    assert!(session.commit_deletes() && decoded().commit_deletes());
    session.commit(&mut CommitContext::new(facts(2, false), &memory, &Mine)).expect("it deletes");
    assert_eq!(memory.names().len(), 0);
}

#[test]
fn a_session_is_not_reverted() {
    for closing in [Closing::Commit, Closing::Abandon] {
        decoded().expect_closing(closing).expect("it can be ended");
    }
    let error = decoded().expect_closing(Closing::Revert).expect_err("puts are committed");
    assert!(error.to_string().contains("commit or abandon ends the session"), "{error}");
    let memory = Memory::with(&[&key(1, 1)]);
    let mut context = RevertContext::new(facts(2, false), &memory, &Mine);
    decoded().revert(&mut context).expect_err("the same");
    assert_eq!(memory.names().len(), 1);
}

#[test]
fn a_session_is_decoded_or_refused() {
    let kinds = Kinds::new().with::<PutSession>();
    let data = session().data(None);
    assert_eq!(data, r#"{"version":1,"run":"r"}"#);
    let again = kinds.decode("put-session", &data, &[]).expect("it reads what it writes");
    assert_eq!(again.data(None), data);
    assert_eq!(again.locks().insert_only.len(), 1);
    let refused = |data: &str| kinds.decode("put-session", data, &[]).unwrap_err().to_string();
    assert!(refused(r#"{"version":2}"#).contains("format version 2: this program reads up to 1"));
    assert!(refused(r#"{"version":1}"#).contains("is damaged: missing field `run`"));
    assert!(refused("").contains("is damaged"));
}
