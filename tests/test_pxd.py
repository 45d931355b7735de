from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from partigan.sampling import Sampler
from partigan.training.train import _fill
from scipy import ndimage
from scipy.stats import ks_2samp, kstest, wasserstein_distance

from helpers import toy_hits
from partigan import presets
from partigan.config import build, parse_training
from partigan.data.batch import Batch
from partigan.data.hitmap_files import read_hitmaps, write_hitmaps
from partigan.data.hitmaps import EqualisedCharge, Hitmaps, LogIntensity
from partigan.data.loader import Loader
from partigan.data.pxd import PIXELS, SENSORS
from partigan.errors import PartiganError
from partigan.evaluation import evaluate
from partigan.kinds import find
from partigan.metrics.spectra import spectrum_distances
from partigan.observables.hitmaps import clusters, pair_correlation, singular_values, spectrum
from partigan.physics.tracking import Reconstruction, compare, reconstruct, signal, summary, thinned
from partigan.simulate import pxd as simulator
from partigan.simulate.pxd import Deposits, Parameters, Rates, Tracks, simulate_event, simulate_pxd


@pytest.mark.parametrize("height", [250, 64])
def test_log_intensity_is_undone_exactly_and_cuts_below_threshold(height: int) -> None:
    x = torch.arange(256.0).repeat(height, 3)[None, None]
    transform = LogIntensity()
    sample = Batch(x.half(), condition=torch.zeros(1, dtype=torch.long))
    transform.fit(sample)
    normalised = transform.forward(sample)
    assert normalised.x.shape[2] == {250: 256, 64: 64}[height]
    assert normalised.x.min() >= -1
    assert normalised.x.max() < 1.002
    restored = LogIntensity()
    restored.load_state(transform.state())
    assert torch.equal(restored.inverse(normalised).x, torch.where(x < 7, 0, x))
    clean = LogIntensity(dequantisation=0)
    clean.fit(sample)
    assert clean.forward(sample).x.amax() == pytest.approx(1)
    assert clean.forward(sample).x[0, 0, 40, 7] == pytest.approx(2 * np.log(8) / np.log(256) - 1)


def test_noise_of_batches_is_drawn_anew_and_depends_on_the_number_alone() -> None:
    """A training holds charges; every epoch dequantises them differently, a resumed one as it would have been."""
    charges = torch.arange(8.0).half()[:, None, None, None].expand(8, 1, 2, 3)
    transform = LogIntensity()
    sample = Batch(charges, condition=torch.arange(8))
    transform.fit(sample)
    held = transform.held(sample)
    assert held.x.dtype == torch.float16
    assert held.x.data_ptr() == charges.data_ptr()
    loader = Loader(held, 4, 1, transform=transform)
    batches = [loader.batch(number) for number in range(6)]
    maps: dict[int, list[torch.Tensor]] = {row: [] for row in range(8)}
    for batch in batches:
        assert batch.x.dtype == torch.float32
        physical = transform.inverse(batch).x
        for row, x, q in zip(batch.condition.tolist(), batch.x, physical, strict=True):  # type: ignore[union-attr]
            assert (q == (row if row >= 7 else 0)).all()
            maps[row].append(x)
    for epochs in maps.values():
        assert len(epochs) == 3
        assert not torch.equal(epochs[0], epochs[1])
        torch.testing.assert_close(epochs[0].mean(), epochs[1].mean(), atol=0.3, rtol=0)
    again = Loader(held, 4, 1, transform=transform)
    for number in (5, 2):
        assert torch.equal(again.batch(number).x, batches[number].x)


def test_equalised_charges_are_uniform_and_undone_exactly(events: Hitmaps) -> None:
    x = torch.from_numpy(events.dense(range(40)))[:, None].float()
    x[0, 0, 0] = torch.arange(768) % 249 + 7.0
    transform = EqualisedCharge()
    transform.fit(Batch(x))
    normalised = transform.forward(Batch(x)).x
    assert torch.equal(normalised == -1, x == 0)
    hits = normalised[x > 0].numpy()
    assert hits.min() >= 0
    assert hits.max() < 1
    assert kstest(hits, "uniform").statistic < 0.01
    restored = EqualisedCharge()
    restored.load_state(transform.state())
    assert torch.equal(restored.inverse(Batch(normalised)).x, x)
    ends = torch.tensor([[[[-1.0, -0.1, 0.0, 1.0]]]])
    assert restored.inverse(Batch(ends)).x.flatten().tolist() == [0, 0, 7, 255]
    with pytest.raises(PartiganError, match="no hits"):
        transform.fit(Batch(torch.zeros(1, 1, 4, 4)))


def test_clusters_are_those_of_scipys_labels(events: Hitmaps) -> None:
    sample = events.events(0, 1)
    found = clusters(sample.map, sample.u, sample.v, sample.charge)
    for one in (0, 5, 38):
        image = sample.dense([one])[0]
        label, number = ndimage.label(image, np.ones((3, 3)))
        index = np.arange(1, number + 1)
        here = [column[found.image == one] for column in found]
        charge, size = ndimage.sum(image, label, index), np.bincount(label.ravel())[1:]
        centres = np.array(ndimage.center_of_mass(image, label, index))
        extents = np.array([[part.stop - part.start for part in box] for box in ndimage.find_objects(label)])
        expected = (charge, size, ndimage.maximum(image, label, index), *centres.T, *extents.T)
        orders = np.lexsort((here[4], here[5])), np.lexsort(centres.T)
        for ours, theirs in zip(here[1:], expected, strict=True):
            np.testing.assert_allclose(ours[orders[0]], theirs[orders[1]])


def test_classes_segments_and_spectrum_of_known_clusters() -> None:
    """Single pixels of 5, 8 and 20 keV, two pixels of 20 and of 8 keV; no neighbours across images or edges."""
    kev = 216.7 * 3.65e-3
    energies = np.array([5, 8, 20, 10, 10, 4, 4])
    image, u, v = [0, 0, 0, 0, 0, 1, 1], [0, 249, 10, 50, 51, 50, 50], [767, 0, 200, 400, 401, 399, 400]
    charge = np.rint(energies / kev).astype(int)
    found = clusters(image, u, v, charge)
    assert found.size.tolist() == [1, 1, 1, 2, 2]
    assert found.kind.tolist() == [-1, 0, 1, 2, -1]
    assert found.segment(768).tolist() == [5, 0, 1, 3, 3]
    assert spectrum(charge).sum() == 7
    none = clusters(*(np.zeros(0, int) for _ in range(4)))
    assert all(len(column) == 0 for column in none)


def test_pair_correlation_of_independent_and_of_paired_pixels() -> None:
    rng = np.random.default_rng(0)
    image, u, v = np.nonzero(rng.random((40, 60, 80)) < 0.05)
    flat = pair_correlation(image, u, v, 40, (60, 80), reach=2)
    assert np.isnan(flat[0, 2])
    np.testing.assert_allclose(flat[np.isfinite(flat)], 1, atol=0.15)
    pairs = np.zeros((40, 60, 80), bool)
    pairs[:, 10:50:10, 20:60:20] = pairs[:, 11:51:10, 21:61:20] = True
    image, u, v = np.nonzero(pairs)
    found = pair_correlation(image, u, v, 40, (60, 80), reach=1)
    expected = 40 * 8 / (40 * (16 / 4800) ** 2 * 59 * 79)
    np.testing.assert_allclose(found[1], [0, 0, expected])
    values = singular_values(torch.from_numpy(pairs[:2]).float(), 3)
    np.testing.assert_allclose(values[0].square().sum(), 16, rtol=1e-5)  # rank 2


def test_distances_of_spectra_are_scipys() -> None:
    rng = np.random.default_rng(0)
    values = [rng.poisson(mean, (50, 40)) for mean in (20, 22)]
    counts = [np.stack([np.bincount(row, minlength=60) for row in sample]) for sample in values]
    ks, w1 = spectrum_distances(*counts, rng=rng)
    assert ks.value == pytest.approx(ks_2samp(values[0].ravel(), values[1].ravel()).statistic)
    assert w1.value == pytest.approx(wasserstein_distance(values[0].ravel(), values[1].ravel()))
    draws = [wasserstein_distance(rng.poisson(20, 2000), rng.poisson(22, 2000)) for _ in range(200)]
    assert w1.error == pytest.approx(np.std(draws), rel=0.35)
    ks, w1 = spectrum_distances(counts[0], np.zeros((3, 60)), rng=rng)
    assert (ks.value, w1.value) == (1, pytest.approx(values[0].mean()))


def test_simulated_events_have_the_published_statistics(events: Hitmaps) -> None:
    """Loose, since there are three events; docs/pxd.md has the large comparison."""
    layer = np.array([sensor.layer for sensor in SENSORS])
    means = [events.occupancy[:, layer == number].mean() for number in (1, 2)]
    assert means == pytest.approx([0.01489, 0.00512], rel=0.04)
    assert events.charge.mean() == pytest.approx(21.61, rel=0.03)
    assert events.charge.min() == 7
    assert events.charge.max() <= 255
    peak = np.argmax(spectrum(events.charge)[10:30]) + 10
    assert 14 <= peak <= 20  # a minimum ionising particle across a pixel
    spread = (events.occupancy.std(0, ddof=1) / events.occupancy.mean(0))[layer == 1]
    assert 0.03 < np.sqrt(np.mean(spread**2)) < 0.12


def test_background_is_proportional_to_its_level() -> None:
    rng = np.random.default_rng(0)
    half = simulate_event(1.0, Parameters(), Rates.calibrated(), rng)
    assert half.occupancy[0, :16].mean() == pytest.approx(0.01489 / 2, rel=0.06)
    assert simulate_event(0.0, Parameters(), Rates.calibrated(), rng).counts.sum() == 0


def test_energy_loss_is_bichsels_and_charge_is_kept() -> None:
    rng, p = np.random.default_rng(0), replace(Parameters(), piece=1.0)
    n = 20_000
    middle = np.full(n, 6.0)
    tracks = Tracks(np.zeros(n, int), middle, middle, np.zeros(n), np.zeros(n), np.full(n, 0.075))
    loss = simulator.lose(tracks, p, rng).energy.reshape(n, p.steps).sum(1)
    density, edges = np.histogram(loss, np.arange(10, 40, 1.0))
    mode = edges[np.argmax(density)] + 0.5
    assert mode == pytest.approx(75 * (100.6 + 35.35 * np.log(75)) * 1e-3, abs=1.6)  # broadening moves it up a little
    assert (loss > 3 * mode).mean() > 2e-3  # a Landau tail
    deposits = Deposits(
        np.zeros(500, int), rng.uniform(0.1, 12.4, 500), rng.uniform(0.1, 44.7, 500), np.full(500, 20.0)
    )
    pixels, electrons = simulator.collect(deposits, p)
    assert electrons.sum() == pytest.approx(500 * 20e3 / 3.65)
    assert pixels.max() < PIXELS


def test_digitiser_clips_before_it_subtracts_the_pedestal() -> None:
    rng, p = np.random.default_rng(0), Parameters()
    pixels = np.arange(20_000)
    _, charge = simulator.digitise(pixels, np.full(len(pixels), 1e6), p, rng)
    assert charge.mean() == pytest.approx(155, abs=1)
    assert charge.std() == pytest.approx(30, abs=1)
    read, charge = simulator.digitise(pixels, np.full(len(pixels), 20 * p.gain), p, rng)
    assert len(read) == len(pixels)
    assert charge.std() == pytest.approx(np.hypot(p.noise / p.gain, 12**-0.5), rel=0.05)
    assert len(simulator.digitise(pixels, np.full(len(pixels), 4 * p.gain), p, rng)[0]) < 20


def test_the_file_is_the_same_for_any_number_of_workers_and_after_an_interruption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simulator, "CHUNK", 2)
    paths = [tmp_path / f"{name}.h5" for name in ("one", "two", "resumed")]
    simulate_pxd(5, paths[0], background=0.1, seed=3)
    simulate_pxd(5, paths[1], background=0.1, seed=3, workers=2)
    real, made = simulator._make_chunk, []

    def interrupted(*arguments: Any) -> int:
        if made:
            raise KeyboardInterrupt
        made.append(real(*arguments))
        return made[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simulator, "_make_chunk", interrupted)
        with pytest.raises(KeyboardInterrupt):
            simulate_pxd(5, paths[2], background=0.1, seed=3)
    with pytest.raises(PartiganError, match=r"was made with background = 0\.1, not 0\.2"):
        simulate_pxd(5, paths[2], background=0.2, seed=3, resume=True)
    simulate_pxd(5, paths[2], background=0.1, seed=3, resume=True)
    contents = [path.read_bytes() for path in paths]
    assert contents[0] == contents[1] == contents[2]
    assert len(read_hitmaps(paths[0])) == 5
    assert find("pxd").format.attributes(paths[0])["background"] == 0.1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"events": 0}, "events = 0; at least one"),
        ({"background": -1.0}, r"background = -1\.0; it is between 0 and 20"),
        ({"workers": 0}, "workers = 0"),
        ({"seed": -1}, "seed = -1"),
    ],
)
def test_values_out_of_range(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(PartiganError, match=message):
        simulate_pxd(**{"events": 1, "out": tmp_path / "a.h5"} | options)
    assert list(tmp_path.iterdir()) == []


def test_crops_are_compared_with_crops_of_whole_maps(tmp_path: Path) -> None:
    """Real crops come from a file of whole maps; generated ones must be crops."""
    write_hitmaps(tmp_path / "real.h5", [toy_hits(8, busy=tuple(range(8)))], {"kind": "pxd"})
    kind = find("pxd-crop")
    crops_of_all = kind.format.read(tmp_path / "real.h5", "all")
    kind.format.write(tmp_path / "fake.h5", [crops_of_all], {"kind": "pxd-crop"}, {})
    options: dict[str, Any] = {"kind": "pxd-crop", "protocol": "pe-gan", "metrics": ["w1"]}
    found = evaluate(tmp_path / "real.h5", tmp_path / "report", fake=tmp_path / "fake.h5", **options)
    assert "w1.occupancy" in found.metrics
    write_hitmaps(tmp_path / "whole.h5", [toy_hits(1, busy=(0,))], {"kind": "pxd"})
    with pytest.raises(PartiganError, match="holds pxd, not pxd-crop"):
        evaluate(tmp_path / "real.h5", tmp_path / "other", fake=tmp_path / "whole.h5", **options)


def test_generation_gives_few_maps_to_a_network_at_a_time() -> None:
    from partigan.nets.contracts import Generator

    class Flat(Generator):
        largest = 0

        def __init__(self) -> None:
            super().__init__()
            self.level = torch.nn.Parameter(torch.zeros(1))

        def noise(self, size: int, mask: torch.Tensor | None, rng: torch.Generator) -> torch.Tensor:
            return torch.randn(size, 1, generator=rng)

        def forward(self, noise: Any, condition: Any = None, mask: Any = None) -> torch.Tensor:
            Flat.largest = max(Flat.largest, len(noise))
            return (self.level + noise.tanh())[:, :, None, None].expand(-1, 1, 256, 768)

    transform = LogIntensity()
    transform.load_state({"height": 250})
    made = Sampler(Flat(), transform, find("pxd"), {}).sample(40, 1)
    assert made.x.shape == (40, 1, 250, 768)
    assert Flat.largest == 8
    assert len(Hitmaps.of_images(made.x[:, 0].numpy(), made.condition.numpy())) == 1  # type: ignore[union-attr]


def test_tracks_without_background_are_measured_as_expected() -> None:
    tracks = signal(4000, np.random.default_rng(0))
    alone = reconstruct(tracks, None)
    true = ~tracks.ghost
    assert not alone.wrong.any()
    assert alone.attached[true].mean() > 0.995
    assert not alone.attached[~true].any()
    for axis, (values, parameters) in enumerate(((alone.d0, 3), (alone.z0, 2))):
        design, weight = tracks.design[true][..., :parameters], np.linalg.inv(tracks.covariance[axis][true])
        errors = np.sqrt(np.linalg.inv(design.swapaxes(1, 2) @ weight @ design)[:, 0, 0])
        assert (values[true] / errors).std() == pytest.approx(1, abs=0.05)
    assert summary(alone)["efficiency"] > 0.99
    on_plane = [SENSORS[s].points([u], [v])[0] for s, u, v in zip(*(c[:50, 0] for c in tracks[:3]), strict=True)]
    slopes = [point[2] / np.hypot(*point[:2]) for point in on_plane]
    np.testing.assert_allclose(slopes, tracks.slope[:50], rtol=0.1)  # they come from the interaction point


def test_the_physics_test_finds_missing_clusters_and_accepts_the_same_simulator(events: Hitmaps) -> None:
    """20 % of the clusters are missing: more than 3 standard deviations; the same simulator again: less than 3."""
    tracks = signal(6000, np.random.default_rng(1))
    one, two = events.events(0, 1), events.events(1, 2)
    backgrounds = (one, two, thinned(two, 0.2, np.random.default_rng(0)))
    real, null, defect = (reconstruct(tracks, background) for background in backgrounds)
    found = [summary(other)["ghost_hits"] - summary(real)["ghost_hits"] for other in (null, defect)]
    error = np.sqrt(2 * summary(real)["ghost_hits"] / tracks.ghost.sum())  # clusters are taken independently
    assert abs(found[0]) < 3 * error
    assert found[1] < -3 * error
    assert summary(defect)["efficiency"] < summary(reconstruct(tracks, None))["efficiency"]
    with pytest.raises(PartiganError, match="same signal"):
        compare(real, reconstruct(signal(6000, np.random.default_rng(2)), None), np.random.default_rng(0))


def test_errors_of_comparisons_are_the_spread_of_replicas() -> None:
    """Independent backgrounds and signals that scatter as in a simple model."""
    rng, size = np.random.default_rng(0), 1500

    def made(ghost: np.ndarray) -> Reconstruction:
        attached = rng.random((size, 2)) < 0.2
        return Reconstruction(
            *rng.normal(0, 1, (2, size)),
            attached,
            attached & ghost[:, None],
            attached.all(1),
            ghost,
            np.arange(size) % 50,
        )

    ghost = np.arange(size) % 3 == 0
    pairs = [compare(made(ghost), made(ghost), np.random.default_rng(0)) for _ in range(10)]
    for name in ("ghost_hits", "fake_rate"):
        spread = np.sqrt(np.mean([pair[name].value ** 2 for pair in pairs]))
        assert np.mean([pair[name].error for pair in pairs]) == pytest.approx(spread, rel=0.6)


PRESETS = [name for name in presets.names() if parse_training(name)["kind"] in ("pxd", "pxd-crop")]


@pytest.mark.parametrize("name", PRESETS)
def test_presets_fit_their_data(tmp_path: Path, name: str) -> None:
    """Losses of both players and their gradients, with few feature maps; what the data decide is filled in."""
    small = {"filters": 2, "attention": 0}
    roles = ("generator", "critic")
    config = parse_training(name, {f"system.{role}.{key}": small[key] for role in roles for key in small})
    kind = find(config["kind"])
    write_hitmaps(tmp_path / "a.h5", [toy_hits(1, busy=(0,))], {})
    sample = kind.format.read(tmp_path / "a.h5", "all")[:40]
    arguments = kind.conditions.arguments(sample)
    _fill(config["system"], arguments)
    made = config["system"]["init_args"]
    assert all(made[role]["init_args"]["classes"] == 40 for role in roles)
    for term in made["terms"]:
        assert term["init_args"].get("classes", 40) == 40
    if name.startswith("pe-gan"):
        assert made["generator"]["init_args"]["prior"] == made["critic"]["init_args"]["prior"] == arguments["prior"]
    system, transform, _ = build(config)
    transform.fit(sample)
    system.rehearse(transform.forward(sample[:2]))


def test_single_hits_of_large_maps_are_seen_in_pictures() -> None:
    from partigan.report.plots import mosaic

    x = torch.zeros(2, 1, 250, 768)
    x[1, 0, 249, 767] = 50.0
    figure = mosaic(Batch(x), ["", ""])
    shown = [axis.get_images()[0] for axis in figure.axes if axis.get_images()]
    assert [image.get_array().max() for image in shown] == [0, 50]
    assert max(shown[0].get_array().shape) <= 400
    assert shown[0].norm(np.array([10.0]))[0] > 0.4  # of 50


def test_what_the_authors_tried_fits_together(tmp_path: Path) -> None:
    """Every option of docs/pxd.md at once, added to a preset by a YAML of one's own."""
    (tmp_path / "own.yaml").write_text("""
base: pe-gan-crop
system:
  init_args:
    critic: {init_args: {filters: 2, dimension: 16, extras: {kernels: 3, codes: 8, dropout: 0.5}}}
    generator: {init_args: {filters: 2, latent: 8}}
    critic_optimizer: {init_args: {lr: 1.0e-5, weight_decay: 1.0e-4}}
    terms:
      - class_path: partigan.objectives.conditioning.Contrastive
      - class_path: partigan.objectives.regularisation.OrthogonalRegularisation
      - class_path: partigan.objectives.regularisation.Commitment
      - class_path: partigan.objectives.latent.LatentOptimisation
      - class_path: partigan.objectives.penalties.R1
      - class_path: partigan.objectives.intensity.IntensityCut
""")
    write_hitmaps(tmp_path / "a.h5", [toy_hits(1, busy=(0,))], {})
    kind = find("pxd-crop")
    sample = kind.format.read(tmp_path / "a.h5", "all")
    config = parse_training(str(tmp_path / "own.yaml"), {"system.critic.extras.kernels": 5})
    _fill(config["system"], kind.conditions.arguments(sample))
    system, transform, _ = build(config)
    assert system.networks["critic"].pooled[0].kernels == 5  # type: ignore[union-attr, index]
    transform.fit(sample)
    system.rehearse(transform.forward(sample[:3]))
