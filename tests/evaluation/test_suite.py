"""The metrics by name, taken of a generated sample and in-sample."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.ensemble import HistGradientBoostingClassifier

from metric_cases import Floats, rng, rows, wide
from partigan.data.batch import Batch
from partigan.data.transforms.tables import Standardise
from partigan.errors import PartiganError
from partigan.evaluation import refinement, translation
from partigan.evaluation.metric import Answer, Metric
from partigan.evaluation.samples import Pair, Samples, rebuilder
from partigan.evaluation.suite import OF_CLASSIFIER, SUITE, chosen, protocol_metrics, run_suite
from partigan.evaluation.verdicts import Judged
from partigan.kinds.tables import TABLES, TableEvaluation
from partigan.metrics.finding import Finding
from partigan.metrics.frechet import Moments, fpnd
from partigan.metrics.weighted import Weighted
from partigan.models.classifier import Seen
from partigan.models.model import Model
from partigan.nets.tables import TableGenerator

OF_TRANSLATOR = {*translation.METRICS, *refinement.METRICS}
QUICK_SUITE = SUITE.keys() - {"critic", "network", "reconstruction", *OF_CLASSIFIER, *OF_TRANSLATOR}
NAMES = {name: (name, "GeV") for name in "abc"}


def judged(fake: Floats, size: int = 1200) -> Judged:
    """All metrics of rows against real ones, but for those that train networks."""
    samples = Samples(NAMES, rows(size, 1), fake, rows(size, 2))
    found = run_suite(QUICK_SUITE, samples, Samples(NAMES, samples.real, rows(len(fake), 3)), seed=1)
    return Judged(found.rows, 0, size, {})


def test_a_perfect_sample_agrees_and_a_wide_one_differs() -> None:
    perfect, defect = judged(rows(1200, 4)), judged(wide(1200, 4))
    assert set(perfect.taken) == set(defect.taken)
    assert {name.split(".")[0] for name in perfect.taken} == QUICK_SUITE
    assert set(perfect.verdicts.values()) == {"agrees"}
    off = {name for name, verdict in defect.verdicts.items() if verdict != "agrees"}
    assert {"classifier", "ks.c", "chi2.a", "w1.a", "moments.a.std", "ndb"} <= off
    for name in ("memorisation.share", "birthday", "moments.a.mean"):
        assert defect.verdicts[name] == "agrees"
    assert perfect.worst == "agrees"
    assert defect.worst == "differs"
    assert "(GeV)" in defect.taken["w1.b"].heading
    for entry in defect.taken.values():
        assert np.isfinite([number for number in entry.numbers().values() if number is not None]).all()


def test_small_samples_leave_metrics_out_with_the_reason() -> None:
    found = judged(rows(60, 4), 60)
    assert found.left_out["ndb"] == "the real sample has 60 rows; at least 1000 are needed"
    assert "ks.a" in found.taken
    assert run_suite(["ks"], Samples({}, rows(60, 1), rows(60, 2)), None, 1).skipped["ks"].startswith("this kind")
    alone = run_suite(["memorisation"], Samples(NAMES, rows(60, 1), rows(60, 2)), None, 1)
    assert "use --split test" in alone.skipped["memorisation"]


def test_copies_are_said_to_be_of_those_that_were_looked_at() -> None:
    train = rows(900, 2)
    found = run_suite(["memorisation"], Samples(NAMES, rows(300, 1), train[:400].copy(), train), None, 1)
    assert found.taken["memorisation.copies"].heading == "Copies of training samples (of 300 of the 900)"


def test_which_metrics() -> None:
    protocol = ["w1m", "fpd"]
    assert chosen(["all"], protocol) == [*protocol, *SUITE]
    assert chosen(["ks", "protocol", "w1m"], protocol) == ["w1m", "fpd", "ks"]
    with pytest.raises(PartiganError, match="no metric 'kss'; there are all, protocol, w1m, fpd, classifier"):
        chosen(["kss"], protocol)


def test_reconstruction_finds_what_the_generator_cannot_make() -> None:
    """Samples of the generator itself against samples off the surface on which it lies."""
    torch.manual_seed(1)
    generator, scale = TableGenerator(features=3, latent=2, width=16, depth=1).eval(), Standardise()
    with torch.no_grad():
        made = generator(torch.randn(80, 2))
    scale.fit(Batch(made))
    model = Model(generator, scale, TABLES, {})
    inside = scale.inverse(Batch(made))
    far = Batch(inside.x + 3 * scale.std * torch.tensor([1.0, -1.0, 1.0]))
    nothing = np.zeros((80, 0))
    found = run_suite(
        ["reconstruction"],
        Samples({}, nothing, nothing, rebuild=rebuilder(model, far)),
        Samples({}, nothing, nothing, rebuild=rebuilder(model, inside)),
        1,
    )
    entry = found.taken["reconstruction"]
    assert entry.reference[0] < 0.05
    assert entry.finding.value > 1
    assert (
        "give --run" in run_suite(["reconstruction"], Samples({}, nothing, nothing), None, 1).skipped["reconstruction"]
    )
    mask = torch.ones(80, 1, dtype=torch.bool)
    with pytest.raises(PartiganError, match="particles have no order"):
        rebuilder(model, Batch(inside.x[:, None], mask))(np.random.default_rng(1))


def test_the_failure_of_a_metric_is_its_own() -> None:
    def fails(*_: object) -> Answer:
        raise PartiganError("no variance")

    def found(*_: object) -> Answer:
        return Answer({"": Finding("W1 (x 10^3)", 0.002, 0.001, unit=1e-3)})

    samples = Samples(NAMES, rows(60, 1), rows(60, 2))
    own = {"w1": Metric(found, of="samples"), "other": Metric(fails, of="samples")}
    both = run_suite(["w1", "other"], samples, samples, 1, own)
    assert [row.name for row in both.rows] == ["w1", "other", "w1.a", "w1.b", "w1.c"]  # a name of both means both
    assert both.skipped == {"other": "no variance"}
    assert Judged(both.rows, 0, 60, {}).cells("w1")[:3] == ("W1 (x 10^3)", "2.0 ± 1.0", "2.0 ± 1.0")


def test_whatever_a_metric_raises_becomes_a_row() -> None:
    def fails(*_: object) -> Answer:
        raise ZeroDivisionError("no rows\nat all")

    samples = Samples(NAMES, rows(60, 1), rows(60, 2))
    found = run_suite(["fails", "ks"], samples, samples, 1, {"fails": Metric(fails, of="samples")})
    assert found.skipped == {"fails": "ZeroDivisionError: no rows at all"}
    assert "ks.a" in found.taken


def with_junk(size: int, seed: int) -> tuple[Floats, Floats]:
    """Rows, and among them others that no generator makes, with event weights of 0."""
    junk = rng(seed).normal(-9, 3, (size // 2, 3))
    order = rng(seed + 1).permutation(size + len(junk))
    return np.concatenate([rows(size, seed), junk])[order], np.repeat([2.0, 0.0], [size, len(junk)])[order]


@pytest.mark.parametrize("name", sorted(SUITE.keys() - {"critic", *OF_TRANSLATOR}))  # which are slow, or need more
def test_rows_of_weight_0_are_seen_by_no_metric(name: str) -> None:
    """Every metric takes event weights or says in its row what became of them; none judges rows that are not there."""
    size = 500 if name in ("network", "birthday", "likelihood") else 1200
    (real, of_real), (other, of_other) = with_junk(size, 1), with_junk(size, 3)
    fake = rows(size, 4)

    def seen(x: Floats, weight: Floats | None) -> Seen:
        share = 1 / (1 + np.exp(-x[:, :1].clip(-30, 30)))
        return Seen(x, np.concatenate([share, 1 - share], 1), weight)

    def judge(x: Floats, y: Floats, test: Floats, weight: Floats | None = None) -> Floats:
        both = np.concatenate([real, fake])
        trees = HistGradientBoostingClassifier(max_iter=20).fit(both[x[:, 0].astype(int)], y, weight)
        return np.asarray(trees.predict_proba(both[test[:, 0].astype(int)])[:, 1])

    reference = Moments.of(rows(size, 9))
    distance = {
        id(x): lambda x=x, w=w: fpnd(reference, Weighted(x, w), rng=rng()) for x, w in ((fake, None), (other, of_other))
    }
    model = {"training": with_junk(size, 7)[0], "judge": judge}
    pair = Pair(seen(real, of_real), seen(fake, None), True)
    samples = Samples(NAMES, real, fake, weights=(of_real, None), seen=pair, distance=distance[id(fake)], **model)
    pair = Pair(seen(real, of_real), seen(other, of_other), True)
    beside = Samples(NAMES, real, other, weights=(of_real, of_other), seen=pair, distance=distance[id(other)])
    found = run_suite([name], samples, beside, 1)
    if name == "reconstruction":
        assert found.skipped == {name: "it needs the generator: give --run"}
        return
    verdicts = Judged(found.rows, 0, size, {}).verdicts
    assert verdicts
    assert set(verdicts.values()) == {"agrees"}
    notes = {row.finding.note for row in found.rows}
    hit, each = "by hit or miss of event weights", "each row counts once, whatever its event weight"
    said = {"taken": "", "hit or miss": hit, "rows": each}[SUITE[name].weights]
    assert all(note.endswith(said) for note in notes)
    negative = replace(samples, weights=(np.where(of_real > 0, of_real, -1e-3), None))
    skipped = run_suite([name], negative, None, 1).skipped
    assert (name in skipped) is (name == "separation" or SUITE[name].weights == "hit or miss")


def test_metrics_of_a_protocol_are_taken_together_or_each_by_itself() -> None:
    asked: list[list[str]] = []

    class Some(TableEvaluation):
        def metrics(self, real: Any, fake: Any, protocol: dict[str, Any], smallest: int, seed: int) -> Any:
            asked.append(protocol["metrics"])
            if "variance" in protocol["metrics"]:
                raise PartiganError("no variance")
            return {name: Finding(name, 1.0) for name in protocol["metrics"] if name != "large"} | {"layer": "no hits"}

    samples = Samples({}, np.zeros((9, 0)), np.zeros((9, 0)), observables=({}, {}))

    def found(names: list[str]) -> dict[str, str]:
        asked.clear()
        own = protocol_metrics(Some(), {"metrics": names}, 9, 1)
        return run_suite(names, samples, None, 1, own).skipped

    assert found(["a", "b"]) == {}
    assert found(["a", "layer"]) == {"layer": "no hits"}
    assert found(["a", "b"]) == {}
    assert asked == [["a", "b"]]
    reasons = {"variance": "no variance", "large": "the samples are too small"}
    assert found(["a", "variance", "large"]) == reasons
    assert asked == [["a", "variance", "large"], ["a"], ["variance"], ["large"]]
