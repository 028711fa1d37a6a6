"""Cold Brew: a graph network teaches an MLP to serve nodes that have no neighbours."""

from companion.cold_brew import checks, figures
from companion.cold_brew.arms import Recipe, StudentRecipe, World, train_student, train_teacher
from companion.cold_brew.experiment import FURTHER, Config, build_world, candidates, experiment, load_graph
from companion.cold_brew.method import (
    SEGNN,
    ColdStart,
    SEConv,
    StudentMLPs,
    accuracy,
    adjacency,
    attend,
    cold_start,
    fcr,
    teacher_loss,
    teacher_memory,
    virtual_neighbours,
)

__all__ = [
    "FURTHER",
    "SEGNN",
    "ColdStart",
    "Config",
    "Recipe",
    "SEConv",
    "StudentMLPs",
    "StudentRecipe",
    "World",
    "accuracy",
    "adjacency",
    "attend",
    "build_world",
    "candidates",
    "checks",
    "cold_start",
    "experiment",
    "fcr",
    "figures",
    "load_graph",
    "teacher_loss",
    "teacher_memory",
    "train_student",
    "train_teacher",
    "virtual_neighbours",
]
