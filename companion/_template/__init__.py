"""The template lesson, Stein's paradox: a complete small lesson, to be copied for a new one.

`method.james_stein` is the estimator, `method.exact_risk` its risk, `method.sure` an estimate of the risk.
"""

from companion._template import baselines, checks, data, figures, method, studies
from companion._template.experiment import Config, experiment
