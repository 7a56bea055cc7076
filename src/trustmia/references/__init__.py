"""Reference models: many classifiers, each trained on a random half of the audited images."""
