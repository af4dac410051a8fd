//! A running quantum as a [`LimitedButler`]: its inputs by id, its outputs by id.

use std::{
    io::Write,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use pantler_butler::{AccessError, Deferred, LimitedButler};
use pantler_core::{DatasetId, DatasetRef, FileRecord, Universe};
use pantler_datastore::{DeferredRead, Depth, Verdict};
use pantler_graph::DatasetIndex;

use crate::QuantumContext;

/// What a quantum may read and must write, addressed by dataset. Content is verified as
/// it is read; what is no input or output of the quantum is refused.
#[derive(Debug)]
pub struct QuantumButler<'q, 'a> {
    universe: Arc<Universe>,
    quantum: Mutex<&'q mut QuantumContext<'a>>,
}

impl<'a> QuantumContext<'a> {
    /// This quantum as a butler, for code that works with repositories too. `universe` is
    /// that of the repository.
    pub fn butler(&mut self, universe: Arc<Universe>) -> QuantumButler<'_, 'a> {
        QuantumButler { universe, quantum: Mutex::new(self) }
    }
}

impl<'q, 'a> QuantumButler<'q, 'a> {
    fn quantum(&self) -> MutexGuard<'_, &'q mut QuantumContext<'a>> {
        self.quantum.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The record of an input.
    fn record(&self, dataset: DatasetId) -> Result<FileRecord, AccessError> {
        let quantum = self.quantum();
        let (name, index) = quantum.input_of(dataset).ok_or(AccessError::Refused {
            dataset,
            reason: "it is not an input of this quantum",
        })?;
        quantum.run_context().record(&name, index).map_err(|_| AccessError::NotStored(dataset))
    }

    fn deferred(&self, dataset: DatasetId) -> Result<DeferredRead, AccessError> {
        let record = self.record(dataset)?;
        Ok(self.quantum().run_context().datastore().deferred(&record))
    }
}

impl LimitedButler for QuantumButler<'_, '_> {
    fn universe(&self) -> &Arc<Universe> {
        &self.universe
    }

    fn is_writeable(&self) -> bool {
        true
    }

    fn get(&self, dataset: DatasetId) -> Result<Vec<u8>, AccessError> {
        self.deferred(dataset)?.read().map_err(|error| AccessError::failed(dataset, error))
    }

    fn get_deferred(&self, dataset: DatasetId) -> Result<Box<dyn Deferred + '_>, AccessError> {
        Ok(Box::new(Handle { dataset, read: self.deferred(dataset)? }))
    }

    fn get_uri(&self, dataset: DatasetId) -> Result<String, AccessError> {
        Ok(self.deferred(dataset)?.uri())
    }

    fn stored(&self, dataset: DatasetId) -> Result<bool, AccessError> {
        match self.record(dataset) {
            Ok(record) => {
                let quantum = self.quantum();
                let datastore = quantum.run_context().datastore();
                let verdict = datastore.verify_record(&record, Depth::Presence);
                let verdict = verdict.map_err(|error| AccessError::failed(dataset, error))?;
                Ok(matches!(verdict, Verdict::Present { .. }))
            }
            Err(AccessError::Refused { .. } | AccessError::NotStored(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn put(&self, dataset: &DatasetRef, content: &[u8]) -> Result<(), AccessError> {
        let mut quantum = self.quantum();
        let output = quantum.output_of(dataset.id).ok_or(AccessError::Refused {
            dataset: dataset.id,
            reason: "it is not an output of this quantum",
        })?;
        quantum.write(&output, content).map_err(|error| AccessError::failed(dataset.id, error))
    }
}

impl QuantumContext<'_> {
    /// The input that a dataset belongs to.
    fn input_of(&self, dataset: DatasetId) -> Option<(String, DatasetIndex)> {
        let graph = self.run_context().plan().graph();
        self.quantum_view().inputs.iter().find_map(|input| {
            let found = input.datasets.iter().find(|index| graph.dataset(**index).id == dataset)?;
            Some((input.connection.name.clone(), *found))
        })
    }

    /// The output that a dataset is.
    fn output_of(&self, dataset: DatasetId) -> Option<String> {
        let graph = self.run_context().plan().graph();
        let view = self.quantum_view();
        let outputs = view.task.outputs.iter().zip(&view.outputs);
        let mut found = outputs.filter(|(_, index)| graph.dataset(**index).id == dataset);
        found.next().map(|(output, _)| output.name.clone())
    }

    /// The datasets that it must write, by output.
    pub fn output_refs(&self) -> Vec<(String, DatasetRef)> {
        let graph = self.run_context().plan().graph();
        let view = self.quantum_view();
        let refs = view.task.outputs.iter().zip(&view.outputs).map(|(output, index)| {
            let dataset = graph.dataset(*index);
            let dataset = DatasetRef {
                id: dataset.id,
                dataset_type: dataset.dataset_type,
                data_id: dataset.data_id,
                run: graph.output_run().clone(),
            };
            (output.name.clone(), dataset)
        });
        refs.collect()
    }

    /// The ids of the datasets of an input, in the order of their data IDs.
    pub fn input_ids(&self, input: &str) -> Vec<DatasetId> {
        let graph = self.run_context().plan().graph();
        let inputs = self.quantum_view().inputs.iter().filter(|i| i.connection.name == input);
        inputs.flat_map(|i| i.datasets.iter()).map(|index| graph.dataset(*index).id).collect()
    }
}

struct Handle {
    dataset: DatasetId,
    read: DeferredRead,
}

impl Deferred for Handle {
    fn size(&self) -> u64 {
        self.read.size()
    }

    fn read(&self) -> Result<Vec<u8>, AccessError> {
        self.read.read().map_err(|error| AccessError::failed(self.dataset, error))
    }

    fn read_range(&self, offset: u64, length: u64) -> Result<Vec<u8>, AccessError> {
        let read = self.read.read_range(offset, length);
        read.map_err(|error| AccessError::failed(self.dataset, error))
    }

    fn copy_to(&self, out: &mut dyn Write) -> Result<u64, AccessError> {
        let written = self.read.copy_to(out);
        Ok(written.map_err(|error| AccessError::failed(self.dataset, error))?.size)
    }
}
