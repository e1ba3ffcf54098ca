"""The command that chooses from which cosine on two tracks are one person."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tyro.conf import Positional

from edge_reid.errors import UserError
from edge_reid.progress import print_table, progress

if TYPE_CHECKING:
    from edge_reid.matching_rule import Kind, MatchingRule, Measured

_MEANINGS: dict[Kind, str] = {
    "between": "visible and thermal, both in view",
    "across": "someone in memory, other modality",
    "visible": "someone in memory, visible",
    "thermal": "someone in memory, thermal",
}


@dataclass(frozen=True, kw_only=True)
class CalibrateMatching:
    """Choose a bundle's matching thresholds on held-out people and write them into its manifest."""

    bundle: Positional[Path]
    """A bundle, a folder."""
    data: Path
    """Data folder whose test people nobody trained on; or a published set, see --data-set."""
    data_set: Literal["folder", "sysu", "regdb", "llcm"] = "folder"
    """What --data is: one's own pictures, SYSU-MM01, RegDB or LLCM."""
    false_accepts: float = 0.01
    """Share of couples of two people in view, and of strangers searched in memory, that may be taken for one person."""
    people: int = 10
    """How many people are in memory when a stranger comes: the more, the stricter."""
    crops: int = 4
    """Pictures pooled per track."""
    engine: Literal["onnxruntime", "openvino", "ncnn", "tensorrt", "torch"] | None = None
    """What runs the networks; what `edge-reid benchmark` found fastest here, else onnxruntime, when not given."""
    json: bool = False
    """Print the rule as one JSON document."""

    def run(self) -> None:
        """Measure, write the manifest, and print what the thresholds do."""
        if self.bundle == Path("reference"):
            raise UserError(
                "reference: is part of the installed package, and the rule is written into the bundle; make one of "
                "your own with `edge-reid export reference --out FOLDER`"
            )
        from edge_reid.bundle import Bundle
        from edge_reid.data.sets import DataOptions
        from edge_reid.engines.choice import choice_path
        from edge_reid.evaluation.held_out import calibrate_bundle
        from edge_reid.evaluation.open_set import Aim

        aim = Aim(self.false_accepts, self.people, self.crops)
        bundle, data = Bundle.open(self.bundle), DataOptions(data_set=self.data_set).open(self.data)
        with progress("embedding") as update:
            rule = calibrate_bundle(bundle, data, aim, engine=self.engine, progress=update)
        if self.json:
            print(rule.model_dump_json())
            return
        _print(rule)
        print(f"{self.bundle}: the rule is in its manifest")
        if choice_path(bundle).exists():
            print(f"{choice_path(bundle)}: is for the manifest before; run `edge-reid benchmark {self.bundle}` again")


def _print(rule: MatchingRule) -> None:
    thresholds = {kind: rule.thresholds(kind) for kind in rule.measured}
    rows = [
        (_MEANINGS[kind], f"{thresholds[kind].accept:.3f}", f"{thresholds[kind].unknown:.3f}", *_rates(measured))
        for kind, measured in rule.measured.items()
    ]
    head = ("", "accept", "unknown", "true accepts", "false accepts", "95 %", "found", "misnamed", "strangers named")
    print_table(head, rows, title=f"couples; searches among {rule.people} people, margin {rule.margin:.3f}")
    gain, error = (100 * number for number in rule.means_gain)
    kept = "subtracted" if rule.means else "not subtracted"
    print(f"means {kept}: {gain:+.2f} points of true accepts, standard error {error:.2f}")
    engines = ", ".join(f"{modality} {engine}" for modality, engine in rule.engines.items())
    print(f"{rule.data}; tracks of {rule.crops} pictures; {engines}")


def _rates(measured: Measured) -> tuple[str, ...]:
    low, high = measured.interval
    first = measured.searches[0] if measured.searches else None
    searched = (first.named, first.misnamed, first.strangers_named) if first else ()
    return (
        f"{measured.true_accept_rate:.1%}", f"{measured.false_accept_rate:.2%}", f"{low:.2%} to {high:.2%}",
        *(f"{rate:.1%}" for rate in searched), *[""] * (3 - len(searched)),
    )  # fmt: skip
