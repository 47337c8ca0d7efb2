"""The notebooks of examples/ run from their first cell to the last."""

import nbformat
import pytest
from nbclient import NotebookClient
from projects import ROOT

pytestmark = pytest.mark.slow

NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
TIMEOUT_SECONDS = 300
# In place of the cell with the tag "parameters": the search among the crystals of examples/.
SMALL = f"""
PARENTS = "generate:{ROOT}/examples/structures?fractions=1&plausibility=0.04"
SHORTLIST, CHOSEN = 12, 2
"""


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, marks=[] if path.stem == "03_candidates" else [pytest.mark.long])
        for path in NOTEBOOKS
    ],
    ids=lambda path: path.stem,
)
def test_a_notebook_runs(path, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if "parameters" in cell.metadata.get("tags", ()):
            cell.source = SMALL
    client = NotebookClient(
        notebook, timeout=TIMEOUT_SECONDS, resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert [o["text"] for o in outputs if o.get("name") == "stderr"] == []
    assert any("tc_kelvin" in str(o.get("data", "")) for o in outputs)


def test_there_are_notebooks():
    assert [path.stem for path in NOTEBOOKS] == [
        "01_predict_and_compare", "02_own_data", "03_candidates"
    ]  # fmt: skip


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_without_outputs(path):
    """Outputs hold paths and numbers of one machine."""
    for cell in nbformat.read(path, as_version=4).cells:
        assert not cell.get("outputs") and not cell.get("execution_count")
