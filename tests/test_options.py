"""Options of config dataclasses: types, conditional defaults, errors that name the option."""

from dataclasses import dataclass

import pytest

from supervision.models.families import default_configs, family_names, get_family
from supervision.models.vision.config import VisionConfig
from supervision.runtime.options import configure, option, options_of


@dataclass(frozen=True)
class Oven:
    heat: int = option(200, "degrees", when={"dish=cake": 180, "place=alps": 220})
    fan: bool = option(False, "use the fan")
    dish: str = option("bread", "what is baked")
    door: float = 1.0  # not an option


def bake(given, facts=None, **fixed):
    return configure([Oven], given, facts or {}, **fixed)[0]


def test_options_are_the_fields_with_a_help_text_in_order():
    assert [(o.name, o.type, o.shown_default) for o in options_of(Oven)] == [
        ("heat", int, "auto"),
        ("fan", bool, False),
        ("dish", str, "bread"),
    ]


def test_auto_and_a_missing_value_give_the_default():
    assert bake({}) == bake({"heat": "auto"}) == Oven()


def test_the_default_depends_on_other_options_and_on_facts():
    assert bake({"dish": "cake"}).heat == 180
    assert bake({}, {"place": "alps"}).heat == 220
    assert bake({"dish": "cake"}, {"place": "alps"}).heat == 180, "the first condition that is met"
    assert bake({"dish": "cake", "heat": "5"}).heat == 5, "a given value has priority"


def test_fixed_values_set_fields_that_are_not_options():
    assert bake({}, door=0.5).door == 0.5


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"heat": "hot"}, "heat must be a whole number or auto, got 'hot'"),
        ({"heat": "1.5"}, "heat must be a whole number or auto, got '1.5'"),
        ({"fan": "perhaps"}, "fan must be true or false, got 'perhaps'"),
    ],
)
def test_a_value_of_another_type_is_refused_with_the_name_of_the_option(given, message):
    with pytest.raises(ValueError, match=message):
        bake(given)


def test_the_help_text_explains_auto():
    assert options_of(Oven)[0].full_help == (
        "degrees; auto: 180 with dish=cake, 220 with place=alps, else 200"
    )


def test_defaults_for_classics_and_for_the_head_alone():
    """Values as documented in README.md since the first version."""
    vision, graph = get_family("vision"), get_family("graph")
    config, fit = default_configs(vision, "classics", 1)
    assert (config.views, fit.epochs, fit.learning_rate, fit.patience) == (6, 6, 3e-4, 10)
    config, fit = default_configs(vision, "3dsc", 1, {"adapt": "linear"})
    assert (config.batch_size, config.views, fit.learning_rate) == (64, 18, 1e-3)
    fits = [default_configs(graph, name, 1)[1] for name in ("classics", "3dsc")]
    assert [(f.epochs, f.patience) for f in fits] == [(40, 10), (200, 20)]
    assert (fits[0].learning_rate, fits[0].head_rate, fits[0].schedule) == (1e-5, 1e-4, "plateau")


def test_lora_alpha_defaults_to_twice_the_rank():
    assert VisionConfig(lora_rank=8).lora_alpha == 16
    assert VisionConfig(lora_rank=8, lora_alpha=8).lora_alpha == 8


def test_all_model_families_are_found_and_an_unknown_one_is_refused():
    assert family_names()[:4] == ("vision", "graph", "structure", "composition")
    assert "constant" in family_names()
    for name in family_names():
        assert get_family(name).name == name
    with pytest.raises(ValueError, match=r"'sound' is not one of vision, graph, structure"):
        get_family("sound")
