//! The bound of design §11 on a small scale: applying rows against the same rows
//! through bare prepared statements. The bench measures it properly; run this one by
//! hand with `cargo test --release -p pantler-registry -- --ignored --nocapture`.

use std::time::Instant;

use super::*;

const N: i64 = 100_000;

fn refs(image: &Arc<DatasetType>) -> (Vec<DatasetRef>, Vec<FileRecord>) {
    let refs: Vec<_> = (0..N)
        .map(|i| {
            let (visit, detector) = (1 + i / 4, i % 4);
            let id = (0x0190_aaaa_bbbb_7000_u128 << 64)
                + u128::from(i.unsigned_abs().wrapping_mul(0x9e37_79b9_7f4a_7c15));
            dataset_ref(id, image, vec!["cam".into(), visit.into(), detector.into()], "a")
        })
        .collect();
    let records = refs.iter().map(|r| file_record(r.id, "")).collect();
    (refs, records)
}

fn prepared() -> (Fixture, Arc<DatasetType>) {
    let fixture = empty();
    let image = fixture.dataset_type("image", &["visit", "detector"]);
    let mut records = fixture.records();
    let exposure = [("exposure", MetadataValue::Float(30.0))];
    records.extend((3..=N / 4).map(|visit| {
        fixture.record(
            "visit",
            vec!["cam".into(), visit.into()],
            &[("physical_filter", "g1")],
            &exposure,
        )
    }));
    fixture
        .apply(&[
            Change::EnsureDimensionRecords(records),
            Change::EnsureDatasetType(Arc::clone(&image)),
            Change::InsertRun(collection("a")),
        ])
        .unwrap();
    (fixture, image)
}

#[test]
#[ignore = "measures time"]
fn applying_rows_costs_little_over_bare_statements() -> Tested {
    let mut ratios = Vec::new();
    for _ in 0..7 {
        let (fixture, image) = prepared();
        let (refs, records) = refs(&image);
        let changes = [Change::InsertDatasets(refs), Change::InsertRecords(records)];
        let begin = Instant::now();
        fixture.apply(&changes)?;
        let ours = begin.elapsed();

        let (fixture, image) = prepared();
        let (refs, records) = self::refs(&image);
        let raw = fixture.raw();
        raw.execute_batch(
            "PRAGMA synchronous = FULL; PRAGMA cache_size = -65536; PRAGMA foreign_keys = ON",
        )?;
        let begin = Instant::now();
        raw.execute_batch("BEGIN IMMEDIATE")?;
        {
            let mut dataset = raw.prepare("INSERT INTO dataset VALUES (?1, ?2, 1, 1, 7)")?;
            let mut membership =
                raw.prepare("INSERT INTO membership_1 VALUES (1, 1, ?1, ?2, ?3, ?4)")?;
            for (i, r) in (1_i64..).zip(&refs) {
                dataset.execute((i, &r.id.as_uuid().as_bytes()[..]))?;
                match r.data_id.values() {
                    [KeyValue::String(a), KeyValue::Integer(b), KeyValue::Integer(c)] => {
                        membership.execute((&**a, b, c, i))?;
                    }
                    _ => unreachable!(),
                }
            }
            let mut record = raw.prepare(
                "INSERT INTO file_datastore_record VALUES (?1, ?2, ?3, NULL, ?4, 'Csv', ?5, ?6)",
            )?;
            for (i, r) in (1_i64..).zip(&records) {
                record.execute((
                    i,
                    &r.component,
                    r.key.as_str(),
                    &r.formatter,
                    i64::try_from(r.size)?,
                    &r.checksum.as_bytes()[..],
                ))?;
            }
        }
        raw.execute_batch("COMMIT")?;
        let bare = begin.elapsed();
        println!("ours {ours:?}, bare {bare:?}");
        ratios.push(ours.as_secs_f64() / bare.as_secs_f64());
    }
    ratios.sort_by(f64::total_cmp);
    println!("median ratio {:.2}", ratios[3]);
    assert!(ratios[3] <= 1.5, "{ratios:?}");
    Ok(())
}
