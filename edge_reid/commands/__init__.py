"""One frozen dataclass per command: its options, its defaults and its help.

A command calls one library function and prints. What is heavy is imported inside `run`, so that `--help` and what a
device needs work without torch.
"""

from edge_reid.commands.benchmark import Benchmark
from edge_reid.commands.bundles import Compile, Doctor
from edge_reid.commands.embed import Embed
from edge_reid.commands.export import Export, Quantize
from edge_reid.commands.fleet import Fleet
from edge_reid.commands.gallery import Gallery
from edge_reid.commands.matching import CalibrateMatching
from edge_reid.commands.people import Data, Demo, Synth
from edge_reid.commands.prune import Prune
from edge_reid.commands.training import Ablate, Evaluate, Recipes, Train

__all__ = [
    "Ablate",
    "Benchmark",
    "CalibrateMatching",
    "Compile",
    "Data",
    "Demo",
    "Doctor",
    "Embed",
    "Evaluate",
    "Export",
    "Fleet",
    "Gallery",
    "Prune",
    "Quantize",
    "Recipes",
    "Synth",
    "Train",
]
