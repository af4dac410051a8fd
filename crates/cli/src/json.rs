//! The documents that `--json` prints. Fields are added, never renamed or removed.

use camino::Utf8PathBuf;
use pantler_core::{
    Collection, DatasetType, DimensionRecord, Tai,
    transaction::{ClosedRow, Process, TransactionRow},
};
use pantler_direct::{
    Closed, DirectButler, Environment, Liveness, check::CheckReport, repair::RepairReport,
    vacuum::Vacuumed,
};
use pantler_exec::WorkspaceStatus;
use pantler_graph::{Explanation, Finding, LackedInput};
use pantler_registry::DatasetRow;
use pantler_workspace::{Built, Shard, ShardCommitted, WorkspaceInfo, kind::Source};
use serde_json::{Value, json};

use crate::{state::State, time};

/// Where an artifact is in the file system, absolute.
pub(crate) fn local_path(butler: &DirectButler, row: &DatasetRow) -> Option<Utf8PathBuf> {
    row.records.first().and_then(|record| butler.datastore().local_path_of(&record.location))
}

/// `query datasets`.
pub(crate) fn dataset(butler: &DirectButler, row: &DatasetRow, state: State<'_>) -> Value {
    let record = row.records.first();
    json!({
        "id": row.dataset.id,
        "dataset_type": row.dataset.dataset_type.name,
        "run": row.dataset.run,
        "data_id": row.dataset.data_id,
        "state": state.name(),
        "transaction": state.transaction(),
        "stored": record.is_some(),
        "uri": record.map(|r| &r.location),
        "path": local_path(butler, row),
        "offset": record.and_then(|r| r.offset),
        "size": record.map(|r| r.size),
        "checksum": record.map(|r| r.checksum),
        "storage_class": row.dataset.dataset_type.storage_class,
        "ingested_at": time::utc_exact(row.ingested_at),
    })
}

/// `query collections`.
pub(crate) fn collection(collection: &Collection) -> Value {
    json!({
        "name": collection.name,
        "type": collection.collection_type,
        "children": collection.children,
    })
}

/// `query dataset-types`.
pub(crate) fn dataset_type(dataset_type: &DatasetType) -> Value {
    json!({
        "name": dataset_type.name,
        "dimensions": dataset_type.dimensions.required(),
        "implied": dataset_type.dimensions.implied(),
        "storage_class": dataset_type.storage_class,
    })
}

/// `query records`.
pub(crate) fn record(record: &DimensionRecord) -> Value {
    json!({
        "element": record.element,
        "data_id": record.data_id,
        "implied": record.implied,
        "metadata": record.metadata,
    })
}

/// What is known about the process of a transaction.
pub(crate) fn liveness(environment: &Environment, process: &Process) -> &'static str {
    match environment.liveness(process) {
        Liveness::ThisProcess | Liveness::Alive => "alive",
        Liveness::Dead => "dead",
        Liveness::Unknown => "unknown",
    }
}

/// `transaction list`.
pub(crate) fn transaction(environment: &Environment, now: Tai, row: &TransactionRow) -> Value {
    json!({
        "name": row.name,
        "kind": row.kind,
        "owner": row.owner,
        "host": row.process.host,
        "pid": row.process.pid,
        "process": liveness(environment, &row.process),
        "opened_at": time::utc_exact(row.opened_at),
        "age_seconds": time::age(now, row.opened_at).as_secs(),
        "closing": row.closing,
        "attempt": row.attempt,
        "opening_id": row.opening,
        "config_version": row.config_version,
    })
}

/// A line of `history` in `transaction show`.
pub(crate) fn closed(row: &ClosedRow) -> Value {
    json!({
        "opening_id": row.opening,
        "outcome": row.closing.outcome(),
        "at": time::utc_exact(row.at),
    })
}

/// `workspace list`.
pub(crate) fn workspace(environment: &Environment, now: Tai, info: &WorkspaceInfo) -> Value {
    let mut value = transaction(environment, now, &info.row);
    if let Value::Object(fields) = &mut value {
        fields.insert("chain".to_owned(), json!(info.transaction.chain));
        fields.insert("inputs".to_owned(), json!(info.transaction.inputs));
        let pipeline = match info.transaction.source {
            Source::Graph => Some(&info.transaction.pipeline_file),
            Source::Ledger => None,
        };
        fields.insert("pipeline".to_owned(), json!(pipeline));
        fields.insert("root".to_owned(), json!(info.root));
    }
    value
}

/// `workspace status`; without a graph, `status` is `None`.
pub(crate) fn status(
    name: &str,
    root: &str,
    status: Option<&WorkspaceStatus>,
    failures: &[pantler_exec::Failure],
    accepted: &[pantler_exec::Failure],
) -> Value {
    let tasks = status.map(|status| {
        let task = |task: &pantler_exec::TaskStatus| {
            json!({
                "task": task.task,
                "total": task.total,
                "built": task.built,
                "started": task.started,
                "succeeded": task.succeeded,
                "accepted": task.accepted,
                "taken_over": task.taken_over,
                "failed": task.failed,
                "poisoned": task.poisoned,
                "blocked": task.blocked,
            })
        };
        status.tasks().iter().map(task).collect::<Vec<_>>()
    });
    let failure = |failure: &pantler_exec::Failure| {
        json!({
            "task": failure.task,
            "data_id": failure.data_id,
            "quantum": failure.quantum,
            "attempt": failure.attempt,
            "reason": failure.reason.to_string(),
        })
    };
    json!({
        "name": name,
        "root": root,
        "built": status.is_some(),
        "complete": status.is_some_and(WorkspaceStatus::is_complete),
        "tasks": tasks.unwrap_or_default(),
        "failures": failures.iter().map(failure).collect::<Vec<_>>(),
        "accepted": accepted.iter().map(failure).collect::<Vec<_>>(),
    })
}

/// `workspace commit`; `datasets` is null if that is not known any more.
pub(crate) fn committed(name: &str, closed: Closed) -> Value {
    let (before, datasets) = match closed {
        Closed::Now { stored } => (false, Some(stored)),
        Closed::Before => (true, None),
    };
    json!({"name": name, "before": before, "datasets": datasets})
}

/// A shard in `workspace commit --shard`.
pub(crate) fn committed_shard(shard: &Shard, committed: &ShardCommitted) -> Value {
    let (before, skipped, datasets) = match committed {
        ShardCommitted::Now { datasets } => (false, false, Some(*datasets)),
        ShardCommitted::Before => (true, false, None),
        ShardCommitted::Skipped(_) => (false, true, Some(0)),
    };
    json!({"shard": shard, "before": before, "skipped": skipped, "datasets": datasets})
}

/// `workspace build`.
pub(crate) fn built(name: &str, built: &Built) -> Value {
    let tasks = built.graph.counts();
    let tasks = tasks.map(|(task, quanta)| json!({"task": task.label, "quanta": quanta}));
    let left_out = built.pruned.iter().map(|pruned| {
        json!({"task": pruned.task, "reason": pruned.reason.to_string(), "quanta": pruned.count})
    });
    let skipped = built.skipped.iter().map(|own| {
        json!({
            "task": own.task,
            "collection": own.collection,
            "quanta": own.quanta,
            "incomplete": own.incomplete,
        })
    });
    let reads_part = built.reads_part.iter();
    let reads_part = reads_part.map(|(task, of)| json!({"task": task, "of": of}));
    let reusable = built.reusable.as_ref().map(|reusable| {
        let unusable = reusable.unusable.iter();
        let unusable = unusable.map(|one| json!({"run": one.run, "reason": one.reason}));
        json!({"quanta": reusable.quanta, "unusable": unusable.collect::<Vec<_>>()})
    });
    json!({
        "name": name,
        "before": built.before,
        "new": built.new,
        "quanta": built.graph.len(),
        "tasks": tasks.collect::<Vec<_>>(),
        "left_out": left_out.collect::<Vec<_>>(),
        "reads_part": reads_part.collect::<Vec<_>>(),
        "skipped": skipped.collect::<Vec<_>>(),
        "reusable": reusable,
    })
}

/// `workspace build --explain`.
pub(crate) fn explanation(explanation: &Explanation) -> Value {
    let values = explanation.data_id.0.iter();
    let data_id: serde_json::Map<String, Value> =
        values.map(|(name, value)| (name.to_string(), json!(value))).collect();
    let finding = match &explanation.finding {
        Finding::Quanta(quanta) => json!({"kind": "quanta", "quanta": quanta}),
        Finding::Incomplete { quantum, collection, missing } => json!({
            "kind": "incomplete",
            "quanta": [quantum],
            "collection": collection,
            "missing": missing,
        }),
        Finding::Skipped { collection } => json!({"kind": "skipped", "collection": collection}),
        Finding::NotMeant => json!({"kind": "not_asked_for"}),
        Finding::NoRecord { element } => json!({"kind": "no_record", "element": element}),
        Finding::NoCombination => json!({"kind": "no_combination"}),
        Finding::MissingPrerequisites(inputs) => {
            json!({"kind": "missing_prerequisites", "inputs": lacked(inputs)})
        }
        Finding::TooFew(inputs) => json!({"kind": "too_few", "inputs": lacked(inputs)}),
        Finding::Missing(inputs) => {
            let inputs = inputs.iter().map(|input| {
                json!({
                    "input": input.input,
                    "dataset_type": input.dataset_type,
                    "others": input.others,
                    "upstream": input.upstream.as_deref().map(self::explanation),
                })
            });
            json!({"kind": "missing", "inputs": inputs.collect::<Vec<_>>()})
        }
    };
    json!({"task": explanation.task, "data_id": data_id, "finding": finding})
}

fn lacked(inputs: &[LackedInput]) -> Vec<Value> {
    let lacked = |input: &LackedInput| {
        json!({
            "input": input.input,
            "dataset_type": input.dataset_type,
            "minimum": input.minimum,
            "fitting": input.fitting,
            "others": input.others,
        })
    };
    inputs.iter().map(lacked).collect()
}

/// `workspace vacuum`.
pub(crate) fn vacuumed_root(found: &Vacuumed, dry_run: bool) -> Value {
    json!({
        "root": found.path,
        "removed": !dry_run && found.failure.is_none(),
        "failure": found.failure.as_ref().map(ToString::to_string),
    })
}

/// `vacuum`.
pub(crate) fn vacuumed(found: &Vacuumed, dry_run: bool) -> Value {
    json!({
        "kind": found.kind.name(),
        "path": found.path,
        "removed": !dry_run && found.failure.is_none(),
        "failure": found.failure.as_ref().map(ToString::to_string),
    })
}

/// What `check --repair` did; a field of its document.
pub(crate) fn repair(report: &RepairReport, dry_run: bool) -> Value {
    let actions = report
        .actions
        .iter()
        .map(|a| json!({"action": a.kind.name(), "subject": a.subject, "detail": a.detail}));
    json!({
        "dry_run": dry_run,
        "quarantine": report.quarantine,
        "actions": actions.collect::<Vec<_>>(),
    })
}

/// `check`.
pub(crate) fn check(report: &CheckReport) -> Value {
    let CheckReport { findings, counts, leftover_roots, durability } = report;
    let findings: Vec<_> = findings
        .iter()
        .map(
            |f| json!({"code": f.code, "subject": f.subject, "message": f.message, "next": f.next}),
        )
        .collect();
    json!({
        "findings": findings,
        "counts": {
            "datasets": counts.datasets,
            "stored": counts.stored,
            "registered_only": counts.registered_only,
            "managed": counts.managed,
            "artifacts": counts.artifacts,
            "bytes": counts.bytes,
            "open_transactions": counts.open_transactions,
        },
        "leftover_workspace_roots": leftover_roots,
        "durability": durability,
    })
}
