"""Training speed of the graph family, compared with alignn's DGL layers on the same steps.

    python -m benchmarks.train_graph --data 3DSC_MP.tar.xz --curves curves.png   # a few minutes

The reference is alignn's DGL class in float32 on unfolded graphs. Every method starts from the same
pretrained weights, head and standardised features, and trains on the same structures in the same
steps with the project's loop: loss, gradient clipping, AdamW, moving average of the weights.
Dropout is off, so that the loss curves are comparable. Denormal floats are flushed to zero, as in
training. The methods alternate every few steps, so variations in machine speed affect all.

The wall time of a step is the time for collating the batch plus that for training (forward,
backward, optimizer). The first step of each method is not timed. Graphs are built in advance. The
reference builds its two DGL graphs from the indices of each batch; alignn stores two graphs per
crystal and joins them with ``dgl.batch``. The time of both is printed, so that a slower choice for
the reference would be visible. The reference splits large steps into micro-batches like the other
methods, which does not slow it down.
"""

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import nn
from tqdm.auto import tqdm

from supervision.data.crystals import Material, group_materials, sample_materials
from supervision.data.datasets import load_dataset
from supervision.data.featurize import featurize, featurize_all
from supervision.data.splits import make_split
from supervision.models.graph.backbone import to_dgl
from supervision.models.graph.batch import GraphBatch, collate
from supervision.models.graph.config import GraphConfig
from supervision.models.graph.data import GraphSamples
from supervision.models.graph.featurize import graph_featurizer
from supervision.models.graph.model import GraphRegressor
from supervision.models.graph.symmetry_folding import FoldedGraph
from supervision.models.weights import get_weights
from supervision.runtime.device import fast_bf16, flush_denormals
from supervision.training.batches import RankShard, Step
from supervision.training.config import FitConfig
from supervision.training.state import TrainState
from supervision.training.target import TargetTransform
from supervision.training.trainer import accumulate_gradients

CPU = torch.device("cpu")  # the reference's DGL runs only on a CPU
FIT = FitConfig(learning_rate=1e-5, head_rate=1e-3, schedule="plateau")  # train_alignn's defaults
STEPS_PER_TURN = 2  # before the next method continues
Graphs = Mapping[str, FoldedGraph]


class Float32GraphRegressor(GraphRegressor):
    """The model in float32, also under the training loop's autocast."""

    def forward(self, batch: GraphBatch) -> torch.Tensor:
        """Graphs -> ``[b]``."""
        with torch.autocast(batch.features.device.type, enabled=False):
            return super().forward(batch)


@dataclass
class TimedTraining:
    """A training method, with the loss and the times of each step so far."""

    name: str
    model: GraphRegressor
    samples: GraphSamples
    losses: list[float] = field(default_factory=list)
    reading: list[float] = field(default_factory=list)
    training: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)  # processor seconds of both, all threads

    def __post_init__(self) -> None:
        self.steps: Iterator[Step] = iter(self.samples.epoch_steps(1, RankShard()))
        self.state = TrainState.create(
            self.model.train(), FIT, len(self.samples.epoch_steps(1, RankShard())), CPU
        )

    def run_step(self) -> None:
        """Run and time one step."""
        start, processor = time.perf_counter(), time.process_time()
        step = next(self.steps)
        loaded = time.perf_counter()
        loss, samples = accumulate_gradients(self.state, step, FIT.beta, CPU)
        self.state.step(FIT.clip, samples)
        self.training.append(time.perf_counter() - loaded)
        self.processor.append(time.process_time() - processor)
        self.reading.append(loaded - start)
        self.losses.append(loss / samples)

    def mean_seconds(self, *parts: Sequence[float]) -> float:
        """Mean seconds per step, without the first."""
        return float(np.sum([np.mean(part[1:]) for part in parts]))


def main() -> None:
    """Run all methods, print the tables, draw the loss curves."""
    options = _options()
    flush_denormals()
    size = GraphConfig().batch_size
    train = draw_materials(options.data, options.steps * size, options.seed)
    methods = create_methods(train, options.seed)
    with tqdm(total=options.steps * len(methods), desc="steps") as bar:
        for turn, start in enumerate(range(0, options.steps, STEPS_PER_TURN)):
            for method in methods[:: 1 if turn % 2 else -1]:
                for _ in range(min(STEPS_PER_TURN, options.steps - start)):
                    method.run_step()
                    bar.update()
    report_machine()
    report_speed(methods, size)
    report_curves(methods)
    report_dgl(methods[0])
    if options.curves:
        draw_curves(methods).savefig(options.curves)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", required=True, help="the 3DSC archive or folder")
    parser.add_argument("--steps", type=int, default=30, help="steps of each method")
    parser.add_argument("--seed", type=int, default=0, help="seed of materials, order and head")
    parser.add_argument("--curves", default="", help="PNG file for the loss curves")
    options = parser.parse_args()
    if options.steps < 4:
        parser.error("--steps must be 4 or more; the first is not timed.")
    return options


def draw_materials(data: str, count: int, seed: int) -> list[Material]:
    """Training materials of 3DSC's random split, each with one structure, drawn by weight.

    Raises ValueError if there are fewer than ``count``.
    """
    dataset = load_dataset("3dsc", data)
    usable = group_materials(
        dataset.without(featurize(graph_featurizer(), dataset.crystals)[1]).crystals
    )
    chosen = sample_materials(make_split(usable, "random").select(usable, "train"), count, seed)
    if len(chosen) < count:
        raise ValueError(f"There are only {len(chosen)} training materials, not {count}.")
    shares = np.random.default_rng(seed).random(count)
    return [replace(m, crystals=(m.structure_at(s),)) for m, s in zip(chosen, shares, strict=True)]


def create_methods(train: Sequence[Material], seed: int) -> list[TimedTraining]:
    """The reference, then the project's methods with one more optimisation each."""
    crystals = [m.crystals[0] for m in train]
    unfolded, folded = (featurize_all(graph_featurizer(folded=f), crystals) for f in (False, True))
    dtype = "bfloat16" if fast_bf16(CPU) else "float32 (no bfloat16 in this processor)"
    plan: list[tuple[str, type[GraphRegressor], str, Graphs]] = [
        ("alignn's DGL layers, unfolded graphs, float32", Float32GraphRegressor, "dgl", unfolded),
        ("this project, unfolded graphs, float32", Float32GraphRegressor, "pure", unfolded),
        ("this project, folded graphs, float32", Float32GraphRegressor, "pure", folded),
        (f"this project, folded graphs, {dtype} (default)", GraphRegressor, "pure", folded),
    ]
    models = [_create_model(kind, backend, seed) for _, kind, backend, _ in plan]
    _copy_initial_state(models, [folded[c.id] for c in crystals])
    tc = np.array([m.tc for m in train])
    targets = TargetTransform.fit(tc, GraphConfig().target).encode(tc)
    size, budget = GraphConfig().batch_size, GraphConfig().angle_budget
    return [
        TimedTraining(name, model, GraphSamples(train, (), targets, read, size, budget, seed))
        for (name, _, _, read), model in zip(plan, models, strict=True)
    ]


def _create_model(kind: type[GraphRegressor], backend: str, seed: int) -> GraphRegressor:
    torch.manual_seed(seed)
    model = kind(get_weights("alignn_ff", "graph"), GraphConfig(backend=backend))
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return model


@torch.no_grad()
def _copy_initial_state(models: Sequence[GraphRegressor], graphs: Sequence[FoldedGraph]) -> None:
    """Copy the last model's head and feature standardisation to all models."""
    last = models[-1]
    batches = [collate(graphs[i : i + 32]) for i in range(0, len(graphs), 32)]
    last.standardise(torch.cat([last.features(batch) for batch in batches]))
    for model in models[:-1]:
        model.head.load_state_dict(last.head.state_dict())
        model.feature_mean.copy_(last.feature_mean)
        model.feature_std.copy_(last.feature_std)


def report_machine() -> None:
    """Print the machine properties that the times depend on."""
    bf16 = "yes" if fast_bf16(CPU) else "no"
    print(f"\nThreads: {torch.get_num_threads()}. bfloat16 supported and used: {bf16}.")


def report_speed(methods: Sequence[TimedTraining], size: int) -> None:
    """Print crystals per second and the final loss."""
    steps = len(methods[0].losses)
    n_final = steps // 4
    print(f"\n{steps} steps of {size} crystals. Final loss: mean of the last {n_final} steps.\n")
    print("| | crystals/s | relative to reference | CPU ms per crystal | collating | final loss |")
    print("|---|---:|---:|---:|---:|---:|")
    reference = methods[0].mean_seconds(methods[0].reading, methods[0].training)
    for method in methods:
        seconds = method.mean_seconds(method.reading, method.training)
        print(
            f"| {method.name} | {size / seconds:.1f} | {reference / seconds:.1f} "
            f"| {1e3 * method.mean_seconds(method.processor) / size:.1f} "
            f"| {method.mean_seconds(method.reading) / seconds:.1%} "
            f"| {np.mean(method.losses[-n_final:]):.4f} |"
        )


def report_curves(methods: Sequence[TimedTraining]) -> None:
    """Print the difference of each loss curve to the reference, and the reference's noise."""
    reference = np.array(methods[0].losses)
    noise = float(np.std(np.diff(reference)) / np.sqrt(2))
    print(f"\nLoss curves: the step-to-step noise of the reference is {noise:.4f}.\n")
    print("| difference to the reference | mean | maximum | mean / noise | maximum / noise |")
    print("|---|---:|---:|---:|---:|")
    for method in methods[1:]:
        difference = np.abs(np.array(method.losses) - reference)
        print(
            f"| {method.name} | {difference.mean():.1e} | {difference.max():.1e} "
            f"| {difference.mean() / noise:.2%} | {difference.max() / noise:.2%} |"
        )


def report_dgl(reference: TimedTraining) -> None:
    """Print the time to build the DGL graphs of a step from indices and with dgl.batch."""
    import dgl

    built, joined, steps = 0.0, 0.0, 3
    for step in islice(reference.samples.epoch_steps(2, RankShard()), steps):
        batches = [inputs for inputs, _, _ in step]
        ready = [to_dgl(collate([reference.samples.graphs[m]])) for m in _crystals(reference, step)]
        start = time.perf_counter()
        for batch in batches:
            to_dgl(batch)
        middle = time.perf_counter()
        for kind in zip(*ready, strict=True):
            dgl.batch(kind)
        built += (middle - start) / steps
        joined += (time.perf_counter() - middle) / steps
    total = reference.mean_seconds(reference.reading, reference.training)
    print(
        f"\nThe DGL graphs of a step: {1e3 * built:.1f} ms of {1e3 * total:,.0f} ms "
        f"({built / total:.2%});\njoined by dgl.batch from existing graphs: {1e3 * joined:.1f} ms."
    )


def _crystals(method: TimedTraining, step: Step) -> list[str]:
    """The crystal ids of a step."""
    of_material = {m.id: m.crystals[0].id for m in method.samples.train}
    return [of_material[id] for _, _, ids in step for id in ids]


def draw_curves(methods: Sequence[TimedTraining]) -> Figure:
    """The loss curves of all methods, with the thickest lines at the back."""
    figure = Figure(figsize=(7, 4), layout="constrained", dpi=140)
    ax = figure.subplots()
    colours = ("#9fb3c8", "#1b2a3a", "#2a6f97", "#d1495b")
    for method, colour, width in zip(methods, colours, (6, 3.5, 2, 1), strict=True):
        ax.plot(range(1, len(method.losses) + 1), method.losses, color=colour, lw=width)
        ax.lines[-1].set_label(method.name)
    ax.set(xlabel="step", ylabel="training loss", ylim=(0, None))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, fontsize=8)
    return figure


if __name__ == "__main__":
    main()
