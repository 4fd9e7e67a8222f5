"""torch-fidelity's scores of given features, by its own functions; runs where it is installed.

python fidelity_oracle.py features.npz        # real, fake (N, d) and logits (N, K); prints JSON
"""

import json
import sys

import numpy as np
import torch
import torch_fidelity
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_isc import isc_features_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric
from torch_fidelity.metric_prc import prc_features_to_metric


def scores(real, fake, logits):
    """Each by the published protocol, KID of all images at once."""
    both = [fid_features_to_statistics(each) for each in (fake, real)]
    found = fid_statistics_to_metric(*both, verbose=False)
    kid = {"kid_subsets": 1, "kid_subset_size": len(real), "verbose": False}
    found |= kid_features_to_metric(fake, real, **kid)
    found |= prc_features_to_metric(fake, real, prc_neighborhood=3, verbose=False)
    return found | isc_features_to_metric(logits, splits=10, shuffle=False)


def main():
    arrays = {key: torch.from_numpy(each) for key, each in np.load(sys.argv[1]).items()}
    versions = {"torch": torch.__version__, "torch-fidelity": torch_fidelity.__version__}
    print(json.dumps(scores(**arrays) | {"versions": versions}))


if __name__ == "__main__":
    main()
