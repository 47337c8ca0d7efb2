"""Symmetry folding, batches and the forward pass, compared with alignn."""

import dataclasses

import numpy as np
import pytest
import torch
from example_structures import ALL, la2cuo4, nb3sn, triclinic
from pymatgen.core import Lattice, Structure
from pymatgen.core.operations import SymmOp

from supervision.models.graph.backbone import (
    create_backbone,
    forward_states,
    forward_states_dgl,
    load_pretrained,
    to_dgl,
)
from supervision.models.graph.batch import collate, split_by_budget
from supervision.models.graph.build import build_graph, line_graph
from supervision.models.graph.config import GraphConfig
from supervision.models.graph.model import GraphRegressor, pool
from supervision.models.graph.symmetry_folding import FoldedGraph, fold_graph, unfolded_graph
from supervision.models.weights import WeightsError, get_weights
from supervision.models.weights.catalogue import WEIGHTS
from supervision.models.weights.fetch import Fetched

SMALL = {"model": {"alignn_layers": 2, "gcn_layers": 2, "hidden_features": 32}}


@pytest.fixture(params=ALL, ids=str)
def structure(request):
    return ALL[request.param]()


def network(architecture="alignn_atomwise", backend="pure", seed=0, **settings):
    torch.manual_seed(seed)
    config = {"model": SMALL["model"] | settings}
    return create_backbone(architecture, backend, config).eval()


def output(net, *graphs):
    """Mean of the last atom states of each graph, ``[b, hidden]``."""
    batch = collate(graphs)
    with torch.no_grad():
        return pool(forward_states(net, batch)[-1], batch)[0]


def folded(structure):
    return fold_graph(build_graph(structure))


def unfolded(structure):
    return unfolded_graph(build_graph(structure))


# --- symmetry folding


def test_classes_of_nb3sn():
    """Two atom classes. Nb: 2 Nb at a/2, 4 Sn at sqrt(5) a/4, 8 Nb at sqrt(6) a/4. Sn: 12 Nb."""
    graph = folded(nb3sn())
    assert sorted(graph.atoms) == [2, 6]
    classes = sorted(zip(np.round(graph.distance / 5.29, 4), graph.edges, strict=True))
    near, mixed, far = 0.5, round(5**0.5 / 4, 4), round(6**0.5 / 4, 4)
    assert classes == [(near, 2), (mixed, 4), (mixed, 12), (far, 8)]


def test_multiplicities_add_up_to_the_unfolded_graph(structure):
    graph, small = build_graph(structure), folded(structure)
    arriving = small.edges * small.atoms[small.target]  # of each edge class per cell
    assert small.atoms.sum() == len(graph.features)
    assert arriving.sum() == pytest.approx(len(graph.source))
    angles = small.angles * arriving[small.second]
    assert angles.sum() == pytest.approx(len(line_graph(graph)[0]), rel=1e-5)


def test_a_folded_graph_gives_the_output_of_the_unfolded_graph(structure):
    net = network()
    torch.testing.assert_close(
        output(net, folded(structure)), output(net, unfolded(structure)), rtol=1e-5, atol=1e-5
    )


def test_distinguishable_atoms_are_not_folded():
    """With one site of a 2x2x2 supercell replaced, its neighbours differ from the others."""
    plain, changed = nb3sn() * (2, 2, 2), nb3sn() * (2, 2, 2)
    changed.replace(0, "Pb")
    assert len(folded(plain).atoms) == len(folded(nb3sn()).atoms)
    assert len(folded(changed).atoms) > len(folded(plain).atoms)
    net = network()
    torch.testing.assert_close(
        output(net, folded(changed)), output(net, unfolded(changed)), rtol=1e-5, atol=1e-5
    )


def test_a_graph_is_restored_from_its_arrays(structure):
    graph = folded(structure)
    restored = FoldedGraph.from_arrays(graph.to_arrays())
    for field in dataclasses.fields(FoldedGraph):
        assert np.array_equal(getattr(graph, field.name), getattr(restored, field.name))


# --- invariance


def rotated(structure):
    rotation = SymmOp.from_axis_angle_and_translation([1, 2, 3], 40)
    moved = structure.copy()
    moved.apply_operation(rotation)
    return moved


def shifted(structure):
    return structure.copy().translate_sites(range(len(structure)), [0.137, 0.291, 0.553])


def mirrored(structure):
    lattice = Lattice(structure.lattice.matrix * [1, 1, -1])
    return Structure(lattice, structure.species_and_occu, structure.frac_coords)


def reordered(structure):
    order = np.random.default_rng(0).permutation(len(structure))
    return Structure.from_sites([structure[i] for i in order])


def primitive_cell_doubled(structure):
    return structure * [[1, 1, 0], [0, 1, 0], [0, 0, 2]]


CHANGES = (rotated, shifted, mirrored, reordered, primitive_cell_doubled)


@pytest.mark.parametrize("change", CHANGES, ids=lambda f: f.__name__)
def test_the_output_is_invariant(structure, change):
    net = network()
    one, other = output(net, folded(structure)), output(net, folded(change(structure)))
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.shared
def test_the_output_is_invariant_for_real_crystals(shared_data):
    from supervision.data.datasets import load_dataset

    crystals = load_dataset("3dsc", str(shared_data / "3dsc" / "3DSC_MP.tar.xz")).crystals
    net = network()
    for index in np.random.default_rng(2).permutation(len(crystals))[:40]:
        structure = crystals[index].structure
        one = output(net, folded(structure))
        for change in (rotated, shifted, primitive_cell_doubled):
            other = output(net, folded(change(structure)))
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4, msg=crystals[index].id)


def test_dopants_and_vacancies_change_the_output():
    net = network()
    outputs = [
        output(net, folded(la2cuo4(strontium=s, oxygen=o)))
        for s, o in ((0.0, 1.0), (0.05, 1.0), (0.1, 1.0), (0.1, 0.95))
    ]
    for i, one in enumerate(outputs):
        assert all(not torch.allclose(one, other, rtol=1e-3) for other in outputs[:i])


# --- comparison with alignn


CUTOFF = {"use_cutoff_function": True, "inner_cutoff": 6.0, "exponent": 5}


@pytest.mark.parametrize(
    "settings",
    [{}, CUTOFF | {"multiply_cutoff": True}, CUTOFF],
    ids=["no cutoff", "states", "lengths"],
)
def test_the_output_matches_alignn_on_its_own_graph(settings):
    from alignn.graphs import Graph
    from jarvis.core.atoms import pmg_to_atoms

    net, reference = network(**settings), network(backend="dgl", **settings)
    reference.load_state_dict(net.state_dict(), strict=True)
    theirs = [*Graph.atom_dgl_multigraph(pmg_to_atoms(nb3sn()), cutoff=8.0), torch.eye(3)[None]]
    batch = collate([folded(nb3sn())])
    with torch.no_grad():
        ours = net.fc(pool(forward_states(net, batch)[-1], batch)[0]).squeeze()
        energy = reference(theirs)["out"].squeeze()
        torch.testing.assert_close(energy, ours, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("architecture", ["alignn", "alignn_atomwise"])
def test_parameter_names_and_random_initialisation_match_alignn(architecture):
    ours, theirs = (network(architecture, kind).state_dict() for kind in ("pure", "dgl"))
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("architecture", ["alignn", "alignn_atomwise"])
def test_both_backends_give_the_same_states(architecture):
    """In evaluation and in training, where batch norm uses batch statistics."""
    net, reference = (network(architecture, backend) for backend in ("pure", "dgl"))
    reference.load_state_dict(net.state_dict(), strict=True)
    batch = collate([unfolded(nb3sn()), unfolded(triclinic())])
    for mode in (False, True):
        ours, theirs = (
            forward_states(net.train(mode), batch),
            forward_states_dgl(reference.train(mode), batch),
        )
        assert len(ours) == len(theirs) == 5
        for one, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_a_folded_graph_is_refused_by_dgl():
    with pytest.raises(ValueError, match="build it unfolded"):
        to_dgl(collate([folded(nb3sn())]))


@pytest.mark.shared
def test_alignn_ff_gives_the_energy_of_nb3sn_that_alignn_gives(shared_data):
    fetched = get_weights("alignn_ff", "graph")
    net = create_backbone("alignn_atomwise", "pure", fetched.config).eval()
    load_pretrained(net, fetched)
    batch = collate([folded(nb3sn())])
    with torch.no_grad():
        energy = net.fc(pool(forward_states(net, batch)[-1], batch)[0]).item()
    assert energy == pytest.approx(-5.7716, abs=2e-4)  # alignn 2026.8.11 on its own graph


def test_weights_of_another_architecture_are_refused(tmp_path):
    from safetensors.torch import save_file

    path = tmp_path / "other.safetensors"
    save_file(network("alignn").state_dict(), path)
    fetched = Fetched(WEIGHTS["alignn_ff"], path, "", "a file", "", SMALL)
    with pytest.raises(WeightsError, match="a file does not fit alignn_ff"):
        load_pretrained(network(), fetched)


# --- batches and the head


def test_graphs_in_a_batch_do_not_affect_each_other():
    net = network()
    graphs = [folded(make()) for make in ALL.values()]
    together = output(net, *graphs)
    alone = torch.cat([output(net, graph) for graph in graphs])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("sizes", "groups"),
    [
        ([], []),
        ([5], [[0]]),
        ([99], [[0]]),
        ([4, 6, 1], [[0, 1], [2]]),
        ([4, 99, 4, 4], [[0], [1], [2, 3]]),
    ],
    ids=str,
)
def test_groups_are_within_the_budget(sizes, groups):
    assert list(split_by_budget(sizes, 10)) == groups


def test_pooling_weights_atoms_by_multiplicity():
    batch = collate([folded(nb3sn())])
    x = torch.where(batch.atoms[:, None] == 6, 1.0, 5.0)  # Nb 1, Sn 5
    mean, deviation = pool(x, batch)
    assert mean.item() == pytest.approx(2.0)
    assert deviation.item() == pytest.approx(3**0.5, rel=1e-5)


def test_folding_does_not_change_gradients():
    gradients = []
    for form in (folded, unfolded):
        torch.manual_seed(0)
        fetched = Fetched(WEIGHTS["alignn_ff"], None, "", "none", "", SMALL)
        model = GraphRegressor(fetched, GraphConfig()).eval()
        model(collate([form(nb3sn()), form(la2cuo4(0.1))])).sum().backward()
        gradients.append({n: p.grad for n, p in model.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        difference = (gradient - gradients[1][name]).norm()
        assert difference <= 1e-3 * gradient.norm() + 1e-6, name


@pytest.mark.parametrize("structure", [triclinic(), la2cuo4()], ids=["triclinic", "La2CuO4"])
def test_processing_in_blocks_does_not_change_the_states(structure, monkeypatch):
    net, batch = create_backbone("alignn_atomwise", "pure", {}).eval(), collated(structure)
    expected = forward_states(net, batch)[-1]
    monkeypatch.setattr("supervision.models.graph.backbone.CPU_BLOCK_ROWS", 7)
    with torch.inference_mode():
        torch.testing.assert_close(forward_states(net, batch)[-1], expected, rtol=1e-5, atol=1e-5)


def collated(structure):
    return collate([unfolded_graph(build_graph(structure))])
