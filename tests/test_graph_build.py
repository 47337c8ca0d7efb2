"""The atom graph and the line graph, compared with alignn's and with direct searches."""

import numpy as np
import pytest
from example_structures import ALL, la2cuo4, mgb2, nb3sn
from pymatgen.core import DummySpecies, Lattice, Structure
from scipy.spatial import cKDTree

from supervision.data.datasets import load_dataset
from supervision.models.graph.build import (
    DEFAULT_NEIGHBOURHOOD,
    TIE_TOLERANCE_ANGSTROM,
    Neighbourhood,
    build_graph,
    edge_pairs,
    line_graph,
    site_features,
)

NEIGHBOURS = DEFAULT_NEIGHBOURHOOD.nearest
RADIUS = Neighbourhood(nearest=1, within=5.0)
AL = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.05), ["Al"], [[0, 0, 0]])


def edge_set(graph):
    return set(zip(graph.source, graph.target, *graph.image.T, strict=True))


@pytest.fixture(params=ALL, ids=str)
def structure(request):
    return ALL[request.param]()


def test_neighbour_counts_of_known_crystals():
    """fcc: 12 neighbours at a/sqrt(2). A15: Sn has 12 Nb, Nb has 14 neighbours (10 Nb, 4 Sn)."""
    assert len(build_graph(AL).source) == 4 * 12
    graph = build_graph(nb3sn())
    sn = [i for i, site in enumerate(nb3sn()) if site.species_string == "Sn"]
    assert np.bincount(graph.source)[sn].tolist() == [12, 12]
    assert set(np.bincount(graph.source)) == {12, 14}


def test_every_edge_and_its_reverse_exist_once(structure):
    graph = build_graph(structure)
    edges = edge_set(graph)
    assert len(edges) == len(graph.source)
    assert {(j, i, -a, -b, -c) for i, j, a, b, c in edges} == edges


def test_nearest_neighbours_match_pymatgen(structure):
    """The reference is get_all_neighbors with a large radius, sorted by distance."""
    graph = build_graph(structure)
    expected = set()
    for i, found in enumerate(structure.get_all_neighbors(9.0)):
        found.sort(key=lambda neighbour: neighbour.nn_distance)
        cutoff = found[NEIGHBOURS - 1].nn_distance + TIE_TOLERANCE_ANGSTROM
        for neighbour in found:
            if neighbour.nn_distance <= cutoff:
                image = tuple(round(x) for x in neighbour.image)
                expected.add((i, neighbour.index, *image))
                expected.add((neighbour.index, i, *(-x for x in image)))
    assert edge_set(graph) == expected


def test_a_radius_graph_has_all_neighbours_within_the_radius(structure):
    graph = build_graph(structure, RADIUS)
    expected = {
        (i, near.index, *(round(x) for x in near.image))
        for i, found in enumerate(
            structure.get_all_neighbors(RADIUS.within + TIE_TOLERANCE_ANGSTROM)
        )
        for near in found
    }
    assert edge_set(graph) == expected


def test_a_radius_graph_has_the_nearest_neighbours_beyond_the_radius_if_there_are_no_others():
    """Simple cubic with a = 7 angstrom and a radius of 5 angstrom: six neighbours."""
    argon = Structure(Lattice.cubic(7.0), ["Ar"], [[0, 0, 0]])
    graph = build_graph(argon, RADIUS)
    assert len(graph.source) == 6
    np.testing.assert_allclose(np.linalg.norm(graph.vector, axis=1), 7.0)


@pytest.mark.shared
def test_radius_graphs_match_alignn(shared_data):
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
            continue  # a neighbour at the radius, where rounding decides
        graph = build_graph(structure, RADIUS)
        ours = np.column_stack([1000 * graph.source, 1000 * graph.target, graph.vector])
        theirs = np.column_stack([1000 * source, 1000 * target, vector])
        distance, place = cKDTree(ours).query(theirs)
        assert len(ours) == len(theirs) and distance.max() < 1e-4, structure.formula
        assert len(set(place)) == len(ours)
        compared += 1
    assert compared >= 15


def test_vectors_point_from_source_to_target(structure):
    graph = build_graph(structure)
    for i, j, image, vector in zip(
        graph.source, graph.target, graph.image, graph.vector, strict=True
    ):
        distance = structure.get_distance(i, j, jimage=image)
        assert np.linalg.norm(vector) == pytest.approx(distance)
        step = structure.frac_coords[j] + image - structure.frac_coords[i]
        cartesian = structure.lattice.get_cartesian_coords(step)
        np.testing.assert_allclose(vector, cartesian, atol=1e-9)


def test_angles_are_all_pairs_of_consecutive_edges(structure):
    graph = build_graph(structure)
    first, second, cosine = line_graph(graph)
    assert (graph.target[first] == graph.source[second]).all()
    leaving = np.bincount(graph.source)
    assert len(first) == leaving[graph.target].sum()
    assert len(set(zip(first, second, strict=True))) == len(first)
    assert np.isfinite(cosine).all()


def test_cosines_of_fcc():
    """Angles between fcc neighbours are 0, 60, 90, 120 and 180 degrees."""
    _, _, cosine = line_graph(build_graph(AL))
    assert set(np.round(cosine, 6)) == {1, 0.5, 0, -0.5, -1}


def test_edge_pairs_of_a_small_graph():
    first, second = edge_pairs(np.array([0, 1, 1]), np.array([1, 0, 1]))
    assert sorted(zip(first.tolist(), second.tolist(), strict=True)) == [
        (0, 1), (0, 2), (1, 0), (2, 1), (2, 2),
    ]  # fmt: skip


def matched(structure, graph):
    """For each edge of alignn's graph, the index of our edge; and alignn's line graph."""
    from alignn.graphs import Graph
    from jarvis.core.atoms import pmg_to_atoms

    theirs, lines = Graph.atom_dgl_multigraph(
        pmg_to_atoms(structure), cutoff=8.0, max_neighbors=12, use_canonize=True
    )
    source, target = theirs.edges()
    ours = np.column_stack([1000 * graph.source, 1000 * graph.target, graph.vector])
    other = np.column_stack([1000 * source, 1000 * target, theirs.edata["r"]])
    distance, place = cKDTree(ours).query(other)
    assert distance.max() < 1e-4, (
        structure.formula
    )  # every edge has a counterpart with the same vector
    return place, lines


def tied(structure):
    """Whether the twelfth and thirteenth neighbours are equally far; alignn has no tolerance."""
    for found in structure.get_all_neighbors(9.0):
        distances = np.sort([neighbour.nn_distance for neighbour in found])
        if (
            len(distances) <= NEIGHBOURS
            or np.diff(distances)[NEIGHBOURS - 1] < 2 * TIE_TOLERANCE_ANGSTROM
        ):
            return True
    return False


@pytest.mark.long
@pytest.mark.shared
def test_graphs_match_alignn_on_200_ordered_structures(shared_data, capsys):
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
        print(f" {compared} structures equal, {ties} with ties excluded", end="")
    assert compared == 200


# --- features


def test_features_match_alignn():
    from jarvis.core.specie import get_node_attributes

    for structure in (AL, nb3sn(), mgb2()):
        expected = [get_node_attributes(s.species_string, "cgcnn") for s in structure]
        np.testing.assert_allclose(site_features(structure)[0], expected, rtol=1e-6)


def test_features_are_weighted_by_occupancy_and_not_normalised():
    from jarvis.core.specie import get_node_attributes

    la, sr = (np.array(get_node_attributes(x, "cgcnn")) for x in ("La", "Sr"))
    np.testing.assert_allclose(
        site_features(la2cuo4(strontium=0.075))[0][0], 0.925 * la + 0.075 * sr, rtol=1e-6
    )
    vacant = Structure(AL.lattice, [{"Al": 0.9}], [[0, 0, 0]])
    np.testing.assert_allclose(
        site_features(vacant)[0][0], 0.9 * site_features(AL)[0][0], rtol=1e-6
    )


def test_isotopes_and_oxidation_states_do_not_change_features():
    rows = [
        site_features(Structure(Lattice.cubic(4), [species], [[0, 0, 0]]))[0][0]
        for species in ("H", "D", "H+", "T")
    ]
    assert all((row == rows[0]).all() for row in rows)


@pytest.mark.parametrize("species", ["Am", "Lr", DummySpecies("X")], ids=str)
def test_an_element_without_features_is_refused(species):
    structure = Structure(Lattice.cubic(4), [species], [[0, 0, 0]])
    with pytest.raises(ValueError, match=f"no features for {species}"):
        build_graph(structure)


# --- special crystals


def test_a_single_atom_is_bonded_to_its_periodic_images():
    graph = build_graph(Structure(Lattice.cubic(3.3), ["Po"], [[0, 0, 0]]))
    assert len(graph.source) == 18  # 6 at a, 12 at sqrt(2) a
    assert (graph.source == 0).all()


def test_an_isolated_atom_has_distant_neighbours():
    graph = build_graph(Structure(Lattice.cubic(30), ["H"], [[0.5, 0.5, 0.5]]))
    distance = np.linalg.norm(graph.vector, axis=1)
    assert len(distance) == 18
    assert distance.min() == pytest.approx(30)
    cluster = np.random.default_rng(0).random((40, 3)) * 0.15
    far = Structure(Lattice.cubic(40), ["Cu"] * 40 + ["He"], [*cluster, [0.6, 0.6, 0.6]])
    assert np.bincount(build_graph(far).source)[40] >= NEIGHBOURS


def test_two_sites_at_one_position_are_refused():
    twice = Structure(Lattice.cubic(4), ["Cu", "Zn"], [[0, 0, 0], [0, 0, 0.0001]])
    with pytest.raises(ValueError, match="at one position"):
        build_graph(twice)


@pytest.mark.parametrize(
    ("height", "x", "message"),
    [(4, np.nan, "not a finite"), (0.1, 0, "thick")],
    ids=["nan", "thin"],
)
def test_an_invalid_cell_or_coordinate_is_refused(height, x, message):
    with pytest.raises(ValueError, match=message):
        build_graph(Structure(Lattice.orthorhombic(4, 4, height), ["Cu"], [[x, 0, 0]]))
