//! Datastore records: where the artifact of a dataset is.

use pantler_core::{Checksum, DatasetId, FileRecord, StorageClass};

use crate::{
    RegistryError, Writer,
    datasets::list,
    sqlite::{Db, Row},
};

const FIND: &str = "SELECT id FROM dataset WHERE uuid = ?1";
pub(crate) const DISCARD: &str =
    "DELETE FROM file_datastore_record WHERE dataset IN (SELECT value FROM json_each(?1))";

/// As many datasets lose their records in one statement. One for each takes half as long again.
const AT_ONCE: usize = 1_000;

/// The columns that [`read`] reads.
pub(crate) const COLUMNS: &str =
    "r.component, r.uri, r.byte_offset, r.formatter, r.storage_class, r.size, r.checksum";

/// Reads [`COLUMNS`], which start at column `start`; `None` if an outer join found no row.
pub(crate) fn read(
    row: &Row<'_, '_>,
    start: usize,
    dataset: DatasetId,
) -> Result<Option<FileRecord>, RegistryError> {
    let Some(component) = row.get::<Option<Box<str>>>(start)? else { return Ok(None) };
    let bytes = |value: i64| u64::try_from(value).map_err(|e| row.corrupt(e));
    let storage_class: StorageClass = row.parsed(start + 4)?;
    // That of its storage class, as a rule: then it takes no memory of its own.
    let formatter = match row.text(start + 3)? {
        usual if usual == storage_class.formatter() => storage_class.formatter().into(),
        other => other.to_owned().into(),
    };
    Ok(Some(FileRecord {
        dataset,
        component,
        location: row.parsed(start + 1)?,
        offset: row.get::<Option<i64>>(start + 2)?.map(bytes).transpose()?,
        formatter,
        storage_class,
        size: bytes(row.get(start + 5)?)?,
        checksum: Checksum::from_bytes(row.get(start + 6)?),
    }))
}

impl Writer {
    /// Inserts records. `inserted` are the database ids of datasets that the same
    /// changes inserted, mostly in the order of the records; others are looked up.
    pub(crate) fn insert_records(
        &self,
        records: &[FileRecord],
        inserted: &[(DatasetId, i64)],
    ) -> Result<(), RegistryError> {
        let mut find = self.db().bulk(FIND)?;
        let mut insert = self.db().bulk(
            "INSERT INTO file_datastore_record
            (dataset, component, uri, byte_offset, formatter, storage_class, size, checksum)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING",
        )?;
        let mut next = 0;
        for record in records {
            // The last one found again (its components), or the one after it.
            if inserted.get(next + 1).is_some_and(|(dataset, _)| *dataset == record.dataset) {
                next += 1;
            }
            let id = match inserted.get(next) {
                Some(&(dataset, id)) if dataset == record.dataset => id,
                _ => {
                    find.bind(1, &record.dataset.as_uuid().as_bytes()[..])?;
                    find.first(|row| row.get(0))?
                        .ok_or(RegistryError::UnknownDataset { dataset: record.dataset })?
                }
            };
            insert.bind(1, id)?;
            insert.bind(2, &record.component)?;
            insert.bind(3, record.location.as_str())?;
            insert.bind(4, record.offset.map(|offset| integer(self.db(), offset)).transpose()?)?;
            insert.bind(5, &*record.formatter)?;
            insert.bind(6, record.storage_class.name())?;
            insert.bind(7, integer(self.db(), record.size)?)?;
            insert.bind(8, &record.checksum.as_bytes()[..])?;
            if insert.run()? == 0 {
                return Err(RegistryError::RecordExists {
                    dataset: record.dataset,
                    component: record.component.to_string(),
                });
            }
        }
        Ok(())
    }

    pub(crate) fn discard_records(&self, datasets: &[DatasetId]) -> Result<(), RegistryError> {
        let mut find = self.db().bulk(FIND)?;
        let mut discard = self.db().bulk(DISCARD)?;
        let mut ids = Vec::with_capacity(datasets.len().min(AT_ONCE));
        for datasets in datasets.chunks(AT_ONCE) {
            ids.clear();
            for dataset in datasets {
                find.bind(1, &dataset.as_uuid().as_bytes()[..])?;
                ids.extend(find.first(|row| row.get::<i64>(0))?);
            }
            discard.bind(1, list(ids.iter().copied()))?;
            discard.run()?;
        }
        Ok(())
    }
}

/// SQL integers are signed; more than 2⁶³ bytes are no artifact.
fn integer(db: Db<'_>, bytes: u64) -> Result<i64, RegistryError> {
    i64::try_from(bytes).map_err(|e| db.error(rusqlite::Error::ToSqlConversionFailure(e.into())))
}
