"""Geometries of calorimeters: the CaloChallenge's binnings, in its own XML, and rectangular cells.

A file has the tags ``Bins``, ``Bin`` and ``Layer``. Those of the CaloChallenge have the attributes ``pid``, ``etaMin``,
``etaMax`` and ``name`` of a bin, ``id``, ``r_edges`` (mm) and ``n_bin_alpha`` of a layer; a layer with ``r_edges="0"``
does not exist. These suffice to read and to judge showers. Ours add

of a bin     ``threshold`` (in ``unit``, up to which evaluations take energies for 0), ``unit`` (MeV by default) and
             ``mev``, how many of which make one; and for simulations ``absorber`` and ``active`` (a material and its
             thickness in mm), ``sampling`` (relative resolution at 1 GeV), ``readout`` (energies up to which are lost,
             in ``unit``), ``spectrum`` (a word and numbers in MeV, see `Spectrum`) and ``beam`` (half width of the
             square that particles hit, mm)
of a layer   ``x0``, where it begins and ends in radiation lengths; rectangular cells have ``x_edges`` and ``y_edges``
             (mm) in place of ``r_edges`` and ``n_bin_alpha``, and ``dead``, for each row how many cells are dead at
             either of its ends

Voxels are in the challenge's order: layer by layer, in each the angle alpha by alpha, in each the radius, which runs
fastest; rectangular cells row (y) by row.

References:
    C. Krause et al., CaloChallenge 2022, arXiv:2410.21611, section 2; M. Paganini, L. de Oliveira, B. Nachman, CaloGAN,
    arXiv:1712.10321, section II; M. Erdmann, J. Glombitza, T. Quast, arXiv:1807.01954 (the test beam).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any
from xml.etree import ElementTree

import numpy as np
import torch
from numpy.typing import NDArray

from partigan.errors import PartiganError
from partigan.observables.calorimeters import Cells
from partigan.reading import readable, size_of

FOLDER = Path(__file__).parent / "calorimeters"
PARTICLES = {11: "electron", 22: "photon", 211: "pion"}
LARGEST = 2**16  # bytes of a binning
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Layer:
    """A layer of voxels.

    Attributes:
        name: as the binning numbers it.
        edges: of the radius, or of the cells along x, rising, mm.
        alphas: number of bins of the angle; 0 for rectangular cells.
        rows: edges of rectangular cells along y, mm; empty for others.
        depth: where it begins and ends, radiation lengths; None = the binning does not say.
        dead: for each row of rectangular cells, how many are dead at either end; empty = none.
    """

    name: str
    edges: tuple[float, ...]
    alphas: int = 1
    rows: tuple[float, ...] = ()
    depth: tuple[float, float] | None = None
    dead: tuple[int, ...] = ()

    @property
    def shape(self) -> tuple[int, int]:
        """Bins of the angle and of the radius, or rows and columns."""
        return (len(self.rows) - 1 if self.rows else self.alphas), len(self.edges) - 1

    @property
    def size(self) -> int:
        """Number of voxels."""
        return self.shape[0] * self.shape[1]

    @property
    def resolved(self) -> bool:
        """Whether places across can be told."""
        return bool(self.rows) or self.alphas > 1

    def centres(self) -> tuple[Floats, Floats, Floats]:
        """eta, phi and r of the voxels, ``(voxels,)``, mm: middles of the bins, at the middle of the angle's bins."""
        across = (np.array(self.edges[1:]) + np.array(self.edges[:-1])) / 2
        if self.rows:
            y, x = np.meshgrid((np.array(self.rows[1:]) + np.array(self.rows[:-1])) / 2, across, indexing="ij")
            return x.ravel(), y.ravel(), np.hypot(x, y).ravel()
        ends = np.linspace(-np.pi, np.pi, self.alphas + 1)
        alpha, r = np.meshgrid((ends[1:] + ends[:-1]) / 2, across, indexing="ij")
        return (r * np.cos(alpha)).ravel(), (r * np.sin(alpha)).ravel(), r.ravel()

    def alive(self) -> NDArray[np.bool_]:
        """False for dead voxels, ``(voxels,)``."""
        rows, columns = self.shape
        off = np.array(self.dead or [0] * rows)[:, None]
        place = np.arange(columns)
        return np.asarray((place >= off) & (place < columns - off)).ravel()


@dataclass(frozen=True)
class Spectrum:
    """Energies of the particles.

    Attributes:
        form: ``fixed`` (some energies, equally often), ``steps`` (energies, and how often each), ``log`` (flat in the
            logarithm between two) or ``flat``.
        numbers: in MeV, of ``steps`` first the energies and then as many numbers of showers.
    """

    form: str
    numbers: tuple[float, ...]

    def draw(self, size: int, rng: np.random.Generator) -> Floats:
        """Energies of ``size`` particles, MeV."""
        given = np.array(self.numbers)
        if self.form == "steps":
            energies, often = np.split(given, 2)
            return np.asarray(rng.choice(energies, size, p=often / often.sum()))
        if self.form == "fixed":
            return np.asarray(rng.choice(given, size))
        low, high = np.log(given) if self.form == "log" else given
        drawn = rng.uniform(low, high, size)
        return np.asarray(np.exp(drawn) if self.form == "log" else drawn)


@dataclass(frozen=True)
class Geometry:
    """A calorimeter as files and observables see it, with what a simulation has to know.

    Attributes:
        name: of the binning.
        particle: ``electron``, ``photon`` or ``pion``.
        layers: those that exist, in the order of files.
        threshold: energies up to it count as 0 in evaluations, in the file's unit.
        unit: of energies in voxels.
        mev: MeV in one unit.
        physics: further attributes of the bin, for simulations.
        text: the XML.
    """

    name: str
    particle: str
    layers: tuple[Layer, ...]
    threshold: float = 0.0
    unit: str = "MeV"
    mev: float = 1.0
    physics: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    text: str = ""

    @property
    def voxels(self) -> int:
        """Number of voxels of all layers."""
        return sum(layer.size for layer in self.layers)

    @property
    def label(self) -> str:
        """Name of one of ours, or the XML of another: what files and runs keep."""
        return self.name if self.name in names() and geometry(self.name).text == self.text else self.text

    @cached_property
    def cells(self) -> list[Cells]:
        """The voxels of each layer, as observables take them."""
        found, first = [], 0
        for layer in self.layers:
            eta, phi, r = (torch.from_numpy(place) for place in layer.centres())
            found.append(Cells(first, eta, phi, r, layer.resolved))
            first += layer.size
        return found

    @property
    def regular(self) -> bool:
        """Whether all layers have the same bins, so that showers are arrays ``(layers, angles, radii)``."""
        first = self.layers[0]
        return all((one.edges, one.rows, one.alphas) == (first.edges, first.rows, first.alphas) for one in self.layers)

    def par04_order(self) -> NDArray[np.intp]:
        """Numbers of the voxels in the order of Geant4's example Par04: r slowest, then phi, then z fastest.

        Raises:
            PartiganError: layers differ in their bins.

        Example:
            >>> geometry("ds2").par04_order()[:3].tolist()
            [0, 144, 288]
        """
        if not self.regular:
            raise PartiganError(f"{self.name} has layers of different bins; Par04's order is one of equal layers")
        numbers = np.arange(self.voxels).reshape(len(self.layers), *self.layers[0].shape)
        return np.asarray(numbers.transpose(2, 1, 0).ravel())


def names() -> list[str]:
    """Names of the geometries that come with partigan.

    Example:
        >>> names()
        ['calogan', 'ds1-photons', 'ds1-pions', 'ds2', 'ds3', 'testbeam']
    """
    return sorted(path.stem for path in FOLDER.glob("*.xml"))


def geometry(label: str) -> Geometry:
    """A geometry by its name, by the path of a binning XML, or from such XML itself.

    Raises:
        PartiganError: there is none of that name, or the XML is not a binning.

    Example:
        >>> geometry("ds1-photons").voxels, geometry("ds2").voxels
        (368, 6480)
    """
    if label in names():
        return parsed((FOLDER / f"{label}.xml").read_text(encoding="utf-8"), label)
    if label.lstrip().startswith("<"):
        return parsed(label, "the binning")
    path = Path(label)
    if path.suffix != ".xml":
        raise PartiganError(f"there is no geometry {label!r}; there are {', '.join(names())}, or give a binning XML")
    if size_of(path) > LARGEST:
        raise PartiganError(f"{path} is larger than {LARGEST >> 10} kB; no binning is")
    with readable(path, "XML"):
        return parsed(path.read_text(encoding="utf-8"), str(path))


def geometry_of(voxels: int, where: str) -> Geometry:
    """The geometry of ours with a number of voxels.

    Raises:
        PartiganError: there is none.
    """
    for name in names():
        if (found := geometry(name)).voxels == voxels:
            return found
    known = ", ".join(f"{name} ({geometry(name).voxels})" for name in names())
    raise PartiganError(
        f"{where} has {voxels} voxels, the number of no binning that partigan knows: {known}; write its XML as the "
        "attribute 'geometry' of the file"
    )


@cache
def parsed(text: str, where: str) -> Geometry:
    """A geometry from XML.

    Args:
        text: the XML.
        where: file, for messages.

    Raises:
        PartiganError: it is not XML, or a bin or layer is not what it should be.
    """
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise PartiganError(f"{where} is not XML: {error}") from error
    found = root.find(".//Bin")
    if found is None:
        raise PartiganError(f"{where} has no tag Bin; a binning has Bins, Bin and Layer (see docs/calorimeters.md)")
    given = dict(found.attrib)
    number = given.get("pid", "")
    pid = abs(int(number)) if number.lstrip("-").isdigit() else 0
    if pid not in PARTICLES:
        raise PartiganError(f"{where}: pid = {number!r}; there are {', '.join(map(str, PARTICLES))}")
    layers = tuple(
        _layer(each.attrib, f"{where}: layer {each.get('id', '?')}")
        for each in found.iter("Layer")
        if each.get("r_edges", "").strip() != "0"
    )
    if not layers:
        raise PartiganError(f"{where} has no layers")
    threshold, mev = (
        _numbers(given.pop(name, default), where)[0] for name, default in (("threshold", "0"), ("mev", "1"))
    )
    unit = given.pop("unit", "MeV")
    return Geometry(
        given.get("name", "own"), PARTICLES[pid], layers, threshold, unit, mev, MappingProxyType(given), text
    )


def _layer(given: Mapping[str, str], where: str) -> Layer:
    """A layer from its attributes."""
    rectangular = "x_edges" in given
    edges = tuple(_edges(given, "x_edges" if rectangular else "r_edges", where))
    rows = tuple(_edges(given, "y_edges", where)) if rectangular else ()
    alphas = given.get("n_bin_alpha", "1")
    if not alphas.isdigit() or int(alphas) < 1:
        raise PartiganError(f"{where}: n_bin_alpha = {alphas!r}; it must be a number of bins")
    depth = _edges(given, "x0", where) if "x0" in given else None
    if depth is not None and len(depth) != 2:
        raise PartiganError(f"{where}: x0 = {given['x0']!r}; give where it begins and ends")
    dead = tuple(int(number) for number in _numbers(given["dead"], where)) if "dead" in given else ()
    if dead and (len(dead) != len(rows) - 1 or min(dead) < 0):
        raise PartiganError(f"{where}: dead has {len(dead)} numbers; give one for each of {len(rows) - 1} rows")
    span = None if depth is None else (depth[0], depth[1])
    return Layer(given.get("id", "?"), edges, 0 if rectangular else int(alphas), rows, span, dead)


def _edges(given: Mapping[str, str], name: str, where: str) -> list[float]:
    """Rising edges."""
    edges = _numbers(given.get(name, ""), f"{where}: {name}")
    if len(edges) < 2 or any(a >= b for a, b in itertools.pairwise(edges)):
        raise PartiganError(f"{where}: {name} = {given.get(name, '')!r}; give two or more, rising")
    return edges


def _numbers(text: str, where: str) -> list[float]:
    """Numbers that commas separate."""
    try:
        found = [float(part) for part in text.split(",") if part.strip()]
    except ValueError as error:
        raise PartiganError(f"{where}: {text[:60]!r} are no numbers with commas between them") from error
    if not np.isfinite(found).all():
        raise PartiganError(f"{where}: {text[:60]!r} has numbers that are not finite")
    return found


def spectrum(text: str, where: str) -> Spectrum:
    """Energies as a binning writes them: a word and numbers, such as ``log, 1000, 1e6``.

    Raises:
        PartiganError: another word, or energies that are not above 0.
    """
    form, _, rest = text.partition(",")
    numbers: Any = tuple(_numbers(rest, where))
    wanted = {"fixed": len(numbers) > 0, "steps": len(numbers) > 0 and len(numbers) % 2 == 0}
    fine = wanted.get(form.strip(), form.strip() in ("log", "flat") and len(numbers) == 2)
    if not fine or min(numbers) <= 0 or (form in ("log", "flat") and numbers[0] >= numbers[1]):
        raise PartiganError(
            f"{where}: the energies {text[:60]!r} are none of 'fixed, E, ...', 'steps, E, ..., n, ...', 'log, low, "
            "high' and 'flat, low, high', in MeV and above 0"
        )
    return Spectrum(form.strip(), numbers)
