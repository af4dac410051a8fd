//! `benches/side_by_side.sh`: the same work by the Python `daf_butler` and by Pantler, on
//! the same files, alternating. Python's parts are in `side_by_side.py` and, for a pipeline,
//! `side_by_side_pipeline.py`.
//!
//! Both are used as libraries, in one process for each round, so that the start of
//! Python does not count but for `start`, which is the program.
#![allow(clippy::print_stdout, reason = "a bench shows what it measured")]

mod bare;
mod frames;
mod measure;
mod side_by_side_pipeline;
mod survey;

use std::{
    collections::BTreeMap,
    fs::File,
    io::Write as _,
    process::{Command, Stdio},
    sync::Arc,
    time::Instant,
};

use camino::{Utf8Path, Utf8PathBuf};
use pantler::{
    butler::request::{IngestFile, IngestRequest, NoProgress, RemoveRequest},
    core::{DatasetType, DatasetTypeName, TransactionName, changes::Change},
    direct::DirectButler,
    registry::DatasetQuery,
};

use crate::measure::{Fault, expect, median, places, settle};

const VISITS: i64 = 500;
/// Files ingested, listed and deleted.
const FILES: usize = 2_000;
/// Datasets put one by one, and read.
const SINGLES: usize = 200;
const ROUNDS: usize = 7;

/// What is shown: the part, and how often it is done in a round.
const PARTS: [(&str, usize); 7] = [
    ("put", SINGLES),
    ("ingest", FILES),
    ("get", SINGLES),
    ("query", FILES),
    ("delete", FILES),
    ("start", 1),
    ("start and list collections", 1),
];

/// Seconds of each part.
type Times = BTreeMap<String, f64>;

fn main() -> Result<(), Fault> {
    let Some(bin) = std::env::var_os("SIDE_BY_SIDE_PYTHON").and_then(|bin| bin.into_string().ok())
    else {
        println!("side by side: skipped, it is started by benches/side_by_side.sh");
        return Ok(());
    };
    let bin = Utf8PathBuf::from(bin);
    side_by_side_pipeline::compare(&bin)?;
    for place in places() {
        let mut rounds: Vec<(Times, Times)> = Vec::new();
        for round in 0..=ROUNDS {
            let (python, ours);
            if round % 2 == 0 {
                python = of_python(&bin, &place.folder()?.path)?;
                ours = of_pantler(&place.folder()?.path)?;
            } else {
                ours = of_pantler(&place.folder()?.path)?;
                python = of_python(&bin, &place.folder()?.path)?;
            }
            // The first one warms up.
            if round > 0 {
                rounds.push((python, ours));
            }
        }
        println!("{}: medians of {ROUNDS} rounds", place.name);
        println!("| work | daf_butler | Pantler | ratio |");
        println!("| --- | --- | --- | --- |");
        for (part, count) in PARTS {
            let column = |of: &dyn Fn(&(Times, Times)) -> f64| {
                median(&mut rounds.iter().map(of).collect::<Vec<_>>())
            };
            let python = column(&|(python, _)| python[part]);
            let ours = column(&|(_, ours)| ours[part]);
            let ratio = column(&|(python, ours)| python[part] / ours[part]);
            println!("| {part} | {} | {} | {ratio:.0} |", rate(python, count), rate(ours, count));
        }
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "it is shown")]
fn rate(seconds: f64, count: usize) -> String {
    if count == 1 {
        format!("{:.1} ms", seconds * 1e3)
    } else {
        format!("{:.0}/s", count as f64 / seconds)
    }
}

/// JSON files, with names in the order of the data IDs.
fn sources(folder: &Utf8Path, files: usize) -> Result<Vec<Utf8PathBuf>, Fault> {
    let folder = folder.join("sources");
    std::fs::create_dir(&folder)?;
    let mut sources = Vec::with_capacity(files);
    for n in 0..files {
        let path = folder.join(format!("{n:05}.json"));
        let text = format!("{{\"number\": {n}, \"text\": \"{}\"}}", "x".repeat(960));
        File::create_new(&path)?.write_all(text.as_bytes())?;
        sources.push(path);
    }
    settle(&folder)?;
    Ok(sources)
}

fn of_python(bin: &Utf8Path, folder: &Utf8Path) -> Result<Times, Fault> {
    sources(folder, FILES)?;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/side_by_side.py");
    let out = Command::new(bin.join("python"))
        .args([script, folder.as_str(), &SINGLES.to_string()])
        .stderr(Stdio::inherit())
        .output()?;
    expect("the Python butler succeeds", &out.status.success(), &true)?;
    let mut times: Times = serde_json::from_slice(&out.stdout)?;
    let butler = bin.join("butler");
    let repository = folder.join("repo");
    times.insert("start".to_owned(), seconds(Command::new(&butler).arg("--help"))?);
    let list = seconds(Command::new(&butler).args(["query-collections", repository.as_str()]))?;
    times.insert("start and list collections".to_owned(), list);
    Ok(times)
}

fn seconds(command: &mut Command) -> Result<f64, Fault> {
    let begin = Instant::now();
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status()?;
    let took = begin.elapsed().as_secs_f64();
    expect("the program succeeds", &status.success(), &true)?;
    Ok(took)
}

fn of_pantler(folder: &Utf8Path) -> Result<Times, Fault> {
    let repository = folder.join("repo");
    let sources = sources(folder, FILES)?;
    let butler = survey::repository(&repository, VISITS)?;
    let run = survey::run()?;
    let file = survey::image(&butler)?;
    let single = Arc::new(DatasetType { name: DatasetTypeName::new("single")?, ..(*file).clone() });
    let change = [Change::EnsureDatasetType(Arc::clone(&single))];
    let now = butler.environment().clock.now();
    butler.registry().write(|writer| writer.apply(&change, now))?;
    let data_ids = survey::data_ids(&file, VISITS)?;
    let read = |path: &Utf8PathBuf| std::fs::read(path);
    let contents = sources.iter().take(SINGLES).map(read).collect::<Result<Vec<_>, _>>()?;
    settle(folder)?;
    let mut times = Times::new();

    let begin = Instant::now();
    for (content, data_id) in contents.iter().zip(&data_ids) {
        butler.put(content, &single.name, data_id, &run)?;
    }
    note(&mut times, "put", begin);

    let one = |(data_id, source)| IngestFile::one(Arc::clone(&file), data_id, source);
    let files = data_ids.iter().cloned().zip(sources).map(one).collect();
    let name = TransactionName::new("bench/ingest")?;
    let request = IngestRequest::new(name, run.clone(), files);
    let begin = Instant::now();
    let report = butler.ingest(&request, &NoProgress)?;
    note(&mut times, "ingest", begin);
    expect("ingested", &report.stored, &FILES)?;

    let begin = Instant::now();
    for (content, data_id) in contents.iter().zip(&data_ids) {
        let row = butler
            .registry()
            .read(|reader| reader.dataset_by_key(&single.name, &run, data_id))?
            .ok_or("it was put")?;
        expect("content", &butler.get(&row)?.as_ref(), &Some(content))?;
    }
    note(&mut times, "get", begin);

    let query = DatasetQuery {
        dataset_types: Some(vec![file.name.clone()]),
        runs: Some(vec![run]),
        ..DatasetQuery::default()
    };
    let begin = Instant::now();
    let rows = butler.query_datasets(&query)?;
    note(&mut times, "query", begin);
    expect("rows", &rows.len(), &FILES)?;

    delete(&butler, report.ids, &mut times)?;
    survey::check_clean(&butler)?;
    drop(butler);
    let program = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pantler"));
        command.env_clear();
        command
    };
    times.insert("start".to_owned(), seconds(program().arg("--help"))?);
    let list = ["--repo", repository.as_str(), "query", "collections"];
    times.insert("start and list collections".to_owned(), seconds(program().args(list))?);
    Ok(times)
}

fn delete(
    butler: &DirectButler,
    datasets: Vec<pantler::core::DatasetId>,
    times: &mut Times,
) -> Result<(), Fault> {
    let request = RemoveRequest { name: None, datasets, purge: true, force: false };
    let begin = Instant::now();
    let report = butler.remove_datasets(&request)?;
    note(times, "delete", begin);
    expect("deleted", &report.datasets, &FILES)
}

fn note(times: &mut Times, part: &str, begin: Instant) {
    times.insert(part.to_owned(), begin.elapsed().as_secs_f64());
}
