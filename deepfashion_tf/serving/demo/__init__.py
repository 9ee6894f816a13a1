"""The web demo: a page that answers for a photograph, served by this machine alone."""
