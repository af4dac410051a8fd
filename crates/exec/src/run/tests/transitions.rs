//! Quanta that are accepted, poisoned and reset between runs.

use pantler_core::{ArtifactKey, QuantumId, TaskLabel};
use pantler_graph::QuantumIndex;

use super::*;
use crate::{
    QuantumStatus, accepted_failures, failures,
    transitions::{
        ApplyRequest, Target, Transition, TransitionError, TransitionPlan, apply, find_outputs,
        plan, select,
    },
};

/// Fails for item 1 as long as `broken` is there; all are read by `total`.
const WORK: &str = "
  first: {dimensions: [item], outputs: {o: {type: o, storage_class: Text}}, command: [sh, -c, 'echo at $2; test $2 != 1 -o ! -e ROOT/broken && echo $2 > $1', sh, '{outputs.o}', '{data_id.item}']}
  second: {dimensions: [item], inputs: {i: o}, outputs: {p: {type: p, storage_class: Text}}, command: [cp, '{inputs.i}', '{outputs.p}']}
  total: {dimensions: [], inputs: {all: {type: o, multiple: true}}, outputs: {t: {type: t, storage_class: Text}}, command: [sh, -c, 'out=$1; shift; cat $* > $out', sh, '{outputs.t}', '{inputs.all}']}
";

fn work(broken: bool) -> Result<(Fixture, QuantumGraph)> {
    let fixture = Fixture::new()?;
    if broken {
        std::fs::File::create(fixture.root.join("broken"))?;
    }
    let graph = fixture.graph(&WORK.replace("ROOT", fixture.root.as_str()))?;
    Ok((fixture, graph))
}

fn index(graph: &QuantumGraph, n: usize) -> QuantumIndex {
    graph.quanta().nth(n).expect("seven quanta")
}

fn id(graph: &QuantumGraph, n: usize) -> QuantumId {
    graph.quantum_id(index(graph, n))
}

impl Fixture {
    fn planned(
        &self,
        graph: &QuantumGraph,
        transition: Transition,
        target: &Target,
    ) -> Result<TransitionPlan, TransitionError> {
        let journal = self.journal().expect("it reads");
        let quanta = select(graph, &journal, transition, target)?;
        let mut plan = plan(graph, &journal, transition, &quanta)?;
        find_outputs(&mut plan, graph, &journal, &self.datastore, &self.prefix, opening())?;
        Ok(plan)
    }

    /// Does it, and says what changed: positions in the graph.
    fn change(
        &self,
        graph: &QuantumGraph,
        transition: Transition,
        target: &Target,
    ) -> Result<Vec<usize>> {
        let lock = RunnerLock::acquire(&self.root, &process(), false)?;
        let plan = self.planned(graph, transition, target)?;
        let request = ApplyRequest {
            lock: &lock,
            graph,
            journal: &self.journal()?,
            datastore: &self.datastore,
            opening: opening(),
            clock: &Ticks::default(),
            process: &process(),
        };
        apply(&plan, &request)?;
        Ok(plan.changes.iter().map(|change| change.index.get()).collect())
    }

    fn standings(&self, graph: &QuantumGraph) -> Result<Vec<QuantumStatus>> {
        let status = self.status(graph)?;
        Ok(graph.quanta().map(|q| status.quantum(q)).collect())
    }

    fn segments(&self) -> Result<usize> {
        Ok(self.journal()?.segments().len())
    }
}

fn these(graph: &QuantumGraph, quanta: &[usize]) -> Target {
    Target::Quanta(quanta.iter().map(|n| id(graph, *n)).collect())
}

const FAILED: Target = Target::Matching { task: None, failed: true };

use QuantumStatus::{Blocked as X, Built as B, Failed as F, Succeeded as S};

#[test]
fn downstream_runs_without_what_an_accepted_quantum_did_not_make() -> Result {
    let (fixture, graph) = work(true)?;
    fixture.run(&graph)?;
    assert_eq!(fixture.standings(&graph)?, [S, F, S, S, X, S, X]);
    assert_eq!(fixture.change(&graph, Transition::Accept, &FAILED)?, [1]);
    assert_eq!(fixture.standings(&graph)?, [S, S, S, S, B, S, B]);

    let summary = fixture.run(&graph)?;
    assert_eq!(table(&summary), ["first 0 0 0 3 0", "second 0 1 0 2 0", "total 1 0 0 0 0"]);
    assert_eq!(reasons(&summary), ["the input `i` cannot be read: the input `i` is not there"]);
    let total = fixture.outputs(&graph)?;
    assert_eq!(
        total.iter().find(|(k, _)| k.starts_with("total")).map(|(_, v)| v.as_str()),
        Some("0\n2\n")
    );

    assert_eq!(fixture.change(&graph, Transition::Accept, &these(&graph, &[4]))?, [4]);
    let status = fixture.status(&graph)?;
    assert!(status.is_complete());
    let accepted: Vec<_> = status.tasks().iter().map(|t| (t.succeeded, t.accepted)).collect();
    assert_eq!(accepted, [(3, 1), (3, 1), (1, 0)]);
    let journal = fixture.journal()?;
    let remembered = accepted_failures(&graph, &journal);
    let remembered: Vec<_> = remembered.iter().map(|f| f.reason.to_string()).collect();
    assert_eq!(remembered[0], "the command ended with exit status 1", "it is remembered");
    assert_eq!((remembered.len(), failures(&graph, &journal).len()), (2, 0));

    let before = fixture.segments()?;
    assert_eq!(fixture.change(&graph, Transition::Accept, &these(&graph, &[1, 4]))?, [0; 0]);
    assert_eq!(fixture.segments()?, before, "again does nothing");
    let summary = fixture.run(&graph)?;
    assert_eq!((summary.is_complete(), summary.runner), (true, None));
    Ok(())
}

#[test]
fn a_reset_of_what_was_accepted_takes_back_what_ran_without_it() -> Result {
    let (fixture, graph) = work(true)?;
    fixture.run(&graph)?;
    fixture.change(&graph, Transition::Accept, &FAILED)?;
    fixture.run(&graph)?;
    std::fs::remove_file(fixture.root.join("broken"))?;
    fixture.change(&graph, Transition::Reset, &these(&graph, &[1]))?;
    assert_eq!(fixture.standings(&graph)?, [S, B, S, S, F, S, B]);
    let summary = fixture.run(&graph)?;
    assert_eq!(table(&summary), ["first 1 0 0 2 0", "second 1 0 0 2 0", "total 1 0 0 0 0"]);
    let outputs = fixture.outputs(&graph)?;
    assert_eq!(
        outputs.iter().find(|(k, _)| k.starts_with("total")).map(|(_, v)| v.as_str()),
        Some("0\n1\n2\n")
    );
    Ok(())
}

#[test]
fn poison_takes_everything_downstream_and_accept_gives_it_back() -> Result {
    let (fixture, graph) = work(false)?;
    fixture.run(&graph)?;
    let stored = fixture.artifacts()?;
    assert_eq!(fixture.change(&graph, Transition::Poison, &these(&graph, &[0]))?, [0, 3, 6]);
    assert_eq!(fixture.standings(&graph)?, [F, S, S, F, S, S, F]);
    let status = fixture.status(&graph)?;
    let poisoned: Vec<_> = status.tasks().iter().map(|t| (t.failed, t.poisoned)).collect();
    assert_eq!(poisoned, [(1, 1), (1, 1), (1, 1)]);
    let reasons: Vec<_> =
        failures(&graph, &fixture.journal()?).iter().map(|f| f.reason.to_string()).collect();
    assert_eq!(reasons[0], "it had succeeded, and was poisoned afterwards");
    assert_eq!(fixture.artifacts()?, stored, "outputs are kept");
    let before = fixture.segments()?;
    assert_eq!(fixture.change(&graph, Transition::Poison, &these(&graph, &[0]))?, [0; 0]);
    assert_eq!(fixture.segments()?, before, "again does nothing");

    // Upstream alone does not bring the others back.
    assert_eq!(fixture.change(&graph, Transition::Accept, &these(&graph, &[0]))?, [0]);
    assert_eq!(fixture.standings(&graph)?, [S, S, S, F, S, S, F]);
    assert_eq!(fixture.change(&graph, Transition::Accept, &FAILED)?, [3, 6]);
    assert!(fixture.status(&graph)?.is_complete());
    assert_eq!(fixture.run(&graph)?.runner, None, "their outputs are there: nothing to run");

    fixture.change(&graph, Transition::Poison, &these(&graph, &[0]))?;
    let summary = fixture.run(&graph)?;
    assert_eq!(table(&summary), ["first 1 0 0 2 0", "second 1 0 0 2 0", "total 1 0 0 0 0"]);
    assert!(fixture.status(&graph)?.tasks().iter().all(|t| t.poisoned + t.accepted == 0));
    Ok(())
}

#[test]
fn a_poison_that_was_cut_counts_for_nothing_downstream_and_is_finished() -> Result {
    let (fixture, graph) = work(false)?;
    fixture.run(&graph)?;
    fixture.change(&graph, Transition::Poison, &these(&graph, &[0]))?;
    let path = layout::journal_dir(&fixture.root).join("2.jsonl");
    let text = std::fs::read_to_string(&path)?;
    let cut = text.lines().take(2).map(str::len).sum::<usize>() + 2 + 30;
    std::fs::OpenOptions::new().write(true).open(&path)?.set_len(cut.try_into()?)?;
    assert_eq!(fixture.standings(&graph)?, [F, S, S, X, S, S, X]);
    assert_eq!(fixture.change(&graph, Transition::Poison, &these(&graph, &[0]))?, [3, 6]);
    assert_eq!(fixture.standings(&graph)?, [F, S, S, F, S, S, F]);
    Ok(())
}

#[test]
fn reset_deletes_and_downstream_runs_again() -> Result {
    let (fixture, graph) = work(false)?;
    fixture.run(&graph)?;
    let stored = fixture.artifacts()?;
    assert_eq!(fixture.change(&graph, Transition::Reset, &these(&graph, &[0]))?, [0]);
    assert_eq!(fixture.artifacts()?, stored - 1);
    assert_eq!(fixture.standings(&graph)?, [B, S, S, B, S, S, B]);
    let before = fixture.segments()?;
    assert_eq!(fixture.change(&graph, Transition::Reset, &these(&graph, &[0]))?, [0; 0]);
    assert_eq!(fixture.segments()?, before, "again does nothing");
    let summary = fixture.run(&graph)?;
    assert_eq!(table(&summary), ["first 1 0 0 2 0", "second 1 0 0 2 0", "total 1 0 0 0 0"]);
    let journal = fixture.journal()?;
    let attempts = |n| journal.quantum(id(&graph, n)).map(|history| history.attempts);
    assert_eq!((attempts(0), attempts(3)), (Some(3), Some(2)), "the reset took a number");

    let task = Some(TaskLabel::new("second")?);
    let all = Target::Matching { task, failed: false };
    assert_eq!(fixture.change(&graph, Transition::Reset, &all)?, [3, 4, 5]);
    assert_eq!(fixture.standings(&graph)?, [S, S, S, B, B, B, S]);
    Ok(())
}

#[test]
fn what_a_failed_attempt_left_whole_becomes_present() -> Result {
    let (fixture, graph) = work(true)?;
    fixture.run(&graph)?;
    let write = pantler_core::WriteId::of_quantum(opening(), 1, 1);
    let view = graph.quantum(index(&graph, 1));
    let name = &view.task.outputs[0].dataset_type.name;
    let key: ArtifactKey =
        pantler_datastore::key::dataset_key(&fixture.prefix, name, &view.data_id, &write, "txt");
    fixture.datastore.write(&key, b"left\n")?;
    let found = fixture.planned(&graph, Transition::Accept, &FAILED)?;
    assert_eq!(found.changes[0].outputs.iter().map(|o| &o.key).collect::<Vec<_>>(), [&key]);
    fixture.change(&graph, Transition::Accept, &FAILED)?;
    let summary = fixture.run(&graph)?;
    assert_eq!(table(&summary), ["first 0 0 0 3 0", "second 1 0 0 2 0", "total 1 0 0 0 0"]);
    assert_eq!(fixture.outputs(&graph)?["second item=1 p"], "left\n");

    fixture.change(&graph, Transition::Reset, &these(&graph, &[1]))?;
    assert_eq!(fixture.datastore.size(&key)?, None, "a reset deletes it");
    Ok(())
}

#[test]
fn what_cannot_be_is_refused_and_named() -> Result {
    let (fixture, graph) = work(true)?;
    fixture.run(&graph)?;
    let refused = |transition, target: &Target| {
        let found = fixture.planned(&graph, transition, target);
        found.map(|_| ()).map_err(|error| error.to_string())
    };
    let name = |n: usize| {
        let view = graph.quantum(index(&graph, n));
        format!("{} {} ({})", view.task.label, view.data_id, view.id)
    };
    assert_eq!(
        refused(Transition::Accept, &these(&graph, &[1, 2])),
        Err(format!("{} cannot be accepted: it did not fail, it is succeeded", name(2)))
    );
    assert_eq!(
        refused(Transition::Accept, &these(&graph, &[6])),
        Err(format!("{} cannot be accepted: it did not fail, it is blocked", name(6)))
    );
    assert_eq!(
        refused(Transition::Poison, &these(&graph, &[1])),
        Err(format!("{} cannot be poisoned: it did not succeed, it is failed", name(1)))
    );
    assert_eq!(refused(Transition::Reset, &these(&graph, &[6])), Ok(()), "it is built already");
    let nobody = QuantumId::from_uuid(Uuid::from_u128(9));
    for transition in [Transition::Accept, Transition::Poison, Transition::Reset] {
        assert_eq!(
            refused(transition, &Target::Quanta(vec![nobody])),
            Err(format!("the graph has no quantum {nobody}"))
        );
    }
    let task = Some(TaskLabel::new("third")?);
    assert_eq!(
        refused(Transition::Reset, &Target::Matching { task, failed: false }),
        Err("the pipeline has no task `third`; it has: first, second, total".to_owned())
    );
    Ok(())
}
