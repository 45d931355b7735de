"""``partigan list``: the presets."""

from __future__ import annotations

import textwrap

from rich.console import Console
from rich.table import Table

from partigan import presets


def list_presets() -> None:
    """Print the presets with paper and kind of data; docs/literature.md has their parameters and status."""
    console = Console()
    table = Table(box=None, pad_edge=False)
    for heading in ("preset", "paper", "kind", "system"):
        table.add_column(heading, overflow="fold", no_wrap=heading != "system")
    room = max(console.width - 62, 18)
    for name in presets.names():
        about = presets.about(name)
        title = textwrap.shorten(about["title"], room, placeholder=" ...")
        table.add_row(name, about["paper"].split(",")[0], about["kind"], title)
    console.print(table)
