"""The work of `side_by_side.rs`, done by the Python daf_butler: one round.

Usage: side_by_side.py FOLDER. FOLDER has `sources`, one JSON file for each dataset, and
gets a repository. Prints the seconds that each part took as one line of JSON.
"""

import json
import pathlib
import sys
import time

from lsst.daf.butler import Butler, Config, DatasetRef, DatasetType, FileDataset

DETECTORS = range(1, 5)
JSON = "lsst.daf.butler.formatters.json.JsonFormatter"


def repository(root, visits):
    """Makes a repository with the dimension records that the data IDs need."""
    config = Config()
    # Plain JSON on both sides, not YAML.
    config["datastore", "formatters"] = {"single": JSON, "file": JSON}
    Butler.makeRepo(root, config=config)
    butler = Butler.from_config(root, run="bench", writeable=True)
    insert = butler.registry.insertDimensionData
    insert(
        "instrument",
        {"name": "cam", "visit_max": visits, "exposure_max": visits, "detector_max": 10},
    )
    insert(
        "detector",
        *[{"instrument": "cam", "id": d, "full_name": f"d{d}"} for d in DETECTORS],
    )
    insert("day_obs", {"instrument": "cam", "id": 20200101})
    insert("physical_filter", {"instrument": "cam", "name": "r", "band": "r"})
    numbers = range(1, visits + 1)
    insert("group", *[{"instrument": "cam", "name": f"g{n}"} for n in numbers])
    exposure = {"instrument": "cam", "physical_filter": "r", "day_obs": 20200101}
    insert(
        "exposure",
        *[{**exposure, "id": n, "obs_id": str(n), "group": f"g{n}"} for n in numbers],
    )
    for name in ("single", "file"):
        butler.registry.registerDatasetType(
            DatasetType(
                name,
                ["exposure", "detector"],
                "StructuredDataDict",
                universe=butler.dimensions,
            )
        )
    return butler


def main():
    folder = pathlib.Path(sys.argv[1])
    sources = sorted((folder / "sources").iterdir())
    visits = len(sources) // len(DETECTORS)
    singles = int(sys.argv[2])
    butler = repository(str(folder / "repo"), visits)
    data_ids = [
        {"instrument": "cam", "exposure": n, "detector": d}
        for n in range(1, visits + 1)
        for d in DETECTORS
    ]
    took = {}

    def timed(name, work):
        begin = time.perf_counter()
        value = work()
        took[name] = time.perf_counter() - begin
        return value

    contents = [json.loads(path.read_text()) for path in sources[:singles]]
    single = butler.get_dataset_type("single")
    puts = timed(
        "put",
        lambda: [butler.put(c, single, i) for c, i in zip(contents, data_ids)],
    )

    file = butler.get_dataset_type("file")
    refs = [
        DatasetRef(file, butler.registry.expandDataId(i), run="bench") for i in data_ids
    ]
    datasets = [FileDataset(str(path), [ref]) for path, ref in zip(sources, refs)]
    timed("ingest", lambda: butler.ingest(*datasets, transfer="copy"))

    got = timed("get", lambda: [butler.get(ref) for ref in puts])
    assert got == contents

    query = lambda: butler.query_datasets("file", collections="bench", limit=None)
    assert len(timed("query", query)) == len(sources)

    prune = lambda: butler.pruneDatasets(
        refs, unstore=True, purge=True, disassociate=True
    )
    timed("delete", prune)
    print(json.dumps(took))


if __name__ == "__main__":
    main()
