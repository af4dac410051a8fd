//! Any bytes as files of this crate: what fuzzers call, in `fuzz/` and in tests. They must
//! give a value or an error, in bounded memory; what is read must hang together.

use std::io::{self, Cursor};

use crate::{
    DatasetIndex, ExportFormat, GraphFileError, GraphReader, ProvenanceReader, QuantumGraph,
    QuantumIndex, export_graph,
};

/// Reads `bytes` as a graph file, in full and quantum by quantum; says whether it is one.
///
/// # Panics
/// If what is read does not hang together.
pub fn graph_file(bytes: &[u8]) -> bool {
    let whole = crate::read(Cursor::new(bytes));
    let by_quantum = GraphReader::open(Cursor::new(bytes));
    let Ok(graph) = whole else {
        // One by one, it may be good in parts.
        if let Ok(mut reader) = by_quantum {
            for id in 0..16_u128 {
                let id = uuid::Uuid::from_u128(id << 123 | id);
                let _found = reader.quantum(pantler_core::QuantumId::from_uuid(id));
            }
        }
        return false;
    };
    walk(&graph);
    let mut reader = by_quantum.expect("what is read in full can be opened");
    for quantum in graph.quanta().take(64) {
        let id = graph.quantum_id(quantum);
        // Where a quantum finds its inputs is of no use to who reads everything, and may be
        // wrong in a file that was read.
        if let Ok(stored) = reader.quantum(id) {
            assert!(stored.is_some_and(|stored| stored.id == id), "quantum {id} is there");
        }
    }
    true
}

/// How many quanta and datasets of a provenance file are read.
const SOME: u32 = 256;

/// Reads `bytes` as a provenance file, node by node; says whether it is one, as far as it
/// was read.
pub fn provenance_file(bytes: &[u8]) -> bool {
    let Ok(mut reader) = ProvenanceReader::open(Cursor::new(bytes)) else { return false };
    let counts = reader.counts();
    let quanta = (0..counts.quanta.min(SOME)).map(QuantumIndex);
    let read = quanta.map(|index| -> Result<(), GraphFileError> {
        let quantum = reader.quantum(index)?;
        reader.find(*quantum.id.as_uuid())?;
        reader.execution(index)?;
        reader.copy_log(index, &mut io::sink())
    });
    let whole = read.fold(true, |whole, read| whole & read.is_ok());
    let datasets = (0..counts.datasets.min(SOME)).map(DatasetIndex);
    let read = datasets.map(|index| -> Result<(), GraphFileError> {
        let dataset = reader.dataset(index)?;
        reader.find(*dataset.id.as_uuid())?;
        reader.readers(index).map(drop)
    });
    read.fold(whole, |whole, read| whole & read.is_ok())
}

fn walk(graph: &QuantumGraph) {
    for quantum in graph.quanta() {
        for dataset in graph.quantum(quantum).inputs.iter().flat_map(|inputs| inputs.datasets) {
            let producer = graph.producer(*dataset);
            assert!(producer.is_none_or(|p| graph.downstream(p).contains(&quantum)));
        }
    }
    export_graph(graph, ExportFormat::Json, &mut io::sink()).expect("a sink takes everything");
    let mut again = Cursor::new(Vec::new());
    crate::write(graph, &mut again).expect("what was read can be written");
}
