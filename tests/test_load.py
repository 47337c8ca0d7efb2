"""Many clients at once on a real server: each row is answered as when it is asked alone."""

import json
import random

import pytest
from logged import MODEL_FAMILIES, untrained
from releases import write_release
from servers import ask, rows, serving

from benchmarks.hostile_cif import HOSTILE, MISREAD
from benchmarks.servers import PATHS, keep_asking
from supervision.data.datasets import load_dataset
from tracking import runs
from tracking.serving import registry

pytestmark = pytest.mark.slow

CLIENTS, REQUESTS = 32, 64
SERVERS = {f"{kind}-{family}": (kind, family) for kind in PATHS for family in MODEL_FAMILIES}
LONG = [name for name, (_, family) in SERVERS.items() if family != "composition"]
CRYSTALS = load_dataset("classics").crystals[::12]
REFUSED = "half of a character"  # which is no text for pandas: MLflow refuses the whole request
HARD = [text for name, (text, _) in (HOSTILE | MISREAD).items() if name != REFUSED]
TEXTS = [c.cif for c in CRYSTALS] + HARD


@pytest.fixture(
    scope="module",
    params=[pytest.param(n, marks=[pytest.mark.long] * (n in LONG)) for n in SERVERS],
)
def server(request, store, tmp_path_factory):
    """A server of an untrained network, or of trees that know materials."""
    kind, family = SERVERS[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    if family == "composition":
        predictor = write_release(folder / "released") / "ensemble"
    else:
        predictor = folder / "predictor"
        untrained(family).save(predictor)
    model = str(predictor) if kind == "app" else _log(predictor, family)
    with serving(model, store[1], folder / "log", kind=kind) as started:
        yield started


def _log(predictor, family):
    with runs.tracked_run(f"{family}, under load"):
        return registry.log_predictor(predictor, family, CRYSTALS[0].cif, "none")


@pytest.fixture(scope="module")
def alone(server):
    """The answer to each text, asked for alone."""
    answers = {}
    for text in TEXTS:
        status, answer = ask(server, rows(text))
        assert status == 200
        (answers[text],) = answer["predictions"]
    assert {row["error"] == "" for row in answers.values()} == {True, False}
    return answers


def requests():
    """The texts of requests with one to eight rows, good and bad ones mixed."""
    rng = random.Random(23)
    return [rng.choices(TEXTS, k=rng.randint(1, 8)) for _ in range(REQUESTS)]


def body(request, texts):
    """A request whose rows have names of their own."""
    data = [[f"request {request}, row {row}", text] for row, text in enumerate(texts)]
    return json.dumps({"dataframe_split": {"columns": ["id", "cif"], "data": data}}).encode()


@pytest.mark.parametrize("seconds", [2, pytest.param(60, marks=pytest.mark.long)])
def test_many_clients_get_the_answers_that_each_text_gets_alone(server, alone, seconds):
    asked = requests()
    bodies = [body(number, texts) for number, texts in enumerate(asked)]
    replies = list(keep_asking(server, bodies, clients=CLIENTS, seconds=seconds))
    assert len(replies) >= CLIENTS
    assert {reply.status for _, reply in replies} == {200}
    for number, reply in replies:
        assert json.loads(reply.content)["predictions"] == [
            alone[text] | {"name": f"request {number}, row {row}"}
            for row, text in enumerate(asked[number])
        ]
