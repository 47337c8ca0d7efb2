"""The constant: the median of its training materials, a model family like any other."""

import numpy as np
import pytest

from supervision.data.crystals import Crystal, group_materials
from supervision.data.datasets import load_dataset
from supervision.data.errors import CrystalError
from supervision.models.constant.config import ConstantConfig
from supervision.models.constant.predictor import ConstantPredictor
from supervision.models.families import load_predictor


@pytest.fixture(scope="module")
def materials():
    return group_materials(load_dataset("classics").crystals[:30])


def test_it_answers_the_median_of_its_training_materials(materials, tmp_path):
    predictor = ConstantPredictor(ConstantConfig())
    (record,) = predictor.fit(materials[:20], materials[20:])
    median = float(np.median([m.tc for m in materials[:20]]))
    crystals = [m.crystals[0] for m in materials[20:]]
    assert predictor.predict(crystals) == pytest.approx([median] * len(crystals))
    assert record.val_mae == pytest.approx(np.mean([abs(m.tc - median) for m in materials[20:]]))
    predictor.save(tmp_path)
    assert load_predictor(tmp_path).predict(crystals[:1]) == predictor.predict(crystals[:1])


def test_it_refuses_what_no_model_can_read():
    predictor = ConstantPredictor(ConstantConfig(), 4.0)
    with pytest.raises(CrystalError, match=r"^broken: "):
        predictor.predict([Crystal("broken", "", "no CIF")])
