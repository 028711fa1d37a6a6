"""Visual generalization: hold out combinations or values of known factors, and measure what a model still infers.

`method.train_mask` makes a split of a `method.Grid`, `training.train` trains an approach, `method.r_squared` scores it.
"""

from companion.visual_generalization import (
    baselines,
    checks,
    data,
    evaluation,
    figures,
    method,
    models,
    studies,
    training,
)
from companion.visual_generalization.experiment import Config, experiment, trained
