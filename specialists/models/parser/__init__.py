"""The shipped parser: how it was made (`recipe`, `treebank`, `config.cfg`) and the model itself (`en_ewt`)."""
