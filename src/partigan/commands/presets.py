"""``partigan list``: the presets."""

from __future__ import annotations

from partigan import presets
from partigan.evaluation.terminal import cut, lines_of, say, width


def list_presets() -> None:
    """Print the presets by kind of data, with paper and title; docs/literature.md has parameters and status."""
    about = {name: presets.about(name) for name in presets.names()}
    for kind in dict.fromkeys(entry["kind"] for entry in about.values()):
        mine = {name: entry for name, entry in about.items() if entry["kind"] == kind}
        papers = {name: entry["paper"].split(",")[0].removeprefix("arXiv:") for name, entry in mine.items()}
        heading = (f"{kind}:", "paper", "system")
        room = (
            width() - sum(max(map(len, column)) for column in ((heading[0], *mine), (heading[1], *papers.values()))) - 4
        )
        rows = [(name, papers[name], cut(entry["title"], room)) for name, entry in mine.items()]
        say(*lines_of(heading, rows, [""] * len(rows), width()))
