"""Reports over artifacts and their results: a summary, and the pages and charts made of it."""
