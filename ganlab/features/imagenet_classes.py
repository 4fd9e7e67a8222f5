"""What the 1,000 classes of ImageNet's challenge are called, in the order of its classifiers.

The first word of each WordNet synset; of the four that share theirs, three say more.
"""

import importlib.resources

_FILE = importlib.resources.files("ganlab.features") / "imagenet_classes.txt"
CLASS_NAMES = tuple(_FILE.read_text(encoding="ascii").splitlines())
