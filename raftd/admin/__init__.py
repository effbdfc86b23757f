"""A node's plain HTTP port: is it alive, may clients come, figures."""
