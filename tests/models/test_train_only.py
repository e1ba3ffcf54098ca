"""Train-only parts: the fusion of modalities, the memory of views, part labels without a parser."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from edge_reid.models.fusion import ModalFusion, paired
from edge_reid.models.memory import ViewMemory
from edge_reid.models.self_parts import SelfParts, foreground
from edge_reid.recipes.mmff_sd import MmffSd
from tests.steps import step

SMALL = MmffSd(arch="osnet", width=0.25, size=(64, 32))


def test_couples_are_of_one_person_whatever_the_order() -> None:
    identities = torch.tensor([3, 1, 1, 3, 3, 1, 3, 1])
    modalities = torch.tensor([0, 0, 1, 1, 0, 0, 1, 1])
    visible, thermal, places = paired(identities, modalities)
    assert identities[visible].tolist() == identities[thermal].tolist() == [1, 1, 3, 3]
    assert modalities[visible].tolist() == [0] * 4
    assert modalities[thermal].tolist() == [1] * 4
    for couple in range(4):
        assert set((places == couple).nonzero().flatten().tolist()) == {int(visible[couple]), int(thermal[couple])}


def test_a_picture_without_a_partner_is_refused() -> None:
    with pytest.raises(ValueError, match="as many visible as thermal"):
        paired(torch.tensor([0, 0, 1]), torch.tensor([0, 1, 0]))


def fused(fusion: ModalFusion) -> tuple[Tensor, Tensor]:
    network, output = step(SMALL)
    features = output.head.whole_bn
    made = fusion(output, network.classify)
    return made.fused, features


def test_experts_that_agree_fuse_to_the_plain_mean() -> None:
    torch.manual_seed(0)
    fusion = ModalFusion(128, 3)
    with torch.no_grad():
        fusion.classifiers.weight[1] = fusion.classifiers.weight[0]
    attended, features = fused(fusion)
    mean, _ = fused(ModalFusion(128, 3, "mean"))
    assert torch.allclose(attended, mean, atol=1e-5)
    assert torch.allclose(attended[0], 0.5 * (features[0] + features[4]), atol=1e-5)


def test_a_channel_that_only_its_own_expert_relies_on_weighs_more() -> None:
    torch.manual_seed(0)
    fusion = ModalFusion(128, 3)
    nn.init.zeros_(fusion.classifiers.weight)
    attended, features = fused(fusion)
    with torch.no_grad():
        fusion.classifiers.weight[0, :, 7] = 5 * features[0, 7].sign()  # the visible expert looks at channel 7
    changed, _ = fused(fusion)
    own = abs(float((changed[0, 7] - 0.5 * (features[0, 7] + features[4, 7])).detach()))
    assert own > 1e-3
    assert torch.allclose(attended[0], 0.5 * (features[0] + features[4]), atol=1e-5)


def test_swapping_the_modalities_swaps_nothing_else() -> None:
    torch.manual_seed(0)
    own, foreign = torch.randn(2, 3, 16)
    from edge_reid.models.fusion import _attention

    assert torch.allclose(_attention(own, foreign), 1 - _attention(foreign, own), atol=1e-6)


def memory(scope: str = "other") -> ViewMemory:
    return ViewMemory(4, identities=3, cameras=2, share=0.8, scope=scope)  # type: ignore[arg-type]


def told(*rows: tuple[int, int, int]) -> tuple[Tensor, Tensor, Tensor]:
    identities, modalities, cameras = zip(*rows, strict=True)
    return torch.tensor(identities), torch.tensor(modalities), torch.tensor(cameras)


def test_the_first_view_is_copied_and_later_ones_are_mixed_in() -> None:
    kept, first, second = memory(), torch.ones(1, 4), torch.full((1, 4), 3.0)
    kept.write(*told((1, 0, 1)), first)
    assert kept.features[1, 1].tolist() == [1.0] * 4
    kept.write(*told((1, 0, 1)), second)
    assert kept.features[1, 1].tolist() == pytest.approx([0.2 * 1 + 0.8 * 3] * 4)
    assert kept.written.nonzero().tolist() == [[1, 1]]


def test_pictures_of_one_view_in_one_step_count_as_their_mean() -> None:
    kept = memory()
    kept.write(*told((0, 1, 0), (0, 1, 0)), torch.tensor([[1.0] * 4, [3.0] * 4]))
    assert kept.features[0, 2].tolist() == [2.0] * 4


def test_a_teacher_is_of_the_other_modality_and_of_surer_views() -> None:
    kept = memory()
    weights = torch.tensor([[0.0] * 4, [1.0, 0, 0, 0], [0.0] * 4])

    def classify(features: Tensor) -> Tensor:
        return features @ weights.T

    kept.write(
        *told((1, 0, 0), (1, 0, 1), (1, 1, 0)),
        torch.tensor([[5.0, 0, 0, 0], [0.0, 1, 0, 0], [0.0, 0, 9, 0]]),
    )
    said = kept.teach(torch.tensor([1, 1, 2]), torch.tensor([1, 0, 0]), classify)
    assert said.valid.tolist() == [True, True, False]
    sure = torch.tensor([5.0, 0.0]) - torch.tensor([5.0, 0.0]).exp().add(2).log()
    share = sure.softmax(0)
    assert said.features[0].tolist() == pytest.approx([5 * float(share[0]), float(share[1]), 0, 0], abs=1e-5)
    assert said.features[1].tolist() == [0, 0, 9, 0], "the thermal view teaches the visible row"


@pytest.mark.parametrize(("scope", "expected"), [("other", 2.0), ("own", 1.0), ("both", 1.5)])
def test_the_scope_chooses_the_modality(scope: str, expected: float) -> None:
    kept = memory(scope)
    kept.write(*told((0, 0, 0), (0, 1, 0)), torch.tensor([[1.0] * 4, [2.0] * 4]))
    said = kept.teach(torch.tensor([0]), torch.tensor([0]), lambda features: torch.zeros(len(features), 3))
    assert said.features[0].tolist() == pytest.approx([expected] * 4)


def test_many_cameras_share_the_slots_of_their_modality() -> None:
    kept = ViewMemory(1, identities=2, cameras=48)
    assert kept.features.shape == (2, 16, 1), "eight views a modality, however many cameras"
    rows = [(0, modality, camera) for modality in (0, 1) for camera in range(48)]
    kept.write(*told(*rows), torch.tensor([[float(camera % 8 + 100 * modality)] for _, modality, camera in rows]))
    assert kept.features[0, :, 0].tolist() == pytest.approx([*range(8), *range(100, 108)])
    assert not kept.written[1].any()


def test_a_step_writes_its_own_features_after_it_was_taught() -> None:
    network, output = step(SMALL)
    kept = network.get_submodule("memory")
    assert not output.extras["memory"].valid.any(), "nothing was known before the first step"
    assert isinstance(kept, ViewMemory)
    rows = output.targets
    for row in range(len(rows.identities)):
        slot = kept.features[rows.identities[row], 2 * rows.modalities[row] + rows.cameras[row]]
        assert torch.allclose(slot, output.head.whole_bn[row].detach(), atol=1e-6)


def test_strong_places_of_an_identity_are_the_foreground() -> None:
    maps = torch.full((2, 3, 4, 2), 0.1)
    maps[:, :, 1:3, 0] = 2.0
    found = foreground(maps, torch.tensor([5, 5]))
    assert found.tolist() == [[[False, False], [True, False], [True, False], [False, False]]] * 2


def test_own_labels_are_head_to_foot_at_first_and_follow_the_features() -> None:
    network, output = step(SMALL)
    maps = torch.full((8, 128, 6, 2), 0.01)
    for band in range(3):
        maps[:, band, 2 * band : 2 * band + 2, 1] = 1.0  # three parts with a channel each, in the right column
    output = output._replace(maps=type(output.maps)())
    output.maps.append(maps)
    provider = SelfParts(128, 3)
    labels = provider(output, network.classify)
    assert labels[:, :, 1].tolist() == [[1, 1, 2, 2, 3, 3]] * 8
    assert labels[:, :, 0].unique().tolist() == [0]
    upside_down = output._replace(maps=type(output.maps)())
    upside_down.maps.append(maps.flip(2))
    assert provider(upside_down, network.classify)[:, :, 1].tolist() == [[3, 3, 2, 2, 1, 1]] * 8
