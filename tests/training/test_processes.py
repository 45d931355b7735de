"""Two processes that train together, against one with the same global batch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import torch

SCRIPT = '''
import sys
import torch
from lightning_fabric import Fabric
from torch import nn
from partigan.data.batch import Batch
from partigan.data.loader import Loader, Share
from partigan.nets.contracts import Critic, CriticOutput
from partigan.objectives.conditioning import Constraint, Contrastive
from partigan.objectives.losses import Cramer
from partigan.objectives.matching import FeatureMatching, MarginalMatching, SlicedMatching
from partigan.objectives.penalties import R1
from partigan.objectives.terms import Turn
from partigan.systems.gan import CriticLoss, GeneratorLoss
from partigan.systems.losses import ReadingLoss
from partigan.systems.system import Phase, System
from partigan.systems.terms import ScheduledTerm
from partigan.training.players import Feed, Players

several = int(sys.argv[2])
strategy = "auto" if several == 1 else "ddp"
fabric = Fabric(accelerator="cpu", devices=1, num_nodes=several, strategy=strategy)
fabric.launch()
rank, world = fabric.global_rank, fabric.world_size
assert world == several
torch.manual_seed(0)


class Generator(nn.Module):
    """Its noise is that of the global batch, of which it takes own rows."""

    def __init__(self):
        super().__init__()
        self.layers, self.calls = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)), 0

    def noise(self, size, mask, rng):
        self.calls += 1
        drawn = torch.randn(size * world, 3, generator=torch.Generator().manual_seed(self.calls), dtype=torch.float64)
        return drawn[rank::world]

    def forward(self, noise, condition=None, mask=None):
        return self.layers(torch.cat((noise, condition[:, None].double()), 1))


class Judge(Critic):
    def __init__(self):
        super().__init__()
        self.body, self.score, self.embed = nn.Linear(3, 8), nn.Linear(8, 4), nn.Linear(8, 5)
        self.proxies = nn.Embedding(3, 5)

    def forward(self, x, condition=None, mask=None):
        features = self.body(x).tanh()
        embedding = nn.functional.normalize(self.embed(features), dim=1)
        proxy = None if condition is None else nn.functional.normalize(self.proxies(condition), dim=1)
        return CriticOutput(self.score(features)[:, :3], features, embedding=embedding, proxy=proxy)


def sgd(parameters):
    return torch.optim.SGD(parameters, 1.0)


networks = {"generator": Generator(), "critic": Judge(), "constrainer": Judge()}
terms = {"contrastive": ScheduledTerm(Contrastive()), "r1": ScheduledTerm(R1())}
matched = {
    "features": ScheduledTerm(FeatureMatching()),
    "sliced": ScheduledTerm(SlicedMatching(4)),
    "contrastive": ScheduledTerm(Contrastive()),
    "constraint": ScheduledTerm(Constraint()),
}
phases = {
    "constrainer": Phase(["constrainer"], ReadingLoss(), sgd),
    "critic": Phase(["critic"], CriticLoss(Cramer(), terms), sgd),
    "generator": Phase(["generator"], GeneratorLoss(Cramer(), matched), sgd),
}
for network in networks.values():
    network.double()
rng = torch.Generator().manual_seed(1)
sample = Batch(
    torch.randn(64, 3, generator=rng, dtype=torch.float64),
    condition=torch.randint(3, (64,), generator=rng),
    weight=torch.rand(64, generator=rng, dtype=torch.float64),
)
loader = Loader(sample, 16 // world, 1, Share(rank, world))
players = Players(fabric, System(networks, phases), Feed({"data": loader}, 1), clip=0.5)
for step in range(2):
    players.train_step(step, 2)
found = {f"{name}.{key}": value for name, net in networks.items() for key, value in net.state_dict().items()}

number = torch.randint(3, 7, (2, 16, 1), generator=rng)  # particles of jets, so that processes have different ones
mask = torch.arange(6) < number
x = torch.rand(2, 16, 6, 3, generator=rng, dtype=torch.float64) * mask[..., None]
real, fake = (Batch(x[k], mask[k])[torch.arange(rank, 16, world)] for k in range(2))
fake.x.requires_grad_()
turn = Turn(None, real, fake, None, CriticOutput(fake.x), rng, physical=lambda batch: batch)
MarginalMatching().generator(turn).backward()
slopes = fabric.all_gather(fake.x.grad / world)
found["marginals"] = slopes if world == 1 else slopes.transpose(0, 1).flatten(0, 1)  # the order of the rows
if rank == 0:
    torch.save(found, sys.argv[1])
'''


def test_two_processes_equal_one_at_the_same_global_batch(tmp_path: Path) -> None:
    """As Slurm starts them, one on each of two machines; the losses see the global batch."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    here = dict(os.environ)
    slurm = {"SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "1", "SLURM_JOB_ID": f"{os.getpid()}", "SLURM_JOB_NAME": "a"}
    jobs = [subprocess.Popen([sys.executable, str(script), str(tmp_path / "1"), "1"], env=here)]
    for rank in ("0", "1"):
        mine = {"SLURM_PROCID": rank, "SLURM_NODEID": rank, "SLURM_LOCALID": "0", "SLURM_NODELIST": "127.0.0.1"}
        words = [sys.executable, str(script), str(tmp_path / "2"), "2"]
        jobs.append(subprocess.Popen(words, env={**here, **slurm, **mine}))
    assert [job.wait(120) for job in jobs] == [0, 0, 0]
    one, two = (torch.load(tmp_path / name) for name in ("1", "2"))
    assert one.keys() == two.keys()
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=0, atol=1e-10)
