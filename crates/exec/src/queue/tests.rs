use super::*;

/// 0 → 2, 1 → 2, 2 → 3, 1 → 4
const EDGES: [(u32, u32); 4] = [(0, 2), (1, 2), (2, 3), (1, 4)];

#[test]
fn a_quantum_is_ready_when_all_upstream_succeeded() {
    let mut queue = Queue::new(5, &EDGES, [], |_| true);
    assert_eq!(queue.ready(), 2);
    assert_eq!((queue.dequeue(), queue.dequeue(), queue.dequeue()), (Some(0), Some(1), None));
    assert_eq!(queue.finish(0, Ended::Succeeded), 0);
    assert_eq!(queue.finish(1, Ended::Succeeded), 2);
    assert_eq!((queue.dequeue(), queue.dequeue()), (Some(2), Some(4)), "both are at depth 1");
    assert_eq!(queue.finish(2, Ended::Succeeded), 1);
    assert_eq!(queue.dequeue(), Some(3));
    queue.finish(3, Ended::Succeeded);
    queue.finish(4, Ended::Succeeded);
    assert_eq!(queue.counts(), Counts { succeeded: 5, ..Counts::default() });
}

#[test]
fn deeper_quanta_go_first() {
    let mut queue = Queue::new(4, &[(0, 3)], [], |_| true);
    assert_eq!(queue.dequeue(), Some(0));
    queue.finish(0, Ended::Succeeded);
    assert_eq!(queue.dequeue(), Some(3), "before 1 and 2");
}

#[test]
fn a_failure_blocks_only_what_is_downstream() {
    let mut queue = Queue::new(5, &EDGES, [], |_| true);
    queue.dequeue();
    queue.dequeue();
    queue.finish(0, Ended::Failed);
    assert_eq!(queue.finish(1, Ended::Succeeded), 1);
    assert_eq!(queue.dequeue(), Some(4));
    assert_eq!(queue.dequeue(), None);
    queue.finish(4, Ended::Succeeded);
    assert_eq!(queue.counts(), Counts { succeeded: 2, failed: 1, blocked: 2, ..Counts::default() });
    assert_eq!(queue.standing(3), Standing::Blocked);
}

#[test]
fn finished_quanta_are_skipped() {
    let queue = Queue::new(5, &EDGES, [0, 1, 2], |_| true);
    assert_eq!(queue.counts(), Counts { skipped: 3, ready: 2, ..Counts::default() });
    let queue = Queue::new(5, &EDGES, 0..5, |_| true);
    assert_eq!(queue.counts(), Counts { skipped: 5, ..Counts::default() });
}

#[test]
fn a_quantum_that_runs_again_does_not_disturb_what_read_its_outputs_before() {
    // 0 runs again (its outputs vanished); 2 succeeded before, 3 did not.
    let mut queue = Queue::new(5, &EDGES, [1, 2], |_| true);
    assert_eq!((queue.dequeue(), queue.dequeue(), queue.dequeue()), (Some(3), Some(4), Some(0)));
    queue.finish(0, Ended::Failed);
    queue.finish(3, Ended::Succeeded);
    queue.finish(4, Ended::Failed);
    assert_eq!(queue.counts(), Counts { skipped: 2, succeeded: 1, failed: 2, ..Counts::default() });
}

#[test]
fn what_is_given_back_can_run_again() {
    let mut queue = Queue::new(1, &[], [], |_| true);
    assert_eq!(queue.dequeue(), Some(0));
    queue.give_back(0);
    assert_eq!(queue.standing(0), Standing::Ready);
    assert_eq!(queue.dequeue(), Some(0));
}

#[test]
fn only_what_is_meant_runs() {
    let mut queue = Queue::new(5, &EDGES, [1], |q| q != 2);
    let mut ran = Vec::new();
    while let Some(q) = queue.dequeue() {
        ran.push(q);
        queue.finish(q, Ended::Succeeded);
    }
    assert!(!ran.contains(&2) && !ran.contains(&1), "{ran:?}");
    assert_eq!(queue.standing(2), Standing::Excluded);
    let counts = queue.counts();
    assert_eq!((counts.excluded, counts.skipped, counts.succeeded), (1, 1, ran.len()));
    assert_eq!(counts.waiting + ran.len() + 2, 5);
}

#[test]
fn what_runs_elsewhere_frees_what_waits_for_it_here() {
    // 0 and 2 are another runner's, 3 is ours, and 1 and 4 nobody's.
    let place = |q| match q {
        0 | 2 => Place::Elsewhere,
        3 => Place::Here,
        _ => Place::Nowhere,
    };
    let queue = || Queue::beside(5, &EDGES, [], place);
    let mut here = queue();
    assert_eq!((here.ready(), here.is_waiting()), (0, true));
    assert_eq!(here.awaited(Standing::Elsewhere, |_| false), [0, 2]);
    assert_eq!(here.awaited(Standing::Excluded, |_| false), [1]);
    assert!(here.finish_elsewhere(0, Ended::Succeeded));
    assert_eq!(here.awaited(Standing::Elsewhere, |_| false), [2]);
    assert!(here.finish_elsewhere(2, Ended::Succeeded));
    assert_eq!(here.dequeue(), Some(3));
    assert!(!here.finish_elsewhere(3, Ended::Succeeded), "it runs here");
    here.finish(3, Ended::Succeeded);
    assert!(here.awaited(Standing::Elsewhere, |_| false).is_empty());

    let mut failed = queue();
    assert!(failed.finish_elsewhere(0, Ended::Failed));
    assert_eq!((failed.standing(2), failed.standing(3)), (Standing::Blocked, Standing::Blocked));

    let mut died = queue();
    died.place(0, Place::Here);
    assert_eq!(died.dequeue(), Some(0));
    died.place(2, Place::Nowhere);
    assert_eq!(died.standing(2), Standing::Excluded);
    died.place(2, Place::Elsewhere);
    assert_eq!(died.awaited(Standing::Elsewhere, |_| false), [2]);
    assert!(died.awaited(Standing::Excluded, |_| false).contains(&1));
}

#[test]
fn what_is_ours_and_elsewhere_is_awaited() {
    let queue = Queue::beside(5, &EDGES, [1], |_| Place::Elsewhere);
    assert!(queue.awaited(Standing::Elsewhere, |_| false).is_empty());
    assert_eq!(queue.awaited(Standing::Elsewhere, |q| q != 4), [0, 2, 3]);
}
