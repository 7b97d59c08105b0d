"""A stand-in for the module that notebooks on Colab find loaded: it can be imported, no more."""
