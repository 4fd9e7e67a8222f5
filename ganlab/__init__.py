"""ganlab: train generative adversarial networks under one protocol and look into their neurons.

Importing the package is cheap; torch is imported by the parts that compute.
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("ganlab")
except PackageNotFoundError:  # a source tree on the path, not installed
    __version__ = "0.0.0"
