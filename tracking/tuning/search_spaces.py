"""The search space of each model family: settings by the names of their configuration fields.

A sampled value replaces the field of its name in ``VisionConfig``, ``GraphConfig``, ``TreeConfig``
or ``FitConfig``. ``beta`` is the error at which the smooth L1 loss changes from squared to
absolute.
"""

from collections.abc import Mapping

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

# the first stage of the training: the head is trained on frozen features
HEAD: Mapping[str, BaseDistribution] = {
    "head_epochs": IntDistribution(10, 60, step=10),
    "head_learning_rate": FloatDistribution(3e-4, 1e-2, log=True),
}
TARGET = CategoricalDistribution(["sqrt", "log1p", "identity"])

VISION: Mapping[str, BaseDistribution] = {
    "lora_rank": IntDistribution(8, 32, step=8),
    "lora_alpha": IntDistribution(16, 64, step=16),
    "lora_dropout": FloatDistribution(0.0, 0.3, step=0.1),
    "lora_blocks": IntDistribution(2, 12, step=2),
    "learning_rate": FloatDistribution(3e-5, 1e-3, log=True),
    "views": CategoricalDistribution([2, 6, 18]),
    "beta": FloatDistribution(0.01, 1.0, log=True),
    "target": TARGET,
    **HEAD,
}

GRAPH: Mapping[str, BaseDistribution] = {
    "learning_rate": FloatDistribution(1e-6, 3e-4, log=True),
    "head_rate": FloatDistribution(1e-5, 1e-2, log=True),
    "trained_layers": CategoricalDistribution([0, 2, 4, 6]),  # 0: all layers of ALIGNN
    "neighbours": CategoricalDistribution([0, 8, 16]),  # 0: as in the pretraining of the weights
    "dropout": FloatDistribution(0.0, 0.4, step=0.1),
    "weight_decay": FloatDistribution(1e-5, 1e-1, log=True),
    "beta": FloatDistribution(0.01, 1.0, log=True),
    "target": TARGET,
    **HEAD,
}

TREES: Mapping[str, BaseDistribution] = {
    "model": CategoricalDistribution(["extra_trees", "boosting"]),
    "trees": IntDistribution(100, 600, step=100),
    "max_features": FloatDistribution(0.1, 1.0, step=0.1),
    "leaf": IntDistribution(1, 10),
    "leaves": IntDistribution(15, 255, step=16),  # of boosting, as the learning rate
    "learning_rate": FloatDistribution(0.01, 0.1, log=True),
    "unreported_weight": FloatDistribution(0.25, 1.0, step=0.25),
    "target": TARGET,
}

SPACES = {"vision": VISION, "graph": GRAPH, "structure": TREES, "composition": TREES}
