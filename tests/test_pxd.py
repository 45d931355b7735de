from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import awkward as ak
import h5py
import numpy as np
import pytest
import torch
import uproot
from PIL import Image
from scipy.stats import kstest

from partigan import evaluate, presets
from partigan.config import build, parse_training
from partigan.data.batch import Batch
from partigan.data.hitmap_files import read_hitmaps, write_hitmaps, write_images, write_root
from partigan.data.hitmaps import EqualisedCharge, Hitmaps, LogIntensity, crops
from partigan.data.loader import Loader
from partigan.data.pxd import LAYERS, NAMES, SENSORS, sensor_index, sensor_indices
from partigan.errors import PartiganError
from partigan.evaluation import protocols
from partigan.kinds import find
from partigan.kinds.kind import Values
from partigan.observables.hitmaps import clusters
from partigan.sampling import Sampler
from partigan.simulate.pxd import simulate_event
from partigan.simulate.pxd_parameters import Parameters, Rates
from partigan.training.train import _fill

COLUMNS = ("counts", "u", "v", "charge")


def toy_hits(events: int = 4, hits: int = 3000, seed: int = 0, busy: tuple[int, ...] = (0, 2)) -> Hitmaps:
    """Random hits in some events only; the others are empty."""
    rng = np.random.default_rng(seed)
    limits = (len(SENSORS), 250, 768)
    columns = [rng.integers(0, limit, hits) for limit in limits]
    return Hitmaps.of(events, rng.choice(busy, hits), *columns, rng.integers(7, 256, hits))


@pytest.fixture(scope="module")
def events() -> Hitmaps:
    """Three simulated events."""
    made = [simulate_event(2.0, Parameters(), Rates.calibrated(), np.random.default_rng(seed)) for seed in range(3)]
    return Hitmaps.joined(made)


def assert_same(one: Hitmaps, two: Hitmaps) -> None:
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


def test_sensors_have_one_numeric_order_and_basf2s_numbers() -> None:
    assert len(NAMES) == 40
    assert NAMES[:3] == ("1.1.1", "1.1.2", "1.2.1")
    assert NAMES.index("2.10.1") > NAMES.index("2.9.2")
    assert sensor_index("2.12.2") == 39
    assert SENSORS[0].vxd_id == 8480  # 1.1.1 in basf2
    ids = np.array([sensor.vxd_id for sensor in SENSORS])
    for frame in (0, 1, 31):
        np.testing.assert_array_equal(sensor_indices(ids | frame), np.arange(40))
    assert sensor_indices([0, 3 << 13 | 1 << 8 | 1 << 5, 65535]).tolist() == [-1, -1, -1]
    with pytest.raises(PartiganError, match=r"no PXD sensor '3\.1\.1'"):
        sensor_index("3.1.1")


def test_sensors_stand_where_the_detector_has_them() -> None:
    for sensor in SENSORS:
        layer = LAYERS[sensor.layer]
        corners = sensor.centres([-0.5, 249.5, -0.5], [-0.5, -0.5, 767.5])
        np.testing.assert_allclose(np.linalg.norm(corners[1] - corners[0]), 12.5)
        np.testing.assert_allclose(np.linalg.norm(corners[2] - corners[0]), {1: 44.8, 2: 61.44}[sensor.layer])
        normal = np.array([np.cos(sensor.phi), np.sin(sensor.phi), 0])
        np.testing.assert_allclose(corners @ normal, layer.radius)
        turn = np.cross(corners[0], corners[1])[2]
        assert turn > 0  # u grows with phi
        inner = corners[2, 2] - corners[0, 2]
        assert inner < 0 if sensor.number == 1 else inner > 0  # v grows towards the middle of the ladder
    forward, backward = (SENSORS[i].centres([0], [767.5])[0, 2] for i in (0, 1))
    assert 0 <= forward - backward < 1  # the active areas of a ladder nearly touch
    for layer in LAYERS.values():  # the windmill leaves no gap in phi
        along = layer.shift + np.array([-6.25, 6.25])
        assert np.ptp(np.arctan2(along, layer.radius)) >= 2 * np.pi / layer.ladders


WRITERS: dict[str, Callable[[Path, Hitmaps], object]] = {
    "a.h5": lambda path, sample: write_hitmaps(path, [sample.events(0, 1), sample.events(1, len(sample))], {}),
    "a.root": lambda path, sample: write_root(path, [sample.events(0, 3), sample.events(3, len(sample))]),
    "images": write_images,
}


@pytest.mark.parametrize("name", WRITERS)
def test_what_is_written_is_read(tmp_path: Path, name: str) -> None:
    sample = toy_hits(10)
    WRITERS[name](tmp_path / name, sample)
    assert_same(read_hitmaps(tmp_path / name), sample)
    parts = [read_hitmaps(tmp_path / name, split) for split in ("train", "valid", "test")]
    assert [len(part) for part in parts] == [7, 1, 2]
    assert_same(Hitmaps.joined(parts), sample)


def test_events_of_no_hits_and_hits_in_any_order() -> None:
    empty = Hitmaps.of(2, *(np.zeros(0, int) for _ in range(5)))
    assert len(empty) == 2
    assert empty.dense(range(80)).sum() == 0
    sample = Hitmaps.of(1, [0, 0, 0, 0], [5, 5, 1, 5], [9, 9, 3, 2], [7, 7, 3, 7], [20, 30.9, 9, 0])
    assert sample.counts[0, [1, 5]].tolist() == [1, 1]  # the larger charge of a pixel, none of charge 0
    assert sample.charge.tolist() == [9, 30]
    image = sample.dense([5])[0]
    assert image[9, 7] == 30
    assert image.sum() == 30
    assert_same(Hitmaps.of_images(sample.dense(range(40)), range(40)), sample)


def root_file(path: Path, **columns: list[Any]) -> Path:
    """A file of basf2's branches with one entry; others than those given have one good hit."""
    good = {"sensorID": [SENSORS[0].vxd_id | 2], "uCellID": [3], "vCellID": [4], "charge": [50]} | columns
    digits = ak.zip({f"m_{name}": ak.Array([[], values]) for name, values in good.items() if values})
    with uproot.recreate(path) as file:
        file.mktree("tree", {"PXDDigits": digits.type.content}, field_name=lambda outer, inner: f"{outer}.{inner}")
        file["tree"].extend({"PXDDigits": digits})
    return path


def test_root_files_of_floating_charges_and_frames(tmp_path: Path) -> None:
    sample = read_hitmaps(root_file(tmp_path / "a.root", charge=[77.0]))
    assert sample.counts.sum(1).tolist() == [0, 1]
    assert (sample.u[0], sample.v[0], sample.charge[0]) == (3, 4, 77)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"sensorID": [9]}, r"entry 1: PXDDigits\.m_sensorID = 9 is no sensor"),
        ({"uCellID": [250]}, r"entry 1: PXDDigits\.m_uCellID = 250, not between 0 and 249"),
        ({"vCellID": [768]}, r"entry 1: PXDDigits\.m_vCellID = 768, not between 0 and 767"),
        ({"charge": [256]}, r"entry 1: PXDDigits\.m_charge = 256, not between 0 and 255"),
        ({"charge": [-1.0]}, r"entry 1: PXDDigits\.m_charge = -1\.0, not between"),
        ({"charge": []}, r"tree has no branch PXDDigits\.m_charge"),
    ],
)
def test_bad_root_files_are_refused(tmp_path: Path, columns: dict[str, list[Any]], message: str) -> None:
    path = root_file(tmp_path / "a.root", **columns)
    with pytest.raises(PartiganError, match=rf"a\.root: {message}"):
        read_hitmaps(path)


@pytest.mark.parametrize("name", ["a.h5", "a.root"])
@pytest.mark.parametrize("part", [0.01, 0.5, 0.95])
def test_truncated_files_are_refused(tmp_path: Path, name: str, part: float) -> None:
    WRITERS[name](tmp_path / name, toy_hits())
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: int(part * len(content))])
    with pytest.raises(PartiganError, match=rf"{name}:? .*(truncated|not an HDF5)"):
        read_hitmaps(tmp_path / name)


def _damage(path: Path, what: str) -> None:
    """Damage a file of toy hits."""
    with h5py.File(path, "r+") as file:
        if what == "u":
            file["u"][-1] = 250
        elif what == "v":
            file["v"][-1] = 768
        elif what == "charge":
            file["charge"][0] = 0
        elif what == "order":
            file["u"][:2] = file["u"][:2][::-1]
        elif what == "counts":
            file["counts"][0, 0] += 1
        elif what == "missing":
            del file["charge"]
        elif what == "sensors":
            file.attrs["sensors"] = sorted(NAMES)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("u", "entry 2: u = 250, not between 0 and 249"),
        ("v", "entry 2: v = 768, not between 0 and 767"),
        ("charge", "hits of charge 0, or not sorted"),
        ("order", "hits of charge 0, or not sorted"),
        ("counts", r"u is uint8\[\d+\], counts is of \d+ hits"),
        ("missing", "no dataset 'charge'"),
        ("sensors", r"its sensors are 1\.1\.1, 1\.1\.2, 1\.2\.1, \.\.\.; needed is the order"),
    ],
)
def test_bad_hdf5_files_are_refused(tmp_path: Path, what: str, message: str) -> None:
    write_hitmaps(tmp_path / "a.h5", [toy_hits()], {})
    _damage(tmp_path / "a.h5", what)
    with pytest.raises(PartiganError, match=rf"a\.h5: {message}"):
        read_hitmaps(tmp_path / "a.h5")


def _spoil(folder: Path, what: str) -> None:
    """Spoil a folder of images."""
    image = folder / "1.1.1/0.png"
    if what == "sensor":
        image.parent.rename(folder / "3.1.1")
    elif what == "missing":
        image.unlink()
    elif what == "name":
        image.rename(image.with_stem("first"))
    elif what == "size":
        Image.fromarray(np.zeros((768, 250), np.uint8)).save(image)
    elif what == "truncated":
        image.write_bytes(image.read_bytes()[:60])


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("sensor", r"3\.1\.1 is no PXD sensor"),
        ("missing", r"event 0 has no image of sensor 1\.1\.1"),
        ("name", r"1\.1\.1/first\.png: its name is not the number"),
        ("size", r"1\.1\.1/0\.png: L image of 768 x 250 pixels"),
        ("truncated", r"1\.1\.1/0\.png: truncated"),
    ],
)
def test_bad_folders_of_images_are_refused(tmp_path: Path, what: str, message: str) -> None:
    write_images(tmp_path / "images", toy_hits(1, 50, busy=(0,)))
    _spoil(tmp_path / "images", what)
    with pytest.raises(PartiganError, match=message):
        read_hitmaps(tmp_path / "images")


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


def test_crops_are_parts_of_the_maps() -> None:
    sample = toy_hits()
    dense = sample.dense(range(160))
    corners = [(0, 0), (186, 672), (17, 300)]
    for part, one, (u, v) in zip(crops(sample, [3, 85, 90], corners, 64, 96), (3, 85, 90), corners, strict=True):
        np.testing.assert_array_equal(part, dense[one, u : u + 64, v : v + 96])
    with pytest.raises(PartiganError, match="do not all lie inside"):
        crops(sample, [0], [(187, 0)], 64, 96)


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


@pytest.mark.parametrize(("name", "shape"), [("pxd", (256, 768)), ("pxd-crop", (64, 96)), ("pxd-parts", (256, 768))])
def test_kinds_of_hitmaps(tmp_path: Path, events: Hitmaps, name: str, shape: tuple[int, int]) -> None:
    """Read, compare, defects, draw, write and read again."""
    kind = find(name)
    write_hitmaps(tmp_path / "a.h5", [events], {"seed": 1})
    sample = kind.format.read(tmp_path / "a.h5", "all")
    arguments = kind.conditions.arguments(sample[:40])
    assert (arguments["channels"], arguments["height"], arguments["width"]) == (1, *shape)
    one, two = sample[:40], sample[40:80]
    assert kind.conditions.classes(one).tolist() == [*range(40)]  # type: ignore[union-attr]
    assert kind.evaluation.validate(one, one) == {"adu_w1": 0, "adu_ks": 0, "occupancy": 0}
    dark = replace(two, x=torch.zeros_like(two.x))
    assert kind.evaluation.validate(one, dark)["adu_ks"] == 1

    def observed(sample: Batch) -> Values:
        return kind.observables.compute(sample, {})

    terms = protocols.protocol(name, "pe-gan")
    seen, other = observed(one), observed(two)
    assert all(seen[scalar].shape == (40,) for scalar in kind.observables.scalars({}))
    charges = one.x[:, 0].float()
    mean = (charges.sum((1, 2)) / (charges > 0).sum((1, 2)).clamp_min(1)).numpy()
    np.testing.assert_allclose(seen["mean_charge"], mean, rtol=1e-6)
    found = kind.evaluation.metrics(seen, other, terms, 40, 1)
    assert found.keys() == set(kind.evaluation.names)
    assert found["occupancy_1"].value == pytest.approx(1, abs=5 * found["occupancy_1"].error)
    bright = observed(replace(two, x=(two.x * 1.2).floor().clamp(max=255)))
    assert kind.evaluation.metrics(seen, bright, terms, 40, 1)["adu_w1"].value > found["adu_w1"].value + 1
    assert kind.evaluation.metrics(seen, observed(dark), terms, 40, 1)["occupancy_1"].value == 0
    assert kind.evaluation.figures(seen, other).keys() >= {"Charge", "Occupancy of the sensors", "Pairs of pixels"}
    with pytest.raises(PartiganError, match="not whole ADU"):
        observed(replace(two, x=two.x + 0.5))
    state = kind.conditions.state(sample, kind.format.describe(tmp_path / "a.h5"))
    condition, mask = kind.conditions.draw(state, 80, torch.Generator().manual_seed(0))
    assert mask is None
    assert condition is not None
    assert condition.shape == sample[:80].condition.shape  # type: ignore[union-attr]
    assert condition[:40].unique(dim=0).shape[0] == 40
    kind.format.write(tmp_path / "b.h5", [one, two], {"generated_by": "partigan"}, {})
    again = kind.format.read(tmp_path / "b.h5", "all")
    assert torch.equal(again.x.half(), sample.x[:80])
    assert torch.equal(again.condition, sample.condition[:80])  # type: ignore[index, arg-type]
    assert kind.format.attributes(tmp_path / "b.h5")["generated_by"] == "partigan"


def test_parts_are_crops_to_train_on_and_whole_maps_elsewhere(tmp_path: Path, events: Hitmaps) -> None:
    kind = find("pxd-parts")
    write_hitmaps(tmp_path / "a.h5", [events], {"split_train": (0, 2), "split_valid": (2, 3), "split_test": (2, 3)})
    write_hitmaps(tmp_path / "b.h5", [events], {"split_train": (0, 2), "split_valid": (2, 3)})
    with pytest.raises(PartiganError, match="share events"):
        kind.format.training(tmp_path / "a.h5")
    path = tmp_path / "b.h5"
    sample = kind.format.training(path)
    assert sample.x.shape == (2 * 40 * 4, 1, 64, 96)
    assert sample.condition is not None
    arguments = kind.conditions.arguments(sample)
    assert arguments["whole"] == [250, 768]
    assert (arguments["height"], arguments["width"], arguments["conditions"]) == (64, 96, 43)
    found = clusters(events.map, events.u, events.v, events.charge)
    numbers = np.bincount(found.image, minlength=120).reshape(3, 40)
    for row in (0, 41, 200, 319):
        sensor, (u, v) = row % 40, (sample.condition[row, 40:42] + 1) / 2 * torch.tensor([186, 672])
        corner = round(u.item()), round(v.item())
        np.testing.assert_array_equal(sample.x[row, 0], crops(events, [row % 80], [corner], 64, 96)[0])
        assert sample.condition[row, :40].nonzero().item() == sensor
        rate = np.log(numbers[row % 80 // 40, sensor] / 192)
        assert sample.condition[row, 42].item() == pytest.approx(rate, abs=1e-5)
    whole = kind.format.read(path, "valid")
    assert torch.equal(whole.x, find("pxd").format.read(path, "valid").x)
    assert kind.format.read(path, "train").x.shape == (2 * 40, 1, 250, 768)
    assert kind.evaluation.validated == 3 * 40
    state = kind.conditions.state(sample, kind.format.describe(path))
    assert state["clusters"] == numbers[:2].tolist()
    drawn, _ = kind.conditions.draw(state, 70, torch.Generator().manual_seed(1))
    assert drawn is not None
    assert any(np.allclose(drawn[:40, 42], np.log(row / 192), atol=1e-5) for row in numbers[:2])
    assert (drawn[:, 40:42] == -1).all()
    assert torch.equal(drawn[40:, :40], drawn[:30, :40])


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
    from partigan.report.samples import mosaic

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
