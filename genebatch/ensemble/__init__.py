"""Makes one model of the models of all batches."""
