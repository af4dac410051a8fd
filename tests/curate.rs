//! Collections, dataset types and dimension records from the command line.

use pantler_testkit::{Project, Ran};
use serde_json::{Value, json};

use crate::{
    program,
    toy::{datasets, killed_at, open_names, tidy, toy},
};

const UNIVERSE: &str = "\
version: 1
name: sky
elements:
  band: {key: string}
  filter:
    key: string
    implies: [band]
    metadata: {width: {type: float, required: true}, note: {type: string}}
  visit: {key: integer, metadata: {good: {type: boolean}}}
";

/// A repository with nothing in it.
fn sky() -> Project {
    let project = Project::empty(&program());
    project.write("universe.yaml", UNIVERSE);
    let universe = project.path().join("universe.yaml");
    let repo = project.repo();
    project.program().run(&["init", repo.as_str(), "--universe", universe.as_str()]).expect(0);
    project
}

fn toy_that_ran(items: &[&str]) -> Project {
    let project = toy(items);
    project.run(&[]).expect(0);
    project
}

/// What a command that changes something says; its dry run changes nothing and says
/// what would be.
#[track_caller]
fn done(project: &Project, args: &[&str]) -> String {
    let before = project.picture();
    let dry = project.pantler(&[args, &["--dry-run"]].concat()).expect(0);
    before.assert_same(&project.picture(), "after a dry run");
    let ran = project.pantler(args).expect(0);
    assert_eq!((dry.stderr.as_str(), ran.stderr.as_str()), ("", ""));
    let text = ran.text();
    if project.picture().rows != before.rows {
        let said = dry.text();
        assert!(said.contains("would") && said != text, "{said}");
    }
    text.trim_end().to_owned()
}

/// Exit code and error stream of a command that must change nothing, nor must its dry run,
/// which says the same.
#[track_caller]
fn refused(project: &Project, args: &[&str]) -> String {
    let before = project.picture();
    let said = |ran: &Ran| {
        assert_eq!(ran.text(), "", "errors go to the error stream");
        format!("exit {}\n{}", ran.code().unwrap(), tidy(project, &ran.stderr))
    };
    let text = said(&project.pantler(args));
    if !args.contains(&"list") && !args.contains(&"show") {
        let dry = said(&project.pantler(&[args, &["--dry-run"]].concat()));
        // The usage that an error repeats names the flags given.
        assert_eq!(dry.replace("--dry-run ", ""), text);
    }
    before.assert_same(&project.picture(), "after what was refused");
    text
}

fn id(project: &Project, args: &[&str]) -> String {
    let rows = datasets(project, args);
    assert_eq!(rows.len(), 1, "{rows:?}");
    rows[0]["id"].as_str().unwrap().to_owned()
}

/// Ids without what differs from one run to the next.
fn without_ids(text: &str, ids: &[&str]) -> String {
    ids.iter()
        .enumerate()
        .fold(text.to_owned(), |text, (n, id)| text.replace(id, &format!("<{n}>")))
}

fn shown(project: &Project, name: &str) -> Value {
    project.pantler(&["collection", "show", name, "--json"]).expect(0).json()
}

#[test]
fn datasets_are_tagged_and_untagged() {
    let project = toy_that_ran(&["a", "b", "c"]);
    let all = datasets(&project, &[]);
    assert_eq!(
        done(&project, &["collection", "create", "toy/good"]),
        "made the TAGGED collection toy/good"
    );
    assert_eq!(
        done(&project, &["collection", "create", "toy/good"]),
        "the TAGGED collection toy/good is there already"
    );
    let (a, b) = (id(&project, &["number", "item=a"]), id(&project, &["number", "item=b"]));
    assert_eq!(
        done(&project, &["collection", "tag", "toy/good", &a]),
        "put 1 dataset into toy/good"
    );
    assert_eq!(
        done(&project, &["collection", "tag", "toy/good", &a, &b, &a]),
        "put 1 dataset into toy/good; 1 dataset there already"
    );
    let by_type =
        ["collection", "tag", "toy/good", "--type", "copy", "--collections", "toy", "item=c"];
    assert_eq!(done(&project, &by_type), "put 1 dataset into toy/good");
    let found = |args: &[&str]| {
        let rows = datasets(&project, &[args, &["--collections", "toy/good"]].concat());
        rows.iter()
            .map(|r| {
                format!(
                    "{} {}",
                    r["dataset_type"].as_str().unwrap(),
                    r["data_id"]["item"].as_str().unwrap()
                )
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(found(&[]), ["copy c", "number a", "number b"]);
    assert_eq!(found(&["number", "item=b"]), ["number b"]);
    // A dataset that two of the collections have comes once.
    assert_eq!(datasets(&project, &["number", "--collections", "toy/good,toy/raw"]).len(), 3);
    let get = ["get", "copy", "item=c", "--collections", "toy/good"];
    assert_eq!(project.pantler(&get).expect(0).text(), "3\n");
    assert_eq!(
        shown(&project, "toy/good")["datasets"],
        json!([{"dataset_type": "copy", "count": 1}, {"dataset_type": "number", "count": 2}])
    );

    assert_eq!(
        done(&project, &["collection", "untag", "toy/good", &a]),
        "took 1 dataset out of toy/good"
    );
    assert_eq!(
        done(&project, &["collection", "untag", "toy/good", &a]),
        "took 0 datasets out of toy/good; 1 dataset not in it"
    );
    assert_eq!(
        done(&project, &["collection", "untag", "toy/good", "--type", "number"]),
        "took 1 dataset out of toy/good"
    );
    assert_eq!(found(&[]), ["copy c"]);
    assert_eq!(datasets(&project, &["number"]).len(), 3);
    assert_eq!(
        done(&project, &["collection", "remove", "toy/good"]),
        "removed the TAGGED collection toy/good"
    );
    assert_eq!(datasets(&project, &[]), all);
}

#[test]
fn chains_are_made_and_shown() {
    let project = toy_that_ran(&["a"]);
    project.pantler(&["collection", "create", "t"]).expect(0);
    project.pantler(&["collection", "create", "r", "--type", "run"]).expect(0);
    assert_eq!(
        done(&project, &["collection", "create", "all", "--type", "chained"]),
        "made the CHAINED collection all"
    );
    assert_eq!(
        done(&project, &["collection", "chain", "all", "t", "toy", "r"]),
        "all is now t, toy, r (it was nothing)"
    );
    assert_eq!(
        done(&project, &["collection", "chain", "all", "t", "toy", "r"]),
        "all is t, toy, r already"
    );
    assert_eq!(
        done(&project, &["collection", "chain", "more", "all"]),
        "made the chain more of all"
    );
    let toy = &shown(&project, "toy")["children"];
    let all = shown(&project, "all");
    assert_eq!(all["children"], json!(["t", "toy", "r"]));
    assert_eq!(all["searched"], json!(["t", toy[0], toy[1], "r"]));
    assert_eq!(all["chains"], json!(["more"]));
    assert_eq!(
        shown(&project, "toy/raw")["datasets"],
        json!([{"dataset_type": "number", "count": 1}])
    );
    let text = tidy(&project, &project.pantler(&["collection", "show", "all"]).expect(0).text());
    insta::assert_snapshot!(text, @r#"
    all is CHAINED
      children: t, toy, r
      searched: t, toy/<time>, toy/raw, r
      in the chains: more
    "#);
    let list = |args: &[&str]| project.pantler(args).expect(0).text();
    assert_eq!(list(&["collection", "list"]), list(&["query", "collections"]));
    assert_eq!(list(&["collection", "list", "--json"]), list(&["query", "collections", "--json"]));
    assert_eq!(
        done(&project, &["collection", "remove", "more"]),
        "removed the CHAINED collection more"
    );
}

#[test]
fn tagged_collections_are_inputs() {
    let project = toy_that_ran(&["a", "b", "c"]);
    project.pantler(&["collection", "create", "some"]).expect(0);
    let tag = |item: &str| {
        let args =
            ["collection", "tag", "some", "--type", "number", "--collections", "toy/raw", item];
        project.pantler(&args).expect(0);
    };
    tag("item=a");
    tag("item=c");
    let pipeline = project.path().join("pipeline.yaml");
    let run = ["run", pipeline.as_str(), "-i", "some", "-o", "of-some"];
    project.pantler(&run).expect(0);
    let get = ["get", "total", "--collections", "of-some"];
    assert_eq!(project.pantler(&get).expect(0).text(), "4\n");
    // In a chain as well, before the RUN that has the rest.
    project.pantler(&["collection", "chain", "mixed", "some", "toy/raw"]).expect(0);
    let run = ["run", pipeline.as_str(), "-i", "mixed", "-o", "of-mixed"];
    project.pantler(&run).expect(0);
    let get = ["get", "total", "--collections", "of-mixed"];
    assert_eq!(project.pantler(&get).expect(0).text(), "6\n");
}

/// A workspace notes the RUNs of what its TAGGED inputs name, and reads no others.
#[test]
fn a_workspace_reads_the_runs_that_it_noted() {
    let project = toy_that_ran(&["a", "b"]);
    project.pantler(&["collection", "create", "some"]).expect(0);
    let tag =
        ["collection", "tag", "some", "--type", "number", "--collections", "toy/raw", "item=a"];
    project.pantler(&tag).expect(0);
    let pipeline = project.path().join("pipeline.yaml");
    let create = ["workspace", "create", "w", "--pipeline", pipeline.as_str(), "-i", "some"];
    project.pantler(&create).expect(0);
    assert_eq!(shown(&project, "toy/raw")["transactions"], json!([{"name": "w", "lock": "read"}]));
    // Of another RUN, which the workspace has not noted.
    project.write(
        "other/project.yaml",
        crate::toy::PROJECT
            .replace("name: toy", "name: other")
            .replace("repository: repo", "repository: ../repo")
            .replace("universe: ", "universe: ../")
            .replace("pipeline: ", "pipeline: ../"),
    );
    project.write("other/data/z.txt", "26\n");
    let other = project.path().join("other");
    project.program().run(&["run", other.as_str()]).expect(0);
    let tag = ["collection", "tag", "some", "--type", "number", "--collections", "other/raw"];
    project.pantler(&tag).expect(0);
    insta::assert_snapshot!({
        let ran = project.pantler(&["workspace", "build", "w"]);
        format!("exit {}\n{}", ran.code().unwrap(), tidy(&project, &ran.stderr))
    }, @r#"
    exit 4
    error: an input collection of workspace w has got datasets of other/raw since the workspace was created
    now: workspace w is open and has no graph yet
    next: pantler workspace revert w --repo <project>/repo
    "#);
    let untag = ["collection", "untag", "some", "--type", "number", "--collections", "other/raw"];
    project.pantler(&untag).expect(0);
    for verb in ["build", "run", "commit"] {
        project.pantler(&["workspace", verb, "w"]).expect(0);
    }
    let get = ["get", "total", "--collections", "w"];
    assert_eq!(project.pantler(&get).expect(0).text(), "1\n");
}

#[test]
fn each_dataset_is_in_one_state() {
    let project = toy(&["a", "b", "c"]);
    killed_at(&project, "datastore.rename:2", &["-j1"]);
    let states = |args: &[&str]| {
        datasets(&project, args)
            .iter()
            .map(|r| (r["state"].as_str().unwrap().to_owned(), r["transaction"].clone()))
            .collect::<Vec<_>>()
    };
    let open = open_names(&project, "transaction");
    assert_eq!(open.len(), 1);
    assert_eq!(states(&[]), vec![("managed".to_owned(), json!(open[0])); 3]);
    let (a, b) = (id(&project, &["number", "item=a"]), id(&project, &["number", "item=b"]));
    // What is managed cannot be tagged.
    project.pantler(&["collection", "create", "t"]).expect(0);
    let text = refused(&project, &["collection", "tag", "t", &a]);
    insta::assert_snapshot!(without_ids(&text, &[&a]), @r#"
    exit 1
    error: dataset number item=a in toy/raw (<0>) cannot be put into a collection: it is not stored, and the open transaction `toy/raw/ingest` is at work on its RUN
    now: nothing has changed
    next: pantler transaction show toy/raw/ingest --repo <project>/repo
    "#);
    project.pantler(&["transaction", "abandon", &open[0]]).expect(0);
    let after = states(&[]);
    assert!(after.contains(&("stored".to_owned(), Value::Null)), "{after:?}");
    assert!(after.contains(&("registered".to_owned(), Value::Null)), "{after:?}");
    let table = project.pantler(&["query", "datasets"]).expect(0).text();
    assert!(table.contains("state") && table.contains("registered"), "{table}");
    // Registered only is no obstacle.
    project.pantler(&["collection", "tag", "t", &a, &b]).expect(0);
}

#[test]
fn dataset_types_come_and_go() {
    let project = sky();
    let register = [
        "dataset-type",
        "register",
        "image",
        "--dimensions",
        "visit,filter",
        "--storage-class",
        "Bytes",
    ];
    assert_eq!(done(&project, &register), "registered dataset type image {filter, visit} Bytes");
    assert_eq!(
        done(&project, &register),
        "dataset type image {filter, visit} Bytes is registered already"
    );
    assert_eq!(
        done(&project, &["dataset-type", "register", "summary", "--storage-class", "Json"]),
        "registered dataset type summary {} Json"
    );
    let list = |args: &[&str]| project.pantler(args).expect(0).text();
    assert_eq!(list(&["dataset-type", "list"]), list(&["query", "dataset-types"]));
    assert_eq!(
        list(&["dataset-type", "list", "--json"]),
        list(&["query", "dataset-types", "--json"])
    );
    assert_eq!(done(&project, &["dataset-type", "remove", "image"]), "removed dataset type image");
    let types = project.pantler(&["dataset-type", "list", "--json"]).expect(0).json();
    assert_eq!(types[0]["name"], "summary");
    assert_eq!(types.as_array().unwrap().len(), 1);
}

#[test]
fn records_are_inserted() {
    let project = sky();
    assert_eq!(done(&project, &["record", "insert", "band", "band=g"]), "inserted 1 band record");
    assert_eq!(
        done(&project, &["record", "insert", "band", "band=g"]),
        "inserted 0 band records; 1 band record there already"
    );
    let g1 = ["record", "insert", "filter", "filter=g1", "band=g", "width=150", "note=a = b"];
    assert_eq!(done(&project, &g1), "inserted 1 filter record");
    project.write("bands.yaml", "- {band: r}\n- {band: i}\n");
    project.write(
        "filters.csv",
        "filter,band,width,note\nr1,r,1.5,\ni1,i,2,\"x, y\"\ng1,g,150,a = b\n",
    );
    project.write("visits.json", r#"[{"visit": 1, "good": true}, {"visit": 2}]"#);
    let insert = |element: &str, file: &str| {
        let file = project.path().join(file);
        done(&project, &["record", "insert", element, "--file", file.as_str()])
    };
    assert_eq!(insert("band", "bands.yaml"), "inserted 2 band records");
    assert_eq!(
        insert("filter", "filters.csv"),
        "inserted 2 filter records; 1 filter record there already"
    );
    assert_eq!(insert("visit", "visits.json"), "inserted 2 visit records");
    assert_eq!(
        insert("visit", "visits.json"),
        "inserted 0 visit records; 2 visit records there already"
    );
    let list = |args: &[&str]| project.pantler(args).expect(0).text();
    assert_eq!(list(&["record", "list", "filter"]), list(&["query", "records", "filter"]));
    let rows = project.pantler(&["record", "list", "filter", "--json"]).expect(0).json();
    assert_eq!(
        rows,
        json!([
            {"element": "filter", "data_id": {"filter": "g1"}, "implied": {"band": "g"},
             "metadata": {"note": "a = b", "width": 150.0}},
            {"element": "filter", "data_id": {"filter": "i1"}, "implied": {"band": "i"},
             "metadata": {"note": "x, y", "width": 2.0}},
            {"element": "filter", "data_id": {"filter": "r1"}, "implied": {"band": "r"},
             "metadata": {"width": 1.5}},
        ])
    );
}

#[test]
fn bad_collections() {
    let project = toy_that_ran(&["a"]);
    project.pantler(&["collection", "create", "t"]).expect(0);
    project.pantler(&["collection", "chain", "c", "t", "toy"]).expect(0);
    let said = |args: &[&str]| refused(&project, args);
    insta::assert_snapshot!(said(&["collection", "show", "x"]), @r#"
    exit 1
    error: there is no collection `x`
    now: nothing has changed
    next: pantler query collections --repo <project>/repo
    "#);
    insta::assert_snapshot!(said(&["collection", "create", "../x"]), @r#"
    exit 2
    error: invalid value '../x' for '<NAME>': invalid collection name "../x": no part between slashes may be empty, '.' or '..'

    For more information, try '--help'.
    "#);
    insta::assert_snapshot!(said(&["collection", "create", "x", "--type", "calibration"]), @r#"
    exit 2
    error: invalid value 'calibration' for '--type <TYPE>'
      [possible values: tagged, chained, run]

    For more information, try '--help'.
    "#);
    insta::assert_snapshot!(said(&["collection", "create", "toy"]), @r#"
    exit 1
    error: collection `toy` is CHAINED, and TAGGED is needed here
    now: nothing has changed
    "#);
    insta::assert_snapshot!(said(&["collection", "chain", "c"]), @r#"
    exit 2
    error: the following required arguments were not provided:
      <CHILD>...

    Usage: pantler collection chain --repo <REPO> <NAME> <CHILD>...

    For more information, try '--help'.
    "#);
    insta::assert_snapshot!(said(&["collection", "chain", "c", "toy", "x"]), @r#"
    exit 1
    error: there is no collection `x`
    now: nothing has changed
    next: pantler query collections --repo <project>/repo
    "#);
    insta::assert_snapshot!(said(&["collection", "chain", "toy", "c"]), @r#"
    exit 1
    error: chain `toy` cannot contain `c`, which is or contains the chain itself
    now: nothing has changed
    "#);
    insta::assert_snapshot!(said(&["collection", "chain", "t", "toy"]), @r#"
    exit 1
    error: collection `t` is TAGGED, and CHAINED is needed here
    now: nothing has changed
    "#);
    insta::assert_snapshot!(said(&["collection", "remove", "t"]), @r#"
    exit 1
    error: collection `t` is in the chain `c`
    now: nothing has changed
    next: pantler collection show c --repo <project>/repo
    "#);
    insta::assert_snapshot!(said(&["collection", "remove", "toy/raw"]), @r#"
    exit 1
    error: collection `toy/raw` is in the chain `toy`
    now: nothing has changed
    next: pantler collection show toy --repo <project>/repo
    "#);
    project.pantler(&["collection", "create", "lone", "--type", "run"]).expect(0);
    insta::assert_snapshot!(said(&["collection", "remove", "lone"]), @r#"
    exit 1
    error: `lone` is a RUN: it owns its datasets and can only be removed together with them
    now: nothing has changed
    next: pantler remove-run lone --repo <project>/repo
    "#);
    insta::assert_snapshot!(said(&["collection", "remove", "x"]), @r#"
    exit 1
    error: there is no collection `x`
    now: nothing has changed
    next: pantler query collections --repo <project>/repo
    "#);
}

#[test]
fn bad_tags() {
    let project = toy_that_ran(&["a", "b"]);
    project.pantler(&["collection", "create", "t"]).expect(0);
    let a = id(&project, &["number", "item=a"]);
    project.run(&["--new"]).expect(0);
    let copies: Vec<String> = datasets(&project, &["copy", "item=a"])
        .iter()
        .map(|row| row["id"].as_str().unwrap().to_owned())
        .collect();
    project.pantler(&["collection", "tag", "t", &copies[0]]).expect(0);
    let ids = [a.as_str(), copies[0].as_str(), copies[1].as_str()];
    let said = |args: &[&str]| without_ids(&refused(&project, args), &ids);
    insta::assert_snapshot!(said(&["collection", "tag", "t"]), @r#"
    exit 2
    error: no dataset is named
    next: name UUIDs, or a --type with --collections
    "#);
    insta::assert_snapshot!(said(&["collection", "tag", "t", "42"]), @r#"
    exit 2
    error: invalid value '42' for '[UUID|KEY=VALUE]...': expected the UUID of a dataset or key=value: invalid length: found 2

    For more information, try '--help'.
    "#);
    insta::assert_snapshot!(said(&["collection", "tag", "t", "item=a"]), @r#"
    exit 2
    error: values and --collections go with --type
    "#);
    insta::assert_snapshot!(said(&["collection", "tag", "t", "--type", "number"]), @r#"
    exit 2
    error: a --type needs --collections to look in
    next: pantler query collections --repo <project>/repo
    "#);
    insta::assert_snapshot!(said(&["collection", "tag", "t", &a, "--type", "number", "--collections", "toy"]), @r#"
    exit 2
    error: name datasets by UUID or by --type, not both
    "#);
    insta::assert_snapshot!(said(&["collection", "tag", "t", "--type", "number", "--collections", "toy", "item=z"]), @r#"
    exit 1
    error: there is no number item=z in toy
    now: nothing has changed
    next: pantler query datasets number --collections toy --repo <project>/repo
    "#);
    insta::assert_snapshot!(said(&["collection", "tag", "t", "--type", "numbers", "--collections", "toy"]), @r#"
    exit 1
    error: there is no dataset type `numbers`
    now: nothing has changed
    next: pantler query dataset-types --repo <project>/repo
    "#);
    insta::assert_snapshot!(said(&["collection", "tag", "t", "00000000-0000-0000-0000-000000000000"]), @r#"
    exit 1
    error: dataset 00000000-0000-0000-0000-000000000000 is not registered
    now: nothing has changed
    "#);
    insta::assert_snapshot!(said(&["collection", "tag", "t", &copies[1]]), @r#"
    exit 1
    error: dataset copy item=a in toy/<time> (<2>) cannot be put into `t`: there is copy item=a in toy/<time> (<1>)
    now: nothing has changed
    next: pantler collection untag t <1> --repo <project>/repo
    "#);
    insta::assert_snapshot!(said(&["collection", "tag", "toy/raw", &a]), @r#"
    exit 1
    error: collection `toy/raw` is RUN, and TAGGED is needed here
    now: nothing has changed
    "#);
    insta::assert_snapshot!(said(&["collection", "tag", "x", &a]), @r#"
    exit 1
    error: there is no collection `x`
    now: nothing has changed
    next: pantler query collections --repo <project>/repo
    "#);
    insta::assert_snapshot!(said(&["collection", "untag", "t", "00000000-0000-0000-0000-000000000000"]), @r#"
    exit 1
    error: dataset 00000000-0000-0000-0000-000000000000 is not registered
    now: nothing has changed
    "#);
    insta::assert_snapshot!(said(&["collection", "untag", "toy", &a]), @r#"
    exit 1
    error: collection `toy` is CHAINED, and TAGGED is needed here
    now: nothing has changed
    "#);
    insta::assert_snapshot!(said(&["collection", "untag", "t", "--type", "number"]), @r#"
    exit 1
    error: there is no number in t
    now: nothing has changed
    next: pantler query datasets number --collections t --repo <project>/repo
    "#);
}

#[test]
fn bad_chains_and_types_while_a_transaction_is_open() {
    let project = toy(&["a"]);
    project.run(&["--no-commit"]).expect(0);
    let open = open_names(&project, "workspace").remove(0);
    project.pantler(&["dataset-type", "register", "unused", "--storage-class", "Text"]).expect(0);
    let said = |args: &[&str]| refused(&project, args);
    insta::assert_snapshot!(said(&["collection", "chain", "c", &open]), @r#"
    exit 1
    error: run `toy/<time>` is modified by the open transaction `toy/<time>`
    now: nothing has changed
    next: pantler transaction show toy/<time> --repo <project>/repo
    "#);
    insta::assert_snapshot!(said(&["dataset-type", "remove", "unused"]), @r#"
    exit 1
    error: dataset type `unused` cannot be removed while transaction `toy/<time>` is open, which may register datasets of it
    now: nothing has changed
    next: pantler transaction show toy/<time> --repo <project>/repo
    "#);
    project.pantler(&["workspace", "commit", &open]).expect(0);
    project.pantler(&["collection", "chain", "c", &open]).expect(0);
    project.pantler(&["dataset-type", "remove", "unused"]).expect(0);
}

#[test]
fn bad_dataset_types() {
    let project = toy_that_ran(&["a"]);
    let a = id(&project, &["number"]);
    let said = |args: &[&str]| without_ids(&refused(&project, args), &[&a]);
    insta::assert_snapshot!(said(&["dataset-type", "register", "Number", "--storage-class", "Text"]), @r#"
    exit 2
    error: invalid value 'Number' for '<NAME>': invalid dataset type name "Number": it must start with a lower-case letter (a-z)

    For more information, try '--help'.
    "#);
    insta::assert_snapshot!(said(&["dataset-type", "register", "x"]), @r#"
    exit 2
    error: the following required arguments were not provided:
      --storage-class <CLASS>

    Usage: pantler dataset-type register --storage-class <CLASS> --repo <REPO> <NAME>

    For more information, try '--help'.
    "#);
    insta::assert_snapshot!(said(&["dataset-type", "register", "x", "--storage-class", "Fits"]), @r#"
    exit 2
    error: invalid value 'Fits' for '--storage-class <CLASS>': unknown storage class "Fits": expected one of Bytes, Text, Json, Csv, Svg

    For more information, try '--help'.
    "#);
    insta::assert_snapshot!(said(&["dataset-type", "register", "x", "--dimensions", "town", "--storage-class", "Text"]), @r#"
    exit 2
    error: unknown dimension "town" in universe "toy": it has item
    "#);
    insta::assert_snapshot!(said(&["dataset-type", "register", "number", "--storage-class", "Text"]), @r#"
    exit 1
    error: dataset type `number` is Text {item}, and cannot also be Text {}; give the new one another name
    now: nothing has changed
    next: pantler dataset-type list --repo <project>/repo
    "#);
    insta::assert_snapshot!(said(&["dataset-type", "remove", "number"]), @r#"
    exit 1
    error: dataset type `number` has datasets, such as <0>
    now: nothing has changed
    next: pantler query datasets number --repo <project>/repo
    "#);
    insta::assert_snapshot!(said(&["dataset-type", "remove", "x"]), @r#"
    exit 1
    error: there is no dataset type `x`
    now: nothing has changed
    next: pantler query dataset-types --repo <project>/repo
    "#);
}

#[test]
fn bad_records() {
    let project = sky();
    project.pantler(&["record", "insert", "band", "band=g"]).expect(0);
    let g1 = ["record", "insert", "filter", "filter=g1", "band=g", "width=150"];
    project.pantler(&g1).expect(0);
    let said = |args: &[&str]| refused(&project, &[&["record", "insert"], args].concat());
    insta::assert_snapshot!(said(&["town", "town=a"]), @r#"
    exit 2
    error: unknown dimension "town" in universe "sky": it has band, filter, visit
    "#);
    insta::assert_snapshot!(said(&["band"]), @r#"
    exit 2
    error: no record is given
    next: give its fields as KEY=VALUE, or --file FILE
    "#);
    insta::assert_snapshot!(said(&["band", "g"]), @r#"
    exit 2
    error: invalid value 'g' for '[KEY=VALUE]...': expected key=value, such as city=oslo

    For more information, try '--help'.
    "#);
    insta::assert_snapshot!(said(&["band", "band="]), @r#"
    exit 2
    error: invalid value 'band=' for '[KEY=VALUE]...': there is no value after `band=`

    For more information, try '--help'.
    "#);
    insta::assert_snapshot!(said(&["band", "band=r", "band=g"]), @r#"
    exit 2
    error: `band` was given twice
    "#);
    insta::assert_snapshot!(said(&["visit", "visit=one"]), @r#"
    exit 2
    error: `visit`: expected an integer, found "one"
    "#);
    insta::assert_snapshot!(said(&["visit", "visit=1", "good=yes"]), @r#"
    exit 2
    error: `good`: expected true or false, found "yes"
    "#);
    insta::assert_snapshot!(said(&["filter", "filter=r1", "band=g"]), @r#"
    exit 2
    error: `width` is missing
    "#);
    insta::assert_snapshot!(said(&["filter", "filter=r1", "width=1"]), @r#"
    exit 2
    error: `band` is missing
    "#);
    insta::assert_snapshot!(said(&["filter", "filter=r1", "band=g", "width=1", "hue=3"]), @r#"
    exit 2
    error: element `filter` has no field `hue`
    "#);
    insta::assert_snapshot!(said(&["filter", "filter=r1", "band=r", "width=1"]), @r#"
    exit 1
    error: there is no band record for band=r; insert it first
    now: nothing has changed
    next: pantler record insert band band=r --repo <project>/repo
    "#);
    insta::assert_snapshot!(said(&["filter", "filter=g1", "band=g", "width=151"]), @r#"
    exit 1
    error: the filter record filter=g1 exists with another value of `width`
    now: nothing has changed
    next: pantler record list filter --repo <project>/repo
    "#);
}

#[test]
fn bad_record_files() {
    let project = sky();
    project.pantler(&["record", "insert", "band", "band=g"]).expect(0);
    let said = |args: &[&str]| refused(&project, &[&["record", "insert"], args].concat());
    let file = |name: &str, text: &str| {
        project.write(name, text);
        let path = project.path().join(name);
        said(&["filter", "--file", path.as_str()])
    };
    insta::assert_snapshot!(file("f.csv", "filter,band,width\nr1,g,1\nr2,g,wide\n"), @r#"
    exit 1
    error: <project>/f.csv: line 3: `width`: expected a number, found "wide"
    now: nothing has changed
    "#);
    insta::assert_snapshot!(file("f.csv", "filter,band,width\nr1,g,1\nr2,g\n"), @r#"
    exit 1
    error: <project>/f.csv: CSV error: record 2 (line: 3, byte: 25): found record with 2 fields, but the previous record has 3 fields
    now: nothing has changed
    "#);
    // The first is good, the second names a band that is not there: none is inserted.
    insta::assert_snapshot!(file("f.csv", "filter,band,width\nr1,g,1\nr2,r,1\n"), @r#"
    exit 1
    error: there is no band record for band=r; insert it first
    now: nothing has changed
    next: pantler record insert band band=r --repo <project>/repo
    "#);
    insta::assert_snapshot!(file("f.json", "{\"filter\": \"r1\"}"), @r#"
    exit 1
    error: <project>/f.json: invalid type: map, expected a sequence at line 1 column 0
    now: nothing has changed
    "#);
    insta::assert_snapshot!(file("f.yaml", "- {filter: r1, band: g, width: [1]}\n"), @r#"
    exit 1
    error: <project>/f.yaml: expected a text, a number, true, false or null at line 1, column 32
    now: nothing has changed
    "#);
    insta::assert_snapshot!(file("f.yaml", "version: 9\nrecords: {}\n"), @r#"
    exit 1
    error: <project>/f.yaml has version 9, this program knows 1: use a newer pantler
    now: nothing has changed
    "#);
    insta::assert_snapshot!(file("f.txt", "r1\n"), @r#"
    exit 1
    error: <project>/f.txt: the name must end with .csv, .json, .yaml or .yml
    now: nothing has changed
    "#);
    let missing = project.path().join("missing.csv");
    insta::assert_snapshot!(said(&["filter", "--file", missing.as_str()]), @r#"
    exit 1
    error: cannot read <project>/missing.csv
      because: No such file or directory (os error 2)
    now: nothing has changed
    "#);
    let both = project.path().join("f.csv");
    insta::assert_snapshot!(said(&["filter", "filter=r1", "--file", both.as_str()]), @r#"
    exit 2
    error: the argument '[KEY=VALUE]...' cannot be used with '--file <FILE>'

    Usage: pantler record insert --repo <REPO> <ELEMENT> <KEY=VALUE>...

    For more information, try '--help'.
    "#);
    insta::assert_snapshot!(refused(&project, &["record", "list", "town"]), @r#"
    exit 1
    error: unknown dimension "town" in universe "sky": it has band, filter, visit
    "#);
}
