//! Repositories that are moved or copied: everything in them is relative to their root.

use pantler_testkit::Project;

use crate::{
    small_weather,
    toy::{killed_at, open_names, toy},
};

fn svg(project: &Project) -> Vec<u8> {
    project.pantler(&["get", "comparison_svg", "--collections", "weather"]).expect(0).stdout
}

#[test]
fn a_moved_repository_works() {
    let mut project = small_weather();
    project.run(&[]).expect(0);
    let (contents, picture) = (project.contents("weather"), svg(&project));
    assert!(!picture.is_empty());

    project.rename("moved elsewhere, with spaces");
    project.check();
    assert_eq!(project.contents("weather"), contents);
    assert_eq!(svg(&project), picture);
    let again = project.run(&[]).expect(0);
    assert!(again.stderr.contains("nothing new, 4 files there already"), "{}", again.stderr);
    assert_eq!(project.contents("weather"), contents);
}

#[test]
fn a_copied_repository_lives_on_its_own() {
    let project = small_weather();
    project.run(&[]).expect(0);
    let before = project.picture();
    let copy = project.duplicate();
    copy.run(&[]).expect(0);
    before.assert_same(&project.picture(), "after a run in the copy");
    assert_eq!(copy.contents("weather"), project.contents("weather"));
}

#[test]
fn open_work_moves_with_its_project() {
    let calm = toy(&["a", "b", "c"]);
    calm.run(&[]).expect(0);
    for (step, what) in
        [("datastore.rename:2", "toy/raw/ingest"), ("exec.outputs.moved:2", "workspace")]
    {
        let mut project = toy(&["a", "b", "c"]);
        killed_at(&project, step, &["-j1"]);
        let open = open_names(&project, "transaction");
        assert_eq!(open.len(), 1, "{step}: {open:?}");
        project.rename("moved");
        assert_eq!(open_names(&project, "transaction"), open);
        let ran = project.run(&[]).expect(0);
        assert!(ran.stderr.contains("going on with"), "{step}: {}", ran.stderr);
        assert!(ran.stderr.contains(what), "{step}: {}", ran.stderr);
        assert_eq!(open_names(&project, "transaction"), [""; 0], "{step}");
        assert_eq!(project.contents("toy"), calm.contents("toy"), "{step}");
    }
}

#[test]
fn a_workspace_of_a_moved_project_is_run_and_committed_by_name() {
    let mut project = toy(&["a", "b"]);
    killed_at(&project, "exec.outputs.moved:1", &["-j1"]);
    let name = open_names(&project, "workspace").remove(0);
    project.rename("moved");
    project.pantler(&["workspace", "run", &name]).expect(0);
    project.pantler(&["workspace", "commit", &name]).expect(0);
    let total = project.pantler(&["get", "total", "--collections", "toy"]).expect(0);
    assert_eq!(total.text(), "3\n");
}
