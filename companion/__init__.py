"""companion: the model code behind ten notebooks, one for each Amazon paper at ICLR 2022."""

__version__ = "0.1.0"
