use super::*;
use crate::read_log;

/// Runs `script` for each item, with the outputs `a` and `b` declared.
fn pipeline(script: &str) -> String {
    format!(
        "  t:
    dimensions: [item]
    outputs: {{a: {{type: a, storage_class: Text}}, b: {{type: b, storage_class: Csv}}}}
    env: {{SET: 'item {{data_id.item}}'}}
    pass_env: [PASSED, ABSENT]
    command: [sh, -c, '{script}', sh, '{{outputs.a}}', '{{outputs.b}}', '{{data_id.item}}', '{{pipeline_dir}}', '{{pantler}}']
"
    )
}

fn one(script: &str) -> Result<(Fixture, QuantumGraph, RunSummary)> {
    let mut fixture = Fixture::new()?;
    fixture.items = 1;
    let graph = fixture.graph(&pipeline(script))?;
    let summary = fixture.run(&graph)?;
    Ok((fixture, graph, summary))
}

/// The reason why `script` fails, after checking that nothing stays.
fn failure(script: &str) -> Result<String> {
    let (fixture, _, summary) = one(script)?;
    assert_eq!(table(&summary), ["t 0 1 0 0 0"], "{script}");
    assert_eq!(fixture.artifacts()?, 0, "{script}");
    assert_eq!(layout::scratch_dir(&fixture.root).read_dir_utf8()?.count(), 0, "{script}");
    Ok(reasons(&summary).remove(0))
}

#[test]
fn outputs_are_moved_to_their_keys() -> Result {
    let (fixture, graph, summary) =
        one("env | sort > $1; pwd | sed s,.*/,, > $2; ls >> $2; echo $3 $4 $5 >> $2")?;
    assert_eq!(reasons(&summary), [""; 0]);
    let outputs = fixture.outputs(&graph)?;
    let variables: Vec<&str> = outputs["t item=0 a"].lines().collect();
    let scratch = fixture.root.join("scratch/1-1");
    let expected = [
        "HOME=/nowhere",
        "LC_ALL=C",
        "PASSED=on",
        "PATH=/usr/local/bin:/usr/bin:/bin",
        &format!("PWD={scratch}/work"),
        "SET=item 0",
        &format!("TMPDIR={scratch}/tmp"),
        "TZ=UTC",
    ];
    let variables: Vec<&str> =
        variables.into_iter().filter(|v| !v.starts_with("_=") && !v.starts_with("SHLVL")).collect();
    assert!(
        variables.iter().filter(|v| !v.starts_with("OLDPWD")).eq(expected.iter()),
        "{variables:?}"
    );
    assert_eq!(outputs["t item=0 b"], "work\n0 /pipeline /bin/pantler\n");
    assert!(!scratch.exists());
    let quantum = graph.quantum(graph.quanta().next().ok_or("one")?).id;
    let journal = fixture.journal()?;
    let finish = journal.quantum(quantum).and_then(|q| q.last()).ok_or("it finished")?;
    assert_eq!((finish.exit, finish.log), (Some(0), None));
    Ok(())
}

#[test]
fn each_way_to_fail_is_named() -> Result {
    assert_eq!(failure("touch $1 $2; exit 3")?, "the command ended with exit status 3");
    assert_eq!(failure("touch $1 $2; kill -9 $$")?, "the command was ended by signal 9");
    assert_eq!(failure("touch $1")?, "the output `b` was not written");
    assert_eq!(failure("touch $1; mkdir $2")?, "the output `b` is not a regular file");
    assert_eq!(failure("touch $1; ln -s $1 $2")?, "the output `b` is not a regular file");
    assert_eq!(
        failure("touch $1 $2 $1.old")?,
        "the file \"a.txt.old\" in the output directory is not a declared output"
    );
    Ok(())
}

#[test]
fn a_program_that_is_not_there_is_named() -> Result {
    let fixture = Fixture::new()?;
    let graph = fixture.graph("  t: {dimensions: [], command: [no-such-program]}\n")?;
    let summary = fixture.run(&graph)?;
    let reason = &reasons(&summary)[0];
    assert!(reason.starts_with("cannot start \"no-such-program\": "), "{reason}");
    Ok(())
}

#[test]
fn what_a_command_says_is_kept_byte_for_byte() -> Result {
    let script = r#"printf "out\\000\\377\\033[0m\\r\\n"; printf err >&2; head -c 100000 /dev/zero; touch $1 $2"#;
    let (fixture, graph, summary) = one(script)?;
    assert_eq!(reasons(&summary), [""; 0]);
    let quantum = graph.quantum(graph.quanta().next().ok_or("one")?).id;
    let slice =
        fixture.journal()?.quantum(quantum).and_then(|q| q.last()?.log).ok_or("it spoke")?;
    let mut expected = b"out\0\xff\x1b[0m\r\nerr".to_vec();
    expected.resize(expected.len() + 100_000, 0);
    assert!(read_log(&fixture.root, &slice)? == expected);
    Ok(())
}

#[test]
fn what_a_failed_command_says_is_kept() -> Result {
    let (fixture, _, summary) = one("echo why >&2; exit 1")?;
    let slice = summary.failures[0].log.ok_or("it spoke")?;
    assert_eq!(read_log(&fixture.root, &slice)?, b"why\n");
    Ok(())
}

#[test]
fn inputs_are_local_files() -> Result {
    let mut fixture = Fixture::new()?;
    let shared = fixture.store("in@7/number/shared~x.txt", b"xx20yy")?;
    let checksum = pantler_core::Checksum::of(b"20");
    fixture.numbers.push((1, fixture.store("in@7/number/1~x.txt", b"10")?));
    fixture.numbers.push((2, InputArtifact { offset: Some(2), size: 2, checksum, ..shared }));
    let graph = fixture.graph(
        "  one: {dimensions: [item], inputs: {n: number}, outputs: {o: {type: o, storage_class: Text}}, command: [cp, '{inputs.n}', '{outputs.o}']}
  all: {dimensions: [], inputs: {n: {type: o, multiple: true}}, outputs: {c: {type: c, storage_class: Text}}, command: [sh, -c, 'out=$1; shift; cat \"$@\" > $out', sh, '{outputs.c}', '{inputs.n}']}\n",
    )?;
    let summary = fixture.run(&graph)?;
    assert_eq!(reasons(&summary), [""; 0]);
    assert_eq!(fixture.outputs(&graph)?["all {} c"], "1020");
    Ok(())
}

#[test]
fn an_input_that_is_gone_fails_the_quantum() -> Result {
    let mut fixture = Fixture::new()?;
    let gone = fixture.store("in@7/number/1~x.txt", b"10")?;
    fixture.datastore.unstore(gone.location.key())?;
    fixture.numbers.push((1, gone));
    let graph = fixture
        .graph("  t: {dimensions: [item], inputs: {n: number}, command: [cat, '{inputs.n}']}\n")?;
    let reason = reasons(&fixture.run(&graph)?).remove(0);
    assert!(reason.starts_with("the input `n` cannot be read: "), "{reason}");
    Ok(())
}

#[test]
fn two_quanta_that_wait_for_each_other_run_side_by_side() -> Result {
    let mut fixture = Fixture::new()?;
    fixture.items = 2;
    let fifo = fixture.root.join("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status()?.success());
    let script =
        format!("if [ $3 = 0 ]; then echo hello > {fifo}; else cat {fifo} > $1; fi; touch $1 $2");
    let graph = fixture.graph(&pipeline(&script))?;
    assert!(fixture.run(&graph)?.is_complete());
    assert_eq!(fixture.outputs(&graph)?["t item=1 a"], "hello\n");
    Ok(())
}

#[test]
fn what_a_command_leaves_behind_cannot_write_to_its_outputs() -> Result {
    let (fixture, graph, summary) =
        one("touch $1; (sleep 0.3; echo late) >> $1 & echo early > $2")?;
    assert_eq!(reasons(&summary), [""; 0]);
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert_eq!(fixture.outputs(&graph)?["t item=0 a"], "");
    Ok(())
}
