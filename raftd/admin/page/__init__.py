"""The page that shows a cluster in a browser, and the film that it is made of."""
