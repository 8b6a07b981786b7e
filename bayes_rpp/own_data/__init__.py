"""`bayes-rpp fit`: a file of the user's own in, a posterior, predictions, pictures and a report out."""
