"""`python -m robustdd`: the user's tools on params, data and artifacts."""

from robustdd.cli.app import main

if __name__ == "__main__":
    main()
