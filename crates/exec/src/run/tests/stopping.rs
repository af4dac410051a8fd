use std::time::{Duration, Instant};

use super::*;
use crate::ObservedQuantum;

/// Asks to stop, so often, when so many commands have said that they are ready.
struct StopWhenReady<'a> {
    fixture: &'a Fixture,
    times: u32,
    ready: usize,
}

impl Observer for StopWhenReady<'_> {
    fn quantum_started(&mut self, _: &ObservedQuantum<'_>) {
        let (stop, times) = (self.fixture.stop.clone(), std::mem::take(&mut self.times));
        let (root, ready) = (self.fixture.root.clone(), self.ready);
        std::thread::spawn(move || {
            let count = || {
                let entries = root.read_dir_utf8().expect("it is there").flatten();
                entries.filter(|entry| entry.file_name().starts_with("ready.")).count()
            };
            let since = Instant::now();
            while times > 0 && count() < ready && since.elapsed() < Duration::from_secs(30) {
                std::thread::sleep(Duration::from_millis(5));
            }
            (0..times).for_each(|_| stop.request());
        });
    }
}

/// Runs commands that last for a minute; returns how long it took to stop them.
fn stop_while_running(before: &str, times: u32) -> Result<(Fixture, QuantumGraph, Duration)> {
    let fixture = Fixture::new()?;
    let script = format!("{before} touch {}/ready.$$; sleep 60", fixture.root);
    let graph =
        fixture.graph(&format!("  t: {{dimensions: [item], command: [sh, -c, '{script}']}}\n"))?;
    let since = Instant::now();
    let mut observer = StopWhenReady { fixture: &fixture, times, ready: 2 };
    let summary = fixture.try_run(&graph, &mut observer)??;
    assert!(summary.stopped);
    assert_eq!(table(&summary), ["t 0 0 0 0 3"]);
    Ok((fixture, graph, since.elapsed()))
}

#[test]
fn commands_are_ended_and_run_again_next_time() -> Result {
    let (mut fixture, graph, took) = stop_while_running("", 1)?;
    assert!(took < Duration::from_secs(5), "{took:?}: they got SIGTERM");
    let status = fixture.status(&graph)?;
    assert_eq!((status.tasks()[0].started, status.tasks()[0].built), (2, 1));
    assert!(fixture.journal()?.segments()[0].sealed);
    fixture.stop = StopFlag::new();
    fixture.jobs = 3;
    let mut observer = StopWhenReady { fixture: &fixture, times: 1, ready: 5 };
    fixture.try_run(&graph, &mut observer)??;
    assert_eq!(fixture.status(&graph)?.tasks()[0].started, 3);
    Ok(())
}

#[test]
fn commands_that_ignore_sigterm_are_killed_at_the_second_request() -> Result {
    let (_, _, took) = stop_while_running("trap \"\" TERM;", 2)?;
    assert!(took < Duration::from_secs(5), "{took:?}");
    Ok(())
}

#[test]
fn commands_that_ignore_sigterm_are_killed_after_a_while() -> Result {
    let (_, _, took) = stop_while_running("trap \"\" TERM;", 1)?;
    assert!(took > Duration::from_secs(5) && took < Duration::from_secs(20), "{took:?}");
    Ok(())
}

#[test]
fn a_rust_task_in_flight_ends_and_nothing_starts() -> Result {
    let mut fixture = Fixture::new()?;
    fixture.jobs = 1;
    let stop = fixture.stop.clone();
    fixture.tasks.register_fn("t", move |quantum| {
        stop.request();
        while !quantum.is_stopping() {
            std::thread::sleep(Duration::from_millis(1));
        }
        quantum.write("o", b"done")?;
        Ok(())
    });
    let graph = fixture.graph(
        "  t: {dimensions: [item], outputs: {o: {type: o, storage_class: Text}}, task: t}\n",
    )?;
    let summary = fixture.run(&graph)?;
    assert!(summary.stopped);
    assert_eq!(table(&summary), ["t 1 0 0 0 2"]);
    assert_eq!(fixture.outputs(&graph)?.len(), 1);
    Ok(())
}

#[test]
fn a_run_that_is_asked_before_it_begins_runs_nothing() -> Result {
    let fixture = Fixture::new()?;
    fixture.stop.request();
    let graph = fixture.graph("  t: {dimensions: [item], command: [sh]}\n")?;
    let summary = fixture.run(&graph)?;
    assert!(summary.stopped);
    assert_eq!(table(&summary), ["t 0 0 0 0 3"]);
    Ok(())
}
