"""GIANT-XRT: text features that predict the neighborhood of a node, learned with a tree of ever finer clusters.

`method.pifa` and `method.balanced_tree` make the tree, `method.fit` fine-tunes an encoder level by level, and
`evaluation.classify` trains an MLP or a GCN on the features.
"""

from companion.giant import baselines, checks, data, evaluation, figures, method, studies, training
from companion.giant.experiment import Config, experiment
