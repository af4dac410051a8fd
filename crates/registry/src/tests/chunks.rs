use pantler_core::transaction::RunLocks;

use super::*;

#[test]
fn a_large_manifest_is_cut_and_put_together() -> Tested {
    let fixture = empty();
    // Not compressible, and not a multiple of the chunk.
    let mut state = 1_u64;
    let manifest: Vec<u8> = (0..1_300_001)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state.to_le_bytes()[7]
        })
        .collect();
    let row = transaction_row("t", 1);
    fixture.write(|w| w.insert_transaction(&row, &RunLocks::default(), Some(&manifest)))?;
    assert_eq!(fixture.read(|r| r.manifest(opening(1)))?, manifest);
    let raw = fixture.raw();
    let count: i64 =
        raw.query_row("SELECT count(*) FROM artifact_transaction_chunk", (), |row| row.get(0))?;
    assert_eq!(count, 3);
    assert_eq!(open_transactions(&fixture)?[0].manifest, manifest);
    raw.execute_batch("DELETE FROM artifact_transaction_chunk WHERE seq = 1")?;
    assert!(matches!(
        fixture.read(|r| r.manifest(opening(1))),
        Err(RegistryError::Corrupt { detail, .. }) if detail.contains("chunk 1")
    ));
    raw.execute_batch("UPDATE artifact_transaction_chunk SET body = x'00' WHERE seq = 0")?;
    assert!(matches!(
        fixture.read(|r| r.manifest(opening(1))),
        Err(RegistryError::Corrupt { detail, .. }) if detail.contains("chunk 0")
    ));
    assert!(fixture.read(|r| r.manifest(opening(2)))?.is_empty());
    Ok(())
}

#[expect(
    clippy::redundant_closure_for_method_calls,
    reason = "the method alone is not general over the lifetime of `CheckRows`"
)]
fn open_transactions(
    fixture: &Fixture,
) -> Result<Vec<crate::check::OpenTransaction>, RegistryError> {
    fixture.check(|c| c.open_transactions())
}
