"""DIVA: how much each training example helps or harms is a derivative in closed form.

`method.fit` fits a weighted ridge on features (N, m), and `method.dataset_derivative` returns the derivative of the
leave-one-out loss with respect to the weight of each example, (N,); `reject`, `reweight` and `extend` use it.
"""

from companion.diva import baselines, checks, data, evaluation, figures, method, studies, training
from companion.diva.experiment import Config, experiment, noisy_data
