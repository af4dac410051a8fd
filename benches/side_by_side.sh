#!/bin/sh
# The same work by the Python daf_butler and by Pantler, side by side. Installs
# lsst-daf-butler, lsst-pipe-base and lsst-ctrl-mpexec from PyPI into a virtual environment in a temporary directory; needs
# python3 (3.11 or later) and cargo.
set -eu
cd "$(dirname "$0")/.."
environment=$(mktemp -d)
trap 'rm -rf "$environment"' EXIT INT TERM
python3 -m venv "$environment"
"$environment/bin/pip" install --quiet lsst-daf-butler lsst-pipe-base lsst-ctrl-mpexec
"$environment/bin/pip" list 2>/dev/null | grep -i -E '^lsst-(daf-butler|pipe-base|ctrl-mpexec)'
"$environment/bin/python" --version
SIDE_BY_SIDE_PYTHON=$environment/bin cargo bench --bench side_by_side
