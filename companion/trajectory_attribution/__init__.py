"""You mostly walk alone: who moved this trajectory, by exact Shapley values of a forecast's performance."""
