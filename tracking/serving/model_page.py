"""The descriptions of registered models and of their versions: a card, a picture, how to ask it.

A version has the card of its model. A registered model shows that of the version which it serves.
"""

from collections.abc import Sequence

from supervision.answer.columns import column
from supervision.data.quantity import TC, Quantity
from supervision.models.families import ModelFamily
from supervision.release.card import LIMITS_OF_ALL, SOURCES
from tracking.description import picture, run_link

MAX_DESCRIPTION = 5000  # characters of the registry's columns: PostgreSQL refuses more
PORT = 5001
SERVE = "## Serve"
PARITY_FILE = "plots/parity.png"  # artifact of every run that registers a model
LABELS = (
    "Use it to rank candidates: in its training data a Tc of 0 means that none was reported, not "
    "that the material does not superconduct."
)


def card(
    what: str, data: str, errors: str, limits: Sequence[str] = (LABELS, *LIMITS_OF_ALL)
) -> str:
    """A short model card, Markdown: what the model is, its data, its errors, its limits."""
    listed = "\n".join(f"- {limit}" for limit in limits)
    return f"{what}\n\n## Data\n\n{data}\n\n## Errors\n\n{errors}\n\n## Limits\n\n{listed}"


def data_section(materials: int, dataset: str, extra: Sequence[str]) -> str:
    """The data of a card: how many materials a data set has, and what else was learned from."""
    names = "\n".join(f"- {SOURCES.get(name, name)}." for name in (dataset, *extra))
    further = ", and rows of the other sources" if extra else ""
    return f"{materials:,} materials for training, validation and test{further}:\n\n{names}"


def picture_section(run: str, quantity: Quantity = TC) -> str:
    """The picture of a card, from the run that has logged the model, and where there are others."""
    shown = "measured Tc" if quantity.is_tc else f"known {quantity.symbol}"
    drawn = picture(run, PARITY_FILE, f"predicted against {shown}")
    return f"{drawn}\n\nPredicted against {shown}; [the run]({run_link(run)}) has further plots."


def version_page(card: str, uri: str, quantity: Quantity = TC) -> str:
    """The description of a version at ``uri``."""
    return f"{card}\n\n{_serve(uri, quantity)}"


def model_page(
    family: ModelFamily, alias: str, number: str, version_description: str, quantity: Quantity = TC
) -> str:
    """The description of a registered model, of which ``alias`` names the version to serve."""
    shown = version_description.partition(SERVE)[0].strip()
    of_tc = "Critical temperature Tc (K) of a superconductor"
    what = of_tc if quantity.is_tc else f"{quantity.heading} of a crystal"
    uri = f"models:/{family.model_name_of(quantity)}@{alias}"
    return (
        f"{what} by a model that reads {family.reads}.\n\n"
        f"{_serve(uri, quantity)}\n\n# Version {number}\n\n{shown}"
    )


def _serve(uri: str, quantity: Quantity) -> str:
    """How to serve a model and to ask it, with the code to paste."""
    value = column("tc_kelvin", quantity)
    return f"""{SERVE}

With `MLFLOW_TRACKING_URI` set to this store:

```bash
mlflow models serve -m {uri} --env-manager local -p {PORT}
```

```python
import requests

rows = [{{"cif": open("crystal.cif").read()}}]
url = "http://127.0.0.1:{PORT}/invocations"
print(requests.post(url, json={{"dataframe_records": rows}}).json()["predictions"])
```

A row has a `cif` (CIF or POSCAR text, partial occupancies included) or, for models that read \
formulas, a `formula`. Its answer has `{value}` with the 90% interval, the domain, the nearest \
known materials and remarks, or an `error`."""
