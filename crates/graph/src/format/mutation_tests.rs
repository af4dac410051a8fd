//! A bounded run of the fuzz target, with mutations that know the format: below the
//! checksums, which random bytes never get past. `PANTLER_FUZZ_CASES` asks for more,
//! `PANTLER_FUZZ_SEED` repeats a run.

use super::{
    block::Block,
    container::{INPUT_DATASETS, QUANTUM_DATASETS},
    tests::{bytes_of, graphs, with_members},
};

const CASES: u64 = 1000;

/// Numbers that look random: the splitmix64 generator.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit.max(1) as u64).unwrap()
    }
}

#[expect(clippy::disallowed_methods, reason = "a test has no other settings")]
fn setting(name: &str, usual: u64) -> u64 {
    std::env::var(name).map_or(usual, |text| text.parse().unwrap())
}

/// Changes a few bytes: flipped, set, removed, doubled, or digits replaced.
fn mutate(bytes: &mut Vec<u8>, numbers: &mut Numbers) {
    for _ in 0..=numbers.below(3) {
        if bytes.is_empty() {
            return;
        }
        let at = numbers.below(bytes.len());
        let end = (at + 1 + numbers.below(8)).min(bytes.len());
        match numbers.below(6) {
            0 => bytes[at] ^= 1 << numbers.below(8),
            1 => bytes[at] = u8::try_from(numbers.below(256)).unwrap(),
            2 => drop(bytes.drain(at..end)),
            3 => {
                let copy = bytes[at..end].to_vec();
                let to = numbers.below(bytes.len());
                bytes.splice(to..to, copy);
            }
            4 => bytes.truncate(at),
            _ => {
                let digit = bytes.iter().skip(at).position(u8::is_ascii_digit);
                if let Some(digit) = digit {
                    let more = [&b"9"[..], b"4294967295", b"-1", b"0", b"1e9", b"null"];
                    let with = more[numbers.below(more.len())];
                    bytes.splice(at + digit..=at + digit, with.iter().copied());
                }
            }
        }
    }
}

/// The blocks of a member with their parts changed, and sums that are right again.
fn mutate_blocks(member: &'static str, content: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    let mut blocks = Vec::new();
    let mut rest = content;
    while let [a, b, c, d, ..] = *rest {
        let end = 20 + u32::from_le_bytes([a, b, c, d]) as usize;
        let plain = u32::from_le_bytes(rest[4..8].try_into().unwrap()) as usize;
        let data = zstd::decode_all(&rest[20 + plain..end]).unwrap();
        blocks.push(Block { plain: rest[20..20 + plain].to_vec(), data });
        rest = &rest[end..];
    }
    let chosen = numbers.below(blocks.len());
    let mut out = Vec::new();
    for (i, mut block) in blocks.into_iter().enumerate() {
        if i == chosen {
            let part = if numbers.below(4) == 0 { &mut block.plain } else { &mut block.data };
            mutate(part, numbers);
        }
        out.extend(block.encode(member).unwrap());
    }
    out
}

/// Mutates files of a format, of which some members are blocks, and gives them to `read`.
fn run(files: &[Vec<u8>], blocks: &[&'static str], read: fn(&[u8]) -> bool) {
    let seed = setting("PANTLER_FUZZ_SEED", 1);
    assert!(files.iter().all(|file| read(file)), "they are what they are said to be");
    let mut good = 0;
    for case in 0..setting("PANTLER_FUZZ_CASES", CASES) {
        let mut numbers = Numbers(seed ^ case.wrapping_mul(0x2545_f491_4f6c_dd1d));
        let file = &files[numbers.below(files.len())];
        let damaged = if numbers.below(8) == 0 {
            let mut file = file.clone();
            mutate(&mut file, &mut numbers);
            file
        } else {
            mutate_member(file, blocks, &mut numbers)
        };
        match std::panic::catch_unwind(|| read(&damaged)) {
            Ok(is_good) => good += u64::from(is_good),
            Err(panic) => {
                eprintln!("seed {seed}, case {case}");
                std::panic::resume_unwind(panic);
            }
        }
    }
    assert!(good > 0, "some mutations give another file that is good");
}

fn mutate_member(file: &[u8], blocks: &[&'static str], numbers: &mut Numbers) -> Vec<u8> {
    let target = numbers.below(10);
    let numbers = std::cell::RefCell::new(numbers);
    let place = std::cell::Cell::new(0);
    with_members(file, |name, content| {
        place.set(place.get() + 1);
        if place.get() != target + 1 || content.is_empty() {
            return Some(content);
        }
        let numbers = &mut **numbers.borrow_mut();
        if let Some(member) = blocks.iter().find(|member| **member == name) {
            return Some(mutate_blocks(member, &content, numbers));
        }
        let packed = camino::Utf8Path::new(name).extension() == Some("zst");
        let mut text = if packed { zstd::decode_all(&*content).unwrap() } else { content };
        mutate(&mut text, numbers);
        Some(if packed { zstd::encode_all(&*text, 1).unwrap() } else { text })
    })
}

#[test]
fn no_graph_file_is_too_strange() {
    let files: Vec<Vec<u8>> = graphs().iter().map(bytes_of).collect();
    run(&files, &[INPUT_DATASETS, QUANTUM_DATASETS], crate::fuzzing::graph_file);
}

#[test]
fn no_provenance_file_is_too_strange() {
    let files: Vec<Vec<u8>> =
        graphs().iter().map(|graph| crate::provenance::tests::file(graph, true)).collect();
    let blocks = ["metadata", "quanta", "datasets", "edges", "logs"];
    run(&files, &blocks, crate::fuzzing::provenance_file);
}
