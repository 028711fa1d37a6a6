"""Deep AutoAugment: a pipeline of random augmentations, searched layer by layer by matching gradients.

`augmentations.make_bank` makes the candidate transformations, `method.search` finds a policy (K, M), and
`method.augment` applies it to images.
"""

from companion.deepaa import augmentations, baselines, checks, data, evaluation, figures, method, studies, training
from companion.deepaa.experiment import Config, experiment
