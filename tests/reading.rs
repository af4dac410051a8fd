//! Reading back: `get` and `check`, on whole and on damaged repositories, and names
//! with characters that mean something elsewhere.

use pantler::core::Checksum;
use pantler_testkit::Project;

use crate::{
    library::{butler, ingest},
    small_weather,
    toy::{datasets, killed_at, open_names, path_of, toy},
};

#[test]
fn what_is_got_is_what_was_stored() {
    let project = small_weather();
    project.run(&[]).expect(0);
    let rows = datasets(&project, &[]);
    assert!(rows.len() > 20);
    for row in &rows {
        let got = project.pantler(&["get", row["id"].as_str().unwrap()]).expect(0).stdout;
        assert_eq!(got.len() as u64, row["size"], "{row}");
        assert_eq!(Checksum::of(&got).to_string(), row["checksum"].as_str().unwrap(), "{row}");
        if row["offset"].is_null() {
            assert_eq!(got, std::fs::read(path_of(row)).unwrap(), "{row}");
        }
    }
    let get = ["get", "hourly", "city=seattle", "month=2", "--collections", "weather"];
    let got = project.pantler(&get).expect(0);
    assert_eq!(got.text(), project.read("data/seattle/02.csv"));

    let to = project.path().join("got.csv");
    let ran = project.pantler(&[&get[..], &["-o", to.as_str()]].concat()).expect(0);
    assert_eq!(ran.text(), "");
    assert_eq!(project.read("got.csv"), got.text());
    // Over a file that is there as well.
    project
        .pantler(&["get", "comparison", "--collections", "weather", "-o", to.as_str()])
        .expect(0);
    let comparison = project.pantler(&["get", "comparison", "--collections", "weather"]).expect(0);
    assert_eq!(project.read("got.csv"), comparison.text());
}

#[test]
fn a_damaged_artifact_gives_no_bytes() {
    let mut project = toy(&["a", "b"]);
    project.run(&[]).expect(0);
    project.expect_damage();
    let row = datasets(&project, &["copy", "item=a"]).remove(0);
    let path = path_of(&row);
    let to = project.path().join("got.txt");
    for damage in [Some("7\n"), Some("1"), Some("1\n2\n"), None] {
        match damage {
            Some(text) => std::fs::write(&path, text).unwrap(),
            None => std::fs::remove_file(&path).unwrap(),
        }
        let ran = project.pantler(&["get", row["id"].as_str().unwrap()]).expect(1);
        assert_eq!(ran.text(), "", "{damage:?}");
        assert!(ran.stderr.contains(row["uri"].as_str().unwrap()), "{damage:?}: {}", ran.stderr);
        let args = ["get", "copy", "item=a", "--collections", "toy", "-o", to.as_str()];
        project.pantler(&args).expect(1);
        assert!(!to.exists(), "{damage:?}");
    }
    std::fs::write(&path, "1\n").unwrap();
    assert_eq!(project.pantler(&["get", row["id"].as_str().unwrap()]).expect(0).text(), "1\n");
}

/// Codes and subjects of the findings of `check`.
fn findings(project: &Project) -> Vec<(String, String)> {
    let report = project.pantler(&["check", "--json"]).expect(6).json();
    let text = project.pantler(&["check"]).expect(6).text();
    let found = report["findings"].as_array().unwrap().iter().map(|finding| {
        let field = |key: &str| finding[key].as_str().unwrap().to_owned();
        assert!(text.contains(&field("subject")) && text.contains("next: "), "{text}");
        assert_ne!(field("next"), "");
        (field("code"), field("subject"))
    });
    found.collect()
}

#[test]
fn check_finds_what_is_missing_of_another_size_or_nobodys() {
    let mut project = toy(&["a", "b"]);
    project.run(&[]).expect(0);
    project.check();
    project.expect_damage();
    let row = datasets(&project, &["copy", "item=a"]).remove(0);
    let (path, key) = (path_of(&row), row["uri"].as_str().unwrap().to_owned());

    std::fs::remove_file(&path).unwrap();
    assert_eq!(findings(&project), [("artifact-missing".to_owned(), key.clone())]);
    std::fs::write(&path, "1\n2\n").unwrap();
    assert_eq!(findings(&project), [("artifact-size".to_owned(), key.clone())]);
    std::fs::write(&path, "1\n").unwrap();
    project.check();

    let orphan = format!("{key}.tmp");
    std::fs::write(format!("{path}.tmp"), "half").unwrap();
    let stray = "stray.txt";
    std::fs::write(project.repo().join("artifacts").join(stray), "stray").unwrap();
    let found = findings(&project);
    assert!(found.contains(&("orphan".to_owned(), orphan)), "{found:?}");
    assert!(found.contains(&("orphan".to_owned(), stray.to_owned())), "{found:?}");
    assert_eq!(found.len(), 2);
    std::fs::remove_file(format!("{path}.tmp")).unwrap();
    std::fs::remove_file(project.repo().join("artifacts").join(stray)).unwrap();
    project.check();
}

#[test]
fn a_quantum_whose_input_is_gone_fails_and_names_it() {
    let mut project = toy(&["a", "b"]);
    project.run(&[]).expect(0);
    project.expect_damage();
    let row = datasets(&project, &["number", "item=a"]).remove(0);
    std::fs::remove_file(path_of(&row)).unwrap();
    let pipeline = project.path().join("pipeline.yaml");
    let run = ["run", pipeline.as_str(), "-i", "toy/raw", "-o", "second"];
    let ran = project.pantler(&run).expect(3);
    let reason = "failed: copy item=a (attempt 1): the input `number` cannot be read";
    assert!(ran.text().contains(reason), "{}", ran.text());
    assert!(ran.text().contains(path_of(&row).as_str()), "{}", ran.text());
    // The project ingests its files again, and finds that one has to be stored again.
    let ran = project.run(&[]).expect(0);
    assert!(ran.stderr.contains("ingested 1 file"), "{}", ran.stderr);
    project.pantler(&["workspace", "revert", "second"]).expect(0);
    project.check();
}

/// Characters that mean something to a path, a shell, a pattern or an encoding.
const ODD: [&str; 12] =
    ["..", ".", "a b", "é", "%2F", "100%", "-rf", "it's", "a~b@1", "a,b=c", "$(false)", "~"];

#[test]
fn odd_characters_in_data_ids_come_back_as_they_were() {
    let project = toy(&ODD);
    // Killed and gone on with, so that journal and keys are read back as well.
    killed_at(&project, "datastore.rename:5", &[]);
    project.check();
    killed_at(&project, "exec.outputs.moved:5", &["-j1"]);
    project.check();
    project.run(&[]).expect(0);
    for (n, item) in ODD.iter().enumerate() {
        let value = format!("item={item}");
        for dataset_type in ["number", "copy"] {
            let args = ["get", dataset_type, &value, "--collections", "toy"];
            let got = project.pantler(&args).expect(0);
            assert_eq!(got.text(), format!("{}\n", n + 1), "{dataset_type} {item}");
        }
        let log = project.pantler(&["get", "copy_log", &value, "--collections", "toy"]).expect(0);
        assert_eq!(log.text(), format!("copying {item}\n"));
    }
    let artifacts = project.repo().join("artifacts");
    for row in datasets(&project, &[]) {
        let path = path_of(&row);
        let inside = path.strip_prefix(&artifacts).unwrap();
        // RUN, dataset type, data ID: nothing in a name makes it deeper.
        assert_eq!(inside.components().count(), 3, "{inside}");
        assert!(inside.components().all(|part| !matches!(part.as_str(), "." | "..")), "{inside}");
        assert_eq!(inside.as_str(), row["uri"].as_str().unwrap());
    }
}

#[test]
fn values_that_no_file_can_be_called_by_are_stored_too() {
    let project = toy(&["a"]);
    project.run(&[]).expect(0);
    let long = "x".repeat(200);
    let odd = ["a/b", "../../../etc/passwd", "/", long.as_str()];
    let file = project.path().join("data/a.txt");
    let butler = butler(&project);
    let result = ingest(&butler, &odd.map(|item| (item, file.clone())));
    drop(butler);
    assert_eq!(result.unwrap().stored, odd.len());
    // Not of the project's own files: its pipeline sees them all the same.
    project.run(&[]).expect(0);
    assert_eq!(open_names(&project, "transaction"), [""; 0]);
    for item in odd {
        let value = format!("item={item}");
        let got = project.pantler(&["get", "copy", &value, "--collections", "toy"]).expect(0);
        assert_eq!(got.text(), "1\n", "{item:?}");
    }
    assert!(!project.path().join("etc").exists());
}
