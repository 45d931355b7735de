"""FPND of the generators that MPGAN's authors published, beside what their paper says.

    pip install --no-deps jetnet
    python benchmarks/published.py ../shared/reference/mpgan_weights [--jets 50000] [--seed 1] [--json published.json]

Each weights file becomes a run (`partigan import-weights`), which generates jets; FPND compares them with the
published statistics of real JetNet jets. Results are kept in the JSON file, and what stands there is not done again.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from partigan import load
from partigan.models.importing.mpgan import import_weights
from partigan.models.jetnet import published

# Table 2 of arXiv:2106.11535, gluons
PAPER = {
    "mp_g": "0.12",
    "mplfc_g": "0.20",
    "mppnet_g": "18",
    "fc_g": "176",
    "fcpnet_g": "5.0",
    "graphcnnpnet_g": "7k",
    "treeganpnet_g": "84",
}


def main() -> None:
    """Measure and print a markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--jets", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, default=Path("published.json"))
    options = parser.parse_args()
    found = json.loads(options.json.read_text(encoding="utf-8")) if options.json.exists() else {}
    print("| generator | FPND here | Table 2 |")
    print("|---|---|---|")
    for folder in sorted(path for path in options.weights.iterdir() if path.is_dir()):
        if folder.name not in found:
            with tempfile.TemporaryDirectory() as place:
                run = import_weights(folder / "G_best_epoch.pt", folder / "args.txt", Path(place) / "run")
                flavour = run.manifest["imported"]["jets"]
                jets = load(run.path).sample(options.jets, options.seed)
            value, error = published(flavour, tuple(jets.x.shape[1:])).distance(jets, options.jets, options.seed)
            found[folder.name] = {"fpnd": value, "error": error, "jets": options.jets, "seed": options.seed}
            options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
        value, error = found[folder.name]["fpnd"], found[folder.name]["error"]
        print(f"| {folder.name} | {value:.3g} ± {error:.2g} | {PAPER.get(folder.name, '')} |", flush=True)


if __name__ == "__main__":
    main()
