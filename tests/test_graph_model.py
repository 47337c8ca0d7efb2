"""Folding, batches, and the walk through ALIGNN: against alignn's own forward, and symmetry."""

import dataclasses

import numpy as np
import pytest
import torch
from example_structures import ALL, la2cuo4, nb3sn, triclinic
from pymatgen.core import Lattice, Structure
from pymatgen.core.operations import SymmOp

from supervision.models.graph.backbone import (
    create_backbone,
    load_pretrained,
    to_dgl,
    walk,
    walk_dgl,
)
from supervision.models.graph.batch import collate, pack
from supervision.models.graph.build import build_graph, line_graph
from supervision.models.graph.config import GraphConfig
from supervision.models.graph.model import GraphRegressor, pool
from supervision.models.graph.symmetry_folding import FoldedGraph, fold, unfolded
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


def answer(net, *graphs, how=walk):
    """Mean of the last atom states of each graph, ``[b, hidden]``."""
    batch = collate(graphs)
    with torch.no_grad():
        return pool(how(net, batch)[-1], batch)[0]


def folded(structure):
    return fold(build_graph(structure))


def whole(structure):
    return unfolded(build_graph(structure))


# --- folding


def test_kinds_of_nb3sn_worked_out_by_hand():
    """Two kinds of atoms; Nb: 2 at a/2, 4 Sn at sqrt(5) a/4, 8 at sqrt(6) a/4; Sn: 12 Nb."""
    graph = folded(nb3sn())
    assert sorted(graph.atoms) == [2, 6]
    kinds = sorted(zip(np.round(graph.distance / 5.29, 4), graph.edges, strict=True))
    near, mixed, far = 0.5, round(5**0.5 / 4, 4), round(6**0.5 / 4, 4)
    assert kinds == [(near, 2), (mixed, 4), (mixed, 12), (far, 8)]


def test_copies_add_up_to_the_whole_graph(structure):
    graph, small = build_graph(structure), folded(structure)
    arriving = small.edges * small.atoms[small.target]  # of each kind of edge in the cell
    assert small.atoms.sum() == len(graph.features)
    assert arriving.sum() == pytest.approx(len(graph.source))
    angles = small.angles * arriving[small.second]
    assert angles.sum() == pytest.approx(len(line_graph(graph)[0]), rel=1e-5)


def test_a_folded_graph_gives_the_answer_of_the_whole(structure):
    net = network()
    torch.testing.assert_close(
        answer(net, folded(structure)), answer(net, whole(structure)), rtol=1e-5, atol=1e-5
    )


def test_what_a_network_can_tell_apart_is_not_folded():
    """One site of a 2x2x2 cell replaced: its neighbours now differ from the others."""
    plain, changed = nb3sn() * (2, 2, 2), nb3sn() * (2, 2, 2)
    changed.replace(0, "Pb")
    assert len(folded(plain).atoms) == len(folded(nb3sn()).atoms)
    assert len(folded(changed).atoms) > len(folded(plain).atoms)
    net = network()
    torch.testing.assert_close(
        answer(net, folded(changed)), answer(net, whole(changed)), rtol=1e-5, atol=1e-5
    )


def test_arrays_come_back_as_they_went(structure):
    graph = folded(structure)
    again = FoldedGraph.from_arrays(graph.to_arrays())
    for field in dataclasses.fields(FoldedGraph):
        assert np.array_equal(getattr(graph, field.name), getattr(again, field.name))


# --- what may not change an answer


def turned(structure):
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


CHANGES = (turned, shifted, mirrored, reordered, primitive_cell_doubled)


@pytest.mark.parametrize("change", CHANGES, ids=lambda f: f.__name__)
def test_the_same_crystal_gives_the_same_answer(structure, change):
    net = network()
    one, other = answer(net, folded(structure)), answer(net, folded(change(structure)))
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.shared
def test_real_crystals_give_the_same_answer_in_other_cells(shared_data):
    from supervision.data.datasets import load_dataset

    crystals = load_dataset("3dsc", str(shared_data / "3dsc" / "3DSC_MP.tar.xz")).crystals
    net = network()
    for index in np.random.default_rng(2).permutation(len(crystals))[:40]:
        structure = crystals[index].structure
        one = answer(net, folded(structure))
        for change in (turned, shifted, primitive_cell_doubled):
            other = answer(net, folded(change(structure)))
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4, msg=crystals[index].id)


def test_dopants_and_vacancies_give_other_answers():
    net = network()
    answers = [
        answer(net, folded(la2cuo4(strontium=s, oxygen=o)))
        for s, o in ((0.0, 1.0), (0.05, 1.0), (0.1, 1.0), (0.1, 0.95))
    ]
    for i, one in enumerate(answers):
        assert all(not torch.allclose(one, other, rtol=1e-3) for other in answers[:i])


# --- against alignn


FADED = {"use_cutoff_function": True, "inner_cutoff": 6.0, "exponent": 5}


@pytest.mark.parametrize(
    "settings", [{}, FADED | {"multiply_cutoff": True}, FADED], ids=["plain", "faded", "cut off"]
)
def test_the_walk_is_alignns_own_forward(settings):
    """On alignn's own graph of an ordered crystal, energy and all."""
    from alignn.graphs import Graph
    from jarvis.core.atoms import pmg_to_atoms

    net, reference = network(**settings), network(backend="dgl", **settings)
    reference.load_state_dict(net.state_dict(), strict=True)
    theirs = [*Graph.atom_dgl_multigraph(pmg_to_atoms(nb3sn()), cutoff=8.0), torch.eye(3)[None]]
    batch = collate([folded(nb3sn())])
    with torch.no_grad():
        ours = net.fc(pool(walk(net, batch)[-1], batch)[0]).squeeze()
        energy = reference(theirs)["out"].squeeze()
        torch.testing.assert_close(energy, ours, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("architecture", ["alignn", "alignn_atomwise"])
def test_our_class_is_alignns_name_for_name_and_random_number_for_number(architecture):
    ours, theirs = (network(architecture, kind).state_dict() for kind in ("pure", "dgl"))
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("architecture", ["alignn", "alignn_atomwise"])
def test_both_backends_give_the_same_states(architecture):
    """Also while training, where batch norm takes its statistics from the batch."""
    net, reference = (network(architecture, backend) for backend in ("pure", "dgl"))
    reference.load_state_dict(net.state_dict(), strict=True)
    batch = collate([whole(nb3sn()), whole(triclinic())])
    for mode in (False, True):
        ours, theirs = walk(net.train(mode), batch), walk_dgl(reference.train(mode), batch)
        assert len(ours) == len(theirs) == 5
        for one, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_dgl_refuses_a_folded_graph():
    with pytest.raises(ValueError, match="unfold it"):
        to_dgl(collate([folded(nb3sn())]))


@pytest.mark.shared
def test_alignn_ff_on_nb3sn_gives_the_number_that_alignn_gives(shared_data):
    fetched = get_weights("alignn_ff", "graph")
    net = create_backbone("alignn_atomwise", "pure", fetched.config).eval()
    load_pretrained(net, fetched)
    batch = collate([folded(nb3sn())])
    with torch.no_grad():
        energy = net.fc(pool(walk(net, batch)[-1], batch)[0]).item()
    assert energy == pytest.approx(-5.7716, abs=2e-4)  # alignn 2026.8.11 on its own graph


def test_weights_of_another_class_are_refused(tmp_path):
    from safetensors.torch import save_file

    path = tmp_path / "other.safetensors"
    save_file(network("alignn").state_dict(), path)
    fetched = Fetched(WEIGHTS["alignn_ff"], path, "", "a file", "", SMALL)
    with pytest.raises(WeightsError, match="a file does not fit alignn_ff"):
        load_pretrained(network(), fetched)


# --- batches and the head


def test_a_batch_is_its_graphs_side_by_side():
    net = network()
    graphs = [folded(make()) for make in ALL.values()]
    together = answer(net, *graphs)
    alone = torch.cat([answer(net, graph) for graph in graphs])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("sizes", "runs"),
    [
        ([], []),
        ([5], [[0]]),
        ([99], [[0]]),
        ([4, 6, 1], [[0, 1], [2]]),
        ([4, 99, 4, 4], [[0], [1], [2, 3]]),
    ],
    ids=str,
)
def test_runs_keep_to_the_budget(sizes, runs):
    assert list(pack(sizes, 10)) == runs


def test_moments_worked_out_by_hand():
    batch = collate([folded(nb3sn())])
    x = torch.where(batch.atoms[:, None] == 6, 1.0, 5.0)  # Nb 1, Sn 5
    mean, deviation = pool(x, batch)
    assert mean.item() == pytest.approx(2.0)
    assert deviation.item() == pytest.approx(3**0.5, rel=1e-5)


def test_gradients_of_a_folded_batch_are_those_of_the_whole():
    gradients = []
    for form in (folded, whole):
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
def test_states_read_block_by_block_are_those_read_at_once(structure, monkeypatch):
    net, batch = create_backbone("alignn_atomwise", "pure", {}).eval(), collated(structure)
    whole = walk(net, batch)[-1]
    monkeypatch.setattr("supervision.models.graph.backbone.BLOCK", 7)
    with torch.inference_mode():
        torch.testing.assert_close(walk(net, batch)[-1], whole, rtol=1e-5, atol=1e-5)


def collated(structure):
    return collate([unfolded(build_graph(structure))])
