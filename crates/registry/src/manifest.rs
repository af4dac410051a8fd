//! Manifests: what a transaction wants to remember of many datasets, as bytes that
//! only its kind understands; cut into chunks, so that no row is large.

use pantler_core::OpeningId;

use crate::{Reader, RegistryError, Writer};

/// Bytes of manifest in one chunk, before compression.
const CHUNK: usize = 512 * 1024;

/// A manifest is there only while its transaction is open: what counts is speed.
const LEVEL: i32 = 1;

impl Reader {
    /// The manifest of an open transaction; empty if it has none.
    ///
    /// # Errors
    /// [`RegistryError::Corrupt`], and what else the database says.
    pub fn manifest(&self, opening: OpeningId) -> Result<Vec<u8>, RegistryError> {
        let opening_bytes = &opening.as_uuid().as_bytes()[..];
        let sql = "SELECT count(*) FROM artifact_transaction_chunk WHERE opening_id = ?1";
        let chunks = self.db().first(sql, [opening_bytes], |row| row.get::<u32>(0))?;
        let mut manifest =
            Vec::with_capacity(usize::try_from(chunks.unwrap_or(0)).unwrap_or(0) * CHUNK);
        let mut expected = 0;
        let sql =
            "SELECT seq, body FROM artifact_transaction_chunk WHERE opening_id = ?1 ORDER BY seq";
        self.db().each(sql, [opening_bytes], |row| {
            let seq: i64 = row.get(0)?;
            if seq != expected {
                return Err(row.corrupt(format_args!(
                    "chunk {expected} of the manifest of opening {opening} is missing"
                )));
            }
            expected += 1;
            let body = row.value(1)?.as_blob().map_err(|e| row.corrupt(e))?;
            let chunk = zstd::bulk::decompress(body, CHUNK).map_err(|e| {
                row.corrupt(format_args!("chunk {seq} of the manifest of opening {opening}: {e}"))
            })?;
            manifest.extend_from_slice(&chunk);
            Ok(())
        })?;
        Ok(manifest)
    }
}

impl Writer {
    pub(crate) fn insert_manifest(
        &self,
        opening: OpeningId,
        manifest: &[u8],
    ) -> Result<(), RegistryError> {
        let mut insert = self.db().bulk(
            "INSERT INTO artifact_transaction_chunk (opening_id, seq, body) VALUES (?1, ?2, ?3)",
        )?;
        for (seq, chunk) in (0_i64..).zip(manifest.chunks(CHUNK)) {
            let body = zstd::bulk::compress(chunk, LEVEL)
                .expect("zstd compresses any bytes into a buffer that it sizes itself");
            insert.bind(1, &opening.as_uuid().as_bytes()[..])?;
            insert.bind(2, seq)?;
            insert.bind(3, body)?;
            insert.run()?;
        }
        Ok(())
    }

    pub(crate) fn delete_manifest(&self, opening: OpeningId) -> Result<(), RegistryError> {
        self.db().execute(DELETE, [&opening.as_uuid().as_bytes()[..]]).map(drop)
    }
}

pub(crate) const DELETE: &str = "DELETE FROM artifact_transaction_chunk WHERE opening_id = ?1";
