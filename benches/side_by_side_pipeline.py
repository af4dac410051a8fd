"""The pipeline of `side_by_side.rs`, built, run and registered by the Python stack: one round.

Usage: side_by_side_pipeline.py FOLDER. FOLDER has `sources`, one JSON file for each input,
and gets a repository. Two tasks: `expose` copies the image of an exposure and a detector,
`join` writes what the frames of one exposure have together. The quanta run one after the
other in this process over a quantum-backed butler, which does not touch the database;
then what they made is transferred into the repository. Prints the seconds of each part
and the bytes of the graph file as one line of JSON.
"""

import json
import pathlib
import sys
import time

from lsst.daf.butler import Butler, DatasetRef, DatasetType, FileDataset
from lsst.pipe.base import (
    Pipeline,
    PipelineTask,
    PipelineTaskConfig,
    PipelineTaskConnections,
    Struct,
    connectionTypes,
)

CLASS = "StructuredDataDict"


class ExposeConnections(
    PipelineTaskConnections, dimensions=("instrument", "exposure", "detector")
):
    image = connectionTypes.Input(
        name="file",
        doc="What came in",
        dimensions=("instrument", "exposure", "detector"),
        storageClass=CLASS,
    )
    frame = connectionTypes.Output(
        name="frame",
        doc="The same",
        dimensions=("instrument", "exposure", "detector"),
        storageClass=CLASS,
    )


class ExposeConfig(PipelineTaskConfig, pipelineConnections=ExposeConnections):
    pass


class ExposeTask(PipelineTask):
    ConfigClass = ExposeConfig
    _DefaultName = "expose"

    def run(self, image):
        return Struct(frame=image)


class JoinConnections(PipelineTaskConnections, dimensions=("instrument", "exposure")):
    frames = connectionTypes.Input(
        name="frame",
        doc="The frames of all detectors",
        dimensions=("instrument", "exposure", "detector"),
        storageClass=CLASS,
        multiple=True,
    )
    visit_frame = connectionTypes.Output(
        name="visit_frame",
        doc="Their numbers",
        dimensions=("instrument", "exposure"),
        storageClass=CLASS,
    )


class JoinConfig(PipelineTaskConfig, pipelineConnections=JoinConnections):
    pass


class JoinTask(PipelineTask):
    ConfigClass = JoinConfig
    _DefaultName = "join"

    def run(self, frames):
        return Struct(visit_frame={"numbers": [frame["number"] for frame in frames]})


def build(root, graph):
    from lsst.pipe.base.all_dimensions_quantum_graph_builder import (
        AllDimensionsQuantumGraphBuilder,
    )

    pipeline = Pipeline("side by side")
    # The modules of tasks are imported by name.
    pipeline.addTask("side_by_side_pipeline.ExposeTask", "expose")
    pipeline.addTask("side_by_side_pipeline.JoinTask", "join")
    with Butler.from_config(root, collections=["bench"], run="frames", writeable=True) as butler:
        builder = AllDimensionsQuantumGraphBuilder(pipeline.to_graph(), butler)
        components = builder.finish(output="", metadata={}, attach_datastore_records=True)
        components.write(graph)
        return len(components.quantum_datasets)


def run(root, graph):
    from lsst.ctrl.mpexec.cli.script.pre_exec_init_qbb import pre_exec_init_qbb
    from lsst.ctrl.mpexec.cli.script.run_qbb import run_qbb
    from lsst.pipe.base import TaskFactory

    pre_exec_init_qbb(root, graph, None, None)
    run_qbb(
        task_factory=TaskFactory(),
        butler_config=root,
        qgraph=graph,
        config_search_path=None,
        qgraph_id=None,
        qgraph_node_id=None,
        processes=1,
        pdb=None,
        profile=None,
        debug=False,
        start_method=None,
        timeout=None,
        fail_fast=True,
        summary=None,
        enable_implicit_threading=False,
        cores_per_quantum=1,
        memory_per_quantum="",
        raise_on_partial_outputs=True,
        no_existing_outputs=True,
    )


def register(root, graph):
    from lsst.pipe.base.script import transfer_from_graph

    return transfer_from_graph(graph, root, True, False, False, False, ())


def main():
    from side_by_side import DETECTORS, repository

    folder = pathlib.Path(sys.argv[1])
    sources = sorted((folder / "sources").iterdir())
    visits = len(sources) // len(DETECTORS)
    root = str(folder / "repo")
    butler = repository(root, visits)
    file = butler.get_dataset_type("file")
    data_ids = [
        {"instrument": "cam", "exposure": n, "detector": d}
        for n in range(1, visits + 1)
        for d in DETECTORS
    ]
    refs = [DatasetRef(file, butler.registry.expandDataId(i), run="bench") for i in data_ids]
    butler.ingest(
        *[FileDataset(str(path), [ref]) for path, ref in zip(sources, refs)], transfer="copy"
    )
    butler.close()
    graph = str(folder / "frames.qg")
    took = {}

    def timed(name, work):
        begin = time.perf_counter()
        value = work()
        took[name] = time.perf_counter() - begin
        return value

    quanta = timed("build", lambda: build(root, graph))
    assert quanta == visits * (len(DETECTORS) + 1), quanta
    took["graph"] = pathlib.Path(graph).stat().st_size
    timed("run", lambda: run(root, graph))
    registered = timed("commit", lambda: register(root, graph))
    # Each quantum has a log and metadata beside its output.
    assert registered >= 3 * quanta, registered
    took["datasets"] = registered
    print(json.dumps(took))


if __name__ == "__main__":
    main()
