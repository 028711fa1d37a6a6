"""Attribution in trajectory prediction: exact Shapley values of a prediction's performance, beside true effects.

`training.train` trains a predictor, `method.value_table` evaluates every coalition of past and neighbors, and
`method.attribute` turns the table into an attribution of each.
"""

from companion.trajectory_attribution import baselines, checks, data, evaluation, figures, method, studies, training
from companion.trajectory_attribution.experiment import Config, experiment, football_targets, simulated_targets
from companion.trajectory_attribution.method import BANZHAF, LEAVE_ONE_OUT, SHAPLEY, attribute, value_table
from companion.trajectory_attribution.training import METHODS, ORDINARY, RETRAINED, SUBSETS, train
