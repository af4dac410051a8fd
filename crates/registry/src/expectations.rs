//! What must hold while a transaction is opened or closed, and who needs an artifact.

use std::fmt;

use pantler_core::{CollectionName, CollectionType, DatasetId, Location};

use crate::{Reader, RegistryError, Writer, sqlite::Bulk};

pub(crate) const OF_LOCATION: &str = "SELECT d.uuid FROM file_datastore_record r
    JOIN dataset d ON d.id = r.dataset WHERE r.uri = ?1";
pub(crate) const COUNT_AT: &str = "SELECT count(*) FROM file_datastore_record WHERE uri = ?1";
pub(crate) const IS_STORED: &str = "SELECT EXISTS (SELECT 1 FROM file_datastore_record r
    WHERE r.dataset = d.id) FROM dataset d WHERE d.uuid = ?1";
pub(crate) const CHAINS_OF: &str = "SELECT c.name FROM collection_child p
    JOIN collection c ON c.id = p.parent WHERE p.child = ?1 ORDER BY c.name";
pub(crate) const ANY_OF_RUN: &str = "SELECT uuid FROM dataset WHERE run = ?1 LIMIT 1";
pub(crate) const DELETE_COLLECTION: &str = "DELETE FROM collection WHERE id = ?1";

/// Counts the records that name locations, see [`Reader::record_counts`].
pub struct RecordCounts<'r>(Bulk<'r>);

impl RecordCounts<'_> {
    /// How many records name a location.
    ///
    /// # Errors
    /// What the database says.
    pub fn of(&mut self, location: &Location) -> Result<u32, RegistryError> {
        self.0.bind(1, location.as_str())?;
        let count = self.0.first(|row| row.get(0))?;
        Ok(count.unwrap_or(0))
    }
}

impl fmt::Debug for RecordCounts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordCounts").finish_non_exhaustive()
    }
}

impl Reader {
    /// To ask for many locations how many records name each.
    ///
    /// # Errors
    /// What the database says.
    pub fn record_counts(&self) -> Result<RecordCounts<'_>, RegistryError> {
        Ok(RecordCounts(self.db().bulk(COUNT_AT)?))
    }

    /// The datasets whose records name a location.
    ///
    /// # Errors
    /// What the database says.
    pub fn datasets_at(&self, location: &Location) -> Result<Vec<DatasetId>, RegistryError> {
        self.db()
            .all(OF_LOCATION, [location.as_str()], |row| Ok(DatasetId::from_uuid(row.uuid(0)?)))
    }

    /// The chains that name a collection, by name.
    ///
    /// # Errors
    /// [`RegistryError::UnknownCollection`], and what the database says.
    pub fn chains_of(&self, name: &CollectionName) -> Result<Vec<CollectionName>, RegistryError> {
        let Some((id, _)) = self.collection_id(name)? else {
            return Err(RegistryError::UnknownCollection { name: name.clone() });
        };
        self.db().all(CHAINS_OF, [id], |row| row.parsed(0))
    }
}

impl Writer {
    pub(crate) fn expect_unstored(&self, datasets: &[DatasetId]) -> Result<(), RegistryError> {
        let mut is_stored = self.db().bulk(IS_STORED)?;
        for &dataset in datasets {
            is_stored.bind(1, &dataset.as_uuid().as_bytes()[..])?;
            match is_stored.first(|row| row.get::<bool>(0))? {
                Some(false) => {}
                Some(true) => return Err(RegistryError::Stored { dataset }),
                None => return Err(RegistryError::UnknownDataset { dataset }),
            }
        }
        Ok(())
    }

    pub(crate) fn expect_unnamed(&self, locations: &[Location]) -> Result<(), RegistryError> {
        for location in locations {
            if let Some(&dataset) = self.datasets_at(location)?.first() {
                return Err(RegistryError::LocationTaken { location: location.clone(), dataset });
            }
        }
        Ok(())
    }

    pub(crate) fn discard_run(&self, run: &CollectionName) -> Result<(), RegistryError> {
        let id = match self.expect_collection(run, CollectionType::Run) {
            Err(RegistryError::UnknownCollection { .. }) => return Ok(()),
            id => id?,
        };
        if let Some(chain) = self.chains_of(run)?.into_iter().next() {
            return Err(RegistryError::InChain { name: run.clone(), chain });
        }
        let dataset = self.db().first(ANY_OF_RUN, [id], |row| row.uuid(0))?;
        if let Some(dataset) = dataset.map(DatasetId::from_uuid) {
            return Err(RegistryError::RunNotEmpty { run: run.clone(), dataset });
        }
        self.db().execute(DELETE_COLLECTION, [id]).map(drop)
    }
}
