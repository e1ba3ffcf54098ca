"""Networks: the OSNet trunk, the two-stream network and its heads. Importing this package imports torch."""

from edge_reid.models.build import TrainingNetwork, build_network, build_training_network
from edge_reid.models.input import normalize
from edge_reid.models.osnet import build_osnet
from edge_reid.models.two_stream import TwoStream

__all__ = ["TrainingNetwork", "TwoStream", "build_network", "build_osnet", "build_training_network", "normalize"]
