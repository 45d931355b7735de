from __future__ import annotations

import pytest
import torch

from partigan.data.batch import Batch
from partigan.errors import PartiganError
from partigan.systems.losses import LikelihoodLoss
from partigan.systems.system import Tick


def test_likelihoods_need_an_explicit_model() -> None:
    data = {"data": Batch(torch.zeros(4, 3))}
    with pytest.raises(PartiganError, match="which Linear is not"):
        LikelihoodLoss().parts({"generator": torch.nn.Linear(3, 3)}, data, Tick(0, torch.Generator()))
    assert LikelihoodLoss("other").needs() == ({"other"}, {"data"})
