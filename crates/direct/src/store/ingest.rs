//! Files of the user become datasets.

use pantler_butler::{
    request::{IngestRequest, StoreProgress, StoreReport},
    storing::IngestRole,
};
use rayon::prelude::*;

use super::{
    StoreError, Work,
    planned::{self, Planned},
    records, write,
};
use crate::DirectButler;

impl DirectButler {
    /// Ingests files into a RUN.
    ///
    /// # Errors
    /// [`StoreError`]; unless it says otherwise, the repository is as before.
    pub fn ingest(
        &self,
        request: &IngestRequest,
        progress: &dyn StoreProgress,
    ) -> Result<StoreReport, StoreError> {
        let (planned, unreadable) = self.planned_ingest(request)?;
        if request.register {
            records::register(self, &request.files)?;
        }
        let name = Some(&request.name);
        let work = Work { what: "the ingest", name, options: request.options, progress };
        let mut report = match self.open_row(name)? {
            Some(row) => self.go_on::<IngestRole>(&work, &row, planned)?,
            None => self.store::<IngestRole>(&work, planned)?,
        };
        report.failed.extend(unreadable);
        Ok(report)
    }

    /// The files as artifacts, and, if it is to keep going, those that cannot be read.
    #[expect(clippy::type_complexity, reason = "a pair of lists")]
    pub(super) fn planned_ingest(
        &self,
        request: &IngestRequest,
    ) -> Result<(Vec<Planned<'static>>, Vec<(String, String)>), StoreError> {
        // On all cores; what is wrong is reported in the order of the files all the same.
        let planned: Vec<_> = request
            .files
            .par_iter()
            .map(|file| planned::of_file(self, file, &request.run, request.mode, request.ids))
            .collect();
        let mut readable = Vec::with_capacity(planned.len());
        let mut failed = Vec::new();
        for (planned, file) in planned.into_iter().zip(&request.files) {
            match planned {
                Ok(planned) => readable.push(planned),
                Err(error) if request.options.keep_going => {
                    failed.push((file.source.to_string(), write::chain(&error)));
                }
                Err(error) => return Err(error),
            }
        }
        Ok((readable, failed))
    }
}
