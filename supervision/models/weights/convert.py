"""Checkpoints as others write them -> tensors under the names of the classes that we load."""

import io

import torch

from supervision.models.weights.sources import StateDict, WeightsError


def dinov2_from_onnx(content: bytes) -> StateDict:
    """The DINOv2 backbone of an exported ONNX graph under timm's names.

    The graph keeps transformers' names (``backbone.encoder.layer.0...``) for biases, norms and
    scales; the matrices are the second inputs of its MatMul nodes, stored transposed; the class
    and grid position embeddings were folded into anonymous (1, 1, D) and (1, N, D) constants.
    """
    import onnx
    from onnx import numpy_helper

    graph = onnx.load_model_from_string(content).graph
    named = {t.name: torch.from_numpy(numpy_helper.to_array(t).copy()) for t in graph.initializer}
    matrix = {
        node.name: named[node.input[1]].T.contiguous()
        for node in graph.node
        if node.op_type == "MatMul" and node.input[1] in named
    }
    width = named["backbone.layernorm.weight"].numel()
    position = [
        t for n, t in named.items() if not n.startswith("backbone") and t.shape[-1:] == (width,)
    ]
    position = sorted((t for t in position if t.ndim == 3), key=lambda t: t.shape[1])
    state = {
        "cls_token": named["backbone.embeddings.cls_token"],
        "pos_embed": torch.cat(position, dim=1),
        "patch_embed.proj.weight": named["backbone.embeddings.patch_embeddings.projection.weight"],
        "patch_embed.proj.bias": named["backbone.embeddings.patch_embeddings.projection.bias"],
        "norm.weight": named["backbone.layernorm.weight"],
        "norm.bias": named["backbone.layernorm.bias"],
    }
    layer = 0
    while f"backbone.encoder.layer.{layer}.norm1.weight" in named:
        state |= _onnx_layer(layer, named, matrix)
        layer += 1
    return {name: tensor.contiguous() for name, tensor in state.items()}


def _onnx_layer(layer: int, named: StateDict, matrix: StateDict) -> StateDict:
    source, node, ours = (
        f"backbone.encoder.layer.{layer}",
        f"/backbone/encoder/layer.{layer}",
        (f"blocks.{layer}"),
    )
    qkv = ("query", "key", "value")
    state = {
        f"{ours}.attn.qkv.weight": torch.cat(
            [matrix[f"{node}/attention/attention/{part}/MatMul"] for part in qkv]
        ),
        f"{ours}.attn.qkv.bias": torch.cat(
            [named[f"{source}.attention.attention.{part}.bias"] for part in qkv]
        ),
        f"{ours}.attn.proj.weight": matrix[f"{node}/attention/output/dense/MatMul"],
        f"{ours}.attn.proj.bias": named[f"{source}.attention.output.dense.bias"],
        f"{ours}.ls1.gamma": named[f"{source}.layer_scale1.lambda1"],
        f"{ours}.ls2.gamma": named[f"{source}.layer_scale2.lambda1"],
    }
    for part in ("norm1", "norm2"):
        for kind in ("weight", "bias"):
            state[f"{ours}.{part}.{kind}"] = named[f"{source}.{part}.{kind}"]
    for part in ("fc1", "fc2"):
        state[f"{ours}.mlp.{part}.weight"] = matrix[f"{node}/mlp/{part}/MatMul"]
        state[f"{ours}.mlp.{part}.bias"] = named[f"{source}.mlp.{part}.bias"]
    return state


def alignn_from_checkpoint(content: bytes) -> StateDict:
    """The tensors of an alignn checkpoint: a state dict, or one with it under ``model``.

    Raises WeightsError where the file holds anything but tensors and plain values.
    """
    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many types on what it does not read
        raise WeightsError("the checkpoint is damaged, or holds more than tensors") from error
    state = state.get("model", state) if isinstance(state, dict) else None
    if not isinstance(state, dict) or not all(torch.is_tensor(x) for x in state.values()):
        raise WeightsError("the checkpoint holds no state of a model")
    return {name: tensor.contiguous() for name, tensor in state.items()}
