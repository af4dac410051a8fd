use pantler_core::{QuantumId, TaskLabel};

use super::*;

/// Fails for item 1 as long as `broken` is there.
const FLAKY: &str = "
  first: {dimensions: [item], outputs: {o: {type: o, storage_class: Text}}, command: [sh, -c, 'test $2 != 1 -o ! -e ROOT/broken && echo $2 > $1', sh, '{outputs.o}', '{data_id.item}']}
  second: {dimensions: [item], inputs: {i: o}, outputs: {p: {type: p, storage_class: Text}}, command: [cp, '{inputs.i}', '{outputs.p}']}
";

fn flaky() -> Result<(Fixture, QuantumGraph)> {
    let fixture = Fixture::new()?;
    std::fs::File::create(fixture.root.join("broken"))?;
    let graph = fixture.graph(&FLAKY.replace("ROOT", fixture.root.as_str()))?;
    Ok((fixture, graph))
}

#[test]
fn what_succeeded_is_skipped_and_what_failed_runs_again() -> Result {
    let (fixture, graph) = flaky()?;
    let summary = fixture.run(&graph)?;
    assert_eq!(table(&summary), ["first 2 1 0 0 0", "second 2 0 1 0 0"]);
    let status = fixture.status(&graph)?;
    let tasks: Vec<_> =
        status.tasks().iter().map(|t| (t.total, t.succeeded, t.failed, t.blocked)).collect();
    assert_eq!(tasks, [(3, 2, 1, 0), (3, 2, 0, 1)]);

    std::fs::remove_file(fixture.root.join("broken"))?;
    let summary = fixture.run(&graph)?;
    assert_eq!(table(&summary), ["first 1 0 0 2 0", "second 1 0 0 2 0"]);
    assert!(summary.is_complete() && summary.runner == Some(2));
    assert_eq!(fixture.outputs(&graph)?["second item=1 p"], "1\n");
    let failed = graph.quanta().nth(1).ok_or("three")?;
    let journal = fixture.journal()?;
    let history = journal.quantum(graph.quantum(failed).id).ok_or("known")?;
    assert_eq!(history.attempts, 2);
    let Some(Outcome::Succeeded { outputs }) = history.last().map(|f| &f.outcome) else {
        return Err("it succeeded".into());
    };
    assert!(outputs[0].key.as_str().ends_with("-r2-2.txt"), "{}", outputs[0].key);

    let summary = fixture.run(&graph)?;
    assert_eq!(table(&summary), ["first 0 0 0 3 0", "second 0 0 0 3 0"]);
    assert_eq!(summary.runner, None, "there was nothing to run");
    Ok(())
}

#[test]
fn only_what_is_asked_for_runs_and_the_rest_later() -> Result {
    let (mut fixture, graph) = flaky()?;
    std::fs::remove_file(fixture.root.join("broken"))?;
    let ids: Vec<_> = graph.quanta().map(|index| graph.quantum_id(index)).collect();
    // The first item's two quanta, and the second quantum of the last item, whose
    // upstream is not asked for.
    fixture.selection.quanta = vec![ids[0], ids[3], ids[5]];
    let summary = fixture.run(&graph)?;
    let excluded: Vec<_> = summary.tasks.iter().map(|task| task.counts.excluded).collect();
    assert_eq!(table(&summary), ["first 1 0 0 0 0", "second 1 0 0 0 1"]);
    assert_eq!(excluded, [2, 1]);
    assert!(!summary.is_done() && !summary.is_complete());

    fixture.selection = Selection { quanta: Vec::new(), tasks: vec![TaskLabel::new("first")?] };
    let summary = fixture.run(&graph)?;
    assert_eq!(table(&summary), ["first 2 0 0 1 0", "second 0 0 0 1 0"]);
    assert!(summary.is_done() && !summary.is_complete());

    fixture.selection = Selection::default();
    let summary = fixture.run(&graph)?;
    assert_eq!(table(&summary), ["first 0 0 0 3 0", "second 2 0 0 1 0"]);
    assert!(summary.is_complete());
    Ok(())
}

#[test]
fn what_is_not_in_the_graph_cannot_be_asked_for() -> Result {
    let (mut fixture, graph) = flaky()?;
    let other = QuantumId::from_uuid(Uuid::from_u128(7));
    fixture.selection.quanta = vec![other];
    let refused = |fixture: &Fixture| -> Result<RunError> {
        Ok(fixture.try_run(&graph, &mut NoObserver)?.err().ok_or("it is refused")?)
    };
    let expected = "there is no quantum 00000000-0000-0000-0000-000000000007 in the graph";
    assert_eq!(refused(&fixture)?.to_string(), expected);
    fixture.selection = Selection { quanta: Vec::new(), tasks: vec![TaskLabel::new("third")?] };
    let expected = "there is no task `third` in the pipeline; there are: `first`, `second`";
    assert_eq!(refused(&fixture)?.to_string(), expected);
    assert!(fixture.journal()?.segments().is_empty(), "nothing was begun");
    Ok(())
}

#[test]
fn quanta_whose_outputs_vanished_run_again() -> Result {
    let (fixture, graph) = flaky()?;
    std::fs::remove_file(fixture.root.join("broken"))?;
    fixture.run(&graph)?;
    let journal = fixture.journal()?;
    let key = |n: usize| -> Result<_> {
        let quantum = graph.quantum(graph.quanta().nth(n).ok_or("six")?).id;
        match journal.quantum(quantum).and_then(|q| q.last()).map(|f| &f.outcome) {
            Some(Outcome::Succeeded { outputs }) => Ok(outputs[0].key.clone()),
            other => Err(format!("{other:?}").into()),
        }
    };
    fixture.datastore.unstore([&key(0)?])?;
    let cut = fixture.datastore.local_path(&key(4)?).ok_or("local")?;
    std::fs::OpenOptions::new().write(true).open(cut)?.set_len(1)?;
    let summary = fixture.run(&graph)?;
    assert_eq!(summary.vanished, 2);
    // The second of the first too: what it was made from has been made again.
    assert_eq!(table(&summary), ["first 1 0 0 2 0", "second 2 0 0 1 0"]);
    assert_eq!(fixture.outputs(&graph)?.len(), 6, "and all can be read");
    Ok(())
}

#[test]
fn a_cut_off_attempt_counts() -> Result {
    let (fixture, graph) = flaky()?;
    std::fs::remove_file(fixture.root.join("broken"))?;
    let quantum = graph.quantum(graph.quanta().next().ok_or("six")?).id;
    let dir = layout::journal_dir(&fixture.root);
    let mut writer =
        crate::JournalWriter::create(&dir, opening(), &process(), Tai::from_nanos(0), None)?;
    writer.start(quantum, 1);
    writer.append()?;
    drop(writer);
    let status = fixture.status(&graph)?;
    assert_eq!(status.tasks()[0].started, 1);
    assert!(fixture.run(&graph)?.is_complete());
    assert_eq!(fixture.journal()?.quantum(quantum).map(|q| q.attempts), Some(2));
    Ok(())
}

#[test]
fn a_damaged_journal_stops_the_run() -> Result {
    let (fixture, graph) = flaky()?;
    fixture.run(&graph)?;
    let path = layout::journal_dir(&fixture.root).join("1.jsonl");
    let mut bytes = std::fs::read(&path)?;
    let line_3 = bytes.iter().enumerate().filter(|(_, b)| **b == b'\n').nth(1).ok_or("lines")?.0;
    bytes[line_3 + 40] ^= 1;
    std::fs::remove_file(&path)?;
    std::io::Write::write_all(&mut std::fs::File::create(&path)?, &bytes)?;
    match fixture.try_run(&graph, &mut NoObserver)? {
        Err(RunError::Journal { source, .. }) => {
            assert!(source.to_string().starts_with(&format!("{path}:3: ")), "{source}");
        }
        other => return Err(format!("{other:?}").into()),
    }
    Ok(())
}

#[test]
fn a_journal_of_another_opening_is_refused() -> Result {
    let (fixture, graph) = flaky()?;
    let other = OpeningId::from_uuid(Uuid::from_u128(9));
    let dir = layout::journal_dir(&fixture.root);
    drop(crate::JournalWriter::create(&dir, other, &process(), Tai::from_nanos(0), None)?);
    let outcome = fixture.try_run(&graph, &mut NoObserver)?;
    assert!(matches!(outcome, Err(RunError::Journal { .. })), "{outcome:?}");
    Ok(())
}
