"""Every family of the package, by the tests that all families share."""

import pytest

from icl_contrastive.features.elu import EluPlusOne
from icl_contrastive.features.hyperbolic import Hyperbolic
from icl_contrastive.features.oprf import OPRF
from icl_contrastive.features.positive import Positive
from icl_contrastive.features.sderf import SDERF
from icl_contrastive.features.trigonometric import Trigonometric
from icl_contrastive.testing import FamilyTests, UnbiasedFamilyTests

pytestmark = pytest.mark.slow


class TestPositive(UnbiasedFamilyTests):
    kind = Positive


class TestHyperbolic(UnbiasedFamilyTests):
    kind = Hyperbolic


class TestTrigonometric(UnbiasedFamilyTests):
    kind = Trigonometric


class TestOPRF(UnbiasedFamilyTests):
    kind = OPRF


class TestSDERF(UnbiasedFamilyTests):
    kind = SDERF


class TestEluPlusOne(FamilyTests):
    kind = EluPlusOne
