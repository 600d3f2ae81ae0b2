"""What every potential must keep, as a test class to inherit.

    class TestMine(PotentialContract):
        def build(self, levels):
            return Mine(cutoff=4.0, n_features=16, levels=levels)

All checks run in double precision on small random molecules, unless they are about precision.
"""

from .contract import PotentialContract
from .pretrained import PretrainedContract
from .structures import make_batch, random_structure

__all__ = ["PotentialContract", "PretrainedContract", "make_batch", "random_structure"]
