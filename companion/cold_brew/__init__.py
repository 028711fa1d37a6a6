"""Cold Brew: a graph neural network is distilled into an MLP that classifies nodes without any edge.

`method` is the paper: the teacher `SEGNN`, its `teacher_memory`, `virtual_neighbors` and the student `StudentMLPs`;
`training.train_teacher` and `training.train_student` are its algorithm.
"""

from companion.cold_brew import baselines, checks, data, evaluation, figures, method, studies, training
from companion.cold_brew.experiment import Config, experiment, load_data
