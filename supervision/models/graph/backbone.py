"""ALIGNN backbones: creation, pretrained weights, and two implementations of the forward pass.

``forward_states`` is this project's, because the sums over neighbours are weighted on a folded
graph. ``forward_states_dgl`` calls alignn's layers on DGL graphs and is the reference for it.
"""

import os
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from supervision.models.graph.alignn import Alignn, AlignnConfig, cutoff_envelope
from supervision.models.graph.batch import GraphBatch
from supervision.models.weights import Fetched, WeightsError

ATOM_FEATURES = AlignnConfig.atom_input_features
NORMS = {"alignn": nn.BatchNorm1d, "alignn_atomwise": nn.LayerNorm}
CPU_BLOCK_ROWS = 4096  # edges or angles processed at once without gradients
CUTOFF_OPTIONS = ("use_cutoff_function", "multiply_cutoff", "inner_cutoff", "exponent")


def create_backbone(architecture: str, backend: str, config: Mapping[str, Any]) -> Any:
    """A network with random weights, of the shape in a checkpoint's configuration.

    Args:
        architecture: ``alignn`` (batch norm) or ``alignn_atomwise`` (layer norm).
        backend: ``pure`` for this project's class, ``dgl`` for alignn's.
        config: the configuration published with a checkpoint, or empty.

    Raises WeightsError if the checkpoint needs features that are not supported.
    """
    model_config = config.get("model", {})
    if model_config.get("extra_features"):
        raise WeightsError("The weights need extra features of a crystal; these are unsupported.")
    names = [field.name for field in fields(AlignnConfig)]
    shape = AlignnConfig(**{name: model_config[name] for name in names if name in model_config})
    if backend == "dgl":
        return _create_dgl_backbone(architecture, shape, model_config.get("link", "identity"))
    return Alignn(shape, NORMS[architecture])


def _create_dgl_backbone(architecture: str, shape: AlignnConfig, link: str) -> Any:
    """alignn's class on DGL, without forces and penalties, which Tc does not need."""
    # Otherwise DGL writes a configuration file into the home folder.
    os.environ.setdefault("DGLBACKEND", "pytorch")
    settings = asdict(shape) | {"link": link}
    if architecture == "alignn":
        from alignn.models.alignn import ALIGNN, ALIGNNConfig

        supported = {k: v for k, v in settings.items() if k not in CUTOFF_OPTIONS}
        return ALIGNN(ALIGNNConfig(name="alignn", **supported))
    from alignn.models.alignn_atomwise import ALIGNNAtomWise, ALIGNNAtomWiseConfig

    settings |= {
        "calculate_gradient": False,
        "gradwise_weight": 0.0,
        "use_penalty": False,
        "energy_mult_natoms": False,
    }
    return ALIGNNAtomWise(ALIGNNAtomWiseConfig(name="alignn_atomwise", **settings))


def load_pretrained(backbone: Any, fetched: Fetched) -> None:
    """Load weights strictly. Raises WeightsError if they are of another architecture or shape."""
    try:
        backbone.load_state_dict(fetched.state_dict(), strict=True)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise WeightsError(
            f"{fetched.source} does not fit {fetched.entry.name}: {reason}"
        ) from error


def forward_states(net: Any, batch: GraphBatch) -> list[torch.Tensor]:
    """The states of all atoms, each ``[n, hidden]``: embedded, and after each layer."""
    x = net.atom_embedding(batch.features)  # [n, hidden]
    y = embed_distances(net, batch.distance)  # [m, hidden]
    z = net.angle_embedding(batch.cosine)  # [t, hidden]
    atom_graph = (batch.source, batch.target, batch.edges)
    line_graph = (batch.first, batch.second, batch.angles)
    states = [x]
    for layer in net.alignn_layers:
        x, message = edge_gated_convolution(layer.node_update, *atom_graph, x, y)
        y, z = edge_gated_convolution(layer.edge_update, *line_graph, message, z)
        states.append(x)
    for layer in net.gcn_layers:
        x, y = edge_gated_convolution(layer, *atom_graph, x, y)
        states.append(x)
    return states


def embed_distances(net: Any, distance: torch.Tensor) -> torch.Tensor:
    """Edge lengths ``[m]`` -> states ``[m, hidden]``, with the cutoff envelope if configured."""
    if not getattr(net.config, "use_cutoff_function", False):
        return net.edge_embedding(distance)
    envelope = cutoff_envelope(distance, net.config)
    if net.config.multiply_cutoff:
        return net.edge_embedding(distance) * envelope[:, None]
    return net.edge_embedding(envelope)


def edge_gated_convolution(
    layer: Any,
    source: torch.Tensor,
    target: torch.Tensor,
    copies: torch.Tensor,
    x: torch.Tensor,
    y: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """alignn's edge-gated graph convolution, with edges weighted by their multiplicity.

    Args:
        layer: the parameters.
        source, target: ``[m]`` nodes of each edge.
        copies: ``[m]`` multiplicity of each edge.
        x: node states ``[n, h]``.
        y: edge states ``[m, h]``.

    Returns updated node and edge states of the same shapes (equations 1 to 3 of the paper).
    """
    # index_select instead of x[index]: its gradient is a fast sum, not a slow index_put.
    sent, received, values = layer.src_gate(x), layer.dst_gate(x), layer.dst_update(x)
    messages, weights = (torch.zeros(x.shape, device=x.device) for _ in range(2))
    edges = y
    for block in _row_blocks(y):
        i, j = source[block], target[block]
        gate = sent.index_select(0, i) + received.index_select(0, j)
        gate = gate + layer.edge_gate(y[block])  # [m, h]
        # Products in one dtype (mixed dtypes are ten times slower on a CPU), sums in float32.
        weight = torch.sigmoid(gate) * copies[block, None].to(gate.dtype)
        message = weight * values.index_select(0, i)
        messages = messages.index_add_(0, j, message.float())
        weights = weights.index_add_(0, j, weight.float())
        edge = y[block] + F.silu(layer.bn_edges(gate))
        if len(edge) == len(y):
            edges = edge
        else:
            edges = edge.new_empty(y.shape) if edges is y else edges
            edges[block] = edge
    nodes = F.silu(layer.bn_nodes(layer.src_update(x) + messages / (weights + 1e-6)))
    return x + nodes, edges


def _row_blocks(rows: torch.Tensor) -> list[slice]:
    """One block of all rows on a GPU or with gradients; else blocks that fit into CPU caches.

    Small blocks take less than half the time on a CPU, and hardly more memory than the rows.
    """
    whole = torch.is_grad_enabled() or rows.device.type != "cpu"
    size = max(1, len(rows)) if whole else CPU_BLOCK_ROWS
    return [slice(start, start + size) for start in range(0, len(rows), size)]


def scatter_sum(rows: torch.Tensor, index: torch.Tensor, size: int) -> torch.Tensor:
    """Rows ``[m, h]`` summed into ``size`` bins by ``index`` ``[m]``, ``[size, h]``."""
    return rows.new_zeros(size, rows.shape[1]).index_add_(0, index, rows)


def forward_states_dgl(net: Any, batch: GraphBatch) -> list[torch.Tensor]:
    """As ``forward_states``, with alignn's layers on DGL graphs; graphs must not be folded."""
    graph, lines = to_dgl(batch)
    x = net.atom_embedding(batch.features)
    y = embed_distances(net, batch.distance)
    z = net.angle_embedding(batch.cosine)
    states = [x]
    for layer in net.alignn_layers:
        x, y, z = layer(graph, lines, x, y, z)
        states.append(x)
    for layer in net.gcn_layers:
        x, y = layer(graph, x, y)
        states.append(x)
    return states


def to_dgl(batch: GraphBatch) -> tuple[Any, Any]:
    """The batch as alignn's two DGL graphs: atom graph and line graph.

    alignn's models use only the length of an edge vector, so ``r`` is (length, 0, 0).
    Raises ValueError for folded graphs, because DGL's layers ignore multiplicities.
    """
    if (batch.edges != 1).any() or (batch.angles != 1).any():
        raise ValueError("A folded graph has no DGL form; build it unfolded.")
    import dgl

    graph = dgl.graph((batch.source, batch.target), num_nodes=len(batch.features))
    graph.ndata["atom_features"] = batch.features
    graph.edata["r"] = F.pad(batch.distance[:, None], (0, 2))
    graph.set_batch_num_nodes(torch.bincount(batch.crystal, minlength=batch.size))
    graph.set_batch_num_edges(torch.bincount(batch.crystal[batch.source], minlength=batch.size))
    lines = dgl.graph((batch.first, batch.second), num_nodes=len(batch.distance))
    lines.edata["h"] = batch.cosine
    return graph, lines
