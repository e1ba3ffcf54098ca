"""Ranking against a loop over queries, written from the protocols' texts."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import pytest
from brute import brute
from numpy.typing import NDArray

from edge_reid.data.folder import FolderDataset
from edge_reid.data.synthetic.dataset import Population, write_dataset
from edge_reid.errors import UserError
from edge_reid.evaluation import Embedded, Rule, both_directions, extract, metrics, rank, single_shot
from edge_reid.evaluation.baselines import raw_pixels, silhouettes
from edge_reid.evaluation.metrics import rank_embeddings
from edge_reid.evaluation.plots import ranking_sheet
from edge_reid.preprocess import read_crop
from edge_reid.types import Modality, Sample


@pytest.mark.parametrize("rule", ["regdb", "sysu", "llcm"])
@pytest.mark.parametrize("seed", range(4))
def test_ranking_equals_the_loop(rule: Rule, seed: int) -> None:
    random = np.random.default_rng(seed)
    q_ids, g_ids = random.integers(0, 9, 30).tolist(), random.integers(0, 7, 50).tolist()
    q_cams, g_cams = random.integers(1, 5, 30).tolist(), random.integers(1, 5, 50).tolist()
    distances = random.integers(0, 40, (30, 50)) / 8  # many ties
    found = rank(distances, q_ids, g_ids, q_cams, g_cams, rule=rule)
    cmc, mean_ap, mean_inp, valid = brute(distances, q_ids, g_ids, q_cams, g_cams, rule)
    assert found.valid_queries == valid
    assert found.cmc == pytest.approx(cmc)
    assert (found.mean_ap, found.mean_inp) == pytest.approx((mean_ap, mean_inp))


@pytest.mark.parametrize("rule", ["regdb", "sysu", "llcm"])
def test_ranking_in_blocks_of_any_size_is_the_same(rule: Rule, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    q_ids, g_ids = random.integers(0, 9, 30), random.integers(0, 7, 50)
    q_cams, g_cams = random.integers(1, 5, 30), random.integers(1, 5, 50)
    query, gallery = random.normal(size=(30, 4)), random.normal(size=(50, 4))
    whole = rank(-(query @ gallery.T), q_ids, g_ids, q_cams, g_cams, rule=rule)
    for block in (1, 7 * 50, 1 << 20):
        monkeypatch.setattr(metrics, "BLOCK", block)
        part = rank_embeddings(query, gallery, q_ids, g_ids, q_cams, g_cams, rule=rule)
        np.testing.assert_allclose(part.cmc, whole.cmc)
        assert (part.mean_ap, part.mean_inp) == pytest.approx((whole.mean_ap, whole.mean_inp))
        assert part.valid_queries == whole.valid_queries


def test_a_large_ranking_needs_the_memory_of_a_block_only() -> None:
    random = np.random.default_rng(0)
    query, gallery = (random.normal(size=(count, 8)).astype(np.float32) for count in (600, 200_000))
    q_ids, g_ids = np.arange(600), np.arange(200_000) // 50
    g_cams = np.arange(200_000) % 4 + 1
    tracemalloc.start()
    found = rank_embeddings(query, gallery, q_ids, g_ids, np.full(600, 3), g_cams, rule="sysu")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.valid_queries == 600
    assert peak < 1 << 30, "all distances at once would be 960 MB as float64, and four times that in the working"


def test_a_case_worked_by_hand() -> None:
    """Order of identities for the only query, of identity 1: 2, 1, 2, 1. AP = (1/2 + 2/4) / 2, INP = 2/4."""
    found = rank(np.array([[0.1, 0.2, 0.3, 0.4]]), [1], [2, 1, 2, 1], [1], [2, 2, 2, 2], rule="regdb")
    assert found.cmc[:3] == pytest.approx([0.0, 1.0, 1.0])
    assert (found.mean_ap, found.mean_inp) == pytest.approx((0.5, 0.5))


def test_camera_three_does_not_see_camera_two_of_sysu() -> None:
    distances = np.array([[0.1, 0.2, 0.3]])
    arguments = ([1], [2, 1, 1], [3], [2, 2, 4])
    assert rank(distances, *arguments, rule="regdb").mean_ap == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert rank(distances, *arguments, rule="sysu").mean_ap == pytest.approx(1.0)


def test_shapes_that_disagree_and_distances_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="do not match"):
        rank(np.zeros((1, 2)), [1], [1], [1], [1], rule="regdb")
    with pytest.raises(ValueError, match="NaN"):
        rank(np.array([[np.nan]]), [1], [1], [1], [2], rule="regdb")
    with pytest.raises(ValueError, match="no query"):
        rank(np.zeros((1, 1)), [1], [2], [1], [2], rule="regdb")


def embedded(modality: Modality, vectors: list[tuple[int, list[float]]]) -> Embedded:
    samples = [Sample(Path(f"{i}.jpg"), identity, 1, modality) for i, (identity, _) in enumerate(vectors)]
    return Embedded(samples, np.array([vector for _, vector in vectors], np.float32))


def test_a_single_shot_gallery_holds_one_picture_of_each_identity() -> None:
    query = embedded("thermal", [(1, [1.0, 0.0]), (2, [0.0, 1.0])])
    gallery = embedded("visible", [(1, [1.0, 0.0]), (1, [0.0, 1.0]), (2, [0.6, 0.8])])
    result = single_shot(query, gallery, trials=50)
    # identity 1's picture is the good one in half of the draws: then both queries are right, else both are wrong
    assert result.identities == 2
    assert result.rank1 in {n / 50 for n in range(51)}
    assert result.mean_ap == pytest.approx((1 + result.rank1) / 2)
    assert 0.2 < result.rank1 < 0.8
    assert single_shot(query, gallery, trials=50).rank1 == result.rank1
    assert "single-shot" in result.protocol
    assert "no re-ranking" in result.protocol


def test_both_directions_swap_query_and_gallery() -> None:
    visible = embedded("visible", [(1, [1.0, 0.0]), (2, [0.0, 1.0])])
    thermal = embedded("thermal", [(1, [0.9, 0.1]), (2, [0.8, 0.6])])
    first, second = both_directions(visible, thermal)
    assert (first.direction, second.direction) == ("thermal -> visible", "visible -> thermal")
    assert first.rank1 == pytest.approx(0.5)  # the thermal picture of 2 is nearer to 1
    assert second.rank1 == pytest.approx(1.0)


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("ranking") / "people"
    write_dataset(root, Population(identities=1, test_identities=4, pictures=2, size=(64, 32)))
    return root


def test_baselines_give_unit_vectors_in_the_order_of_the_samples(people: Path) -> None:
    dataset = FolderDataset(people)
    samples = dataset.query("thermal")
    labels = dataset.part_labels()
    assert labels is not None
    pixels = raw_pixels(samples)
    outlines = silhouettes([path for sample in samples if (path := labels.path(sample))])
    for found in (pixels, outlines):
        assert np.linalg.norm(found, axis=1) == pytest.approx(np.ones(8), abs=1e-5)
    np.testing.assert_allclose(raw_pixels(samples[::-1]), pixels[::-1])
    assert not np.allclose(pixels, outlines)


def test_a_silhouette_does_not_depend_on_which_parts_make_it(tmp_path: Path) -> None:
    outline = np.zeros((128, 64), np.uint8)
    cv2.ellipse(outline, (32, 64), (13, 51), 0, 0, 360, 1, -1)
    cv2.imwrite(str(tmp_path / "head.png"), outline)
    cv2.imwrite(str(tmp_path / "bag.png"), outline * 5)
    head, bag = silhouettes([tmp_path / "head.png", tmp_path / "bag.png"])
    np.testing.assert_array_equal(head, bag)


def test_extraction_reads_every_picture_once_in_order(people: Path) -> None:
    samples = FolderDataset(people).query("thermal")
    sizes: list[int] = []

    def embed(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        sizes.append(len(crops))
        return crops.reshape(len(crops), -1)[:, :3].astype(np.float32)

    found = extract(samples, embed, (16, 8), batch=3)
    assert sizes == [3, 3, 2]
    expected = [read_crop(sample.path, "thermal", (16, 8)).reshape(-1)[:3] for sample in samples]
    np.testing.assert_array_equal(found, np.array(expected, np.float32))


def test_a_corrupt_picture_stops_extraction_with_its_name(people: Path, tmp_path: Path) -> None:
    broken = tmp_path / "c1_broken.jpg"
    broken.write_bytes(b"\xff\xd8 cut off")
    with pytest.raises(UserError, match="c1_broken"):
        extract([Sample(broken, 1, 1, "visible")], lambda crops: np.zeros((len(crops), 2), np.float32), (16, 8))


def test_the_ranking_sheet_frames_right_answers_green_and_wrong_ones_red(people: Path, tmp_path: Path) -> None:
    dataset = FolderDataset(people)
    known: dict[int, int] = {}

    def embed(samples: list[Sample]) -> NDArray[np.float32]:
        return np.eye(8, dtype=np.float32)[[known.setdefault(s.identity, len(known)) for s in samples]]

    ranking_sheet(tmp_path / "sheet.png", dataset.searches()[:1], embed, queries=2, top=3)
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    green, red = ((sheet == color).all(axis=2).sum() for color in ((80, 160, 40), (50, 50, 210)))
    assert 0 < green < red  # the first answer of three is right by construction
