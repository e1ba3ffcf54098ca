"""How well an app's cross-camera matches agree with the ground truth of a scene.

Shapes: N boxes of a frame, left, top, right, bottom in pixels. Frames count from 1 and are synchronous in both views.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

from edge_reid.evaluation.mot import LEAST_VISIBILITY, NumberedBoxes, read_mot, read_rows, read_text, same_boxes
from edge_reid.types import MODALITIES


@dataclass(frozen=True)
class MatchScores:
    """Precision and recall of the matches, as fractions, with the counts they are made of.

    Frame level: a link shown in a frame is right when the boxes at both ends are the same person's; asked for are the
    people who in that frame are whole and at least half in sight in both views. Binding level: a couple of tracks
    ever linked is right when most of both tracks is the same person; asked for are the people who could be linked for
    at least a second.
    """

    shown_links: int
    right_links: int
    asked_links: int
    found_links: int
    bindings: int
    right_bindings: int
    asked_people: int
    bound_people: int

    @property
    def link_precision(self) -> float:
        """Right among the links shown."""
        return _share(self.right_links, self.shown_links)

    @property
    def link_recall(self) -> float:
        """Found among the links asked for."""
        return _share(self.found_links, self.asked_links)

    @property
    def binding_precision(self) -> float:
        """Right among the couples of tracks ever linked."""
        return _share(self.right_bindings, self.bindings)

    @property
    def binding_recall(self) -> float:
        """People ever linked rightly among those who could be."""
        return _share(self.bound_people, self.asked_people)


def score_matches(tracks: Path, scene: Path) -> MatchScores:
    """Compare a folder that `dual_camera.py --tracks` wrote with a scene's ground truth.

    Args:
        tracks: folder with `visible.txt`, `thermal.txt` (MOT text) and `links.txt`.
        scene: folder with `gt_visible.txt`, `gt_thermal.txt` (MOT text) and `scene.json`.

    Raises:
        UserError: a file is missing or malformed.
    """
    about = json.loads(read_text(scene / "scene.json"))
    height, width = about["size"]
    truth = {modality: read_mot(scene / f"gt_{modality}.txt") for modality in MODALITIES}
    who = {modality: assign(read_mot(tracks / f"{modality}.txt"), truth[modality]) for modality in MODALITIES}
    majority = {modality: _majority(who[modality]) for modality in MODALITIES}
    asked = {
        (frame, person)
        for frame in truth["visible"].keys() & truth["thermal"].keys()
        for person in _in_sight(truth["visible"][frame], height, width)
        & _in_sight(truth["thermal"][frame], height, width)
    }
    right, found, shown, couples = 0, set(), 0, set()
    for row in read_rows(tracks / "links.txt", 6):
        frames, ends = (int(row[0]), int(row[1])), (int(row[2]), int(row[3]))
        couples.add(ends)
        shown += 1
        people = [
            who[modality].get((frame, end)) for modality, frame, end in zip(MODALITIES, frames, ends, strict=True)
        ]
        if people[0] is not None and people[0] == people[1]:
            right += 1
            found.add((frames[0], people[0]))
    bound = [
        majority["visible"][visible]
        for visible, thermal in couples
        if visible in majority["visible"] and majority["visible"][visible] == majority["thermal"].get(thermal)
    ]
    seconds = Counter(person for _, person in asked)
    lasting = {person for person, frames_asked in seconds.items() if frames_asked >= about["fps"]}
    return MatchScores(
        shown_links=shown, right_links=right, asked_links=len(asked), found_links=len(found & asked),
        bindings=len(couples), right_bindings=len(bound),
        asked_people=len(lasting), bound_people=len(lasting & set(bound)),
    )  # fmt: skip


def assign(tracks: dict[int, NumberedBoxes], truth: dict[int, NumberedBoxes]) -> dict[tuple[int, int], int]:
    """The person of each (frame, track): one-to-one in each frame, with an overlap of at least a half."""
    return {
        (frame, int(found.numbers[i])): int(truth[frame].numbers[j])
        for frame, found in tracks.items()
        if frame in truth
        for i, j in same_boxes(found.corners, truth[frame].corners)
    }


def _majority(who: dict[tuple[int, int], int]) -> dict[int, int]:
    """The person that each track is in most frames."""
    votes: defaultdict[int, Counter[int]] = defaultdict(Counter)
    for (_, track), person in who.items():
        votes[track][person] += 1
    return {track: counter.most_common(1)[0][0] for track, counter in votes.items()}


def _in_sight(boxes: NumberedBoxes, height: int, width: int) -> set[int]:
    """People who are whole inside the frame and sufficiently uncovered."""
    left, top, right, bottom = boxes.corners.T
    whole = (left > 0) & (top > 0) & (right < width) & (bottom < height)
    return {int(number) for number in boxes.numbers[whole & (boxes.visibility >= LEAST_VISIBILITY)]}


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
