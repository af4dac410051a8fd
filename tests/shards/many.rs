//! Many shards: one after the other and several at a time, and what of the graph is read for
//! one of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::{Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use camino::{Utf8Path, Utf8PathBuf};
use pantler::registry::DatasetQuery;
use pantler_testkit::{Project, Ran};
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

use super::{
    NAME, PIPELINE, build_and_run, create, ingest, ingested, sharded, shards, there, verb,
};
use crate::{
    library::{butler, collection},
    toy::{COPY, toy_with},
};

/// Builds, runs and commits these shards, each with a process of its own.
fn make(project: &Project, items: &[&str], done: &AtomicUsize) {
    for item in items {
        let shard = format!("item={item}");
        for step in ["build", "run", "commit"] {
            verb(project, step, &["--shard", &shard]).expect(0);
        }
        done.fetch_add(1, Ordering::SeqCst);
    }
}

/// What there is of each shard in the RUN, as one query sees it.
fn seen(butler: &pantler::direct::DirectButler) -> BTreeMap<String, BTreeSet<String>> {
    let query = DatasetQuery { runs: Some(vec![collection(NAME)]), ..DatasetQuery::default() };
    let mut seen = BTreeMap::<String, BTreeSet<String>>::new();
    for row in butler.query_datasets(&query).unwrap() {
        let item = row.dataset.data_id.get("item").unwrap().to_string();
        let dataset_type = row.dataset.dataset_type.name.to_string();
        assert!(seen.entry(item).or_default().insert(dataset_type));
    }
    seen
}

/// The first fifty one after the other, the rest four at a time, into one RUN.
#[test]
fn two_hundred_shards_are_seen_whole_or_not_at_all_while_they_are_committed() {
    const SHARDS: usize = 200;
    const ONE_BY_ONE: usize = 50;
    const AT_ONCE: usize = 4;
    let items: Vec<String> = (0..SHARDS).map(|n| format!("i{n:03}")).collect();
    let items: Vec<&str> = items.iter().map(String::as_str).collect();
    let project = toy_with(&items, COPY);
    project.write("pipeline.yaml", PIPELINE);
    ingest(&project);
    create(&project, &["--shard-by", "item", "--chain", "toy"]).expect(0);
    let since = Instant::now();
    let done = AtomicUsize::new(0);
    let whole = ["again", "copy", "copy_log", "run_provenance_by_item"];
    let whole: BTreeSet<String> = whole.map(str::to_owned).into();
    let butler = butler(&project);
    let look = |last: usize| {
        let least = done.load(Ordering::SeqCst);
        let seen = seen(&butler);
        for (item, types) in &seen {
            assert_eq!(*types, whole, "{item} is there in part");
        }
        assert!(seen.len() >= least.max(last), "what was committed is there");
        seen.len()
    };
    std::thread::scope(|threads| {
        let (one_by_one, rest) = items.split_at(ONE_BY_ONE);
        let (project, done) = (&project, &done);
        let workers = threads.spawn(move || {
            make(project, one_by_one, done);
            std::thread::scope(|threads| {
                for own in rest.chunks(rest.len().div_ceil(AT_ONCE)) {
                    threads.spawn(|| make(project, own, done));
                }
            });
        });
        let mut last = 0;
        while !workers.is_finished() {
            last = look(last);
            // Some looks for each commit, and the processor for what commits.
            std::thread::sleep(Duration::from_millis(20));
        }
        workers.join().unwrap();
        assert_eq!(look(last), SHARDS);
    });
    println!("{SHARDS} shards: {:.1} s", since.elapsed().as_secs_f64());
    // Of each shard by itself, and of all in one file.
    let asked = ["quanta", "..again@{item=i100}", "number@{item=i007}.."];
    let answers = || {
        asked.map(|text| {
            let since = Instant::now();
            let args = ["query", "provenance", text, "--json", "--collections", NAME];
            let mut found = project.pantler(&args).expect(0).json();
            println!("{text}: {:.3} s", since.elapsed().as_secs_f64());
            let mut nodes = found["quanta"].as_array_mut().unwrap().split_off(0);
            nodes.append(found["datasets"].as_array_mut().unwrap());
            nodes.sort_by_key(|node| node["id"].to_string());
            nodes
        })
    };
    let of_shards = answers();
    assert_eq!(of_shards.each_ref().map(Vec::len), [2 * SHARDS, 5, 7]);
    verb(&project, "commit", &[]).expect(0);
    assert_eq!(answers(), of_shards);
    assert_eq!(there(&project, "again"), SHARDS);
}

/// Runs it to its end, and says how many bytes it and its children have read.
fn bytes_read(mut command: Command) -> u64 {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).unwrap();
    let text = std::fs::read_to_string(format!("/proc/{}/io", child.id())).unwrap();
    Ran::finish(child).expect(0);
    let line = text.lines().find_map(|line| line.strip_prefix("rchar: "));
    line.expect(&text).parse().unwrap()
}

/// What the program reads to run a shard of which everything has been run, where so many
/// shards are built.
fn read_to_run_a_shard(count: usize) -> u64 {
    let items: Vec<String> = (0..count).map(|n| format!("i{n:03}")).collect();
    let items: Vec<&str> = items.iter().map(String::as_str).collect();
    let project = sharded(&items);
    for item in &items {
        verb(&project, "build", &["--shard", &format!("item={item}")]).expect(0);
    }
    let repo = project.repo();
    let shard = format!("item={}", items[count / 2]);
    let run = ["workspace", "run", NAME, "--shard", &shard, "--repo", repo.as_str()];
    let read = bytes_read(project.program().command(&run));
    verb(&project, "revert", &[]).expect(0);
    read
}

#[test]
fn a_shard_is_run_without_a_look_at_the_parts_of_others() {
    let (few, many) = (read_to_run_a_shard(3), read_to_run_a_shard(23));
    println!("{few} bytes read among 3 shards, {many} among 23");
    assert!(many < few + 1024, "{few} bytes among 3 shards, {many} among 23");
}

fn part(project: &Project, number: u32) -> Utf8PathBuf {
    let status = verb(project, "status", &["--json"]).expect(0).json();
    Utf8Path::new(status["root"].as_str().unwrap()).join(format!("graph-{number}.qg"))
}

/// A file with a byte changed after the first place in which `after` stands.
fn damaged(whole: &[u8], after: &str) -> Vec<u8> {
    let at = whole.windows(after.len()).position(|window| window == after.as_bytes()).unwrap();
    let mut damaged = whole.to_vec();
    damaged[at + after.len() + 40] ^= 1;
    damaged
}

#[test]
fn a_damaged_part_of_one_shard_keeps_no_other_from_being_committed() {
    let project = sharded(&["a", "b", "c", "d"]);
    for item in ["a", "b"] {
        verb(&project, "build", &["--shard", &format!("item={item}")]).expect(0);
    }
    let file = part(&project, 1);
    let other = part(&project, 2);
    let (first, whole) = (std::fs::read(&file).unwrap(), std::fs::read(&other).unwrap());
    std::fs::write(&file, "nothing").unwrap();
    verb(&project, "run", &["--shard", "item=b"]).expect(0);
    verb(&project, "run", &["--shard", "item=a"]).expect(1);
    std::fs::write(&file, first).unwrap();
    std::fs::write(&other, "nothing").unwrap();
    for step in ["run", "commit"] {
        verb(&project, step, &["--shard", "item=a"]).expect(0);
    }
    for step in ["build", "run", "commit"] {
        verb(&project, step, &["--shard", "item=c"]).expect(0);
    }
    for step in ["build", "run", "commit"] {
        let refused = verb(&project, step, &["--shard", "item=b"]);
        assert_ne!(refused.code(), Some(0), "{step}");
        assert!(refused.stderr.contains("graph-2.qg"), "{step}: {}", refused.stderr);
    }
    verb(&project, "status", &[]).expect(1);
    std::fs::write(&other, &whole).unwrap();

    // Without the notes, headers say what parts were built for.
    std::fs::remove_dir_all(file.with_file_name("shards")).unwrap();
    std::fs::write(&other, damaged(&whole, "quantum_datasets")).unwrap();
    for step in ["build", "run", "commit"] {
        verb(&project, step, &["--shard", "item=d"]).expect(0);
    }
    verb(&project, "run", &["--shard", "item=b"]).expect(1);
    std::fs::write(&other, &whole).unwrap();
    build_and_run(&project, "item=b");
    assert_eq!(
        shards(&project),
        ["a 2/2 committed", "b 2/2 open", "c 2/2 committed", "d 2/2 committed"]
    );
    verb(&project, "commit", &[]).expect(0);
    assert_eq!(there(&project, "again"), 4);
}

#[test]
fn what_all_shards_read_is_the_same_in_all() {
    let project = ingested(&["a", "b"], COPY);
    project.write("scale.txt", "2\n");
    let file = project.path().join("scale.txt");
    let put = |name: &str, run: &str| {
        project.pantler(&["put", file.as_str(), name, "--run", run]).expect(0);
    };
    for name in ["scale", "other"] {
        let register = ["dataset-type", "register", name, "--storage-class", "Text"];
        project.pantler(&register).expect(0);
    }
    put("scale", "cal/one");
    put("other", "cal/new");
    let both = PIPELINE.replace("{number: {type: number}}", "{number: number, scale: scale}");
    assert_ne!(both, PIPELINE);
    project.write("pipeline.yaml", both);
    create(&project, &["--shard-by", "item", "-i", "cal/new", "-i", "cal/one"]).expect(0);
    build_and_run(&project, "item=a");
    verb(&project, "commit", &["--shard", "item=a"]).expect(0);
    // It would be found first, and the other shard has read another one.
    put("scale", "cal/new");
    build_and_run(&project, "item=b");
    verb(&project, "commit", &["--shard", "item=b"]).expect(0);
    assert_eq!(shards(&project), ["a 2/2 committed", "b 2/2 committed"]);
    verb(&project, "commit", &[]).expect(0);
    assert_eq!(there(&project, "again"), 2);
}

#[test]
fn a_named_quantum_is_run_without_the_rest_of_the_graph() {
    let project = ingested(&["a", "b", "c"], COPY);
    create(&project, &[]).expect(0);
    verb(&project, "build", &[]).expect(0);
    let graph = project.pantler(&["graph", "export", NAME, "--format", "json"]).expect(0).json();
    let id = |task: &str, item: &str| {
        let mut quanta = graph["quanta"].as_array().unwrap().iter();
        let quantum = quanta.find(|q| q["task"] == task && q["data_id"]["item"] == item);
        quantum.unwrap()["id"].as_str().unwrap().to_owned()
    };
    let file = part(&project, 1);
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, damaged(&whole, "thin_graph.json.zst")).unwrap();
    verb(&project, "status", &[]).expect(1);
    verb(&project, "run", &[]).expect(1);
    let said = verb(&project, "run", &[&id("copy", "b")]).expect(0).text();
    assert!(said.contains("all that was asked for succeeded"), "{said}");
    verb(&project, "run", &[&id("again", "b")]).expect(0);
    let unknown = "0198aaaa-0000-7000-8000-000000000001";
    let refused = verb(&project, "run", &[&id("copy", "a"), unknown]).expect(1);
    assert!(refused.stderr.contains(unknown), "{}", refused.stderr);
    // What it reads has not been made, and is not made for it.
    let waits = verb(&project, "run", &[&id("again", "c")]).expect(3);
    assert!(waits.stderr.contains("what succeeded is kept") || waits.text().contains("kept"));
    std::fs::write(&file, whole).unwrap();
    let status = verb(&project, "status", &["--json"]).expect(0).json();
    let succeeded: Vec<_> =
        status["tasks"].as_array().unwrap().iter().map(|t| &t["succeeded"]).collect();
    assert_eq!(succeeded, [1, 1]);
    verb(&project, "run", &[]).expect(0);
    verb(&project, "commit", &[]).expect(0);
    assert_eq!(there(&project, "again"), 3);
}

#[test]
fn a_shard_takes_over_what_another_run_has_made() {
    let project = ingested(&["a", "b"], COPY);
    let cp = "    command: [cp, \"{inputs.number}\", \"{outputs.copy}\"]";
    let lines = PIPELINE.lines().map(|line| if line.contains("copy.sh") { cp } else { line });
    project.write("pipeline.yaml", lines.collect::<Vec<_>>().join("\n"));
    create(&project, &["--chain", "toy"]).expect(0);
    for step in ["build", "run", "commit"] {
        verb(&project, step, &[]).expect(0);
    }
    let pipeline = project.path().join("pipeline.yaml");
    let pipeline = ["--pipeline", pipeline.as_str(), "-i", "raw", "--reuse", "toy"];
    let args = [&["workspace", "create", "second"], &pipeline[..], &["--shard-by", "item"]];
    project.pantler(&args.concat()).expect(0);
    let second = |step: &str, shard: &str| {
        project.pantler(&["workspace", step, "second", "--shard", shard]).expect(0).text()
    };
    for shard in ["item=a", "item=b"] {
        let said = second("build", shard);
        assert!(said.contains("2 quanta may be there already in earlier RUNs"), "{said}");
        assert!(said.contains(&format!("--shard {shard}")), "{said}");
        let said = second("run", shard);
        assert!(said.contains("2 quanta did not run: outputs of earlier RUNs were"), "{said}");
        second("commit", shard);
    }
    project.pantler(&["workspace", "commit", "second"]).expect(0);
    assert_eq!(crate::toy::datasets(&project, &["again", "--collections", "second"]).len(), 2);
}
