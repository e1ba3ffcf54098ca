"""Whether people who come back to a scene are known again, and whether newcomers are taken for others."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from edge_reid.evaluation.matches import assign
from edge_reid.evaluation.mot import read_mot, read_rows, read_text
from edge_reid.types import MODALITIES


@dataclass(frozen=True)
class ReentryScores:
    """People of a scene's last visit, by the number that each was shown with most often in a visit, over both cameras.

    Someone has come back when they had a number before; known again is who has the same number; taken for another is
    who has a number that somebody else had before. The rest are shown as unknown or as new.
    """

    returned: int
    known_again: int
    newcomers: int
    """People who had no number before."""
    mistaken: int
    """Of `returned` and `newcomers`, those taken for another."""

    @property
    def recognition(self) -> float:
        """Share known again of those who came back."""
        return self.known_again / max(self.returned, 1)

    @property
    def false_accepts(self) -> float:
        """Share taken for another of all."""
        return self.mistaken / max(self.returned + self.newcomers, 1)


def score_reentry(tracks: Path, scene: Path) -> ReentryScores:
    """Compare a folder that `dual_camera.py --tracks` wrote with the ground truth of a scene of several visits.

    Raises:
        UserError: a file is missing or malformed.
    """
    starts = json.loads(read_text(scene / "scene.json"))["visits"]
    who = [
        assign(read_mot(tracks / f"{modality}.txt"), read_mot(scene / f"gt_{modality}.txt")) for modality in MODALITIES
    ]
    before: dict[int, Counter[int]] = {}
    last: dict[int, Counter[int]] = {}
    for camera, frame, track, number in (map(int, row) for row in read_rows(tracks / "people.txt", 4)):
        person = who[camera].get((frame, track))
        if person is not None:
            (last if frame >= starts[-1] else before).setdefault(person, Counter())[number] += 1
    there = {person for camera in who for (frame, _), person in camera.items() if frame >= starts[-1]}
    known = {person: counts.most_common(1)[0][0] for person, counts in before.items()}
    again = {person: counts.most_common(1)[0][0] for person, counts in last.items()}
    wrong = [
        person
        for person, number in again.items()
        if number in (other for owner, other in known.items() if owner != person) and known.get(person) != number
    ]
    returned = there & known.keys()
    right = [person for person in returned if again.get(person) == known[person]]
    return ReentryScores(len(returned), len(right), len(there - known.keys()), len(wrong))
