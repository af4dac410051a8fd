//! `cargo +nightly fuzz run provenance_file fuzz/corpus/provenance_file workspaces/provenance-v1`:
//! any bytes as a provenance file give what is in it or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _is_provenance = pantler_graph::fuzzing::provenance_file(bytes);
});
