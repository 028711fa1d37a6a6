"""Trans-Encoder: a bi-encoder and a cross-encoder train each other with pseudo-labels, without gold labels.

`pretrained.language_model` loads an encoder, `method.BiEncoder` and `method.CrossEncoder` score pairs with it, and
`method.distill` trains the one on the labels of the other.
"""

from companion.trans_encoder import baselines, checks, data, evaluation, figures, method, pretrained, studies, training
from companion.trans_encoder.experiment import Config, experiment
