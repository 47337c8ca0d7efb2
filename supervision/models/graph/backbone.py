"""ALIGNN: the classes that hold its weights, and the two ways through their layers.

``walk`` is ours, because on a folded graph every sum over neighbours is weighted; ``walk_dgl``
calls alignn's own layers on DGL graphs and is what the first is held to.
"""

import os
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from supervision.models.graph.alignn import Alignn, AlignnConfig, fade
from supervision.models.graph.batch import GraphBatch
from supervision.models.weights import Fetched, WeightsError

ATOM_FEATURES = AlignnConfig.atom_input_features
NORMS = {"alignn": nn.BatchNorm1d, "alignn_atomwise": nn.LayerNorm}
BLOCK = 4096  # edges or angles
EDGE_WEIGHTING = ("use_cutoff_function", "multiply_cutoff", "inner_cutoff", "exponent")


def create_backbone(architecture: str, backend: str, config: Mapping[str, Any]) -> Any:
    """A network of that architecture, untrained; a checkpoint's own configuration gives its shape.

    ``alignn`` has batch norm, ``alignn_atomwise`` layer norm; ``dgl`` takes alignn's own class.
    """
    known = config.get("model", {})
    if known.get("extra_features"):
        raise WeightsError("These weights want features of a crystal that are not known here.")
    names = [field.name for field in fields(AlignnConfig)]
    shape = AlignnConfig(**{name: known[name] for name in names if name in known})
    if backend == "dgl":
        return _alignns_own(architecture, shape, known.get("link", "identity"))
    return Alignn(shape, NORMS[architecture])


def _alignns_own(architecture: str, shape: AlignnConfig, link: str) -> Any:
    """alignn's class on DGL, without what no Tc needs (forces, penalties)."""
    os.environ.setdefault("DGLBACKEND", "pytorch")  # else dgl writes a file into the home folder
    settings = asdict(shape) | {"link": link}
    if architecture == "alignn":
        from alignn.models.alignn import ALIGNN, ALIGNNConfig

        plain = {k: v for k, v in settings.items() if k not in EDGE_WEIGHTING}
        return ALIGNN(ALIGNNConfig(name="alignn", **plain))
    from alignn.models.alignn_atomwise import ALIGNNAtomWise, ALIGNNAtomWiseConfig

    settings |= {
        "calculate_gradient": False,
        "gradwise_weight": 0.0,
        "use_penalty": False,
        "energy_mult_natoms": False,
    }
    return ALIGNNAtomWise(ALIGNNAtomWiseConfig(name="alignn_atomwise", **settings))


def load_pretrained(backbone: Any, fetched: Fetched) -> None:
    """Load weights strictly; raises WeightsError where they are of another class or shape."""
    try:
        backbone.load_state_dict(fetched.state_dict(), strict=True)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise WeightsError(f"{fetched.source} does not fit {fetched.row.name}: {reason}") from error


def walk(net: Any, batch: GraphBatch) -> list[torch.Tensor]:
    """States of all atoms, ``[n, hidden]``: embedded, and after each layer."""
    x = net.atom_embedding(batch.features)  # [n, hidden]
    y = embed_distances(net, batch.distance)  # [m, hidden]
    z = net.angle_embedding(batch.cosine)  # [t, hidden]
    bonds = (batch.source, batch.target, batch.edges)
    turns = (batch.first, batch.second, batch.angles)
    states = [x]
    for layer in net.alignn_layers:
        x, message = convolve(layer.node_update, *bonds, x, y)
        y, z = convolve(layer.edge_update, *turns, message, z)
        states.append(x)
    for layer in net.gcn_layers:
        x, y = convolve(layer, *bonds, x, y)
        states.append(x)
    return states


def embed_distances(net: Any, distance: torch.Tensor) -> torch.Tensor:
    """Edge lengths ``[m]`` -> states ``[m, hidden]``, faded out where the class does so."""
    if not getattr(net.config, "use_cutoff_function", False):
        return net.edge_embedding(distance)
    faded = fade(distance, net.config)
    if net.config.multiply_cutoff:
        return net.edge_embedding(distance) * faded[:, None]
    return net.edge_embedding(faded)


def convolve(
    layer: Any,
    source: torch.Tensor,
    target: torch.Tensor,
    copies: torch.Tensor,
    x: torch.Tensor,
    y: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """alignn's edge-gated graph convolution where an edge stands for ``copies`` ``[m]`` of them.

    Nodes ``[n, h]`` and edges ``[m, h]`` in, the same out (equations 1 to 3 of the paper).
    """
    # The gradient of index_select is one fast sum, that of x[index] a slow index_put.
    sent, received, values = layer.src_gate(x), layer.dst_gate(x), layer.dst_update(x)
    messages, weights = (torch.zeros(x.shape, device=x.device) for _ in range(2))
    edges = y
    for block in _blocks(y):
        i, j = source[block], target[block]
        gate = sent.index_select(0, i) + received.index_select(0, j)
        gate = gate + layer.edge_gate(y[block])  # [m, h]
        # Products of one number format (two are ten times slower on a CPU), sums in float32.
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


def _blocks(rows: torch.Tensor) -> list[slice]:
    """All rows at once where gradients are wanted; else, on a CPU, as many as its cache holds.

    That takes less than half of the time, and of memory little more than the rows themselves.
    """
    whole = torch.is_grad_enabled() or rows.device.type != "cpu"
    size = max(1, len(rows)) if whole else BLOCK
    return [slice(at, at + size) for at in range(0, len(rows), size)]


def scatter_sum(rows: torch.Tensor, index: torch.Tensor, size: int) -> torch.Tensor:
    """Rows ``[m, h]`` summed into ``size`` bins by ``index``, ``[size, h]``."""
    return rows.new_zeros(size, rows.shape[1]).index_add_(0, index, rows)


def walk_dgl(net: Any, batch: GraphBatch) -> list[torch.Tensor]:
    """What ``walk`` gives, by alignn's own layers on DGL graphs; graphs must not be folded."""
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
    """The batch as alignn's two DGL graphs.

    Of an edge's vector alignn's models use the length alone, so one of that length stands for it.
    Raises ValueError for folded graphs, which DGL's layers would misread.
    """
    if (batch.edges != 1).any() or (batch.angles != 1).any():
        raise ValueError("A folded graph has no DGL form; unfold it.")
    import dgl

    graph = dgl.graph((batch.source, batch.target), num_nodes=len(batch.features))
    graph.ndata["atom_features"] = batch.features
    graph.edata["r"] = F.pad(batch.distance[:, None], (0, 2))
    graph.set_batch_num_nodes(torch.bincount(batch.crystal, minlength=batch.size))
    graph.set_batch_num_edges(torch.bincount(batch.crystal[batch.source], minlength=batch.size))
    lines = dgl.graph((batch.first, batch.second), num_nodes=len(batch.distance))
    lines.edata["h"] = batch.cosine
    return graph, lines
