//! `cargo +nightly fuzz run graph_file fuzz/corpus/graph_file workspaces/graph-v1`: any
//! bytes as a graph file give a graph or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _is_graph = pantler_graph::fuzzing::graph_file(bytes);
});
