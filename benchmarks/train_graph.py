"""How fast the graph path trains, beside alignn's own DGL layers, on the same steps.

    python -m benchmarks.train_graph --data 3DSC_MP.tar.xz --curves curves.png   # some minutes

The reference is alignn's DGL class in float32 on whole graphs. Every side begins with the same
published weights, the same fresh head and the same standardised features, and takes the same
structures of 3DSC's training materials, in the same steps, through the project's own loop: loss,
clipping, AdamW, mean of the weights. Dropout is off everywhere, so that the loss curves can be laid
on each other. Floats below 1e-38 are taken as zero everywhere, as training does, though PyTorch by
itself does not. The sides take turns every few steps: a machine
that slows down slows them all.

Timed is a step, by the clock: reading (graphs side by side in a batch) and training (forward,
backward, optimizer); the first step of each side is left out. No side builds a graph from a
structure: all are there before. The reference's two DGL graphs are made of each batch's indices;
alignn keeps one pair a crystal and joins them with ``dgl.batch``. What either costs is printed:
should it be much, the reference is entitled to the cheaper. It reads large steps in parts like the
others, which is no slower for it than the whole at once.
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

from supervision.data.crystals import Material, group_materials, take
from supervision.data.datasets import load_dataset
from supervision.data.featurize import featurize, featurize_all
from supervision.data.splits import make_split
from supervision.models.graph.backbone import to_dgl
from supervision.models.graph.batch import GraphBatch, collate
from supervision.models.graph.config import GraphConfig
from supervision.models.graph.data import GraphSamples
from supervision.models.graph.featurize import graphs
from supervision.models.graph.model import GraphRegressor
from supervision.models.graph.symmetry_folding import FoldedGraph
from supervision.models.weights import get_weights
from supervision.runtime.device import fast_bf16, flush_denormals
from supervision.training.batches import RankShard, Step
from supervision.training.state import FitConfig, TrainState
from supervision.training.target import TargetTransform
from supervision.training.trainer import gradients

CPU = torch.device("cpu")  # the reference's DGL has no other
FIT = FitConfig(learning_rate=1e-5, head_rate=1e-3, schedule="plateau")  # train_alignn's defaults
TURN = 2  # steps that a side takes before the next one does
Graphs = Mapping[str, FoldedGraph]


class InFloat32(GraphRegressor):
    """The model where the training loop's bfloat16 does not reach it."""

    def forward(self, batch: GraphBatch) -> torch.Tensor:
        """Graphs -> ``[b]``."""
        with torch.autocast(batch.features.device.type, enabled=False):
            return super().forward(batch)


@dataclass
class Side:
    """One way to train, and of each step taken so far its loss and its seconds."""

    name: str
    model: GraphRegressor
    samples: GraphSamples
    losses: list[float] = field(default_factory=list)
    reading: list[float] = field(default_factory=list)
    training: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)  # of both, all threads

    def __post_init__(self) -> None:
        self.steps: Iterator[Step] = iter(self.samples.epoch(1, RankShard()))
        self.descent = TrainState.start(
            self.model.train(), FIT, len(self.samples.epoch(1, RankShard())), CPU
        )

    def go(self) -> None:
        """Take one step."""
        start, processor = time.perf_counter(), time.process_time()
        step = next(self.steps)
        read = time.perf_counter()
        loss, samples = gradients(self.descent, step, FIT, CPU)
        self.descent.step(FIT.clip, samples)
        self.training.append(time.perf_counter() - read)
        self.processor.append(time.process_time() - processor)
        self.reading.append(read - start)
        self.losses.append(loss / samples)

    def mean_seconds(self, *parts: Sequence[float]) -> float:
        """Seconds a step, the first left out."""
        return float(np.sum([np.mean(part[1:]) for part in parts]))


def main() -> None:
    """Train all sides, print the tables, draw the curves."""
    options = _options()
    flush_denormals()
    size = GraphConfig().batch_size
    train = draw_materials(options.data, options.steps * size, options.seed)
    sides = create_sides(train, options.seed)
    with tqdm(total=options.steps * len(sides), desc="steps") as bar:
        for turn, start in enumerate(range(0, options.steps, TURN)):
            for side in sides[:: 1 if turn % 2 else -1]:
                for _ in range(min(TURN, options.steps - start)):
                    side.go()
                    bar.update()
    report_machine()
    report_speed(sides, size)
    report_curves(sides)
    report_dgl(sides[0])
    if options.curves:
        draw_curves(sides).savefig(options.curves)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", required=True, help="the 3DSC archive or folder")
    parser.add_argument("--steps", type=int, default=30, help="steps of each side")
    parser.add_argument("--seed", type=int, default=0, help="of materials, order and head")
    parser.add_argument("--curves", default="", help="a PNG to draw the loss curves into")
    options = parser.parse_args()
    if options.steps < 4:
        parser.error("--steps must be 4 or more: the first is not timed, the rest are averaged")
    return options


def draw_materials(data: str, count: int, seed: int) -> list[Material]:
    """Training materials of 3DSC's random split, each with one structure, drawn by weight."""
    dataset = load_dataset("3dsc", data)
    usable = group_materials(dataset.without(featurize(graphs(), dataset.crystals)[1]).crystals)
    chosen = take(make_split(usable, "random").select(usable, "train"), count, seed)
    if len(chosen) < count:
        raise ValueError(f"There are {len(chosen)} training materials, too few for {count}.")
    shares = np.random.default_rng(seed).random(count)
    return [replace(m, crystals=(m.structure_at(s),)) for m, s in zip(chosen, shares, strict=True)]


def create_sides(train: Sequence[Material], seed: int) -> list[Side]:
    """The reference first, then ours, step by step nearer to what train_alignn runs."""
    crystals = [m.crystals[0] for m in train]
    whole, folded = (featurize_all(graphs(folded=f), crystals) for f in (False, True))
    used = "bfloat16" if fast_bf16(CPU) else "float32: the processor has no bfloat16"
    plan: list[tuple[str, type[GraphRegressor], str, Graphs]] = [
        ("alignn's DGL layers, whole graphs, float32", InFloat32, "dgl", whole),
        ("ours, whole graphs, float32", InFloat32, "pure", whole),
        ("ours, folded graphs, float32", InFloat32, "pure", folded),
        (f"ours as trained: folded graphs, {used}", GraphRegressor, "pure", folded),
    ]
    models = [_create_model(kind, backend, seed) for _, kind, backend, _ in plan]
    _same_start(models, [folded[c.id] for c in crystals])
    tc = np.array([m.tc for m in train])
    targets = TargetTransform.fit(tc, GraphConfig().target).encode(tc)
    size, budget = GraphConfig().batch_size, GraphConfig().angle_budget
    return [
        Side(name, model, GraphSamples(train, (), targets, read, size, budget, seed))
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
def _same_start(models: Sequence[GraphRegressor], graphs: Sequence[FoldedGraph]) -> None:
    """Give all models the last one's head, and the mean and deviation of its features."""
    example = models[-1]
    batches = [collate(graphs[i : i + 32]) for i in range(0, len(graphs), 32)]
    example.standardise(torch.cat([example.features(batch) for batch in batches]))
    for model in models[:-1]:
        model.head.load_state_dict(example.head.state_dict())
        model.feature_mean.copy_(example.feature_mean)
        model.feature_std.copy_(example.feature_std)


def report_machine() -> None:
    """What the numbers below hang on."""
    bf16 = "yes" if fast_bf16(CPU) else "no"
    print(f"\nThreads: {torch.get_num_threads()}. bfloat16 in the processor, and used: {bf16}.")


def report_speed(sides: Sequence[Side], size: int) -> None:
    """Crystals a second, and the loss at the end."""
    steps = len(sides[0].losses)
    last = steps // 4
    print(f"\n{steps} steps of {size} crystals. Final loss: mean of the last {last} steps.\n")
    print("| | crystals/s | times the reference | processor ms each | reading | final loss |")
    print("|---|---:|---:|---:|---:|---:|")
    reference = sides[0].mean_seconds(sides[0].reading, sides[0].training)
    for side in sides:
        seconds = side.mean_seconds(side.reading, side.training)
        print(
            f"| {side.name} | {size / seconds:.1f} | {reference / seconds:.1f} "
            f"| {1e3 * side.mean_seconds(side.processor) / size:.1f} "
            f"| {side.mean_seconds(side.reading) / seconds:.1%} "
            f"| {np.mean(side.losses[-last:]):.4f} |"
        )


def report_curves(sides: Sequence[Side]) -> None:
    """How far each loss curve is from the reference's, beside how much that one jumps."""
    reference = np.array(sides[0].losses)
    noise = float(np.std(np.diff(reference)) / np.sqrt(2))
    print(f"\nLoss curves: from step to step the reference's has a noise of {noise:.4f}.\n")
    print("| difference to the reference | mean | largest | mean, of the noise | largest, of it |")
    print("|---|---:|---:|---:|---:|")
    for side in sides[1:]:
        away = np.abs(np.array(side.losses) - reference)
        print(
            f"| {side.name} | {away.mean():.1e} | {away.max():.1e} "
            f"| {away.mean() / noise:.2%} | {away.max() / noise:.2%} |"
        )


def report_dgl(reference: Side) -> None:
    """What making a step's DGL graphs costs, in both ways."""
    import dgl

    made, joined, steps = 0.0, 0.0, 3
    for step in islice(reference.samples.epoch(2, RankShard()), steps):
        batches = [inputs for inputs, _, _ in step]
        ready = [to_dgl(collate([reference.samples.graphs[m]])) for m in _crystals(reference, step)]
        start = time.perf_counter()
        for batch in batches:
            to_dgl(batch)
        middle = time.perf_counter()
        for kind in zip(*ready, strict=True):
            dgl.batch(kind)
        made += (middle - start) / steps
        joined += (time.perf_counter() - middle) / steps
    whole = reference.mean_seconds(reference.reading, reference.training)
    print(
        f"\nThe DGL graphs of a step: {1e3 * made:.1f} ms of the reference's {1e3 * whole:,.0f} ms "
        f"({made / whole:.2%});\njoined by dgl.batch from ready ones: {1e3 * joined:.1f} ms."
    )


def _crystals(side: Side, step: Step) -> list[str]:
    """The ids of the structures of a step, of which it names the materials."""
    of_material = {m.id: m.crystals[0].id for m in side.samples.train}
    return [of_material[id] for _, _, ids in step for id in ids]


def draw_curves(sides: Sequence[Side]) -> Figure:
    """The loss of every step, one line a side, thick ones below."""
    figure = Figure(figsize=(7, 4), layout="constrained", dpi=140)
    ax = figure.subplots()
    colours = ("#9fb3c8", "#1b2a3a", "#2a6f97", "#d1495b")
    for side, colour, width in zip(sides, colours, (6, 3.5, 2, 1), strict=True):
        ax.plot(range(1, len(side.losses) + 1), side.losses, color=colour, lw=width)
        ax.lines[-1].set_label(side.name)
    ax.set(xlabel="step", ylabel="training loss", ylim=(0, None))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, fontsize=8)
    return figure


if __name__ == "__main__":
    main()
