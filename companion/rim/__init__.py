"""Recurrent intensity modeling: which item for this user, and which user for this item, from one matrix.

`method.fit_relevance` trains p(y | x), `method.fit_hawkes_poisson` fits lambda(x), `method.log_scores` joins them, and
`matching.item_prices` and `matching.serve` meet an exposure guarantee.
"""

from companion.rim import baselines, checks, data, figures, matching, method, studies, training
from companion.rim.experiment import Config, experiment
