"""Trans-Encoder: a bi-encoder and a cross-encoder train each other with pseudo-labels, without gold labels.

`data.language_model` loads an encoder, `method.BiEncoder` and `method.CrossEncoder` score pairs with it, and
`method.distill` trains the one on the labels of the other.
"""

from companion.trans_encoder import baselines, checks, data, evaluation, figures, method, studies, training
from companion.trans_encoder.experiment import Config, experiment
