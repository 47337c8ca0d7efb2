"""The atom graph and the line graph, against alignn's builder and against what symmetry demands."""

import numpy as np
import pytest
from example_structures import ALL, la2cuo4, mgb2, nb3sn
from pymatgen.core import DummySpecies, Lattice, Structure
from scipy.spatial import cKDTree

from supervision.data.datasets import load_dataset
from supervision.models.graph.build import (
    TIE,
    TWELVE,
    Neighbourhood,
    build_graph,
    edge_pairs,
    line_graph,
    site_features,
)

NEIGHBOURS = TWELVE.nearest
RADIUS = Neighbourhood(nearest=1, within=5.0)
AL = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.05), ["Al"], [[0, 0, 0]])


def edge_set(graph):
    return set(zip(graph.source, graph.target, *graph.image.T, strict=True))


@pytest.fixture(params=ALL, ids=str)
def structure(request):
    return ALL[request.param]()


def test_counts_worked_out_by_hand():
    """fcc: 12 neighbours at a/sqrt(2). A15: 12 Nb round Sn, 14 round Nb (2 + 8 Nb, 4 Sn)."""
    assert len(build_graph(AL).source) == 4 * 12
    graph = build_graph(nb3sn())
    sn = [i for i, site in enumerate(nb3sn()) if site.species_string == "Sn"]
    assert np.bincount(graph.source)[sn].tolist() == [12, 12]
    assert set(np.bincount(graph.source)) == {12, 14}


def test_every_edge_is_there_once_and_so_is_its_reverse(structure):
    graph = build_graph(structure)
    edges = edge_set(graph)
    assert len(edges) == len(graph.source)
    assert {(j, i, -a, -b, -c) for i, j, a, b, c in edges} == edges


def test_nearest_neighbours_are_those_of_a_plain_search(structure):
    """pymatgen's get_all_neighbors with a sphere that is too large by far, sorted."""
    graph = build_graph(structure)
    wanted = set()
    for i, found in enumerate(structure.get_all_neighbors(9.0)):
        found.sort(key=lambda near: near.nn_distance)
        reach = found[NEIGHBOURS - 1].nn_distance + TIE
        for near in found:
            if near.nn_distance <= reach:
                image = tuple(round(x) for x in near.image)
                wanted.add((i, near.index, *image))
                wanted.add((near.index, i, *(-x for x in image)))
    assert edge_set(graph) == wanted


def test_a_radius_graph_holds_what_is_within(structure):
    graph = build_graph(structure, RADIUS)
    wanted = {
        (i, near.index, *(round(x) for x in near.image))
        for i, found in enumerate(structure.get_all_neighbors(RADIUS.within + TIE))
        for near in found
    }
    assert edge_set(graph) == wanted


def test_a_radius_graph_reaches_for_the_nearest_of_what_has_none_within():
    """Simple cubic, 7 A: the six nearest, though they are farther than 5 A."""
    lonely = Structure(Lattice.cubic(7.0), ["Ar"], [[0, 0, 0]])
    graph = build_graph(lonely, RADIUS)
    assert len(graph.source) == 6
    np.testing.assert_allclose(np.linalg.norm(graph.vector, axis=1), 7.0)


@pytest.mark.shared
def test_radius_graphs_are_those_of_alignn(shared_data):
    from alignn.graphs import radius_graph
    from jarvis.core.atoms import pmg_to_atoms

    crystals = load_dataset("3dsc", str(shared_data / "3dsc" / "3DSC_MP.tar.xz")).crystals
    compared = 0
    for index in np.random.default_rng(2).permutation(len(crystals))[:100]:
        structure = crystals[index].structure
        if not structure.is_ordered or len(structure) > 12:
            continue
        source, target, vector, _ = radius_graph(pmg_to_atoms(structure), cutoff=5.0)
        near = [n.nn_distance for found in structure.get_all_neighbors(5.1) for n in found]
        if np.abs(np.array([*near, 0.0]) - 5.0).min() < 1e-3:
            continue  # on the edge, where floats decide
        graph = build_graph(structure, RADIUS)
        ours = np.column_stack([1000 * graph.source, 1000 * graph.target, graph.vector])
        theirs = np.column_stack([1000 * source, 1000 * target, vector])
        distance, place = cKDTree(ours).query(theirs)
        assert len(ours) == len(theirs) and distance.max() < 1e-4, structure.formula
        assert len(set(place)) == len(ours)
        compared += 1
    assert compared >= 15


def test_vectors_lead_from_source_to_target(structure):
    graph = build_graph(structure)
    for i, j, image, vector in zip(
        graph.source, graph.target, graph.image, graph.vector, strict=True
    ):
        distance = structure.get_distance(i, j, jimage=image)
        assert np.linalg.norm(vector) == pytest.approx(distance)
        step = structure.frac_coords[j] + image - structure.frac_coords[i]
        cartesian = structure.lattice.get_cartesian_coords(step)
        np.testing.assert_allclose(vector, cartesian, atol=1e-9)


def test_angles_are_all_pairs_that_meet(structure):
    graph = build_graph(structure)
    first, second, cosine = line_graph(graph)
    assert (graph.target[first] == graph.source[second]).all()
    leaving = np.bincount(graph.source)
    assert len(first) == leaving[graph.target].sum()
    assert len(set(zip(first, second, strict=True))) == len(first)
    assert np.isfinite(cosine).all()


def test_cosines_worked_out_by_hand():
    """Angles of fcc neighbours as seen from an atom: 0, 60, 90, 120 and 180 degrees."""
    _, _, cosine = line_graph(build_graph(AL))
    assert set(np.round(cosine, 6)) == {1, 0.5, 0, -0.5, -1}


def test_pairs_of_edges_worked_out_by_hand():
    first, second = edge_pairs(np.array([0, 1, 1]), np.array([1, 0, 1]))
    assert sorted(zip(first.tolist(), second.tolist(), strict=True)) == [
        (0, 1), (0, 2), (1, 0), (2, 1), (2, 2),
    ]  # fmt: skip


def matched(structure, graph):
    """alignn's graph of it: which of our edges each of its edges is, and its line graph."""
    from alignn.graphs import Graph
    from jarvis.core.atoms import pmg_to_atoms

    theirs, lines = Graph.atom_dgl_multigraph(
        pmg_to_atoms(structure), cutoff=8.0, max_neighbors=12, use_canonize=True
    )
    source, target = theirs.edges()
    ours = np.column_stack([1000 * graph.source, 1000 * graph.target, graph.vector])
    other = np.column_stack([1000 * source, 1000 * target, theirs.edata["r"]])
    distance, place = cKDTree(ours).query(other)
    assert distance.max() < 1e-4, structure.formula  # all are ours, vectors included
    return place, lines


def tied(structure):
    """Whether a thirteenth neighbour is as near as the twelfth: there alignn compares floats."""
    for found in structure.get_all_neighbors(9.0):
        distances = np.sort([near.nn_distance for near in found])
        if len(distances) <= NEIGHBOURS or np.diff(distances)[NEIGHBOURS - 1] < 2 * TIE:
            return True
    return False


@pytest.mark.shared
def test_graphs_are_those_of_alignn_on_200_ordered_structures(shared_data, capsys):
    crystals = load_dataset("3dsc", str(shared_data / "3dsc" / "3DSC_MP.tar.xz")).crystals
    compared = ties = 0
    for index in np.random.default_rng(1).permutation(len(crystals)):
        structure = crystals[index].structure
        if not structure.is_ordered or len(structure) > 30:
            continue
        graph = build_graph(structure)
        place, lines = matched(structure, graph)
        if tied(structure):
            ties += 1
            continue
        assert set(place) == set(range(len(graph.source))), structure.formula
        first, second = (place[x.numpy()] for x in lines.edges())
        theirs = dict(zip(zip(first, second, strict=True), lines.edata["h"].numpy(), strict=True))
        first, second, cosine = line_graph(graph)
        ours = dict(zip(zip(first, second, strict=True), cosine, strict=True))
        assert ours.keys() == theirs.keys(), structure.formula
        assert max(abs(ours[key] - theirs[key]) for key in ours) < 1e-5, structure.formula
        compared += 1
        if compared == 200:
            break
    with capsys.disabled():
        print(f" {compared} structures equal, {ties} with ties set aside", end="")
    assert compared == 200


# --- features


def test_features_are_alignns_own():
    from jarvis.core.specie import get_node_attributes

    for structure in (AL, nb3sn(), mgb2()):
        expected = [get_node_attributes(s.species_string, "cgcnn") for s in structure]
        np.testing.assert_allclose(site_features(structure)[0], expected, rtol=1e-6)


def test_a_mixed_site_has_the_weighted_sum_and_a_vacancy_shows():
    from jarvis.core.specie import get_node_attributes

    la, sr = (np.array(get_node_attributes(x, "cgcnn")) for x in ("La", "Sr"))
    np.testing.assert_allclose(
        site_features(la2cuo4(strontium=0.075))[0][0], 0.925 * la + 0.075 * sr, rtol=1e-6
    )
    vacant = Structure(AL.lattice, [{"Al": 0.9}], [[0, 0, 0]])
    np.testing.assert_allclose(
        site_features(vacant)[0][0], 0.9 * site_features(AL)[0][0], rtol=1e-6
    )


def test_deuterium_is_hydrogen_and_oxidation_states_change_nothing():
    rows = [
        site_features(Structure(Lattice.cubic(4), [species], [[0, 0, 0]]))[0][0]
        for species in ("H", "D", "H+", "T")
    ]
    assert all((row == rows[0]).all() for row in rows)


@pytest.mark.parametrize("species", ["Am", "Lr", DummySpecies("X")], ids=str)
def test_an_element_beyond_the_table_is_named(species):
    structure = Structure(Lattice.cubic(4), [species], [[0, 0, 0]])
    with pytest.raises(ValueError, match=f"no features for {species}"):
        build_graph(structure)


# --- odd crystals


def test_one_atom_has_itself_for_neighbours():
    graph = build_graph(Structure(Lattice.cubic(3.3), ["Po"], [[0, 0, 0]]))
    assert len(graph.source) == 18  # 6 at a, 12 at a sqrt(2)
    assert (graph.source == 0).all()


def test_an_isolated_atom_finds_its_neighbours_however_far():
    graph = build_graph(Structure(Lattice.cubic(30), ["H"], [[0.5, 0.5, 0.5]]))
    distance = np.linalg.norm(graph.vector, axis=1)
    assert len(distance) == 18
    assert distance.min() == pytest.approx(30)
    crowd = np.random.default_rng(0).random((40, 3)) * 0.15
    far = Structure(Lattice.cubic(40), ["Cu"] * 40 + ["He"], [*crowd, [0.6, 0.6, 0.6]])
    assert np.bincount(build_graph(far).source)[40] >= NEIGHBOURS


def test_two_sites_at_one_place_are_refused():
    twice = Structure(Lattice.cubic(4), ["Cu", "Zn"], [[0, 0, 0], [0, 0, 0.0001]])
    with pytest.raises(ValueError, match="at one place"):
        build_graph(twice)


@pytest.mark.parametrize(
    ("height", "x", "said"), [(4, np.nan, "not a finite"), (0.1, 0, "thick")], ids=["nan", "thin"]
)
def test_what_is_no_cell_is_refused(height, x, said):
    with pytest.raises(ValueError, match=said):
        build_graph(Structure(Lattice.orthorhombic(4, 4, height), ["Cu"], [[x, 0, 0]]))
