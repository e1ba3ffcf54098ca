"""Visible-thermal person re-identification from pictures to a device.

Importing this package never imports torch: a device that only runs a bundle installs neither torch nor torchvision.
"""

__version__ = "0.1.0"
