//! Identifiers, each its own type, and the derivation of predicted ones.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::DataId;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $type(Uuid);

        impl $type {
            /// Takes a UUID as this kind of id.
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID.
            pub const fn as_uuid(&self) -> &Uuid {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl FromStr for $type {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    };
}

uuid_id!(
    /// Identifies a dataset everywhere.
    DatasetId
);
uuid_id!(
    /// Identifies a quantum. Its log is a dataset with an id of its own, as any output.
    QuantumId
);
uuid_id!(
    /// Identifies one opening of an artifact transaction (UUID version 7).
    OpeningId
);

/// Identifies a RUN inside its repository; never used again, also not by a later
/// RUN of the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(i64);

impl RunId {
    /// Takes a database id.
    pub const fn new(id: i64) -> Self {
        Self(id)
    }

    /// The database id.
    pub const fn get(self) -> i64 {
        self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What predicted ids are derived from: an opening and a generation of building.
///
/// Predicted ids have the layout of UUID version 7: 48 bits of opening time in
/// milliseconds, the rest from blake3 over (opening id, generation, kind, name,
/// data ID). They are time-ordered, building twice gives the same ones, and files
/// need not store them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdSeed {
    /// The opening of the workspace's transaction.
    pub opening: OpeningId,
    /// 0 for the first build; development mode counts up when it rebuilds.
    pub generation: u32,
}

impl IdSeed {
    /// The id of the dataset of type `dataset_type` with `data_id`.
    pub fn dataset(&self, dataset_type: &str, data_id: &DataId) -> DatasetId {
        DatasetId(self.derive(b"dataset", dataset_type, data_id))
    }

    /// The id of the quantum of `task` with `data_id`.
    pub fn quantum(&self, task: &str, data_id: &DataId) -> QuantumId {
        QuantumId(self.derive(b"quantum", task, data_id))
    }

    fn derive(&self, kind: &[u8], name: &str, data_id: &DataId) -> Uuid {
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.opening.as_uuid().as_bytes());
        hasher.update(&self.generation.to_le_bytes());
        for part in [kind, name.as_bytes()] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        data_id.hash_into(&mut hasher);
        let digest = hasher.finalize();
        let mut bytes = [0; 16];
        bytes[..6].copy_from_slice(&self.opening.as_uuid().as_bytes()[..6]);
        bytes[6..].copy_from_slice(&digest.as_bytes()[..10]);
        bytes[6] = (bytes[6] & 0x0f) | 0x70;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        Uuid::from_bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn predicted_ids_are_version_7_of_the_opening_time() {
        let opening = OpeningId(Uuid::from_u128(0x0190_aaaa_bbbb_7000_8000_0000_0000_0001));
        let seed = IdSeed { opening, generation: 0 };
        let id = seed.dataset("daily", &DataId::empty());
        assert_eq!(id.as_uuid().get_version_num(), 7);
        assert_eq!(&id.as_uuid().as_bytes()[..6], &opening.as_uuid().as_bytes()[..6]);
        assert_eq!(id, seed.dataset("daily", &DataId::empty()));
        assert_ne!(id.as_uuid(), seed.quantum("daily", &DataId::empty()).as_uuid());
        assert_ne!(id, IdSeed { generation: 1, ..seed }.dataset("daily", &DataId::empty()));
    }
}
