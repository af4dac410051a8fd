//! The frame of a line: sequence number and checksum around the text of an event. It is
//! the same in all format versions, and that of other files to which lines are appended.

use serde::Serialize;

const HEADER_START: &str = "{\"pantler_journal\":";
const DIGEST_LEN: usize = 16;

/// Why a line is refused.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// It is a header of another version.
    #[error("format version {0} is not known")]
    Version(String),
    /// It is not as it was written.
    #[error("{0}")]
    Damaged(String),
}

impl LineError {
    pub(super) fn damaged(reason: &(impl ToString + ?Sized)) -> Self {
        Self::Damaged(reason.to_string())
    }
}

/// Appends the header line of a segment in the format `version`.
pub(super) fn write_header(version: &str, header: &impl Serialize, line: &mut Vec<u8>) {
    line.extend_from_slice(HEADER_START.as_bytes());
    line.extend_from_slice(version.as_bytes());
    line.push(b',');
    write_rest(0, header, line);
}

/// Takes the version out of a header line, and what follows it.
pub(super) fn read_version(line: &[u8]) -> Result<(&[u8], &[u8]), LineError> {
    let rest = line
        .strip_prefix(HEADER_START.as_bytes())
        .ok_or_else(|| LineError::damaged("this is not the first line of a journal segment"))?;
    let comma = rest.iter().position(|b| *b == b',').unwrap_or(rest.len());
    let (version, rest) = rest.split_at(comma);
    Ok((version, rest.strip_prefix(b",").unwrap_or(rest)))
}

/// Appends the line of an event.
///
/// # Panics
/// If the event does not serialize: its maps must have texts for keys.
pub fn write_event(seq: u64, event: &impl Serialize, line: &mut Vec<u8>) {
    line.extend_from_slice(b"{\"seq\":");
    line.extend_from_slice(seq.to_string().as_bytes());
    line.push(b',');
    write_rest(seq, event, line);
}

/// Takes the event's text out of the line with number `seq`, which has no newline any more.
///
/// # Errors
/// [`LineError::Damaged`] if it is not as it was written, or has another number.
pub fn read_event(seq: u64, line: &[u8]) -> Result<&[u8], LineError> {
    let prefix = format!("{{\"seq\":{seq},");
    let rest = line.strip_prefix(prefix.as_bytes()).ok_or_else(|| {
        LineError::damaged(&format!("the line with sequence number {seq} should stand here"))
    })?;
    read_rest(seq, rest)
}

/// Appends `"crc":"…","event":…}` and the newline.
fn write_rest(seq: u64, event: &impl Serialize, line: &mut Vec<u8>) {
    line.extend_from_slice(b"\"crc\":\"");
    let crc_at = line.len();
    line.extend_from_slice(&[b'0'; DIGEST_LEN]);
    line.extend_from_slice(b"\",\"event\":");
    let event_at = line.len();
    serde_json::to_writer(&mut *line, event).expect("memory takes bytes, and keys are strings");
    let crc = digest(seq, &line[event_at..]);
    line[crc_at..crc_at + DIGEST_LEN].copy_from_slice(&crc);
    line.extend_from_slice(b"}\n");
}

/// Takes the event's text out of `"crc":"…","event":…}`, if its checksum is right.
pub(super) fn read_rest(seq: u64, rest: &[u8]) -> Result<&[u8], LineError> {
    let parts = rest
        .strip_prefix(b"\"crc\":\"")
        .and_then(|rest| rest.split_at_checked(DIGEST_LEN))
        .and_then(|(crc, rest)| {
            let event = rest.strip_prefix(b"\",\"event\":")?.strip_suffix(b"}")?;
            Some((crc, event))
        });
    let (crc, event) = parts.ok_or_else(|| LineError::damaged("this is not a journal line"))?;
    if digest(seq, event) == *crc {
        Ok(event)
    } else {
        Err(LineError::damaged("the checksum does not fit the line"))
    }
}

fn digest(seq: u64, event: &[u8]) -> [u8; DIGEST_LEN] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seq.to_le_bytes());
    hasher.update(event);
    let hex = hasher.finalize().to_hex();
    let mut digest = [0; DIGEST_LEN];
    digest.copy_from_slice(&hex.as_bytes()[..DIGEST_LEN]);
    digest
}
