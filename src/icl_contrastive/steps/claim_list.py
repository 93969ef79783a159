"""The list of claims, as the steps that judge by it read it."""

from pathlib import Path

import yaml

from icl_contrastive.claims import Claim, ClaimError, Settings, read_claims
from icl_contrastive.command import StepError


def read_claim_list(path: Path) -> tuple[Settings, list[Claim]]:
    """How claims are tested, and the claims. Raises StepError, which names the file."""
    try:
        return read_claims(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (ClaimError, yaml.YAMLError) as error:
        raise StepError(f"{path}: {error}") from error
