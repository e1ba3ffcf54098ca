"""Weights of others: every tensor that has a place gets there, in both streams, and the rest is told."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from edge_reid import recipes
from edge_reid.errors import UserError
from edge_reid.models import TwoStream, build_network, build_osnet
from edge_reid.models.pretrained import import_weights
from edge_reid.models.resnet import ResNet50
from edge_reid.types import Json


def network(arch: str, width: float = 0.25, share_from: int = 2) -> TwoStream:
    torch.manual_seed(1)
    numbers: dict[str, Json] = {"arch": arch, "width": width if arch == "osnet" else 1.0, "share_from": share_from}
    recipe = recipes.changed(recipes.get("baseline"), numbers)
    return build_network(recipe)


def osnet_weights() -> dict[str, Tensor]:
    torch.manual_seed(0)
    weights = build_osnet(0.25).state_dict()
    return {**weights, "classifier.weight": torch.zeros(1000, 512), "classifier.bias": torch.zeros(1000)}


@pytest.mark.parametrize("kind", ["plain", "torchreid", "safetensors"])
def test_osnet_of_torchreid_computes_the_same_maps_in_both_streams(tmp_path: Path, kind: str) -> None:
    weights, path = osnet_weights(), tmp_path / "osnet.pth"
    if kind == "safetensors":
        path = path.with_suffix(".safetensors")
        save_file(weights, path)
    elif kind == "torchreid":  # what its training writes: wrapped, and with the names of a parallel run
        torch.save({"state_dict": {f"module.{k}": v for k, v in weights.items()}, "epoch": 60}, path)
    else:
        torch.save(weights, path)
    model = network("osnet").eval()
    line = import_weights(model, path)
    count = len(weights)
    skipped = sum(name.startswith(("fc", "classifier")) for name in weights)
    assert f"{count - skipped} of {count} tensors matched" in line
    assert "no such layer: classifier, fc" in line
    original = build_osnet(0.25).eval()
    original.load_state_dict(weights, strict=False)
    maps = images = torch.randn(2, 3, 64, 32)
    for stage in original.stages():
        maps = stage(maps)
    for modality in ("visible", "thermal"):
        assert torch.equal(model.maps(images, modality)[-1], maps)


def test_resnet_of_torchvision_computes_the_same_maps(tmp_path: Path) -> None:
    torch.manual_seed(0)
    original = ResNet50().eval()
    path = tmp_path / "resnet50.pth"
    torch.save({**original.state_dict(), "fc.weight": torch.zeros(1000, 2048), "fc.bias": torch.zeros(1000)}, path)
    model = network("resnet50", share_from=1).eval()
    assert "skipped, as a trunk has no such layer: fc" in import_weights(model, path)
    images = torch.randn(1, 3, 64, 32)
    assert torch.equal(model.maps(images, "thermal")[-1], original(images))


def test_the_trunk_of_a_model_of_the_kit_fits_any_recipe() -> None:
    from edge_reid.reference import checkpoint_path
    from edge_reid.training.checkpoint import load_model

    carried = load_model(checkpoint_path()).model
    model = network("osnet", share_from=0).eval()
    line = import_weights(model, checkpoint_path())
    assert "as a trunk has no such layer: head" in line
    images = torch.randn(1, 3, 64, 32)
    assert torch.equal(model.maps(images, "thermal")[-1], carried.maps(images, "visible")[-1])


def test_weights_of_another_network_are_refused_and_nothing_changes(tmp_path: Path) -> None:
    path = tmp_path / "osnet.pth"
    torch.save(osnet_weights(), path)
    for arch, width, reason in (("osnet", 0.5, "of another shape"), ("resnet50", 1.0, "is not in it")):
        model = network(arch, width)
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        with pytest.raises(
            UserError, match=rf"osnet\.pth: not the trunk of this recipe .*{reason}.*--arch and --width"
        ):
            import_weights(model, path)
        assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


class Surprise:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (exec, ("raise SystemExit('unpickled')",))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (Surprise(), "cannot be read as plain tensors"),
        ([1, 2], "holds no state_dict"),
        (b"", "cannot be read as plain tensors"),
    ],
    ids=["code", "list", "empty"],
)
def test_files_that_are_no_plain_tensors_are_refused(tmp_path: Path, content: object, message: str) -> None:
    path = tmp_path / "weights.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(UserError, match=rf"weights\.pth: {message}"):
        import_weights(network("osnet"), path)
    with pytest.raises(UserError, match="no such file"):
        import_weights(network("osnet"), tmp_path / "missing.pth")
