//! Who may depend on what, and what the library must not know.

use std::collections::BTreeMap;

use cargo_metadata::{DependencyKind, MetadataCommand};

/// crate → the crates of this workspace that it may name.
const LAYERS: [(&str, &[&str]); 11] = [
    ("core", &[]),
    ("seam", &[]),
    ("butler", &["core", "seam"]),
    ("registry", &["core", "seam"]),
    ("datastore", &["core", "seam"]),
    ("direct", &["core", "seam", "butler", "registry", "datastore"]),
    ("graph", &["core", "butler"]),
    ("exec", &["core", "seam", "butler", "graph", "datastore"]),
    ("workspace", &["core", "seam", "butler", "registry", "datastore", "direct", "graph", "exec"]),
    (
        "cli",
        &[
            "core",
            "seam",
            "butler",
            "registry",
            "datastore",
            "direct",
            "graph",
            "exec",
            "workspace",
        ],
    ),
    ("testkit", &["registry", "datastore"]),
];

/// Foreign crates that one crate alone may name.
const OWNED: [(&str, &str); 3] =
    [("rusqlite", "registry"), ("object_store", "datastore"), ("petgraph", "graph")];

fn dependencies() -> BTreeMap<String, Vec<String>> {
    let metadata = MetadataCommand::new()
        .manifest_path(crate::source_root().join("Cargo.toml"))
        .no_deps()
        .exec()
        .unwrap();
    let mut found = BTreeMap::new();
    for package in &metadata.packages {
        let names = package
            .dependencies
            .iter()
            .filter(|d| d.kind != DependencyKind::Development)
            .map(|d| d.name.clone())
            .collect();
        found.insert(package.name.to_string(), names);
    }
    found
}

#[test]
fn crates_depend_one_way() {
    let found = dependencies();
    for (name, names) in &found {
        let Some(name) = name.strip_prefix("pantler-") else { continue };
        let allowed = LAYERS.iter().find(|(layer, _)| *layer == name);
        let (_, allowed) = allowed.unwrap_or_else(|| panic!("crate {name} has no layer"));
        for dependency in names.iter().filter_map(|n| n.strip_prefix("pantler-")) {
            assert!(allowed.contains(&dependency), "{name} must not depend on {dependency}");
        }
    }
    for (layer, _) in LAYERS {
        assert!(found.contains_key(&format!("pantler-{layer}")), "crate {layer} is gone");
    }
}

#[test]
fn sql_storage_and_graph_libraries_have_one_owner() {
    for (name, names) in dependencies() {
        for (library, owner) in OWNED {
            assert!(
                !names.iter().any(|n| n == library) || name == format!("pantler-{owner}"),
                "{name} must not depend on {library}: only pantler-{owner} may"
            );
        }
    }
}

/// Cargo itself shows that what runs quanta cannot reach SQL, not even through others.
#[test]
fn running_code_cannot_reach_sql() {
    let metadata = MetadataCommand::new()
        .manifest_path(crate::source_root().join("Cargo.toml"))
        .exec()
        .unwrap();
    let resolve = metadata.resolve.unwrap();
    let name_of = |id: &cargo_metadata::PackageId| {
        metadata.packages.iter().find(|p| p.id == *id).unwrap().name.to_string()
    };
    let start = metadata.packages.iter().find(|p| p.name.as_str() == "pantler-exec").unwrap();
    let mut seen = vec![start.id.clone()];
    let mut at = 0;
    while at < seen.len() {
        let node = resolve.nodes.iter().find(|n| n.id == seen[at]).unwrap();
        for dependency in &node.deps {
            let normal = dependency.dep_kinds.iter().any(|k| k.kind == DependencyKind::Normal);
            if normal && !seen.contains(&dependency.pkg) {
                seen.push(dependency.pkg.clone());
            }
        }
        at += 1;
    }
    let names: Vec<_> = seen.iter().map(name_of).collect();
    assert!(names.iter().any(|n| n == "pantler-datastore"), "the walk finds something");
    for banned in ["rusqlite", "libsqlite3-sys", "pantler-registry", "pantler-direct"] {
        assert!(!names.iter().any(|n| n == banned), "pantler-exec reaches {banned}");
    }
}

/// Nothing in the program knows its example.
#[test]
fn the_library_does_not_know_the_example() {
    let mut checked = 0;
    for folder in ["crates", "src"] {
        let mut folders = vec![crate::source_root().join(folder)];
        while let Some(at) = folders.pop() {
            for entry in at.read_dir_utf8().unwrap() {
                let path = entry.unwrap().into_path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension() == Some("rs") {
                    let text = std::fs::read_to_string(&path).unwrap().to_lowercase();
                    checked += 1;
                    for word in ["seattle", "san_francisco", "hourly", "examples/weather"] {
                        assert!(!text.contains(word), "{path} knows {word:?}");
                    }
                }
            }
        }
    }
    assert!(checked > 100, "only {checked} files were looked at");
}
