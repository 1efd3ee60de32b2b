"""How the layers compute on a CPU: other formulations of what XLA's own operations say."""
