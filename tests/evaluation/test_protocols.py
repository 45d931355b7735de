"""Protocols of partigan and of users."""

from __future__ import annotations

from pathlib import Path

import pytest

import partigan
from helpers import JetFile
from partigan.errors import PartiganError
from partigan.evaluation import protocols


def test_protocols_of_ones_own(jet_file: JetFile, tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    text = "title: mine\npaper: none\nkind: jets\nmetrics: [w1m]\nmean: plain\nbatches: 2\nsamples: 50\n"
    mine.write_text(text)
    assert protocols.protocol("jets", str(mine))["samples"] == 50
    assert protocols.names("jets") == ["mdma", "mpgan"]
    for change, message in (
        (("kind: jets", "kind: pxd"), "is a protocol for 'pxd', not for jets"),
        (("batches: 2", "batch: 2"), "check 'batch'"),
        (("[w1m]", "[w1n]"), "check 'w1n'"),
        (("title: mine", "{"), "cannot be read as YAML"),
    ):
        mine.write_text(text.replace(*change))
        with pytest.raises(PartiganError, match=message):
            protocols.protocol("jets", str(mine))
    with pytest.raises(PartiganError, match="unknown protocol 'mdna'; for jets there are mdma, mpgan"):
        partigan.evaluate(jet_file(), tmp_path / "r", fake=tmp_path / "jets.h5", protocol="mdna")
