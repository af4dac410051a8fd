use super::*;

#[test]
fn modes_and_schemes_have_one_name_each() {
    for mode in TransferMode::ALL {
        assert_eq!(mode.name().parse(), Ok(mode));
    }
    for scheme in IdScheme::ALL {
        assert_eq!(scheme.name().parse(), Ok(scheme));
    }
    assert!("link".parse::<TransferMode>().is_err());
}

/// The ids that `daf_butler` gives the same datasets.
#[test]
fn ids_are_those_of_daf_butler() {
    let universe = pantler_core::Universe::from_yaml(
        "version: 1
name: camera
elements:
  instrument: {key: string}
  detector: {key: integer, requires: [instrument]}
  physical_filter: {key: string, requires: [instrument]}
",
    )
    .unwrap();
    let run = CollectionName::new("u/me/run1").unwrap();
    let id = |scheme: IdScheme, name: &str, values: &[(&str, &str)]| {
        let dimensions = universe.group(values.iter().map(|(name, _)| *name)).unwrap();
        let values = values.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        let data_id = DataId::parse(&universe, &dimensions, &values.collect()).unwrap();
        let storage_class = pantler_core::StorageClass::Text;
        let name = pantler_core::DatasetTypeName::new(name).unwrap();
        let dataset_type = DatasetType { name, dimensions, storage_class };
        scheme.derive(&dataset_type, &data_id, &run).map(|id| id.to_string())
    };
    let first = [("instrument", "Cam1"), ("detector", "1")];
    let filtered = [("instrument", "Cam1"), ("detector", "2"), ("physical_filter", "Cam1-G")];
    for (scheme, name, values, expected) in [
        (IdScheme::DataIdType, "d", &first[..], "157b58a9-f1e0-57db-89c3-9d5b169d59af"),
        (IdScheme::DataIdTypeRun, "d", &first, "d733116d-233f-5d89-9bd7-8aa474be9e81"),
        (IdScheme::DataIdTypeRun, "flat2", &filtered, "f85d39c8-c0e2-5832-ba11-a90d6cec61ea"),
    ] {
        assert_eq!(id(scheme, name, values).as_deref(), Some(expected), "{scheme:?} {name}");
    }
    assert_eq!(id(IdScheme::Unique, "d", &first), None);
}
