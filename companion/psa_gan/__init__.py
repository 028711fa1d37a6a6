"""PSA-GAN: a GAN for time series that grows level by level, with Context-FID and a test of usefulness.

`training.fit` trains a method on `data.windows`, `training.sampler_of` generates windows, and
`evaluation.context_fid` scores them.
"""

from companion.psa_gan import baselines, checks, data, evaluation, figures, method, studies, training
from companion.psa_gan.experiment import REAL, WINDOWS, Config, evaluation_data, experiment
