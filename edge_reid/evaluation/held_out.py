"""A bundle's rule of matching, made with its own engines and the people of a data set whom no training saw."""

from __future__ import annotations

from edge_reid.bundle import Bundle, write_manifest
from edge_reid.data.sets import ReidData
from edge_reid.engines import load_engine
from edge_reid.evaluation.extract import extract
from edge_reid.evaluation.open_set import Aim, calibrate
from edge_reid.evaluation.protocols import Embedded
from edge_reid.matching_rule import MatchingRule
from edge_reid.progress import Update
from edge_reid.types import MODALITIES, Modality


def calibrate_bundle(
    bundle: Bundle, data: ReidData, aim: Aim, *, engine: str | None = None, progress: Update | None = None
) -> MatchingRule:
    """Measure the test people and write the rule into the bundle's manifest, in the place of an older one.

    Args:
        bundle: an opened bundle, in a folder that can be written to.
        data: the pictures.
        aim: what the rule is to keep.
        engine: what computes the embeddings, see `load_engine`.
        progress: called with the numbers of pictures done and in all, one modality after the other.

    Raises:
        UserError: the data or the engine is not there, or the people are too few. The manifest stays as it was then.
    """
    samples = {modality: data.query(modality) for modality in MODALITIES}
    embedded: dict[Modality, Embedded] = {}
    engines: dict[Modality, str] = {}
    for modality in MODALITIES:
        network = load_engine(bundle, modality, engine)
        try:
            vectors = extract(samples[modality], network.embed, bundle.manifest.input_size, progress=progress)
        finally:
            network.close()
        embedded[modality] = Embedded(samples[modality], vectors)
        engines[modality] = f"{network.facts.backend} {network.facts.precision}"
    rule = calibrate(embedded, aim, engines=engines, data=f"{data.label}, test")
    write_manifest(bundle.path, bundle.manifest.model_copy(update={"matching": rule}))
    return rule
