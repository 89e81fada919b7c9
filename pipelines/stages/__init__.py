"""The stages of the FLD-5B graph: thin edges around specialists and decision functions."""
