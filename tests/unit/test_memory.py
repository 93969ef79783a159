"""Memory stays bounded when there are very many random features."""

import platform

import pytest

from .processes import python

pytestmark = pytest.mark.slow

PROGRAM = r"""
import re
from pathlib import Path
import torch
from icl_contrastive.analysis.equivalence import compare, compressed_problem
from icl_contrastive.analysis.reading import read
from icl_contrastive.analysis.estimates import estimated_matrices
from icl_contrastive.attention import Layer, Weights, project
from icl_contrastive.features.base import ExponentialFeatures
from icl_contrastive.variants import build_variant

torch.set_num_threads(1)
d, m, n = 12, 100_000, 32
generator = torch.Generator().manual_seed(0)

def normal(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=generator)

weights = Weights(normal(d, d) / 4, normal(d, d) / 4, normal(d, d))
layer = Layer(weights, ExponentialFeatures(normal(m, d), torch.zeros(m, dtype=torch.float64)))
tokens = normal(4, n, d)
estimated_matrices(project(weights, tokens[0]), layer.features)
variant = build_variant({"model": "regularized", "form": "eq14", "alpha": 0.01})
own = read(layer, tokens, variant)
courses = compare(compressed_problem(layer, tokens, variant), variant, 1)
assert abs(courses["full_batch"]["prediction"] - own.output.numpy()).max() < 1e-12
# Its own peak: that of getrusage begins with what the process that started it has.
print(re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())[1])
"""


@pytest.mark.skipif(platform.system() != "Linux", reason="it reads Linux's /proc")
def test_100000_features_take_less_than_a_gibibyte() -> None:
    kibibytes = int(python("-c", PROGRAM).stdout)
    assert kibibytes < 2**20
