"""params.yaml as a study: what it says, whether that makes sense, what it will cost, which files are its own."""
