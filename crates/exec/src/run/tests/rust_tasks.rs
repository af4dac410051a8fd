use std::{fmt::Write as _, sync::atomic::AtomicUsize};

use super::*;
use crate::{ObservedQuantum, TaskCounts, TaskError, read_log};

const SQUARES: &str = "
  square: {dimensions: [item], inputs: {n: number}, outputs: {s: {type: square, storage_class: Text}}, task: square}
  sum: {dimensions: [], inputs: {all: {type: square, multiple: true}}, outputs: {s: {type: sum, storage_class: Text}}, task: sum}
";

/// Three numbers, the second of them in the middle of a shared artifact.
fn numbers(fixture: &mut Fixture) -> Result {
    fixture.numbers.push((1, fixture.store("in@7/number/1~x.txt", b"10")?));
    let shared = fixture.store("in@7/number/shared~x.txt", b"xx20yy")?;
    let checksum = pantler_core::Checksum::of(b"20");
    fixture.numbers.push((2, InputArtifact { offset: Some(2), size: 2, checksum, ..shared }));
    fixture.numbers.push((3, fixture.store("in@7/number/3~x.txt", b"30")?));
    Ok(())
}

fn squares() -> Result<Fixture> {
    let mut fixture = Fixture::new()?;
    numbers(&mut fixture)?;
    fixture.tasks.register_fn("square", |quantum| {
        let n: i64 = String::from_utf8(quantum.read("n")?)?.parse()?;
        quantum.log(format!("{} in {:?}", quantum.data_id(), quantum.config("unit")));
        quantum.write("s", (n * n).to_string().as_bytes())?;
        Ok(())
    });
    fixture.tasks.register_fn("sum", |quantum| {
        let mut text = String::new();
        for (data_id, content) in quantum.read_all("all")? {
            writeln!(text, "{data_id}: {}", String::from_utf8(content)?)?;
        }
        quantum.write("s", text.as_bytes())?;
        Ok(())
    });
    Ok(fixture)
}

#[derive(Default)]
struct Recorder(Vec<String>);

impl Observer for Recorder {
    fn on_start(&mut self, tasks: &[TaskCounts]) {
        self.0.extend(tasks.iter().map(|task| format!("{} {}", task.task, task.counts.total)));
    }
    fn quantum_started(&mut self, quantum: &ObservedQuantum<'_>) {
        self.0.push(format!("start {} {}", quantum.task(), quantum.data_id()));
    }
    fn quantum_finished(
        &mut self,
        quantum: &ObservedQuantum<'_>,
        failure: Option<&crate::FailureReason>,
    ) {
        self.0.push(format!("end {} {} {}", quantum.task(), quantum.data_id(), failure.is_some()));
    }
}

#[test]
fn inputs_become_outputs() -> Result {
    let fixture = squares()?;
    let graph = fixture.graph(SQUARES)?;
    let mut recorder = Recorder::default();
    let summary = fixture.try_run(&graph, &mut recorder)??;
    assert_eq!(table(&summary), ["square 3 0 0 0 0", "sum 1 0 0 0 0"]);
    assert!(summary.is_complete() && !summary.stopped && summary.runner == Some(1));
    let outputs = fixture.outputs(&graph)?;
    assert_eq!(outputs["sum {} s"], "item=1: 100\nitem=2: 400\nitem=3: 900\n");
    assert_eq!(outputs.len(), 4);
    assert_eq!(fixture.artifacts()?, 4, "and nothing else lies there");
    assert_eq!(recorder.0[..2], ["square 3", "sum 1"]);
    assert_eq!(recorder.0.len(), 2 + 2 * 4);
    assert_eq!(recorder.0.last().map(String::as_str), Some("end sum {} false"));
    assert!(fixture.status(&graph)?.is_complete());
    let journal = fixture.journal()?;
    assert!(journal.segments()[0].sealed);
    for index in graph.quanta() {
        let view = graph.quantum(index);
        let finish = journal.quantum(view.id).and_then(|q| q.last()).ok_or("it finished")?;
        assert!(finish.started < finish.ended);
        match finish.log {
            None => assert_eq!(view.task.label.as_str(), "sum", "which says nothing"),
            Some(slice) => {
                let said = String::from_utf8(read_log(&fixture.root, &slice)?)?;
                assert_eq!(said, format!("{} in Some(String(\"C\"))\n", view.data_id));
            }
        }
    }
    Ok(())
}

#[test]
fn a_damaged_input_fails_its_quantum_only() -> Result {
    let mut fixture = squares()?;
    let wrong = pantler_core::Checksum::of(b"other");
    fixture.numbers[0].1.checksum = wrong;
    let graph = fixture.graph(SQUARES)?;
    let summary = fixture.run(&graph)?;
    assert_eq!(table(&summary), ["square 2 1 0 0 0", "sum 0 0 1 0 0"]);
    let reason = &reasons(&summary)[0];
    assert!(
        reason.starts_with("the input `n` cannot be read: artifact in@7/number/1~x.txt is corrupt"),
        "{reason}"
    );
    Ok(())
}

#[test]
fn failures_and_panics_leave_no_outputs() -> Result {
    let mut fixture = Fixture::new()?;
    fixture.items = 5;
    fixture.tasks.register_fn("bad", |quantum| {
        quantum.write("a", b"a")?;
        match quantum.data_id().values()[0].to_string().as_str() {
            "0" => return Err(TaskError::new("no zero")),
            "1" => panic!("not one"),
            "2" => return Ok(()),
            "3" => quantum.write("a", b"again")?,
            _ => quantum.write("c", b"c")?,
        }
        Ok(())
    });
    let graph = fixture.graph(
        "  bad: {dimensions: [item], outputs: {a: {type: a, storage_class: Text}, b: {type: b, storage_class: Text}}, task: bad}\n",
    )?;
    let summary = fixture.run(&graph)?;
    assert_eq!(table(&summary), ["bad 0 5 0 0 0"]);
    let mut reasons = reasons(&summary);
    reasons.sort();
    assert_eq!(
        reasons,
        [
            "no zero",
            "the output `a` is written twice",
            "the output `b` was not written",
            "the task has no output `c`",
            "the task panicked: not one",
        ]
    );
    assert_eq!(fixture.artifacts()?, 0);
    Ok(())
}

#[test]
fn an_unknown_task_is_an_error_before_anything_starts() -> Result {
    let fixture = squares()?;
    let graph = fixture.graph("  t: {dimensions: [item], task: squrae}\n")?;
    let error = fixture.try_run(&graph, &mut NoObserver)?.map(|_| ()).map_err(|e| e.to_string());
    assert_eq!(
        error,
        Err("task `t` runs the Rust task \"squrae\", which is not registered; there are: square, sum".to_owned())
    );
    assert!(!layout::journal_dir(&fixture.root).exists());
    Ok(())
}

#[test]
fn a_closing_workspace_runs_nothing() -> Result {
    let fixture = squares()?;
    let graph = fixture.graph(SQUARES)?;
    std::fs::File::create(layout::closing_marker(&fixture.root))?;
    let outcome = fixture.try_run(&graph, &mut NoObserver)?;
    assert!(matches!(outcome, Err(RunError::Closing { .. })), "{outcome:?}");
    Ok(())
}

#[test]
fn scratch_is_there_when_asked_for_and_gone_afterwards() -> Result {
    let mut fixture = Fixture::new()?;
    fixture.tasks.register_fn("t", |quantum| {
        let dir = quantum.scratch()?.to_owned();
        std::fs::File::create_new(dir.join("x"))?;
        Ok(())
    });
    let graph = fixture.graph("  t: {dimensions: [item], task: t}\n")?;
    assert!(fixture.run(&graph)?.is_complete());
    assert_eq!(layout::scratch_dir(&fixture.root).read_dir_utf8()?.count(), 0);
    Ok(())
}

#[test]
fn many_quanta_run_each_once() -> Result {
    let mut fixture = Fixture::new()?;
    fixture.items = 3000;
    let ran = Arc::new(AtomicUsize::new(0));
    fixture.tasks.register_fn("t", {
        let ran = Arc::clone(&ran);
        move |quantum| {
            ran.fetch_add(1, Ordering::Relaxed);
            quantum.write("o", b"small")?;
            Ok(())
        }
    });
    let graph = fixture.graph(
        "  t: {dimensions: [item], outputs: {o: {type: o, storage_class: Text}}, task: t}\n",
    )?;
    assert!(fixture.run(&graph)?.is_complete());
    assert_eq!(ran.load(Ordering::Relaxed), 3000);
    assert!(fixture.status(&graph)?.is_complete());
    assert_eq!(fixture.artifacts()?, 3000);
    Ok(())
}

#[test]
fn a_quantum_is_a_limited_butler() -> Result {
    use pantler_butler::{AccessError, LimitedButler as _};

    let mut fixture = squares()?;
    fixture.tasks.register_fn("square", |quantum| {
        let universe = Arc::new(Universe::from_yaml(UNIVERSE)?);
        let input = quantum.input_ids("n").remove(0);
        let (_, output) = quantum.output_refs().remove(0);
        let butler = quantum.butler(universe);
        let n: i64 = String::from_utf8(butler.get(input)?)?.parse()?;
        assert_eq!(butler.get_deferred(input)?.size(), 2);
        assert!(butler.stored(input)? && !butler.stored(output.id)?);
        assert!(matches!(butler.get(output.id), Err(AccessError::Refused { .. })));
        let not_mine = pantler_core::DatasetRef { id: input, ..output.clone() };
        assert!(matches!(butler.put(&not_mine, b""), Err(AccessError::Refused { .. })));
        butler.put(&output, (n * n).to_string().as_bytes())?;
        assert!(butler.put(&output, b"again").is_err());
        Ok(())
    });
    let graph = fixture.graph(SQUARES)?;
    assert!(fixture.run(&graph)?.is_complete());
    let outputs = fixture.outputs(&graph)?;
    assert_eq!(outputs["sum {} s"], "item=1: 100\nitem=2: 400\nitem=3: 900\n");
    Ok(())
}
