"""The networks of a bundle as a run uses them."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from edge_reid.bundle import Bundle
from edge_reid.engines import load_engine
from edge_reid.engines.choice import selection
from edge_reid.errors import UserError
from edge_reid.live.options import Options
from edge_reid.matching_rule import MatchingRule, Thresholds
from edge_reid.reference import bundle_path
from edge_reid.types import MODALITIES, Embed, Modality


@dataclass(frozen=True)
class Networks:
    """What makes vectors of crops, and what their cosines mean."""

    embed: Mapping[Modality, Embed]
    """To unit vectors that can be compared, see `MatchingRule.centered`."""
    size: tuple[int, int]
    """(H, W) of the crops."""
    dimension: int
    rule: MatchingRule
    space: str
    names: Mapping[Modality, str]
    """Of the engines."""
    reasons: Mapping[Modality, str]
    """Why these."""


@contextlib.contextmanager
def open_networks(options: Options) -> Iterator[Networks]:
    """The bundle's engines and matching rule.

    Raises:
        UserError: there is no such bundle or engine, or the bundle has no matching rule.
    """
    path = options.bundle or bundle_path()
    bundle = Bundle.open(path)
    rule = bundle.manifest.matching
    if rule is None:
        raise UserError(f"{path}: has no matching rule; run `edge-reid calibrate-matching {path} --data FOLDER`")
    if options.threshold is not None:
        rule = rule.model_copy(
            update={
                "between": Thresholds(accept=max(options.threshold, rule.between.accept), unknown=options.threshold)
            }
        )
    with contextlib.ExitStack() as stack:
        embed: dict[Modality, Embed] = {}
        names: dict[Modality, str] = {}
        reasons: dict[Modality, str] = {}
        for modality in MODALITIES:
            engine = load_engine(bundle, modality, options.engine)
            stack.callback(engine.close)
            why = "asked for" if options.engine else selection(bundle, modality).reason
            names[modality], reasons[modality] = engine.name, why
            embed[modality] = rule.comparing(engine.embed, modality)
        manifest = bundle.manifest
        yield Networks(embed, manifest.input_size, manifest.embedding_dim, rule, bundle.space, names, reasons)


def say(text: str) -> None:
    """Tell the user something that is no result."""
    print(f"dual_camera: {text}", file=sys.stderr)
