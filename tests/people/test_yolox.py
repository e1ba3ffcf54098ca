from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_reid.errors import UserError
from edge_reid.people.yolox import YoloxDetector, letterbox

SIZE = (64, 96)
PREDICTIONS = 8 * 12 + 4 * 6 + 2 * 3


def write_graph(path: Path, output: np.ndarray, *, size: tuple[int | str, int | str] = SIZE) -> Path:
    """A graph of YOLOX's shapes that answers `output` to everything."""
    nodes = [
        helper.make_node("ReduceSum", ["images"], ["sum"], keepdims=0),
        helper.make_node("Mul", ["sum", "zero"], ["nothing"]),
        helper.make_node("Add", ["answer", "nothing"], ["output"]),
    ]
    constants = [numpy_helper.from_array(output, "answer"), numpy_helper.from_array(np.float32(0), "zero")]
    graph = helper.make_graph(
        nodes,
        "fixed",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, *size])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, list(output.shape))],
        constants,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def raw_output() -> np.ndarray:
    return np.zeros((1, PREDICTIONS, 5 + 3), np.float32)


def test_boxes_are_decoded_from_cell_stride_and_log_size(tmp_path: Path) -> None:
    output = raw_output()
    # cell (row 2, column 5) of stride 8, and (row 1, column 4) of stride 16
    output[0, 2 * 12 + 5] = [0.5, 0.25, np.log(2.0), np.log(3.0), 0.9, 0.8, 0.1, 0.0]
    output[0, 96 + 1 * 6 + 4] = [0.0, 0.5, np.log(1.0), np.log(1.5), 0.5, 0.6, 0.0, 0.0]
    found = YoloxDetector(write_graph(tmp_path / "x.onnx", output)).detect(np.zeros((128, 192, 3), np.uint8))
    # the frame is twice the graph's size
    expected = 2 * np.array([
        [8 * 5.5 - 8.0, 8 * 2.25 - 12.0, 8 * 5.5 + 8.0, 8 * 2.25 + 12.0],
        [16 * 4.0 - 8.0, 16 * 1.5 - 12.0, 16 * 4.0 + 8.0, 16 * 1.5 + 12.0],
    ])  # fmt: skip
    assert np.allclose(found.boxes, expected, atol=1e-3)
    assert np.allclose(found.scores, [0.72, 0.3])


def test_other_classes_and_weak_people_are_left_out_and_doubles_removed(tmp_path: Path) -> None:
    output = raw_output()
    output[0, 0] = [0.0, 0.0, 2.0, 2.0, 0.9, 0.0, 0.9, 0.0]
    output[0, 50] = [0.0, 0.0, 2.0, 2.0, 0.2, 0.3, 0.0, 0.0]
    output[0, 60] = [0.0, 0.0, 2.0, 2.0, 0.9, 0.9, 0.0, 0.0]
    output[0, 61] = [-1.0, 0.0, 2.0, 2.0, 0.9, 0.8, 0.0, 0.0]
    found = YoloxDetector(write_graph(tmp_path / "x.onnx", output)).detect(np.zeros((*SIZE, 3), np.uint8))
    assert np.allclose(found.scores, [0.81])


def test_boxes_stay_inside_the_frame_and_thermal_frames_are_taken(tmp_path: Path) -> None:
    output = raw_output()
    output[0, 0] = [0.0, 0.0, 3.0, 3.0, 0.9, 0.9, 0.0, 0.0]
    found = YoloxDetector(write_graph(tmp_path / "x.onnx", output)).detect(np.zeros(SIZE, np.uint8))
    assert found.boxes.min() == 0.0
    assert (found.boxes[:, 2:] <= [SIZE[1], SIZE[0]]).all()


def test_letterbox_keeps_proportions_and_fills_with_grey() -> None:
    padded, scale = letterbox(np.full((32, 96, 3), 7, np.uint8), SIZE)
    assert scale == 1.0
    assert (padded[:32] == 7).all()
    assert (padded[32:] == 114).all()
    assert letterbox(np.full((32, 96), 7, np.uint8), SIZE)[0].shape == (64, 96, 3)


@pytest.mark.parametrize("shape", [(1, 8, PREDICTIONS), (1, 300, 6), (1, 3 * PREDICTIONS, 85)])
def test_graphs_of_other_families_are_refused(shape: tuple[int, ...], tmp_path: Path) -> None:
    file = write_graph(tmp_path / "other.onnx", np.zeros(shape, np.float32))
    with pytest.raises(UserError, match=r"other.onnx: not a YOLOX graph of fixed size"):
        YoloxDetector(file)


def test_a_graph_of_open_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a YOLOX graph of fixed size"):
        YoloxDetector(write_graph(tmp_path / "open.onnx", raw_output(), size=("h", "w")))


def test_boxes_that_are_decoded_already_are_refused(tmp_path: Path) -> None:
    output = raw_output()
    output[0, :, :2] = 60.0
    with pytest.raises(UserError, match="its boxes are decoded already"):
        YoloxDetector(write_graph(tmp_path / "decoded.onnx", output))


def test_a_file_that_is_no_graph_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("not a graph")
    with pytest.raises(UserError, match=r"text.onnx: not a graph"):
        YoloxDetector(tmp_path / "text.onnx")
