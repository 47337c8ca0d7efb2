"""The transformation between Tc in kelvin and model space."""

import json

import numpy as np
import pytest

from supervision.training.target import TC_KINDS as KINDS
from supervision.training.target import TargetTransform

TC = np.array([0.0, 0.0, 0.4, 2.4, 9.2, 18.3, 39.0, 92.0, 132.9])


@pytest.mark.parametrize("kind", KINDS)
def test_decode_inverts_encode(kind):
    target = TargetTransform.fit(TC, kind)
    np.testing.assert_allclose(target.decode(target.encode(TC)), TC, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_fit_gives_mean_zero_and_deviation_one(kind):
    z = TargetTransform.fit(TC, kind).encode(TC)
    assert z.mean() == pytest.approx(0, abs=1e-12)
    assert z.std() == pytest.approx(1)


@pytest.mark.parametrize("kind", KINDS)
def test_encode_and_decode_are_monotonic(kind):
    target = TargetTransform.fit(TC, kind)
    assert (np.diff(target.encode(np.linspace(0, 300, 1000))) > 0).all()
    assert (np.diff(target.decode(np.linspace(-5, 5, 1000))) >= 0).all()


@pytest.mark.parametrize(
    ("kind", "encoded"),
    [("identity", [0.0, 3.0, 8.0]), ("sqrt", [0.0, 3**0.5, 8**0.5]), ("log1p", np.log([1, 4, 9]))],
    ids=["identity", "sqrt", "log1p"],
)
def test_encode_has_the_values_computed_by_hand(kind, encoded):
    np.testing.assert_allclose(TargetTransform(kind).encode([0, 3, 8]), encoded)


def test_ranks_have_the_values_computed_by_hand():
    target = TargetTransform.fit(np.array([0.0, 0.0, 4.0, 10.0]), "rank")
    ranks = [0.25, 0.625, 0.875]  # the two equal ones share the middle of their half
    np.testing.assert_allclose(
        target.encode([0.0, 4.0, 10.0]) * target.scale + target.centre, ranks
    )
    np.testing.assert_allclose(target.decode(target.encode([7.0])), [7.0])
    outside = target.decode((np.array([0.0, 1.0]) - target.centre) / target.scale)
    np.testing.assert_allclose(outside, [0.0, 10.0])  # not outside what was trained on


def test_ranks_of_many_temperatures_have_few_knots():
    tc = np.random.default_rng(0).gamma(0.6, 12, 3000).round(2)
    target = TargetTransform.fit(tc, "rank")
    assert len(target.knots) <= 257
    np.testing.assert_allclose(target.decode(target.encode(tc)), tc, atol=1e-9)
    share = [(tc < t).mean() + (tc == t).mean() / 2 for t in (0.5, 5.0, 30.0)]
    found = target.encode([0.5, 5.0, 30.0]) * target.scale + target.centre
    np.testing.assert_allclose(found, share, atol=0.005)


def test_centre_and_scale_have_the_values_computed_by_hand():
    target = TargetTransform.fit(np.array([1.0, 9.0]), "sqrt")  # roots 1 and 3
    assert (target.centre, target.scale) == (2.0, 1.0)
    np.testing.assert_allclose(target.encode([4.0, 16.0]), [0.0, 2.0])
    np.testing.assert_allclose(target.decode(np.array([0.0, 2.0])), [4.0, 16.0])


@pytest.mark.parametrize("kind", KINDS)
def test_no_prediction_is_below_zero_kelvin(kind):
    decoded = TargetTransform.fit(TC, kind).decode(np.array([-100.0, -3.0, 0.0]))
    assert (decoded >= 0).all()
    assert decoded[0] == 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tc", [0.0, 0.1, 0.3, 39.0])
def test_equal_temperatures_are_centred_and_not_scaled(kind, tc):
    target = TargetTransform.fit(np.full(3, tc), kind)
    assert target.scale == 1.0
    np.testing.assert_allclose(target.encode(np.full(3, tc)), 0, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bad", [-1e-9, -4.2, np.nan], ids=["just below", "negative", "nan"])
def test_invalid_temperatures_are_refused(kind, bad):
    with pytest.raises(ValueError, match="0 K or more"):
        TargetTransform(kind).encode([1.0, bad])
    with pytest.raises(ValueError, match="0 K or more"):
        TargetTransform.fit(np.array([1.0, bad]), kind)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "cubic"}, "cubic"),
        ({"scale": 0.0}, "0.0"),
        ({"scale": -1.0}, "-1.0"),
        ({"scale": float("nan")}, "nan"),
        ({"scale": float("inf")}, "inf"),
        ({"centre": float("nan")}, "nan"),
    ],
    ids=str,
)
def test_invalid_settings_are_refused_with_their_value(settings, message):
    with pytest.raises(ValueError, match=message):
        TargetTransform(**settings)


def test_fit_without_values_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        TargetTransform.fit(np.array([]))


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_and_loaded_transformation_is_equal(kind):
    target = TargetTransform.fit(TC, kind)
    loaded = TargetTransform(**json.loads(json.dumps(target.to_dict())))
    assert loaded == target
    assert np.array_equal(loaded.encode(TC), target.encode(TC))
