"""What the composition says about the classes of ``material_classes``.

For each class a rule for its members and, where it differs, a wider one for its relatives: samples
reported with nominal compositions, other phases of the same elements, remote dopings.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Set

from supervision.data.crystals import parse_formula
from supervision.data.elements import ATOMIC_RADIUS

Fractions = Mapping[str, float]  # atomic fraction of each element; 0 for one that is absent
Site = tuple[Set[str], float]  # the elements of a site, and its number per formula unit


def atomic_fractions(formula: str) -> Fractions:
    """The atomic fraction of each element; hydrogen's isotopes are hydrogen.

    Raises CrystalError for a text that is not a formula.
    """
    composition = parse_formula(formula)
    fractions: defaultdict[str, float] = defaultdict(float)
    for element, amount in composition.items():
        fractions["H" if element.Z == 1 else element.symbol] += amount / composition.num_atoms
    return Counter(fractions)


def _elements(text: str) -> frozenset[str]:
    return frozenset(text.split())


ALKALI = _elements("Li Na K Rb Cs")
ALKALINE_EARTHS = _elements("Mg Ca Sr Ba")
RARE_EARTHS = _elements("Sc Y La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu")
ACTINIDES = _elements("Ac Th Pa U Np Pu")
CATIONS = ALKALI | ALKALINE_EARTHS | RARE_EARTHS | ACTINIDES
EARLY_METALS = _elements("Ti Zr Hf V Nb Ta Cr Mo W")  # groups 4 to 6
LATE_METALS = _elements("Mn Fe Co Ni Cu Zn Tc Ru Rh Pd Ag Re Os Ir Pt Au")
PNICTOGENS = _elements("P As Sb")
CHALCOGENS = _elements("S Se Te")
HALOGENS = _elements("F Cl Br I")
NONMETALS = _elements("B C N O Si Ge") | PNICTOGENS | CHALCOGENS | HALOGENS


def _share(fractions: Fractions, elements: Set[str]) -> float:
    return sum(x for element, x in fractions.items() if element in elements)


def _has_sites(fractions: Fractions, *sites: Site, tolerance: float) -> bool:
    """Whether the sites have their atomic fractions, each within the tolerance."""
    total = sum(count for _, count in sites)
    return all(
        abs(_share(fractions, elements) - count / total) <= tolerance for elements, count in sites
    )


def _without_hydrogen(fractions: Fractions) -> Fractions:
    """The fractions without H, which enters interstices of many metals and keeps their type."""
    rest = Counter({element: x for element, x in fractions.items() if element != "H"})
    return Counter({element: x / rest.total() for element, x in rest.items()})


# --- cuprates

SPACERS = CATIONS | _elements("Bi Tl Hg Pb")


def cuprate_related(fractions: Fractions) -> bool:
    """Any compound of Cu and O."""
    return min(fractions["Cu"], fractions["O"]) > 0


def cuprate(fractions: Fractions) -> bool:
    """Cu is the main transition metal, O is abundant, and there are cations between the layers."""
    other_metals = _share(fractions, EARLY_METALS | LATE_METALS - {"Cu"})
    return (
        fractions["Cu"] >= max(0.04, other_metals)
        and fractions["O"] >= 0.2
        and _share(fractions, SPACERS) >= 0.1
    )


# --- iron pnictides and chalcogenides

IRON_ANIONS = PNICTOGENS | CHALCOGENS


def iron_related(fractions: Fractions) -> bool:
    """Fe and an anion; not Fe between the clusters of Chevrel phases or the layers of TaS2."""
    hosts = _share(fractions, _elements("Nb Ta Mo W"))
    return fractions["Fe"] > hosts and _share(fractions, IRON_ANIONS) >= 0.1


def iron(fractions: Fractions) -> bool:
    """Anions per metal: 1 in LaFeAsO, 1.5 in BaFe2S3, 2 in CaFeAs2 but also in pyrite."""
    metals, anions = _share(fractions, LATE_METALS), _share(fractions, IRON_ANIONS)
    most = 2.2 if _share(fractions, CATIONS) >= 0.1 else 1.6
    return fractions["Fe"] >= 0.02 and 0.6 * metals <= anions <= most * metals


# --- diborides


def diboride_related(fractions: Fractions) -> bool:
    """From M2B3 to MB4, and Mg with B: samples of MgB2 are reported from MgB to MgB7."""
    boron, layer = fractions["B"], fractions["B"] + fractions["C"]
    has_magnesium = fractions["Mg"] >= 0.1 and _share(fractions, LATE_METALS) <= 0.1
    return (boron >= 0.45 and 0.55 <= layer <= 0.82) or (boron >= 0.3 and has_magnesium)


def diboride(fractions: Fractions) -> bool:
    """MB2 with vacancies, as in NbB2.5, and with some C for B."""
    impurities = _share(fractions, NONMETALS - {"B", "C"})
    layer = fractions["B"] + fractions["C"]
    return fractions["B"] >= 0.5 and 0.6 <= layer <= 0.76 and impurities <= 0.05


# --- A15 compounds

A15_PARTNERS = _elements("Al Ga In Si Ge Sn")
INTERSTITIALS = NONMETALS - _elements("Si Ge P As Sb")


def a15_related(fractions: Fractions) -> bool:
    """Also V or Nb with any amount of a usual partner: NbSn3 is reported with the Tc of Nb3Sn."""
    partners = _share(fractions, A15_PARTNERS)
    is_pair = _share(fractions, {"V", "Nb"}) >= 0.2 and partners >= 0.05
    return (is_pair and _share(fractions, EARLY_METALS) + partners >= 0.9) or a15(fractions)


def a15(fractions: Fractions) -> bool:
    """A3B of an early transition metal A, from A2B to A5B."""
    metal = _without_hydrogen(fractions)
    return 0.65 <= _share(metal, EARLY_METALS) <= 0.85 and _share(metal, INTERSTITIALS) <= 0.05


# --- Chevrel phases

CLUSTER_METALS = _elements("Mo Nb Ta W Tc Re Ru Os Rh Ir")


def chevrel_related(fractions: Fractions) -> bool:
    """Also the chains of Tl2Mo6Se6, and Mo5SnS6, a nominal composition."""
    return _is_cluster_compound(fractions, 0.6, 1.4)


def chevrel(fractions: Fractions) -> bool:
    """Three metals per four anions, as in Mo6S8 and PbMo6S8, within a tenth."""
    return _is_cluster_compound(fractions, 0.68, 0.82)


def _is_cluster_compound(fractions: Fractions, least: float, most: float) -> bool:
    metals = _share(fractions, CLUSTER_METALS)
    anions = _share(fractions, CHALCOGENS | HALOGENS | {"O"})
    return (
        fractions["Mo"] >= 0.1
        and _share(fractions, CHALCOGENS) >= 0.25
        and least * anions <= metals <= most * anions
    )


# --- borocarbides and boronitrides

BOROCARBIDE_CATIONS = ALKALINE_EARTHS | RARE_EARTHS | ACTINIDES
BOROCARBIDES = ((1, 2, 2, 1), (1, 1, 1, 1), (3, 2, 2, 3))  # LuNi2B2C, LuNiBC, La3Ni2B2N3


def borocarbide_related(fractions: Fractions) -> bool:
    """Also YPd4BC0.2 and other samples of several phases."""
    cations, metals = _share(fractions, BOROCARBIDE_CATIONS), _share(fractions, LATE_METALS)
    carbon = _share(fractions, {"C", "N"})
    return cations >= 0.05 and min(metals, fractions["B"]) >= 0.1 and carbon >= 0.02


def borocarbide(fractions: Fractions) -> bool:
    """Layers of M2B2 and of RC or RN, in one of three ratios."""
    sites = (BOROCARBIDE_CATIONS, LATE_METALS, {"B"}, {"C", "N"})
    return any(
        _has_sites(fractions, *zip(sites, counts, strict=True), tolerance=0.05)
        for counts in BOROCARBIDES
    )


# --- bismuthates

BISMUTH = _elements("Bi Pb Sb")
PEROVSKITE_CATIONS = ALKALI | ALKALINE_EARTHS | RARE_EARTHS


def bismuthate_related(fractions: Fractions) -> bool:
    """An oxide of Bi, Pb or Sb and a perovskite cation, and of little else."""
    cations, bismuth = _share(fractions, PEROVSKITE_CATIONS), _share(fractions, BISMUTH)
    oxygen, copper = fractions["O"], fractions["Cu"]
    is_oxide = min(cations, bismuth, oxygen) >= 0.08
    return is_oxide and cations + bismuth + oxygen >= 0.9 and copper <= 0.03


def bismuthate(fractions: Fractions) -> bool:
    """A perovskite, such as BaPb0.75Bi0.25O3 and Ba0.6K0.4BiO3."""
    return _has_sites(fractions, (PEROVSKITE_CATIONS, 1), (BISMUTH, 1), ({"O"}, 3), tolerance=0.06)


# --- carbides and nitrides

CARBIDE_METALS = EARLY_METALS | RARE_EARTHS | ACTINIDES


def carbide_related(fractions: Fractions) -> bool:
    """From M3C to MC2, with some O or H."""
    anions, metals = _share(fractions, {"C", "N"}), _share(fractions, CARBIDE_METALS)
    others = 1 - anions - metals - _share(fractions, {"O", "H"})
    return 0.25 <= anions <= 0.7 and others <= 0.1


def carbide(fractions: Fractions) -> bool:
    """MC or MN, with vacancies down to M2N."""
    return 0.3 <= _share(fractions, {"C", "N"}) <= 0.56


# --- heavy fermions

HEAVY = _elements("Ce Yb U Np Pu")
F_SITE = RARE_EARTHS | ACTINIDES
SILICON = frozenset({"Si", "Ge"})
ALUMINIUM = frozenset({"Al", "Ga"})
INDIUM = _elements("In Ga Sn Cd Hg")
# The families of f-electron superconductors in Pfleiderer, Rev. Mod. Phys. 81, 1551 (2009), and the
# younger UTe2, YbAlB4 and PrV2Al20: which element is heavy, and the sites.
HEAVY_FERMIONS: tuple[tuple[Set[str], tuple[Site, ...]], ...] = (
    ({"Ce", "U"}, ((F_SITE, 1), (LATE_METALS, 2), (SILICON, 2))),  # CeCu2Si2, URu2Si2
    (HEAVY, ((F_SITE, 1), (LATE_METALS, 1), (INDIUM, 5))),  # CeCoIn5, PuCoGa5
    (HEAVY, ((F_SITE, 2), (LATE_METALS, 1), (INDIUM, 8))),  # Ce2RhIn8
    (HEAVY, ((F_SITE, 1), (LATE_METALS, 2), (INDIUM, 7))),  # CePt2In7
    ({"Ce"}, ((F_SITE, 1), ({"In"}, 3))),  # CeIn3
    (HEAVY, ((F_SITE, 1), ({"Pd"}, 5), (ALUMINIUM, 2))),  # NpPd5Al2
    ({"Ce"}, ((F_SITE, 1), ({"Pt"}, 3), (SILICON | {"B"}, 1))),  # CePt3Si
    ({"Ce"}, ((F_SITE, 1), (LATE_METALS, 1), (SILICON, 3))),  # CeRhSi3, CeNiGe3
    ({"Ce"}, ((F_SITE, 2), (LATE_METALS, 3), (SILICON, 5))),  # Ce2Ni3Ge5
    ({"U"}, ((F_SITE, 1), ({"Pd", "Pt"}, 3))),  # UPt3
    ({"U"}, ((F_SITE, 1), ({"Be"}, 13))),  # UBe13
    ({"U"}, ((F_SITE, 1), ({"Ni", "Pd"}, 2), (ALUMINIUM, 3))),  # UPd2Al3
    ({"U"}, ((F_SITE, 1), (LATE_METALS, 1), (SILICON, 1))),  # URhGe
    ({"U"}, ((F_SITE, 1), ({"Ge", "Te"}, 2))),  # UGe2, UTe2
    ({"U"}, ((F_SITE, 1), ({"Ir"}, 1))),  # UIr
    ({"Yb"}, ((F_SITE, 1), ({"Al"}, 1), ({"B"}, 4))),  # YbAlB4
    ({"Pr"}, ((F_SITE, 1), (LATE_METALS, 4), ({"Sb"}, 12))),  # PrOs4Sb12
    ({"Pr"}, ((F_SITE, 1), (LATE_METALS | EARLY_METALS, 2), ({"Al", "Zn"}, 20))),  # PrV2Al20
)


def heavy_fermion_related(fractions: Fractions) -> bool:
    """Any intermetallic compound of which a third of the electropositive metals is heavy."""
    heavy, cations = _share(fractions, HEAVY | {"Pr"}), _share(fractions, CATIONS)
    salts = _share(fractions, HALOGENS | _elements("H N O S"))
    return heavy >= max(0.02, cations / 3) and salts <= 0.05


def heavy_fermion(fractions: Fractions) -> bool:
    """One of the families, with at least half of its f site heavy."""
    f_site = _share(fractions, F_SITE)
    return any(
        _share(fractions, heavy) >= f_site / 2 and _has_sites(fractions, *sites, tolerance=0.02)
        for heavy, sites in HEAVY_FERMIONS
    )


# --- Laves phases


def laves(fractions: Fractions) -> bool:
    """AB2 of metals, A the larger ones."""
    return bool(larger_third(fractions)) and _share(fractions, NONMETALS) <= 0.05


def larger_third(fractions: Fractions) -> frozenset[str]:
    """The elements larger than all others if they are a third of the atoms, H apart; else none."""
    metal = _without_hydrogen(fractions)
    radius = {element: ATOMIC_RADIUS.get(element, 0.0) for element in metal}
    for smaller in sorted(set(radius.values())):
        larger = frozenset(element for element in metal if radius[element] > smaller)
        if abs(_share(metal, larger) - 1 / 3) <= 0.04:
            return larger
    return frozenset()
