"""Recurrent intensity modeling: which film for this user, and which user for this film, from one matrix."""
