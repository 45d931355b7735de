"""The parametrisation against its own formulas: what is drawn has the means, widths and correlation that they say."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad

from partigan.data.calorimeter import geometry
from partigan.errors import PartiganError
from partigan.simulate.calorimeter_showers import Calorimeter
from partigan.simulate.deposits import Spread, deposited, shares
from partigan.simulate.gflash import Averages, Medium, Radii, Shape, late, spots

STACK = Medium.of(("silicon", 0.3), ("tungsten", 1.4), 0.2)
CRYSTAL = Medium.of(("lead-tungstate", 230.0), None, 0.03)


@pytest.mark.parametrize("medium", [STACK, CRYSTAL], ids=["sampling", "homogeneous"])
def test_maxima_and_alphas_fluctuate_as_the_paper_says(medium: Medium) -> None:
    y = np.full(40_000, 50_000 / medium.critical_energy)
    averages = Averages.of(y, medium)
    shape = Shape.drawn(averages, np.random.default_rng(1))
    t, alpha, log_y = np.log(shape.maximum), np.log(shape.alpha), np.log(y[0])
    expected_t, expected_alpha = log_y - 0.812, 0.81 + (0.458 + 2.26 / medium.z) * log_y
    if medium.frequency:
        expected_t += -0.55 * medium.frequency - 0.69 * (1 - medium.e_mip)
        expected_alpha -= 0.476 * medium.frequency
        sigma_t, sigma_alpha, rho = 1 / (-2.5 + 1.25 * log_y), 1 / (-0.82 + 0.79 * log_y), 0.784 - 0.023 * log_y
    else:
        sigma_t, sigma_alpha, rho = 1 / (-1.4 + 1.26 * log_y), 1 / (-0.58 + 0.86 * log_y), 0.705 - 0.023 * log_y
    assert t.mean() == pytest.approx(np.log(expected_t), abs=0.005)
    assert alpha.mean() == pytest.approx(np.log(expected_alpha), abs=0.005)
    assert t.std() == pytest.approx(sigma_t, rel=0.02)
    assert alpha.std() == pytest.approx(sigma_alpha, rel=0.02)
    assert np.corrcoef(t, alpha)[0, 1] == pytest.approx(rho, abs=0.02)


def test_media_are_those_of_published_calorimeters() -> None:
    assert STACK.radiation_length * 0.8 == pytest.approx(3.4, rel=0.02)  # Par04: a cell of 3.4 mm is 0.8 X0
    assert STACK.moliere_radius == pytest.approx(9.3, rel=0.2)  # and 4.65 mm are half a Moliere radius
    assert CRYSTAL.moliere_radius == pytest.approx(19.6, rel=0.02)
    assert CRYSTAL.frequency == 0
    assert CRYSTAL.e_mip == 1
    for active, sampling in ((("cheese", 1.0), 0.1), (("argon", -1.0), 0.1), (("argon", 1.0), 0.0)):
        with pytest.raises(PartiganError, match=r"materials: lead|must be above 0"):
            Medium.of(active, None, sampling)


def test_shares_along_the_axis_are_those_of_the_density() -> None:
    shape = Shape.at(np.array([6.0]), np.array([4.0]))
    found = shape.shares(np.array([2.0, 5.0, 9.0]), np.array([1.0]))[0]
    beta = 3.0 / 6.0
    for share, (low, high) in zip(found, ((1.0, 4.0), (4.0, 8.0)), strict=True):
        density, _ = quad(lambda t: (beta * t) ** 3 * beta * np.exp(-beta * t) / 6.0, low, high)
        assert share == pytest.approx(density, rel=1e-9)
    assert shape.shares(np.array([0.0, 0.9]), np.array([1.0]))[0] == 0


def test_radial_profiles_have_the_quantiles_of_the_formula() -> None:
    """Half of 2 r R^2 / (r^2 + R^2)^2 is within R; rectangles have the integral of the same density."""
    polar = geometry("ds2").layers[0]
    spread = Spread(np.array([[0.7, 0.3]]), np.array([[4.65, 13.95]]))
    found = shares(spread, polar)[0]
    inside = 0.7 * 4.65**2 / (2 * 4.65**2) + 0.3 * 4.65**2 / (4.65**2 + 13.95**2)
    assert found[0] == pytest.approx(inside)
    cells = geometry("calogan").layers[1]
    at = np.array([[13.0, -22.0]])
    square = shares(spread, cells, at)[0]
    rng = np.random.default_rng(2)
    u = rng.random(200_000)
    r = np.where(rng.random(len(u)) < 0.7, 4.65, 13.95) * np.sqrt(u / (1 - u))
    angle = rng.uniform(0, 2 * np.pi, len(u))
    y, x = at[0, 1] + r * np.sin(angle), at[0, 0] + r * np.cos(angle)
    counts = np.histogram2d(y, x, (cells.rows, cells.edges))[0] / len(u)
    assert np.abs(square - counts).max() < 4 * np.sqrt(0.25 / len(u))
    assert square.sum() == pytest.approx(counts.sum(), abs=1e-3)


def test_energies_of_voxels_add_up_and_follow_their_shares() -> None:
    layer = geometry("ds1-photons").layers[1]
    energy, share = np.full(4000, 200.0), np.tile(np.linspace(0.09, 0.03, 16), (4000, 1))
    rng = np.random.default_rng(3)
    found = deposited(energy, np.full(4000, 30.0), share, layer, rng)
    outside = 1 - share[0].sum()
    assert found.sum(1).mean() == pytest.approx(200 * (1 - outside), rel=0.01)
    assert (found.sum(1) <= 200 + 1e-9).all()
    np.testing.assert_allclose(found.mean(0).reshape(10, 16).sum(0), 200 * share[0], rtol=0.06)
    few = deposited(energy, np.full(4000, 0.01), share, layer, rng)  # a spot at least, and all of the energy
    assert few.sum(1).mean() == pytest.approx(200 * (1 - outside), rel=0.05)


def test_electrons_have_the_mean_profile_and_the_radius_of_the_parametrisation() -> None:
    """Mean layer energies against the mean of drawn profiles, and radial shares against the formula."""
    calorimeter = Calorimeter.of(geometry("ds2"))
    rng, energy = np.random.default_rng(4), np.full(150, 50_000.0)
    found = calorimeter.electrons(energy, np.zeros(150), rng).reshape(150, 45, 16, 9)
    averages = Averages.of(np.full(20_000, 50_000 / STACK.critical_energy), STACK)
    shape = Shape.drawn(averages, rng)
    edges = np.linspace(0, 36, 46)
    expected = shape.shares(edges, np.zeros(20_000)).mean(0)
    profile = found.sum((2, 3)).mean(0) / 50_000
    assert np.abs(profile - expected).max() < 0.05 * expected.max()
    assert profile.argmax() == pytest.approx(expected.argmax(), abs=1)
    depth = (edges[1:] + edges[:-1]) / 2
    assert profile @ depth / profile.sum() == pytest.approx(expected @ depth / expected.sum(), rel=0.03)
    middle = np.full((20_000, 1), depth[10])
    radii = Radii.at(late(middle, averages, shape), np.full((20_000, 1), 50.0), STACK)
    at = np.array([4.65, 13.95]) / STACK.moliere_radius
    weight = shape.shares(edges[10:12], np.zeros(20_000))
    for place, part in zip(at, (found[:, 10, :, :1], found[:, 10, :, :3]), strict=True):
        core, tail = (place**2 / (place**2 + radius**2) for radius in (radii.core, radii.tail))
        within = (weight * (radii.share * core + (1 - radii.share) * tail)).sum() / weight.sum()
        assert part.sum() / found[:, 10].sum() == pytest.approx(within, rel=0.12)


def test_energy_is_linear_and_resolution_is_that_of_the_sampling() -> None:
    calorimeter, rng = Calorimeter.of(geometry("ds2")), np.random.default_rng(5)
    for energy, showers in ((2_000.0, 300), (50_000.0, 100)):
        total = calorimeter.electrons(np.full(showers, energy), np.zeros(showers), rng).sum(1) / energy
        resolution = 0.2 / np.sqrt(energy / 1000)
        assert total.mean() == pytest.approx(0.99, abs=4 * resolution / np.sqrt(showers) + 0.005)
        assert total.std() == pytest.approx(resolution, rel=0.2)


def test_photons_begin_later_and_pions_reach_deeper() -> None:
    rng = np.random.default_rng(6)
    pions = Calorimeter.of(geometry("ds1-pions")).showers(np.full(200, 65_536.0), rng)
    electrons = Calorimeter.of(geometry("ds1-pions")).electrons(np.full(200, 65_536.0), np.zeros(200), rng)
    photons = Calorimeter.of(geometry("ds1-photons")).showers(np.full(300, 4096.0), rng)
    before = Calorimeter.of(geometry("ds1-photons")).electrons(np.full(300, 4096.0), np.zeros(300), rng)
    assert photons[:, :168].sum() < 0.95 * before[:, :168].sum()
    assert pions[:, 213:].sum() > 20 * electrons[:, 213:].sum()
    response = pions.sum(1) / 65_536
    assert 0.6 < response.mean() < 0.95
    assert response.std() > 0.05


def test_spots_grow_with_energy_and_begin_earlier_or_later_as_given() -> None:
    shape = Shape.at(np.array([6.0, 6.0]), np.array([4.0, 4.0]))
    number, of_spots = spots(np.array([1.0, 10.0]), shape, STACK)
    assert number == pytest.approx([10.3 / 0.2, 10.3 / 0.2 * 10**0.959])
    assert of_spots.maximum == pytest.approx(6.0 * (0.831 + 0.0019 * STACK.z))
    number, of_spots = spots(np.array([1.0, 10.0]), shape, CRYSTAL)
    assert number == pytest.approx(93 * np.log(CRYSTAL.z) * np.array([1.0, 10**0.876]))
    assert of_spots.alpha == pytest.approx(4.0 * (0.639 + 0.00334 * CRYSTAL.z))
