"""Pictures of people: where they lie and who they show. Importing this package does not import torch."""

from edge_reid.data.folder import Attributes, FolderDataset

__all__ = ["Attributes", "FolderDataset"]
