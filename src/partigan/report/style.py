"""How figures look: mplhep's histograms, colours safe for the colour-blind, the same whatever a user's settings say."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from partigan.errors import printable

REAL, FAKE = "#0072B2", "#D55E00"  # Okabe-Ito blue and vermillion
SERIES = (FAKE, "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9")  # Okabe and Ito, for several generated samples
EITHER = "#555577"  # single samples, which may be either
GREY = "#777777"
Values = NDArray[Any]

_STYLE: Any = {"font.size": 11, "axes.labelsize": 11, "legend.frameon": False, "figure.dpi": 110}


@contextmanager
def style() -> Iterator[None]:
    """Draw with our settings, whatever those of the user are; theirs are as before afterwards."""
    with mpl.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # names in letters that the font lacks
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield


def png(figure: Figure) -> bytes:
    """A figure as PNG, drawn with Agg; the same bytes for the same figure."""
    buffer = BytesIO()
    with style():
        FigureCanvasAgg(figure).print_png(buffer, metadata={"Software": None})  # savefig would lay it out twice
    return buffer.getvalue()


def plain(text: str) -> str:
    r"""Text without control characters; a dollar is a dollar and starts no formula.

    Example:
        >>> print(plain("cost in $"))
        cost in \$
    """
    return printable(text).replace("$", r"\$")
