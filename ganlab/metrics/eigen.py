"""Eigenvalues of covariances, of features that never vary too."""

import torch
from torch import Tensor


def eigen(covariance: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues, ascending, and eigenvectors as columns, of a positive semidefinite matrix.

    (d, d) -> (d,), (d, d). LAPACK's divide and conquer may not converge where many eigenvalues
    repeat, as the zeros of dead features do; singular values of such a matrix are its eigenvalues.
    """
    try:
        values, vectors = torch.linalg.eigh(covariance)
    except RuntimeError:  # LinAlgError, which torch does not export to type checkers
        vectors, values, _ = torch.linalg.svd(covariance)
        return values.flip(0), vectors.flip(1)
    return values, vectors
